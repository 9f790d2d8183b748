//! `rolekeeper completions`

use clap::Args;
use clap_complete::Shell;

use super::{description, print};
use crate::control::Complaint;

/// Print a completion script for a shell
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  rolekeeper completions bash > /etc/bash_completion.d/rolekeeper"
)]
pub(super) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(super) fn execute(self) -> Result<(), Complaint> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut description(), "rolekeeper", &mut script);
        print(&String::from_utf8_lossy(&script))
    }
}
