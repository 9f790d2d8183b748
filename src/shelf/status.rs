//! What `status` shows, and its JSON form. Holds no secret.

use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use time::UtcDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

use crate::pure::advice::{Advice, Complaint};
use crate::pure::disabled::Disabled;
use crate::pure::source::Source;

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    pub state: State,
    pub instance_id: Option<String>,
    pub region: Option<String>,
    /// Of the program that answers.
    pub version: String,
    #[serde(default = "hybrid")]
    pub source: Source,
    /// Whose credentials they are, as far as the source tells; nothing is told of a registered role.
    #[serde(default)]
    pub role: Option<RoleStatus>,
    pub credentials: Option<Credentials>,
    pub fingerprint: Option<FingerprintStatus>,
    pub targets: Vec<TargetStatus>,
    /// Those with a role of their own.
    #[serde(default)]
    pub consumers: Vec<ConsumerStatus>,
    #[serde(default)]
    pub endpoints: Vec<EndpointStatus>,
    /// What Systems Manager hears of this machine's health; `None` where it is told nothing.
    #[serde(default)]
    pub health: Option<HealthStatus>,
    /// Targets and consumers that cannot be served as the settings have them.
    #[serde(default)]
    pub disabled: Vec<Disabled>,
    /// Why the settings that are in force are not those that the files hold.
    #[serde(default)]
    pub settings: Option<SettingsTrouble>,
    pub failure: Option<Failure>,
    /// What does not stop the daemon, and needs somebody all the same.
    #[serde(default)]
    pub warnings: Vec<Warning>,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// What it is about: `service`, `vault`, `record`, `token_file web`.
    pub subject: String,
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

/// Settings that cannot be used. The last good ones are in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingsTrouble {
    pub error: String,
    pub remedy: String,
}

/// The state in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Usable credentials, which are renewed.
    Fresh,
    /// Usable credentials, which could not be renewed.
    Stale,
    /// The daemon waits for the answer to its first request.
    Starting,
    /// No usable credentials.
    Expired,
    /// The service has refused this machine.
    Hibernating,
    /// This is not the machine that registered.
    Mismatch,
    Unregistered,
    /// Without a daemon: an identity is there, and no credentials.
    Registered,
    /// Without a daemon: what an earlier run has written is still usable, or nothing was written.
    Stopped,
    /// Without a daemon: a record of the vault is damaged or missing, and a start would fail.
    Damaged,
    /// Without a daemon: the vault's records cannot be read, and may be in order.
    Unknown,
}

