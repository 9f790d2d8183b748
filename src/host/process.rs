//! This process: its protection, whom it acts as, and what ties it to others.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::time::Duration;

use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{
    Gid, Uid, close, daemon, dup2_stderr, dup2_stdin, dup2_stdout, getppid, setgid, setgroups,
    setuid,
};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::accounts::Account;
use super::clock::pause;
use super::process_files::ProcessFiles;

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

/// The process that started this one. Its end is noticed also when this one is nobody's child any more.
#[derive(Debug)]
pub struct Parent {
    /// None before Linux 5.3, nor where a filter of system calls does not know it.
    pidfd: Option<OwnedFd>,
    /// None of a process that is hidden from here.
    files: Option<ProcessFiles>,
}

/// How often the end of a process is looked for that cannot be waited for.
const LOOK: Duration = Duration::from_secs(1);

/// More than `/proc/PID/stat` has.
const LONGEST_STAT: u64 = 4096;

impl Parent {
    /// # Errors
    ///
    /// When it has ended already, or cannot be watched.
    pub fn open() -> io::Result<Self> {
        let pid = getppid().as_raw();
        let named = Pid::from_raw(pid);
        let pidfd = named.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        let files = ProcessFiles::open(pid).ok();
        // Its number may have become somebody else's otherwise.
        if getppid().as_raw() != pid || (pidfd.is_none() && files.is_none()) {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(Self { pidfd, files })
    }

    /// Waits until it has ended.
    pub async fn ended(self) {
        #[expect(
            deprecated,
            reason = "who owns a descriptor keeps it open; the successor is unsafe"
        )]
        let pidfd = self.pidfd.map(|pidfd| AsyncFd::with_interest(pidfd, Interest::READABLE));
        if let Some(Ok(pidfd)) = pidfd
            && pidfd.readable().await.is_ok()
        {
            return;
        }
        while self.files.as_ref().is_some_and(is_alive) {
            pause(LOOK).await;
        }
    }
}

/// Of one that has ended, and that its parent knows to have, nothing is read any more.
fn is_alive(process: &ProcessFiles) -> bool {
    let stat = process.text("stat", LONGEST_STAT);
    stat.is_some_and(|stat| !stat.rsplit(')').next().unwrap_or_default().starts_with(" Z"))
}

/// Closes whatever else this process was started with than the three standard streams: somebody may wait for
/// its end. To be called first of all, while nothing else is open.
pub fn close_inherited() {
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else { return };
    let number = |name: OsString| name.to_str()?.parse::<RawFd>().ok();
    let open = entries.flatten().filter_map(|entry| number(entry.file_name()));
    // The directory's own is among them, and closed by then.
    for descriptor in open.filter(|number| *number > 2).collect::<Vec<_>>() {
        let _ = close(descriptor);
    }
}

/// Goes on as a process that is nobody's child, in a session of its own and in the root directory. To be
/// called while there is one thread.
///
/// # Errors
///
/// When there can be no other process.
pub fn detach() -> io::Result<()> {
    Ok(daemon(false, true)?)
}

/// Leaves the three standard streams to whoever waits for their end.
///
/// # Errors
///
/// When `/dev/null` cannot be opened.
pub fn let_streams_go() -> io::Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    dup2_stderr(&null)?;
    Ok(())
}
