//! `rolekeeper man`

use std::path::PathBuf;

use clap::Args;

use super::{description, print};
use crate::control::Complaint;
use crate::pure::advice::Exit;

/// Write the man pages, one for each command
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  rolekeeper man /usr/local/share/man/man1")]
pub(super) struct Man {
    /// Where to; without it the main page goes to standard output
    directory: Option<PathBuf>,
}

impl Man {
    pub(super) fn execute(self) -> Result<(), Complaint> {
        let written = match &self.directory {
            Some(directory) => clap_mangen::generate_to(description(), directory),
            None => {
                let mut page = Vec::new();
                let rendered = clap_mangen::Man::new(description()).render(&mut page);
                print(&String::from_utf8_lossy(&page))?;
                rendered
            }
        };
        written.map_err(|error| {
            let directory = self.directory.unwrap_or_default();
            Complaint::new(
                Exit::CannotCreate,
                format!("{}: {error}", directory.display()),
                "name a directory that exists and can be written",
            )
        })
    }
}
