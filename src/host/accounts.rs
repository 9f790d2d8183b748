//! Users and groups of this machine, by name or by number.

use std::ffi::CString;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::{Gid, Group, Uid, User, getgrouplist, getgroups};

use crate::pure::diagnosis::privileges::{CHOWN, effective_capabilities};
use crate::pure::unit_settings::Login;

/// Why a name has no number. An account database that fails has not said that there is no such account.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    #[error("there is no {kind} '{name}' on this machine")]
    Unknown { kind: &'static str, name: String },
    #[error("{kind} '{name}' could not be looked up: {reason}")]
    Unavailable { kind: &'static str, name: String, reason: String },
}

/// A user with all groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub name: String,
    pub uid: u32,
    /// The first group.
    pub gid: u32,
    /// All of them, the first one included.
    pub groups: Vec<u32>,
    pub home: Option<PathBuf>,
}

/// A user by name or number. One that the account database does not know has no home and no groups
/// but the one of the same number.
///
/// # Errors
///
/// As [`user`].
pub fn account(name: &str) -> Result<Account, AccountError> {
    let uid = user(name)?;
    Ok(match User::from_uid(uid).ok().flatten() {
        Some(known) => Account {
            uid: uid.as_raw(),
            gid: known.gid.as_raw(),
            groups: group_list(&known, known.gid),
            name: known.name,
            home: Some(known.dir),
        },
        None => {
            let number = uid.as_raw();
            let name = name.to_owned();
            Account { name, uid: number, gid: number, groups: vec![number], home: None }
        }
    })
}

/// What programs of a user of that name or number are told of it when they start.
pub fn login(name: &str) -> Login {
    let known = user(name).ok().and_then(|uid| User::from_uid(uid).ok().flatten());
    let text = |path: &Path| path.to_str().map(str::to_owned);
    Login {
        home: known.as_ref().and_then(|user| text(&user.dir)),
        shell: known.as_ref().and_then(|user| text(&user.shell)),
        name: known.map_or_else(|| name.to_owned(), |user| user.name),
    }
}

/// The number of a user.
///
/// # Errors
///
/// When neither the account database nor the text itself gives one, or the database does not answer.
pub fn user(name: &str) -> Result<Uid, AccountError> {
    let known = User::from_name(name).map(|user| user.map(|user| user.uid));
    number("user", name, known).map(|found| found.unwrap_or_else(Uid::from_raw))
}

/// The number of a group.
///
/// # Errors
///
/// As [`user`].
pub fn group(name: &str) -> Result<Gid, AccountError> {
    let known = Group::from_name(name).map(|group| group.map(|group| group.gid));
    number("group", name, known).map(|found| found.unwrap_or_else(Gid::from_raw))
}

/// What the account database says; else the number that stands in the place of a name.
fn number<T>(
    kind: &'static str,
    name: &str,
    known: nix::Result<Option<T>>,
) -> Result<Result<T, u32>, AccountError> {
    if let Ok(Some(known)) = known {
        return Ok(Ok(known));
    }
    match (name.parse(), known) {
        (Ok(number), _) => Ok(Err(number)),
        // Without its files the database has no accounts (getpwnam(3), ENOENT and ESRCH).
        (_, Ok(_) | Err(Errno::ENOENT | Errno::ESRCH)) => {
            Err(AccountError::Unknown { kind, name: name.to_owned() })
        }
        (_, Err(errno)) => Err(AccountError::Unavailable {
            kind,
            name: name.to_owned(),
            reason: errno.desc().to_owned(),
        }),
    }
}

/// The name of a user, or the number when there is none.
pub fn user_name(uid: Uid) -> String {
    User::from_uid(uid).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name)
}

/// The same of a user of `/etc/passwd` alone: for the daemon, which waits for no directory server to say
/// what is wrong.
pub fn local_name(uid: Uid) -> String {
    local_user_name(uid.as_raw()).unwrap_or_else(|| uid.to_string())
}

/// The name of a group, or the number when there is none.
pub fn group_name(gid: Gid) -> String {
    Group::from_gid(gid).ok().flatten().map_or_else(|| gid.to_string(), |group| group.name)
}

/// The groups of a user as the account database has them, `gid` or the user's own first group among them;
/// none of a user that it does not know. Those of `wanted` that are not among them were looked up, too:
/// getgrouplist(3) itself leaves out, without a word, what a directory server does not tell.
///
/// # Errors
///
/// When the database does not answer: whoever is not in the list may then be in a group all the same.
pub fn groups_of(uid: u32, gid: Option<u32>, wanted: &[u32]) -> Result<Vec<u32>, AccountError> {
    let unavailable = |kind, number: u32, errno: Errno| AccountError::Unavailable {
        kind,
        name: number.to_string(),
        reason: errno.desc().to_owned(),
    };
    let user = answered(User::from_uid(Uid::from_raw(uid)));
    let Some(user) = user.map_err(|errno| unavailable("user", uid, errno))? else {
        return Ok(gid.into_iter().collect());
    };
    let groups = group_list(&user, gid.map_or(user.gid, Gid::from_raw));
    for group in wanted.iter().filter(|group| !groups.contains(group)) {
        let found = answered(Group::from_gid(Gid::from_raw(*group)));
        found.map_err(|errno| unavailable("group", *group, errno))?;
    }
    Ok(groups)
}

