//! What the service was asked and what it said, the last few thousand of them.

use std::collections::VecDeque;

use time::UtcDateTime;

use super::operation::Operation;
use crate::pure::identity::InstanceId;

/// Entries that are kept; the oldest go first.
const CAPACITY: usize = 4096;

/// One request and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// By the lab's clock.
    pub at: UtcDateTime,
    /// `None` for what names no operation.
    pub operation: Option<Operation>,
    /// The node that the request says it comes from.
    pub node: Option<InstanceId>,
    pub outcome: Outcome,
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// The service said no, with this code.
    Refused(String),
    /// A fault answered in the service's place.
    Disturbed(&'static str),
}

#[derive(Debug, Default)]
pub struct Ledger(VecDeque<Entry>);

impl Ledger {
    pub fn record(&mut self, entry: Entry) {
        if self.0.len() == CAPACITY {
            self.0.pop_front();
        }
        self.0.push_back(entry);
    }

    /// Oldest first.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.0.iter()
    }

    /// How many requests for `operation` ended in `outcome`, among those still remembered.
    pub fn count(&self, operation: Operation, outcome: &Outcome) -> usize {
        self.0
            .iter()
            .filter(|entry| entry.operation == Some(operation) && entry.outcome == *outcome)
            .count()
    }
}

#[cfg(test)]
mod tests {
    use time::macros::utc_datetime;

    use super::*;

    #[test]
    fn the_oldest_entries_go_first() {
        let mut ledger = Ledger::default();
        for number in 0..=CAPACITY {
            ledger.record(Entry {
                at: utc_datetime!(2026-11-22 00:00),
                operation: Some(Operation::CreateActivation),
                node: None,
                outcome: Outcome::Refused(number.to_string()),
            });
        }
        assert_eq!(ledger.entries().count(), CAPACITY);
        assert_eq!(ledger.entries().next().unwrap().outcome, Outcome::Refused("1".into()));
    }
}
