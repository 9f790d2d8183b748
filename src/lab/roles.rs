//! Roles: who may become them, what they may do, and for how long.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::answers::Refusal;
use super::policy::{Asker, MalformedPolicy, Policy, Trust, TrustPolicy};
use super::{ACCOUNT, issue};
use crate::host::entropy::Entropy;
use crate::pure::duration::parse_duration;

/// The role that is there without any definition: the one of AWS's tutorials.
pub const DEFAULT_ROLE: &str = "SSMServiceRole";

/// The role that AWS makes for Default Host Management; its path is `/service-role/`.
pub const HOST_ROLE: &str = "AWSSystemsManagerDefaultEC2InstanceManagementRole";

/// The services that hand out roles, as trust policies name them: to managed instances, to EC2
/// instances, to containers.
pub const SYSTEMS_MANAGER: &str = "ssm.amazonaws.com";
pub const EC2: &str = "ec2.amazonaws.com";
pub const ECS_TASKS: &str = "ecs-tasks.amazonaws.com";

/// A role's longest session unless it says otherwise, and the bounds of what it may say (IAM API
/// reference, `MaxSessionDuration`).
const USUAL_SESSION: Duration = Duration::from_secs(3600);
const LONGEST_SESSION: Duration = Duration::from_secs(12 * 3600);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    pub name: String,
    /// `/`, or as `/service-role/`.
    pub path: String,
    /// `AROA…`
    pub id: String,
    pub trust: TrustPolicy,
    /// Without one, the role may do nothing.
    pub policy: Option<Policy>,
    pub longest_session: Duration,
}

/// All of them, by name.
#[derive(Debug, Clone)]
pub struct Roles(BTreeMap<String, Role>);

/// A role as a file or a rehearsal describes it. Policies are JSON, or text that holds it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleDefinition {
    pub name: String,
    pub path: Option<String>,
    pub trust_policy: Value,
    pub policy: Option<Value>,
    /// `1h` to `12h`.
    pub longest_session: Option<String>,
}

/// A definition that makes no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MalformedRole {
    #[error("a role's name must be 1 to 64 of A-Z a-z 0-9 _+=,.@-, and '{0}' is not")]
    Name(String),
    #[error("role {0}: the path must begin and end with /")]
    Path(String),
    #[error("role {0}: longest_session must be 1h to 12h")]
    LongestSession(String),
    #[error("role {0}: trust_policy: {1}")]
    Trust(String, MalformedPolicy),
    #[error("role {0}: policy: {1}")]
    Policy(String, MalformedPolicy),
}

impl Roles {
    /// The two that are there without any definition: the default role, which every service may hand
    /// out and which may use S3 and other roles; and the one that AWS makes for Default Host
    /// Management, which may tell Systems Manager that the instance is there.
    pub fn new(entropy: &dyn Entropy) -> Self {
        let mut roles = Self(BTreeMap::new());
        for (name, path, services, actions) in [
            (DEFAULT_ROLE, "/", &[SYSTEMS_MANAGER, EC2, ECS_TASKS][..], ["sts:AssumeRole", "s3:*"]),
            (
                HOST_ROLE,
                "/service-role/",
                &[SYSTEMS_MANAGER],
                ["ssm:UpdateInstanceInformation", "ssmmessages:*"],
            ),
        ] {
            let definition = RoleDefinition {
                name: name.to_owned(),
                path: Some(path.to_owned()),
                trust_policy: json!({
                    "Version": "2012-10-17",
                    "Statement": {
                        "Effect": "Allow",
                        "Principal": { "Service": services },
                        "Action": "sts:AssumeRole",
                    },
                }),
                policy: Some(json!({
                    "Version": "2012-10-17",
                    "Statement": { "Effect": "Allow", "Action": actions, "Resource": "*" },
                })),
                longest_session: None,
            };
            roles.insert(definition.role(entropy).expect("the lab's own roles are well-formed"));
        }
        roles
    }

    /// By name, without the path.
    pub fn get(&self, name: &str) -> Option<&Role> {
        self.0.get(name)
    }

    pub fn by_arn(&self, arn: &str) -> Option<&Role> {
        self.0.values().find(|role| role.arn() == arn)
    }

    /// Whether an activation may name the role, with its path or without: one that is defined must
    /// trust Systems Manager, and one that is not is taken on trust. The words are AWS's.
    pub fn check_for_machines(&self, iam_role: &str) -> Result<(), Refusal> {
        let name = iam_role.rsplit('/').next().unwrap_or_default();
        match self.get(name).filter(|role| !role.trusts_service(SYSTEMS_MANAGER)) {
            None => Ok(()),
            Some(role) => Err(Refusal::validation(format!(
                "Nonexistent role or missing ssm service principal in trust policy: {}",
                role.arn()
            ))),
        }
    }

