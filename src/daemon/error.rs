//! Why a daemon cannot start.

use std::io;
use std::path::PathBuf;

use super::OtherRegion;
use crate::config::Origin;
use crate::connection::UnusableConnection;
use crate::host::accounts::UnknownAccount;
use crate::pure::advice::{Advice, Exit};
use crate::sources::UnusableVariables;
use crate::ssm::SsmError;
use crate::vault::VaultError;

/// Why a daemon cannot start.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    #[error("{origin}: {kind} '{name}': {source}")]
    Account { origin: Origin, kind: &'static str, name: String, source: UnknownAccount },
    #[error("no endpoint is named that gives this container its credentials")]
    NoContainer,
    #[error("roles cannot be assumed without a region")]
    NoRegion,
    #[error("{origin}: consumer '{consumer}': there is no target '{target}'")]
    NoTarget { origin: Origin, consumer: String, target: String },
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

impl Advice for DaemonError {
    fn remedy(&self) -> String {
        match self {
            Self::Account { source, .. } => {
                format!("create the {0}, or name another in the settings", source.kind)
            }
            Self::NoTarget { .. } => "name a [[target]] of the settings, or none".to_owned(),
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
            Self::Socket { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => {
                    "create the runtime directory, or give another --runtime-dir".to_owned()
                }
                _ => "run as the directory's owner, or give another --runtime-dir".to_owned(),
            },
            Self::Vault(error) => error.remedy(),
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Account { .. }
            | Self::NoContainer
            | Self::NoRegion
            | Self::NoTarget { .. }
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
