//! Machines whose clocks are wrong, and what answers tell them.

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
    let signing_date = time.signing_date(machine.read());
    assert!((machine.truth - signing_date - time::Duration::DAY).abs() <= TOLERATED_SKEW);
    assert_eq!(time.at(machine.read()), machine.truth.into(), "no credentials live longer for it");
    machine.hear_of(&mut time, time::Duration::ZERO, Beside::Nothing);
    assert_eq!(time.at(machine.read()), machine.truth.into(), "a good one ends it");
}

#[test]
fn a_request_that_was_dated_wrongly_is_dated_anew_at_once_and_ends_no_credentials() {
    for wall_ahead in [0, 5 * YEAR, -5 * YEAR] {
        let mut machine = Machine::with_wall_ahead(wall_ahead);
        let mut time = ServiceTime::default();
        let off = time::Duration::days(400);
        machine.hear_of(&mut time, off, Beside::Skew);
        let signing_date = time.signing_date(machine.read());
        assert!((signing_date - machine.truth - off).abs() < TOLERATED_SKEW);
        assert_eq!(time.at(machine.read()), machine.read().wall.into());
        machine.hear(&mut time, 20, 20);
        assert!(machine.error(&time) <= time::Duration::SECOND);
        assert_eq!(time.signing_date(machine.read()), time.at(machine.read()).now);
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
