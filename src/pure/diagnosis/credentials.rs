//! Are there credentials, and will there be?

use super::refusal::in_words;
use super::{Finding, remedy_within};
use crate::pure::advice::Complaint;
use crate::pure::refresher::Condition;
use crate::pure::shell::in_shell;

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
    /// The service was asked to register this machine, and its answer never came: the record of it.
    pub pending: Option<String>,
}

const REGISTER: &str =
    "rolekeeper register --region REGION --activation-id ID --activation-code-file FILE";

/// An instance that nobody has the key of, and whose activation has lost a use.
const LEFT_BEHIND: &str = "see whether it left an instance behind, which never reports: aws ssm \
                           describe-instance-information; aws ssm deregister-managed-instance \
                           --instance-id ID takes it away";

/// Judges the registered role's credentials.
pub fn judge(held: &Held) -> Finding {
    let until = held.until.as_deref().unwrap_or("an unknown time");
    let Some(condition) = held.condition else {
        return Finding::inapplicable("this machine is not registered");
    };
    let (message, remedy) = match &held.failure {
        Some(failure) => (failure.message.as_str(), remedy_within(&failure.remedy)),
        None if condition == Condition::Expired => {
            let text = "there are none yet: the daemon waits for its first answer";
            return Finding::warning(text, "rolekeeper refresh, which waits for it, too");
        }
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
    match (&registered.instance, &registered.pending) {
        (Some(id), None) => Finding::ok(format!("this machine is {id}")),
        (Some(id), Some(record)) => {
            let record = in_shell(record);
            Finding::warning(
                format!("this machine is {id}, and a new registration was begun and not finished"),
                format!("{LEFT_BEHIND}; then mv {record} {record}.given-up, by which {id} stays"),
            )
        }
        (None, Some(_)) => Finding::wrong(
            "a registration was begun, and the service's answer never came: it may have counted",
            format!("{LEFT_BEHIND}; then {REGISTER}"),
        ),
        (None, None) => Finding::wrong("this machine is not registered", REGISTER),
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
        let condition = Some(Condition::Expired);
        let starting = judge(&Held { condition, until: None, failure: None, next_try: None });
        assert_eq!(starting.verdict, Verdict::Warning);
        let remedy = "rolekeeper refresh, which waits for it, too";
        assert_eq!(starting.remedy.as_deref(), Some(remedy));
        let none = Held { condition: None, until: None, failure: None, next_try: None };
        assert_eq!(judge(&none).verdict, Verdict::Inapplicable);
    }

    #[test]
    fn a_registration_without_an_answer_is_told_from_none() {
        for (instance, pending, verdict, text) in [
            (Some("mi-1"), None, Verdict::Ok, "is mi-1"),
            (Some("mi-1"), Some("/v/P"), Verdict::Warning, "not finished"),
            (None, Some("/v/P"), Verdict::Wrong, "never came"),
            (None, None, Verdict::Wrong, "not registered"),
        ] {
            let instance = instance.map(str::to_owned);
            let pending = pending.map(str::to_owned);
            let finding = registration(&Registered { instance, pending });
            assert_eq!(finding.verdict, verdict);
            assert!(finding.text.contains(text), "{finding:?}");
        }
    }
}
