//! From settings to targets: names become numbers, and the default target gets its place.

use std::path::Path;

use nix::unistd::{Gid, Uid};

use super::accounts::Accounts;
use crate::config::{DEFAULT_TARGET, Settings, TargetSettings};
use crate::host::accounts::{AccountError, own_uid};
use crate::host::replace::Access;
use crate::pure::assumption::Assumption;
use crate::targets::Target;

/// The group that may read the default target, where it exists.
pub(super) const GROUP: &str = "rolekeeper";

/// A target or a consumer with a role of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AssumedOutlet {
    pub name: String,
    /// A consumer has none: it asks. Neither has a target whose file cannot be given to whom it is
    /// meant for.
    pub target: Option<Target>,
    pub assumption: Assumption,
}

/// Who gets which role's credentials, and in which file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Outlets {
    /// Files of the registered role.
    pub registered: Vec<Target>,
    /// Names of those who have the registered role's credentials and no file.
    pub without_file: Vec<String>,
    pub assumed: Vec<AssumedOutlet>,
}

/// A target of the settings, or the default one, with the accounts that it names.
#[derive(Debug)]
pub(super) struct Resolved {
    pub settings: TargetSettings,
    pub owner: Option<Result<Uid, AccountError>>,
    pub group: Option<Result<Gid, AccountError>>,
}

/// The targets whose files are written, the default one first.
pub fn targets(settings: &Settings, runtime_dir: &Path) -> Vec<Target> {
    let accounts = Accounts::look_up(settings);
    resolved(settings, runtime_dir, &accounts).iter().filter_map(Resolved::target).collect()
}

/// The default target's file.
pub fn default_path(runtime_dir: &Path) -> std::path::PathBuf {
    runtime_dir.join("credentials")
}

/// All targets that can be read, the default one first: a new one takes nothing from whoever relies on
/// it.
pub(super) fn resolved(
    settings: &Settings,
    runtime_dir: &Path,
    accounts: &Accounts,
) -> Vec<Resolved> {
    let default = settings.default_target(&default_path(runtime_dir));
    default.iter().chain(&settings.targets).map(|target| resolve(target, accounts)).collect()
}

impl AssumedOutlet {
    /// Whether both hand out the same credentials under the same name.
    pub(super) fn is_served_as(&self, other: &Self) -> bool {
        self.name == other.name && self.assumption == other.assumption
    }

    /// Whether the file of the one is that of the other.
    pub(super) fn is_in_place_of(&self, other: &Self) -> bool {
        match (&self.target, &other.target) {
            (Some(own), Some(other)) => own.is_in_place_of(other),
            (None, None) => true,
            _ => false,
        }
    }
}

impl Outlets {
    pub(super) fn of(settings: &Settings, targets: &[Resolved]) -> Self {
        let mut outlets = Self::default();
        for resolved in targets {
            let (name, target) = (resolved.settings.name.clone(), resolved.target());
            match (resolved.settings.assumption.clone(), target) {
                (None, Some(target)) => outlets.registered.push(target),
                (None, None) => outlets.without_file.push(name),
                (Some(assumption), target) => {
                    outlets.assumed.push(AssumedOutlet { name, target, assumption });
                }
            }
        }
        for consumer in settings.consumers.iter().filter(|consumer| consumer.target.is_none()) {
            let name = consumer.name.clone();
            match consumer.assumption.clone() {
                None => outlets.without_file.push(name),
                Some(assumption) => {
                    outlets.assumed.push(AssumedOutlet { name, target: None, assumption });
                }
            }
        }
        outlets
    }
}

impl Resolved {
    /// What is written; nothing while it is unknown whom the file would belong to.
    pub(super) fn target(&self) -> Option<Target> {
        let owner = self.owner.clone().transpose().ok()?;
        let group = self.group.clone().transpose().ok()?;
        let TargetSettings { name, path, profile, mode, .. } = self.settings.clone();
        Some(Target { name, path, profile, access: Access { mode, owner, group } })
    }

    /// What keeps the file from being written.
    pub(super) fn errors(&self) -> Vec<AccountError> {
        let owner = self.owner.as_ref().and_then(|owner| owner.clone().err());
        let group = self.group.as_ref().and_then(|group| group.clone().err());
        owner.into_iter().chain(group).collect()
    }
}

/// Root hands the default target's file to the service's group; everybody else can only give away what
/// is theirs.
fn resolve(settings: &TargetSettings, accounts: &Accounts) -> Resolved {
    let owner = settings.owner.as_deref().map(|name| accounts.user(name));
    let mut group = settings.group.as_deref().map(|name| accounts.group(name));
    if settings.name == DEFAULT_TARGET && owner.is_none() && group.is_none() && own_uid().is_root()
    {
        group = accounts.group(GROUP).ok().map(Ok);
    }
    Resolved { settings: settings.clone(), owner, group }
}