    /// Adds a role, or replaces the one of that name.
    pub fn insert(&mut self, role: Role) {
        self.0.insert(role.name.clone(), role);
    }
}

impl Role {
    /// `arn:aws:iam::000000000000:role/service-role/Name`
    pub fn arn(&self) -> String {
        format!("arn:aws:iam::{ACCOUNT}:role{}{}", self.path, self.name)
    }

    /// Whether an AWS service may hand the role out.
    pub fn trusts_service(&self, service: &str) -> bool {
        self.trust.decide("sts:AssumeRole", Asker::Service(service), None) == Trust::Caller
    }
}

impl RoleDefinition {
    /// The role that is described, with a new id.
    pub fn role(self, entropy: &dyn Entropy) -> Result<Role, MalformedRole> {
        let name = self.name;
        let is_name = (1..=64).contains(&name.len()) && name.bytes().all(is_name_character);
        if !is_name {
            let shown = name.chars().take(64).map(|c| if c.is_control() { ' ' } else { c });
            return Err(MalformedRole::Name(shown.collect()));
        }
        let path = self.path.unwrap_or_else(|| "/".to_owned());
        let characters = path.bytes().all(|byte| byte.is_ascii_graphic());
        if !(path.starts_with('/') && path.ends_with('/') && path.len() <= 512 && characters) {
            return Err(MalformedRole::Path(name));
        }
        let longest_session = match self.longest_session {
            None => USUAL_SESSION,
            Some(text) => parse_duration(&text)
                .ok()
                .filter(|session| (USUAL_SESSION..=LONGEST_SESSION).contains(session))
                .ok_or_else(|| MalformedRole::LongestSession(name.clone()))?,
        };
        let trust = match &self.trust_policy {
            Value::String(text) => text.parse::<TrustPolicy>(),
            document => TrustPolicy::from_json(document),
        };
        let policy = self.policy.as_ref().map(|policy| match policy {
            Value::String(text) => text.parse::<Policy>(),
            document => Policy::from_json(document),
        });
        Ok(Role {
            trust: trust.map_err(|error| MalformedRole::Trust(name.clone(), error))?,
            policy: policy
                .transpose()
                .map_err(|error| MalformedRole::Policy(name.clone(), error))?,
            id: issue::access_key_id("AROA", entropy),
            name,
            path,
            longest_session,
        })
    }
}

/// What names of roles and of sessions are made of.
pub fn is_name_character(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::entropy::SystemEntropy;

    fn definition() -> RoleDefinition {
        RoleDefinition {
            name: "Backup".to_owned(),
            path: Some("/service-role/".to_owned()),
            trust_policy: json!({
                "Statement": { "Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRole" },
            }),
            policy: None,
            longest_session: Some("2h".to_owned()),
        }
    }

    #[test]
    fn a_role_is_found_by_name_and_by_arn() {
        let mut roles = Roles::new(&SystemEntropy);
        roles.insert(definition().role(&SystemEntropy).unwrap());
        let arn = "arn:aws:iam::000000000000:role/service-role/Backup";
        assert_eq!(roles.by_arn(arn), roles.get("Backup"));
        assert!(roles.by_arn("arn:aws:iam::000000000000:role/Backup").is_none());
        assert!(!roles.get("Backup").unwrap().trusts_service(SYSTEMS_MANAGER));
        assert!(roles.get(DEFAULT_ROLE).unwrap().trusts_service(SYSTEMS_MANAGER));
    }

    #[test]
    fn a_policy_may_be_text() {
        let trust_policy = definition().trust_policy.to_string().into();
        let text = RoleDefinition { trust_policy, ..definition() };
        let (text, json) = (text.role(&SystemEntropy), definition().role(&SystemEntropy));
        assert_eq!(text.unwrap().trust, json.unwrap().trust);
    }

    #[test]
    fn odd_definitions_say_which_role_and_why() {
        let good = definition();
        for (odd, message) in [
            (RoleDefinition { name: "a b".into(), ..good.clone() }, "a role's name"),
            (RoleDefinition { path: Some("x/".into()), ..good.clone() }, "role Backup: the path"),
            (
                RoleDefinition { longest_session: Some("13h".into()), ..good.clone() },
                "role Backup: longest_session",
            ),
            (
                RoleDefinition { trust_policy: json!({}), ..good.clone() },
                "role Backup: trust_policy: the policy has no Statement",
            ),
            (
                RoleDefinition { policy: Some(json!("{")), ..good.clone() },
                "role Backup: policy: the policy is not JSON",
            ),
        ] {
            let error = odd.role(&SystemEntropy).unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
        }
    }
}
