//! What time it is: the only place that asks.

use std::fmt::Debug;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use time::UtcDateTime;

/// This machine's clocks.
pub trait Clock: Debug + Send + Sync {
    /// The wall clock, which may be wrong and may be set.
    fn now(&self) -> UtcDateTime;

    /// Time since boot, suspend included (`CLOCK_BOOTTIME`): never set, never wrong by much.
    fn since_boot(&self) -> Duration;

    /// Waits until so much time has passed by this clock. One of a rehearsal may leap.
    fn sleep(&self, span: Duration) -> Sleep {
        Box::pin(tokio::time::sleep(span))
    }
}

/// A wait that can be given up by dropping it.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The system's own clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

/// The service's clock, as far as it is known.
///
/// Until the service has been heard this is the wall clock. From then on it is the service's `Date`
/// carried forward by the time since boot, so that neither a wrong wall clock nor a step of it
/// disturbs a signature or a deadline.
#[derive(Debug, Clone)]
pub struct ServiceClock {
    clock: Arc<dyn Clock>,
    anchors: Arc<Mutex<Anchors>>,
}

#[derive(Debug, Default)]
struct Anchors {
    last: Option<Anchor>,
    /// What was believed before.
    before: Option<Anchor>,
}

#[derive(Debug, Clone, Copy)]
struct Anchor {
    service: UtcDateTime,
    since_boot: Duration,
}

/// Below this the wall clock is believed: `Date` has whole seconds, and an answer takes time. The
/// service accepts dates that are off by 5 minutes.
const TOLERATED_SKEW: time::Duration = time::Duration::seconds(5);

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    fn now(&self) -> UtcDateTime {
        UtcDateTime::now()
    }

    fn since_boot(&self) -> Duration {
        // Linux has had this clock since 2.6.39; without it, nothing is carried forward.
        clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from)
    }
}

impl ServiceClock {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, anchors: Arc::default() }
    }

    /// The best guess of the service's time.
    pub fn now(&self) -> UtcDateTime {
        match self.lock().last {
            None => self.clock.now(),
            Some(anchor) => {
                let elapsed = self.clock.since_boot().saturating_sub(anchor.since_boot);
                anchor.service.saturating_add(elapsed.try_into().unwrap_or(time::Duration::MAX))
            }
        }
    }

    /// The service said that it is `date`.
    pub fn heard(&self, date: UtcDateTime) {
        let wall = self.clock.now();
        let service = if (date - wall).abs() < TOLERATED_SKEW { wall } else { date };
        let last = Some(Anchor { service, since_boot: self.clock.since_boot() });
        let mut anchors = self.lock();
        *anchors = Anchors { last, before: anchors.last };
    }

    /// What was heard last is not believed: the answer that said it contradicted itself.
    pub fn disbelieve(&self) {
        let mut anchors = self.lock();
        anchors.last = anchors.before;
    }

    /// How far the wall clock is behind the service's: positive when it is late.
    pub fn skew(&self) -> time::Duration {
        self.now() - self.clock.now()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Anchors> {
        self.anchors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use time::macros::utc_datetime;

    use super::*;

    #[derive(Debug)]
    struct Fake(Mutex<(UtcDateTime, Duration)>);

    impl Clock for Fake {
        fn now(&self) -> UtcDateTime {
            self.0.lock().unwrap().0
        }

        fn since_boot(&self) -> Duration {
            self.0.lock().unwrap().1
        }
    }

    #[test]
    fn a_step_of_the_wall_clock_moves_nothing_once_the_service_was_heard() {
        let noon = utc_datetime!(2026-11-22 12:00);
        let fake = Arc::new(Fake(Mutex::new((noon + time::Duration::HOUR * 2, Duration::ZERO))));
        let service = ServiceClock::new(Arc::clone(&fake) as Arc<dyn Clock>);
        assert_eq!(service.now(), noon + time::Duration::HOUR * 2);

        service.heard(noon);
        assert_eq!(service.now(), noon);
        assert_eq!(service.skew(), time::Duration::HOUR * -2);

        *fake.0.lock().unwrap() = (noon - time::Duration::DAY, Duration::from_secs(60));
        assert_eq!(service.now(), noon + time::Duration::MINUTE);
    }

    #[test]
    fn a_small_difference_is_latency_and_not_skew() {
        let noon = utc_datetime!(2026-11-22 12:00:00.7);
        let fake = Arc::new(Fake(Mutex::new((noon, Duration::ZERO))));
        let service = ServiceClock::new(fake);
        service.heard(utc_datetime!(2026-11-22 12:00:00));
        assert_eq!(service.now(), noon);
    }

    #[test]
    fn what_is_not_believed_leaves_what_was_heard_before() {
        let noon = utc_datetime!(2026-11-22 12:00);
        let fake = Arc::new(Fake(Mutex::new((noon, Duration::ZERO))));
        let service = ServiceClock::new(fake);
        service.heard(noon + time::Duration::HOUR * 2);
        service.disbelieve();
        assert_eq!(service.now(), noon, "the wall clock stands in again");

        service.heard(noon + time::Duration::HOUR);
        service.heard(noon - time::Duration::HOUR * 2);
        service.disbelieve();
        assert_eq!(service.now(), noon + time::Duration::HOUR);
    }

    #[test]
    fn time_since_boot_runs() {
        assert!(SystemClock.since_boot() > Duration::ZERO);
    }
}
