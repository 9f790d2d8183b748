//! The credentials that the service hands out for about an hour.

use std::fmt;
use std::ops::RangeInclusive;

use time::UtcDateTime;

use super::assumption::RoleArn;
use super::secret::Secret;

/// The public part of a credential set; what logs and `status` may show of it is [`suffix`].
///
/// [`suffix`]: AccessKeyId::suffix
#[derive(Clone, PartialEq, Eq)]
pub struct AccessKeyId(String);

/// Three credentials, when they end, and whether the service asks for a new key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleToken {
    pub access_key_id: AccessKeyId,
    pub secret_access_key: Secret<String>,
    pub session_token: Secret<String>,
    /// When the answer arrived, by the service's clock.
    pub issued_at: UtcDateTime,
    /// When AWS stops accepting the credentials, by the service's clock.
    pub expires_at: UtcDateTime,
    /// The service asks this machine to replace its RSA key (`UpdateKeyPair`).
    pub update_key_pair: bool,
    /// Whose they are, where whoever handed them out says so. Systems Manager does not.
    pub role: Option<RoleArn>,
}

/// The clock is believed though it be off by this (`host::clock`): what ends sooner may have ended,
/// and a service that gives out such tokens would be asked every other second.
const LEAST_LIFE: time::Duration = time::Duration::seconds(5);

/// The longest that a role's credentials live: 12 hours (IAM, `MaxSessionDuration`); Systems Manager's live
/// one. And the 5 minutes by which AWS lets dates be off.
const LONGEST_LIFE: time::Duration = time::Duration::minutes(12 * 60 + 5);

/// In bytes, as the API model has it (`accessKeyIdType` of IAM).
const ACCESS_KEY_ID: RangeInclusive<usize> = 16..=128;

/// In bytes. AWS's have 40, and no model says more.
const SECRET_ACCESS_KEY: RangeInclusive<usize> = 1..=1024;

/// In bytes. AWS names no end; "the typical size is less than 4096 bytes" (STS API Reference, AssumeRole).
/// Programs that read the file or the answer have ends of their own: a process's environment takes
/// 128 KiB in one variable, and shares of it are smaller.
const SESSION_TOKEN: RangeInclusive<usize> = 1..=32 * 1024;

/// A member of the service's answer that could not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the answer's {member} {problem}")]
pub struct UnusableMember {
    pub member: &'static str,
    pub problem: &'static str,
}

impl AccessKeyId {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last four characters, as much as the AWS CLI shows.
    pub fn suffix(&self) -> &str {
        &self.0[self.0.len() - 4..]
    }
}

impl fmt::Debug for AccessKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccessKeyId(..{})", self.suffix())
    }
}

impl RoleToken {
    /// Checks the members that an answer must have. A credential with a control character or a
    /// space would tear the credentials file, one that begins as a comment or a quotation does would
    /// be read as one, and both are refused.
    pub fn new(
        access_key_id: Option<String>,
        secret_access_key: Option<Secret<String>>,
        session_token: Option<Secret<String>>,
        issued_at: UtcDateTime,
        expires_at: Option<UtcDateTime>,
        update_key_pair: bool,
    ) -> Result<Self, UnusableMember> {
        let access_key_id = access_key_id.ok_or_else(|| missing("AccessKeyId"))?;
        check_text("AccessKeyId", &access_key_id, ACCESS_KEY_ID)?;
        if is_long_term(&access_key_id) {
            let problem = "is a user's own, and not a role's";
            return Err(UnusableMember { member: "AccessKeyId", problem });
        }
        let secret_access_key = secret_access_key.ok_or_else(|| missing("SecretAccessKey"))?;
        check_text("SecretAccessKey", secret_access_key.expose(), SECRET_ACCESS_KEY)?;
        let session_token = session_token.ok_or_else(|| missing("SessionToken"))?;
        check_text("SessionToken", session_token.expose(), SESSION_TOKEN)?;
        Ok(Self {
            access_key_id: AccessKeyId(access_key_id),
            secret_access_key,
            session_token,
            issued_at,
            expires_at: expires_at.ok_or_else(|| missing("TokenExpirationDate"))?,
            update_key_pair,
            role: None,
        })
    }

    /// The same credentials, known to be this role's.
    pub fn of(self, role: RoleArn) -> Self {
        Self { role: Some(role), ..self }
    }

    /// The same credentials, which end when no role's live any longer: an end in 9999 would never be
    /// looked at again.
    pub fn within_reason(self) -> Self {
        let latest = self.issued_at.saturating_add(LONGEST_LIFE);
        Self { expires_at: self.expires_at.min(latest), ..self }
    }

    /// The account of the role, where the role is known.
    pub fn account_id(&self) -> Option<&str> {
        self.role.as_ref().map(RoleArn::account_id)
    }

