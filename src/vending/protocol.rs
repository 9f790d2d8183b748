//! The lines on the sockets.

use serde::{Deserialize, Serialize};
use time::UtcDateTime;

use super::dry_run::{DryRun, WouldGet};
use crate::pure::advice::Complaint;
use crate::pure::assumption::RoleArn;
use crate::pure::identity::Region;
use crate::pure::role_token::{RoleToken, UnusableMember};
use crate::pure::secret::Secret;
use crate::shelf::Moment;

/// The longest line of a program, in bytes: a dry run has a path and a thousand groups at most.
pub(super) const LONGEST_REQUEST: u64 = 32 * 1024;

/// The longest line of the daemon. AWS reserves the right to session tokens of any length; 4 KiB is
/// what IAM's guide advises to have room for.
pub(super) const LONGEST_ANSWER: usize = 64 * 1024;

/// A line from a program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    Credentials {
        /// A target's or a consumer's name; the first that the program may have when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        target: Option<String>,
    },
    /// What a program would get, and no secret of it.
    DryRun(Box<DryRun>),
    /// In which network the daemon is, and its endpoints.
    NetworkNamespace,
}

/// The daemon's line, as it is read.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Answer {
    Credentials(Vended),
    Refused(Complaint),
    WouldGet(WouldGet),
    /// As `/proc/PID/ns/net` names it; none where the daemon cannot see its own.
    NetworkNamespace(Option<String>),
}

/// Credentials, and what they are called here.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Line")]
pub struct Vended {
    pub name: String,
    pub token: RoleToken,
    /// The daemon's, where it knows it.
    pub region: Option<Region>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    name: String,
    access_key_id: String,
    secret_access_key: Secret<String>,
    session_token: Secret<String>,
    issued_at: Moment,
    expires_at: Moment,
    #[serde(default)]
    role_arn: Option<String>,
    #[serde(default)]
    region: Option<String>,
}

