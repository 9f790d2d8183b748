//! The daemon's end of the socket.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Interest};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::protocol::{Command, Reply};
use super::{Order, Wish, socket_path};
use crate::host::accounts::own_uid;
use crate::host::clock::{pause, timeout};
use crate::host::socket;
use crate::pure::advice::{Complaint, Exit};
use crate::pure::fingerprint::SimilarityThreshold;
use crate::shelf::{ShelfReader, Status};

/// Connections at a time; one more waits in the kernel's queue.
const CONNECTIONS: usize = 16;

/// How long a peer may take to say what it wants, and to take the answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often somebody who has ended their half of a connection is looked for: nothing else tells when
/// they leave.
const LOOK: Duration = Duration::from_millis(200);

/// The longest command, in bytes.
const LONGEST_COMMAND: u64 = 1024;

/// The operator's socket.
#[derive(Debug)]
pub struct Bound(socket::Bound);

/// Binds the control socket, mode 0660: the daemon's user, its group and root.
///
/// # Errors
///
/// As [`socket::bind`].
pub fn bind(runtime_dir: &Path) -> io::Result<Bound> {
    socket::bind(socket_path(runtime_dir), 0o660).map(Bound)
}

impl Bound {
    /// Answers until the task is dropped.
    pub async fn serve(mut self, shelf: ShelfReader, orders: mpsc::Sender<Order>) {
        let mut connections = JoinSet::new();
        loop {
            while connections.len() >= CONNECTIONS {
                connections.join_next().await;
            }
            match self.0.accept().await {
                Ok(stream) => {
                    connections.spawn(converse(stream, shelf.clone(), orders.clone()));
                }
                // Out of descriptors: the next accept would fail at once, too.
                Err(error) => {
                    tracing::warn!(%error, "a control connection was not accepted");
                    pause(PATIENCE).await;
                }
            }
            while connections.try_join_next().is_some() {}
        }
    }
}

async fn converse(mut stream: UnixStream, shelf: ShelfReader, orders: mpsc::Sender<Order>) {
    let privileged =
        stream.peer_cred().is_ok_and(|peer| peer.uid() == 0 || peer.uid() == own_uid().as_raw());
    let mut line = String::new();
    let mut reader = BufReader::new((&mut stream).take(LONGEST_COMMAND));
    let Ok(Ok(_)) = timeout(PATIENCE, reader.read_line(&mut line)).await else {
        return;
    };
    let reply = match serde_json::from_str(&line) {
        Err(_) => Reply::Refused(Complaint::new(
            Exit::Usage,
            "the daemon does not know this command",
            "use a rolekeeper of the daemon's version",
        )),
        Ok(command) => match wish(&command) {
            Ok(None) => Reply::Status(Box::new(Status::clone(&shelf.look().status))),
            Ok(Some(_)) if !privileged => Reply::Refused(Complaint::new(
                Exit::Refused,
                "this is for root and for the daemon's user alone",
                "run the command with sudo",
            )),
            // What nobody waits for any more, the driver does not begin.
            Ok(Some(wish)) => tokio::select! {
                reply = order(wish, &orders) => reply,
                () = hung_up(&stream) => return,
            },
            Err(complaint) => Reply::Refused(complaint),
        },
    };
    if let Ok(mut text) = serde_json::to_vec(&reply) {
        text.push(b'\n');
        // A peer that left does not want its answer.
        let _ = timeout(PATIENCE, stream.write_all(&text)).await;
    }
}

/// What the driver is to do; nothing for a look at the status.
fn wish(command: &Command) -> Result<Option<Wish>, Complaint> {
    Ok(match command {
        Command::AcceptFingerprint => Some(Wish::AcceptFingerprint),
        Command::Refresh => Some(Wish::Refresh),
        Command::Reload => Some(Wish::Reload),
        Command::RotateKey => Some(Wish::RotateKey),
        Command::SetThreshold { threshold } => {
            let threshold = SimilarityThreshold::try_from(*threshold);
            Some(Wish::SetThreshold(threshold.map_err(|error| Complaint::of(&error))?))
        }
        Command::Status => None,
    })
}

/// Waits until the client is gone. Who has only said all there is to say still waits for the answer.
async fn hung_up(stream: &UnixStream) {
    loop {
        // Whatever else it sends is no part of its command.
        match stream.ready(Interest::READABLE).await {
            Ok(ready) if ready.is_read_closed() => break,
            Ok(_) => match stream.try_read(&mut [0; 64]) {
                Ok(0) => break,
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return,
                Ok(_) | Err(_) => {}
            },
            Err(_) => return,
        }
    }
    while let Ok(ready) = stream.ready(Interest::READABLE | Interest::WRITABLE).await {
        if ready.is_write_closed() {
            return;
        }
        pause(LOOK).await;
    }
}

async fn order(wish: Wish, orders: &mpsc::Sender<Order>) -> Reply {
    let (reply, answer) = oneshot::channel();
    let sent = orders.send(Order { wish, reply }).await;
    match (sent, answer.await) {
        (Ok(()), Ok(Ok(sentence))) => Reply::Done(sentence),
        (Ok(()), Ok(Err(complaint))) => Reply::Refused(complaint),
        _ => Reply::Refused(Complaint::new(
            Exit::TryAgain,
            "the daemon is stopping",
            "try again when it runs",
        )),
    }
}
