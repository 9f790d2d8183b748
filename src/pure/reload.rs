//! When a service is told that there are new credentials, because its program would not notice.
//!
//! ```text
//!             Renewed                    its time has come           accepted
//!   IDLE ────────────────► WANTED ─────────────────────────► RUNNING ──────────► UNDER WAY
//!    ▲ ▲                    │  ▲                              │   │                │   │
//!    │ └────────────────────┘  │  failed, or Renewed meanwhile│   │                │   │
//!    │   Withdrawn             └──────────────────────────────┴───────────────────┘   │
//!    └────────────────────────────────────────────────────────────┴───────────────────┘
//!                                 done
//! ```
//!
//! Its time has come when the jitter has passed since the first renewal, and [`Pace::min_interval`]
//! since the last run that the service may have heard of. The latter yields where the program would be
//! left with dead credentials: it holds those that were replaced, so the hook runs before they end.
//! Once the service manager has accepted a run, its news are told, however long the service takes over them
//! and whatever becomes of this process. Renewals during a wait are one with it. A run that failed is repeated, later each time. Credentials
//! that are withdrawn are no reason to run: there is nothing to load.
//!
//! Times are those since boot: no step of a clock shortens or lengthens a wait.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::jitter::Jitter;
use super::unit::{ServiceName, SignalName};

/// What a target wants done once it has new credentials. Targets that want the same share a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reload {
    pub unit: ServiceName,
    /// Sent to the service's main process; without one the service is reloaded, or restarted where it
    /// cannot reload.
    pub signal: Option<SignalName>,
    pub pace: Pace,
}

/// How often, and how far apart on different machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// At least this much between the beginnings of two runs. One that failed does not count: it has a
    /// pace of its own.
    pub min_interval: Duration,
    /// A run comes up to this much later than it could.
    pub jitter: Duration,
}

/// What happens to a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A target's file holds other credentials than before. Those would have been good for `left`;
    /// nothing when there were none.
    Renewed { target: String, left: Duration },
    /// A target's file holds none any more.
    Withdrawn { target: String },
    /// The service manager has taken the run on, and will see to it.
    Accepted,
    /// The run that was asked for has ended.
    Ended(Outcome),
    /// The operator may have mended what made it fail.
    Mended,
    /// Time has passed.
    Deadline,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The service was told, or is not running and will read the file when it starts.
    Done,
    Failed,
    /// Nobody knows what became of it, and it may still be under way.
    Unanswered,
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Tell the service; [`Event::Ended`] follows.
    Run,
}

/// One hook.
#[derive(Debug)]
pub struct Hook {
    pace: Pace,
    wanted: Option<Wanted>,
    running: Option<Running>,
    /// When the last run began that the service may have heard of.
    last: Option<Duration>,
    /// After a failure: not before this.
    retry_at: Duration,
    failures: u32,
}

/// What the hook of the next process has to know.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// When the last run began that the service may have heard of.
    last: Option<Duration>,
    /// Targets whose news the program may not have been told of.
    untold: BTreeSet<String>,
    /// Soon after this, what the program holds is dead.
    by: Duration,
}

/// Targets whose news the program has not been told of.
#[derive(Debug)]
struct Wanted {
    targets: BTreeSet<String>,
    /// The first renewal, and the jitter.
    not_before: Duration,
    /// Soon after this, what the program holds is dead.
    by: Duration,
}

/// What a program has left to load new credentials before the old ones end.
const MARGIN: Duration = Duration::from_secs(60);

/// Between two runs, even where a program holds nothing usable. A service that is restarted more often
/// would never work, and systemd gives up after five starts in ten seconds (`DefaultStartLimitBurst=`).
const LEAST_GAP: Duration = Duration::from_secs(60);

/// A run that has not ended.
#[derive(Debug)]
struct Running {
    /// What it tells.
    news: Wanted,
    began: Duration,
    accepted: bool,
}

/// After a first failure. The wait doubles, and is spread over its upper half.
const FIRST_RETRY: Duration = Duration::from_secs(60);

/// How soon what was mended is tried. Settings that are read again bring new credentials, within
/// seconds as a rule: one run tells of both.
const MENDED: Duration = Duration::from_secs(3);

/// What a failure waits at most: a half of the half hour that credentials last after their renewal.
const LONGEST_RETRY: Duration = Duration::from_secs(15 * 60);

impl Hook {
    /// Goes on where the process before stopped. A memory of another boot says little, and does no
    /// harm.
    pub fn new(pace: Pace, before: Memory, jitter: Jitter, now: Duration) -> Self {
        let Memory { last, untold: targets, by } = before;
        let not_before = now.saturating_add(jitter.of(pace.jitter));
        let wanted = (!targets.is_empty()).then_some(Wanted { targets, not_before, by });
        let last = last.filter(|last| *last <= now);
        Self { pace, wanted, running: None, last, retry_at: Duration::ZERO, failures: 0 }
    }

