//! Users and groups of this machine, by name or by number.

use std::ffi::CString;
use std::path::PathBuf;

use nix::unistd::{Gid, Group, Uid, User, getgrouplist};

/// A name that this machine does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no {kind} '{name}' on this machine")]
pub struct UnknownAccount {
    pub kind: &'static str,
    pub name: String,
}

/// The number of a user.
///
/// # Errors
///
/// When neither the account database nor the text itself gives one.
pub fn user(name: &str) -> Result<Uid, UnknownAccount> {
    let known = User::from_name(name).ok().flatten().map(|user| user.uid);
    let unknown = || UnknownAccount { kind: "user", name: name.to_owned() };
    known.or_else(|| name.parse().ok().map(Uid::from_raw)).ok_or_else(unknown)
}

/// The number of a group.
///
/// # Errors
///
/// As [`user`].
pub fn group(name: &str) -> Result<Gid, UnknownAccount> {
    let known = Group::from_name(name).ok().flatten().map(|group| group.gid);
    let unknown = || UnknownAccount { kind: "group", name: name.to_owned() };
    known.or_else(|| name.parse().ok().map(Gid::from_raw)).ok_or_else(unknown)
}

/// The name of a user, or the number when there is none.
pub fn user_name(uid: Uid) -> String {
    User::from_uid(uid).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name)
}

/// The name of a group, or the number when there is none.
pub fn group_name(gid: Gid) -> String {
    Group::from_gid(gid).ok().flatten().map_or_else(|| gid.to_string(), |group| group.name)
}

/// The groups of a user as the account database has them; none of a user that it does not know.
pub fn groups_of(uid: u32, gid: u32) -> Vec<u32> {
    let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
    let name = user.and_then(|user| CString::new(user.name).ok());
    let groups = name.and_then(|name| getgrouplist(&name, Gid::from_raw(gid)).ok());
    groups.unwrap_or_default().into_iter().map(Gid::as_raw).collect()
}

/// The same, with the user's own first group.
pub fn all_groups_of(uid: u32) -> Vec<u32> {
    let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
    user.map(|user| groups_of(uid, user.gid.as_raw())).unwrap_or_default()
}

/// The home directory of a user.
pub fn home_of(uid: u32) -> Option<PathBuf> {
    User::from_uid(Uid::from_raw(uid)).ok().flatten().map(|user| user.dir)
}

/// Who this process acts as.
pub fn own_uid() -> Uid {
    Uid::effective()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_found_by_name_and_by_number() {
        assert_eq!(user("root").unwrap().as_raw(), 0);
        assert_eq!(group("0").unwrap().as_raw(), 0);
        assert_eq!(user_name(Uid::from_raw(0)), "root");
        assert!(groups_of(0, 0).contains(&0));
        assert_eq!(groups_of(4_000_000_000, 7), [0; 0]);
        assert!(all_groups_of(0).contains(&0));
        assert_eq!(all_groups_of(4_000_000_000), [0; 0]);
        assert_eq!(home_of(0), Some("/root".into()));
        assert_eq!(home_of(4_000_000_000), None);
        assert_eq!(user("no such user").unwrap_err().name, "no such user");
    }
}
