//! Times as a person reads them: when, and how long from now.

use std::path::Path;

use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcDateTime, UtcOffset};
use tz::TimeZone;

use crate::control::Complaint;
use crate::host::environment;
use crate::pure::advice::Exit;
use crate::shelf::Moment;

/// This machine's time zone.
const LOCAL_TIME: &str = "/etc/localtime";

/// How the times of one page are shown.
#[derive(Debug)]
pub(super) struct Times {
    now: UtcDateTime,
    /// UTC, when there is none.
    zone: Option<TimeZone>,
}

impl Times {
    /// In UTC, or in the time zone of whoever asks (`TZ`, else `/etc/localtime`, else UTC, as tzset(3)
    /// has it).
    ///
    /// # Errors
    ///
    /// When the time zone cannot be read.
    pub(super) fn new(now: UtcDateTime, local: bool) -> Result<Self, Complaint> {
        let zone = local.then(|| match environment::variable("TZ") {
            Some(named) => TimeZone::from_posix_tz(&named),
            None if !Path::new(LOCAL_TIME).exists() => Ok(TimeZone::utc()),
            None => TimeZone::from_posix_tz("localtime"),
        });
        let zone = zone.transpose().map_err(|error| {
            let message = format!("the local time zone is not known: {error}");
            let remedy = "leave --local-time out, or set TZ, as in TZ=Europe/Berlin";
            Complaint::new(Exit::Configuration, message, remedy)
        })?;
        Ok(Self { now, zone })
    }

    /// `2026-11-22T01:00:00Z (in 41 min)`, or `2026-11-22T02:00:00+01:00 (in 41 min)`.
    pub(super) fn of(&self, moment: Moment) -> String {
        format!("{} ({})", self.at(moment), distance(moment.0, self.now))
    }

    fn at(&self, moment: Moment) -> String {
        self.local(moment.0).unwrap_or_else(|| moment.to_string())
    }

    fn local(&self, at: UtcDateTime) -> Option<String> {
        let seconds = at.unix_timestamp();
        let offset = self.zone.as_ref()?.find_local_time_type(seconds).ok()?.ut_offset();
        let offset = UtcOffset::from_whole_seconds(offset).ok()?;
        let local = OffsetDateTime::from_unix_timestamp(seconds).ok()?.to_offset(offset);
        local.format(&Rfc3339).ok()
    }
}

/// `in 41 min`, `3 min ago`, `now`: the largest unit, or the two largest of hours and days.
fn distance(at: UtcDateTime, now: UtcDateTime) -> String {
    let seconds = (at - now).whole_seconds();
    let parts = |large: u64, unit: &str, small: u64, smaller: &str| match small {
        0 => format!("{large} {unit}"),
        small => format!("{large} {unit} {small} {smaller}"),
    };
    let span = match seconds.unsigned_abs() {
        0 => return "now".to_owned(),
        s @ ..60 => format!("{s} s"),
        s @ ..3_600 => format!("{} min", s / 60),
        s @ ..86_400 => parts(s / 3_600, "h", s % 3_600 / 60, "min"),
        s => parts(s / 86_400, "d", s % 86_400 / 3_600, "h"),
    };
    if seconds > 0 { format!("in {span}") } else { format!("{span} ago") }
}

#[cfg(test)]
mod tests {
    use time::macros::utc_datetime;

    use super::*;

    const NOW: UtcDateTime = utc_datetime!(2026-11-22 00:19);

    #[test]
    fn a_distance_has_the_unit_that_tells_most() {
        for (seconds, text) in [
            (0, "now"),
            (1, "in 1 s"),
            (-59, "59 s ago"),
            (60, "in 1 min"),
            (41 * 60 + 59, "in 41 min"),
            (-3_600, "1 h ago"),
            (5_400, "in 1 h 30 min"),
            (-86_400, "1 d ago"),
            (90_000, "in 1 d 1 h"),
            (-400 * 86_400, "400 d ago"),
        ] {
            assert_eq!(distance(NOW + time::Duration::seconds(seconds), NOW), text);
        }
    }

    #[test]
    fn a_moment_is_shown_in_utc_or_in_a_zone_with_the_offset_that_it_had_then() {
        let winter = Moment(utc_datetime!(2026-11-22 01:00:00.7));
        let times = Times::new(NOW, false).unwrap();
        assert_eq!(times.of(winter), "2026-11-22T01:00:00Z (in 41 min)");
        let zone = TimeZone::from_posix_tz("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let times = Times { now: NOW, zone: Some(zone) };
        assert_eq!(times.of(winter), "2026-11-22T02:00:00+01:00 (in 41 min)");
        let summer = Moment(utc_datetime!(2026-07-01 00:00));
        assert_eq!(times.of(summer), "2026-07-01T02:00:00+02:00 (144 d ago)");
    }
}
