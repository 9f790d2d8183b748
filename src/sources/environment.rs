//! Credentials in the process's own environment. They are what they are for as long as it runs.

use time::UtcDateTime;
use time::format_description::well_known::Rfc3339;

use crate::pure::advice::{Advice, Exit};
use crate::pure::role_token::{RoleToken, UnusableMember, is_long_term};
use crate::pure::secret::Secret;

/// Variables that hold no credentials that can be handed on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnusableVariables {
    #[error("the environment has no {0}")]
    Missing(&'static str),
    /// Whoever had them would have them for good.
    #[error(
        "the environment's credentials are a user's own, which never end: they are not handed on"
    )]
    LongTerm,
    /// AWS hands out the three with their end; whoever left it out knows it.
    #[error("the environment does not say when its credentials end")]
    NoEnd,
    #[error("AWS_CREDENTIAL_EXPIRATION is not a point in time such as 2026-11-22T01:00:00Z")]
    OddEnd,
    #[error("the environment's {}", .0)]
    Odd(UnusableMember),
}

const ACCESS_KEY_ID: &str = "AWS_ACCESS_KEY_ID";
const SECRET_ACCESS_KEY: &str = "AWS_SECRET_ACCESS_KEY";
const SESSION_TOKEN: &str = "AWS_SESSION_TOKEN";

/// When the others end, as `aws configure export-credentials --format env` gives it.
const EXPIRATION: &str = "AWS_CREDENTIAL_EXPIRATION";

/// The credentials of `AWS_ACCESS_KEY_ID` and its like. Only such as end are taken, with their end:
/// every outlet tells it, and nothing is handed out after it.
///
/// # Errors
///
/// What is missing or odd.
pub fn from_environment(
    variable: impl Fn(&str) -> Option<String>,
    now: UtcDateTime,
) -> Result<RoleToken, UnusableVariables> {
    let missing = UnusableVariables::Missing;
    let id = variable(ACCESS_KEY_ID).ok_or(missing(ACCESS_KEY_ID))?;
    let secret = variable(SECRET_ACCESS_KEY).map(Secret::new);
    let secret = secret.ok_or(missing(SECRET_ACCESS_KEY))?;
    if is_long_term(&id) {
        return Err(UnusableVariables::LongTerm);
    }
    let token = variable(SESSION_TOKEN).map(Secret::new).ok_or(missing(SESSION_TOKEN))?;
    let end = variable(EXPIRATION).ok_or(UnusableVariables::NoEnd)?;
    let end = UtcDateTime::parse(&end, &Rfc3339).map_err(|_| UnusableVariables::OddEnd)?;
    RoleToken::new(Some(id), Some(secret), Some(token), now, Some(end), false)
        .map_err(UnusableVariables::Odd)
}

impl Advice for UnusableVariables {
    fn remedy(&self) -> String {
        match self {
            Self::Missing(_) | Self::NoEnd | Self::OddEnd => {
                "set all four variables: aws configure export-credentials --format env prints them \
                 with their end, AWS_CREDENTIAL_EXPIRATION"
            }
            Self::LongTerm => {
                "use a role instead: aws sts assume-role, or register this machine and leave out \
                 source in [identity]"
            }
            Self::Odd(_) => "set the variables as AWS gave them, without quotes or line breaks",
        }
        .to_owned()
    }

    fn exit(&self) -> Exit {
        Exit::Configuration
    }
}

#[cfg(test)]
mod tests {
    use time::macros::utc_datetime;

    use super::*;

    const NOW: UtcDateTime = utc_datetime!(2026-11-22 00:00);

    fn read(pairs: &[(&str, &str)]) -> Result<RoleToken, UnusableVariables> {
        let find = |name: &str| pairs.iter().find(|(key, _)| *key == name);
        from_environment(|name| find(name).map(|(_, value)| (*value).to_owned()), NOW)
    }

    #[test]
    fn four_variables_are_a_token() {
        let whole = [
            (ACCESS_KEY_ID, "ASIAEXAMPLE000000001"),
            (SECRET_ACCESS_KEY, "hunter2"),
            (SESSION_TOKEN, "token"),
            (EXPIRATION, "2026-11-22T02:00:00+01:00"),
        ];
        assert_eq!(read(&whole).unwrap().expires_at, utc_datetime!(2026-11-22 01:00));
        assert_eq!(read(&whole[..3]), Err(UnusableVariables::NoEnd));
        assert_eq!(read(&whole[..2]), Err(UnusableVariables::Missing(SESSION_TOKEN)));
        assert_eq!(read(&whole[..1]), Err(UnusableVariables::Missing(SECRET_ACCESS_KEY)));
        assert_eq!(read(&[]), Err(UnusableVariables::Missing(ACCESS_KEY_ID)));
    }

    #[test]
    fn a_users_own_keys_are_refused_whatever_stands_beside_them() {
        let own = [(ACCESS_KEY_ID, "AKIAEXAMPLE000000001"), (SECRET_ACCESS_KEY, "hunter2")];
        assert_eq!(read(&own), Err(UnusableVariables::LongTerm));
        let more = [(SESSION_TOKEN, "token"), (EXPIRATION, "2026-11-22T01:00:00Z")];
        assert_eq!(read(&[own, more].concat()), Err(UnusableVariables::LongTerm));
    }

    #[test]
    fn odd_values_are_refused_and_not_repeated() {
        let with = |secret: &'static str, end: &'static str| {
            let error = read(&[
                (ACCESS_KEY_ID, "ASIAEXAMPLE000000001"),
                (SECRET_ACCESS_KEY, secret),
                (SESSION_TOKEN, "token"),
                (EXPIRATION, end),
            ]);
            error.unwrap_err().to_string()
        };
        assert!(with("hunter2", "tomorrow").contains("not a point in time"));
        let odd = with("hunter2\n[default]", "2026-11-22T01:00:00Z");
        assert!(odd.contains("SecretAccessKey") && !odd.contains("hunter2"), "{odd}");
    }
}
