//! `rolekeeper run`

use clap::Args;
use tokio::sync::mpsc;

use super::Places;
use crate::control::Complaint;
use crate::daemon::{Daemon, DaemonError, InForce, Seams};
use crate::host::signals::{Signal, SignalStream};
use crate::host::{log, service_manager};
use crate::pure::advice::Exit;

/// Run the daemon: keep the credentials fresh
///
/// Stays in the foreground and logs to standard error. SIGHUP reads the settings again and asks the
/// service at once, also out of hibernation; SIGTERM stops within a second.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Run {}

const EXAMPLES: &str = "\
Examples:
  systemctl enable --now rolekeeper
  rolekeeper --state-dir ~/rolekeeper/state --runtime-dir ~/rolekeeper/run run";

impl Run {
    pub(super) async fn execute(self, places: Places) -> Result<(), Complaint> {
        let mut signals = SignalStream::new().map_err(|error| {
            Complaint::new(Exit::Bug, format!("no signal handlers: {error}"), "report this")
        })?;
        let (reader, directories) = (places.reader(), places.directories());
        let mut in_force = reader.read_to_start(&directories.state)?;
        loop {
            let InForce { settings, trouble } = in_force;
            log::adjust(settings.log_level.value.filter());
            let may_be_better = trouble.is_none().then(|| settings.clone());
            let (reload, reloads) = mpsc::channel(1);
            let daemon = Daemon {
                settings,
                directories: directories.clone(),
                seams: Seams::system(),
                reader: reader.clone(),
                trouble,
                reloads,
            };
            let Err(error) = attend(daemon, &reload, &mut signals).await else { return Ok(()) };
            let complaint = Complaint::of(&error);
            // With settings by which no daemon can start the last good ones are as good as with none.
            in_force = match may_be_better.filter(|_| error.is_of_settings()) {
                Some(tried) => reader.last_good(&directories.state, complaint, Some(&tried))?,
                None => return Err(complaint),
            };
        }
    }
}

/// Runs the daemon until it is told to stop.
async fn attend(
    daemon: Daemon,
    reload: &mpsc::Sender<()>,
    signals: &mut SignalStream,
) -> Result<(), DaemonError> {
    let mut running = std::pin::pin!(daemon.run(|_| {}));
    loop {
        tokio::select! {
            outcome = &mut running => return outcome,
            signal = signals.next() => match signal {
                Signal::Stop => {
                    service_manager::stopping();
                    tracing::info!("stopping");
                    return Ok(());
                }
                // One that waits already reads the newest files, too.
                Signal::Reload => drop(reload.try_send(())),
            },
        }
    }
}
