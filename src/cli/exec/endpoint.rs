//! A container credentials endpoint for one command: it begins before the command and ends with it.

use std::ffi::c_int;
use std::io::{self, IsTerminal};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode, ExitStatus};
use std::sync::Arc;

use futures_util::StreamExt;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use signal_hook::consts::signal::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH};
use signal_hook_tokio::Signals;
use tokio::process::Child;
use tokio::task::{JoinSet, spawn_blocking};

use super::not_run;
use crate::control::Complaint;
use crate::endpoints::{self, ANY_PORT, Asked, bearer_token};
use crate::host::accounts;
use crate::host::entropy::SystemEntropy;
use crate::host::places::RATE_OF_A_USER;
use crate::pure::advice::{Advice, Exit};
use crate::pure::assumption::RoleArn;
use crate::pure::metadata::container::{self, BearerToken, Grant, answer};
use crate::pure::metadata::{Reply, Unavailable};
use crate::pure::role_token::RoleToken;
use crate::vending;

/// Where the credentials are.
const PATH: &str = "/credentials";

/// Signals that are for the command.
const PASSED_ON: [c_int; 7] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH];

/// What a terminal sends to everybody in its foreground, the command included.
const FROM_A_TERMINAL: [c_int; 3] = [SIGINT, SIGQUIT, SIGWINCH];

/// What the endpoint hands out, and to whom.
#[derive(Debug)]
struct Source {
    bearer: BearerToken,
    runtime_dirs: Vec<PathBuf>,
    name: String,
}

/// Runs the command to its end, and ends as it did.
pub(super) async fn run(
    mut command: Command,
    runtime_dirs: Vec<PathBuf>,
    name: String,
) -> Result<ExitCode, Complaint> {
    let (listener, address) = endpoints::listen(ANY_PORT).await.map_err(|error| failed(&error))?;
    let token = bearer_token(&SystemEntropy);
    let source = Arc::new(Source { bearer: BearerToken::new(&token), runtime_dirs, name });
    let mut tasks = JoinSet::new();
    let answer = move |asked| reply(Arc::clone(&source), asked);
    let turn_away = |_| container::turn_away();
    tasks.spawn(endpoints::serve(listener, RATE_OF_A_USER, answer, turn_away));

    command
        .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("http://{address}{PATH}"))
        .env("AWS_CONTAINER_AUTHORIZATION_TOKEN", token.expose())
        // Keys in the user's own file would come first.
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
    let program = command.get_program().to_owned();
    // Before there is a command, so that none is lost.
    let mut signals = Signals::new(PASSED_ON).map_err(|error| failed(&error))?;
    let spawned = tokio::process::Command::from(command).spawn();
    let mut child = spawned.map_err(|error| not_run(&program, &error))?;
    loop {
        tokio::select! {
            Some(signal) = signals.next() => pass_on(signal, &child),
            ended = child.wait() => return ended.map(status).map_err(|error| failed(&error)),
        }
    }
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

fn pass_on(signal: c_int, child: &Child) {
    if FROM_A_TERMINAL.contains(&signal) && io::stdin().is_terminal() {
        return;
    }
    let pid = child.id().and_then(|id| i32::try_from(id).ok());
    if let (Some(pid), Ok(signal)) = (pid, Signal::try_from(signal)) {
        // It may have ended in this moment.
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

/// As shells have it: 128 and the number of the signal.
fn status(status: ExitStatus) -> ExitCode {
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
    ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))
}

fn failed(error: &io::Error) -> Complaint {
    let message = format!("no endpoint for the command: {error}");
    Complaint::new(Exit::Unavailable, message, "free some file descriptors")
}
