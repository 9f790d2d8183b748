//! The daemon in a process of its own, with somebody in the service manager's place.

use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rolekeeper::host::clock::{Clock, SystemClock, timeout};
use tokio::net::UnixDatagram;
use tokio::process::{Child, Command};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_blocking};

use super::Outcome;
use super::process::Process;

/// A daemon that runs. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Program {
    child: Child,
    pid: Pid,
    pub(crate) start_to_credentials: Duration,
    service_manager: JoinHandle<()>,
}

/// The watchdog of the unit, in microseconds.
const WATCHDOG_MICROS: u64 = 3 * 60 * 1_000_000;

/// Longer than anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

impl Program {
    /// Starts `command`, and waits until it has put `credentials` in place and is ready.
    pub(crate) async fn start(mut command: Command, credentials: &Path) -> Outcome<Self> {
        let directory = credentials.parent().ok_or("credentials without a directory")?;
        let socket = directory.join("notify");
        let _ = std::fs::remove_file(&socket);
        let (service_manager, ready) = listen(UnixDatagram::bind(&socket)?);
        command.env("NOTIFY_SOCKET", &socket).env("WATCHDOG_USEC", WATCHDOG_MICROS.to_string());

        let watch = Inotify::init(InitFlags::IN_CLOEXEC)?;
        watch.add_watch(directory, AddWatchFlags::IN_MOVED_TO)?;
        let name = credentials.file_name().unwrap_or_default().to_owned();
        let began = SystemClock.since_boot();
        let child = command.kill_on_drop(true).spawn()?;
        let appeared = spawn_blocking(move || {
            wait_for(&name, &watch).map(|()| SystemClock.since_boot().saturating_sub(began))
        });
        let start_to_credentials = appeared.await??;
        timeout(PATIENCE, ready).await.map_err(|_| "not ready within 30 s")??;

        let pid = Pid::from_raw(child.id().ok_or("the daemon has ended")?.try_into()?);
        Ok(Self { child, pid, start_to_credentials, service_manager })
    }

    pub(crate) fn process(&self) -> Process {
        Process(self.pid)
    }

    /// Ends it as a service manager does, and says how long that took.
    pub(crate) async fn stop(mut self) -> Outcome<Duration> {
        let began = SystemClock.since_boot();
        kill(self.pid, Signal::SIGTERM)?;
        let status =
            timeout(PATIENCE, self.child.wait()).await.map_err(|_| "it does not stop")??;
        let took = SystemClock.since_boot().saturating_sub(began);
        self.service_manager.abort();
        if status.success() { Ok(took) } else { Err(format!("the daemon: {status}").into()) }
    }
}

/// Reads every notification, and passes on the first that says "ready".
fn listen(socket: UnixDatagram) -> (JoinHandle<()>, oneshot::Receiver<()>) {
    let (sender, ready) = oneshot::channel();
    let mut sender = Some(sender);
    let listening = tokio::spawn(async move {
        let mut notification = [0; 4096];
        while let Ok(length) = socket.recv(&mut notification).await {
            if notification[..length].starts_with(b"READY=1")
                && let Some(sender) = sender.take()
            {
                // Nobody waits any more once a start has failed.
                let _ = sender.send(());
            }
        }
    });
    (listening, ready)
}

/// Returns once a file of this name has been renamed into the watched directory.
fn wait_for(name: &OsStr, watch: &Inotify) -> Result<(), String> {
    let patience = PollTimeout::try_from(PATIENCE).map_err(|error| error.to_string())?;
    loop {
        let mut watches = [PollFd::new(watch.as_fd(), PollFlags::POLLIN)];
        if poll(&mut watches, patience).map_err(|error| error.to_string())? == 0 {
            return Err("no credentials file within 30 s".to_owned());
        }
        let events = watch.read_events().map_err(|error| error.to_string())?;
        if events.iter().any(|event| event.name.as_deref() == Some(name)) {
            return Ok(());
        }
    }
}