/// The groups of a user with its own first group, as far as the account database tells them.
pub fn all_groups_of(uid: u32) -> Vec<u32> {
    let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
    user.map(|user| group_list(&user, user.gid)).unwrap_or_default()
}

fn group_list(user: &User, gid: Gid) -> Vec<u32> {
    let name = CString::new(user.name.as_str()).ok();
    let groups = name.and_then(|name| getgrouplist(&name, gid).ok()).unwrap_or_else(|| vec![gid]);
    groups.into_iter().map(Gid::as_raw).collect()
}

/// Without its files the database has no accounts (getpwnam(3), ENOENT and ESRCH); and a group with more
/// members than there is room for is there.
fn answered<T>(found: nix::Result<Option<T>>) -> nix::Result<Option<T>> {
    match found {
        Err(Errno::ENOENT | Errno::ESRCH | Errno::ERANGE) => Ok(None),
        found => found,
    }
}

/// The home directory of a user.
pub fn home_of(uid: u32) -> Option<PathBuf> {
    User::from_uid(Uid::from_raw(uid)).ok().flatten().map(|user| user.dir)
}

/// The names and numbers of the users in `/etc/passwd`. A directory service may know more, and would keep
/// one waiting.
pub fn local_users() -> Vec<(String, u32)> {
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let user = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        Some((name.to_owned(), fields.nth(1)?.parse().ok()?))
    };
    users.lines().filter_map(user).collect()
}

/// The name of a user of `/etc/passwd`.
pub fn local_user_name(uid: u32) -> Option<String> {
    local_users().into_iter().find(|(_, number)| *number == uid).map(|(name, _)| name)
}

/// Whether this process may give its files to others (`CAP_CHOWN`).
pub fn may_give_files_away() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    effective_capabilities(&status).is_some_and(|capabilities| capabilities & CHOWN != 0)
}

/// Who this process acts as.
pub fn own_uid() -> Uid {
    Uid::effective()
}

/// The groups that this process has, the effective one too: the account database may say others since it
/// was started.
pub fn own_groups() -> Vec<u32> {
    let others = getgroups().unwrap_or_default();
    let mut groups = others.into_iter().map(Gid::as_raw).collect::<Vec<_>>();
    let effective = Gid::effective().as_raw();
    if !groups.contains(&effective) {
        groups.push(effective);
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_found_by_name_and_by_number() {
        assert_eq!(user("root").unwrap().as_raw(), 0);
        assert_eq!(group("0").unwrap().as_raw(), 0);
        assert_eq!(user_name(Uid::from_raw(0)), "root");
        assert!(groups_of(0, Some(0), &[0, 4_000_000_000]).unwrap().contains(&0));
        assert!(groups_of(0, None, &[]).unwrap().contains(&0));
        assert_eq!(groups_of(4_000_000_000, Some(7), &[]).unwrap(), [7]);
        assert!(all_groups_of(0).contains(&0));
        assert_eq!(all_groups_of(4_000_000_000), [0; 0]);
        let root = account("0").unwrap();
        assert_eq!((root.name.as_str(), root.uid, root.gid), ("root", 0, 0));
        assert!(root.groups.contains(&0) && root.home.is_some());
        let (by_number, home) = (login("0"), root.home.as_ref().and_then(|home| home.to_str()));
        assert_eq!((by_number.name.as_str(), by_number.home.as_deref()), ("root", home));
        assert_eq!(login("no-such-user").home, None);
        let nameless = account("4000000000").unwrap();
        assert_eq!((nameless.groups, nameless.home), (vec![4_000_000_000], None));
        assert_eq!(home_of(0), Some("/root".into()));
        assert_eq!(home_of(4_000_000_000), None);
        assert_eq!(local_user_name(0).as_deref(), Some("root"));
        assert_eq!(local_user_name(4_000_000_000), None);
        assert_eq!(local_name(Uid::from_raw(0)), "root");
        assert_eq!(local_name(Uid::from_raw(4_000_000_000)), "4000000000");
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let numbers = |name| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.split_whitespace().map(|word| word.parse::<u32>().unwrap()).collect::<Vec<_>>()
        };
        let mut groups = own_groups();
        groups.retain(|group| *group != numbers("Gid:")[1]);
        let others = numbers("Groups:").into_iter().filter(|group| *group != numbers("Gid:")[1]);
        assert_eq!(groups, others.collect::<Vec<_>>());
        let unknown = user("no such user").unwrap_err().to_string();
        assert_eq!(unknown, "there is no user 'no such user' on this machine");
    }

    #[test]
    fn a_database_that_fails_has_not_said_that_there_is_no_such_account() {
        let asked = |name, known| number::<u32>("user", name, known);
        assert_eq!(asked("web", Ok(Some(33))), Ok(Ok(33)));
        let unknown = Err(AccountError::Unknown { kind: "user", name: "web".into() });
        assert_eq!(asked("web", Ok(None)), unknown);
        assert_eq!(asked("web", Err(Errno::ENOENT)), unknown);
        for errno in [Errno::EIO, Errno::EMFILE, Errno::ECONNREFUSED, Errno::EACCES] {
            let error = asked("web", Err(errno)).unwrap_err();
            assert!(matches!(error, AccountError::Unavailable { .. }), "{error}");
            // A number needs no database.
            assert_eq!(asked("33", Err(errno)), Ok(Err(33)));
        }
    }
}
