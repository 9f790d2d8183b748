//! Managed instances, as the service knows them: key, fingerprint, last ping.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use time::UtcDateTime;

use super::activations::{Activation, Tag};
use super::answers::{Refusal, epoch};
use super::issue;
use super::paging::page;
use crate::host::entropy::Entropy;
use crate::keys::PublicKey;
use crate::pure::identity::InstanceId;
use crate::pure::secret::Secret;

/// A node is `Online` this long after a ping: two of the agent's five-minute rounds.
const ONLINE: Duration = Duration::from_secs(10 * 60);

/// Nodes that are kept; past it, registering one is refused.
const CAPACITY: usize = 10_000;

#[derive(Debug, Clone)]
pub struct Node {
    pub id: InstanceId,
    pub fingerprint: String,
    pub public_key: PublicKey,
    /// How often the public key was replaced since registration.
    pub key_changes: u32,
    /// The next role tokens say `UpdateKeyPair`, until the key changes.
    pub asked_for_new_key: bool,
    pub activation_id: String,
    /// The activation's `IamRole`, as given.
    pub iam_role: String,
    pub name: Option<String>,
    pub tags: Vec<Tag>,
    pub registered_at: UtcDateTime,
    pub last_ping: Option<Ping>,
}

/// What the node last said about itself.
#[derive(Debug, Clone)]
pub struct Ping {
    pub at: UtcDateTime,
    pub said: Information,
}

/// All of them, by id.
#[derive(Debug, Default)]
pub struct Nodes(BTreeMap<InstanceId, Node>);

/// `RegisterManagedInstance`'s request.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Register {
    pub activation_id: Option<String>,
    pub activation_code: Option<Secret<String>>,
    fingerprint: Option<String>,
    public_key: Option<String>,
    public_key_type: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
}

/// `UpdateManagedInstancePublicKey`'s request.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct UpdateKey {
    new_public_key: Option<String>,
    new_public_key_type: Option<String>,
}

/// `UpdateInstanceInformation`'s request: the health ping.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Information {
    pub instance_id: Option<String>,
    pub agent_name: Option<String>,
    pub agent_status: Option<String>,
    pub agent_version: Option<String>,
    pub computer_name: Option<String>,
    #[serde(rename = "IPAddress")]
    pub ip_address: Option<String>,
    pub platform_name: Option<String>,
    pub platform_type: Option<String>,
    pub platform_version: Option<String>,
}

/// `DescribeInstanceInformation`'s request; the service has two spellings of a filter.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Describe {
    filters: Vec<Filter>,
    instance_information_filter_list: Vec<Filter>,
    max_results: Option<usize>,
    next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Filter {
    #[serde(alias = "Key")]
    key: String,
    #[serde(alias = "Values", alias = "valueSet", default)]
    values: Vec<String>,
}

/// `DeregisterManagedInstance`'s request.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Deregister {
    pub instance_id: Option<String>,
}

