//! `rolekeeper reload`

use clap::Args;

use super::Places;
use super::refresh::ask;
use crate::control::{self, Command, Complaint, Reply};

/// Have the daemon read its settings again, and wait for the outcome
///
/// Targets, consumers, roles, rules, endpoints and the way to AWS are in force when this returns. Only the
/// source of the machine's own credentials waits for the next start. Settings that cannot be used change
/// nothing. A mistake in one target or consumer disables that one alone.
///
/// Exit status 78 when the settings were refused, anything in them is disabled, or anything is not in
/// force; 73 when a target's file or a consumer's token file was not written; 69 when an endpoint does not
/// listen. The rest is in force then. systemctl reload rolekeeper calls this.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  rolekeeper config check && rolekeeper reload")]
pub(super) struct Reload {}

impl Reload {
    pub(super) async fn execute(self, places: &Places) -> Result<(), Complaint> {
        let outcome = ask(places, &Command::Reload).await;
        if outcome.is_err()
            && let Ok(Reply::Status(status)) =
                control::ask(&places.directories_to_ask().runtime, &Command::Status).await
            // Settings that were refused have disabled nothing.
            && status.settings.is_none()
            && status.disabled.len() > 1
        {
            // The error has room for the first.
            super::config::list(&status.disabled)?;
        }
        outcome
    }
}
