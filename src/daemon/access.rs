//! From settings to the rules of who may have what: names become numbers. What cannot be served as it
//! stands keeps its place among the rules, and is reported.

use std::path::Path;

use nix::unistd::{Gid, Uid, getegid, geteuid};

use super::accounts::Accounts;
use super::targets::{Resolved, resolved};
use crate::config::{
    ConsumerSettings, DisabledTable, Origin, ServiceAccount, Settings, Table, Whom,
};
use crate::host::accounts::AccountError;
use crate::host::replace::Access as FileAccess;
use crate::pure::access::{Access, Grant, Rule};
use crate::pure::advice::{Complaint, Exit};
use crate::pure::disabled::{Disabled, Kind};
use crate::pure::shell::in_shell;

/// The rules that the settings make for a daemon of that user and group.
pub fn access_of(settings: &Settings, runtime_dir: &Path, daemon: (Uid, Gid)) -> Access {
    let accounts = Accounts::look_up(settings);
    let targets = resolved(settings, runtime_dir, &accounts);
    access(settings, &targets, &accounts, daemon, &mut Vec::new())
}

/// The programs that consumers are narrowed to and that are not there: nobody runs them, and a mistyped
/// path serves nobody without a word.
pub fn missing_programs(settings: &Settings) -> Option<Complaint> {
    let consumers = settings.consumers.iter();
    let named = consumers.flat_map(|it| it.executables.iter().map(move |path| (it, path)));
    // One that cannot be looked at may be there.
    let missing = named.filter(|(_, path)| path.try_exists().is_ok_and(|exists| !exists));
    let missing = missing.map(|(ConsumerSettings { name, origin, .. }, path)| {
        format!("{origin}: consumer '{name}': there is no program {}", path.display())
    });
    let missing = missing.collect::<Vec<_>>();
    let remedy = "install it, or name another in executables of that [[consumer]]; then rolekeeper \
                  reload";
    let complaint = || Complaint::new(Exit::Configuration, missing.join("; "), remedy);
    (!missing.is_empty()).then(complaint)
}

/// Whom this process runs as.
pub(super) fn own_ids() -> (Uid, Gid) {
    (geteuid(), getegid())
}

/// The rules, and what cannot be served.
pub(super) fn access(
    settings: &Settings,
    targets: &[Resolved],
    accounts: &Accounts,
    daemon: (Uid, Gid),
    disabled: &mut Vec<Disabled>,
) -> Access {
    let grant = |target: &Resolved| {
        let name = target.settings.name.clone();
        let rule = readers(target, daemon);
        Grant { target: Some(name.clone()), name, rule, disabled: false }
    };
    // The default target, which no table stands for, comes first.
    let (default, mut tables) = match targets.split_first() {
        Some((default, named)) if named.len() == settings.targets.len() => {
            (Some(default), named.iter())
        }
        _ => (None, targets.iter()),
    };
    let mut grants = default.map(grant).into_iter().collect::<Vec<_>>();
    for table in settings.targets.in_order() {
        match table {
            Table::Usable(_) => grants.extend(tables.next().map(grant)),
            Table::Disabled(table) => {
                disabled.push(table.fault.clone());
                grants.push(keep_place(table, accounts, daemon));
            }
        }
    }
    disabled.extend(targets.iter().filter_map(unwritable));
    let mut consumers = Vec::new();
    for table in settings.consumers.in_order() {
        consumers.push(match table {
            Table::Disabled(table) => {
                disabled.push(table.fault.clone());
                keep_place(table, accounts, daemon)
            }
            Table::Usable(settings) => consumer(settings, targets, accounts, disabled),
        });
    }
    Access { owner: daemon.0.as_raw(), targets: grants, consumers }
}

/// Whom a file is given to.
fn unwritable(target: &Resolved) -> Option<Disabled> {
    let errors = target.errors();
    let first = errors.first()?;
    let error = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    let (name, origin) = (&target.settings.name, &target.settings.origin);
    let error = format!("{error}; its file is not written");
    Some(report(Kind::Target, name, origin, error, remedy(first)))
}

