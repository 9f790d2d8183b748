//! A copy of the vault, on a machine that it does not belong to, and back.

use crate::lab::rehearse::program::use_credentials;
use crate::lab::rehearse::running::Running;
use crate::lab::rehearse::scenes::credentials::{in_file, not_in_file};
use crate::lab::rehearse::stage::{Identity, Machine, NOT_THIS_MACHINE, Stage, now};
use crate::lab::rehearse::{Seen, Unmet};
use crate::shelf::{Moment, State};

/// Hibernation's first pause is 10 min; a little of it may have passed.
const HIBERNATION: time::Duration = time::Duration::minutes(9);

/// The clone's hash differs, so it asks as a stranger, is refused where the owner of the fleet can
/// see it, and takes the copied credentials out of its file.
pub async fn refused(
    stage: &Stage,
    machine: &Machine,
    identity: &Identity,
) -> Result<Seen<Machine>, Unmet> {
    let clone = stage.clone_of(machine)?;
    let reason = turned_away(stage, &clone, identity).await?;
    Ok(Seen::that(reason).with(clone))
}

/// The same copy on the hardware that registered.
pub async fn restored(
    stage: &Stage,
    machine: &Machine,
    clone: &Machine,
    identity: &Identity,
) -> Result<Seen, Unmet> {
    let restored = clone.on_hardware_of(machine);
    Running::during(stage.settings(), &restored, async |daemon| {
        let credentials = daemon.credentials(None).await?;
        in_file(&restored, &credentials)?;
        let now = restored.identity()?;
        let same = now.instance_id == identity.instance_id
            && now.fingerprint.fingerprint == identity.fingerprint.fingerprint;
        Unmet::unless(same, || format!("now it is {}", now.instance_id))?;
        let caller = use_credentials(stage, &restored).await?;
        Unmet::unless(caller.arn.ends_with(identity.instance_id.as_str()), || caller.arn.clone())?;
        let (id, fingerprint) = (now.instance_id, now.fingerprint.fingerprint);
        Ok(Seen::that(format!("{id}, fingerprint {fingerprint}; its credentials work")))
    })
    .await
}

/// A daemon on a machine that is not the registered one: refused by the service, in mismatch, and
/// without credentials. What the service and the fingerprint said.
pub async fn turned_away(
    stage: &Stage,
    machine: &Machine,
    identity: &Identity,
) -> Result<String, Unmet> {
    let refusals = stage.refusals(&identity.instance_id);
    Running::during(stage.settings(), machine, async |daemon| {
        let status = daemon
            .until(|status| {
                let settled = status.failure.is_some() || status.credentials.is_some();
                settled.then(|| status.clone())
            })
            .await?;
        let state = status.state;
        Unmet::unless(state == State::Mismatch, || format!("the daemon is {}", state.name()))?;
        let told = stage.refusals(&identity.instance_id) > refusals;
        Unmet::unless(told, || format!("the service has not said {NOT_THIS_MACHINE}"))?;
        let next = status.failure.and_then(|failure| failure.next_try_at);
        let pause = next.map(|Moment(at)| at - now()).unwrap_or_default();
        let hibernates = pause > HIBERNATION;
        Unmet::unless(hibernates, || format!("it asks again in {} s", pause.whole_seconds()))?;
        not_in_file(machine)?;
        let fingerprint =
            status.fingerprint.ok_or_else(|| Unmet("no look at the hardware".to_owned()))?;
        Ok(format!(
            "{}, {} % the same, changed {}: the service said {NOT_THIS_MACHINE}; no credentials in \
             the file; next request in {} min",
            fingerprint.verdict,
            fingerprint.score,
            fingerprint.changed.join(", "),
            pause.whole_minutes(),
        ))
    })
    .await
}
