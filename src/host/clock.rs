//! What time it is, and waiting: the only place that asks the system, or sleeps.

mod service;
mod step;
mod wait;

use std::fmt::Debug;
use std::pin::Pin;
use std::time::Duration;

use futures_util::stream::{self, Stream};
use nix::time::{ClockId, clock_gettime};
use time::UtcDateTime;

pub use service::ServiceClock;
pub use wait::{Timeout, every, on_the_beat, pause, timeout};

use crate::pure::service_time::Reading;

/// This machine's clocks.
pub trait Clock: Debug + Send + Sync {
    /// The wall clock, which may be wrong and may be set.
    fn now(&self) -> UtcDateTime;

    /// Time since boot, suspend included (`CLOCK_BOOTTIME`): never set, never wrong by much. It stands
    /// still while a virtual machine is paused.
    fn since_boot(&self) -> Duration;

    /// Both at one moment.
    fn read(&self) -> Reading {
        Reading { wall: self.now(), since_boot: self.since_boot() }
    }

    /// Waits until so much time has passed by this clock. One of a rehearsal may leap.
    fn sleep(&self, span: Duration) -> Sleep {
        Box::pin(pause(span))
    }

    /// An item each time that the wall clock was set, from now on.
    fn steps(&self) -> Steps {
        Box::pin(stream::pending())
    }
}

/// A wait that can be given up by dropping it.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Each step of the wall clock; several before anybody looked are one.
pub type Steps = Pin<Box<dyn Stream<Item = ()> + Send>>;

/// The system's own clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

/// Two readings are of one moment when no more than this lies between them.
const AT_ONE_MOMENT: Duration = Duration::from_millis(100);

/// Time since boot by the system's own clock: for the rates of sockets, whose other ends go by no clock of
/// ours.
pub fn since_boot() -> Duration {
    SystemClock.since_boot()
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    fn now(&self) -> UtcDateTime {
        UtcDateTime::now()
    }

    fn since_boot(&self) -> Duration {
        // Linux has had this clock since 2.6.39; without it, nothing is carried forward.
        clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from)
    }

    /// A suspend between the two would part them for good: then both are read again.
    fn read(&self) -> Reading {
        let mut since_boot = self.since_boot();
        loop {
            let wall = self.now();
            let after = self.since_boot();
            if after.saturating_sub(since_boot) < AT_ONE_MOMENT {
                return Reading { wall, since_boot };
            }
            since_boot = after;
        }
    }

    fn steps(&self) -> Steps {
        match step::StepTimer::new() {
            Ok(timer) => Box::pin(stream::unfold(timer, |timer| async {
                timer.step().await.ok()?;
                Some(((), timer))
            })),
            Err(error) => {
                tracing::warn!(%error, "steps of the wall clock are noticed within a minute only");
                Box::pin(stream::pending())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_since_boot_runs() {
        assert!(SystemClock.since_boot() > Duration::ZERO);
    }
}
