//! Moments to columns, and the ticks of the axis.

use time::{Duration, UtcDateTime};

/// Where the plot is, in the picture's units.
pub const LEFT: f64 = 230.0;
pub const RIGHT: f64 = 1080.0;

/// What lies between two ticks, in seconds; the first that makes few enough is taken.
const STEPS: [i64; 20] = [
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400,
    172_800, 432_000,
];

/// The most ticks that can be labelled side by side.
const MOST_TICKS: i64 = 12;

/// Where a moment is.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    began: UtcDateTime,
    /// A little more than there is to show.
    span: Duration,
}

impl Scale {
    /// At least a second wide.
    pub fn new(began: UtcDateTime, ended: UtcDateTime) -> Self {
        let span = (ended - began).max(Duration::SECOND);
        Self { began, span: span + span / 40 }
    }

    /// The column of a moment, within the plot.
    pub fn x(&self, at: UtcDateTime) -> f64 {
        let share = (at - self.began) / self.span;
        LEFT + (RIGHT - LEFT) * share.clamp(0.0, 1.0)
    }

    /// Whether a moment lies beyond the right edge.
    pub fn is_beyond(&self, at: UtcDateTime) -> bool {
        at - self.began > self.span
    }

    /// The ticks: column and label.
    pub fn ticks(&self) -> Vec<(f64, String)> {
        let seconds = self.span.whole_seconds();
        let step = STEPS.into_iter().find(|step| seconds / step < MOST_TICKS);
        let step = step.unwrap_or(seconds / MOST_TICKS + 1);
        let moments = (0..=seconds / step).map(|number| number * step);
        moments
            .map(|at| (self.x(self.began + Duration::seconds(at)), elapsed(at, seconds)))
            .collect()
    }

    /// What the labels of the ticks mean.
    pub fn unit(&self) -> &'static str {
        match self.span.whole_seconds() {
            0..=119 => "seconds",
            120..=899 => "minutes and seconds",
            900..=172_799 => "hours and minutes",
            _ => "days and hours",
        }
    }

    /// Since the beginning, as the ticks have it.
    pub fn label(&self, at: UtcDateTime) -> String {
        elapsed((at - self.began).whole_seconds(), self.span.whole_seconds())
    }
}

/// In the unit that fits a picture of so many seconds.
fn elapsed(at: i64, whole: i64) -> String {
    match whole {
        0..=119 => format!("{at} s"),
        120..=899 => format!("{}:{:02}", at / 60, at % 60),
        900..=172_799 => format!("{}:{:02}", at / 3600, at / 60 % 60),
        _ => format!("{}d {}h", at / 86_400, at / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::macros::utc_datetime;

    use super::*;

    const BEGAN: UtcDateTime = utc_datetime!(2026-11-22 00:00);

    #[test]
    fn ticks_fall_on_round_times() {
        let labels = |seconds| {
            let scale = Scale::new(BEGAN, BEGAN + Duration::seconds(seconds));
            scale.ticks().into_iter().map(|(_, label)| label).collect::<Vec<_>>()
        };
        assert_eq!(labels(4), ["0 s", "1 s", "2 s", "3 s", "4 s"]);
        assert_eq!(labels(4200)[..4], ["0:00", "0:10", "0:20", "0:30"]);
        assert_eq!(labels(300)[..3], ["0:00", "0:30", "1:00"]);
    }

    proptest! {
        #[test]
        fn every_moment_is_in_the_plot_and_no_tick_is_over_another(
            seconds in 0_i64..40_000_000, at in -100_i64..50_000_000
        ) {
            let scale = Scale::new(BEGAN, BEGAN + Duration::seconds(seconds));
            let x = scale.x(BEGAN + Duration::seconds(at));
            prop_assert!((LEFT..=RIGHT).contains(&x));
            let ticks = scale.ticks();
            prop_assert!(ticks.len() <= 13);
            prop_assert!(ticks.windows(2).all(|pair| pair[1].0 - pair[0].0 > 55.0));
        }
    }
}
