//! What the settings say about programs that ask, for the tasks that answer them.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use nix::unistd::{Gid, Uid};
use tokio::sync::watch;

use super::access::{access, own_ids, remedy, report};
use super::accounts::Accounts;
use super::targets::{Outlets, resolved};
use crate::config::{ConsumerSettings, Settings, TokenFileSettings};
use crate::endpoints::TokenFile;
use crate::host::accounts::AccountError;
use crate::host::replace;
use crate::pure::access::Access;
use crate::pure::disabled::{Disabled, Kind};
use crate::shelf::Warning;
use crate::targets::{Target, is_same_file};

/// Who may have what, where it is written, and by which tokens some are known. Names have become
/// numbers, and what could not be served is named.
#[derive(Debug, Clone)]
pub struct Rules {
    pub access: Access,
    pub token_files: Vec<TokenFile>,
    /// What is wrong with single targets and consumers.
    pub disabled: Vec<Disabled>,
    pub(super) outlets: Outlets,
    /// Targets that are in the settings and not served: their names and files, as far as these can be
    /// read.
    unserved: Vec<(Option<String>, Option<std::path::PathBuf>)>,
    pub(super) listen: Listen,
}

/// The consumers' token files, and whether there is an endpoint that their tokens open.
#[derive(Debug, Clone)]
pub(super) struct TokenFiles {
    pub files: Vec<TokenFile>,
    pub has_endpoint: bool,
}

/// Where the endpoints are to listen; one that is `None` is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Listen {
    pub container: Option<SocketAddr>,
    pub imds: Option<SocketAddr>,
}

/// The rules that are in force: the driver puts new ones in, everybody else reads.
#[derive(Debug)]
pub(super) struct Rulebook {
    access: watch::Sender<Arc<Access>>,
    token_files: watch::Sender<TokenFiles>,
    listen: watch::Sender<Listen>,
}

impl Rules {
    /// The rules that the settings make. Takes as long as the account database does.
    pub fn read(settings: &Settings, runtime_dir: &Path) -> Self {
        Self::of(settings, runtime_dir, &Accounts::look_up(settings))
    }

    /// The rules that the settings make with these accounts.
    pub fn of(settings: &Settings, runtime_dir: &Path, accounts: &Accounts) -> Self {
        let mut disabled = Vec::new();
        let targets = resolved(settings, runtime_dir, accounts);
        let access = access(settings, &targets, accounts, own_ids(), &mut disabled);
        let mut token_files = Vec::new();
        for consumer in &settings.consumers {
            let Some(file) = &consumer.token_file else { continue };
            // Where the consumer is not served, neither is its token.
            if access.bearer(&consumer.name).is_none() {
                continue;
            }
            // The default target's, which stands in no table.
            let is_a_target =
                targets.iter().any(|target| is_same_file(&target.settings.path, &file.path));
            let (error, remedy) = match token_file(consumer, file, accounts) {
                Ok(_) if is_a_target => {
                    let remedy =
                        "give its token_file another path, then rolekeeper reload".to_owned();
                    ("that is a target's file already".to_owned(), remedy)
                }
                Ok(file) => {
                    token_files.push(file);
                    continue;
                }
                Err(error) => (error.to_string(), remedy(&error)),
            };
            let text = format!("{error}; its token_file is not written");
            let (name, origin) = (&consumer.name, &consumer.origin);
            disabled.push(report(Kind::Consumer, name, origin, text, remedy));
        }
        let unserved =
            settings.targets.disabled().map(|it| (it.fault.name.clone(), it.path.clone()));
        let unwritten = targets.iter().filter(|target| target.target().is_none());
        let unwritten = unwritten
            .map(|target| (Some(target.settings.name.clone()), Some(target.settings.path.clone())));
        Self {
            unserved: unserved.chain(unwritten).collect(),
            outlets: Outlets::of(settings, &targets),
            access,
            token_files,
            disabled,
            listen: Listen {
                container: settings.container_listen.value,
                imds: settings.imds_listen.value,
            },
        }
    }

    /// Says what is wrong with single targets and consumers, but for what was said `before`.
    pub(super) fn log(&self, before: &[Disabled]) {
        for disabled in self.disabled.iter().filter(|it| !before.contains(it)) {
            tracing::error!("{disabled}; try: {}", disabled.remedy);
        }
        let is_mended = |was: &&Disabled| {
            let mut now = self.disabled.iter();
            !now.any(|it| (it.kind, &it.name) == (was.kind, &was.name))
        };
        for mended in before.iter().filter(is_mended) {
            tracing::info!("mended: {mended}");
        }
    }

    /// Whether a target that is not wanted any more may be one that is only disabled. Then its file
    /// stays as it is: it holds the credentials of a role that was given to it, and they end soon.
    pub(super) fn may_be_unserved(&self, target: &Target) -> bool {
        self.unserved.iter().any(|unserved| match unserved {
            (Some(name), _) => *name == target.name,
            (None, Some(path)) => *path == target.path,
            // It may be any.
            (None, None) => true,
        })
    }

    fn token_files(&self) -> TokenFiles {
        let has_endpoint = self.listen.container.is_some();
        TokenFiles { files: self.token_files.clone(), has_endpoint }
    }
}

impl TokenFiles {
    /// Those that are to be written: without the endpoint they would open nothing.
    pub(super) fn written(&self) -> &[TokenFile] {
        if self.has_endpoint { &self.files } else { &[] }
    }

    /// What is to be said of those that are not.
    pub(super) fn idle(&self) -> Vec<Warning> {
        let idle = if self.has_endpoint { &[] } else { &*self.files };
        let warning = |file: &TokenFile| Warning {
            subject: Warning::token_file(&file.consumer),
            message: "it is not written: there is no [endpoint.container]".to_owned(),
            remedy:
                "give [endpoint.container] of the settings a listen address, or leave token_file \
                     out of that [[consumer]]; then rolekeeper reload"
                    .to_owned(),
        };
        idle.iter().map(warning).collect()
    }
}

impl Rulebook {
    pub(super) fn new(rules: &Rules) -> Self {
        Self {
            access: watch::Sender::new(Arc::new(rules.access.clone())),
            token_files: watch::Sender::new(rules.token_files()),
            listen: watch::Sender::new(rules.listen),
        }
    }

    /// Rules to go by from now on.
    pub(super) fn put(&self, rules: &Rules) {
        self.token_files.send_replace(rules.token_files());
        self.listen
            .send_if_modified(|listen| std::mem::replace(listen, rules.listen) != rules.listen);
        self.access.send_replace(Arc::new(rules.access.clone()));
    }

    pub(super) fn access(&self) -> watch::Receiver<Arc<Access>> {
        self.access.subscribe()
    }

    pub(super) fn listen(&self) -> watch::Receiver<Listen> {
        self.listen.subscribe()
    }

    pub(super) fn token_files(&self) -> watch::Receiver<TokenFiles> {
        self.token_files.subscribe()
    }
}

fn token_file(
    consumer: &ConsumerSettings,
    file: &TokenFileSettings,
    accounts: &Accounts,
) -> Result<TokenFile, AccountError> {
    let owner: Option<Uid> = file.owner.as_deref().map(|it| accounts.user(it)).transpose()?;
    let group: Option<Gid> = file.group.as_deref().map(|it| accounts.group(it)).transpose()?;
    Ok(TokenFile {
        consumer: consumer.name.clone(),
        path: file.path.clone(),
        access: replace::Access { mode: file.mode, owner, group },
    })
}
