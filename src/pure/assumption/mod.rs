//! A role that is assumed from the registered role's credentials, perhaps by way of others: what
//! STS is asked for, checked before it is asked.
//!
//! A chain is one request per role, each signed by the credentials of the one before. What belongs
//! to the whole goes with every request (session name, external id), what the service itself passes
//! on with the first (source identity, transitive tags), what is about the result with the last
//! (other tags, duration, session policies).
//!
//! Bounds and characters: STS API reference, `AssumeRole`.

mod names;
mod session_policy;
mod tags;

use std::time::Duration;

pub use names::{ExternalId, MalformedRoleName, PolicyArn, RoleArn, SessionName, SourceIdentity};
pub use session_policy::{LONGEST_SESSION_POLICY, MalformedSessionPolicy, SessionPolicy};
pub use tags::{MalformedTags, SessionTags};

use super::duration::{display_duration, parse_duration};

/// What a target with a role of its own is to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assumption {
    /// One after another; the last is the one whose credentials are wanted.
    pub chain: RoleChain,
    /// The instance id when absent.
    pub session_name: Option<SessionName>,
    pub external_id: Option<ExternalId>,
    pub source_identity: Option<SourceIdentity>,
    pub tags: SessionTags,
    pub duration: SessionDuration,
    pub policy: Option<SessionPolicy>,
    /// At most ten.
    pub policy_arns: Vec<PolicyArn>,
}

/// Roles in the order in which they are assumed; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleChain(Vec<RoleArn>);

/// How long the credentials are to live: 15 minutes to an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionDuration(Duration);

/// One request of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step<'a> {
    pub role: &'a RoleArn,
    pub session_name: &'a SessionName,
    pub external_id: Option<&'a ExternalId>,
    pub source_identity: Option<&'a SourceIdentity>,
    pub tags: Vec<(&'a str, &'a str)>,
    /// Keys of `tags` that go on to the roles after this one.
    pub transitive: Vec<&'a str>,
    pub duration: Duration,
    pub policy: Option<&'a SessionPolicy>,
    pub policy_arns: &'a [PolicyArn],
}

/// A chain of no role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected at least one role")]
pub struct EmptyChain;

/// A duration that the service would refuse.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnusableDuration {
    #[error("{0}")]
    Malformed(#[from] super::duration::MalformedDuration),
    #[error(
        "AWS gives a role that is assumed from another role's credentials an hour at most, whatever \
         the role itself permits, and the registered role is such a one: expected 15m to 1h"
    )]
    TooLong,
    #[error("STS gives no session of less than 15 minutes: expected 15m to 1h")]
    TooShort,
}

/// The shortest session. The roles on the way are needed for seconds, and get no more.
const SHORTEST: Duration = Duration::from_secs(15 * 60);

/// The longest that role chaining permits, and what is asked for unless told otherwise.
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// The most managed policies of a session.
pub const MOST_POLICY_ARNS: usize = 10;

impl Assumption {
    /// This role alone, with the service's defaults.
    pub fn of(role: RoleArn) -> Self {
        Self::along(RoleChain(vec![role]))
    }

    /// These roles, with the service's defaults.
    pub fn along(chain: RoleChain) -> Self {
        Self {
            chain,
            session_name: None,
            external_id: None,
            source_identity: None,
            tags: SessionTags::default(),
            duration: SessionDuration::default(),
            policy: None,
            policy_arns: Vec::new(),
        }
    }

    /// The role whose credentials are wanted.
    pub fn role(&self) -> &RoleArn {
        let RoleChain(roles) = &self.chain;
        &roles[roles.len() - 1]
    }

    /// The requests, in order. `name` is the session's unless the operator chose another.
    pub fn steps<'a>(&'a self, name: &'a SessionName) -> Vec<Step<'a>> {
        let RoleChain(roles) = &self.chain;
        let step = |(at, role)| {
            let (is_first, is_last) = (at == 0, at + 1 == roles.len());
            let tags = self.tags.iter().filter(|(_, _, is_transitive)| match is_transitive {
                true => is_first,
                false => is_last,
            });
            let transitive = tags.clone().filter(|(_, _, is_transitive)| *is_transitive);
            Step {
                role,
                session_name: self.session_name.as_ref().unwrap_or(name),
                external_id: self.external_id.as_ref(),
                source_identity: self.source_identity.as_ref().filter(|_| is_first),
                tags: tags.clone().map(|(key, value, _)| (key, value)).collect(),
                transitive: transitive.map(|(key, ..)| key).collect(),
                duration: if is_last { self.duration.0 } else { SHORTEST },
                policy: self.policy.as_ref().filter(|_| is_last),
                policy_arns: if is_last { &self.policy_arns } else { &[] },
            }
        };
        roles.iter().enumerate().map(step).collect()
    }
}

impl RoleChain {
    pub fn roles(&self) -> &[RoleArn] {
        &self.0
    }
}

impl TryFrom<Vec<RoleArn>> for RoleChain {
    type Error = EmptyChain;

    fn try_from(roles: Vec<RoleArn>) -> Result<Self, EmptyChain> {
        if roles.is_empty() { Err(EmptyChain) } else { Ok(Self(roles)) }
    }
}

impl Default for SessionDuration {
    fn default() -> Self {
        Self(LONGEST)
    }
}

impl std::str::FromStr for SessionDuration {
    type Err = UnusableDuration;

    fn from_str(text: &str) -> Result<Self, UnusableDuration> {
        match parse_duration(text)? {
            duration if duration < SHORTEST => Err(UnusableDuration::TooShort),
            duration if duration > LONGEST => Err(UnusableDuration::TooLong),
            // The service counts in seconds.
            duration => Ok(Self(Duration::from_secs(duration.as_secs()))),
        }
    }
}

impl std::fmt::Display for SessionDuration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&display_duration(self.0))
    }
}

#[cfg(test)]
mod tests;
