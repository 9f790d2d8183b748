//! The daemon's end of the sockets.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::unistd::Gid;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::audit::Audit;
use super::dry_run::TokenHolders;
use super::judgement::Judge;
use super::protocol::{
    LONGEST_REQUEST, Request, credentials, network_namespace, refused, would_get,
};
use super::socket_paths;
use crate::host::clock::{ServiceClock, pause, timeout};
use crate::host::peer::{Caller, caller};
use crate::host::places::{PENALTY, Place, Places, RATE_OF_A_USER};
use crate::host::{process_files, socket};
use crate::pure::access::{Access, Allowed, Denied};
use crate::pure::advice::{Complaint, Exit};
use crate::pure::role_token::RoleToken;
use crate::pure::secret::Secret;
use crate::shelf::ShelfReader;

/// Connections at a time; one more waits in the kernel's queue.
const CONNECTIONS: usize = 256;

/// How long a program may take to say what it wants, and to take the answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Rules whose answers are logged for one request.
const MOST_RULES_LOGGED: usize = 100;

/// The sockets, listening. Removed when they are dropped.
#[derive(Debug)]
pub struct Bound {
    group_door: socket::Bound,
    door: socket::Bound,
    /// Whoever came through the group's door is in it.
    group: Gid,
}

/// What is to be had, who may have it, and what time it is.
#[derive(Debug, Clone)]
pub struct Stock {
    pub shelf: ShelfReader,
    pub access: watch::Receiver<Arc<Access>>,
    pub clock: ServiceClock,
    pub judge: Judge,
    pub tokens: Arc<dyn TokenHolders>,
}

/// Binds both sockets.
///
/// # Errors
///
/// As [`socket::bind`].
pub fn bind(runtime_dir: &Path) -> io::Result<Bound> {
    let [group_path, path] = socket_paths(runtime_dir);
    let group_door = socket::bind(group_path, 0o660)?;
    let group = group_door.group()?;
    Ok(Bound { door: socket::bind(path, 0o666)?, group_door, group })
}

impl Bound {
    /// Answers until the task is dropped.
    pub async fn serve(mut self, stock: Stock) {
        let clerk = Clerk { stock, group: self.group, audit: Arc::default() };
        let places = Places::new(RATE_OF_A_USER);
        let mut connections = JoinSet::new();
        loop {
            while connections.len() >= CONNECTIONS {
                connections.join_next().await;
            }
            let (accepted, group) = tokio::select! {
                accepted = self.group_door.accept() => (accepted, Some(self.group)),
                accepted = self.door.accept() => (accepted, None),
            };
            match accepted.and_then(|stream| Ok((known(&stream, group)?, stream))) {
                Ok((caller, stream)) => {
                    let uid = Some(caller.peer.uid);
                    let place = places.take(uid, clerk.stock.clock.since_boot());
                    connections.spawn(clerk.clone().converse(stream, caller, place));
                    // Whoever has sent its line already is done before the next one counts.
                    tokio::task::yield_now().await;
                }
                // Out of descriptors: the next accept would fail at once, too.
                Err(error) => {
                    tracing::warn!(%error, "a program's connection was not accepted");
                    pause(PATIENCE).await;
                }
            }
            while connections.try_join_next().is_some() {}
        }
    }
}

/// Who is there; of the service's group, too, if that was the door.
fn known(stream: &UnixStream, group: Option<Gid>) -> io::Result<Caller> {
    let mut caller = caller(stream)?;
    caller.peer.groups.extend(group.map(Gid::as_raw));
    Ok(caller)
}

#[derive(Debug, Clone)]
pub(super) struct Clerk {
    pub(super) stock: Stock,
    /// The service's.
    pub(super) group: Gid,
    audit: Arc<Mutex<Audit>>,
}

impl Clerk {
    async fn converse(self, mut stream: UnixStream, caller: Caller, place: Option<Place>) {
        let answer = match place {
            None => Some(refused(&Complaint::new(
                Exit::TryAgain,
                "this user has too many connections to the daemon",
                "ask one after the other",
            ))),
            Some(place) if !place.may_ask(self.stock.clock.since_boot()) => {
                // The place stays taken meanwhile.
                pause(PENALTY).await;
                Some(self.turn_away(&caller))
            }
            Some(_place) => match read_line(&mut stream).await {
                Some(line) => Some(self.answer(&line, caller).await),
                // Gone, or silent: there is nobody to answer.
                None => None,
            },
        };
        if let Some(line) = answer {
            // A program that left does not want its answer.
            let _ = timeout(PATIENCE, stream.write_all(line.expose())).await;
        }
    }

