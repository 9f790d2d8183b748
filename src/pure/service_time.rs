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
//!
//! A `Date` is as good as what stands beside it. A token's own end bears its date out; so does a clock of
//! this machine that agrees. Any other is a claim: a refusal of a wrong date may set the clock that
//! requests are signed by, any other answer when a second one says the same; and neither ends
//! credentials.

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
    pub beside: Beside,
}

/// What an answer says beside its `Date`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beside {
    /// A token that can have been given out at that date.
    Token,
    /// That the request was dated wrongly.
    Skew,
    /// Nothing about the time.
    Nothing,
}

/// What time it is, and what time it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeEstimate {
    /// The best guess: signatures and deadlines go by it.
    pub now: UtcDateTime,
    /// The latest that either clock says: what is handed out must not have ended by it. Later than
    /// `now` only while there is a doubt; earlier while an answer claims what nothing bears out.
    pub latest: UtcDateTime,
    /// The wall clock says something else, doubt or not.
    pub wall_differs: bool,
}

/// The state machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct ServiceTime {
    /// What is borne out.
    anchor: Option<Anchor>,
    /// What was claimed since, and signatures go by.
    claimed: Option<Anchor>,
    /// What one answer claimed, and no second one yet.
    heard_once: Option<Anchor>,
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
        let (borne_out, is_doubted) = match self.anchor {
            None => (reading.wall, false),
            Some(anchor) => {
                let now = anchor.at(reading);
                (now, anchor.wall_agreed && reading.wall - now > TOLERATED_SKEW)
            }
        };
        let now = self.claimed.map_or(borne_out, |claimed| claimed.at(reading));
        let latest = if is_doubted { reading.wall } else { borne_out };
        TimeEstimate { now, latest, wall_differs: (reading.wall - now).abs() > TOLERATED_SKEW }
    }

    /// The service said what time it was, at some moment between two readings.
    ///
    /// A quick answer sets the clock: to the wall clock where the two agree, else to the middle of what is
    /// possible. A slow one (a suspended machine, a satellite link) does no more than it proves: the
    /// clock moves into what is possible, if it was not there.
    pub fn hear(&mut self, dated: Dated) {
        if dated.date < EARLIEST_DATE {
            return;
        }
        let span = dated.span();
        let received = dated.received;
        let is_borne_out = dated.beside == Beside::Token
            || span.has(received.wall)
            || self.anchor.is_some_and(|anchor| span.has(anchor.at(received)));
        if is_borne_out {
            let believed = self.anchor.map_or(received.wall, |anchor| anchor.at(received));
            // Nothing new is no reason to forget what was known.
            self.anchor = span.anchor(believed, received).or(self.anchor);
            (self.claimed, self.heard_once) = (None, None);
            return;
        }
        let claim = span.anchor(self.at(received).now, received);
        let said_before = self.heard_once.is_some_and(|once| span.has(once.at(received)));
        if dated.beside == Beside::Skew || said_before {
            self.claimed = claim.or(self.claimed);
        }
        self.heard_once = claim.or(self.heard_once);
    }
}

impl Anchor {
    fn at(self, reading: Reading) -> UtcDateTime {
        let elapsed = span(reading.since_boot.saturating_sub(self.since_boot));
        self.service.saturating_add(elapsed)
    }
}

impl Dated {
    fn span(&self) -> Span {
        let (sent, received) = (self.sent, self.received);
        let by_boot = span(received.since_boot.saturating_sub(sent.since_boot));
        // A pause on the way shows in the wall clock alone, once that was set.
        let way = by_boot.max(received.wall - sent.wall);
        Span { earliest: self.date, way }
    }
}

/// When an answer was read, by the service's clock: at its date, or as much later as its way took.
#[derive(Debug, Clone, Copy)]
struct Span {
    earliest: UtcDateTime,
    way: time::Duration,
}

impl Span {
    fn latest(self) -> UtcDateTime {
        self.earliest.saturating_add(ROUNDING + self.way)
    }

    /// Whether it can have been then.
    fn has(self, at: UtcDateTime) -> bool {
        at >= self.earliest.saturating_sub(TOLERATED_SKEW)
            && at <= self.latest().saturating_add(TOLERATED_SKEW)
    }

    /// What the answer tells; `None` when it is nothing that was not known before.
    fn anchor(self, believed: UtcDateTime, received: Reading) -> Option<Anchor> {
        let (wall, since_boot) = (received.wall, received.since_boot);
        if self.way <= TOLERATED_SKEW {
            let middle = self.earliest.saturating_add((ROUNDING + self.way) / 2);
            let wall_agreed = (middle - wall).abs() < TOLERATED_SKEW;
            let service = if wall_agreed { wall } else { middle };
            return Some(Anchor { service, since_boot, wall_agreed });
        }
        let (service, wall_agreed) = match (self.has(believed), self.has(wall)) {
            (true, true) => return None,
            (true, false) => (believed, false),
            (false, true) => (wall, true),
            (false, false) => (believed.clamp(self.earliest, self.latest()), false),
        };
        Some(Anchor { service, since_boot, wall_agreed })
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
            time.hear(Dated { date, sent, received: self.read(), beside: Beside::Token });
        }

