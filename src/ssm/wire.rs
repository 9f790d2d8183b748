//! Bodies and answers, in the member order and with the bytes of the reference agent.
//!
//! Source: the agent's own service model (`extra/aws-sdk-go/service/ssm`) and captured requests.

use serde::{Deserialize, Serialize};
use time::UtcDateTime;
use time::format_description::well_known::Rfc3339;

use crate::keys::PublicKey;
use crate::pure::identity::{Activation, Ec2InstanceId, Fingerprint, InstanceId};
use crate::pure::role_token::RoleToken;
use crate::pure::secret::Secret;

/// What every body calls the kind of key; the model's only value.
const KEY_TYPE: &str = "Rsa";

/// A tag for the new instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Tag {
    pub key: String,
    pub value: String,
}

/// What the health ping tells. Member names and order are the wire's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct HealthReport {
    /// `amazon-ssm-agent`, the only name that the service's model of an agent knows.
    pub agent_name: &'static str,
    pub agent_status: &'static str,
    pub agent_version: String,
    /// Empty outside EC2.
    pub availability_zone: String,
    pub availability_zone_id: &'static str,
    pub computer_name: String,
    #[serde(rename = "IPAddress")]
    pub ip_address: String,
    pub instance_id: String,
    pub platform_name: String,
    pub platform_type: &'static str,
    pub platform_version: String,
    #[serde(rename = "SSMConnectionChannel")]
    pub connection_channel: &'static str,
}

pub(super) fn register(
    activation: &Activation,
    fingerprint: Fingerprint,
    public_key: &PublicKey,
    tags: &[Tag],
) -> Secret<Vec<u8>> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Body<'a> {
        activation_code: &'a str,
        activation_id: &'a str,
        fingerprint: String,
        public_key: String,
        public_key_type: &'a str,
        #[serde(skip_serializing_if = "<[Tag]>::is_empty")]
        tags: &'a [Tag],
    }
    json(&Body {
        activation_code: activation.code.expose(),
        activation_id: activation.id.as_str(),
        fingerprint: fingerprint.to_string(),
        public_key: public_key.encode(),
        public_key_type: KEY_TYPE,
        tags,
    })
}

/// An EC2 instance has its id for a fingerprint, and no activation.
pub(super) fn register_host(
    instance_id: &Ec2InstanceId,
    public_key: &PublicKey,
) -> Secret<Vec<u8>> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Body<'a> {
        fingerprint: &'a str,
        public_key: String,
        public_key_type: &'a str,
    }
    json(&Body {
        fingerprint: instance_id.as_str(),
        public_key: public_key.encode(),
        public_key_type: KEY_TYPE,
    })
}

pub(super) fn request_host_token(instance_id: &Ec2InstanceId) -> Secret<Vec<u8>> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Body<'a> {
        fingerprint: &'a str,
    }
    json(&Body { fingerprint: instance_id.as_str() })
}

pub(super) fn request_role_token(fingerprint: Fingerprint) -> Secret<Vec<u8>> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Body {
        fingerprint: String,
    }
    json(&Body { fingerprint: fingerprint.to_string() })
}

pub(super) fn update_public_key(new_key: &PublicKey) -> Secret<Vec<u8>> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Body {
        new_public_key: String,
        new_public_key_type: &'static str,
    }
    json(&Body { new_public_key: new_key.encode(), new_public_key_type: KEY_TYPE })
}

pub(super) fn report_health(report: &HealthReport) -> Secret<Vec<u8>> {
    json(report)
}

pub(super) fn deregister(instance_id: &InstanceId) -> Secret<Vec<u8>> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Body<'a> {
        instance_id: &'a str,
    }
    json(&Body { instance_id: instance_id.as_str() })
}

/// The `InstanceId` of a registration's answer.
pub(super) fn read_registered(answer: &[u8]) -> Result<InstanceId, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer {
        instance_id: Option<String>,
    }
    let answer: Answer = read(answer)?;
    let id = answer.instance_id.ok_or("the answer's InstanceId is missing")?;
    id.parse().map_err(|error| format!("the answer's {error}"))
}

/// The five members of a role token; `UpdateKeyPair` alone may be absent.
pub(super) fn read_role_token(answer: &[u8], issued_at: UtcDateTime) -> Result<RoleToken, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer {
        access_key_id: Option<String>,
        secret_access_key: Option<Secret<String>>,
        session_token: Option<Secret<String>>,
        token_expiration_date: Option<Timestamp>,
        update_key_pair: Option<bool>,
    }
    let answer: Answer = read(answer)?;
    let expires_at = match answer.token_expiration_date {
        None => None,
        Some(timestamp) => Some(
            timestamp.moment().ok_or("the answer's TokenExpirationDate is not a point in time")?,
        ),
    };
    RoleToken::new(
        answer.access_key_id,
        answer.secret_access_key,
        answer.session_token,
        issued_at,
        expires_at,
        answer.update_key_pair.unwrap_or(false),
    )
    .map_err(|error| error.to_string())
}

