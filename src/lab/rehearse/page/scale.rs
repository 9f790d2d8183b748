//! Moments to columns, and the ticks of the axis.
//!
//! Each step has a column that is wide enough to see what happens in it; what is left of the width
//! goes to the steps by the time that they take. So an hour and the second after it are both seen.
//! Within a column, time is even.

use time::{Duration, UtcDateTime};

/// Where the plot is, in the picture's units.
pub const LEFT: f64 = 230.0;
pub const RIGHT: f64 = 1080.0;

/// The narrowest column, where there is room for as many.
const NARROWEST: f64 = 58.0;

/// The share of the plot that goes to the steps alike, at most.
const ALIKE: f64 = 0.7;

/// What lies between two ticks, in seconds; the first that makes few enough is taken.
const STEPS: [i64; 20] = [
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400,
    172_800, 432_000,
];

/// The most ticks that can be labelled side by side, and how near two may be.
const MOST_TICKS: i64 = 12;
const NEAREST: f64 = 42.0;

/// How much more room than its share a column has that is said to be stretched.
const STRETCHED: f64 = 1.5;

/// Where a moment is.
#[derive(Debug, Clone)]
pub struct Scale {
    columns: Vec<Column>,
    began: UtcDateTime,
    span: Duration,
}

/// From one step to the next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Column {
    from: UtcDateTime,
    until: UtcDateTime,
    pub left: f64,
    pub right: f64,
    /// Its share of the width is larger than that of the time.
    pub is_stretched: bool,
}

impl Scale {
    /// For steps that began then, and an end of it all.
    pub fn new(began: UtcDateTime, ended: UtcDateTime, steps: &[UtcDateTime]) -> Self {
        let ended = ended.max(began + Duration::SECOND);
        let span = ended - began;
        let mut starts = vec![began];
        starts.extend(steps.iter().skip(1).map(|at| (*at).clamp(began, ended)));
        starts.sort();
        let count = starts.len() as f64;
        let width = RIGHT - LEFT;
        let alike = NARROWEST.min(width * ALIKE / count);
        let ends = starts.iter().skip(1).copied().chain([ended]).collect::<Vec<_>>();
        let mut left = LEFT;
        let columns = starts.into_iter().zip(ends).map(|(from, until)| {
            let share = (until - from) / span;
            let wide = alike + (width - alike * count) * share;
            let column = Column {
                from,
                until,
                left,
                right: left + wide,
                is_stretched: wide > STRETCHED * width * share,
            };
            left += wide;
            column
        });
        Self { columns: columns.collect(), began, span }
    }

    /// The column of a moment, within the plot.
    pub fn x(&self, at: UtcDateTime) -> f64 {
        let column = self.columns.iter().find(|column| at < column.until);
        let Some(column) = column.or(self.columns.last()) else { return LEFT };
        let whole = column.until - column.from;
        let share = if whole.is_zero() { 1.0 } else { (at - column.from) / whole };
        column.left + (column.right - column.left) * share.clamp(0.0, 1.0)
    }

    /// The steps' columns, in their order.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Whether a moment lies beyond the right edge.
    pub fn is_beyond(&self, at: UtcDateTime) -> bool {
        at - self.began > self.span
    }

    /// The ticks: place and label. Where two would be too near, the later one is left out.
    pub fn ticks(&self) -> Vec<(f64, String)> {
        let seconds = self.span.whole_seconds();
        let step = STEPS.into_iter().find(|step| seconds / step < MOST_TICKS);
        let step = step.unwrap_or(seconds / MOST_TICKS + 1);
        let mut ticks = Vec::<(f64, String)>::new();
        for at in (0..=seconds / step).map(|number| number * step) {
            let x = self.x(self.began + Duration::seconds(at));
            if ticks.last().is_none_or(|(last, _)| x - last >= NEAREST) {
                ticks.push((x, elapsed(at, seconds)));
            }
        }
        ticks
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
            let scale = Scale::new(BEGAN, BEGAN + Duration::seconds(seconds), &[BEGAN]);
            scale.ticks().into_iter().map(|(_, label)| label).collect::<Vec<_>>()
        };
        assert_eq!(labels(4), ["0 s", "1 s", "2 s", "3 s", "4 s"]);
        assert_eq!(labels(4200)[..4], ["0:00", "0:10", "0:20", "0:30"]);
        assert_eq!(labels(300)[..3], ["0:00", "0:30", "1:00"]);
    }

    #[test]
    fn a_second_after_an_hour_has_its_column() {
        let hour = BEGAN + Duration::HOUR;
        let scale = Scale::new(BEGAN, hour + Duration::SECOND, &[BEGAN, hour]);
        let [first, second] = scale.columns() else { panic!("{scale:?}") };
        assert!(second.right - second.left >= NARROWEST);
        assert!(second.is_stretched && !first.is_stretched);
        assert_eq!((first.left, second.right), (LEFT, RIGHT));
    }

    proptest! {
        #[test]
        fn later_is_further_right_and_nothing_leaves_the_plot(
            seconds in 0_i64..40_000_000,
            steps in proptest::collection::vec(0.0..1.0_f64, 0..100),
            mut moments in proptest::collection::vec(-0.5..1.5_f64, 0..20),
        ) {
            let at = |share: f64| BEGAN + Duration::seconds(seconds) * share;
            let steps = steps.into_iter().map(at).collect::<Vec<_>>();
            let scale = Scale::new(BEGAN, at(1.0), &steps);
            moments.sort_by(f64::total_cmp);
            let places = moments.into_iter().map(|share| scale.x(at(share))).collect::<Vec<_>>();
            prop_assert!(places.iter().all(|x| (LEFT - 0.01..=RIGHT + 0.01).contains(x)));
            prop_assert!(places.windows(2).all(|pair| pair[0] <= pair[1] + 0.01), "{places:?}");
            prop_assert!(scale.ticks().windows(2).all(|pair| pair[1].0 - pair[0].0 >= NEAREST));
        }
    }
}
