//! The small pieces that every section is made of. A state is told by a word and a shape, never by
//! its colour alone.

use std::time::Duration;

use maud::{Markup, html};
use time::UtcDateTime;

use super::snapshot::{Life, NodeState};
use crate::lab::ledger::Outcome;

/// Where a form of a section is sent: the path, with the token that lets it in.
#[derive(Debug, Clone, Copy)]
pub struct Actions<'a> {
    pub token: &'a str,
}

/// The good, the doubtful, the bad and the absent: a circle, a triangle, a cross, a ring.
#[derive(Debug, Clone, Copy)]
pub enum Tone {
    Good,
    Doubtful,
    Bad,
    Absent,
}

impl Actions<'_> {
    pub fn to(self, path: &str) -> String {
        format!("{path}?{}={}", super::gate::TOKEN, self.token)
    }
}

impl Tone {
    pub fn class(self) -> &'static str {
        match self {
            Tone::Good => "good",
            Tone::Doubtful => "doubtful",
            Tone::Bad => "bad",
            Tone::Absent => "absent",
        }
    }

    pub fn of(state: &NodeState) -> Self {
        match state {
            NodeState::Failing(_) => Tone::Bad,
            NodeState::Faulted(_) => Tone::Doubtful,
            NodeState::Bare | NodeState::Quiet => Tone::Absent,
            NodeState::Fresh => Tone::Good,
        }
    }
}

/// A word with its shape.
pub fn badge(tone: Tone, word: &str) -> Markup {
    html! { span class={ "badge " (tone.class()) } { (shape(tone)) (word) } }
}

/// The same, drawn: browsers have no letters in common that look like these.
fn shape(tone: Tone) -> Markup {
    html! {
        svg.shape viewBox="0 0 12 12" aria-hidden="true" {
            @match tone {
                Tone::Good => { circle cx="6" cy="6" r="4.5" {} }
                Tone::Doubtful => { path d="M6 1 11.5 11H.5Z" {} }
                Tone::Bad => { path.line d="M2.5 2.5 9.5 9.5M9.5 2.5 2.5 9.5" {} }
                Tone::Absent => { circle.line cx="6" cy="6" r="4" {} }
            }
        }
    }
}

pub fn verdict(outcome: &Outcome) -> Markup {
    match outcome {
        Outcome::Done => badge(Tone::Good, "done"),
        Outcome::Refused(code) => badge(Tone::Bad, code),
        Outcome::Disturbed(effect) => badge(Tone::Doubtful, &format!("fault: {effect}")),
    }
}

/// What is left, as a bar and in words. The script counts on from here.
pub fn life(life: Option<&Life>, over: &str) -> Markup {
    let Some(life) = life else {
        return html! { span.life { span.muted { (over) } } };
    };
    let percent = life.percent();
    let waning = if percent <= 20 { "life waning" } else { "life" };
    html! {
        span class=(waning) data-ends=(epoch_millis(life.ends_at)) data-whole=(life.whole.as_millis())
            data-over=(over) {
            svg.bar viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true" {
                rect.whole width="100" height="4" {}
                rect.left width=(percent) height="4" {}
            }
            span.left { (spell(life.left)) }
        }
    }
}

/// How long ago, counted on by the script.
pub fn ago(at: UtcDateTime, now: UtcDateTime) -> Markup {
    let span = Duration::try_from(now - at).unwrap_or_default();
    html! { span data-since=(epoch_millis(at)) { (spell(span)) " ago" } }
}

/// A span in its two largest units, as the script spells it too: `59 min 12 s`.
pub fn spell(span: Duration) -> String {
    let seconds = span.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{minutes} min {:02} s", seconds % 60),
        3600..86_400 => format!("{hours} h {:02} min", minutes % 60),
        _ => format!("{days} d {:02} h", hours % 24),
    }
}

/// `14:05:09`
pub fn time_of_day(at: UtcDateTime) -> String {
    let (hour, minute, second) = at.as_hms();
    format!("{hour:02}:{minute:02}:{second:02}")
}

pub fn epoch_millis(at: UtcDateTime) -> i128 {
    at.unix_timestamp_nanos() / 1_000_000
}

#[cfg(test)]
mod tests {
    use time::macros::utc_datetime;

    use super::*;

    const NOW: UtcDateTime = utc_datetime!(2026-11-22 00:00);

    #[test]
    fn spans_have_their_two_largest_units() {
        for (seconds, spelt) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min 00 s"),
            (3599, "59 min 59 s"),
            (3600, "1 h 00 min"),
            (86_399, "23 h 59 min"),
            (30 * 86_400, "30 d 00 h"),
        ] {
            assert_eq!(spell(Duration::from_secs(seconds)), spelt);
        }
    }

    #[test]
    fn a_bar_is_full_at_first_and_never_empty_before_the_end() {
        let hour = Duration::from_secs(3600);
        let percent = |left: Duration| Life::of(NOW + left, hour, NOW).unwrap().percent();
        assert_eq!(percent(hour), 100);
        assert_eq!(percent(hour / 2), 50);
        assert_eq!(percent(Duration::from_millis(1)), 1);
        assert_eq!(percent(hour * 12), 100);
        assert_eq!(Life::of(NOW, hour, NOW), None);
        assert_eq!(Life::of(NOW - hour, hour, NOW), None);
    }

    #[test]
    fn what_lives_says_when_it_ends() {
        let hour = Duration::from_secs(3600);
        let shown = life(Life::of(NOW + hour / 4, hour, NOW).as_ref(), "none").into_string();
        assert!(shown.contains("data-ends=\"1795306500000\""), "{shown}");
        assert!(shown.contains("data-whole=\"3600000\""), "{shown}");
        assert!(shown.contains("15 min 00 s") && shown.contains("width=\"25\""), "{shown}");
        assert!(life(None, "none").into_string().contains("none"));
    }

    #[test]
    fn each_verdict_has_its_word() {
        let refused = verdict(&Outcome::Refused("AccessDeniedException".into())).into_string();
        assert!(refused.contains("AccessDeniedException") && refused.contains("bad"), "{refused}");
        let disturbed = verdict(&Outcome::Disturbed("hang")).into_string();
        assert!(disturbed.contains("fault: hang"), "{disturbed}");
    }
}
