//! Does Systems Manager hear that this machine is alive?

use super::refusal::in_words;
use super::{Finding, remedy_within};
use crate::pure::advice::Complaint;

/// What the daemon says of its reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// When the service took the last one, as a person reads it.
    pub last: Option<String>,
    /// Why the newest was not taken.
    pub failure: Option<Complaint>,
    pub next: Option<String>,
}

/// Judges the reports. Credentials are renewed without them; the service lists the machine as lost.
pub fn judge(heard: &Heard) -> Finding {
    let Heard { last, failure, next } = heard;
    match (failure, last) {
        (None, Some(last)) => Finding::ok(format!("reported at {last}")),
        (None, None) => Finding::ok("not reported yet, which comes after the first credentials"),
        (Some(failure), last) => {
            let last = last.as_deref().map(|last| format!(", last heard at {last}"));
            let last = last.unwrap_or_default();
            let text = format!(
                "not reported{last}, so that Systems Manager shows this machine as lost \
                 (ConnectionLost): {}",
                failure.message
            );
            let next = next.as_ref().map(|at| format!("the daemon tries again at {at}"));
            let words = in_words(&failure.message).map(str::to_owned);
            Finding::warning(text, remedy_within(&failure.remedy))
                .all_seen(words.into_iter().chain(next))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pure::advice::Exit;
    use crate::pure::diagnosis::Verdict;

    #[test]
    fn a_report_that_was_not_taken_is_a_warning_with_its_own_remedy() {
        let failure = Complaint::new(Exit::Refused, "AccessDeniedException: no", "allow it");
        let (last, next) = (Some("12:00".to_owned()), Some("12:05".to_owned()));
        let heard = |last: &Option<String>, failure: Option<&Complaint>| {
            judge(&Heard { last: last.clone(), failure: failure.cloned(), next: next.clone() })
        };
        assert_eq!(heard(&last, None).text, "reported at 12:00");
        assert_eq!(heard(&None, None).verdict, Verdict::Ok);
        let finding = heard(&last, Some(&failure));
        assert_eq!(finding.verdict, Verdict::Warning);
        assert!(finding.text.contains("last heard at 12:00") && finding.text.contains("lost"));
        assert_eq!(finding.remedy.as_deref(), Some("allow it"));
        assert!(finding.evidence.iter().any(|it| it.ends_with("again at 12:05")), "{finding:?}");
    }
}
