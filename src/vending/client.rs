//! A program's end of the sockets. It blocks, and needs no event loop: it has to be done within
//! milliseconds.

use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::socket::sockopt::SendTimeout;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, setsockopt, socket};
use nix::sys::time::TimeVal;
use zeroize::Zeroizing;

use super::dry_run::{DryRun, WouldGet};
use super::protocol::{Answer, LONGEST_ANSWER, Request, Vended};
use super::socket_paths;
use crate::pure::advice::{Advice, Complaint, Exit};

/// The daemon answers from memory; whoever waits this long waits for nothing.
const PATIENCE: Duration = Duration::from_secs(5);

/// No credentials.
#[derive(Debug, thiserror::Error)]
pub enum VendingError {
    #[error("the daemon at {} gave no answer: {source}", path.display())]
    Broken { path: PathBuf, source: io::Error },
    #[error("{} may not be used by this user", path.display())]
    Forbidden { path: PathBuf },
    #[error("the daemon at {} gave an answer that is none: {reason}", path.display())]
    Garbled { path: PathBuf, reason: String },
    #[error("no daemon answers at {}", path.display())]
    NotRunning { path: PathBuf },
    #[error("{}", .0.message)]
    Refused(Complaint),
}

/// Asks the daemon of the first of these runtime directories that has one.
///
/// # Errors
///
/// When no daemon answers, or it refuses.
pub fn ask(runtime_dirs: &[PathBuf], target: Option<&str>) -> Result<Vended, VendingError> {
    let mut missing = VendingError::NotRunning { path: PathBuf::new() };
    for directory in runtime_dirs {
        match ask_one(directory, target) {
            Err(error @ VendingError::NotRunning { .. }) => missing = error,
            outcome => return outcome,
        }
    }
    Err(missing)
}

/// What a program would get, by the daemon of this runtime directory.
///
/// # Errors
///
/// When no daemon answers, or it would refuse.
pub fn try_out(runtime_dir: &Path, asked: DryRun) -> Result<WouldGet, VendingError> {
    match hear(runtime_dir, &Request::DryRun(Box::new(asked)))? {
        (_, Answer::WouldGet(what)) => Ok(what),
        (_, Answer::Refused(complaint)) => Err(VendingError::Refused(complaint)),
        (path, _) => Err(unasked(path)),
    }
}

/// The network namespace of the daemon of this runtime directory, as `/proc/PID/ns/net` names it; none
/// where the daemon cannot see it.
///
/// # Errors
///
/// When no daemon answers, or does not know the question.
pub fn network_namespace(runtime_dir: &Path) -> Result<Option<String>, VendingError> {
    match hear(runtime_dir, &Request::NetworkNamespace)? {
        (_, Answer::NetworkNamespace(name)) => Ok(name),
        (_, Answer::Refused(complaint)) => Err(VendingError::Refused(complaint)),
        (path, _) => Err(unasked(path)),
    }
}

fn ask_one(runtime_dir: &Path, target: Option<&str>) -> Result<Vended, VendingError> {
    match hear(runtime_dir, &Request::Credentials { target: target.map(str::to_owned) })? {
        (_, Answer::Credentials(vended)) => Ok(vended),
        (_, Answer::Refused(complaint)) => Err(VendingError::Refused(complaint)),
        (path, _) => Err(unasked(path)),
    }
}

fn unasked(path: PathBuf) -> VendingError {
    VendingError::Garbled { path, reason: "it is another question's".to_owned() }
}

/// The answer, and the socket that it came through.
fn hear(runtime_dir: &Path, request: &Request) -> Result<(PathBuf, Answer), VendingError> {
    let (path, stream) = enter(runtime_dir)?;
    let broken = |source| VendingError::Broken { path: path.clone(), source };
    let line = converse(stream, request).map_err(broken)?;
    match serde_json::from_slice(&line) {
        Ok(answer) => Ok((path, answer)),
        Err(_) if line.is_empty() => Err(broken(io::ErrorKind::UnexpectedEof.into())),
        // The parser's own words may hold a value.
        Err(error) => {
            let reason = format!("{:?} error in column {}", error.classify(), error.column());
            Err(VendingError::Garbled { path, reason })
        }
    }
}

/// Through the group's door, or else through everybody's.
fn enter(runtime_dir: &Path) -> Result<(PathBuf, UnixStream), VendingError> {
    let [group_path, path] = socket_paths(runtime_dir);
    match open(&group_path) {
        Ok(stream) => Ok((group_path, stream)),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => match open(&path) {
            Ok(stream) => Ok((path, stream)),
            Err(error) => Err(closed(path, error)),
        },
        Err(error) => Err(closed(group_path, error)),
    }
}

fn closed(path: PathBuf, error: io::Error) -> VendingError {
    match error.kind() {
        io::ErrorKind::PermissionDenied => VendingError::Forbidden { path },
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            VendingError::NotRunning { path }
        }
        _ => VendingError::Broken { path, source: error },
    }
}

/// Connects, and waits no longer for a daemon that is stuck than for one that is silent.
fn open(path: &Path) -> io::Result<UnixStream> {
    let address = UnixAddr::new(path)?;
    let socket = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    let patience = TimeVal::new(PATIENCE.as_secs().try_into().unwrap_or(5), 0);
    setsockopt(&socket, SendTimeout, &patience)?;
    connect(socket.as_raw_fd(), &address)?;
    let stream = UnixStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn converse(mut stream: UnixStream, request: &Request) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    read_line(&mut stream)
}

/// Up to the line's end: a daemon that hangs up on the rest of a request has still answered.
fn read_line(stream: &mut UnixStream) -> io::Result<Zeroizing<Vec<u8>>> {
    // Room for all of it at once: a buffer that grew would leave its old halves in memory.
    let mut room = Zeroizing::new(vec![0; LONGEST_ANSWER]);
    let mut filled = 0;
    while filled < room.len() && !room[..filled].ends_with(b"\n") {
        match stream.read(&mut room[filled..]) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    room.truncate(filled);
    Ok(room)
}

impl Advice for VendingError {
    fn remedy(&self) -> String {
        match self {
            Self::Broken { .. } => "look at the daemon's log: journalctl -u rolekeeper".to_owned(),
            Self::Forbidden { .. } => {
                "sudo rolekeeper doctor --user with this user's name, which tells the directory that \
                 is in the way"
                    .to_owned()
            }
            Self::Garbled { .. } => "use a rolekeeper of the daemon's version".to_owned(),
            Self::NotRunning { .. } => {
                "systemctl restart rolekeeper, or name its directory with --runtime-dir".to_owned()
            }
            Self::Refused(complaint) => complaint.remedy.clone(),
        }
    }

    /// Whoever calls this from a script or an SDK asks again later, also of a daemon that is not
    /// there yet.
    fn exit(&self) -> Exit {
        match self {
            Self::Broken { .. } | Self::NotRunning { .. } => Exit::TryAgain,
            Self::Forbidden { .. } => Exit::Refused,
            Self::Garbled { .. } => Exit::BadData,
            Self::Refused(complaint) => Exit::from_code(complaint.exit),
        }
    }
}
