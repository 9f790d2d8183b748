//! Who is at the other end of a unix socket, as the kernel tells.
//!
//! User and group are those of the moment of the connection and cannot be forged. All else is read
//! from `/proc` afterwards, and only of the very process that connected: a pidfd (Linux 6.5 and
//! newer) names it beyond doubt. Without one, the process of that number must at least still act as
//! the same user, so that a number that was given to somebody else meanwhile tells nothing.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::{PeerCredentials, PeerPidfd};

use super::process_files::ProcessFiles;
use crate::pure::access::peer::{Peer, executable, pidfd_process, process_status, unit};

/// A peer, and its process. Its groups are known if `/proc` told them: a hardened service sees its own
/// processes alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    pub peer: Peer,
    /// As this process counts; none when the peer is in a namespace that cannot be seen from here.
    pub pid: Option<i32>,
}

/// More than the kernel writes into any of the files that are read here.
const LONGEST: u64 = 64 * 1024;

/// Looks at the peer of a connection.
///
/// # Errors
///
/// When the kernel does not say who connected, which it always can of a unix socket.
pub fn caller(socket: &impl AsFd) -> nix::Result<Caller> {
    let credentials = getsockopt(socket, PeerCredentials)?;
    let mut caller = Caller {
        peer: Peer { gid: credentials.gid(), ..Peer::of_user(credentials.uid()) },
        pid: (credentials.pid() > 0).then(|| credentials.pid()),
    };
    let pidfd = getsockopt(socket, PeerPidfd).ok();
    if let Some(process) = caller.pid.and_then(|pid| open_process(pid, pidfd.as_ref())) {
        look(&process, &mut caller);
    }
    Ok(caller)
}

/// What would be seen of a process that acts as that user; nothing of another user's, nor of one that
/// is hidden from here.
pub fn seen(mut process: Caller) -> Caller {
    if let Some(files) = process.pid.and_then(|pid| open_process(pid, None)) {
        look(&files, &mut process);
    }
    process
}

/// `/proc/PID`, which from now on is this process's or nobody's.
fn open_process(pid: i32, pidfd: Option<&OwnedFd>) -> Option<ProcessFiles> {
    let process = ProcessFiles::open(pid).ok()?;
    match pidfd {
        None => Some(process),
        Some(pidfd) => {
            // Not waited for after the directory was opened: the number was its own then.
            let told = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd()));
            (pidfd_process(&told.ok()?)? == pid).then_some(process)
        }
    }
}

fn look(process: &ProcessFiles, caller: &mut Caller) {
    let Some(status) = process.text("status", LONGEST).and_then(|text| process_status(&text))
    else {
        return;
    };
    // Another program by now, that acts as somebody else (set-user-id), or another process.
    if status.uid != caller.peer.uid {
        return;
    }
    caller.peer.groups = status.groups;
    caller.peer.groups_known = true;
    caller.peer.unit = process.text("cgroup", LONGEST).and_then(|text| unit(&text));
    // Needs the right to trace that process.
    let link = process.link("exe").ok();
    caller.peer.executable = link.and_then(|link| executable(link.to_str()?));
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn this_process_sees_itself_as_it_is() {
        let (one, _other) = UnixStream::pair().unwrap();
        let caller = caller(&one).unwrap();
        assert_eq!(caller.pid, i32::try_from(std::process::id()).ok());
        assert_eq!(caller.peer.uid, nix::unistd::geteuid().as_raw());
        assert_eq!(caller.peer.gid, nix::unistd::getegid().as_raw());
        assert!(caller.peer.groups_known);
        let groups = nix::unistd::getgroups().unwrap();
        assert!(groups.iter().all(|group| caller.peer.is_member(group.as_raw())));
        assert_eq!(caller.peer.executable, std::env::current_exe().ok());
    }
}
