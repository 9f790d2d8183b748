//! The container credentials endpoint: one `GET`, with a token that tells which container asks. What
//! `AWS_CONTAINER_CREDENTIALS_FULL_URI` and `AWS_CONTAINER_AUTHORIZATION_TOKEN` lead to.
//!
//! Source: Amazon ECS Developer Guide, "IAM roles for tasks"; AWS SDKs Reference Guide, "Container
//! credential provider".

use std::hint::black_box;

use sha2::{Digest, Sha256};
use time::UtcDateTime;

use super::{COMPACT, Head, Refusal, Reply, Unavailable, to_the_second};
use crate::pure::role_token::RoleToken;
use crate::pure::secret::Secret;

/// A token that a client must send, as its digest: enough to know it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BearerToken([u8; 32]);

/// What the bearer of a token may have.
#[derive(Debug, Clone)]
pub struct Grant<'a> {
    pub token: &'a BearerToken,
    /// Where the credentials are: the path of the URI.
    pub path: &'a str,
    pub credentials: Result<&'a RoleToken, Unavailable>,
    pub account_id: Option<&'a str>,
    pub role_arn: Option<&'a str>,
}

impl BearerToken {
    pub fn new(token: &Secret<String>) -> Self {
        Self(Sha256::digest(token.expose()).into())
    }

    /// Of the bytes that a client would send.
    pub fn of_text(text: &[u8]) -> Self {
        Self(Sha256::digest(text).into())
    }

    /// Of a digest, in hexadecimal digits.
    pub fn of_digest(text: &str) -> Option<Self> {
        let mut digest = [0; 32];
        hex::decode_to_slice(text, &mut digest).ok()?;
        Some(Self(digest))
    }

    /// Its digest, in hexadecimal digits.
    pub fn digest(&self) -> String {
        hex::encode(self.0)
    }

    fn sent(text: &str) -> Self {
        Self(Sha256::digest(text).into())
    }

    /// Takes as long wherever the two differ.
    pub fn is(&self, sent: &Self) -> bool {
        let both = self.0.iter().zip(&sent.0);
        both.fold(0, |found, (a, b)| black_box(found | (a ^ b))) == 0
    }
}

/// Answers a request by what is granted to the token that it carries.
pub fn answer(head: &Head<'_>, grants: &[Grant<'_>], now: UtcDateTime) -> Reply {
    match granted(head, grants) {
        Err(refusal) => refuse(refusal),
        Ok(grant) => match &grant.credentials {
            Ok(token) if token.is_usable(now) => hand_out(grant, token),
            Err(Unavailable::Refused { code, message }) => error(403, code, message),
            Ok(_) | Err(Unavailable::Now) => refuse(Refusal::NoCredentials),
        },
    }
}

/// Answers a request of somebody who may have nothing, whatever token it carries.
pub fn deny(head: &Head<'_>) -> Reply {
    refuse(head.check_origin().err().unwrap_or(Refusal::NotAllowed))
}

/// Answers a user who asks too often, whatever it is.
pub fn turn_away() -> Reply {
    refuse(Refusal::TooMany)
}

