//! What time it is in the lab: this machine's time, set forward, and perhaps running faster.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::macros::utc_datetime;
use time::{OffsetDateTime, UtcDateTime};

use super::answers::{Refusal, to_the_second};
use super::store::moment;
use crate::pure::duration::parse_duration;

/// The fastest that the lab's time runs: a month in three seconds.
pub const HIGHEST_RATE: u32 = 1_000_000;

/// Where the lab's time stands still: well before the last moment that SQLite's numbers can say in
/// nanoseconds, in 2262.
const LATEST: UtcDateTime = utc_datetime!(2200-01-01 00:00);

/// The lab's time as a function of this machine's. All that the lab does goes by it: tokens,
/// activations, pings, faults and the ledger.
///
/// It runs on while the lab does not, and it is never before the moment that it was last set at,
/// whatever this machine's clock does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabClock {
    /// The lab's time at the machine's.
    #[serde(with = "moment")]
    lab: UtcDateTime,
    #[serde(with = "moment")]
    machine: UtcDateTime,
    rate: u32,
}

/// A wish for another time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClockSetting {
    /// So much later, as `30d`.
    Forward(String),
    /// A moment of RFC 3339.
    To(String),
    /// How many seconds of the lab pass in one of the machine.
    Rate(u32),
}

/// A time that the lab cannot have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClockError {
    #[error("{0}")]
    Duration(#[from] crate::pure::duration::MalformedDuration),
    #[error("the time must look like 2026-11-22T00:00:52Z")]
    Moment,
    #[error(
        "it is {now} in the lab already, and its time only goes forward: credentials would come \
         back to life"
    )]
    Backwards { now: String },
    #[error("the lab's time ends at {}", to_the_second(LATEST))]
    TooLate,
    #[error("the rate must be 1 to {HIGHEST_RATE}")]
    Rate,
}

impl LabClock {
    /// The lab's time when this machine's is `machine`.
    pub fn now(&self, machine: UtcDateTime) -> UtcDateTime {
        let elapsed = (machine - self.machine).whole_nanoseconds().max(0);
        let at = self.lab.unix_timestamp_nanos() + elapsed * i128::from(self.rate);
        UtcDateTime::from_unix_timestamp_nanos(at).map_or(LATEST, |at| at.min(LATEST))
    }

    /// How many seconds of the lab pass in one of the machine.
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// Does what was wished for.
    ///
    /// # Errors
    ///
    /// See [`ClockError`]; nothing has changed then.
    pub fn set(&mut self, setting: &ClockSetting, machine: UtcDateTime) -> Result<(), ClockError> {
        match setting {
            ClockSetting::Forward(text) => self.forward(parse_duration(text)?, machine),
            ClockSetting::To(text) => {
                let to = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| ClockError::Moment)?;
                self.set_to(to.to_utc(), machine)
            }
            ClockSetting::Rate(rate) => self.set_rate(*rate, machine),
        }
    }

    /// So much later.
    ///
    /// # Errors
    ///
    /// [`ClockError::TooLate`].
    pub fn forward(&mut self, by: Duration, machine: UtcDateTime) -> Result<(), ClockError> {
        let by = time::Duration::try_from(by).map_err(|_| ClockError::TooLate)?;
        let to = self.now(machine).checked_add(by).ok_or(ClockError::TooLate)?;
        self.set_to(to, machine)
    }

    /// A moment that is still to come.
    ///
    /// # Errors
    ///
    /// [`ClockError::Backwards`] and [`ClockError::TooLate`].
    pub fn set_to(&mut self, to: UtcDateTime, machine: UtcDateTime) -> Result<(), ClockError> {
        let now = self.now(machine);
        if to < now {
            return Err(ClockError::Backwards { now: to_the_second(now) });
        }
        if to > LATEST {
            return Err(ClockError::TooLate);
        }
        *self = Self { lab: to, machine, rate: self.rate };
        Ok(())
    }

    /// Faster from now on, or slower again.
    ///
    /// # Errors
    ///
    /// [`ClockError::Rate`].
    pub fn set_rate(&mut self, rate: u32, machine: UtcDateTime) -> Result<(), ClockError> {
        if !(1..=HIGHEST_RATE).contains(&rate) {
            return Err(ClockError::Rate);
        }
        *self = Self { lab: self.now(machine), machine, rate };
        Ok(())
    }

    /// A clock that is off from the machine's, backwards too: for clients whose own clock is wrong.
    /// It is not for a lab whose state matters.
    pub fn skewed(offset: time::Duration) -> Self {
        let straight = Self::default();
        Self { lab: straight.lab.saturating_add(offset), ..straight }
    }

    /// As answers show it.
    pub fn describe(&self, machine: UtcDateTime) -> Value {
        json!({
            "Now": to_the_second(self.now(machine)),
            "Machine": to_the_second(machine),
            "Rate": self.rate,
        })
    }
}