        /// A quick answer that is no token, with a `Date` that is so far off.
        fn hear_of(&mut self, time: &mut ServiceTime, off: time::Duration, beside: Beside) {
            let sent = self.read();
            self.pass(20);
            let date = (self.truth + off).replace_nanosecond(0).unwrap();
            time.hear(Dated { date, sent, received: self.read(), beside });
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
        time.hear(Dated { date, sent, received: machine.read(), beside: Beside::Token });
        assert_eq!(time.at(machine.read()).latest, machine.truth);
    }

    #[test]
    fn a_date_of_before_this_program_was_made_is_no_date() {
        let mut machine = Machine::with_wall_ahead(0);
        let mut time = ServiceTime::default();
        let date = utc_datetime!(2000-01-01 00:00);
        time.hear(Dated {
            date,
            sent: machine.read(),
            received: machine.read(),
            beside: Beside::Token,
        });
        assert!(machine.error(&time).is_zero());
        machine.wall_ahead = time::Duration::HOUR;
        assert_eq!(machine.error(&time), time::Duration::HOUR, "it was not heard");
    }

    #[test]
    fn one_refusal_with_another_date_moves_nothing_and_a_second_moves_signatures_alone() {
        let mut machine = Machine::with_wall_ahead(0);
        let mut time = ServiceTime::default();
        machine.hear(&mut time, 20, 20);
        let year = time::Duration::days(365);
        machine.hear_of(&mut time, year, Beside::Nothing);
        assert!(machine.error(&time).is_zero(), "one is a slip");
        machine.pass(60_000);
        machine.hear_of(&mut time, -time::Duration::DAY, Beside::Nothing);
        assert!(machine.error(&time).is_zero(), "two that differ are two slips");
        machine.pass(60_000);
        machine.hear_of(&mut time, -time::Duration::DAY, Beside::Nothing);
        let estimate = time.at(machine.read());
        assert!((machine.truth - estimate.now - time::Duration::DAY).abs() <= TOLERATED_SKEW);
        assert_eq!(estimate.latest, machine.truth, "and no credentials live longer for it");
        machine.hear_of(&mut time, time::Duration::ZERO, Beside::Nothing);
        assert_eq!(time.at(machine.read()), machine.truth.into(), "a good one ends it");
    }

    #[test]
    fn a_request_that_was_dated_wrongly_is_dated_anew_at_once_and_ends_no_credentials() {
        for wall_ahead in [0, 5 * YEAR, -5 * YEAR] {
            let mut machine = Machine::with_wall_ahead(wall_ahead);
            let mut time = ServiceTime::default();
            let before = time.at(machine.read()).latest;
            machine.hear_of(&mut time, time::Duration::days(400), Beside::Skew);
            let estimate = time.at(machine.read());
            assert!(
                (estimate.now - machine.truth - time::Duration::days(400)).abs() < TOLERATED_SKEW
            );
            assert!(estimate.latest - before < TOLERATED_SKEW);
            machine.hear(&mut time, 20, 20);
            assert!(machine.error(&time) <= time::Duration::SECOND);
        }
    }

    #[test]
    fn a_doubt_ends_by_any_answer_that_one_of_the_clocks_bears_out() {
        for (paused, off) in [(3600, time::Duration::ZERO), (0, time::Duration::ZERO)] {
            let mut machine = Machine::with_wall_ahead(0);
            let mut time = ServiceTime::default();
            machine.hear(&mut time, 20, 20);
            machine.pause(paused);
            machine.wall_ahead = time::Duration::seconds(if paused == 0 { 7200 } else { 0 });
            assert!(time.at(machine.read()).is_doubted());
            machine.hear_of(&mut time, off, Beside::Nothing);
            assert!(!time.at(machine.read()).is_doubted());
            assert!(machine.error(&time) <= time::Duration::SECOND);
        }
    }

    proptest! {
        #[test]
        fn no_claim_ends_credentials_or_lets_them_live(
            ahead in -60 * YEAR..60 * YEAR,
            claims in prop::collection::vec((-60 * YEAR..60 * YEAR, any::<bool>()), 0..8),
        ) {
            let mut machine = Machine::with_wall_ahead(ahead);
            let mut time = ServiceTime::default();
            machine.hear(&mut time, 20, 20);
            for (off, is_skew) in claims {
                let beside = if is_skew { Beside::Skew } else { Beside::Nothing };
                machine.pass(1000);
                machine.hear_of(&mut time, time::Duration::seconds(off), beside);
            }
            let error = (time.at(machine.read()).latest - machine.truth).abs();
            // A claim that agrees by chance may move the clock within what is tolerated, each time.
            let bound = (TOLERATED_SKEW + time::Duration::SECOND) * 9;
            prop_assert!(error <= bound || (time.at(machine.read()).latest - machine.read().wall).abs() <= bound);
        }

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