/// Every token is compared, so that the time tells nothing of how many there are before a match.
fn granted<'g, 'a>(head: &Head<'_>, grants: &'g [Grant<'a>]) -> Result<&'g Grant<'a>, Refusal> {
    head.check_origin()?;
    if head.method != "GET" {
        return Err(Refusal::Method("GET"));
    }
    let sent = BearerToken::sent(head.header("authorization").ok_or(Refusal::NoAuthorization)?);
    let own = grants.iter().filter(|grant| grant.token.is(&sent)).collect::<Vec<_>>();
    if own.is_empty() {
        return Err(Refusal::WrongAuthorization);
    }
    own.into_iter().find(|grant| grant.path == head.path).ok_or(Refusal::Nothing)
}

fn hand_out(grant: &Grant<'_>, token: &RoleToken) -> Reply {
    let expiration = to_the_second(token.expires_at);
    let mut members = vec![
        ("AccessKeyId", Some(token.access_key_id.as_str())),
        ("SecretAccessKey", Some(token.secret_access_key.expose())),
        ("Token", Some(token.session_token.expose())),
        ("Expiration", Some(&expiration)),
    ];
    let optional = [("AccountId", grant.account_id), ("RoleArn", grant.role_arn)];
    members.extend(optional.into_iter().filter(|(_, value)| value.is_some()));
    Reply::new(200, "application/json", COMPACT.object(&members))
}

fn refuse(refusal: Refusal) -> Reply {
    let code = match refusal.status() {
        401 => "MissingAuthenticationToken",
        403 => "AccessDenied",
        404 => "NotFound",
        405 => "MethodNotAllowed",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        _ => "BadRequest",
    };
    refusal.complete(error(refusal.status(), code, &refusal.to_string()))
}

/// SDKs show both members to their user.
fn error(status: u16, code: &str, message: &str) -> Reply {
    let document = COMPACT.object(&[("Code", Some(code)), ("Message", Some(message))]);
    Reply::new(status, "application/json", document)
}

#[cfg(test)]
mod tests {
    use time::Duration;
    use time::macros::utc_datetime;

    use super::*;

    const NOW: UtcDateTime = utc_datetime!(2026-11-22 00:00:52.106);
    const HOST: (&str, &str) = ("Host", "127.0.0.1:1338");

    fn bearer(text: &str) -> BearerToken {
        BearerToken::new(&Secret::new(text.to_owned()))
    }

    fn ask(method: &str, path: &str, headers: &[(&str, &str)], now: UtcDateTime) -> (u16, String) {
        let token = RoleToken::new(
            Some("ASIAIOSFODNN7EXAMPLE".into()),
            Some(Secret::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".into())),
            Some(Secret::new("the/token+of=".into())),
            NOW,
            Some(NOW + Duration::HOUR),
            false,
        )
        .unwrap();
        let refused = Unavailable::Refused { code: "AccessDenied", message: "not trusted".into() };
        let (web, late, other) = (bearer("web"), bearer("late"), bearer("other"));
        let grant = |token, path, credentials| Grant {
            token,
            path,
            credentials,
            account_id: Some("000000000000"),
            role_arn: None,
        };
        let grants = [
            Grant {
                role_arn: Some("arn:aws:iam::000000000000:role/Web"),
                ..grant(&web, "/web", Ok(&token))
            },
            grant(&late, "/late", Err(Unavailable::Now)),
            grant(&other, "/other", Err(refused)),
        ];
        let headers = [&[HOST], headers].concat();
        let head = Head { method, authority: None, path, headers: &headers };
        let reply = answer(&head, &grants, now);
        assert_eq!(reply.header("content-type"), Some("application/json"));
        assert_eq!(reply.header("allow"), (reply.status == 405).then_some("GET"));
        (reply.status, String::from_utf8(reply.body.expose().clone()).unwrap())
    }

    fn get(path: &str, token: &str) -> (u16, String) {
        ask("GET", path, &[("Authorization", token)], NOW)
    }

    fn refusal(status: u16, code: &str, message: &str) -> (u16, String) {
        (status, format!(r#"{{"Code":"{code}","Message":"{message}"}}"#))
    }

    #[test]
    fn credentials_are_the_documented_bytes() {
        let document = r#"{"AccessKeyId":"ASIAIOSFODNN7EXAMPLE","SecretAccessKey":"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY","Token":"the/token+of=","Expiration":"2026-11-22T01:00:52Z","AccountId":"000000000000","RoleArn":"arn:aws:iam::000000000000:role/Web"}"#;
        assert_eq!(get("/web", "web"), (200, document.to_owned()));
    }

    #[test]
    fn no_token_and_a_wrong_one_are_told_apart() {
        let none = "send the authorization token in the Authorization header";
        let missing = refusal(401, "MissingAuthenticationToken", none);
        assert_eq!(ask("GET", "/web", &[], NOW), missing);
        let twice = [("Authorization", "web"), ("authorization", "web")];
        assert_eq!(ask("GET", "/web", &twice, NOW), missing);
        let wrong = "the authorization token is not the one of this endpoint";
        for token in ["wrong", "", "we", "webb", "WEB", "Bearer web"] {
            assert_eq!(get("/web", token), refusal(403, "AccessDenied", wrong), "{token}");
        }
    }

    #[test]
    fn a_token_opens_its_own_path_alone() {
        let nothing = refusal(404, "NotFound", "there is nothing at this path");
        assert_eq!(get("/web", "late"), nothing);
        assert_eq!(get("/none", "web"), nothing);
    }

    #[test]
    fn what_cannot_be_handed_out_says_why() {
        let late = "there are no usable credentials at the moment";
        let unavailable = refusal(503, "ServiceUnavailable", late);
        assert_eq!(get("/late", "late"), unavailable);
        let ended = NOW + Duration::HOUR;
        assert_eq!(ask("GET", "/web", &[("Authorization", "web")], ended), unavailable);
        assert_eq!(get("/other", "other"), refusal(403, "AccessDenied", "not trusted"));
    }

    #[test]
    fn who_asks_too_often_hears_so_as_an_sdk_can_show_it() {
        let reply = turn_away();
        let document = r#"{"Code":"TooManyRequests","Message":"this user asks too often; wait, and keep the credentials until they end"}"#;
        assert_eq!((reply.status, reply.header("content-type")), (429, Some("application/json")));
        assert_eq!(reply.body.expose(), document.as_bytes());
    }

    #[test]
    fn methods_and_strangers_are_refused_before_the_token() {
        let get_alone = refusal(405, "MethodNotAllowed", "the method must be GET");
        assert_eq!(ask("POST", "/web", &[], NOW), get_alone);
        let (status, _) = ask("GET", "/web", &[("Host", "127.0.0.1")], NOW);
        assert_eq!(status, 400);
        let passed_on = [("Authorization", "web"), ("X-Forwarded-For", "192.0.2.1")];
        assert_eq!(ask("GET", "/web", &passed_on, NOW).0, 403);
    }
}
