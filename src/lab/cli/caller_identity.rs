//! `rolekeeper-lab caller-identity`: the rehearsal's other program.

use clap::Args;

use super::{LabError, print_json};
use crate::lab::rehearse::program::caller_identity;

/// Say who the service takes this program for, by the credentials that the AWS SDK finds.
#[derive(Debug, Args)]
#[command(
    hide = true,
    after_help = "\
Examples:
  . ./lab.env
  rolekeeper-lab caller-identity"
)]
pub struct CallerIdentity {}

impl CallerIdentity {
    pub async fn run(self) -> Result<(), LabError> {
        let caller = caller_identity().await.map_err(LabError::Caller)?;
        print_json(&serde_json::json!(caller))
    }
}
