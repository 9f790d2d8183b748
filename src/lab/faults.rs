//! What goes wrong, for whom, and how often. Decides only; [`super::server`] does it.

use std::time::Duration;

use time::UtcDateTime;

use super::operation::Operation;
use crate::pure::identity::InstanceId;
use crate::pure::jitter::Jitter;

/// Faults that may stand at once.
const CAPACITY: usize = 1000;

/// A fault as it was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// `None` is any operation of AWS; the lab's own control is never disturbed.
    pub operation: Option<Operation>,
    /// `None` is any caller.
    pub node: Option<InstanceId>,
    pub effect: Effect,
    /// How many requests it meets; `None` is all.
    pub count: Option<u32>,
    /// Until when, by the lab's clock; `None` is until it is cleared.
    pub until: Option<UtcDateTime>,
    /// The share of requests that it meets, 0 to 1.
    pub probability: f64,
}

/// What happens to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Refused with this status; without a code, the usual one for the status.
    Status { status: u16, code: Option<String> },
    /// Refused with a page for people, as a proxy would.
    Html { status: u16 },
    /// Answered as always, but late.
    Latency(Duration),
    /// Never answered.
    Hang,
    /// The connection is reset; the service has not seen the request.
    Reset,
    /// The service does what was asked; half of the answer arrives.
    TornBody,
}

/// A fault that stands, with what it has done so far.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    pub id: u64,
    pub fault: Fault,
    pub hits: u32,
}

/// All that stand. The oldest that fits decides.
#[derive(Debug, Default)]
pub struct Faults {
    standing: Vec<Standing>,
    last_id: u64,
}

/// There are a thousand already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{CAPACITY} faults stand already")]
pub struct TooManyFaults;

impl Fault {
    /// This effect on every request, until it is cleared.
    pub fn always(effect: Effect) -> Self {
        Self { operation: None, node: None, effect, count: None, until: None, probability: 1.0 }
    }

    /// The same for one operation only.
    pub fn on(self, operation: Operation) -> Self {
        Self { operation: Some(operation), ..self }
    }

    /// The same for so many requests only.
    pub fn times(self, count: u32) -> Self {
        Self { count: Some(count), ..self }
    }

    fn meets(&self, operation: Option<Operation>, node: Option<&InstanceId>) -> bool {
        (self.operation.is_none() || self.operation == operation)
            && (self.node.is_none() || self.node.as_ref() == node)
    }
}

impl Effect {
    /// One word for lists and the ledger.
    pub fn name(&self) -> &'static str {
        match self {
            Effect::Status { .. } => "status",
            Effect::Html { .. } => "html",
            Effect::Latency(_) => "latency",
            Effect::Hang => "hang",
            Effect::Reset => "reset",
            Effect::TornBody => "torn-body",
        }
    }

    /// Whether the service still gets to see the request.
    pub fn lets_through(&self) -> bool {
        matches!(self, Effect::Latency(_) | Effect::TornBody)
    }
}

impl Standing {
    fn is_over(&self, now: UtcDateTime) -> bool {
        self.fault.count.is_some_and(|count| self.hits >= count)
            || self.fault.until.is_some_and(|until| until <= now)
    }
}

impl Faults {
    /// Adds one; the answer is its number.
    pub fn add(&mut self, fault: Fault) -> Result<u64, TooManyFaults> {
        if self.standing.len() >= CAPACITY {
            return Err(TooManyFaults);
        }
        self.last_id += 1;
        self.standing.push(Standing { id: self.last_id, fault, hits: 0 });
        Ok(self.last_id)
    }

    /// Those that can still meet a request.
    pub fn list(&mut self, now: UtcDateTime) -> &[Standing] {
        self.standing.retain(|standing| !standing.is_over(now));
        &self.standing
    }

    /// Removes those that are meant; the answer is how many there were.
    pub fn remove(&mut self, is_meant: impl Fn(&Standing) -> bool) -> usize {
        let before = self.standing.len();
        self.standing.retain(|standing| !is_meant(standing));
        before - self.standing.len()
    }

