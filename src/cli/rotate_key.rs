//! `rolekeeper rotate-key`

use clap::Args;

use super::refresh::ask;
use super::{Places, local, print};
use crate::connection::OPERATION_TIMEOUT;
use crate::control::{Command, Complaint};
use crate::daemon::{RotationOutcome, registered_region, rotate};
use crate::pure::advice::Exit;
use crate::vault::Vault;

/// Replace the RSA key: staged in the vault, published, proven, promoted
///
/// The daemon does it; without one, the command does it itself. However it is interrupted, the vault
/// holds the key that the service holds.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  rolekeeper rotate-key")]
pub(super) struct RotateKey {}

impl RotateKey {
    pub(super) async fn execute(self, places: &Places) -> Result<(), Complaint> {
        if local::daemon_runs(places) {
            return ask(places, &Command::RotateKey).await;
        }
        let settings = places.hybrid_settings()?;
        let mut vault = Vault::open(&places.directories().state)?;
        let similarity = local::similarity(&vault)?;
        if !similarity.is_accepted() {
            return Err(Complaint::new(
                Exit::Refused,
                format!("hardware {similarity}: the key is not replaced"),
                "rolekeeper fingerprint diff",
            ));
        }
        let region = registered_region(&settings, &vault.registration()?, &vault)?;
        let ssm = local::ssm(&settings, region).await?;
        let fingerprint = vault.fingerprint_record()?.fingerprint;
        let progress = places.progress();
        let what = format!("replacing the key at {}", ssm.endpoint());
        progress.begin(what, Some(3 * OPERATION_TIMEOUT));
        match progress.during(rotate(&mut vault, &ssm, fingerprint)).await? {
            RotationOutcome::Promoted { .. } => print("the RSA key was replaced\n"),
            RotationOutcome::Abandoned { .. } => Err(Complaint::new(
                Exit::Refused,
                "the service refused the new key and keeps the old one",
                "rolekeeper rotate-key once more",
            )),
            RotationOutcome::Waits { because, .. } => Err(Complaint::new(
                Exit::TryAgain,
                format!("the key rotation is not over: {because}"),
                "rolekeeper run, or this command again later: both keys are kept",
            )),
        }
    }
}
