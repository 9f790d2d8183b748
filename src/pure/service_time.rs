//! What time it is by the service's clock: what its answers said, carried forward by this machine's
//! two clocks.
//!
//! ```text
//!            heard, the wall clock agrees          the wall clock was set ahead
//!  UNHEARD ───────────────────────────────▶ AGREED ────────────────────────────▶ DOUBTED
//!  the wall clock                            ▲  │ ◀──────────────────────────────  │  │
//!  stands in                                 │  │    it was set back, or heard:    │  │
//!     │                          heard,      │  │    it agrees                     │  │
//!     │                          it agrees   │  │ heard, it does not agree         │  │
//!     │   heard, it does not agree           │  ▼                                  │  │
//!     └──────────────────────────────────▶ CONTRADICTED ◀──────────────────────────┘  │
//!                                          the wall clock counts for nothing          │
//! ```
//!
//! The time since boot is never set, and stands still while a virtual machine is paused or migrated.
//! The wall clock stands still, too, and is set afterwards; but it may be set wrongly as well. So a wall
//! clock that agreed when the service was heard last, and is ahead now, is a doubt: what has ended by
//! either clock is not handed out until the service was heard again. One that the service contradicted
//! (a machine without a clock of its own) raises none.

use std::time::Duration;

use time::UtcDateTime;
use time::macros::utc_datetime;

/// Both clocks of this machine at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// `CLOCK_REALTIME`: may be wrong, and may be set.
    pub wall: UtcDateTime,
    /// `CLOCK_BOOTTIME`: runs through suspend, and stands still in a paused virtual machine.
    pub since_boot: Duration,
}

/// The `Date` of an answer, and the two moments between which the service wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dated {
    /// In whole seconds, rounded down (RFC 9110, section 5.6.7).
    pub date: UtcDateTime,
    pub sent: Reading,
    pub received: Reading,
}

/// What time it is, and what time it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeEstimate {
    /// The best guess: signatures and deadlines go by it.
    pub now: UtcDateTime,
    /// The latest that either clock says: what is handed out must not have ended by it. Later than
    /// `now` only while there is a doubt.
    pub latest: UtcDateTime,
    /// The wall clock says something else, doubt or not.
    pub wall_differs: bool,
}

/// The state machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct ServiceTime {
    anchor: Option<Anchor>,
}

#[derive(Debug, Clone, Copy)]
struct Anchor {
    service: UtcDateTime,
    since_boot: Duration,
    /// The wall clock said the same.
    wall_agreed: bool,
}

/// Below this the wall clock is believed, and an answer's way tells the time: `Date` has whole seconds,
/// and an answer takes time. The service accepts dates that are off by 5 minutes.
pub const TOLERATED_SKEW: time::Duration = time::Duration::seconds(5);

/// No service says less: the compiler that this program needs (`rust-version` in Cargo.toml) is of 2026.
const EARLIEST_DATE: UtcDateTime = utc_datetime!(2026-01-01 00:00);

/// What `Date` leaves out.
const ROUNDING: time::Duration = time::Duration::SECOND;

impl ServiceTime {
    /// What time it is at this reading.
    pub fn at(&self, reading: Reading) -> TimeEstimate {
        let Some(anchor) = self.anchor else { return reading.wall.into() };
        let elapsed = span(reading.since_boot.saturating_sub(anchor.since_boot));
        let now = anchor.service.saturating_add(elapsed);
        let ahead = reading.wall - now;
        let is_doubted = anchor.wall_agreed && ahead > TOLERATED_SKEW;
        let latest = if is_doubted { reading.wall } else { now };
        TimeEstimate { now, latest, wall_differs: ahead.abs() > TOLERATED_SKEW }
    }

    /// The service said what time it was, at some moment between two readings.
    ///
    /// A quick answer sets the clock: to the wall clock where the two agree, else to the middle of what is
    /// possible. A slow one (a suspended machine, a satellite link) does no more than it proves: the
    /// clock moves into what is possible, if it was not there.
    pub fn hear(&mut self, Dated { date, sent, received }: Dated) {
        if date < EARLIEST_DATE {
            return;
        }
        let by_boot = span(received.since_boot.saturating_sub(sent.since_boot));
        // A pause on the way shows in the wall clock alone, once that was set.
        let way = by_boot.max(received.wall - sent.wall);
        let (earliest, latest) = (date, date.saturating_add(ROUNDING + way));
        let (wall, since_boot) = (received.wall, received.since_boot);
        if way <= TOLERATED_SKEW {
            let middle = date.saturating_add((ROUNDING + way) / 2);
            let wall_agreed = (middle - wall).abs() < TOLERATED_SKEW;
            let service = if wall_agreed { wall } else { middle };
            self.anchor = Some(Anchor { service, since_boot, wall_agreed });
            return;
        }
        let believed = self.at(received).now;
        let is_possible = |at: UtcDateTime| {
            at >= earliest.saturating_sub(TOLERATED_SKEW)
                && at <= latest.saturating_add(TOLERATED_SKEW)
        };
        match (is_possible(believed), is_possible(wall)) {
            // Nothing is known that was not known before.
            (true, true) => {}
            (true, false) => {
                self.anchor = Some(Anchor { service: believed, since_boot, wall_agreed: false });
            }
            (false, true) => {
                self.anchor = Some(Anchor { service: wall, since_boot, wall_agreed: true });
            }
            (false, false) => {
                let service = believed.clamp(earliest, latest);
                self.anchor = Some(Anchor { service, since_boot, wall_agreed: false });
            }
        }
    }
}

