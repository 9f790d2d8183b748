//! The document that carries credentials, alike on an instance and in a container.

use serde::Deserialize;
use time::UtcDateTime;
use time::format_description::well_known::Rfc3339;

use super::client::Answer;
use super::error::Problem;
use crate::connection::refusal_text;
use crate::pure::role_token::RoleToken;
use crate::pure::secret::Secret;

/// Credentials, and whose they are as far as the document says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    /// With its role, where the document says it.
    pub token: RoleToken,
    pub account_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Document {
    code: Option<String>,
    message: Option<String>,
    access_key_id: Option<String>,
    secret_access_key: Option<Secret<String>>,
    token: Option<Secret<String>>,
    expiration: Option<String>,
    account_id: Option<String>,
    role_arn: Option<String>,
}

/// The code and the message of a refusal, if there is any.
#[derive(Deserialize, Default)]
struct ErrorDocument {
    #[serde(alias = "Code")]
    code: Option<String>,
    #[serde(alias = "Message")]
    message: Option<String>,
}

/// The credentials of an answer with status 200. EC2 reports a role that it cannot have in such an
/// answer, too, by a `Code` other than `Success`.
pub(super) fn read(body: &Secret<Vec<u8>>, now: UtcDateTime) -> Result<Granted, Problem> {
    let document: Document = serde_json::from_slice(body.expose()).map_err(|error| {
        Problem::Malformed(match error.classify() {
            serde_json::error::Category::Data => {
                format!("a member of the document has the wrong type (column {})", error.column())
            }
            _ => "the answer is not a credentials document".to_owned(),
        })
    })?;
    if let Some(code) = document.code.filter(|code| code != "Success") {
        let message = refusal_text(200, Some(&code), document.message.as_deref());
        return Err(Problem::Refused { message });
    }
    let missing = |member: &str| Problem::Malformed(format!("the document's {member} is missing"));
    let session_token = document.token.ok_or_else(|| missing("Token"))?;
    let expiration = document.expiration.ok_or_else(|| missing("Expiration"))?;
    let expires_at = UtcDateTime::parse(&expiration, &Rfc3339).map_err(|_| {
        Problem::Malformed("the document's Expiration is not a point in time".to_owned())
    })?;
    let token = RoleToken::new(
        document.access_key_id,
        document.secret_access_key,
        Some(session_token),
        now,
        Some(expires_at),
        false,
    );
    let token = token.map_err(|error| Problem::Malformed(error.to_string()))?.within_reason();
    let role = document.role_arn.and_then(|arn| arn.parse().ok());
    let token = match role {
        Some(role) => token.of(role),
        None => token,
    };
    Ok(Granted { token, account_id: document.account_id.filter(|id| is_plain(id)) })
}

/// What an answer with another status says, on one line.
pub(super) fn said(answer: &Answer) -> String {
    let document: ErrorDocument = serde_json::from_slice(answer.body.expose()).unwrap_or_default();
    let message = document.message.as_deref().map(|text| text.lines().next().unwrap_or_default());
    match (&document.code, message) {
        (None, None) => format!("HTTP status {}", answer.status),
        (code, message) => {
            let text = refusal_text(answer.status, code.as_deref(), message);
            format!("HTTP status {}, {text}", answer.status)
        }
    }
}

/// Whether a name may be shown.
fn is_plain(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::macros::utc_datetime;

    use super::*;

    const NOW: UtcDateTime = utc_datetime!(2026-11-22 00:00);

    fn document(more: &str) -> Result<Granted, Problem> {
        let text = format!(
            r#"{{"AccessKeyId":"ASIAEXAMPLE000000001","SecretAccessKey":"hunter2",{more}}}"#
        );
        read(&Secret::new(text.into_bytes()), NOW)
    }

    #[test]
    fn documents_of_ec2_and_of_ecs_are_read() {
        let ec2 =
            r#""Code":"Success","Type":"AWS-HMAC","Token":"t","Expiration":"2026-11-22T06:00:00Z""#;
        let granted = document(ec2).unwrap();
        assert_eq!(granted.token.expires_at, utc_datetime!(2026-11-22 06:00));
        assert_eq!((granted.account_id, granted.token.role), (None, None));

        let arn = "arn:aws:iam::111122223333:role/task";
        let ecs = format!(r#""RoleArn":"{arn}","Token":"t","Expiration":"2026-11-22T06:00:00Z""#);
        assert_eq!(document(&ecs).unwrap().token.account_id(), Some("111122223333"));
    }

    #[test]
    fn what_is_no_credentials_document_is_told_apart_and_never_repeated() {
        let malformed = |text: &str| Problem::Malformed(text.to_owned());
        for (more, problem) in [
            (r#""Token":"t""#, malformed("the document's Expiration is missing")),
            (
                r#""Expiration":"2026-11-22T06:00:00Z""#,
                malformed("the document's Token is missing"),
            ),
            (
                r#""Token":"t","Expiration":"soon""#,
                malformed("the document's Expiration is not a point in time"),
            ),
            (
                r#""Code":"AssumeRoleUnauthorizedAccess","Message":"EC2 cannot""#,
                Problem::Refused { message: "AssumeRoleUnauthorizedAccess: EC2 cannot".to_owned() },
            ),
        ] {
            assert_eq!(document(more), Err(problem), "{more}");
        }
        let page = Secret::new(b"<html>hunter2</html>".to_vec());
        assert_eq!(read(&page, NOW), Err(malformed("the answer is not a credentials document")));
    }

    proptest! {
        #[test]
        fn any_answer_is_read_or_refused_without_its_content(
            body in prop::collection::vec(any::<u8>(), 0..200),
            status: u16,
        ) {
            let body = Secret::new(body);
            prop_assert!(read(&body, NOW).is_err());
            let text = said(&Answer { status, body });
            prop_assert!(!text.contains('\n') && text.chars().count() < 350);
        }
    }
}