    /// For the next process, should this one end now. A run under way may end with it.
    pub fn memory(&self) -> Memory {
        let running = self.running.as_ref();
        let unaccepted = running.filter(|run| !run.accepted).map(|run| &run.news);
        let untold = self.wanted.iter().chain(unaccepted);
        Memory {
            last: running.map(|run| run.began).or(self.last),
            untold: untold.clone().flat_map(|waiting| waiting.targets.iter().cloned()).collect(),
            by: untold.map(|waiting| waiting.by).min().unwrap_or_default(),
        }
    }

    /// Takes a new pace over. Of the targets that are not among these any more, nothing is left to tell.
    pub fn serve(&mut self, pace: Pace, targets: &BTreeSet<String>) {
        self.pace = pace;
        self.retain(|target| targets.contains(target));
    }

    /// Says what follows from an event. Calling it too often is harmless.
    #[must_use]
    pub fn handle(&mut self, event: Event, jitter: Jitter, now: Duration) -> Option<Action> {
        match event {
            Event::Renewed { target, left } => self.want(target, left, jitter, now),
            Event::Withdrawn { target } => self.retain(|other| *other != target),
            Event::Accepted => self.running.iter_mut().for_each(|run| run.accepted = true),
            Event::Ended(outcome) => self.end(outcome, jitter, now),
            Event::Mended => self.retry_at = self.retry_at.min(now.saturating_add(MENDED)),
            Event::Deadline => {}
        }
        self.run_if_due(now)
    }

    /// When it will run, if it waits for its time; [`Event::Deadline`] is due then.
    pub fn next_run(&self) -> Option<Duration> {
        let wanted = self.wanted.as_ref().filter(|_| self.running.is_none())?;
        let paced = self.last.map_or(Duration::ZERO, |last| {
            let urgent = wanted.by.max(last.saturating_add(LEAST_GAP));
            last.saturating_add(self.pace.min_interval).min(urgent)
        });
        Some(wanted.not_before.max(paced).max(self.retry_at))
    }

    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// In a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    fn want(&mut self, target: String, left: Duration, jitter: Jitter, now: Duration) {
        let not_before = now.saturating_add(jitter.of(self.pace.jitter));
        let by = now.saturating_add(left.saturating_sub(MARGIN));
        let news = Wanted { targets: BTreeSet::from([target]), not_before, by };
        self.wanted = Some(news.with(self.wanted.take()));
    }

    fn run_if_due(&mut self, now: Duration) -> Option<Action> {
        self.next_run().filter(|at| *at <= now)?;
        let running = |news| Running { news, began: now, accepted: false };
        self.running = self.wanted.take().map(running);
        Some(Action::Run)
    }

    fn end(&mut self, outcome: Outcome, jitter: Jitter, now: Duration) {
        // What was never asked for does not end.
        let Some(Running { news: run, began, .. }) = self.running.take() else { return };
        if outcome != Outcome::Failed {
            self.last = Some(began);
        }
        if outcome == Outcome::Done {
            self.failures = 0;
            self.retry_at = Duration::ZERO;
            return;
        }
        let mut wait = self.retry_delay(jitter);
        if outcome == Outcome::Unanswered {
            wait = wait.max(self.pace.min_interval);
        }
        self.failures = self.failures.saturating_add(1);
        self.retry_at = now.saturating_add(wait);
        if !run.targets.is_empty() {
            self.wanted = Some(run.with(self.wanted.take()));
        }
    }

    /// Leaves nothing to tell of other targets than these.
    fn retain(&mut self, among: impl Fn(&String) -> bool) {
        let running = self.running.as_mut().map(|run| &mut run.news);
        for waiting in self.wanted.iter_mut().chain(running) {
            waiting.targets.retain(&among);
        }
        self.wanted.take_if(|wanted| wanted.targets.is_empty());
    }

    fn retry_delay(&self, jitter: Jitter) -> Duration {
        let wait = FIRST_RETRY.saturating_mul(1 << self.failures.min(16)).min(LONGEST_RETRY);
        wait / 2 + jitter.of(wait / 2)
    }
}

impl Wanted {
    /// Two waits become one, which ends when the earlier one does.
    fn with(mut self, other: Option<Self>) -> Self {
        if let Some(mut other) = other {
            self.targets.append(&mut other.targets);
            self.not_before = self.not_before.min(other.not_before);
            self.by = self.by.min(other.by);
        }
        self
    }
}

#[cfg(test)]
mod tests;
