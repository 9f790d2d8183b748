//! `rolekeeper refresh`

use clap::Args;

use super::{Places, print};
use crate::control::{self, Command, Complaint, Reply};

/// Wake the daemon now, also out of hibernation, and wait for the outcome
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  rolekeeper refresh")]
pub(super) struct Refresh {}

impl Refresh {
    pub(super) async fn execute(self, places: &Places) -> Result<(), Complaint> {
        ask(places, &Command::Refresh).await
    }
}

/// Asks the daemon for something, and prints what it says.
pub(super) async fn ask(places: &Places, command: &Command) -> Result<(), Complaint> {
    match control::ask(&places.directories().runtime, command).await? {
        Reply::Done(sentence) => print(&format!("{sentence}\n")),
        Reply::Status(_) | Reply::Refused(_) => Ok(()),
    }
}