    /// Whether AWS still accepts the credentials at `now` (the service's clock).
    pub fn is_usable(&self, now: UtcDateTime) -> bool {
        now < self.expires_at
    }

    /// Whether the service can have given the token out at that moment, by its own end: a `Date` by which
    /// it lives longer than any, or had ended already, has not told the time.
    pub fn may_be_given_out_at(&self, date: UtcDateTime) -> bool {
        !self.is_dead_on_arrival(date) && self.expires_at - date <= LONGEST_LIFE
    }

    /// Whether a token that arrives at `now` is of no use.
    pub fn is_dead_on_arrival(&self, now: UtcDateTime) -> bool {
        !self.is_usable(now.saturating_add(LEAST_LIFE))
    }
}

/// Whether an access key id is a user's own, without an end: it begins with `AKIA`, where temporary
/// ones have `ASIA` (IAM User Guide, "Unique identifiers").
pub fn is_long_term(access_key_id: &str) -> bool {
    access_key_id.starts_with("AKIA")
}

fn missing(member: &'static str) -> UnusableMember {
    UnusableMember { member, problem: "is missing" }
}

fn check_text(
    member: &'static str,
    text: &str,
    length: RangeInclusive<usize>,
) -> Result<(), UnusableMember> {
    if text.len() < *length.start() {
        Err(UnusableMember { member, problem: "is too short" })
    } else if text.len() > *length.end() {
        Err(UnusableMember { member, problem: "is longer than any credential" })
    } else if !text.bytes().all(|b| b.is_ascii_graphic()) || text.starts_with(['#', ';', '"', '\''])
    {
        Err(UnusableMember { member, problem: "has a character that no credential has" })
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use time::macros::utc_datetime;

    use super::*;

    fn token(secret: &str) -> Result<RoleToken, UnusableMember> {
        RoleToken::new(
            Some("ASIAEXAMPLE000000001".into()),
            Some(Secret::new(secret.into())),
            Some(Secret::new("token".into())),
            utc_datetime!(2026-11-22 00:00),
            Some(utc_datetime!(2026-11-22 01:00)),
            false,
        )
    }

    #[test]
    fn usable_until_its_end_and_not_at_it() {
        let token = token("secret").unwrap();
        assert!(token.is_usable(utc_datetime!(2026-11-22 00:59:59)));
        assert!(!token.is_usable(utc_datetime!(2026-11-22 01:00)));
    }

    #[test]
    fn dead_on_arrival_with_five_seconds_left() {
        let token = token("secret").unwrap();
        assert!(!token.is_dead_on_arrival(utc_datetime!(2026-11-22 00:59:54)));
        assert!(token.is_dead_on_arrival(utc_datetime!(2026-11-22 00:59:55)));
        assert!(token.is_dead_on_arrival(UtcDateTime::MAX));
    }

    #[test]
    fn a_credential_that_would_tear_a_file_is_refused() {
        let error = token("secret\n[default]").unwrap_err();
        assert_eq!(error.member, "SecretAccessKey");
        assert!(token("").is_err());
        for first in ["#", ";", "\"", "'"] {
            assert!(token(&format!("{first}secret")).is_err(), "{first}");
        }
    }

    #[test]
    fn every_member_has_an_end() {
        let of = |id: usize, secret: usize, session: usize| {
            let text = |length| Some(Secret::new("x".repeat(length)));
            let at = utc_datetime!(2026-11-22 00:00);
            RoleToken::new(Some("A".repeat(id)), text(secret), text(session), at, Some(at), false)
        };
        assert!(of(128, 1024, 32 * 1024).is_ok());
        for (lengths, member) in [
            ((129, 1, 1), "AccessKeyId"),
            ((16, 1025, 1), "SecretAccessKey"),
            ((16, 1, 32 * 1024 + 1), "SessionToken"),
        ] {
            assert_eq!(of(lengths.0, lengths.1, lengths.2).unwrap_err().member, member);
        }
    }

    #[test]
    fn no_token_lives_longer_than_a_role_may() {
        let token = |end| RoleToken { expires_at: end, ..token("secret").unwrap() };
        let end = token(utc_datetime!(9999-12-31 23:59)).within_reason().expires_at;
        assert_eq!(end, utc_datetime!(2026-11-22 12:05));
        let soon = utc_datetime!(2026-11-22 12:00);
        assert_eq!(token(soon).within_reason().expires_at, soon);
    }

    #[test]
    fn debug_shows_no_more_than_a_suffix() {
        let shown = format!("{:?}", token("hunter2").unwrap());
        assert!(shown.contains("..0001") && !shown.contains("hunter2") && !shown.contains("ASIA"));
    }
}
