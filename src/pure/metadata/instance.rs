//! The instance metadata service, version 2 alone: a session's token first, by `PUT`, and then
//! `GET`s that carry it. Without one there is no answer, so a server that can be talked into
//! fetching a URL gives nothing away: it can neither `PUT` nor add a header.
//!
//! Source: EC2 User Guide, "Use the Instance Metadata Service" and "Retrieve instance metadata".

use time::UtcDateTime;

use super::session::{LIFETIMES, Nonce, SessionKey};
use super::tree::{Found, Leaf, Tree};
use super::{Head, IN_LINES, Refusal, Reply, Unavailable, to_the_second};
use crate::pure::role_token::RoleToken;
use crate::pure::secret::Secret;

/// Where sessions are opened, below a version. SDKs ask at `/latest/api/token`.
const TOKEN_PATH: &str = "api/token";

/// The versions that EC2 lists at `/`: a client that was written for one asks below it, and what it
/// finds there is what stands below `/latest` (EC2 User Guide, "Get the available versions of the
/// instance metadata").
const VERSIONS: [&str; 30] = [
    "1.0",
    "2007-01-19",
    "2007-03-01",
    "2007-08-29",
    "2007-10-10",
    "2007-12-15",
    "2008-02-01",
    "2008-09-01",
    "2009-04-04",
    "2011-01-01",
    "2011-05-01",
    "2012-01-12",
    "2014-02-25",
    "2014-11-05",
    "2015-10-20",
    "2016-04-19",
    "2016-06-30",
    "2016-09-02",
    "2018-03-28",
    "2018-08-17",
    "2018-09-24",
    "2019-10-01",
    "2020-10-27",
    "2021-01-03",
    "2021-03-23",
    "2021-07-15",
    "2022-09-24",
    "2023-02-14",
    "2024-04-11",
    "latest",
];

/// How long a session is to last, in the request; how long it does, in the reply.
const LIFETIME: &str = "x-aws-ec2-metadata-token-ttl-seconds";

/// The session's token.
const TOKEN: &str = "x-aws-ec2-metadata-token";

/// Answers a request: opens a session, or tells what stands in `tree`.
pub fn answer(
    head: &Head<'_>,
    key: &SessionKey,
    tree: &Tree<'_>,
    nonce: Nonce,
    now: UtcDateTime,
) -> Reply {
    let reply = if opens_session(head.path) {
        open(head, key, nonce, now)
    } else {
        tell(head, key, tree, now)
    };
    reply.unwrap_or_else(refuse)
}

/// Whether this is the path where sessions are opened.
pub fn opens_session(path: &str) -> bool {
    below_version(path) == Some(TOKEN_PATH)
}

/// What stands behind a path's version, without a slash at either end; nothing where there is none.
pub fn below_version(path: &str) -> Option<&str> {
    let path = path.strip_prefix('/')?;
    let (version, below) = path.split_once('/').unwrap_or((path, ""));
    VERSIONS.contains(&version).then(|| below.strip_suffix('/').unwrap_or(below))
}

/// Answers a request of somebody who may have nothing.
pub fn deny(head: &Head<'_>) -> Reply {
    refuse(head.check_origin().err().unwrap_or(Refusal::NotAllowed))
}

/// Answers a request of somebody of whom it is not known whether they may have anything.
pub fn put_off(head: &Head<'_>) -> Reply {
    refuse(head.check_origin().err().unwrap_or(Refusal::Undecided))
}

/// Answers a user who asks too often, whatever it is.
pub fn turn_away() -> Reply {
    refuse(Refusal::TooMany)
}

fn open(
    head: &Head<'_>,
    key: &SessionKey,
    nonce: Nonce,
    now: UtcDateTime,
) -> Result<Reply, Refusal> {
    head.check_origin()?;
    require_method(head, "PUT")?;
    let seconds = head.header(LIFETIME).and_then(seconds).ok_or(Refusal::Lifetime)?;
    let token = key.open(seconds, nonce, now);
    let mut reply = Reply::text(200, token.expose());
    reply.headers.push((LIFETIME, seconds.to_string()));
    Ok(reply)
}

