//! Durations as people write them in settings and on command lines: `30s`, `250ms`, `1h30m`, and
//! offsets, which have a sign: `-2h`.

use std::time::Duration;

/// The longest duration that is taken: 10 years. It keeps every sum with a date in range.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Units, longest first, in milliseconds.
const UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// A text that is no duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MalformedDuration {
    #[error("expected a number and a unit, such as 250ms, 30s, 5m, 1h or 30d")]
    Shape,
    #[error("the number needs a unit: ms, s, m, h or d")]
    Unit,
    #[error("a unit stands twice, or after a shorter one")]
    Order,
    #[error("longer than ten years")]
    TooLong,
}

/// Reads whole numbers with units, the longest first: `30d`, `1h30m`, `250ms`. Zero is `0s`.
pub fn parse_duration(text: &str) -> Result<Duration, MalformedDuration> {
    let mut rest = text;
    let mut units = UNITS.iter();
    let mut total = 0_u64;
    if rest.is_empty() {
        return Err(MalformedDuration::Shape);
    }
    while !rest.is_empty() {
        let (digits, after) = split_at_first(rest, |byte| !byte.is_ascii_digit());
        let (name, after) = split_at_first(after, |byte| !byte.is_ascii_lowercase());
        if digits.is_empty() {
            return Err(MalformedDuration::Shape);
        }
        if !UNITS.iter().any(|(unit, _)| *unit == name) {
            return Err(MalformedDuration::Unit);
        }
        let (_, millis) = units.find(|(unit, _)| *unit == name).ok_or(MalformedDuration::Order)?;
        total = digits
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(*millis))
            .and_then(|part| part.checked_add(total))
            .filter(|total| u128::from(*total) <= LONGEST.as_millis())
            .ok_or(MalformedDuration::TooLong)?;
        rest = after;
    }
    Ok(Duration::from_millis(total))
}

/// The same form back, to the millisecond: 5400 s is `1h30m`.
pub fn display_duration(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (unit, millis) in UNITS {
        let number = rest / millis;
        rest %= millis;
        if number > 0 {
            text.push_str(&format!("{number}{unit}"));
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// Reads a duration that may have a sign: `-2h`, `+30s`, `30s`.
pub fn parse_offset(text: &str) -> Result<time::Duration, MalformedDuration> {
    let (sign, rest) = match text.split_at_checked(1) {
        Some(("-", rest)) => (-1, rest),
        Some(("+", rest)) => (1, rest),
        _ => (1, text),
    };
    let length = parse_duration(rest)?;
    // Ten years fit.
    time::Duration::try_from(length)
        .map(|length| length * sign)
        .map_err(|_| MalformedDuration::TooLong)
}

/// The same form back, with its sign: `-2h`, `+30s`.
pub fn display_offset(offset: time::Duration) -> String {
    let sign = if offset.is_negative() { "-" } else { "+" };
    format!("{sign}{}", display_duration(offset.unsigned_abs()))
}

fn split_at_first(text: &str, ends: impl Fn(u8) -> bool) -> (&str, &str) {
    // Everything before the first end is ASCII, so the cut is a character boundary.
    text.split_at(text.bytes().position(ends).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_unit_is_known() {
        for (text, millis) in [
            ("250ms", 250),
            ("30s", 30_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
            ("30d", 2_592_000_000),
            ("1h30m", 5_400_000),
            ("0s", 0),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn what_is_not_meant_is_told_apart() {
        use MalformedDuration as E;
        for (text, expected) in [
            ("", E::Shape),
            ("h", E::Shape),
            ("-5s", E::Shape),
            ("1h ", E::Shape),
            ("30", E::Unit),
            ("1.5h", E::Unit),
            ("5M", E::Unit),
            ("5 m", E::Unit),
            ("5µs", E::Unit),
            ("2w", E::Unit),
            ("1m1h", E::Order),
            ("1s1s", E::Order),
            ("4000d", E::TooLong),
            ("99999999999999999999s", E::TooLong),
        ] {
            assert_eq!(parse_duration(text), Err(expected), "{text:?}");
        }
    }

    #[test]
    fn an_offset_has_a_sign() {
        for (text, seconds) in [("-2h", -7200), ("+30s", 30), ("1m", 60), ("-0s", 0)] {
            assert_eq!(parse_offset(text), Ok(time::Duration::seconds(seconds)), "{text}");
        }
        assert_eq!(display_offset(time::Duration::hours(-2)), "-2h");
        assert_eq!(display_offset(time::Duration::seconds(30)), "+30s");
        for text in ["", "-", "--2h", "- 2h", "−2h", "2h-"] {
            assert!(parse_offset(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_displayed_reads_back(millis in 0..315_360_000_000_u64) {
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(parse_duration(&display_duration(duration)), Ok(duration));
            let offset = -time::Duration::try_from(duration).unwrap();
            prop_assert_eq!(parse_offset(&display_offset(offset)), Ok(offset));
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = (parse_duration(&text), parse_offset(&text));
        }
    }
}
