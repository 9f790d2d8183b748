//! A daemon in this process: the one that production runs, watched through its shelf.

use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet, yield_now};

use crate::config::Settings;
use crate::control::{self, Command, ControlError, Reply};
use crate::daemon::{Daemon, DaemonError, SettingsReader};
use crate::host::clock::timeout;
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
    handle: AbortHandle,
    /// Of one task: it writes down what the daemon says of itself.
    writer: JoinSet<()>,
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

    /// Starts a daemon on the machine.
    pub async fn start(settings: Settings, machine: &Machine) -> Self {
        let Machine { directories, seams, .. } = machine.clone();
        // Nobody sends new settings.
        let (_, reloads) = mpsc::channel(1);
        let reader = SettingsReader::fixed(settings.clone());
        let daemon = Daemon { settings, directories, seams, reader, trouble: None, reloads };
        let (started, shelf) = oneshot::channel();
        let mut task = JoinSet::new();
        let handle = task.spawn_local(daemon.run(|shelf| drop(started.send(shelf))));
        let shelf = shelf.await.ok();
        let mut writer = JoinSet::new();
        if let Some(shelf) = shelf.clone() {
            writer.spawn_local(write_down(shelf, machine.clone()));
        }
        Self { machine: machine.clone(), shelf, task, handle, writer }
    }

    /// What it says of itself; `None` when it could not even start.
    pub fn status(&self) -> Option<Status> {
        self.shelf.as_ref().map(|shelf| Status::clone(&shelf.look().status))
    }

    /// Tells whether it still runs.
    pub fn handle(&self) -> AbortHandle {
        self.handle.clone()
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

    /// Ends it where it is, as `kill -9` does: its socket stays behind.
    pub async fn kill(self) {
        let socket = control::socket_path(&self.machine.directories.runtime);
        let aside = socket.with_extension("aside");
        // Dropping a daemon removes its socket, which a process that is killed cannot.
        let kept = std::fs::rename(&socket, &aside).is_ok();
        self.stop().await;
        if kept {
            // Without it the next start is only easier.
            let _ = std::fs::rename(&aside, &socket);
        }
    }

    /// Tells it to stop, and waits until it has.
    pub async fn stop(mut self) {
        self.task.shutdown().await;
        self.writer.shutdown().await;
        self.machine.chronicle.stopped(&self.machine.name);
        if let Some(clock) = &self.machine.clock {
            clock.forget_work();
        }
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

/// Everything that the daemon says of itself, for the picture.
async fn write_down(mut shelf: ShelfReader, machine: Machine) {
    loop {
        machine.chronicle.status(&machine.name, &shelf.look().status);
        if shelf.changed().await.is_none() {
            return machine.chronicle.stopped(&machine.name);
        }
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
