//! What happened and when, for the picture: daemons' states, tokens, faults, requests, steps.
//!
//! All moments are the lab's: where its time leaps, so does the picture's.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use time::UtcDateTime;

use super::passage::Passage;
use super::scenes::outage::NOBODY_LISTENS;
use crate::lab::faults::Fault;
use crate::lab::ledger::{Entry, Outcome};
use crate::lab::operation::Operation;
use crate::pure::failure::FailureClass;
use crate::pure::identity::InstanceId;
use crate::shelf::Status;

/// Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct Chronicle(Arc<Mutex<Record>>);

/// All of it, once it is over.
#[derive(Debug, Clone)]
pub struct Record {
    passage: Passage,
    pub began: UtcDateTime,
    pub ended: UtcDateTime,
    /// In the order in which they appeared.
    pub machines: Vec<Lane>,
    pub faults: Vec<Band>,
    pub requests: Vec<Mark>,
    /// What daemons asked while nobody listened: the lab's own ledger knows nothing of it.
    unheard: Vec<Mark>,
    /// In their order; those that were left out are not among them.
    pub steps: Vec<StepTimes>,
}

/// One machine's story.
#[derive(Debug, Clone, PartialEq)]
pub struct Lane {
    pub name: String,
    /// What its daemon said of itself from that moment on.
    pub states: Vec<(UtcDateTime, Standing)>,
    pub tokens: Vec<Token>,
    /// Requests that its daemon has found unanswered, in a row.
    unanswered: u32,
}

/// A daemon's state, with the class of the failure that it is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// There is no daemon.
    Stopped,
    Running {
        state: &'static str,
        failure: Option<String>,
    },
}

/// Credentials that a daemon published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub suffix: String,
    pub issued_at: UtcDateTime,
    pub expires_at: UtcDateTime,
}

/// Something that was wrong for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Band {
    pub what: String,
    pub from: UtcDateTime,
    /// When it was over, or is to be; `None` while nobody knows.
    pub until: Option<UtcDateTime>,
}

/// When a step of the plan was rehearsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepTimes {
    pub index: usize,
    pub began: UtcDateTime,
}

/// A request and its outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    pub at: UtcDateTime,
    pub operation: Option<Operation>,
    pub node: Option<InstanceId>,
    pub outcome: Outcome,
}

impl Chronicle {
    pub fn new(passage: Passage) -> Self {
        let began = passage.now();
        Self(Arc::new(Mutex::new(Record {
            passage,
            began,
            ended: began,
            machines: Vec::new(),
            faults: Vec::new(),
            requests: Vec::new(),
            unheard: Vec::new(),
            steps: Vec::new(),
        })))
    }

    /// What a daemon says of itself now.
    pub fn status(&self, machine: &str, status: &Status) {
        let mut record = self.record();
        let now = record.passage.now();
        let failure = status.failure.as_ref().map(|failure| failure.class.clone());
        let unanswered = match &status.failure {
            Some(failure) if failure.class == FailureClass::Unreachable.name() => failure.attempts,
            _ => 0,
        };
        let lane = record.lane(machine);
        let is_one_more = unanswered > lane.unanswered;
        lane.unanswered = unanswered;
        lane.stand(now, Standing::Running { state: status.state.name(), failure });
        if let Some(credentials) = &status.credentials {
            let token = Token {
                suffix: credentials.access_key_id_suffix.clone(),
                issued_at: credentials.issued_at.0,
                expires_at: credentials.expires_at.0,
            };
            if !lane.tokens.iter().any(|known| known.suffix == token.suffix) {
                lane.tokens.push(token);
            }
        }
        if is_one_more && record.nobody_listens() {
            record.unheard.push(Mark {
                at: now,
                operation: Some(Operation::RequestManagedInstanceRoleToken),
                node: status.instance_id.as_deref().and_then(|id| id.parse().ok()),
                outcome: Outcome::Disturbed(NOBODY_LISTENS),
            });
        }
    }

    /// The machine's daemon is gone.
    pub fn stopped(&self, machine: &str) {
        let mut record = self.record();
        let now = record.passage.now();
        record.lane(machine).stand(now, Standing::Stopped);
    }

    /// From now on something is wrong.
    pub fn wrong(&self, what: impl Into<String>) {
        let mut record = self.record();
        let from = record.passage.now();
        record.faults.push(Band { what: what.into(), from, until: None });
    }

    /// A fault stands from now on, within its own window.
    pub fn fault(&self, what: String, fault: &Fault) {
        let mut record = self.record();
        let from = fault.from.unwrap_or(record.passage.now());
        record.faults.push(Band { what, from, until: fault.until });
    }

    /// What was wrong is right again: those that `which` picks by what they are called.
    pub fn right(&self, which: impl Fn(&str) -> bool) {
        let now = self.record().passage.now();
        self.right_since(now, which);
    }

    /// The same, since that moment.
    pub fn right_since(&self, moment: UtcDateTime, which: impl Fn(&str) -> bool) {
        for band in self.record().faults.iter_mut().filter(|band| which(&band.what)) {
            // One that ended before has ended.
            let until = band.until.map_or(moment, |until| until.min(moment));
            band.until = Some(until.max(band.from));
        }
    }

    /// The step that the plan has at `index` begins now.
    pub fn step(&self, index: usize) {
        let mut record = self.record();
        let began = record.passage.now();
        record.steps.push(StepTimes { index, began });
    }

    /// It is over; these were the requests.
    pub fn close<'a>(&self, entries: impl Iterator<Item = &'a Entry>) -> Record {
        let mut record = self.record();
        let ended = record.passage.now();
        record.ended = ended;
        // What was still to come never came.
        record.faults.retain(|band| band.from < ended);
        let requests = entries.map(|entry| Mark {
            at: entry.at,
            operation: entry.operation,
            node: entry.node.clone(),
            outcome: entry.outcome.clone(),
        });
        record.requests = requests.chain(record.unheard.iter().cloned()).collect();
        record.clone()
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Record {
    fn nobody_listens(&self) -> bool {
        self.faults.iter().any(|band| band.what == NOBODY_LISTENS && band.until.is_none())
    }

    fn lane(&mut self, machine: &str) -> &mut Lane {
        if let Some(index) = self.machines.iter().position(|lane| lane.name == machine) {
            return &mut self.machines[index];
        }
        let lane = Lane {
            name: machine.to_owned(),
            states: Vec::new(),
            tokens: Vec::new(),
            unanswered: 0,
        };
        self.machines.push(lane);
        // There is one: it was just added.
        self.machines.last_mut().expect("a lane")
    }
}

impl Lane {
    fn stand(&mut self, now: UtcDateTime, standing: Standing) {
        if self.states.last().map(|(_, last)| last) != Some(&standing) {
            self.states.push((now, standing));
        }
    }
}
