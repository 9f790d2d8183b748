//! What is wrong with a machine, and what to do about it: what was seen goes in, findings come out.
//!
//! Each file has one question of `rolekeeper doctor`. A finding says what is, in one sentence; where
//! that is not as it should be, also what to do. What could not be looked at is skipped with the
//! reason, and never wrong.

pub mod acl;
pub mod agent;
pub mod certificate;
pub mod clock;
pub mod consent;
pub mod credentials;
pub mod endpoint;
pub mod environment;
pub mod hardware;
pub mod health;
pub mod metadata;
pub mod passage;
pub mod privileges;
pub mod proxy;
pub mod refusal;
pub mod service;
pub mod shadow;
pub mod target;
pub mod vault;

use serde::Serialize;

use super::advice::{Complaint, Exit};

/// A question and its answer. `Serialize` is the contract of `doctor --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    pub name: &'static str,
    /// Of several, which one: a target, a record, a service.
    pub subject: Option<String>,
    #[serde(flatten)]
    pub finding: Finding,
}

/// What one look led to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub verdict: Verdict,
    /// One sentence; of a skipped check, why.
    #[serde(rename = "finding")]
    pub text: String,
    /// In the imperative. What is as it should be has none.
    pub remedy: Option<String>,
    /// What was seen, for whoever doubts it.
    pub evidence: Vec<String>,
}

/// In order of gravity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Ok,
    /// There is nothing to look at here.
    Inapplicable,
    /// It could not be looked at: nobody knows whether it is as it should be.
    Skipped,
    /// It works, and may soon not.
    Warning,
    Wrong,
}

impl Check {
    pub fn new(name: &'static str, finding: Finding) -> Self {
        Self { name, subject: None, finding }
    }

    pub fn of(name: &'static str, subject: impl Into<String>, finding: Finding) -> Self {
        Self { name, subject: Some(subject.into()), finding }
    }
}

impl Finding {
    pub fn ok(text: impl Into<String>) -> Self {
        Self { verdict: Verdict::Ok, text: text.into(), remedy: None, evidence: Vec::new() }
    }

    pub fn inapplicable(reason: impl Into<String>) -> Self {
        Self { verdict: Verdict::Inapplicable, ..Self::ok(reason) }
    }

    /// `remedy` is how it can be looked at.
    pub fn skipped(reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { verdict: Verdict::Skipped, remedy: Some(remedy.into()), ..Self::ok(reason) }
    }

    pub fn warning(text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { verdict: Verdict::Warning, remedy: Some(remedy.into()), ..Self::ok(text) }
    }

    pub fn wrong(text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { verdict: Verdict::Wrong, ..Self::warning(text, remedy) }
    }

    #[must_use]
    pub fn seen(mut self, evidence: impl Into<String>) -> Self {
        self.evidence.push(evidence.into());
        self
    }

    #[must_use]
    pub fn all_seen(mut self, evidence: impl IntoIterator<Item = String>) -> Self {
        self.evidence.extend(evidence);
        self
    }
}

/// What stood in the way of something that has to work.
impl From<Complaint> for Finding {
    fn from(Complaint { message, remedy, .. }: Complaint) -> Self {
        Self::wrong(message, remedy)
    }
}

impl Verdict {
    /// The word that a person reads.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Inapplicable => "n/a",
            Self::Skipped => "skipped",
            Self::Warning => "warn",
            Self::Wrong => "WRONG",
        }
    }
}

/// How something can be looked at that this user may not see.
pub const AS_ROOT: &str = "sudo rolekeeper doctor";

/// How something can be looked at that needs what another check found wrong.
pub const AFTER_THAT: &str = "mend what is wrong above; then rolekeeper doctor once more";

/// A remedy of the daemon's, for whoever reads it in `doctor`: what would send them here is said here.
fn remedy_within(remedy: &str) -> &str {
    if remedy.starts_with("`sudo rolekeeper doctor`") {
        "do what is said of the service in this list; the daemon tries again by itself"
    } else {
        remedy
    }
}

/// How a diagnosis ends: 78 with something wrong ("found in a misconfigured state", sysexits(3)), 75
/// with warnings (it works now), or when something could not be looked at, 0 otherwise.
pub fn exit(checks: &[Check]) -> Exit {
    match checks.iter().map(|check| check.finding.verdict).max() {
        Some(Verdict::Wrong) => Exit::Configuration,
        Some(Verdict::Warning | Verdict::Skipped) => Exit::TryAgain,
        Some(Verdict::Inapplicable | Verdict::Ok) | None => Exit::Done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gravest_finding_decides_how_it_ends_and_what_was_skipped_is_neither_wrong_nor_fine() {
        let check = |finding| Check::new("x", finding);
        let ok = || check(Finding::ok("fine"));
        let skipped = || check(Finding::skipped("needs root", AS_ROOT));
        let inapplicable = || check(Finding::inapplicable("there is none"));
        let warning = || check(Finding::warning("soon", "act"));
        let wrong = || check(Finding::wrong("now", "act"));
        for (checks, expected) in [
            (vec![], Exit::Done),
            (vec![ok(), inapplicable()], Exit::Done),
            (vec![ok(), skipped()], Exit::TryAgain),
            (vec![skipped(), wrong()], Exit::Configuration),
            (vec![warning(), ok(), skipped()], Exit::TryAgain),
            (vec![warning(), wrong(), ok()], Exit::Configuration),
        ] {
            assert_eq!(exit(&checks), expected, "{checks:?}");
        }
    }

    #[test]
    fn a_check_has_the_same_six_members_whatever_was_found() {
        let wrong = Finding::wrong("it is", "this").seen("that");
        assert_eq!(
            serde_json::to_string(&Check::of("target", "backup", wrong)).unwrap(),
            r#"{"name":"target","subject":"backup","verdict":"wrong","finding":"it is","remedy":"this","evidence":["that"]}"#
        );
        assert_eq!(
            serde_json::to_string(&Check::new("clock", Finding::skipped("why", "how"))).unwrap(),
            r#"{"name":"clock","subject":null,"verdict":"skipped","finding":"why","remedy":"how","evidence":[]}"#
        );
    }
}
