//! A daemon in this process: the one that production runs, watched through its shelf.

use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinSet, yield_now};
use tokio::time::timeout;

use crate::config::Settings;
use crate::control::{self, Command, ControlError, Reply};
use crate::daemon::{Daemon, DaemonError};
use crate::shelf::{Credentials, ShelfReader, State, Status};

use super::stage::Machine;
use super::{PATIENCE, Unmet};

/// A daemon that runs; dropping it stops it.
#[derive(Debug)]
pub struct Running {
    machine: Machine,
    /// `None` when it could not even start.
    shelf: Option<ShelfReader>,
    /// Of one task: the daemon.
    task: JoinSet<Result<(), DaemonError>>,
}

impl Running {
    /// Runs a daemon on the machine for as long as `scene` takes. When this returns it has stopped,
    /// and the vault and the control socket are free.
    pub async fn during<T>(
        settings: Settings,
        machine: &Machine,
        scene: impl AsyncFnOnce(&mut Running) -> T,
    ) -> T {
        let mut running = Self::start(settings, machine).await;
        let outcome = scene(&mut running).await;
        running.stop().await;
        outcome
    }

    async fn start(settings: Settings, machine: &Machine) -> Self {
        let Machine { directories, seams } = machine.clone();
        // Nobody sends new settings.
        let (_, reloads) = mpsc::channel(1);
        let daemon = Daemon { settings, directories, seams, reloads };
        let (started, shelf) = oneshot::channel();
        let mut task = JoinSet::new();
        task.spawn_local(daemon.run(|shelf| drop(started.send(shelf))));
        Self { machine: machine.clone(), shelf: shelf.await.ok(), task }
    }

    /// Waits until `look` finds what it looks for in the daemon's status.
    pub async fn until<T>(
        &mut self,
        mut look: impl FnMut(&Status) -> Option<T>,
    ) -> Result<T, Unmet> {
        let Some(shelf) = &mut self.shelf else { return Err(self.ended().await) };
        let found = async {
            loop {
                if let Some(found) = look(&shelf.look().status) {
                    return Some(found);
                }
                shelf.changed().await?;
            }
        };
        match timeout(PATIENCE, found).await {
            Ok(Some(found)) => Ok(found),
            Ok(None) => Err(self.ended().await),
            Err(_) => Err(Unmet(format!("after {} s {}", PATIENCE.as_secs(), self.describe()))),
        }
    }

    /// Waits for fresh credentials in the file, other than those that end in `old`; gives up at the
    /// first complaint.
    pub async fn credentials(&mut self, old: Option<&str>) -> Result<Credentials, Unmet> {
        self.until(|status| settled(status, old)).await?.map_err(Unmet)
    }

    /// What the operator's command would do, and what it would say.
    pub async fn order(&self, command: Command) -> Result<String, ControlError> {
        match control::ask(&self.machine.directories.runtime, &command).await? {
            Reply::Done(sentence) => Ok(sentence),
            Reply::Status(status) => Ok(status.state.name().to_owned()),
            Reply::Refused(complaint) => Err(ControlError::Refused(complaint)),
        }
    }

    async fn stop(mut self) {
        self.task.shutdown().await;
        // The daemon's own tasks end in their next turn; the last one removes the socket.
        let socket = control::socket_path(&self.machine.directories.runtime);
        let gone = async {
            while socket.exists() {
                yield_now().await;
            }
        };
        // A socket that stays would be the next daemon's complaint.
        let _ = timeout(PATIENCE, gone).await;
    }

    /// Why there is no daemon any more.
    async fn ended(&mut self) -> Unmet {
        match self.task.join_next().await {
            Some(Ok(Err(error))) => Unmet(format!("the daemon ended: {error}")),
            Some(Err(error)) => Unmet(format!("the daemon ended: {error}")),
            Some(Ok(Ok(()))) | None => Unmet("the daemon ended".to_owned()),
        }
    }

    fn describe(&self) -> String {
        let Some(shelf) = &self.shelf else { return "there is no daemon".to_owned() };
        let status = shelf.look().status;
        let complaint = complaint(&status).unwrap_or_else(|| "no complaint".to_owned());
        format!("the daemon is {}, with {complaint}", status.state.name())
    }
}

/// Fresh credentials that every file has, or what stands in their way; `None` while it is open.
fn settled(status: &Status, old: Option<&str>) -> Option<Result<Credentials, String>> {
    if let Some(complaint) = complaint(status) {
        return Some(Err(complaint));
    }
    let credentials = status.credentials.as_ref()?;
    let fresh = status.state == State::Fresh
        && old != Some(credentials.access_key_id_suffix.as_str())
        && status.targets.iter().all(|target| target.written_at.is_some());
    fresh.then(|| Ok(credentials.clone()))
}

fn complaint(status: &Status) -> Option<String> {
    let failure = status.failure.as_ref().map(|failure| failure.message.clone());
    failure.or_else(|| status.targets.iter().find_map(|target| target.error.clone()))
}
