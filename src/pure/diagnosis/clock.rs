//! Is this machine's clock right, by the service's?

use time::{Duration, UtcDateTime};

use super::Finding;
use crate::pure::duration::display_duration;

/// `Date` has whole seconds, and an answer takes time.
const UNSEEN: Duration = Duration::seconds(5);

/// How far a signature's date may be off for most of AWS's services (SigV4).
const SIGNATURES: Duration = Duration::minutes(5);

/// The same for S3 (`RequestTimeTooSkewed`).
const S3: Duration = Duration::minutes(15);

const REMEDY: &str = "set the clock: chronyc makestep, or timedatectl set-ntp true";

/// Judges this machine's time, `now`, by a `Date` of the service that just came.
pub fn judge(service: UtcDateTime, now: UtcDateTime) -> Finding {
    let ahead = now - service;
    let off = ahead.abs();
    let finding = if off < UNSEEN {
        return Finding::ok("agrees with the service's to a few seconds");
    } else if off < SIGNATURES {
        let text = format!("{}; from 5 min on, AWS refuses signatures", amount(ahead));
        Finding::warning(text, REMEDY)
    } else {
        let also = if off < S3 { "S3 follows at 15 min" } else { "S3 as well" };
        let text = format!("{}: AWS refuses what programs sign here, {also}", amount(ahead));
        Finding::wrong(text, REMEDY)
    };
    let finding = if ahead.is_positive() {
        finding.seen("programs find credentials ended before they are")
    } else {
        finding.seen("programs find credentials good that have ended")
    };
    finding.seen("the daemon itself goes by the service's clock, and many programs do not")
}

fn amount(ahead: Duration) -> String {
    let direction = if ahead.is_positive() { "ahead of" } else { "behind" };
    let seconds = std::time::Duration::from_secs(ahead.whole_seconds().unsigned_abs());
    format!("is {} {direction} the service's", display_duration(seconds))
}

#[cfg(test)]
mod tests {
    use time::macros::utc_datetime;

    use super::*;
    use crate::pure::diagnosis::Verdict;

    #[test]
    fn the_amount_the_direction_and_what_breaks_are_told() {
        let service = utc_datetime!(2026-11-22 12:00);
        for (ahead, verdict, text) in [
            (0, Verdict::Ok, "agrees"),
            (-4, Verdict::Ok, "agrees"),
            (5, Verdict::Warning, "is 5s ahead of the service's; from 5 min on"),
            (-299, Verdict::Warning, "behind the service's"),
            (
                300,
                Verdict::Wrong,
                "ahead of the service's: AWS refuses what programs sign here, S3 follows",
            ),
            (-899, Verdict::Wrong, "S3 follows at 15 min"),
            (900, Verdict::Wrong, "S3 as well"),
            (-86_400, Verdict::Wrong, "is 1d behind the service's"),
        ] {
            let finding = judge(service, service + Duration::seconds(ahead));
            assert_eq!(finding.verdict, verdict, "{ahead}: {finding:?}");
            assert!(finding.text.contains(text), "{ahead}: {}", finding.text);
            assert_eq!(finding.remedy.is_some(), verdict != Verdict::Ok);
        }
    }

    #[test]
    fn a_clock_behind_and_one_ahead_mislead_programs_differently() {
        let service = utc_datetime!(2026-11-22 12:00);
        let said = |ahead| judge(service, service + Duration::hours(ahead)).evidence[0].clone();
        assert!(said(1).contains("ended before they are"));
        assert!(said(-1).contains("good that have ended"));
    }
}
