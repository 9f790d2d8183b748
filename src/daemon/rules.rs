//! What the settings say about programs that ask, for the tasks that answer them.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::watch;

use super::DaemonError;
use super::access::access;
use crate::config::{ConsumerSettings, Settings, TokenFileSettings};
use crate::endpoints::TokenFile;
use crate::host::accounts::{self, UnknownAccount};
use crate::host::replace;
use crate::pure::access::Access;

/// Who may have what, and by which tokens some are known. Names have become numbers.
#[derive(Debug, Clone)]
pub struct Rules {
    pub access: Access,
    pub token_files: Vec<TokenFile>,
    /// Where the container endpoint and the IMDS endpoint are to listen.
    listen: [Option<SocketAddr>; 2],
}

/// The rules that are in force: the driver puts new ones in, everybody else reads.
#[derive(Debug)]
pub(super) struct Rulebook {
    access: watch::Sender<Arc<Access>>,
    token_files: watch::Sender<Vec<TokenFile>>,
    /// Holds from start to end.
    listen: [Option<SocketAddr>; 2],
}

impl Rules {
    /// The rules that the settings make.
    ///
    /// # Errors
    ///
    /// A user or a group that this machine does not have.
    pub fn read(settings: &Settings, runtime_dir: &Path) -> Result<Self, DaemonError> {
        let files = settings.consumers.iter().filter_map(|consumer| {
            let file = consumer.token_file.as_ref()?;
            Some(token_file(consumer, file).map_err(|source| DaemonError::Account {
                origin: consumer.origin.clone(),
                kind: "consumer",
                name: consumer.name.clone(),
                source,
            }))
        });
        Ok(Self {
            access: access(settings, runtime_dir)?,
            token_files: files.collect::<Result<_, _>>()?,
            listen: [settings.container_listen.value, settings.imds_listen.value],
        })
    }
}

impl Rulebook {
    pub(super) fn new(rules: Rules) -> Self {
        Self {
            access: watch::Sender::new(Arc::new(rules.access)),
            token_files: watch::Sender::new(rules.token_files),
            listen: rules.listen,
        }
    }

    /// Rules to go by from now on.
    pub(super) fn put(&self, rules: Rules) {
        self.access.send_replace(Arc::new(rules.access));
        self.token_files.send_replace(rules.token_files);
        if rules.listen != self.listen {
            tracing::warn!("[endpoint] has changed: the addresses hold from the next start on");
        }
    }

    pub(super) fn access(&self) -> watch::Receiver<Arc<Access>> {
        self.access.subscribe()
    }

    pub(super) fn token_files(&self) -> watch::Receiver<Vec<TokenFile>> {
        self.token_files.subscribe()
    }
}

fn token_file(
    consumer: &ConsumerSettings,
    file: &TokenFileSettings,
) -> Result<TokenFile, UnknownAccount> {
    let owner = file.owner.as_deref().map(accounts::user).transpose()?;
    let group = file.group.as_deref().map(accounts::group).transpose()?;
    Ok(TokenFile {
        consumer: consumer.name.clone(),
        path: file.path.clone(),
        access: replace::Access { mode: file.mode, owner, group },
    })
}
