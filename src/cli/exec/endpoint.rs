//! A container credentials endpoint for one command.
//!
//! The command takes `exec`'s own place, so that signals, job control, the terminal and the exit status are
//! its own with nobody in between. Beside it this program runs once more, and serves: in a session of its
//! own, where no signal for the command reaches it, and until the command has ended.
//!
//! The command inherits the listening socket. Were the server killed, nobody else could take the port, and
//! with it the token that the command goes on showing.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;

use nix::fcntl::{FcntlArg, fcntl};
use tokio::task::spawn_blocking;
use zeroize::Zeroizing;

use crate::control::Complaint;
use crate::endpoints::{self, ANY_PORT, Asked, bearer_token};
use crate::host::entropy::SystemEntropy;
use crate::host::places::RATE_OF_A_USER;
use crate::host::process::{self, Parent};
use crate::host::{accounts, signals};
use crate::pure::advice::{Advice, Exit};
use crate::pure::assumption::RoleArn;
use crate::pure::metadata::container::{self, BearerToken, Grant, answer};
use crate::pure::metadata::{Reply, Unavailable};
use crate::pure::role_token::RoleToken;
use crate::vending;

/// Where the credentials are.
const PATH: &str = "/credentials";

/// What the server is called, in the list of processes and to [`serve`].
const SERVER: &str = "rolekeeper-exec-endpoint";

/// This program, also where its file was replaced meanwhile.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// The lowest number that the inherited socket has in the command: shell scripts use those up to 9 by
/// number, and shells those from 10 on for themselves.
const LOWEST_DESCRIPTOR: i32 = 64;

/// More than a token has.
const LONGEST_TOKEN: u64 = 1024;

/// What the endpoint hands out, and to whom.
#[derive(Debug)]
struct Source {
    bearer: BearerToken,
    runtime_dirs: Vec<PathBuf>,
    name: String,
}

/// Opens an endpoint for as long as this process lives, whatever program it becomes, and tells the command
/// where it is.
pub(super) fn open(
    command: &mut Command,
    runtime_dirs: &[PathBuf],
    name: &str,
) -> Result<(), Complaint> {
    let failed = |error: io::Error| {
        let message = format!("no endpoint for the command: {error}");
        Complaint::new(Exit::Unavailable, message, "free some file descriptors")
    };
    let (address, token) = start(runtime_dirs, name).map_err(failed)?;
    command
        .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("http://{address}{PATH}"))
        .env("AWS_CONTAINER_AUTHORIZATION_TOKEN", &*token)
        // Keys in the user's own file would come first.
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
    Ok(())
}

/// Starts the server: where it listens, and the token that it wants.
fn start(runtime_dirs: &[PathBuf], name: &str) -> io::Result<(String, Zeroizing<String>)> {
    let listener = TcpListener::bind(ANY_PORT)?;
    let address = listener.local_addr()?.to_string();
    let mut server = Command::new(THIS_PROGRAM)
        .arg0(SERVER)
        .arg(name)
        .args(runtime_dirs)
        .env_clear()
        .stdin(OwnedFd::from(listener.try_clone()?))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut token = Zeroizing::new(String::with_capacity(LONGEST_TOKEN as usize));
    if let Some(said) = server.stdout.take() {
        said.take(LONGEST_TOKEN).read_to_string(&mut token)?;
    }
    // It goes on as another process. With SIGCHLD ignored the kernel has taken the status already.
    let _ = server.wait();
    if token.is_empty() {
        return Err(io::Error::other("its server did not start"));
    }
    leave_to_command(&listener)?;
    Ok((address, token))
}

/// Another descriptor of the socket, which stays open in the command and in whatever that starts.
fn leave_to_command(listener: &TcpListener) -> io::Result<()> {
    // Where the limit for descriptors is lower, the lowest one that is free.
    let duplicate = |lowest| fcntl(listener, FcntlArg::F_DUPFD(lowest));
    duplicate(LOWEST_DESCRIPTOR).or_else(|_| duplicate(0))?;
    Ok(())
}

/// Serves, if this process was started for it: to the command's end. The listening socket is standard
/// input, and the token goes to standard output.
pub(in crate::cli) fn serve(arguments: &[OsString]) -> Option<ExitCode> {
    let [server, name, runtime_dirs @ ..] = arguments else { return None };
    if server != OsStr::new(SERVER) {
        return None;
    }
    process::close_inherited();
    process::protect_memory();
    // Whoever reads the token sees that there is none.
    Some(attend(name, runtime_dirs).map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS))
}

fn attend(name: &OsStr, runtime_dirs: &[OsString]) -> io::Result<()> {
    let command = Parent::open()?;
    let listener = TcpListener::from(io::stdin().as_fd().try_clone_to_owned()?);
    listener.set_nonblocking(true)?;
    process::detach()?;
    // A service manager that stops the command's service means the command, which may need credentials to
    // the end.
    signals::outlive()?;
    let token = bearer_token(&SystemEntropy);
    let source = Arc::new(Source {
        bearer: BearerToken::new(&token),
        runtime_dirs: runtime_dirs.iter().map(PathBuf::from).collect(),
        name: name.to_string_lossy().into_owned(),
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let mut out = io::stdout();
        out.write_all(token.expose().as_bytes()).and_then(|()| out.flush())?;
        process::let_streams_go()?;
        let answer = move |asked| reply(Arc::clone(&source), asked);
        let turn_away = |_| container::turn_away();
        tokio::select! {
            () = endpoints::serve(listener, RATE_OF_A_USER, answer, turn_away) => {}
            () = command.ended() => {}
        }
        Ok::<_, io::Error>(())
    })?;
    // The daemon may be asked still.
    runtime.shutdown_background();
    Ok(())
}

/// Whoever is somebody else, or does not know the token, costs the daemon nothing.
async fn reply(source: Arc<Source>, asked: Asked) -> Reply {
    if !is_for(asked.user) {
        return asked.head(container::deny);
    }
    let without = asked.head(|head| answer(head, &[source.grant(Err(Unavailable::Now))], NEVER));
    if without.status != 503 {
        return without;
    }
    let of = Arc::clone(&source);
    let vended = spawn_blocking(move || vending::ask(&of.runtime_dirs, Some(&of.name))).await;
    let credentials = match &vended {
        Ok(Ok(vended)) => Ok(&vended.token),
        Ok(Err(error)) if error.exit() == Exit::Refused => {
            Err(Unavailable::Refused { code: "AccessDenied", message: error.to_string() })
        }
        Ok(Err(_)) | Err(_) => Err(Unavailable::Now),
    };
    // The daemon has judged them a moment ago, by the service's clock.
    let now = credentials.as_ref().map_or(NEVER, |token| token.issued_at);
    asked.head(|head| answer(head, &[source.grant(credentials)], now))
}

/// The command's own user, as the kernel knows the socket; and root, who reads its environment anyway.
fn is_for(user: Option<u32>) -> bool {
    user.is_some_and(|uid| uid == 0 || uid == accounts::own_uid().as_raw())
}

/// Of no use without credentials.
const NEVER: time::UtcDateTime = time::UtcDateTime::MAX;

impl Source {
    fn grant<'a>(&'a self, credentials: Result<&'a RoleToken, Unavailable>) -> Grant<'a> {
        let token = credentials.as_ref().ok().copied();
        Grant {
            token: &self.bearer,
            path: PATH,
            credentials,
            account_id: token.and_then(RoleToken::account_id),
            role_arn: token.and_then(|token| token.role.as_ref()).map(RoleArn::as_str),
        }
    }
}
