//! Tells systemd what it wants to know (`sd_notify`). Without systemd, nobody is told.

use std::time::Duration;

use sd_notify::{NotifyState, notify};

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

/// Within what time the service manager wants to hear [`alive`], if it does.
pub fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

fn send(states: &[NotifyState<'_>]) {
    // A service manager that cannot be told must not stop the service.
    if let Err(error) = notify(states) {
        tracing::debug!(%error, "the service manager was not told");
    }
}
