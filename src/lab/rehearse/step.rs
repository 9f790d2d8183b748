//! The steps of the tour: their names, their titles, what is expected of each.

use std::error::Error;

/// A step, in the order of the tour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    ActivationCreated,
    Registered,
    CredentialsWritten,
    CallerIdentity,
    Refreshed,
    Outage,
    Recovered,
    CloneRefused,
    Restored,
    AddressChangeAccepted,
    AddressChangeRefused,
    ActivationRefused,
    KeyRotated,
}

/// What was seen, as it was expected, and what the next steps need of it.
#[derive(Debug)]
pub struct Seen<T = ()> {
    pub text: String,
    pub value: T,
}

/// What was seen instead of what was expected.
#[derive(Debug)]
pub struct Unmet(pub String);

impl Step {
    pub const ALL: [Step; 13] = [
        Step::ActivationCreated,
        Step::Registered,
        Step::CredentialsWritten,
        Step::CallerIdentity,
        Step::Refreshed,
        Step::Outage,
        Step::Recovered,
        Step::CloneRefused,
        Step::Restored,
        Step::AddressChangeAccepted,
        Step::AddressChangeRefused,
        Step::ActivationRefused,
        Step::KeyRotated,
    ];

    /// The name in `--json` and in the summary.
    pub fn name(self) -> &'static str {
        match self {
            Step::ActivationCreated => "activation-created",
            Step::Registered => "registered",
            Step::CredentialsWritten => "credentials-written",
            Step::CallerIdentity => "caller-identity",
            Step::Refreshed => "refreshed",
            Step::Outage => "outage",
            Step::Recovered => "recovered",
            Step::CloneRefused => "clone-refused",
            Step::Restored => "restored",
            Step::AddressChangeAccepted => "address-change-accepted",
            Step::AddressChangeRefused => "address-change-refused",
            Step::ActivationRefused => "activation-refused",
            Step::KeyRotated => "key-rotated",
        }
    }

    /// What is being rehearsed, for a person.
    pub fn title(self) -> &'static str {
        match self {
            Step::ActivationCreated => "An administrator creates an activation",
            Step::Registered => "This machine registers with it",
            Step::CredentialsWritten => "The daemon starts and writes a credentials file",
            Step::CallerIdentity => "Another program uses the file with the AWS SDK",
            Step::Refreshed => "Two renewals, each used by a new program",
            Step::Outage => "Outage: the service answers 500, then refuses connections",
            Step::Recovered => "The service is back",
            Step::CloneRefused => "Clone: a copy of the vault on another machine",
            Step::Restored => "The copy, back on the original machine",
            Step::AddressChangeAccepted => "New IP and MAC addresses, threshold 40",
            Step::AddressChangeRefused => "New IP and MAC addresses, threshold 95",
            Step::ActivationRefused => "Activations that are expired, used up, or mistyped",
            Step::KeyRotated => "The service asks for a new key",
        }
    }

    /// What must be seen.
    pub fn expected(self) -> &'static str {
        match self {
            Step::ActivationCreated => "an id and a code, for one machine",
            Step::Registered => "an instance id, and a vault that is closed to others",
            Step::CredentialsWritten => "a file with our profile, owner, mode and expiry",
            Step::CallerIdentity => "the assumed role of this instance",
            Step::Refreshed => "other credentials each time, before the old ones end",
            Step::Outage => "the file keeps its valid credentials, byte for byte",
            Step::Recovered => "new credentials, without anybody's help",
            Step::CloneRefused => "MachineFingerprintDoesNotMatch, and no credentials",
            Step::Restored => "the same instance and fingerprint as ever, at work",
            Step::AddressChangeAccepted => "the same machine still, with credentials",
            Step::AddressChangeRefused => "another machine: refused, and no credentials",
            Step::ActivationRefused => "clear errors, and no byte of the vault changed",
            Step::KeyRotated => "one new key, here and there, that works",
        }
    }
}

impl Seen {
    /// Just this.
    pub fn that(text: impl Into<String>) -> Self {
        Self { text: text.into(), value: () }
    }

    /// This, and what the next steps need.
    pub fn with<T>(self, value: T) -> Seen<T> {
        Seen { text: self.text, value }
    }
}

impl Unmet {
    /// Fails with `otherwise` unless the expectation held.
    pub fn unless(held: bool, otherwise: impl FnOnce() -> String) -> Result<(), Self> {
        if held { Ok(()) } else { Err(Self(otherwise())) }
    }
}

/// Whatever fails on the way to an expectation is what was seen instead.
impl<E: Error> From<E> for Unmet {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}
