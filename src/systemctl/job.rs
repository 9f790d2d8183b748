//! A job of systemd's that goes on by itself: what its unit says of it, from time to time.

use std::time::Duration;

use super::{Systemctl, SystemctlError, Told, Trouble};
use crate::host::clock::pause;
use crate::pure::unit::ServiceName;

/// A job that systemd has taken on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// The unit, before it was asked for.
    before: Option<UnitState>,
}

/// What systemd says of a unit. What it does not say is as in a unit that runs and is well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UnitState {
    pub is_known: bool,
    active: String,
    /// How its processes ended last, and its reload.
    result: String,
    reload_result: String,
    pub has_job: bool,
}

/// What is asked for (`systemctl` 239 and newer say all of it; an older one leaves lines out).
const PROPERTIES: &str = "--property=LoadState,ActiveState,Result,ReloadResult,Job";

/// Between two looks: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How long a job is followed: five times what systemd allows a restart by default
/// (`DefaultTimeoutStopSec=` and `DefaultTimeoutStartSec=`, 90 s each).
const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// Looks in a row that may fail before the job is left to itself.
const LOOKS: u32 = 3;

impl Job {
    pub(super) fn of(before: Option<UnitState>) -> Self {
        Self { before }
    }
}

impl Systemctl {
    /// Waits for the end of a job for this unit.
    ///
    /// # Errors
    ///
    /// When it failed, or goes on for longer than anybody waits for it.
    pub async fn follow(&self, unit: &ServiceName, job: Job) -> Result<Told, SystemctlError> {
        self.end(unit, job).await.map_err(|trouble| SystemctlError {
            unit: unit.clone(),
            signal: None,
            trouble,
            output: Vec::new(),
        })
    }

    async fn end(&self, unit: &ServiceName, Job { before }: Job) -> Result<Told, Trouble> {
        let (mut waited, mut between) = (Duration::ZERO, FIRST_PAUSE);
        let mut unseen = 0;
        loop {
            match self.look(unit).await {
                Some(now) if !now.has_job => return now.outcome(before.as_ref()),
                Some(_) => unseen = 0,
                None => unseen += 1,
            }
            if unseen == LOOKS {
                return Ok(Told::Asked);
            }
            if waited >= PATIENCE {
                return Err(Trouble::Unfinished(PATIENCE));
            }
            pause(between).await;
            waited += between;
            between = (between * 2).min(LONGEST_PAUSE);
        }
    }

    /// What systemd says of the unit; nothing when it does not answer.
    pub(super) async fn look(&self, unit: &ServiceName) -> Option<UnitState> {
        let answer = self.ask(&["show", PROPERTIES, "--", unit.as_str()]).await.ok()?;
        answer.status.success().then(|| UnitState::read(&answer.output))
    }
}

impl UnitState {
    fn read(lines: &[String]) -> Self {
        let of = |name: &str| {
            let mut values = lines.iter().filter_map(|line| line.strip_prefix(name));
            values.find_map(|value| value.strip_prefix('=')).unwrap_or_default().to_owned()
        };
        Self {
            is_known: of("LoadState") != "not-found",
            active: of("ActiveState"),
            result: of("Result"),
            reload_result: of("ReloadResult"),
            // Its number, and nothing or 0 of no job.
            has_job: !["", "0"].contains(&of("Job").as_str()),
        }
    }

    /// Whether no process of it runs.
    pub fn rests(&self) -> bool {
        ["inactive", "failed"].contains(&self.active.as_str())
    }

    /// What became of the job, now that it has ended.
    fn outcome(&self, before: Option<&Self>) -> Result<Told, Trouble> {
        let failed = |result: &String| !["", "success"].contains(&result.as_str());
        if before.is_some_and(Self::rests) && self.rests() {
            return Ok(Told::NotRunning);
        }
        // One that is started again after a failed start is between two of them.
        let is_down =
            self.active == "failed" || (self.active == "activating" && failed(&self.result));
        if is_down {
            return Err(Trouble::Job { state: self.active.clone(), result: self.result.clone() });
        }
        if failed(&self.reload_result) {
            let (state, result) = (self.active.clone(), self.reload_result.clone());
            return Err(Trouble::Job { state, result });
        }
        Ok(if self.rests() { Told::NotRunning } else { Told::Reloaded })
    }
}
