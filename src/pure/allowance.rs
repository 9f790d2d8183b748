//! How often somebody may ask: a bucket that fills at a steady rate and holds so much. Kept as one
//! point in time, the moment at which it will be full again (the generic cell rate algorithm).

use std::time::Duration;

/// How fast an allowance grows, and how large.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Requests in a second, in the long run; with 0, what is taken is gone.
    pub per_second: u32,
    /// Requests at once, after a rest.
    pub at_once: u32,
}

/// What is left of it. A new one is full.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Allowance {
    full_at: Duration,
}

/// A century: longer than any machine runs.
const AGES: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

impl Rate {
    /// The time in which one request grows back.
    fn interval(self) -> Duration {
        Duration::from_secs(1).checked_div(self.per_second).unwrap_or(AGES)
    }
}

impl Allowance {
    /// Takes one request out, if there is one; `now` is the time since boot.
    pub fn take(&mut self, rate: Rate, now: Duration) -> bool {
        let full_at = self.full_at.max(now) + rate.interval();
        let allowed = full_at - now <= rate.interval() * rate.at_once;
        if allowed {
            self.full_at = full_at;
        }
        allowed
    }

    /// Whether nothing is missing: it need not be remembered.
    pub fn is_full(&self, now: Duration) -> bool {
        self.full_at <= now
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RATE: Rate = Rate { per_second: 10, at_once: 3 };
    const START: Duration = Duration::from_secs(1000);

    fn at(millis: u64) -> Duration {
        START + Duration::from_millis(millis)
    }

    #[test]
    fn after_a_rest_there_are_so_many_at_once_and_then_one_as_it_grows_back() {
        let mut left = Allowance::default();
        assert!((0..3).all(|_| left.take(RATE, at(0))));
        assert!(!left.take(RATE, at(0)) && !left.take(RATE, at(99)));
        assert!(left.take(RATE, at(100)) && !left.take(RATE, at(100)));
        assert!(!left.is_full(at(399)) && left.is_full(at(400)));
        assert!((0..3).all(|_| left.take(RATE, at(400))) && !left.take(RATE, at(400)));
    }

    #[test]
    fn whoever_keeps_to_the_rate_is_never_refused() {
        let mut left = Allowance::default();
        assert!((0..1000).all(|turn| left.take(RATE, at(turn * 100))));
    }

    proptest! {
        #[test]
        fn nobody_gets_more_than_the_rate_and_what_was_saved_up(
            pauses in prop::collection::vec(0_u64..200, 1..200),
        ) {
            let (mut left, mut now, mut taken) = (Allowance::default(), 0, 0);
            for pause in pauses {
                now += pause;
                taken += u64::from(left.take(RATE, at(now)));
                prop_assert!(taken <= 3 + now / 100);
            }
        }
    }
}