fn tell(
    head: &Head<'_>,
    key: &SessionKey,
    tree: &Tree<'_>,
    now: UtcDateTime,
) -> Result<Reply, Refusal> {
    head.check_origin()?;
    require_method(head, "GET")?;
    if !head.header(TOKEN).is_some_and(|token| key.admits(token, now)) {
        return Err(Refusal::NoSession);
    }
    if head.path == "/" {
        return Ok(Reply::text(200, &VERSIONS.join("\n")));
    }
    match tree.find(below_version(head.path).ok_or(Refusal::Nothing)?) {
        Found::Leaf(Leaf::Text(text)) => Ok(Reply::text(200, text)),
        Found::Leaf(Leaf::Document(members)) => Ok(document(members)),
        Found::Leaf(Leaf::Credentials(Ok(token))) if token.is_usable(now) => Ok(hand_out(token)),
        Found::Leaf(Leaf::Credentials(Err(Unavailable::Refused { code, message }))) => {
            Ok(explain(code, message, now))
        }
        Found::Leaf(Leaf::Credentials(_)) => Err(Refusal::NoCredentials),
        Found::Leaf(Leaf::Missing(why)) => Err(Refusal::Missing(why)),
        Found::Directory(names) => Ok(Reply::text(200, &names)),
        Found::Nothing => Err(Refusal::Nothing),
    }
}

fn require_method(head: &Head<'_>, method: &'static str) -> Result<(), Refusal> {
    if head.method == method { Ok(()) } else { Err(Refusal::Method(method)) }
}

/// Digits alone: Rust would take a sign too.
fn seconds(text: &str) -> Option<u32> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|seconds| digits && LIFETIMES.contains(seconds))
}

fn document(members: &[(&str, Option<String>)]) -> Reply {
    let members = members.iter().map(|(name, value)| (*name, value.as_deref()));
    Reply::new(200, "text/plain", IN_LINES.object(&members.collect::<Vec<_>>()))
}

fn hand_out(token: &RoleToken) -> Reply {
    let (updated, expiration) = (to_the_second(token.issued_at), to_the_second(token.expires_at));
    let mut members = vec![
        ("Code", Some("Success")),
        ("LastUpdated", Some(updated.as_str())),
        ("Type", Some("AWS-HMAC")),
        ("AccessKeyId", Some(token.access_key_id.as_str())),
        ("SecretAccessKey", Some(token.secret_access_key.expose())),
        ("Token", Some(token.session_token.expose())),
        ("Expiration", Some(&expiration)),
    ];
    members.extend(token.account_id().map(|id| ("AccountId", Some(id))));
    Reply::new(200, "text/plain", IN_LINES.object(&members))
}

/// A role that EC2 may not hand out is told with 200: SDKs take the document for "none", and go on.
fn explain(code: &str, message: &str, now: UtcDateTime) -> Reply {
    let document = IN_LINES.object(&[
        ("Code", Some(code)),
        ("Message", Some(message)),
        ("LastUpdated", Some(&to_the_second(now))),
    ]);
    Reply::new(200, "text/plain", document)
}

fn refuse(refusal: Refusal) -> Reply {
    let reason = Secret::new(format!("{refusal}\n").into_bytes());
    refusal.complete(Reply::new(refusal.status(), "text/plain", reason))
}

#[cfg(test)]
mod tests {
    use time::Duration;
    use time::macros::utc_datetime;

    use super::*;

    const NOW: UtcDateTime = utc_datetime!(2026-11-22 00:00:52.106);
    const HOST: (&str, &str) = ("Host", "127.0.0.1:1339");
    const SESSIONS: &str = "/latest/api/token";
    const CREDENTIALS: &str = "/latest/meta-data/iam/security-credentials/";

    fn key() -> SessionKey {
        SessionKey::new(Secret::new([1; 32]))
    }

