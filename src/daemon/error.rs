//! Why a daemon cannot start.

use std::io;
use std::path::PathBuf;

use super::OtherRegion;
use crate::connection::UnusableConnection;
use crate::host::accounts::{local_name, own_uid};
use crate::pure::advice::{Advice, Exit};
use crate::pure::shell::in_shell;
use crate::sources::UnusableVariables;
use crate::ssm::SsmError;
use crate::vault::VaultError;

/// Why a daemon cannot start.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    #[error("no endpoint is named that gives this container its credentials")]
    NoContainer,
    #[error("roles cannot be assumed without a region")]
    NoRegion,
    #[error("{}: another daemon answers here", path.display())]
    Occupied { path: PathBuf },
    #[error("{url}: that is this daemon's own endpoint, and it would ask itself")]
    OwnEndpoint { url: String },
    #[error(transparent)]
    OtherRegion(#[from] OtherRegion),
    #[error(transparent)]
    Connection(#[from] SsmError),
    #[error("{}: {source}", path.display())]
    Socket { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Unusable(#[from] UnusableConnection),
    #[error(transparent)]
    Variables(#[from] UnusableVariables),
    #[error(transparent)]
    Vault(#[from] VaultError),
}

impl DaemonError {
    /// Whether other settings would help, and not only another time.
    pub fn is_of_settings(&self) -> bool {
        match self {
            Self::NoContainer
            | Self::NoRegion
            | Self::OtherRegion(_)
            | Self::OwnEndpoint { .. }
            | Self::Unusable(_)
            | Self::Variables(_) => true,
            Self::Connection(_) | Self::Occupied { .. } | Self::Socket { .. } | Self::Vault(_) => {
                false
            }
        }
    }
}

impl Advice for DaemonError {
    fn remedy(&self) -> String {
        match self {
            Self::NoContainer => {
                "run in ECS, EKS or CloudShell, which set AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or \
                 AWS_CONTAINER_CREDENTIALS_FULL_URI; or set container_credentials_url in [identity]"
                    .to_owned()
            }
            Self::NoRegion => "set region in [service], or AWS_REGION".to_owned(),
            Self::OwnEndpoint { .. } => {
                "name another in [identity], or keep the variable from this service".to_owned()
            }
            Self::OtherRegion(error) => error.remedy(),
            Self::Variables(error) => error.remedy(),
            Self::Connection(_) | Self::Unusable(_) => {
                "check [identity] and [service] in the settings: rolekeeper config show".to_owned()
            }
            Self::Occupied { .. } => {
                "rolekeeper status, to see which; stop it, or give another --runtime-dir".to_owned()
            }
            Self::Socket { path, source } => {
                let directory = path.parent().unwrap_or(path).to_string_lossy();
                let (user, directory) = (local_name(own_uid()), in_shell(&directory));
                match source.kind() {
                    io::ErrorKind::NotFound => {
                        format!("install -d -m 0755 -o {user} {directory}")
                    }
                    _ => format!(
                        "run it as the owner of {directory}, whom ls -ld {directory} shows, or give \
                         another --runtime-dir"
                    ),
                }
            }
            Self::Vault(error) => error.remedy(),
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::NoContainer
            | Self::NoRegion
            | Self::OwnEndpoint { .. }
            | Self::Unusable(_)
            | Self::Variables(_) => Exit::Configuration,
            Self::OtherRegion(error) => error.exit(),
            Self::Connection(error) => error.exit(),
            Self::Occupied { .. } => Exit::TryAgain,
            Self::Socket { .. } => Exit::CannotCreate,
            Self::Vault(error) => error.exit(),
        }
    }
}
