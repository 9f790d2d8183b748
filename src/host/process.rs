//! This process's own protection, and whom it acts as.

use std::io;

use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{Gid, Uid, setgid, setgroups, setuid};

use super::accounts::Account;

/// Keeps the memory, which holds keys, out of core dumps and away from `ptrace` by the same user;
/// whatever this process starts inherits the limit.
pub fn protect_memory() {
    // In the unit the limit is set already, and changing limits is forbidden.
    let limited = getrlimit(Resource::RLIMIT_CORE).is_ok_and(|(soft, hard)| soft == 0 && hard == 0)
        || setrlimit(Resource::RLIMIT_CORE, 0, 0).is_ok();
    if !limited {
        tracing::warn!("core dumps could not be switched off");
    }
    hide_memory();
}

/// The same for this program alone: what it starts, or becomes, is as ever.
pub fn hide_memory() {
    if prctl::set_dumpable(false).is_err() {
        tracing::warn!("the memory could not be hidden from core dumps and tracing");
    }
}

/// Gives root's rights up for those of this user, for good.
///
/// # Errors
///
/// What the kernel said; only root may.
pub fn act_as(account: &Account) -> io::Result<()> {
    let groups = account.groups.iter().copied().map(Gid::from_raw).collect::<Vec<_>>();
    // In this order: whoever is not root may change neither.
    setgroups(&groups)?;
    setgid(Gid::from_raw(account.gid))?;
    setuid(Uid::from_raw(account.uid))?;
    Ok(())
}