/// The machine's time.
impl Default for LabClock {
    fn default() -> Self {
        let start = utc_datetime!(2000-01-01 00:00);
        Self { lab: start, machine: start, rate: 1 }
    }
}

impl From<ClockError> for Refusal {
    fn from(error: ClockError) -> Self {
        Refusal::validation(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: UtcDateTime = utc_datetime!(2026-11-22 00:00);
    const MINUTE: Duration = Duration::from_secs(60);

    fn setting(setting: Value) -> ClockSetting {
        serde_json::from_value(setting).unwrap()
    }

    #[test]
    fn it_is_the_machines_time_until_it_is_set() {
        assert_eq!(LabClock::default().now(NOW), NOW);
        assert_eq!(LabClock::default().describe(NOW)["Now"], "2026-11-22T00:00:00Z");
    }

    #[test]
    fn it_is_set_forward_and_runs_on_from_there() {
        let mut clock = LabClock::default();
        clock.set(&setting(json!({ "Forward": "30d" })), NOW).unwrap();
        assert_eq!(clock.now(NOW + MINUTE), utc_datetime!(2026-12-22 00:01));
        clock.set(&setting(json!({ "To": "2027-01-01T01:00:00+01:00" })), NOW).unwrap();
        assert_eq!(clock.now(NOW + MINUTE), utc_datetime!(2027-01-01 00:01));
    }

    #[test]
    fn a_rate_counts_from_when_it_is_set_and_takes_nothing_back() {
        let mut clock = LabClock::default();
        clock.set(&setting(json!({ "Rate": 60 })), NOW).unwrap();
        assert_eq!(clock.now(NOW + MINUTE), utc_datetime!(2026-11-22 01:00));
        clock.set_rate(1, NOW + MINUTE).unwrap();
        assert_eq!(clock.now(NOW + 2 * MINUTE), utc_datetime!(2026-11-22 01:01));
    }

    #[test]
    fn a_step_back_of_the_machine_takes_nothing_back_that_was_set() {
        let mut clock = LabClock::default();
        clock.forward(MINUTE, NOW).unwrap();
        assert_eq!(clock.now(NOW - 60 * MINUTE), NOW + MINUTE);
    }

    #[test]
    fn times_that_cannot_be_had_are_refused_and_change_nothing() {
        for (odd, message) in [
            (json!({ "To": "2026-11-21T23:59:59Z" }), "it is 2026-11-22T00:00:00Z in the lab"),
            (json!({ "To": "tomorrow" }), "the time must look like"),
            (json!({ "To": "2200-01-01T00:00:01Z" }), "the lab's time ends at 2200"),
            (json!({ "Forward": "200000d" }), "longer than ten years"),
            (json!({ "Forward": "soon" }), ""),
            (json!({ "Rate": 0 }), "the rate must be 1 to 1000000"),
            (json!({ "Rate": 1_000_001 }), "the rate must be 1 to 1000000"),
        ] {
            let mut clock = LabClock::default();
            let error = clock.set(&setting(odd), NOW).unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
            assert_eq!(clock, LabClock::default());
        }
    }

    #[test]
    fn it_stands_still_at_its_end() {
        let mut clock = LabClock::default();
        clock.set_rate(HIGHEST_RATE, NOW).unwrap();
        assert_eq!(clock.now(NOW + time::Duration::days(36_500)), LATEST);
    }

    proptest! {
        #[test]
        fn it_never_runs_backwards(
            steps in proptest::collection::vec((0_u64..10_000_000_000, 0_u8..3, 0_u64..3000), 1..20)
        ) {
            let (mut clock, mut machine, mut seen) = (LabClock::default(), NOW, NOW);
            for (nanoseconds, what, much) in steps {
                machine += Duration::from_nanos(nanoseconds);
                let _ = match what {
                    0 => clock.forward(Duration::from_secs(much), machine),
                    1 => clock.set_rate(much as u32, machine),
                    _ => clock.set_to(NOW + Duration::from_secs(much), machine),
                };
                let now = clock.now(machine);
                prop_assert!(now >= seen);
                seen = now;
            }
            let written = serde_json::to_string(&clock).unwrap();
            prop_assert_eq!(serde_json::from_str::<LabClock>(&written).unwrap(), clock);
        }
    }
}
