//! `rolekeeper credential-process`

use clap::Args;

use super::export::Format;
use super::vended::vended;
use super::{Places, print};
use crate::control::Complaint;

/// Print credentials for credential_process of ~/.aws/config
///
/// Asks the daemon, which answers from memory to those whom a target's file or a consumer of the
/// settings names. Programs call this by themselves whenever their credentials come to an end. Exit
/// status 75 without a daemon or without usable credentials, 77 for a user who may not have them.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct CredentialProcess {
    /// A target's or a consumer's name [default: the first that this user may have]
    #[arg(long, value_name = "NAME")]
    pub(super) target: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  rolekeeper credential-process
  aws configure set credential_process '/usr/bin/rolekeeper credential-process'";

impl CredentialProcess {
    pub(super) fn execute(self, places: &Places) -> Result<(), Complaint> {
        let vended = vended(places, self.target.as_deref())?;
        print(&Format::Process.write(&vended.token)?)
    }
}
