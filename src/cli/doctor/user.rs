//! One user of this machine: what the rules give it, and whether it gets there.

use std::os::unix::fs::MetadataExt;

use nix::unistd::{Gid, Uid};

use super::Patient;
use crate::config::Settings;
use crate::control;
use crate::daemon::{access_of, targets};
use crate::host::accounts::{Account, own_uid};
use crate::pure::access::Access;
use crate::pure::access::peer::Peer;
use crate::pure::chain::{self, Content, Installation};
use crate::pure::diagnosis::passage::{Aim, Who};
use crate::pure::diagnosis::{self, Check, Finding, consent, shadow};
use crate::surroundings::{self, way};
use crate::targets::Target;
use crate::vault::Vault;
use crate::vending;

/// What the sockets would give the user.
const CONSENT: &str = "access";

/// Whether the user comes to the files and sockets that it may have.
const PASSAGE: &str = "reach";

/// Whether older files come before what the user may have.
const SHADOW: &str = "shadow";

pub(super) fn look(patient: &Patient, account: &Account) -> Vec<Check> {
    let runtime = &patient.directories.runtime;
    let Ok(settings) = &patient.settings else { return Patient::without_settings(CONSENT) };
    // Where a name is unknown, the settings' own line says so.
    let Ok(access) = access_of(settings, runtime, daemon(patient)) else {
        return Patient::without_settings(CONSENT);
    };
    let Ok(targets) = targets(settings, runtime) else { return Patient::without_settings(CONSENT) };
    let peer = peer(account);
    let given = consent::judge(&access, &account.name, &peer);
    let mut checks = vec![Check::new(CONSENT, given)];
    for target in &targets {
        let finding = if consent::is_named(&access, &target.name, &peer) {
            passage(account, Aim::File, &target.path)
        } else {
            let (owner, group) = (target.access.owner, target.access.group);
            let mode = target.access.mode;
            let whose =
                [owner.map(|it| format!("owner {it}")), group.map(|it| format!("group {it}"))];
            let whose = whose.into_iter().flatten().chain([format!("mode {mode:04o}")]);
            let whose = whose.collect::<Vec<_>>().join(", ");
            Finding::skipped(format!("its file is not meant for {}: {whose}", account.name))
        };
        checks.push(Check::of(PASSAGE, format!("target {}", target.name), finding));
    }
    for consumer in settings.consumers.iter().filter(|it| named(&access, &it.name, &peer)) {
        if let Some(file) = &consumer.token_file {
            let subject = format!("token of {}", consumer.name);
            checks.push(Check::of(PASSAGE, subject, passage(account, Aim::File, &file.path)));
        }
    }
    checks.extend(shadows(patient, account, settings, &readable(&access, &targets, &peer)));
    if !access.open_to(&peer).is_empty() {
        let [_, socket] = vending::socket_paths(runtime);
        let finding = passage(account, Aim::Socket, &socket);
        checks.push(Check::of(PASSAGE, "socket", finding));
    }
    checks
}

/// The targets whose files are meant for the user.
fn readable<'a>(access: &Access, targets: &'a [Target], peer: &Peer) -> Vec<&'a Target> {
    targets.iter().filter(|target| consent::is_named(access, &target.name, peer)).collect()
}

/// What in the user's home comes before what the user may have.
fn shadows(
    patient: &Patient,
    account: &Account,
    settings: &Settings,
    targets: &[&Target],
) -> Vec<Check> {
    let Some(home) = patient.home.as_deref().or(account.home.as_deref()) else {
        let reason = format!("{} has no home directory", account.name);
        return vec![Check::new(SHADOW, Finding::skipped(reason))];
    };
    let home = surroundings::home::look(&account.name, home);
    for file in [&home.credentials, &home.config] {
        if let (Some(path), Content::Unreadable(reason)) = (&file.path, &file.content) {
            let reason = format!("needs root: {}: {reason}", path.display());
            return vec![Check::new(SHADOW, Finding::skipped(reason))];
        }
    }
    let outlet = |target: &&Target| chain::Outlet {
        name: target.name.clone(),
        path: target.path.clone(),
        profile: target.profile.to_string(),
    };
    let installation = Installation {
        outlets: targets.iter().map(outlet).collect(),
        container: settings.container_listen.value,
        metadata: settings.imds_listen.value,
    };
    let finding = shadow::by_default(&home, &installation);
    let at_home = Check::new(SHADOW, finding);
    let at_targets = targets.iter().map(|target| {
        let (path, profile) = (target.path.display().to_string(), target.profile.to_string());
        let finding = shadow::at_outlet(&home, &shadow::Outlet { path, profile });
        Check::of(SHADOW, format!("target {}", target.name), finding)
    });
    [at_home].into_iter().chain(at_targets).collect()
}

fn passage(account: &Account, aim: Aim, path: &std::path::Path) -> Finding {
    let who = Who {
        name: account.name.clone(),
        uid: account.uid,
        groups: account.groups.clone(),
        is_asking: own_uid().as_raw() == account.uid,
    };
    diagnosis::passage::judge(&who, aim, &path.display().to_string(), &way::to(path))
}

fn named(access: &Access, name: &str, peer: &Peer) -> bool {
    access.open_to(peer).contains(&name)
}

fn peer(account: &Account) -> Peer {
    let groups = account.groups.clone();
    Peer { uid: account.uid, gid: account.gid, groups, unit: None, executable: None }
}

/// Whom the daemon runs as: the owner of its socket, else of its vault, else whoever asks.
fn daemon(patient: &Patient) -> (Uid, Gid) {
    let socket = control::socket_path(&patient.directories.runtime);
    let vault = Vault::directory_in(&patient.directories.state);
    let found = [socket, vault].into_iter().find_map(|path| path.metadata().ok());
    let ids = found.map(|found| (Uid::from_raw(found.uid()), Gid::from_raw(found.gid())));
    ids.unwrap_or_else(|| (Uid::effective(), Gid::effective()))
}
