//! The service fails, is gone, and comes back.

use std::fs;

use crate::control::Command;
use crate::lab::faults::{Effect, Fault};
use crate::lab::rehearse::program::use_credentials;
use crate::lab::rehearse::running::Running;
use crate::lab::rehearse::stage::{Identity, LONG_LIFE, Machine, Stage};
use crate::lab::rehearse::{Seen, Unmet};
use crate::pure::failure::FailureClass;
use crate::pure::secret::Secret;
use crate::shelf::{State, Status};

/// How the picture calls a service that is gone.
pub const NOBODY_LISTENS: &str = "connections refused";

/// What the file held through the outage.
pub type FileBytes = Secret<Vec<u8>>;

/// First the service answers 500, then nobody listens; the credentials that are there stay.
pub async fn endured(
    stage: &mut Stage,
    machine: &Machine,
    daemon: &mut Running,
) -> Result<Seen<FileBytes>, Unmet> {
    stage.lab.with_service(|service| service.token_lifetime = LONG_LIFE);
    daemon.order(Command::Refresh).await?;
    daemon.credentials(None).await?;
    let before = bytes(machine)?;
    let kept = |during: &str| {
        Unmet::unless(bytes(machine)? == before, || format!("{during} changed the file"))
    };

    let fault = Fault::always(Effect::Status { status: 500, code: None });
    stage.lab.with_service(|service| service.faults.add(fault))?;
    stage.chronicle.wrong("status 500");
    let told = daemon.order(Command::Refresh).await;
    Unmet::unless(told.is_err(), || "a refresh during the outage succeeded".to_owned())?;
    daemon.until(|status| fails_by(status, FailureClass::ServiceFault)).await?;
    kept("the 500s")?;

    stage.lab.stop_listening().await?;
    stage.chronicle.right(|_| true);
    stage.chronicle.wrong(NOBODY_LISTENS);
    stage.lab.with_service(|service| service.faults.clear());
    daemon.until(|status| fails_by(status, FailureClass::Unreachable)).await?;
    kept("the refused connections")?;
    let size = before.expose().len();
    let text = format!("service-fault, then unreachable; stale; the file's {size} bytes as before");
    Ok(Seen::that(text).with(before))
}

/// The service listens again, and nobody tells the daemon.
pub async fn over(
    stage: &mut Stage,
    machine: &Machine,
    identity: &Identity,
    daemon: &mut Running,
    before: &FileBytes,
) -> Result<Seen, Unmet> {
    stage.lab.resume_listening()?;
    stage.chronicle.right(|_| true);
    daemon.until(|status| (status.state == State::Fresh).then_some(())).await?;
    Unmet::unless(bytes(machine)? != *before, || "the file is the old one".to_owned())?;
    let caller = use_credentials(stage, machine).await?;
    let same = caller.arn.ends_with(identity.instance_id.as_str());
    Unmet::unless(same, || caller.arn.clone())?;
    let suffix = caller.access_key_id_suffix;
    Ok(Seen::that(format!("fresh by itself; access key ...{suffix}, accepted by the service")))
}

fn fails_by(status: &Status, class: FailureClass) -> Option<()> {
    let failure = status.failure.as_ref()?;
    (status.state == State::Stale && failure.class == class.name()).then_some(())
}

fn bytes(machine: &Machine) -> std::io::Result<FileBytes> {
    fs::read(machine.target().path).map(Secret::new)
}
