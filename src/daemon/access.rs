//! From settings to the rules of who may have what: names become numbers.

use std::path::Path;

use nix::unistd::{Gid, Uid, getegid, geteuid};

use super::{DaemonError, targets};
use crate::config::{ConsumerSettings, Settings, TargetSettings};
use crate::host::accounts;
use crate::pure::access::{Access, Grant, Rule};
use crate::targets::Target;

/// The rules that the settings make for this process.
///
/// # Errors
///
/// A user or a group that this machine does not have, or a target that the settings do not have.
pub(super) fn access(settings: &Settings, runtime_dir: &Path) -> Result<Access, DaemonError> {
    access_of(settings, runtime_dir, (geteuid(), getegid()))
}

/// The rules that the settings make for a daemon of that user and group.
///
/// # Errors
///
/// As [`Rules::read`](super::Rules::read).
pub fn access_of(
    settings: &Settings,
    runtime_dir: &Path,
    daemon: (Uid, Gid),
) -> Result<Access, DaemonError> {
    let targets = targets(settings, runtime_dir)?;
    let grant = |target: &Target| {
        let named = settings.targets.iter().find(|settings| settings.name == target.name);
        let name = target.name.clone();
        Grant { target: Some(name.clone()), name, rule: readers(target, named, daemon) }
    };
    Ok(Access {
        owner: daemon.0.as_raw(),
        targets: targets.iter().map(grant).collect(),
        consumers: settings
            .consumers
            .iter()
            .map(|settings| consumer(settings, &targets))
            .collect::<Result<_, _>>()?,
    })
}

/// Whoever the file gives the credentials to. Where the settings name an owner and no group, the
/// service's group is the file's only for want of another, and the directory may well be closed to
/// it: it is not meant.
fn readers(target: &Target, settings: Option<&TargetSettings>, daemon: (Uid, Gid)) -> Rule {
    let (owner, group) = target.access.ids_for(daemon);
    let meant = settings.is_none_or(|target| target.group.is_some() || target.owner.is_none());
    let reads = |bit: u32| target.access.mode & bit != 0;
    Rule {
        users: vec![owner.as_raw()],
        groups: if meant && reads(0o040) { vec![group.as_raw()] } else { Vec::new() },
        everyone: reads(0o004),
        ..Rule::default()
    }
}

fn consumer(settings: &ConsumerSettings, targets: &[Target]) -> Result<Grant, DaemonError> {
    if let Some(name) = &settings.target
        && !targets.iter().any(|target| target.name == *name)
    {
        return Err(DaemonError::NoTarget {
            origin: settings.origin.clone(),
            consumer: settings.name.clone(),
            target: name.clone(),
        });
    }
    let unknown = |source| DaemonError::Account {
        origin: settings.origin.clone(),
        kind: "consumer",
        name: settings.name.clone(),
        source,
    };
    let users = settings.users.iter().map(|name| accounts::user(name).map(|uid| uid.as_raw()));
    let groups = settings.groups.iter().map(|name| accounts::group(name).map(|gid| gid.as_raw()));
    Ok(Grant {
        name: settings.name.clone(),
        target: settings.target.clone(),
        rule: Rule {
            users: users.collect::<Result<_, _>>().map_err(unknown)?,
            groups: groups.collect::<Result<_, _>>().map_err(unknown)?,
            everyone: false,
            units: settings.units.clone(),
            executables: settings.executables.clone(),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Origin;
    use crate::host::replace::Access as FileAccess;
    use crate::pure::ini::ProfileName;

    fn rule(owner: Option<u32>, group: Option<u32>, mode: u32) -> Rule {
        let settings = TargetSettings {
            name: "a".into(),
            path: "/c".into(),
            profile: ProfileName::default(),
            owner: owner.map(|uid| uid.to_string()),
            group: group.map(|gid| gid.to_string()),
            mode,
            assumption: None,
            reload: None,
            origin: Origin::Default,
        };
        let access =
            FileAccess { mode, owner: owner.map(Uid::from_raw), group: group.map(Gid::from_raw) };
        let target =
            Target { name: "a".into(), path: "/c".into(), profile: ProfileName::default(), access };
        readers(&target, Some(&settings), (geteuid(), getegid()))
    }

    #[test]
    fn a_target_is_for_those_whom_its_file_is_given_to() {
        let own_group = nix::unistd::getegid().as_raw();
        let own = nix::unistd::geteuid().as_raw();
        let users = |uid| Rule { users: vec![uid], ..Rule::default() };
        assert_eq!(rule(None, None, 0o640), Rule { groups: vec![own_group], ..users(own) });
        assert_eq!(rule(Some(34), None, 0o640), users(34));
        assert_eq!(rule(Some(34), Some(33), 0o640), Rule { groups: vec![33], ..users(34) });
        assert_eq!(rule(Some(34), Some(33), 0o600), users(34));
        assert!(rule(Some(34), None, 0o644).everyone);
    }
}
