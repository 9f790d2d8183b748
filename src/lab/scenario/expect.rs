//! The words of `expect`: what can be seen in a scenario.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;

use super::file::some_duration;
use crate::lab::operation::Operation;
use crate::pure::duration::display_duration;
use crate::shelf::State;

/// What must be seen of the machine that the step is `on`; all that is given, at one moment.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    /// As `rolekeeper status` has it.
    pub state: Option<State>,
    /// The class of the last failure, as `rolekeeper status` has it; or `none`.
    pub failure: Option<FailureWord>,
    /// What the credentials file holds.
    pub credentials: Option<Held>,
    /// What another program hears that uses the credentials file.
    pub call: Option<Call>,
    /// The exit status of the step's last command.
    pub exit: Option<u8>,
    /// The code by which the service refused the step's last command.
    pub refused: Option<String>,
    /// What the hardware check says: `similar`, `different` or `disabled`.
    pub hardware: Option<Verdict>,
    /// Percent of the hardware that agrees.
    pub score: Option<u8>,
    /// What of the hardware is not what it was, by the names of `rolekeeper fingerprint diff`.
    pub changed: Option<Vec<String>>,
    /// The machine's RSA key.
    pub key: Option<Key>,
    /// When the daemon asks the service next, from now on.
    pub asks_again_in: Option<Spans>,
    /// How many machines the service knows.
    pub nodes: Option<usize>,
    /// What the service was asked during the step.
    pub requests: Option<Requests>,
}

/// A class of failures, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureWord {
    None,
    BadAnswer,
    ClockSkew,
    Denied,
    Local,
    ServiceFault,
    Throttled,
    Unreachable,
}

/// What a credentials file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Held {
    /// Credentials that have not ended.
    Live,
    /// Live ones, other than when the step began.
    New,
    /// Live ones, and they are those of when the step began.
    Same,
    /// Credentials that have ended.
    Dead,
    /// None of ours.
    None,
}

/// What a caller hears: `accepted`, `no-credentials`, or the code of the service's refusal.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Call {
    Accepted,
    NoCredentials,
    Refused(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    Similar,
    Different,
    Disabled,
}

/// What has become of the machine's RSA key since the step began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Key {
    /// Vault and service hold the one that they held.
    Same,
    /// A rotation is under way: the vault holds two.
    Staged,
    /// Vault and service hold a new one, both the same.
    New,
}

/// From here to there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Spans {
    #[serde(deserialize_with = "some_duration")]
    pub at_least: Option<Duration>,
    #[serde(deserialize_with = "some_duration")]
    pub at_most: Option<Duration>,
}

/// How often the service was asked for something, with what outcome.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requests {
    #[serde(deserialize_with = "operation")]
    pub operation: Operation,
    /// `done`, the code of a refusal, or the name of a fault; any, unless given.
    pub outcome: Option<String>,
    pub at_least: Option<usize>,
    pub at_most: Option<usize>,
}

impl Expect {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Each condition in words, in the order in which it is looked at.
    pub fn in_words(&self) -> Vec<String> {
        let mut words = Vec::new();
        let mut say = |word: Option<String>| words.extend(word);
        say(self.exit.map(|exit| format!("exit {exit}")));
        say(self.refused.as_ref().map(|code| format!("refused with {code}")));
        say(self.state.map(|state| format!("state {}", state.name())));
        say(self.failure.map(|failure| format!("failure {}", failure.name())));
        say(self.hardware.map(|verdict| format!("hardware {}", verdict.name())));
        say(self.score.map(|score| format!("score {score} %")));
        say(self.changed.as_ref().map(|names| changed_words(names)));
        say(self.asks_again_in.as_ref().map(|spans| format!("asks again in {spans}")));
        say(self.key.map(|key| format!("key {}", key.name())));
        say(self.nodes.map(nodes_words));
        say(self.credentials.map(|held| format!("credentials {}", held.name())));
        say(self.call.as_ref().map(|call| format!("call {call}")));
        say(self.requests.as_ref().map(ToString::to_string));
        words
    }
}

/// `changed nothing`, `changed disk-info, machine-id`.
pub fn changed_words(names: &[String]) -> String {
    match names {
        [] => "changed nothing".to_owned(),
        names => format!("changed {}", names.join(", ")),
    }
}

/// `1 node`, `2 nodes`.
pub fn nodes_words(count: usize) -> String {
    format!("{count} node{}", if count == 1 { "" } else { "s" })
}

impl FailureWord {
    /// As `status` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::BadAnswer => "bad-answer",
            Self::ClockSkew => "clock-skew",
            Self::Denied => "denied",
            Self::Local => "local",
            Self::ServiceFault => "service-fault",
            Self::Throttled => "throttled",
            Self::Unreachable => "unreachable",
        }
    }
}

impl Held {
    pub fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::New => "new",
            Self::Same => "same",
            Self::Dead => "dead",
            Self::None => "none",
        }
    }
}

impl Verdict {
    pub fn name(self) -> &'static str {
        match self {
            Self::Similar => "similar",
            Self::Different => "different",
            Self::Disabled => "disabled",
        }
    }
}

impl Key {
    pub fn name(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Staged => "staged",
            Self::New => "new",
        }
    }
}

impl TryFrom<String> for Call {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        match word.as_str() {
            "accepted" => Ok(Self::Accepted),
            "no-credentials" => Ok(Self::NoCredentials),
            code if is_code(code) => Ok(Self::Refused(word)),
            _ => {
                Err("expected accepted, no-credentials, or a code such as ExpiredToken".to_owned())
            }
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accepted => f.write_str("accepted"),
            Self::NoCredentials => f.write_str("no-credentials"),
            Self::Refused(code) => f.write_str(code),
        }
    }
}

impl Spans {
    pub fn contain(&self, span: Duration) -> bool {
        self.at_least.is_none_or(|least| span >= least)
            && self.at_most.is_none_or(|most| span <= most)
    }
}

impl fmt::Display for Spans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.at_least.map(display_duration), self.at_most.map(display_duration)) {
            (Some(least), Some(most)) => write!(f, "{least} to {most}"),
            (Some(least), None) => write!(f, "at least {least}"),
            (None, Some(most)) => write!(f, "at most {most}"),
            (None, None) => f.write_str("some time"),
        }
    }
}

impl Requests {
    pub fn allow(&self, count: usize) -> bool {
        self.at_least.is_none_or(|least| count >= least)
            && self.at_most.is_none_or(|most| count <= most)
    }

    /// `UpdateManagedInstancePublicKey (done)`
    pub fn subject(&self) -> String {
        match &self.outcome {
            Some(outcome) => format!("{} ({outcome})", self.operation),
            None => self.operation.to_string(),
        }
    }
}

impl fmt::Display for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subject = self.subject();
        match (self.at_least, self.at_most) {
            (Some(least), Some(most)) if least == most => write!(f, "{least} x {subject}"),
            (Some(least), Some(most)) => write!(f, "{least} to {most} x {subject}"),
            (Some(least), None) => write!(f, "at least {least} x {subject}"),
            (None, Some(most)) => write!(f, "at most {most} x {subject}"),
            (None, None) => write!(f, "any number x {subject}"),
        }
    }
}

/// As AWS's codes are.
pub fn is_code(text: &str) -> bool {
    (1..=100).contains(&text.len())
        && text.starts_with(|first: char| first.is_ascii_uppercase())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.')
}

fn operation<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Operation, D::Error> {
    String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
}
