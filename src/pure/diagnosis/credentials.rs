//! Are there credentials, and will there be?

use super::Finding;
use super::refusal::in_words;
use crate::pure::advice::Complaint;
use crate::pure::refresher::Condition;

/// What the daemon says of the registered role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// None before a registration.
    pub condition: Option<Condition>,
    /// As a person reads it.
    pub until: Option<String>,
    pub failure: Option<Complaint>,
    pub next_try: Option<String>,
}

/// What can be told of the registration from the vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    pub instance: Option<String>,
    /// The service was asked to register this machine, and its answer never came.
    pub pending: bool,
}

const REGISTER: &str =
    "rolekeeper register --region REGION --activation-id ID --activation-code-file FILE";

/// Judges the registered role's credentials.
pub fn judge(held: &Held) -> Finding {
    let until = held.until.as_deref().unwrap_or("an unknown time");
    let Some(condition) = held.condition else {
        return Finding::inapplicable("this machine is not registered");
    };
    let (message, remedy) = match &held.failure {
        Some(failure) => (failure.message.as_str(), failure.remedy.as_str()),
        None => ("the daemon has not asked yet", "rolekeeper refresh"),
    };
    let finding = match condition {
        Condition::Fresh => return Finding::ok(format!("fresh, until {until}")),
        Condition::Stale => {
            let text = format!("good until {until}, and could not be renewed: {message}");
            Finding::warning(text, remedy)
        }
        Condition::Expired => Finding::wrong(format!("there are none: {message}"), remedy),
        Condition::Hibernating => {
            Finding::wrong(format!("the service refuses this machine: {message}"), remedy)
        }
        Condition::Mismatch => {
            Finding::wrong(format!("this is not the machine that registered: {message}"), remedy)
        }
    };
    let next = held.next_try.as_ref().map(|at| format!("the daemon tries again at {at}"));
    let words = in_words(message).map(str::to_owned);
    finding.all_seen(words.into_iter().chain(next))
}

/// Judges the registration.
pub fn registration(registered: &Registered) -> Finding {
    match (&registered.instance, registered.pending) {
        (Some(id), false) => Finding::ok(format!("this machine is {id}")),
        (Some(id), true) => Finding::warning(
            format!("this machine is {id}, and a new registration was begun and not finished"),
            format!("{REGISTER} --force, to finish it with the activation that it began with"),
        ),
        (None, true) => Finding::wrong(
            "a registration was begun, and the service's answer never came: it may have counted",
            format!("{REGISTER}, with the same activation: asking again does no harm"),
        ),
        (None, false) => Finding::wrong("this machine is not registered", REGISTER),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pure::advice::Exit;
    use crate::pure::diagnosis::Verdict;

    #[test]
    fn each_condition_has_its_verdict_and_the_failures_own_remedy() {
        let message = "RequestManagedInstanceRoleToken at x: InvalidInstanceId: no such";
        let failure = || Some(Complaint::new(Exit::Refused, message, "register again"));
        for (condition, verdict) in [
            (Condition::Fresh, Verdict::Ok),
            (Condition::Stale, Verdict::Warning),
            (Condition::Expired, Verdict::Wrong),
            (Condition::Hibernating, Verdict::Wrong),
            (Condition::Mismatch, Verdict::Wrong),
        ] {
            let finding = judge(&Held {
                condition: Some(condition),
                until: Some("2026-11-22T12:00:00Z".into()),
                failure: failure(),
                next_try: Some("2026-11-22T11:00:00Z".into()),
            });
            assert_eq!(finding.verdict, verdict, "{condition:?}");
            if verdict != Verdict::Ok {
                assert_eq!(finding.remedy.as_deref(), Some("register again"));
                assert!(finding.evidence[0].contains("does not know this instance"));
                assert!(finding.evidence[1].contains("tries again at 2026-11-22T11:00:00Z"));
            }
        }
        let none = Held { condition: None, until: None, failure: None, next_try: None };
        assert_eq!(judge(&none).verdict, Verdict::Inapplicable);
    }

    #[test]
    fn a_registration_without_an_answer_is_told_from_none() {
        for (instance, pending, verdict, text) in [
            (Some("mi-1"), false, Verdict::Ok, "is mi-1"),
            (Some("mi-1"), true, Verdict::Warning, "not finished"),
            (None, true, Verdict::Wrong, "never came"),
            (None, false, Verdict::Wrong, "not registered"),
        ] {
            let instance = instance.map(str::to_owned);
            let finding = registration(&Registered { instance, pending });
            assert_eq!(finding.verdict, verdict);
            assert!(finding.text.contains(text), "{finding:?}");
        }
    }
}
