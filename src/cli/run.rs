//! `rolekeeper run`

use clap::Args;
use tokio::sync::mpsc;

use super::Places;
use crate::control::Complaint;
use crate::daemon::{Daemon, Seams};
use crate::host::service_manager;
use crate::host::signals::{Signal, SignalStream};
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
        let (reload, reloads) = mpsc::channel(1);
        let daemon = Daemon {
            settings: places.settings()?,
            directories: places.directories(),
            seams: Seams::system(),
            reloads,
        };
        let mut running = std::pin::pin!(daemon.run(|_| {}));
        loop {
            tokio::select! {
                outcome = &mut running => return Ok(outcome?),
                signal = signals.next() => match signal {
                    Signal::Stop => {
                        service_manager::stopping();
                        tracing::info!("stopping");
                        return Ok(());
                    }
                    Signal::Reload => match places.settings() {
                        // A reload that is under way already reads the newest files, too.
                        Ok(settings) => drop(reload.try_send(settings)),
                        Err(error) => tracing::error!("{error}; the settings stay as they were"),
                    },
                },
            }
        }
    }
}
