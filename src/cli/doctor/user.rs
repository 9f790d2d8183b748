//! One user of this machine: what the rules give it, and whether it gets there.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::{Gid, Uid};

use super::{Patient, home};
use crate::config::{Settings, TokenFileSettings};
use crate::control;
use crate::daemon::{access_of, targets};
use crate::host::accounts::{Account, own_uid};
use crate::host::replace::Access;
use crate::pure::access::peer::Peer;
use crate::pure::diagnosis::passage::{Aim, Who};
use crate::pure::diagnosis::{self, Check, Finding, consent};
use crate::shelf::Warning;
use crate::surroundings::way;
use crate::targets::Target;
use crate::vault::Vault;
use crate::vending;

/// Whether the user comes to the files and sockets that it may have.
const PASSAGE: &str = "reach";

/// What the rules give the user, the way to each thing, and what in its home is in the way.
pub(super) fn look(patient: &Patient, account: &Account) -> Vec<Check> {
    const NAME: &str = "access";
    let runtime = &patient.directories.runtime;
    let Ok(settings) = &patient.settings else { return Patient::without_settings(NAME) };
    // Where a name is unknown, the settings' own line says so.
    let (access, targets) =
        (access_of(settings, runtime, daemon(patient)), targets(settings, runtime));
    let peer = peer(account);
    let is_meant = |target: &&Target| consent::is_named(&access, &target.name, &peer);
    let meant = targets.iter().filter(is_meant).collect::<Vec<_>>();

    let mut checks = vec![Check::new(NAME, consent::judge(&access, &account.name, &peer))];
    checks.extend(targets.iter().map(|target| {
        let finding = match is_meant(&target) {
            true => passage(account, Aim::Target(&target.name), &target.path),
            false => Finding::inapplicable(not_meant(account, target)),
        };
        Check::of(PASSAGE, format!("target {}", target.name), finding)
    }));
    checks.extend(token_files(patient, settings, &access.open_to(&peer), account));
    if !access.open_to(&peer).is_empty() {
        let [_, socket] = vending::socket_paths(runtime);
        checks.push(Check::of(PASSAGE, "socket", passage(account, Aim::Socket, &socket)));
    }
    checks.extend(home::shadows(patient, account, settings, &meant));
    checks
}

/// The tokens of those consumers that are open to the user. What the daemon says of one that it cannot
/// write comes before the way there.
fn token_files(
    patient: &Patient,
    settings: &Settings,
    open: &[&str],
    account: &Account,
) -> Vec<Check> {
    let warnings = patient.status.iter().flat_map(|status| &status.warnings).collect::<Vec<_>>();
    let open = settings.consumers.iter().filter(|it| open.contains(&it.name.as_str()));
    let files = open.filter_map(|consumer| Some((&consumer.name, consumer.token_file.as_ref()?)));
    let check = |(name, file): (&String, &TokenFileSettings)| {
        let unwritten = warnings.iter().find(|it| it.subject == Warning::token_file(name));
        let finding = match unwritten {
            Some(warning) => Finding::wrong(&warning.message, &warning.remedy),
            None => passage(account, Aim::Token(name), &file.path),
        };
        Check::of(PASSAGE, format!("token of {name}"), finding)
    };
    files.map(check).collect()
}

fn not_meant(account: &Account, target: &Target) -> String {
    let Access { mode, owner, group } = target.access;
    let owner = owner.map(|owner| format!("owner {owner}"));
    let group = group.map(|group| format!("group {group}"));
    let whose = owner.into_iter().chain(group).chain([format!("mode {mode:04o}")]);
    let whose = whose.collect::<Vec<_>>().join(", ");
    format!("its file is not meant for {}: {whose}", account.name)
}

fn passage(account: &Account, aim: Aim<'_>, path: &Path) -> Finding {
    let who = Who {
        name: account.name.clone(),
        uid: account.uid,
        groups: account.groups.clone(),
        is_asking: own_uid().as_raw() == account.uid,
    };
    diagnosis::passage::judge(&who, aim, &path.display().to_string(), &way::to(path))
}

fn peer(account: &Account) -> Peer {
    let groups = account.groups.clone();
    Peer { gid: account.gid, groups, groups_known: true, ..Peer::of_user(account.uid) }
}

/// Whom the daemon runs as: the owner of its socket, else of its vault, else whoever asks.
fn daemon(patient: &Patient) -> (Uid, Gid) {
    let socket = control::socket_path(&patient.directories.runtime);
    let vault = Vault::directory_in(&patient.directories.state);
    let found = [socket, vault].into_iter().find_map(|path| path.metadata().ok());
    let ids = found.map(|found| (Uid::from_raw(found.uid()), Gid::from_raw(found.gid())));
    ids.unwrap_or_else(|| (Uid::effective(), Gid::effective()))
}
