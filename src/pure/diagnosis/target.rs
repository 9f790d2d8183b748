//! Does a target's file hold what it should?

use time::UtcDateTime;
use time::format_description::well_known::Rfc3339;

use super::refusal::in_words;
use super::{AS_ROOT, Finding, remedy_within};
use crate::pure::advice::Complaint;

/// A target as the daemon and its file show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub path: String,
    pub profile: String,
    /// What the daemon says, where one answers.
    pub told: Option<Told>,
    pub file: File,
}

/// What the daemon says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// Why the file could not be written.
    pub unwritten: Option<Complaint>,
    /// Why its own role could not be assumed.
    pub failure: Option<Complaint>,
    /// Whether there are credentials for it.
    pub held: bool,
    /// What should be known about the file as it was written.
    pub warnings: Vec<Complaint>,
}

/// What the file shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum File {
    /// This user may not see it.
    Unseen(String),
    Unusable(Complaint),
    /// No file, or no keys in the profile.
    Empty,
    /// Keys that are not ours.
    Others,
    /// Keys of ours that most programs pass over.
    PassedOver(Complaint),
    Until(UtcDateTime),
}

/// Judges a target.
pub fn judge(target: &Target, now: UtcDateTime) -> Finding {
    let Target { path, profile, told, file } = target;
    let place = format!("{path} [{profile}]");
    if let Some(complaint) = told.as_ref().and_then(|told| told.unwritten.clone()) {
        return Finding::wrong(format!("not written: {}", complaint.message), complaint.remedy);
    }
    if let Some(Told { failure: Some(complaint), held, .. }) = told {
        return not_assumed(complaint, *held);
    }
    match file {
        File::Unusable(complaint) | File::PassedOver(complaint) => complaint.clone().into(),
        File::Unseen(_) if told.as_ref().is_some_and(|told| told.held) => {
            Finding::ok(format!("{place}, written by the daemon; this user may not read it"))
        }
        File::Unseen(reason) => {
            Finding::skipped(format!("needs root or its reader: {reason}"), AS_ROOT)
        }
        File::Others => Finding::wrong(
            format!("{place} holds keys that are not the daemon's"),
            "take them out, or give the target another profile; then rolekeeper refresh",
        ),
        File::Empty => Finding::wrong(
            format!("{place} holds no credentials"),
            match told {
                Some(Told { held: true, .. }) => "rolekeeper refresh",
                Some(_) => "mend what is wrong with the credentials (see there)",
                None => "systemctl restart rolekeeper",
            },
        ),
        File::Until(end) if *end <= now => Finding::wrong(
            format!("{place} holds credentials that ended at {}", shown(*end)),
            if told.is_some() { "rolekeeper refresh" } else { "systemctl restart rolekeeper" },
        ),
        File::Until(end) => {
            let warnings = told.iter().flat_map(|told| &told.warnings);
            let finding = Finding::ok(format!("{place}, until {}", shown(*end)));
            warnings.map(|it| Finding::warning(&it.message, &it.remedy)).next().unwrap_or(finding)
        }
    }
}

/// Judges a consumer with a role of its own, which has no file; `failure` is why the role was not
/// assumed, and `held` whether there are credentials all the same.
pub fn consumer(failure: Option<&Complaint>, held: bool) -> Finding {
    match failure {
        Some(complaint) => not_assumed(complaint, held),
        None if held => Finding::ok("its role is assumed"),
        None => Finding::warning("its role is not assumed yet", "rolekeeper refresh"),
    }
}

fn not_assumed(complaint: &Complaint, held: bool) -> Finding {
    let words = in_words(&complaint.message).map(str::to_owned);
    let text = format!("its role was not assumed: {}", complaint.message);
    let remedy = remedy_within(&complaint.remedy);
    let finding = match held {
        true => Finding::warning(text, remedy),
        false => Finding::wrong(text, remedy),
    };
    finding.all_seen(words)
}

/// Judges a service that is to be told of new credentials; `failure` is why it was not.
pub fn told_service(failure: Option<&Complaint>) -> Finding {
    match failure {
        None => Finding::ok("is told of new credentials"),
        Some(failure) => Finding::wrong(
            format!("goes on with credentials that end: {}", failure.message),
            failure.remedy.clone(),
        ),
    }
}