impl State {
    /// All of them, in the order of the manual.
    pub const ALL: [Self; 11] = [
        Self::Fresh,
        Self::Stale,
        Self::Starting,
        Self::Expired,
        Self::Hibernating,
        Self::Mismatch,
        Self::Unregistered,
        Self::Registered,
        Self::Stopped,
        Self::Damaged,
        Self::Unknown,
    ];
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleStatus {
    /// In words, as `instance profile`.
    pub granted_by: String,
    pub name: Option<String>,
    pub arn: Option<String>,
    pub account_id: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    pub access_key_id_suffix: String,
    pub issued_at: Moment,
    pub expires_at: Moment,
    pub next_refresh_at: Moment,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FingerprintStatus {
    /// `similar`, `different` or `disabled`.
    pub verdict: String,
    /// Percent.
    pub score: u8,
    /// Percent, or -1 when the check is off.
    pub threshold: i64,
    /// Names of the attributes that are not what they were.
    pub changed: Vec<String>,
    /// Names of those that were saved and cannot be read now.
    #[serde(default)]
    pub unreadable: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetStatus {
    pub name: String,
    pub path: PathBuf,
    pub profile: String,
    pub written_at: Option<Moment>,
    /// What stood in it was taken out again: it holds no keys of ours.
    #[serde(default)]
    pub withdrawn: bool,
    /// Until this run has written it: when the keys of an earlier one end that the file holds.
    #[serde(default)]
    pub held_until: Option<Moment>,
    pub error: Option<String>,
    /// What to do about the error.
    pub remedy: Option<String>,
    /// What should be known about the file as it was written.
    #[serde(default)]
    pub warnings: Vec<Complaint>,
    /// The ARN of its own role; `None` is the registered role.
    pub role_arn: Option<String>,
    /// What it is to hold: its own role's credentials, or the registered role's.
    pub credentials: Option<Credentials>,
    /// Why its own role was not assumed.
    pub failure: Option<Failure>,
    /// The service that is told when its credentials are new.
    #[serde(default)]
    pub reload: Option<Box<ReloadStatus>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadStatus {
    pub unit: String,
    /// It is reloaded, or restarted, when there is none.
    pub signal: Option<String>,
    /// When the last run in this daemon's life ended, or the one that is under way was taken on.
    pub last_run_at: Option<Moment>,
    /// `reloading` as long as systemd has a job for it; then `reloaded`, `not-running` or `failed`, or
    /// `asked` where systemd does not say; `signalled`.
    pub last_outcome: Option<String>,
    /// While new credentials wait for it.
    pub next_run_at: Option<Moment>,
    pub failure: Option<Failure>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsumerStatus {
    pub name: String,
    pub role_arn: Option<String>,
    pub credentials: Option<Credentials>,
    /// Why its role was not assumed.
    pub failure: Option<Failure>,
}

/// An endpoint on loopback. It listens, unless there is an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointStatus {
    /// `container` or `imds`.
    pub kind: String,
    pub address: String,
    /// When it began to listen, or could not for the first time.
    pub since: Moment,
    pub error: Option<String>,
    pub remedy: Option<String>,
}

/// The reports by which Systems Manager lists this machine as online.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthStatus {
    /// When the service took the last one of this run.
    pub reported_at: Option<Moment>,
    /// When the next one is due; nothing before the first.
    pub next_report_at: Option<Moment>,
    /// Why the last one was not taken.
    pub failure: Option<Failure>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub class: String,
    pub message: String,
    pub remedy: String,
    /// Failures in a row.
    pub attempts: u32,
    pub next_try_at: Option<Moment>,
}

/// A point in time whose text is RFC 3339 in UTC with whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub UtcDateTime);

/// What a warning is about that a record of the vault is damaged or missing.
pub const RECORD: &str = "record";

/// What a warning is about that a consumer's token file is not written; the consumer's name follows.
const TOKEN_FILE: &str = "token_file ";

impl Warning {
    /// That the consumer's token file is not written, for this reason.
    pub fn of_token_file(consumer: &str, error: &impl Advice) -> Self {
        let Complaint { message, remedy, .. } = Complaint::of(error);
        Self { subject: Self::token_file(consumer), message, remedy }
    }

    /// What such a warning is about.
    pub fn token_file(consumer: &str) -> String {
        format!("{TOKEN_FILE}{consumer}")
    }

    /// Whether it says that a token file is not written.
    pub fn is_of_token_file(&self) -> bool {
        self.subject.starts_with(TOKEN_FILE)
    }
}

impl Status {
    /// Before anything is known.
    pub fn unregistered() -> Self {
        Self {
            state: State::Unregistered,
            instance_id: None,
            region: None,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            source: Source::Hybrid,
            role: None,
            credentials: None,
            fingerprint: None,
            targets: Vec::new(),
            consumers: Vec::new(),
            endpoints: Vec::new(),
            health: None,
            disabled: Vec::new(),
            settings: None,
            failure: None,
            warnings: Vec::new(),
        }
    }
}

/// What a daemon of before there was a choice says by its silence.
fn hybrid() -> Source {
    Source::Hybrid
}

impl State {
    /// The word in every report.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Stale => "stale",
            Self::Starting => "starting",
            Self::Expired => "expired",
            Self::Hibernating => "hibernating",
            Self::Mismatch => "mismatch",
            Self::Unregistered => "unregistered",
            Self::Registered => "registered",
            Self::Stopped => "stopped",
            Self::Damaged => "damaged",
            Self::Unknown => "unknown",
        }
    }
}

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
        f.write_str(&self.0.format(format).map_err(|_| std::fmt::Error)?)
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        UtcDateTime::parse(&text, &Rfc3339).map(Self).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use time::macros::utc_datetime;

    use super::*;

    #[test]
    fn status_has_the_members_and_words_that_scripts_rely_on() {
        let mut status = Status::unregistered();
        status.state = State::Fresh;
        status.credentials = Some(Credentials {
            access_key_id_suffix: "0001".into(),
            issued_at: Moment(utc_datetime!(2026-11-22 00:00:00.7)),
            expires_at: Moment(utc_datetime!(2026-11-22 01:00)),
            next_refresh_at: Moment(utc_datetime!(2026-11-22 00:30)),
        });
        let json = serde_json::to_string(&status).unwrap();
        assert!(
            json.starts_with(r#"{"state":"fresh","instance_id":null,"region":null,"version":"#)
        );
        assert!(json.contains(r#""issued_at":"2026-11-22T00:00:00Z""#));
        let mut read: Status = serde_json::from_str(&json).unwrap();
        // Times have whole seconds in text.
        read.credentials.as_mut().unwrap().issued_at = Moment(utc_datetime!(2026-11-22 00:00:00.7));
        assert_eq!(read, status);
    }
}
