//! Plays a scenario: each step's acts in order, then what it expects, until all of it holds at one
//! moment or the step's patience is over. A step that fails ends the play: the rest builds on it.

mod company;
mod perform;
mod sight;

use std::time::Duration;

use tokio::task::LocalSet;

use super::stage::Stage;
use super::{Report, Seen, Unmet};
use crate::host::clock::{Clock, SystemClock, pause};
use crate::lab::scenario::{Scenario, Step};

use company::Company;
use sight::Before;

/// How often it is looked whether an expectation holds.
const LOOK: Duration = Duration::from_millis(20);

/// The same where a program has to be started to see it.
const PROGRAM_LOOK: Duration = Duration::from_millis(300);

/// What a command of the operator's came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// `None` while there is no answer.
    pub exit: Option<u8>,
    pub message: String,
}

/// Plays it to its end or to the first failure. What it led to is in the report.
pub async fn play(stage: &mut Stage, scenario: &Scenario, report: &mut Report) {
    report.open(stage, &format!("Scenario {}", scenario.name));
    // The daemons run on this thread, as in production.
    LocalSet::new().run_until(all_steps(stage, scenario, report)).await;
}

async fn all_steps(stage: &mut Stage, scenario: &Scenario, report: &mut Report) {
    let mut company = match Company::gather(stage, scenario) {
        Ok(company) => company,
        Err(unmet) => {
            report.play::<()>(0, async { Err(unmet) }).await;
            return;
        }
    };
    for (index, step) in scenario.steps.iter().enumerate() {
        let held = report.play(index, rehearsed(&mut company, step)).await;
        company.close_faults();
        if held.is_none() {
            break;
        }
    }
    company.dismiss().await;
}

async fn rehearsed(company: &mut Company<'_>, step: &Step) -> Result<Seen, Unmet> {
    let before = Before::look(company, step);
    let mut outcome = None;
    for act in &step.acts {
        outcome = company.perform(act, step).await?.or(outcome);
    }
    let patience = SystemClock.since_boot() + step.within;
    loop {
        let sight = company.look(step, &before, outcome.as_ref()).await?;
        if sight.holds() {
            return Ok(Seen::that(sight.in_words()));
        }
        if sight.is_hopeless() || SystemClock.since_boot() >= patience {
            return Err(Unmet(sight.in_words()));
        }
        let interval = if step.expect.call.is_some() { PROGRAM_LOOK } else { LOOK };
        pause(interval).await;
    }
}
