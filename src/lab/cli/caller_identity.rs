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
pub struct CallerIdentity {
    /// How far this program's clock is off, in seconds
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    clock_offset: i64,
}

impl CallerIdentity {
    pub async fn run(self) -> Result<(), LabError> {
        let caller = caller_identity(time::Duration::seconds(self.clock_offset))
            .await
            .map_err(LabError::Caller)?;
        print_json(&serde_json::json!(caller))
    }
}
