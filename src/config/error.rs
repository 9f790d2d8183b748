//! What can be wrong with the settings, and where.

use std::io;
use std::path::PathBuf;

use crate::host::accounts::{local_name, own_uid};
use crate::pure::advice::{Advice, Exit};
use crate::pure::shell::in_shell;

/// A settings file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{}:{line}:{column}: {message}", path.display())]
    Invalid {
        path: PathBuf,
        line: usize,
        column: usize,
        message: String,
        /// It was read alone, and not as one of the usual ones.
        alone: bool,
    },
    #[error("${name}: {message}")]
    Variable { name: &'static str, message: String },
    #[error("{}: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{}: {what}", path.display())]
    NoFile { path: PathBuf, what: &'static str },
}

impl Advice for ConfigError {
    fn remedy(&self) -> String {
        match self {
            // One of several, which are judged together.
            Self::Invalid { alone: false, .. } => {
                "mend that line, then `rolekeeper config check`".to_owned()
            }
            Self::Invalid { path, .. } => {
                let path = in_shell(&path.to_string_lossy());
                format!("mend that line, then `rolekeeper config check {path}`")
            }
            Self::Variable { name, .. } => {
                format!("unset {name}, or set it to a region such as eu-central-1")
            }
            Self::Unreadable { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                "name an existing file with --config, or leave --config out".to_owned()
            }
            Self::Unreadable { path, source }
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                format!(
                    "make it readable for the user that runs rolekeeper: setfacl -m u:{}:r {}",
                    local_name(own_uid()),
                    in_shell(&path.to_string_lossy())
                )
            }
            Self::NoFile { path, .. } => {
                let path = in_shell(&path.to_string_lossy());
                format!("move it away, or give it a name that does not end in .toml: ls -ld {path}")
            }
            Self::Unreadable { path, .. } => {
                format!("look at what is there: ls -ld {}", in_shell(&path.to_string_lossy()))
            }
        }
    }

    fn exit(&self) -> Exit {
        Exit::Configuration
    }
}
