//! The whole tour in one command: register, keep credentials fresh, and everything that operators
//! fear. Real hardware, a real key, real signed requests, a real file that another program uses. Or
//! a scenario: the same on machines made of files, in time that can be made to pass.
//!
//! ```text
//! mod        the tour, act by act
//! step       what each step of it is called, and what is expected
//! scenes/    its steps: what is done, and what was seen
//! play/      a scenario: its acts, and what can be seen
//! stage      the lab, the machines and their directories
//! fixture    a machine made of files
//! passage    time that can be made to pass
//! running    a daemon, in this process, that can be watched
//! program    another program, in a process of its own, that uses the credentials
//! report     tells a person or a script
//! chronicle  what happened and when
//! page       draws it
//! ```
//!
//! The daemon is production's own; what is rehearsed is the service's side and the machine's fate.
//! In the tour clock, chance and hardware are real too. A step whose expectation fails does not stop those
//! that do not need it. Nothing here waits for luck: each wait ends when what it waits for has
//! happened, or at a deadline, as a failed expectation.

mod chronicle;
mod fixture;
pub mod page;
mod passage;
mod play;
pub mod program;
mod report;
mod running;
mod scenes;
mod stage;
mod step;

use std::time::Duration;

use tokio::task::LocalSet;

pub use chronicle::{Chronicle, Record};
pub use play::play;
pub use report::{Form, Line, Report, Verdict};
pub use stage::{SHORT_LIFE, Stage, StageError};
pub use step::{Seen, Step, Unmet};

use running::Running;
use scenes::{activation, address, clone, credentials, outage, rotation};
use stage::{Identity, Machine};

/// The longest wait for one thing to happen. A renewal takes the longest, up to 8 s.
const PATIENCE: Duration = Duration::from_secs(30);

/// The whole tour. What it led to is in the report.
pub async fn rehearse(stage: &mut Stage, report: &mut Report) {
    report.open(stage, "Rehearsal");
    // A step that the rest cannot do without ends the tour early; the report tells of the rest. The
    // daemons run on this thread, as in production.
    let _ = LocalSet::new().run_until(tour(stage, report)).await;
}

async fn tour(stage: &mut Stage, report: &mut Report) -> Option<()> {
    let machine = stage.this_machine();
    let admission = report.step(Step::ActivationCreated, activation::create(stage)).await?;
    let registering = activation::register(stage, &machine, &admission);
    let identity = report.step(Step::Registered, registering).await?;

    daily_life(stage, report, &machine, &identity).await;
    a_clone_appears(stage, report, &machine, &identity).await;
    the_address_changes(stage, report, &machine, &identity).await;

    let refusals = activation::refused(stage, &machine, &admission);
    report.step(Step::ActivationRefused, refusals).await;
    report.step(Step::KeyRotated, rotation::asked_for(stage, &machine, &identity)).await;
    Some(())
}

/// Credentials come, are used, are renewed in time, and outlive an outage.
async fn daily_life(
    stage: &mut Stage,
    report: &mut Report,
    machine: &Machine,
    identity: &Identity,
) -> Option<()> {
    let settings = stage.settings();
    Running::during(settings, machine, async |daemon| {
        report.step(Step::CredentialsWritten, credentials::written(stage, machine, daemon)).await?;
        let used = credentials::used(stage, machine, identity);
        let caller = report.step(Step::CallerIdentity, used).await?;
        let renewed = credentials::renewed(stage, machine, daemon, caller);
        report.step(Step::Refreshed, renewed).await?;
        let before = report.step(Step::Outage, outage::endured(stage, machine, daemon)).await?;
        let over = outage::over(stage, machine, identity, daemon, &before);
        report.step(Step::Recovered, over).await
    })
    .await
}

/// A copy of the vault on another machine is refused; back on its own machine it works on.
async fn a_clone_appears(
    stage: &mut Stage,
    report: &mut Report,
    machine: &Machine,
    identity: &Identity,
) -> Option<()> {
    let refused = clone::refused(stage, machine, identity);
    let copy = report.step(Step::CloneRefused, refused).await?;
    report.step(Step::Restored, clone::restored(stage, machine, &copy, identity)).await
}

/// New IP and MAC addresses, judged by two thresholds.
async fn the_address_changes(
    stage: &mut Stage,
    report: &mut Report,
    machine: &Machine,
    identity: &Identity,
) {
    let moved = machine.with_other_addresses();
    report.step(Step::AddressChangeAccepted, address::accepted(stage, &moved)).await;
    report.step(Step::AddressChangeRefused, address::refused(stage, &moved, identity)).await;
}
