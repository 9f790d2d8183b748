//! Tells systemd what it wants to know (`sd_notify`). Without systemd, nobody is told.

use std::time::Duration;

use sd_notify::{NotifyState, notify};

use super::environment;

/// The service works, or knows why it does not: start-up is over.
pub fn ready(status: &str) {
    send(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The line that `systemctl status` shows.
pub fn status(status: &str) {
    send(&[NotifyState::Status(status)]);
}

/// The driver is alive.
pub fn alive() {
    send(&[NotifyState::Watchdog]);
}

/// The end has begun.
pub fn stopping() {
    send(&[NotifyState::Stopping]);
}

/// `pause`, or less where the service manager wants to hear [`alive`] sooner: at half of its time,
/// as sd_watchdog_enabled(3) advises.
pub fn within_watchdog(pause: Duration) -> Duration {
    sd_notify::watchdog_enabled().map_or(pause, |limit| pause.min(limit / 2))
}

/// Whether there is one, which starts the service again when it ends with an error.
pub fn is_there() -> bool {
    environment::variable("NOTIFY_SOCKET").is_some()
}

fn send(states: &[NotifyState<'_>]) {
    // A service manager that cannot be told must not stop the service.
    if let Err(error) = notify(states) {
        tracing::debug!(%error, "the service manager was not told");
    }
}
