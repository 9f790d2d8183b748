//! EC2's metadata service, version 2 of the protocol alone: a session, then what it tells.

use http::Method;
use serde::Deserialize;
use time::UtcDateTime;

use super::client::{Answer, Client, Question};
use super::document::{self, Granted};
use super::error::{Problem, SourceError};
use crate::connection::UnusableConnection;
use crate::pure::failure::FailureClass;
use crate::pure::identity::{Ec2InstanceId, Region};
use crate::pure::secret::Secret;

/// Where every instance finds it (EC2 User Guide, "Access instance metadata").
pub const METADATA_ENDPOINT: &str = "http://169.254.169.254";

/// A client of the metadata service. Cheap to clone.
#[derive(Debug, Clone)]
pub struct InstanceMetadata(Client);

/// Which instance this is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    pub id: Ec2InstanceId,
    pub region: Region,
    pub account_id: Option<String>,
    pub availability_zone: Option<String>,
}

/// The credentials of the instance profile, and its role's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    pub role: String,
    pub granted: Granted,
}

const SESSION_PATH: &str = "/latest/api/token";
const SESSION_HEADER: &str = "x-aws-ec2-metadata-token";
const LIFETIME_HEADER: &str = "x-aws-ec2-metadata-token-ttl-seconds";

/// A session is for one look, of a few requests, every half hour or so. In seconds.
const SESSION_LIFETIME: &str = "60";

const DOCUMENT_PATH: &str = "/latest/dynamic/instance-identity/document";
const PROFILE_PATH: &str = "/latest/meta-data/iam/security-credentials/";

/// The credentials by which the instance itself is known to Systems Manager, with or without a
/// profile.
const OWN_IDENTITY_PATH: &str =
    "/latest/meta-data/identity-credentials/ec2/security-credentials/ec2-instance";

impl InstanceMetadata {
    /// Nothing is asked yet.
    ///
    /// # Errors
    ///
    /// When the URL cannot be used.
    pub fn new(endpoint: &str) -> Result<Self, UnusableConnection> {
        Client::new(endpoint, None, None).map(Self)
    }

    pub fn endpoint(&self) -> &str {
        self.0.endpoint()
    }

    /// Which instance this is.
    ///
    /// # Errors
    ///
    /// No answer, or not EC2's.
    pub async fn instance(&self) -> Result<Instance, SourceError> {
        let look = self.look("the instance's identity document").await?;
        let answer = look.get(DOCUMENT_PATH).await?;
        let body = look.found(&answer)?;
        read_instance(body).map_err(|problem| look.failed(problem))
    }

    /// The instance profile's credentials; nothing when the instance has no profile.
    ///
    /// # Errors
    ///
    /// No answer, or not EC2's; `Refused` where EC2 cannot have the role.
    pub async fn profile(&self, now: UtcDateTime) -> Result<Option<Profile>, SourceError> {
        let look = self.look("the instance profile").await?;
        let answer = look.get(PROFILE_PATH).await?;
        if answer.status == 404 {
            return Ok(None);
        }
        let role = read_role_name(look.found(&answer)?).map_err(|problem| look.failed(problem))?;
        let Some(role) = role else { return Ok(None) };
        let answer = look.get(&format!("{PROFILE_PATH}{role}")).await?;
        let granted = document::read(look.found(&answer)?, now);
        Ok(Some(Profile { role, granted: granted.map_err(|problem| look.failed(problem))? }))
    }

    /// The instance's own credentials, which only Systems Manager takes.
    ///
    /// # Errors
    ///
    /// No answer, or not EC2's.
    pub async fn own_identity(&self, now: UtcDateTime) -> Result<Granted, SourceError> {
        let look = self.look("the instance's own credentials").await?;
        let answer = look.get(OWN_IDENTITY_PATH).await?;
        document::read(look.found(&answer)?, now).map_err(|problem| look.failed(problem))
    }

    async fn look(&self, asked: &'static str) -> Result<Look<'_>, SourceError> {
        let look = |session| Look { client: &self.0, asked, session };
        let none = look(Secret::new(String::new()));
        let lifetime = Some((LIFETIME_HEADER, Secret::new(SESSION_LIFETIME.to_owned())));
        let question = Question { method: Method::PUT, path: SESSION_PATH, header: lifetime };
        let answer = self.0.ask(question).await.map_err(|problem| none.failed(problem))?;
        let session = match answer.status {
            200 => read_session(&answer.body),
            429 | 500.. => Err(failing(&answer)),
            // "If the instance metadata service is disabled, HTTP 403" (EC2 User Guide).
            403 => Err(Problem::MetadataOff(document::said(&answer))),
            _ => Err(Problem::NoSession(document::said(&answer))),
        };
        session.map(look).map_err(|problem| none.failed(problem))
    }
}

/// One look, within a session.
struct Look<'a> {
    client: &'a Client,
    asked: &'static str,
    session: Secret<String>,
}

