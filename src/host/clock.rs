//! What time it is: the only place that asks.

use std::fmt::Debug;

use time::UtcDateTime;

/// The wall clock.
pub trait Clock: Debug + Send + Sync {
    /// Now, by this machine's clock, which may be wrong.
    fn now(&self) -> UtcDateTime;
}

/// The system's own clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    fn now(&self) -> UtcDateTime {
        UtcDateTime::now()
    }
}
