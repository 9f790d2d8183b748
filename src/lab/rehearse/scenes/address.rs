//! The machine gets other addresses: enough else agrees, or not, by the operator's threshold.

use crate::lab::rehearse::running::Running;
use crate::lab::rehearse::scenes::clone::turned_away;
use crate::lab::rehearse::scenes::credentials::in_file;
use crate::lab::rehearse::stage::{Identity, Machine, Stage};
use crate::lab::rehearse::{Seen, Unmet};
use crate::pure::fingerprint::SimilarityThreshold;
use crate::vault::Vault;

/// More than a machine with new addresses can reach: 7 of 9 attributes are 77 percent.
const STRICT: SimilarityThreshold = SimilarityThreshold::Percent(95);

/// At the usual threshold it is the same machine.
pub async fn accepted(stage: &Stage, moved: &Machine) -> Result<Seen, Unmet> {
    set_threshold(moved, SimilarityThreshold::default())?;
    Running::during(stage.settings(), moved, async |daemon| {
        let credentials = daemon.credentials(None).await?;
        in_file(moved, &credentials)?;
        let fingerprint = daemon.until(|status| status.fingerprint.clone()).await?;
        let changed = fingerprint.changed.join(", ");
        Ok(Seen::that(format!(
            "{}: {} % the same, {} % needed, changed {changed}; credentials renewed",
            fingerprint.verdict, fingerprint.score, fingerprint.threshold,
        )))
    })
    .await
}

/// At a strict threshold it is another one.
pub async fn refused(stage: &Stage, moved: &Machine, identity: &Identity) -> Result<Seen, Unmet> {
    set_threshold(moved, STRICT)?;
    let reason = turned_away(stage, moved, identity).await;
    set_threshold(moved, SimilarityThreshold::default())?;
    Ok(Seen::that(reason?))
}

fn set_threshold(machine: &Machine, threshold: SimilarityThreshold) -> Result<(), Unmet> {
    Ok(Vault::open(&machine.directories.state)?.set_threshold(threshold)?)
}