    async fn answer(&self, line: &[u8], caller: Caller) -> Secret<Vec<u8>> {
        match serde_json::from_slice(line) {
            Ok(Request::Credentials { target }) => self.vend(target.as_deref(), caller).await,
            Ok(Request::DryRun(asked)) => match self.dry_run(*asked, caller).await {
                Ok(what) => would_get(&what),
                Err(complaint) => refused(&complaint),
            },
            Ok(Request::NetworkNamespace) => {
                network_namespace(process_files::own_network().as_deref())
            }
            Err(_) => refused(&Complaint::new(
                Exit::Usage,
                "the daemon does not know this request",
                "use a rolekeeper of the daemon's version",
            )),
        }
    }

    async fn vend(&self, wanted: Option<&str>, mut caller: Caller) -> Secret<Vec<u8>> {
        let access = self.access();
        let judged = self.stock.judge.judge(&access, wanted, &mut caller.peer).await;
        log_rules(&access, &caller);
        match judged {
            Err(denied) => self.deny(&caller, wanted, &denied),
            Ok(allowed) => self.hand_out(&caller, allowed),
        }
    }

    pub(super) fn access(&self) -> Arc<Access> {
        Arc::clone(&self.stock.access.borrow())
    }

    fn turn_away(&self, caller: &Caller) -> Secret<Vec<u8>> {
        let why = "this user asks the daemon too often";
        lock(&self.audit).refused(caller, None, &why, self.stock.clock.since_boot());
        let remedy = "wait, and keep the credentials until they end";
        refused(&Complaint::new(Exit::TryAgain, why, remedy))
    }

    fn deny(&self, caller: &Caller, wanted: Option<&str>, denied: &Denied) -> Secret<Vec<u8>> {
        lock(&self.audit).refused(caller, wanted, denied, self.stock.clock.since_boot());
        refused(&Complaint::of(denied))
    }

    fn hand_out(&self, caller: &Caller, allowed: Allowed<'_>) -> Secret<Vec<u8>> {
        match self.in_stock(allowed) {
            Ok(token) => {
                lock(&self.audit).vended(caller, allowed, &token);
                let snapshot = self.stock.shelf.look();
                credentials(allowed.name, &token, snapshot.status.region.as_deref())
            }
            Err(complaint) => refused(&complaint),
        }
    }

    /// What there is, if it is of use now.
    pub(super) fn in_stock(&self, allowed: Allowed<'_>) -> Result<Arc<RoleToken>, Complaint> {
        let snapshot = self.stock.shelf.look();
        let now = self.stock.clock.estimate().latest;
        let source = allowed.target.unwrap_or(allowed.name);
        let token = snapshot.credentials_for(source).filter(|token| token.is_usable(now));
        token.ok_or_else(|| {
            let why = snapshot.failure_of(source).map(|failure| failure.class.as_str());
            let why = why.unwrap_or(snapshot.status.state.name());
            Complaint::new(
                Exit::TryAgain,
                format!("there are no usable credentials now: {why}"),
                "rolekeeper status, for what stands in the way",
            )
        })
    }
}

/// What each rule says of who asks, if it asked by the rule's name.
fn log_rules(access: &Access, caller: &Caller) {
    if !tracing::enabled!(tracing::Level::DEBUG) {
        return;
    }
    let (uid, pid) = (caller.peer.uid, caller.pid);
    for rule in access.consumers.iter().chain(&access.targets).take(MOST_RULES_LOGGED) {
        let says = match access.judge(Some(&rule.name), &caller.peer) {
            Ok(allowed) => format!("allows it: {}", allowed.because.name()),
            Err(denied) => format!("does not allow it: {denied}"),
        };
        // With the path of a program in it.
        tracing::debug!(rule = rule.name, uid, pid, "the rule {}", says.escape_debug());
    }
}

/// A whole line, or as much as there may be of one.
async fn read_line(stream: &mut UnixStream) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    let mut reader = BufReader::new(stream.take(LONGEST_REQUEST));
    match timeout(PATIENCE, reader.read_until(b'\n', &mut line)).await {
        Ok(Ok(length)) if length > 0 => Some(line),
        _ => None,
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