/// Whoever the file gives the credentials to. Where the settings name an owner and no group, the
/// service's group is the file's only for want of another, and the directory may well be closed to
/// it: it is not meant.
fn readers(target: &Resolved, daemon: (Uid, Gid)) -> Rule {
    let settings = &target.settings;
    let known = FileAccess {
        mode: settings.mode,
        owner: target.owner.as_ref().and_then(|owner| owner.clone().ok()),
        group: target.group.as_ref().and_then(|group| group.clone().ok()),
    };
    let (owner, group) = known.ids_for(daemon);
    let is_known = |given: bool, found: bool| !given || found;
    let meant = settings.group.is_some() || settings.owner.is_none();
    let reads = |bit: u32| settings.mode & bit != 0;
    let mut rule = Rule { everyone: reads(0o004), ..Rule::default() };
    if is_known(target.owner.is_some(), known.owner.is_some()) {
        rule.users.push(owner.as_raw());
    }
    if meant && reads(0o040) && is_known(target.group.is_some(), known.group.is_some()) {
        rule.groups.push(group.as_raw());
    }
    rule.incomplete = target.errors().iter().any(is_for_now);
    rule
}

/// What is left of a table that cannot be used: whoever it names is refused in its place.
fn keep_place(table: &DisabledTable, accounts: &Accounts, daemon: (Uid, Gid)) -> Grant {
    let Whom { users, groups, everyone, service, units, executables, incomplete } = &table.whom;
    let mut rule = Rule {
        everyone: *everyone,
        units: units.clone(),
        executables: executables.clone(),
        ..named(users, groups, accounts).0
    };
    rule.users.extend(service.map(|_| daemon.0.as_raw()));
    if *service == Some(ServiceAccount::UserAndGroup) {
        rule.groups.push(daemon.1.as_raw());
    }
    rule.incomplete |= *incomplete;
    let name = table.fault.name.clone().unwrap_or_else(|| table.fault.subject());
    Grant { name, target: None, rule, disabled: true }
}

/// A consumer of which some accounts are not known serves the others.
fn consumer(
    settings: &ConsumerSettings,
    targets: &[Resolved],
    accounts: &Accounts,
    disabled: &mut Vec<Disabled>,
) -> Grant {
    let ConsumerSettings { name, target, users, groups, units, executables, origin, .. } = settings;
    let (rule, errors) = named(users, groups, accounts);
    let served = users.len() + groups.len() - errors.len();
    for error in errors {
        let others = if served > 0 { "; the others are served" } else { "" };
        let text = format!("{error}{others}");
        disabled.push(report(Kind::Consumer, name, origin, text, remedy(&error)));
    }
    let known = |name: &&String| targets.iter().any(|target| target.settings.name == **name);
    let missing = target.as_ref().filter(|target| !known(target));
    if let Some(target) = missing {
        let text = format!("there is no target '{target}' that can be served");
        let remedy =
            "name a [[target]] of the settings that is not disabled, or none; then rolekeeper \
                      reload"
                .to_owned();
        disabled.push(report(Kind::Consumer, name, origin, text, remedy));
    }
    let rule = Rule { units: units.clone(), executables: executables.clone(), ..rule };
    Grant { name: name.clone(), target: target.clone(), rule, disabled: missing.is_some() }
}

/// The accounts that are known, and why others are not.
fn named(users: &[String], groups: &[String], accounts: &Accounts) -> (Rule, Vec<AccountError>) {
    let (mut rule, mut errors) = (Rule::default(), Vec::new());
    for user in users {
        match accounts.user(user) {
            Ok(uid) => rule.users.push(uid.as_raw()),
            Err(error) => errors.push(error),
        }
    }
    for group in groups {
        match accounts.group(group) {
            Ok(gid) => rule.groups.push(gid.as_raw()),
            Err(error) => errors.push(error),
        }
    }
    // Who does not exist asks for nothing; who could not be looked up may.
    rule.incomplete = errors.iter().any(is_for_now);
    (rule, errors)
}

fn is_for_now(error: &AccountError) -> bool {
    matches!(error, AccountError::Unavailable { .. })
}

pub(super) fn report(
    kind: Kind,
    name: &str,
    origin: &Origin,
    error: String,
    remedy: String,
) -> Disabled {
    Disabled { kind, name: Some(name.to_owned()), place: origin.to_string(), error, remedy }
}

pub(super) fn remedy(error: &AccountError) -> String {
    match error {
        AccountError::Unknown { kind, .. } => {
            format!("create the {kind}, or name another in the settings; then rolekeeper reload")
        }
        AccountError::Unavailable { kind, name, .. } => {
            let name = in_shell(name);
            match *kind {
                "user" => format!(
                    "mend the account database: getent passwd {name}; it is asked each minute"
                ),
                _ => {
                    format!(
                        "mend the account database: getent group {name}; it is asked each minute"
                    )
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TargetSettings;
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
            keys: crate::config::KeyOrigins::default(),
        };
        let (owner, group) =
            (owner.map(|uid| Ok(uid.into())), group.map(|gid| Ok(Gid::from_raw(gid))));
        readers(&Resolved { settings, owner, group }, own_ids())
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
