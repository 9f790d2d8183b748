//! `rolekeeper config`

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Places, print, say};
use crate::config::Settings;
use crate::control::Complaint;
use crate::daemon::Rules;

/// Check and show the settings
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:\n  rolekeeper config check\n  rolekeeper config show")]
pub(super) enum Config {
    Check(Check),
    Show(Show),
}

/// Check the settings: errors with file, line and column
///
/// A user or group that this machine does not have is a warning here and an error for the daemon.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  rolekeeper config check ./rolekeeper.toml")]
pub(super) struct Check {
    /// This file alone, instead of the ones that the daemon reads
    file: Option<PathBuf>,
}

/// Show the effective settings, each with its origin
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  rolekeeper config show")]
pub(super) struct Show {}

impl Config {
    pub(super) fn execute(self, places: &Places) -> Result<(), Complaint> {
        match self {
            Self::Check(Check { file }) => {
                let settings = match &file {
                    Some(path) => Settings::load(Some(path))?,
                    None => places.settings()?,
                };
                if let Err(error) = Rules::read(&settings, &places.directories().runtime) {
                    say(format_args!("warning: {error}"));
                }
                let files = settings.files.iter().map(|path| format!("{}: ok\n", path.display()));
                let files = files.collect::<String>();
                print(if files.is_empty() { "no settings file: defaults\n" } else { &files })
            }
            Self::Show(Show {}) => print(&places.settings()?.show()),
        }
    }
}
