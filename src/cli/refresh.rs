//! `rolekeeper refresh`

use std::time::Duration;

use clap::Args;

use super::{Places, print};
use crate::connection::OPERATION_TIMEOUT;
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
    let progress = places.progress();
    progress.begin("waiting for the daemon", Some(longest(command)));
    match progress.during(control::ask(&places.directories_to_ask().runtime, command)).await? {
        Reply::Done(sentence) => print(&format!("{sentence}\n")),
        Reply::Status(_) | Reply::Refused(_) => Ok(()),
    }
}

/// A request of the daemon's own may be under way; then come those that the command needs.
fn longest(command: &Command) -> Duration {
    let requests = match command {
        Command::Status => 0,
        Command::Reload | Command::SetThreshold { .. } => 1,
        Command::Refresh | Command::AcceptFingerprint => 2,
        // Publish, prove, and once more with the old key.
        Command::RotateKey => 4,
    };
    requests * OPERATION_TIMEOUT
}
