//! From settings to targets: names become numbers, and the default target gets its place.

use std::path::Path;

use super::DaemonError;
use crate::config::{DEFAULT_MODE, Settings, TargetSettings};
use crate::host::accounts;
use crate::host::replace::Access;
use crate::pure::assumption::Assumption;
use crate::pure::ini::ProfileName;
use crate::targets::Target;

/// The group that may read the default target, where it exists.
const GROUP: &str = "rolekeeper";

/// A target or a consumer with a role of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AssumedOutlet {
    pub name: String,
    /// A consumer has none: it asks.
    pub target: Option<Target>,
    pub assumption: Assumption,
}

/// The targets that the settings name; `<runtime>/credentials` when they name none.
///
/// # Errors
///
/// A user or a group that this machine does not have.
pub fn targets(settings: &Settings, runtime_dir: &Path) -> Result<Vec<Target>, DaemonError> {
    if settings.targets.is_empty() {
        return Ok(vec![default_target(runtime_dir)]);
    }
    settings.targets.iter().map(target).collect()
}

/// The targets of the registered role, and all who have roles of their own.
pub(super) fn targets_by_role(
    settings: &Settings,
    runtime_dir: &Path,
) -> Result<(Vec<Target>, Vec<AssumedOutlet>), DaemonError> {
    let (mut registered, mut assumed) = (Vec::new(), Vec::new());
    // The default target stands in none of the settings, and has no role.
    let assumptions = settings.targets.iter().map(|target| target.assumption.clone());
    let assumptions = assumptions.chain(std::iter::repeat(None));
    for (target, assumption) in targets(settings, runtime_dir)?.into_iter().zip(assumptions) {
        match assumption {
            None => registered.push(target),
            Some(assumption) => {
                let (name, target) = (target.name.clone(), Some(target));
                assumed.push(AssumedOutlet { name, target, assumption });
            }
        }
    }
    let consumers = settings.consumers.iter().filter_map(|consumer| {
        let (name, assumption) = (consumer.name.clone(), consumer.assumption.clone()?);
        Some(AssumedOutlet { name, target: None, assumption })
    });
    assumed.extend(consumers);
    Ok((registered, assumed))
}

/// Root hands the file to the service's group; everybody else can only give away what is theirs.
fn default_target(runtime_dir: &Path) -> Target {
    let privileged = accounts::own_uid().is_root();
    let group = if privileged { accounts::group(GROUP).ok() } else { None };
    Target {
        name: "default".to_owned(),
        path: runtime_dir.join("credentials"),
        profile: ProfileName::default(),
        access: Access { mode: DEFAULT_MODE, owner: None, group },
    }
}

fn target(settings: &TargetSettings) -> Result<Target, DaemonError> {
    let unknown = |source| DaemonError::Account {
        origin: settings.origin.clone(),
        kind: "target",
        name: settings.name.clone(),
        source,
    };
    let owner = settings.owner.as_deref().map(accounts::user).transpose().map_err(unknown)?;
    let group = settings.group.as_deref().map(accounts::group).transpose().map_err(unknown)?;
    Ok(Target {
        name: settings.name.clone(),
        path: settings.path.clone(),
        profile: settings.profile.clone(),
        access: Access { mode: settings.mode, owner, group },
    })
}
