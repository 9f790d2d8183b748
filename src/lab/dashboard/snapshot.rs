//! What the dashboard shows: the lab at one moment, as [`super::survey()`] saw it. No secrets in here.

use std::time::Duration;

use time::UtcDateTime;

use crate::lab::ledger::Outcome;
use crate::lab::operation::Operation;
use crate::pure::identity::InstanceId;

#[derive(Debug)]
pub struct Snapshot {
    pub clock: Time,
    pub nodes: Shown<NodeRow>,
    pub tokens: Shown<TokenRow>,
    pub activations: Shown<ActivationRow>,
    pub faults: Shown<FaultRow>,
    pub requests: Shown<RequestRow>,
    /// One entry a second, the newest last.
    pub pulse: Vec<Tally>,
    /// Of all requests that are remembered.
    pub tally: Tally,
}

/// The lab's time and how it runs, so that a browser can count on.
#[derive(Debug, Clone, Copy)]
pub struct Time {
    pub at: UtcDateTime,
    /// Seconds of the lab in one of this machine's.
    pub rate: u32,
    /// How far it is from this machine's time.
    pub ahead: time::Duration,
}

/// The first rows of a list, and how many there are.
#[derive(Debug)]
pub struct Shown<T> {
    pub rows: Vec<T>,
    pub total: usize,
}

#[derive(Debug)]
pub struct NodeRow {
    pub id: InstanceId,
    pub name: Option<String>,
    /// Another node in the list has the same name.
    pub shares_name: bool,
    pub platform: Option<String>,
    pub role: String,
    pub state: NodeState,
    pub online: bool,
    pub pinged_at: Option<UtcDateTime>,
    /// Of its newest credentials, if they live.
    pub life: Option<Life>,
    /// Whether a fault stands that is meant for this node alone.
    pub aimed_at: bool,
}

/// How a node fares, the worst that can be said first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeState {
    /// Its last request was turned down or disturbed.
    Failing(String),
    /// Its next request meets a fault, or may.
    Faulted(String),
    /// It has no credentials that live.
    Bare,
    /// It has none among the newest of very many.
    Quiet,
    Fresh,
}

#[derive(Debug)]
pub struct TokenRow {
    pub access_key_id: String,
    pub holder: String,
    pub role: String,
    pub life: Life,
}

#[derive(Debug)]
pub struct ActivationRow {
    pub id: String,
    pub name: Option<String>,
    pub role: String,
    pub registrations: u32,
    pub limit: u32,
    /// Nothing once it has expired.
    pub life: Option<Life>,
}

#[derive(Debug)]
pub struct FaultRow {
    pub id: u64,
    pub effect: String,
    pub operation: Option<Operation>,
    pub node: Option<InstanceId>,
    pub hits: u32,
    pub count: Option<u32>,
    /// Nothing once it has begun.
    pub begins_in: Option<Duration>,
    /// Until it ends by itself, by the lab's clock.
    pub left: Option<Duration>,
    pub probability: f64,
}

/// One request and how it ended.
#[derive(Debug)]
pub struct RequestRow {
    pub at: UtcDateTime,
    pub operation: Option<Operation>,
    pub node: Option<InstanceId>,
    pub outcome: Outcome,
}

/// What is left of something that ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Life {
    pub ends_at: UtcDateTime,
    pub left: Duration,
    /// What a full bar means.
    pub whole: Duration,
}

/// How requests ended.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    pub done: usize,
    pub refused: usize,
    pub disturbed: usize,
}

impl Tally {
    pub fn count(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Done => self.done += 1,
            Outcome::Refused(_) => self.refused += 1,
            Outcome::Disturbed(_) => self.disturbed += 1,
        }
    }

    pub fn total(self) -> usize {
        self.done + self.refused + self.disturbed
    }
}

impl Life {
    /// From `now` on; nothing when it is over.
    pub fn of(ends_at: UtcDateTime, whole: Duration, now: UtcDateTime) -> Option<Self> {
        let left = Duration::try_from(ends_at - now).ok().filter(|left| !left.is_zero())?;
        Some(Self { ends_at, left, whole: whole.max(left) })
    }

    /// How full its bar is, in whole percent, rounded up: what lives is never empty.
    pub fn percent(self) -> u32 {
        (self.left.as_secs_f64() / self.whole.as_secs_f64() * 100.0).ceil() as u32
    }
}
