//! A moment to wait for.

use std::time::Duration;

use time::UtcDateTime;

/// A moment, and the wait that led to it: a clock that is set back must not lengthen the wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timer {
    pub due: UtcDateTime,
    wait: Duration,
}

impl Timer {
    pub fn after(wait: Duration, now: UtcDateTime) -> Self {
        Self { due: now.saturating_add(wait.try_into().unwrap_or(time::Duration::MAX)), wait }
    }

    pub fn is_due(&mut self, now: UtcDateTime) -> bool {
        self.due = self.due.min(Self::after(self.wait, now).due);
        self.due <= now
    }
}
