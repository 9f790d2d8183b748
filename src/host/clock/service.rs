//! The service's clock, as far as it is known: `pure::service_time` by this machine's clocks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use time::UtcDateTime;

use super::{Clock, Sleep, Steps};
use crate::pure::service_time::{Dated, Reading, ServiceTime, TimeEstimate};

/// The service's clock, as far as it is known. Cheap to clone; all clones are one.
///
/// Until the service has been heard this is the wall clock. From then on it is the service's `Date`
/// carried forward by the time since boot, so that neither a wrong wall clock nor a step of it
/// disturbs a signature or a deadline.
#[derive(Debug, Clone)]
pub struct ServiceClock {
    clock: Arc<dyn Clock>,
    heard: Arc<Mutex<ServiceTime>>,
}

impl ServiceClock {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, heard: Arc::default() }
    }

    /// The best guess of the service's time.
    pub fn now(&self) -> UtcDateTime {
        self.estimate().now
    }

    /// The best guess, and the latest that it may be: what is handed out must not have ended by it.
    pub fn estimate(&self) -> TimeEstimate {
        self.lock().at(self.read())
    }

    /// What a signature is dated by: the service is believed at once that refuses a date.
    pub fn signing_date(&self) -> UtcDateTime {
        self.lock().signing_date(self.read())
    }

    /// This machine's own clocks, for the way of an answer.
    pub fn read(&self) -> Reading {
        self.clock.read()
    }

    /// The service said what time it was.
    pub fn hear(&self, dated: Dated) {
        self.lock().hear(dated);
    }

    /// How far the wall clock is behind the service's: positive when it is late.
    pub fn skew(&self) -> time::Duration {
        let reading = self.read();
        self.lock().at(reading).now - reading.wall
    }

    /// As [`Clock::since_boot`].
    pub fn since_boot(&self) -> Duration {
        self.clock.since_boot()
    }

    /// As [`Clock::sleep`].
    pub fn sleep(&self, span: Duration) -> Sleep {
        self.clock.sleep(span)
    }

    /// As [`Clock::steps`].
    pub fn steps(&self) -> Steps {
        self.clock.steps()
    }

    fn lock(&self) -> MutexGuard<'_, ServiceTime> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use time::macros::utc_datetime;

    use super::*;
    use crate::pure::service_time::Beside;

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

    fn hear(service: &ServiceClock, date: UtcDateTime) {
        let (sent, received) = (service.read(), service.read());
        service.hear(Dated { date, sent, received, beside: Beside::Token });
    }

    #[test]
    fn a_step_of_the_wall_clock_moves_nothing_once_the_service_was_heard() {
        let noon = utc_datetime!(2026-11-22 12:00);
        let fake = Arc::new(Fake(Mutex::new((noon + time::Duration::HOUR * 2, Duration::ZERO))));
        let service = ServiceClock::new(Arc::clone(&fake) as Arc<dyn Clock>);
        assert_eq!(service.now(), noon + time::Duration::HOUR * 2);

        hear(&service, noon);
        let half = time::Duration::SECOND / 2;
        assert_eq!(service.now(), noon + half, "the middle of the second that the date names");
        assert_eq!(service.skew(), time::Duration::HOUR * -2 + half);

        *fake.0.lock().unwrap() = (noon - time::Duration::DAY, Duration::from_secs(60));
        assert_eq!(service.now(), noon + time::Duration::MINUTE + half);
    }

    #[test]
    fn a_small_difference_is_latency_and_not_skew() {
        let noon = utc_datetime!(2026-11-22 12:00:00.7);
        let fake = Arc::new(Fake(Mutex::new((noon, Duration::ZERO))));
        let service = ServiceClock::new(fake);
        hear(&service, utc_datetime!(2026-11-22 12:00:00));
        assert_eq!(service.now(), noon);
    }
}