/// The daemon's line, as it is written: it borrows what must not be copied.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
enum Written<'a> {
    Credentials {
        name: &'a str,
        access_key_id: &'a str,
        secret_access_key: &'a str,
        session_token: &'a str,
        issued_at: Moment,
        expires_at: Moment,
        #[serde(skip_serializing_if = "Option::is_none")]
        role_arn: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        region: Option<&'a str>,
    },
    Refused(&'a Complaint),
    WouldGet(&'a WouldGet),
    NetworkNamespace(Option<&'a str>),
}

impl TryFrom<Line> for Vended {
    type Error = UnusableMember;

    /// As strict with the daemon as with AWS: what comes out of here goes into shells.
    fn try_from(line: Line) -> Result<Self, UnusableMember> {
        let Moment(issued_at) = line.issued_at;
        let Moment(expires_at) = line.expires_at;
        let token = RoleToken::new(
            Some(line.access_key_id),
            Some(line.secret_access_key),
            Some(line.session_token),
            issued_at,
            Some(expires_at),
            false,
        )?;
        let role = line.role_arn.map(|arn| arn.parse()).transpose();
        let unusable = UnusableMember { member: "role_arn", problem: "is no role's ARN" };
        let role = role.map_err(|_| unusable)?;
        let region = line.region.map(|region| region.parse()).transpose();
        let unusable = UnusableMember { member: "region", problem: "is no region" };
        let region = region.map_err(|_| unusable)?;
        Ok(Self { name: line.name, token: RoleToken { role, ..token }, region })
    }
}

/// A line with credentials, its end included.
pub(super) fn credentials(name: &str, token: &RoleToken, region: Option<&str>) -> Secret<Vec<u8>> {
    let (secret_access_key, session_token) =
        (token.secret_access_key.expose(), token.session_token.expose());
    // JSON makes two of some letters. A buffer that grew would leave its old halves in memory.
    let role_arn = token.role.as_ref().map(RoleArn::as_str);
    let lengths = [name.len(), secret_access_key.len(), session_token.len()];
    let more = [role_arn, region].into_iter().flatten().map(str::len);
    let room = 2 * lengths.into_iter().chain(more).sum::<usize>() + 512;
    write(
        &Written::Credentials {
            name,
            access_key_id: token.access_key_id.as_str(),
            secret_access_key,
            session_token,
            issued_at: Moment(whole_seconds(token.issued_at)),
            expires_at: Moment(whole_seconds(token.expires_at)),
            role_arn,
            region,
        },
        room,
    )
}

/// A line without.
pub(super) fn refused(complaint: &Complaint) -> Secret<Vec<u8>> {
    write(&Written::Refused(complaint), 512)
}

/// What would be handed out.
pub(super) fn would_get(what: &WouldGet) -> Secret<Vec<u8>> {
    write(&Written::WouldGet(what), 512)
}

/// In which network the daemon is.
pub(super) fn network_namespace(name: Option<&str>) -> Secret<Vec<u8>> {
    write(&Written::NetworkNamespace(name), 64)
}

fn write(line: &Written<'_>, room: usize) -> Secret<Vec<u8>> {
    let mut text = Vec::with_capacity(room);
    // Writing text to memory cannot fail.
    let _ = serde_json::to_writer(&mut text, line);
    text.push(b'\n');
    Secret::new(text)
}

fn whole_seconds(at: UtcDateTime) -> UtcDateTime {
    at.replace_nanosecond(0).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use time::macros::utc_datetime;

    use super::*;
    use crate::pure::advice::Exit;

    fn token() -> RoleToken {
        RoleToken::new(
            Some("ASIAEXAMPLE000000001".into()),
            Some(Secret::new("sec/r+et".into())),
            Some(Secret::new("tok\"en=\\".into())),
            utc_datetime!(2026-11-22 00:00:00.5),
            Some(utc_datetime!(2026-11-22 01:00)),
            false,
        )
        .unwrap()
    }

    #[test]
    fn a_request_is_a_small_json_object() {
        for (request, line) in [
            (Request::Credentials { target: None }, r#"{"command":"credentials"}"#),
            (
                Request::Credentials { target: Some("backup".into()) },
                r#"{"command":"credentials","target":"backup"}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&request).unwrap(), line);
            assert_eq!(serde_json::from_str::<Request>(line).unwrap(), request);
        }
        for line in [
            r#"{"command":"status"}"#,
            r#"{"command":"credentials","target":"a","uid":0}"#,
            r#"{"target":"a"}"#,
            "credentials",
        ] {
            assert!(serde_json::from_str::<Request>(line).is_err(), "{line}");
        }
    }

    #[test]
    fn what_is_written_is_read_as_the_same() {
        let line = credentials("backup", &token(), None);
        let read = serde_json::from_slice::<Answer>(line.expose()).unwrap();
        let whole = |token| RoleToken { issued_at: utc_datetime!(2026-11-22 00:00), ..token };
        let expected = Vended { name: "backup".into(), token: whole(token()), region: None };
        assert_eq!(read, Answer::Credentials(expected));
        let role = "arn:aws:iam::111122223333:role/web".parse().unwrap();
        let assumed = RoleToken { role: Some(role), ..whole(token()) };
        let line = credentials("web", &assumed, Some("eu-central-1"));
        let read = serde_json::from_slice::<Answer>(line.expose()).unwrap();
        let region = Some("eu-central-1".parse().unwrap());
        let expected = Vended { name: "web".into(), token: assumed, region };
        assert_eq!(read, Answer::Credentials(expected));
        let complaint = Complaint::new(Exit::Refused, "no\nway", "ask");
        let read = serde_json::from_slice::<Answer>(refused(&complaint).expose()).unwrap();
        assert_eq!(read, Answer::Refused(complaint));
    }

    #[test]
    fn a_line_is_one_line_and_its_room_is_enough() {
        let line = credentials("backup", &token(), None);
        let text = str::from_utf8(line.expose()).unwrap();
        assert_eq!(text.matches('\n').count(), 1);
        assert!(text.ends_with("\n"));
        assert!(line.expose().len() < 512);
    }

    #[test]
    fn credentials_that_would_tear_a_shell_line_are_not_taken_from_a_daemon_either() {
        let line = credentials("a", &token(), None);
        let torn = str::from_utf8(line.expose()).unwrap().replace("sec/r+et", "sec r\\net");
        let error = serde_json::from_str::<Answer>(&torn).unwrap_err();
        assert!(error.to_string().contains("SecretAccessKey"), "{error}");
    }
}