fn shown(moment: UtcDateTime) -> String {
    // Only years of more than four digits cannot be written so.
    moment.format(&Rfc3339).unwrap_or_else(|_| moment.to_string())
}

#[cfg(test)]
mod tests {
    use time::macros::utc_datetime;

    use super::*;
    use crate::pure::advice::Exit;
    use crate::pure::diagnosis::Verdict;

    const NOW: UtcDateTime = utc_datetime!(2026-11-22 12:00);

    fn judged(told: Option<Told>, file: File) -> Finding {
        let (path, profile) = ("/run/credentials".into(), "default".into());
        judge(&Target { path, profile, told, file }, NOW)
    }

    #[test]
    fn a_file_is_judged_by_what_programs_find_in_it() {
        let held = Some(Told { held: true, ..Told::default() });
        let later = File::Until(utc_datetime!(2026-11-22 13:00));
        for (told, file, verdict, text) in [
            (held.clone(), later.clone(), Verdict::Ok, "until 2026-11-22T13:00:00Z"),
            (None, later, Verdict::Ok, "/run/credentials [default]"),
            (held.clone(), File::Until(NOW), Verdict::Wrong, "ended at 2026-11-22T12:00:00Z"),
            (held.clone(), File::Empty, Verdict::Wrong, "holds no credentials"),
            (held.clone(), File::Others, Verdict::Wrong, "not the daemon's"),
            (held.clone(), File::Unseen("denied".into()), Verdict::Ok, "written by the daemon"),
            (None, File::Unseen("denied".into()), Verdict::Skipped, "needs root"),
        ] {
            let finding = judged(told, file.clone());
            assert_eq!(finding.verdict, verdict, "{file:?}: {finding:?}");
            assert!(finding.text.contains(text), "{finding:?}");
        }
    }

    #[test]
    fn a_file_that_lost_something_is_a_warning_and_one_that_is_passed_over_is_wrong() {
        let lost = Complaint::new(Exit::Refused, "could not keep its list", "set it again");
        let told = Told { held: true, warnings: vec![lost], ..Told::default() };
        let finding = judged(Some(told), File::Until(utc_datetime!(2026-11-22 13:00)));
        assert_eq!(finding.verdict, Verdict::Warning);
        assert_eq!(finding.remedy.as_deref(), Some("set it again"));
        let role = Complaint::new(Exit::BadData, "role_arn in line 2", "remove line 2");
        let finding = judged(None, File::PassedOver(role));
        assert_eq!(finding.verdict, Verdict::Wrong);
        assert!(finding.text.contains("role_arn in line 2"));
    }

    #[test]
    fn a_consumer_is_judged_by_what_it_is_given() {
        let failure = Complaint::new(Exit::Refused, "AccessDenied: no", "trust it");
        for (failure, held, verdict) in [
            (None, true, Verdict::Ok),
            (None, false, Verdict::Warning),
            (Some(&failure), true, Verdict::Warning),
            (Some(&failure), false, Verdict::Wrong),
        ] {
            assert_eq!(consumer(failure, held).verdict, verdict);
        }
    }

    #[test]
    fn a_service_that_was_not_told_is_wrong() {
        assert_eq!(told_service(None).verdict, Verdict::Ok);
        let failure = Complaint::new(Exit::Refused, "access denied", "install the polkit rule");
        let finding = told_service(Some(&failure));
        assert_eq!(finding.verdict, Verdict::Wrong);
        assert_eq!(finding.remedy.as_deref(), Some("install the polkit rule"));
    }

    #[test]
    fn what_the_daemon_could_not_do_comes_first() {
        let complaint = || Some(Complaint::new(Exit::Refused, "AccessDenied: no", "trust it"));
        let unwritten = Told { unwritten: complaint(), ..Told::default() };
        let finding = judged(Some(unwritten), File::Until(NOW));
        assert_eq!(
            (finding.verdict, finding.remedy.as_deref()),
            (Verdict::Wrong, Some("trust it"))
        );
        for (held, verdict) in [(true, Verdict::Warning), (false, Verdict::Wrong)] {
            let told = Told { failure: complaint(), held, ..Told::default() };
            let finding = judged(Some(told), File::Empty);
            assert_eq!(finding.verdict, verdict);
            assert!(finding.text.starts_with("its role was not assumed"));
            assert!(finding.evidence[0].starts_with("a policy forbids it"));
        }
    }
}