    fn role_token() -> RoleToken {
        RoleToken::new(
            Some("ASIAIOSFODNN7EXAMPLE".into()),
            Some(Secret::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".into())),
            Some(Secret::new("the/token+of=".into())),
            NOW,
            Some(NOW + Duration::HOUR),
            false,
        )
        .unwrap()
    }

    fn ask(method: &str, path: &str, headers: &[(&str, &str)], now: UtcDateTime) -> Reply {
        let token = role_token();
        let unauthorized = Unavailable::Refused {
            code: "AssumeRoleUnauthorizedAccess",
            message: "EC2 cannot assume the role Other.".into(),
        };
        let below = "meta-data/iam/security-credentials";
        let tree = Tree::default()
            .with("meta-data/instance-id", Leaf::Text("i-1234567890abcdef0".into()))
            .with("dynamic/document", Leaf::Document(vec![("kernelId", None)]))
            .with(format!("{below}/Backup"), Leaf::Credentials(Ok(&token)))
            .with(format!("{below}/Later"), Leaf::Credentials(Err(Unavailable::Now)))
            .with(format!("{below}/Other"), Leaf::Credentials(Err(unauthorized)))
            .with("dynamic/signature", Leaf::Missing("it would be forged"));
        let headers = [&[HOST], headers].concat();
        let head = Head { method, authority: None, path, headers: &headers };
        answer(&head, &key(), &tree, [7; 16], now)
    }

    fn get(path: &str) -> (u16, String) {
        let token = key().open(60, [7; 16], NOW);
        let reply = ask("GET", path, &[("X-aws-ec2-metadata-token", token.expose())], NOW);
        (reply.status, text(&reply))
    }

    fn text(reply: &Reply) -> String {
        String::from_utf8(reply.body.expose().clone()).unwrap()
    }

    #[test]
    fn a_session_is_opened_for_as_long_as_was_asked() {
        let reply = ask("PUT", SESSIONS, &[("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "60")], NOW);
        assert_eq!(reply.status, 200);
        let headers = [("content-type", "text/plain".to_owned()), (LIFETIME, "60".to_owned())];
        assert_eq!(reply.headers, headers);
        let token = text(&reply);
        assert!(!token.ends_with('\n'));
        let status = |after| {
            let now = NOW + Duration::seconds(after);
            ask("GET", "/latest/meta-data/instance-id", &[(TOKEN, &token)], now).status
        };
        assert_eq!((status(59), status(60)), (200, 401));
    }

    #[test]
    fn a_session_without_a_lifetime_is_a_bad_request() {
        for headers in [
            &[][..],
            &[(LIFETIME, "0")],
            &[(LIFETIME, "21601")],
            &[(LIFETIME, "-1")],
            &[(LIFETIME, "+60")],
            &[(LIFETIME, "60s")],
            &[(LIFETIME, "")],
            &[(LIFETIME, "60"), (LIFETIME, "60")],
        ] {
            let reply = ask("PUT", SESSIONS, headers, NOW);
            assert_eq!(reply.status, 400, "{headers:?}");
            assert_eq!(reply.header(LIFETIME), None);
        }
        assert_eq!(ask("PUT", SESSIONS, &[(LIFETIME, "21600")], NOW).status, 200);
    }

    #[test]
    fn a_request_that_was_passed_on_opens_no_session() {
        let headers = [(LIFETIME, "60"), ("X-Forwarded-For", "192.0.2.1")];
        assert_eq!(ask("PUT", SESSIONS, &headers, NOW).status, 403);
    }

    #[test]
    fn without_a_session_nothing_is_told_not_even_what_there_is() {
        for path in ["/latest/meta-data/instance-id", "/latest/nothing", "/latest"] {
            assert_eq!(ask("GET", path, &[], NOW).status, 401, "{path}");
            assert_eq!(ask("GET", path, &[(TOKEN, "invalid")], NOW).status, 401, "{path}");
        }
    }

    #[test]
    fn other_methods_hear_which_would_do() {
        for (method, path, allowed) in
            [("GET", SESSIONS, "PUT"), ("POST", "/latest/x", "GET"), ("PUT", "/latest/x", "GET")]
        {
            let reply = ask(method, path, &[(LIFETIME, "60")], NOW);
            assert_eq!((reply.status, reply.header("allow")), (405, Some(allowed)), "{method}");
        }
    }

    #[test]
    fn credentials_are_the_documented_bytes() {
        assert_eq!(get(CREDENTIALS), (200, "Backup\nLater\nOther".into()));
        assert_eq!(get(CREDENTIALS.trim_end_matches('/')), get(CREDENTIALS));
        let document = r#"{
  "Code" : "Success",
  "LastUpdated" : "2026-11-22T00:00:52Z",
  "Type" : "AWS-HMAC",
  "AccessKeyId" : "ASIAIOSFODNN7EXAMPLE",
  "SecretAccessKey" : "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
  "Token" : "the/token+of=",
  "Expiration" : "2026-11-22T01:00:52Z"
}"#;
        assert_eq!(get(&format!("{CREDENTIALS}Backup")), (200, document.to_owned()));
    }

    #[test]
    fn the_account_is_told_where_the_role_is_known() {
        let role = "arn:aws:iam::111122223333:role/Backup".parse().unwrap();
        let document = hand_out(&role_token().of(role));
        let end =
            "\n  \"Expiration\" : \"2026-11-22T01:00:52Z\",\n  \"AccountId\" : \"111122223333\"\n}";
        assert!(text(&document).ends_with(end), "{}", text(&document));
    }

    #[test]
    fn documents_are_set_as_credentials_are() {
        assert_eq!(get("/latest/dynamic/document"), (200, "{\n  \"kernelId\" : null\n}".into()));
    }

    #[test]
    fn a_role_that_cannot_be_had_is_told_from_one_that_is_late_and_from_none() {
        let document = r#"{
  "Code" : "AssumeRoleUnauthorizedAccess",
  "Message" : "EC2 cannot assume the role Other.",
  "LastUpdated" : "2026-11-22T00:00:52Z"
}"#;
        assert_eq!(get(&format!("{CREDENTIALS}Other")), (200, document.to_owned()));
        let late = "there are no usable credentials at the moment\n";
        assert_eq!(get(&format!("{CREDENTIALS}Later")), (503, late.to_owned()));
        let none = "there is nothing at this path\n";
        assert_eq!(get(&format!("{CREDENTIALS}None")), (404, none.to_owned()));
        assert_eq!(
            get("/latest/dynamic/signature"),
            (404, "there is nothing at this path: it would be forged\n".into())
        );
    }

    #[test]
    fn credentials_that_have_ended_are_not_handed_out() {
        let now = NOW + Duration::HOUR;
        let session = key().open(60, [7; 16], now);
        let headers = [(TOKEN, session.expose().as_str())];
        assert_eq!(ask("GET", &format!("{CREDENTIALS}Backup"), &headers, now).status, 503);
    }

    #[test]
    fn every_version_tells_what_the_latest_does() {
        assert_eq!(get("/latest/").1, "dynamic/\nmeta-data/");
        assert_eq!(get("/latest"), get("/latest/"));
        let (status, versions) = get("/");
        assert_eq!(status, 200);
        // cloud-init asks below these three.
        for version in ["2009-04-04", "2018-09-24", "2021-03-23"] {
            assert!(versions.lines().any(|line| line == version), "{versions}");
        }
        for version in versions.lines() {
            let path = format!("/{version}/meta-data/instance-id");
            assert_eq!(get(&path), (200, "i-1234567890abcdef0".into()), "{path}");
            let session = ask("PUT", &format!("/{version}/api/token"), &[(LIFETIME, "60")], NOW);
            assert_eq!(session.status, 200, "{version}");
        }
        for path in ["/latestmeta-data/instance-id", "/2021-07-16/meta-data", "/Latest", "//", ""] {
            assert_eq!(get(path).0, 404, "{path}");
        }
    }

    #[test]
    fn a_session_is_opened_with_a_slash_at_the_end_too() {
        let put = |path: &str| ask("PUT", path, &[(LIFETIME, "60")], NOW).status;
        assert_eq!(put("/latest/api/token/"), 200);
        assert_eq!([put("/latest/api/token//"), put("/latest/api/tokens")], [405; 2]);
        assert_eq!(ask("GET", "/latest/api/token/", &[], NOW).status, 405);
    }
}
