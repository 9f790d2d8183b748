//! Dates as the reference agent writes them: Go's layout `2006-01-02 15:04:05.999999999 -0700 MST`,
//! as in `2024-10-15 21:22:05.123456789 +0000 UTC`, with trailing zeros of the fraction dropped.

use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{OffsetDateTime, UtcDateTime};

const SECONDS: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");

const WITH_OFFSET: &[BorrowedFormatItem<'_>] = format_description!(
    version = 2,
    "[year]-[month]-[day] [hour]:[minute]:[second][optional [.[subsecond]]] \
     [offset_hour sign:mandatory][offset_minute]"
);

/// The text for a record; always UTC.
pub(super) fn format(at: UtcDateTime) -> String {
    // The format has no component that a UtcDateTime lacks, so formatting cannot fail.
    let seconds = at.format(SECONDS).unwrap_or_default();
    let fraction = match at.nanosecond() {
        0 => String::new(),
        nanoseconds => format!(".{nanoseconds:09}").trim_end_matches('0').to_owned(),
    };
    format!("{seconds}{fraction} +0000 UTC")
}

/// The moment that a record's text names: any offset counts, any zone name is passed over. `None`
/// for an empty or odd text; a key's age is then unknown, which is no reason to refuse the key.
pub(super) fn parse(text: &str) -> Option<UtcDateTime> {
    let [date, time, offset] = text.split_ascii_whitespace().take(3).collect::<Vec<_>>()[..] else {
        return None;
    };
    OffsetDateTime::parse(&format!("{date} {time} {offset}"), WITH_OFFSET)
        .ok()
        .and_then(OffsetDateTime::checked_to_utc)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::macros::utc_datetime;

    use super::*;

    #[test]
    fn a_date_of_the_reference_agent_reads_and_writes_back() {
        for text in [
            "2026-11-22 00:00:18.946342959 +0000 UTC",
            "2024-10-15 21:22:05 +0000 UTC",
            "2024-10-15 21:22:05.1 +0000 UTC",
        ] {
            assert_eq!(format(parse(text).unwrap()), text);
        }
    }

    #[test]
    fn local_time_counts_by_its_offset_whatever_its_zone_is_called() {
        let at = utc_datetime!(2024-10-15 21:22:05.5);
        for text in [
            "2024-10-15 23:22:05.5 +0200 CEST",
            "2024-10-15 17:52:05.5 -0330 -0330",
            "2024-10-15 23:22:05.5 +0200",
            "2024-10-15 23:22:05.5 +0200 CEST m=+0.012",
        ] {
            assert_eq!(parse(text), Some(at), "{text}");
        }
    }

    #[test]
    fn an_odd_date_is_unknown() {
        for text in
            ["", "yesterday", "2024-10-15", "2024-10-15T21:22:05Z", "2024-13-15 1:2:3 +0000"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(parse("9999-12-31 23:59:59 -0100 X"), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in ".{0,60}") {
            let _ = parse(&text);
        }

        #[test]
        fn every_moment_survives(seconds in -62_000_000_000_i64..253_000_000_000, fraction in 0_u32..1_000_000_000) {
            let at = UtcDateTime::from_unix_timestamp(seconds).unwrap().replace_nanosecond(fraction).unwrap();
            prop_assert_eq!(parse(&format(at)), Some(at));
        }
    }
}