impl Nodes {
    pub fn get(&self, id: &InstanceId) -> Option<&Node> {
        self.0.get(id)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Node> {
        self.0.values()
    }

    /// From now on the node's role tokens ask for a new key, until it changes. False when there is
    /// no such node.
    pub fn ask_for_new_key(&mut self, id: &InstanceId) -> bool {
        self.0.get_mut(id).map(|node| node.asked_for_new_key = true).is_some()
    }

    /// `RegisterManagedInstance`, once the activation has been checked.
    pub fn register(
        &mut self,
        asked: Register,
        activation: &Activation,
        entropy: &dyn Entropy,
        now: UtcDateTime,
    ) -> Result<Value, Refusal> {
        let fingerprint = asked
            .fingerprint
            .filter(|text| !text.is_empty())
            .ok_or_else(|| Refusal::validation("Fingerprint is missing"))?;
        let public_key = self.new_key(asked.public_key, asked.public_key_type)?;
        if self.0.len() >= CAPACITY {
            return Err(Refusal::new("LimitExceededException", "Too many nodes; deregister some"));
        }
        let id = issue::instance_id(entropy);
        let node = Node {
            id: id.clone(),
            fingerprint,
            public_key,
            key_changes: 0,
            asked_for_new_key: false,
            activation_id: activation.id.clone(),
            iam_role: activation.iam_role.clone(),
            name: activation.default_instance_name.clone(),
            tags: activation.tags.iter().cloned().chain(asked.tags).collect(),
            registered_at: now,
            last_ping: None,
        };
        self.0.insert(id.clone(), node);
        Ok(json!({ "InstanceId": id.as_str() }))
    }

    /// `UpdateManagedInstancePublicKey`, once the old key's signature has been checked.
    pub fn update_key(&mut self, id: &InstanceId, asked: UpdateKey) -> Result<Value, Refusal> {
        let key = self.new_key(asked.new_public_key, asked.new_public_key_type)?;
        let node = self.0.get_mut(id).ok_or_else(unknown_instance)?;
        node.public_key = key;
        node.key_changes += 1;
        node.asked_for_new_key = false;
        Ok(json!({}))
    }

    /// `UpdateInstanceInformation`.
    pub fn ping(
        &mut self,
        id: &InstanceId,
        said: Information,
        now: UtcDateTime,
    ) -> Result<Value, Refusal> {
        let node = self.0.get_mut(id).ok_or_else(unknown_instance)?;
        node.last_ping = Some(Ping { at: now, said });
        Ok(json!({}))
    }

    /// `DeregisterManagedInstance`. Credentials that were issued live on to their end.
    pub fn deregister(&mut self, id: &InstanceId) -> Result<Value, Refusal> {
        self.0.remove(id).map(|_| json!({})).ok_or_else(unknown_instance)
    }

    /// `DescribeInstanceInformation`.
    pub fn describe(&self, asked: &Describe, now: UtcDateTime) -> Result<Value, Refusal> {
        let mut found = self.0.values().collect::<Vec<_>>();
        for filter in asked.filters.iter().chain(&asked.instance_information_filter_list) {
            let wanted = |value: &str| filter.values.iter().any(|allowed| allowed == value);
            match filter.key.as_str() {
                "InstanceIds" => found.retain(|node| wanted(node.id.as_str())),
                "ActivationIds" => found.retain(|node| wanted(&node.activation_id)),
                "IamRole" => found.retain(|node| wanted(&node.iam_role)),
                "PingStatus" => found.retain(|node| wanted(node.ping_status(now))),
                "ResourceType" => found.retain(|_| wanted("ManagedInstance")),
                _ => {
                    return Err(Refusal::new(
                        "InvalidFilterKey",
                        "The lab filters by InstanceIds, ActivationIds, IamRole, PingStatus and \
                         ResourceType",
                    ));
                }
            }
        }
        found.sort_by(|a, b| (a.registered_at, &a.id).cmp(&(b.registered_at, &b.id)));
        let (found, next_token) = page(found, asked.max_results, asked.next_token.as_deref())?;
        let list = found.into_iter().map(|node| node.describe(now)).collect::<Vec<_>>();
        let mut answer = json!({ "InstanceInformationList": list });
        if let Some(token) = next_token {
            answer["NextToken"] = token.into();
        }
        Ok(answer)
    }

    fn new_key(&self, key: Option<String>, kind: Option<String>) -> Result<PublicKey, Refusal> {
        if kind.is_some_and(|kind| kind != "Rsa") {
            return Err(Refusal::validation("The public key's type must be Rsa"));
        }
        let text = key.ok_or_else(|| Refusal::validation("The public key is missing"))?;
        let key = PublicKey::decode(&text)
            .map_err(|error| Refusal::new("InvalidPublicKey", error.to_string()))?;
        if self.0.values().any(|node| node.public_key == key) {
            return Err(Refusal::new(
                "PublicKeyAlreadyRegistered",
                "The public key is registered already",
            ));
        }
        Ok(key)
    }
}

impl Node {
    /// The role's name without its path: what stands in an assumed role's ARN.
    pub fn role_name(&self) -> &str {
        self.iam_role.rsplit('/').next().unwrap_or_default()
    }

    fn ping_status(&self, now: UtcDateTime) -> &'static str {
        match &self.last_ping {
            None => "Inactive",
            Some(ping) if now - ping.at < ONLINE => "Online",
            Some(_) => "ConnectionLost",
        }
    }

    fn describe(&self, now: UtcDateTime) -> Value {
        let mut value = json!({
            "InstanceId": self.id.as_str(),
            "PingStatus": self.ping_status(now),
            "ActivationId": self.activation_id,
            "IamRole": self.iam_role,
            "RegistrationDate": epoch(self.registered_at),
            "ResourceType": "ManagedInstance",
            "SourceType": "AWS::SSM::ManagedInstance",
            "SourceId": self.id.as_str(),
        });
        if let Some(name) = &self.name {
            value["Name"] = name.as_str().into();
        }
        if let Some(Ping { at, said }) = &self.last_ping {
            value["LastPingDateTime"] = epoch(*at);
            for (name, text) in [
                ("AgentVersion", &said.agent_version),
                ("ComputerName", &said.computer_name),
                ("IPAddress", &said.ip_address),
                ("PlatformName", &said.platform_name),
                ("PlatformType", &said.platform_type),
                ("PlatformVersion", &said.platform_version),
            ] {
                if let Some(text) = text {
                    value[name] = text.as_str().into();
                }
            }
        }
        value
    }
}

/// What a node hears that the service does not know, or not any more.
pub fn unknown_instance() -> Refusal {
    Refusal::new("InvalidInstanceId", "There is no such managed instance")
}