impl Look<'_> {
    async fn get(&self, path: &str) -> Result<Answer, SourceError> {
        let header = Some((SESSION_HEADER, self.session.clone()));
        let question = Question { method: Method::GET, path, header };
        self.client.ask(question).await.map_err(|problem| self.failed(problem))
    }

    /// The body of what is there.
    fn found<'a>(&self, answer: &'a Answer) -> Result<&'a Secret<Vec<u8>>, SourceError> {
        match answer.status {
            200 => Ok(&answer.body),
            429 | 500.. => Err(self.failed(failing(answer))),
            _ => Err(self.failed(Problem::Malformed(document::said(answer)))),
        }
    }

    fn failed(&self, problem: Problem) -> SourceError {
        SourceError { asked: self.asked, endpoint: self.client.endpoint().to_owned(), problem }
    }
}

/// Asked too often, or failing.
fn failing(answer: &Answer) -> Problem {
    let class = match answer.status {
        429 => FailureClass::Throttled,
        _ => FailureClass::ServiceFault,
    };
    Problem::Failing { class, message: document::said(answer) }
}

fn read_session(body: &Secret<Vec<u8>>) -> Result<Secret<String>, Problem> {
    let text = std::str::from_utf8(body.expose()).ok().map(str::trim);
    let plain = |text: &&str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
    match text.filter(plain) {
        Some(session) => Ok(Secret::new(session.to_owned())),
        None => Err(Problem::NoSession("the answer holds no token".to_owned())),
    }
}

/// The first of the roles that are listed, of which there is one.
fn read_role_name(body: &Secret<Vec<u8>>) -> Result<Option<String>, Problem> {
    let text = std::str::from_utf8(body.expose()).unwrap_or("?");
    let Some(name) = text.lines().next().filter(|name| !name.is_empty()) else {
        return Ok(None);
    };
    // What a role's name may be made of (IAM User Guide, "IAM and AWS STS quotas").
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_+=,.@-".contains(&b);
    if name.len() <= 64 && name.bytes().all(plain) {
        Ok(Some(name.to_owned()))
    } else {
        Err(Problem::Malformed("what is listed is not a role's name".to_owned()))
    }
}

fn read_instance(body: &Secret<Vec<u8>>) -> Result<Instance, Problem> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Document {
        instance_id: String,
        region: String,
        account_id: Option<String>,
        availability_zone: Option<String>,
    }
    let malformed = |text: &str| Problem::Malformed(text.to_owned());
    let document: Document = serde_json::from_slice(body.expose())
        .map_err(|_| malformed("the answer is not an identity document"))?;
    let id = document.instance_id.parse::<Ec2InstanceId>();
    let region = document.region.parse::<Region>();
    let plain = |text: &String| text.len() <= 64 && text.bytes().all(|b| b.is_ascii_graphic());
    Ok(Instance {
        id: id.map_err(|error| malformed(&error.to_string()))?,
        region: region.map_err(|error| malformed(&error.to_string()))?,
        account_id: document.account_id.filter(plain),
        availability_zone: document.availability_zone.filter(plain),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn body(text: &str) -> Secret<Vec<u8>> {
        Secret::new(text.as_bytes().to_vec())
    }

    #[test]
    fn without_tls_the_metadata_service_is_nearby_or_is_not_asked() {
        for url in [METADATA_ENDPOINT, "http://[fd00:ec2::254]/", "http://127.0.0.1:1", "https://x"]
        {
            assert!(InstanceMetadata::new(url).is_ok(), "{url}");
        }
        for url in ["http://metadata.example/", "http://192.0.2.1", "169.254.169.254"] {
            assert!(InstanceMetadata::new(url).is_err(), "{url}");
        }
    }

    #[test]
    fn a_profile_has_one_role_or_none() {
        assert_eq!(
            read_role_name(&body("SSMServiceRole")).unwrap().as_deref(),
            Some("SSMServiceRole")
        );
        assert_eq!(read_role_name(&body("one\ntwo")).unwrap().as_deref(), Some("one"));
        assert_eq!(read_role_name(&body("")), Ok(None));
        for text in ["<html>", "../../user-data", "a b", "a/b", "a?b"] {
            assert!(read_role_name(&body(text)).is_err(), "{text}");
        }
    }

    #[test]
    fn an_identity_document_says_which_instance_this_is() {
        let text = r#"{"accountId":"111122223333","availabilityZone":"eu-central-1a",
            "instanceId":"i-1234567890abcdef0","region":"eu-central-1","kernelId":null}"#;
        let instance = read_instance(&body(text)).unwrap();
        assert_eq!(instance.id.as_str(), "i-1234567890abcdef0");
        assert_eq!(instance.region.as_str(), "eu-central-1");
        assert_eq!(instance.account_id.as_deref(), Some("111122223333"));
        let other = read_instance(&body(&text.replace("i-1234", "mi-1234")));
        assert!(matches!(other, Err(Problem::Malformed(_))));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let body = Secret::new(bytes);
            prop_assert!(read_instance(&body).is_err());
            if let Ok(Some(role)) = read_role_name(&body) {
                prop_assert!(role.bytes().all(|b| b.is_ascii_graphic() && b != b'/'));
            }
            if let Ok(session) = read_session(&body) {
                prop_assert!(!session.expose().contains(char::is_whitespace));
            }
        }
    }
}