/// A point in time on the wire: epoch seconds with a fraction, or RFC 3339.
#[derive(Deserialize)]
#[serde(untagged)]
enum Timestamp {
    Epoch(f64),
    Text(String),
}

impl Timestamp {
    fn moment(&self) -> Option<UtcDateTime> {
        match self {
            // Milliseconds, as far as AWS gives them; out of range saturates and is refused.
            Self::Epoch(seconds) => {
                let milliseconds = (seconds * 1_000.0).round() as i64;
                UtcDateTime::from_unix_timestamp_nanos(i128::from(milliseconds) * 1_000_000).ok()
            }
            Self::Text(text) => UtcDateTime::parse(text, &Rfc3339).ok(),
        }
    }
}

fn json(body: &impl Serialize) -> Secret<Vec<u8>> {
    Secret::new(serde_json::to_vec(body).expect("a struct of strings always has a JSON form"))
}

/// Says where the JSON breaks and never what it holds.
fn read<'a, T: Deserialize<'a>>(answer: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(answer).map_err(|error| match error.classify() {
        serde_json::error::Category::Eof => "the answer broke off".to_owned(),
        serde_json::error::Category::Data => {
            format!("a member of the answer has the wrong type (column {})", error.column())
        }
        _ => "the answer is not JSON".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use time::macros::utc_datetime;

    use super::*;

    const NOW: UtcDateTime = utc_datetime!(2026-11-22 00:00);

    fn answer(expiry: &str) -> String {
        format!(
            r#"{{"AccessKeyId":"ASIAEXAMPLE000000001","SecretAccessKey":"s","SessionToken":"t","TokenExpirationDate":{expiry},"UpdateKeyPair":true}}"#
        )
    }

    #[test]
    fn expiry_is_a_number_or_a_text() {
        for expiry in ["1795309252.549", r#""2026-11-22T01:00:52.549Z""#] {
            let token = read_role_token(answer(expiry).as_bytes(), NOW).unwrap();
            assert_eq!(token.expires_at, utc_datetime!(2026-11-22 01:00:52.549));
            assert!(token.update_key_pair);
        }
    }

    #[test]
    fn odd_answers_are_errors_that_name_the_member_and_no_value() {
        for (text, expected) in [
            ("", "broke off"),
            ("{\"AccessKeyId\":\"ASIA", "broke off"),
            ("<html>hunter2</html>", "not JSON"),
            ("[]", "wrong type"),
            ("{}", "AccessKeyId is missing"),
            (r#"{"AccessKeyId":7}"#, "wrong type"),
            (&answer("null"), "TokenExpirationDate is missing"),
            (&answer("\"tomorrow\""), "not a point in time"),
            (&answer("1e300"), "not a point in time"),
        ] {
            let error = read_role_token(text.as_bytes(), NOW).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
            assert!(!error.contains("hunter2"));
        }
    }

    #[test]
    fn a_missing_wish_for_a_new_key_is_no_wish() {
        let text = answer("1795309252").replace(r#","UpdateKeyPair":true"#, "");
        assert!(!read_role_token(text.as_bytes(), NOW).unwrap().update_key_pair);
    }

    #[test]
    fn bodies_are_the_captured_ones() {
        let captured: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/vectors/reference-agent.json")).unwrap();
        let body = |name: &str| {
            let requests = captured["requests"].as_array().unwrap();
            let request = requests.iter().find(|request| request["name"] == name).unwrap();
            request["body"].as_str().unwrap().to_owned()
        };
        let text = |bytes: &Secret<Vec<u8>>| String::from_utf8(bytes.expose().clone()).unwrap();
        let member = |body: &str, name: &str| {
            let body: serde_json::Value = serde_json::from_str(body).unwrap();
            body[name].as_str().unwrap().to_owned()
        };

        let expected = body("register");
        let activation = Activation {
            id: member(&expected, "ActivationId").parse().unwrap(),
            code: crate::pure::identity::ActivationCode::parse(Secret::new(member(
                &expected,
                "ActivationCode",
            )))
            .unwrap(),
        };
        let fingerprint = member(&expected, "Fingerprint").parse().unwrap();
        let public_key = PublicKey::decode(&member(&expected, "PublicKey")).unwrap();
        assert_eq!(text(&register(&activation, fingerprint, &public_key, &[])), expected);

        let expected = body("role-token-default-endpoint");
        let fingerprint = member(&expected, "Fingerprint").parse().unwrap();
        assert_eq!(text(&request_role_token(fingerprint)), expected);

        let expected = body("update-instance-information-health");
        let report = HealthReport {
            agent_name: "amazon-ssm-agent",
            agent_status: "Active",
            agent_version: member(&expected, "AgentVersion"),
            availability_zone: String::new(),
            availability_zone_id: "",
            computer_name: member(&expected, "ComputerName"),
            ip_address: member(&expected, "IPAddress"),
            instance_id: member(&expected, "InstanceId"),
            platform_name: member(&expected, "PlatformName"),
            platform_type: "Linux",
            platform_version: member(&expected, "PlatformVersion"),
            connection_channel: "",
        };
        assert_eq!(text(&report_health(&report)), expected);
    }
}