impl TimeEstimate {
    /// Whether the two clocks of this machine differ since the service was heard last.
    pub fn is_doubted(self) -> bool {
        self.latest > self.now
    }
}

/// Without a doubt.
impl From<UtcDateTime> for TimeEstimate {
    fn from(now: UtcDateTime) -> Self {
        Self { now, latest: now, wall_differs: false }
    }
}

fn span(span: Duration) -> time::Duration {
    span.try_into().unwrap_or(time::Duration::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOON: UtcDateTime = utc_datetime!(2026-11-22 12:00);
    const YEAR: i64 = 365 * 24 * 3600;

    /// The truth, and a machine whose clocks may be off from it.
    #[derive(Debug, Clone, Copy)]
    struct Machine {
        truth: UtcDateTime,
        since_boot: Duration,
        wall_ahead: time::Duration,
    }

    impl Machine {
        fn with_wall_ahead(seconds: i64) -> Self {
            let wall_ahead = time::Duration::seconds(seconds);
            Self { truth: NOON, since_boot: Duration::from_secs(3600), wall_ahead }
        }

        fn read(&self) -> Reading {
            Reading { wall: self.truth + self.wall_ahead, since_boot: self.since_boot }
        }

        fn pass(&mut self, milliseconds: u64) {
            let by = Duration::from_millis(milliseconds);
            self.truth += by;
            self.since_boot += by;
        }

        /// Both clocks stand still.
        fn pause(&mut self, seconds: u32) {
            self.truth += time::Duration::seconds(seconds.into());
            self.wall_ahead -= time::Duration::seconds(seconds.into());
        }

        /// An exchange whose answer is written after `there` and arrives after `back`, in milliseconds.
        fn hear(&mut self, time: &mut ServiceTime, there: u64, back: u64) {
            let sent = self.read();
            self.pass(there);
            let date = self.truth.replace_nanosecond(0).unwrap();
            self.pass(back);
            time.hear(Dated { date, sent, received: self.read() });
        }

        fn error(&self, time: &ServiceTime) -> time::Duration {
            (time.at(self.read()).now - self.truth).abs()
        }
    }

    #[test]
    fn a_date_that_arrives_late_does_not_set_the_clock_back() {
        let mut machine = Machine::with_wall_ahead(-5 * YEAR);
        let mut time = ServiceTime::default();
        machine.hear(&mut time, 20, 20);
        // Suspended for half an hour between the answer and its arrival.
        machine.hear(&mut time, 20, 1_800_000);
        assert!(machine.error(&time) <= time::Duration::SECOND, "{}", machine.error(&time));
    }

    #[test]
    fn a_slow_answer_is_better_than_a_clock_of_another_year() {
        let mut machine = Machine::with_wall_ahead(-5 * YEAR);
        let mut time = ServiceTime::default();
        machine.hear(&mut time, 10_000, 8_000);
        assert!(machine.error(&time) <= time::Duration::seconds(18), "{}", machine.error(&time));
    }

    #[test]
    fn a_paused_machine_whose_clock_was_set_doubts_until_it_hears() {
        let mut machine = Machine::with_wall_ahead(0);
        let mut time = ServiceTime::default();
        machine.hear(&mut time, 20, 20);
        machine.pause(7200);
        assert!(!time.at(machine.read()).is_doubted(), "nothing shows it yet");
        machine.wall_ahead = time::Duration::ZERO;
        let estimate = time.at(machine.read());
        assert!(estimate.is_doubted() && estimate.latest == machine.truth, "{estimate:?}");
        machine.hear(&mut time, 20, 20);
        assert_eq!(time.at(machine.read()), machine.truth.into());
    }

    #[test]
    fn a_wall_clock_that_is_set_wrong_is_a_doubt_until_the_service_contradicts_it() {
        let mut machine = Machine::with_wall_ahead(0);
        let mut time = ServiceTime::default();
        machine.hear(&mut time, 20, 20);
        machine.wall_ahead = time::Duration::HOUR * 3;
        assert!(time.at(machine.read()).is_doubted());
        assert!(machine.error(&time).is_zero(), "signatures and deadlines go on");
        machine.hear(&mut time, 20, 20);
        assert!(!time.at(machine.read()).is_doubted());
        machine.wall_ahead = time::Duration::DAY * 3;
        assert!(!time.at(machine.read()).is_doubted(), "it was contradicted");
    }

    #[test]
    fn a_pause_on_the_way_shows_once_the_wall_clock_was_set() {
        let mut machine = Machine::with_wall_ahead(0);
        let mut time = ServiceTime::default();
        machine.hear(&mut time, 20, 20);
        let (sent, date) = (machine.read(), machine.truth.replace_nanosecond(0).unwrap());
        machine.pause(7200);
        machine.wall_ahead = time::Duration::ZERO;
        time.hear(Dated { date, sent, received: machine.read() });
        assert_eq!(time.at(machine.read()).latest, machine.truth);
    }

    #[test]
    fn a_date_of_before_this_program_was_made_is_no_date() {
        let mut machine = Machine::with_wall_ahead(0);
        let mut time = ServiceTime::default();
        let date = utc_datetime!(2000-01-01 00:00);
        time.hear(Dated { date, sent: machine.read(), received: machine.read() });
        assert!(machine.error(&time).is_zero());
        machine.wall_ahead = time::Duration::HOUR;
        assert_eq!(machine.error(&time), time::Duration::HOUR, "it was not heard");
    }

    proptest! {
        #[test]
        fn a_quick_answer_leaves_a_small_error(
            ahead in -60 * YEAR..60 * YEAR,
            there in 0..2500_u64,
            back in 0..2500_u64,
            later in 0..100_000_000_u64,
        ) {
            let mut machine = Machine::with_wall_ahead(ahead);
            let mut time = ServiceTime::default();
            machine.hear(&mut time, there, back);
            machine.pass(later);
            prop_assert!(machine.error(&time) <= TOLERATED_SKEW + time::Duration::seconds(3));
            prop_assert!(!time.at(machine.read()).is_doubted());
        }

        #[test]
        fn no_answer_makes_a_good_clock_worse(
            ahead in -60 * YEAR..60 * YEAR,
            there in 0..100_000_000_u64,
            back in 0..100_000_000_u64,
        ) {
            let mut machine = Machine::with_wall_ahead(ahead);
            let mut time = ServiceTime::default();
            machine.hear(&mut time, 0, 0);
            let before = machine.error(&time);
            machine.hear(&mut time, there, back);
            let bound = before.max(TOLERATED_SKEW + time::Duration::seconds(3));
            prop_assert!(machine.error(&time) <= bound, "{} {before}", machine.error(&time));
        }

        #[test]
        fn whatever_happened_before_a_slow_answer_bounds_the_error_by_its_way(
            ahead in -60 * YEAR..60 * YEAR,
            pause: u16,
            there in 0..100_000_u64,
            back in 0..100_000_u64,
        ) {
            let mut machine = Machine::with_wall_ahead(ahead);
            let mut time = ServiceTime::default();
            machine.hear(&mut time, 0, 0);
            machine.pause(pause.into());
            machine.hear(&mut time, there, back);
            let way = time::Duration::milliseconds((there + back) as i64);
            let bound = way + TOLERATED_SKEW + time::Duration::seconds(3);
            prop_assert!(machine.error(&time) <= bound, "{}", machine.error(&time));
        }

        #[test]
        fn what_is_usable_by_the_latest_has_not_ended_once_a_good_wall_clock_was_set(
            awake in 0..10_000_000_u64,
            pause in 0..10_000_000_u32,
            life in 0..50_000_i64,
        ) {
            let mut machine = Machine::with_wall_ahead(0);
            let mut time = ServiceTime::default();
            machine.hear(&mut time, 10, 10);
            let end = machine.truth + time::Duration::seconds(life);
            machine.pass(awake);
            machine.pause(pause);
            machine.wall_ahead = time::Duration::ZERO;
            let is_usable = time.at(machine.read()).latest < end;
            prop_assert!(!is_usable || machine.truth < end + TOLERATED_SKEW);
        }

        #[test]
        fn a_wall_clock_that_was_contradicted_withholds_nothing(
            ahead in prop_oneof![-60 * YEAR..-10, 10..60 * YEAR],
            then in -60 * YEAR..60 * YEAR,
            later in 0..100_000_000_u64,
        ) {
            let mut machine = Machine::with_wall_ahead(ahead);
            let mut time = ServiceTime::default();
            machine.hear(&mut time, 10, 10);
            machine.wall_ahead = time::Duration::seconds(then);
            machine.pass(later);
            prop_assert!(!time.at(machine.read()).is_doubted());
            prop_assert!(machine.error(&time) <= time::Duration::SECOND);
        }
    }
}