    /// Removes all; the answer is how many there were.
    pub fn clear(&mut self) -> usize {
        self.standing.drain(..).count()
    }

    /// What happens to this request, if anything, and counts it. `jitter` decides for faults with a
    /// probability.
    pub fn verdict(
        &mut self,
        operation: Option<Operation>,
        node: Option<&InstanceId>,
        jitter: Jitter,
        now: UtcDateTime,
    ) -> Option<Effect> {
        let chance = jitter.of(Duration::from_secs(1)).as_secs_f64();
        self.standing.retain(|standing| !standing.is_over(now));
        let standing = self.standing.iter_mut().find(|standing| {
            standing.fault.meets(operation, node) && chance < standing.fault.probability
        })?;
        standing.hits += 1;
        Some(standing.fault.effect.clone())
    }
}

#[cfg(test)]
mod tests {
    use time::macros::utc_datetime;

    use super::*;

    const NOW: UtcDateTime = utc_datetime!(2026-11-22 00:00);
    const TOKEN: Option<Operation> = Some(Operation::RequestManagedInstanceRoleToken);

    fn faults(fault: Fault) -> Faults {
        let mut faults = Faults::default();
        faults.add(fault).unwrap();
        faults
    }

    #[test]
    fn a_counted_fault_runs_out() {
        let mut faults = faults(Fault::always(Effect::Hang).times(2));
        let mut verdict = || faults.verdict(TOKEN, None, Jitter::NONE, NOW);
        assert_eq!(verdict(), Some(Effect::Hang));
        assert_eq!(verdict(), Some(Effect::Hang));
        assert_eq!(verdict(), None);
        assert!(faults.list(NOW).is_empty());
    }

    #[test]
    fn a_timed_fault_ends_by_the_clock() {
        let until = NOW + Duration::from_secs(30);
        let mut faults = faults(Fault { until: Some(until), ..Fault::always(Effect::Reset) });
        let before = until - Duration::from_millis(1);
        assert_eq!(faults.verdict(TOKEN, None, Jitter::NONE, before), Some(Effect::Reset));
        assert_eq!(faults.verdict(TOKEN, None, Jitter::NONE, until), None);
    }

    #[test]
    fn a_fault_meets_its_operation_and_its_node_only() {
        let id = |text: &str| text.parse::<InstanceId>().unwrap();
        let (mine, other) = (id("mi-0123456789abcdef0"), id("mi-0123456789abcdef1"));
        let mut faults = faults(Fault {
            node: Some(mine.clone()),
            ..Fault::always(Effect::Hang).on(Operation::RequestManagedInstanceRoleToken)
        });
        let mut meets =
            |operation, node| faults.verdict(operation, node, Jitter::NONE, NOW).is_some();
        assert!(meets(TOKEN, Some(&mine)));
        assert!(!meets(TOKEN, Some(&other)));
        assert!(!meets(TOKEN, None));
        assert!(!meets(Some(Operation::CreateActivation), Some(&mine)));
        assert!(!meets(None, Some(&mine)));
    }

    #[test]
    fn chance_decides_for_a_probability() {
        let mut faults = faults(Fault { probability: 0.5, ..Fault::always(Effect::Hang) });
        let mut meets = |bits| faults.verdict(None, None, Jitter::from_bits(bits), NOW).is_some();
        assert!(meets(0));
        assert!(meets(u64::MAX / 4));
        assert!(!meets(u64::MAX / 4 * 3));
    }

    #[test]
    fn the_oldest_fault_that_fits_decides() {
        let mut faults = faults(Fault::always(Effect::Hang).times(1));
        faults.add(Fault::always(Effect::Reset)).unwrap();
        assert_eq!(faults.verdict(None, None, Jitter::NONE, NOW), Some(Effect::Hang));
        assert_eq!(faults.verdict(None, None, Jitter::NONE, NOW), Some(Effect::Reset));
        assert_eq!(faults.clear(), 1);
    }
}
