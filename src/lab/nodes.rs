//! Managed instances, as the service knows them: key, fingerprint, last ping.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use time::UtcDateTime;

use super::activations::{Activation, read_iam_role, require_role_name};
use super::answers::Refusal;
use super::constraints::{Constraints, MANAGED_INSTANCE_ID};
use super::issue;
use super::paging::Listed;
use super::tags::{AddTags, ListTags, RemoveTags, Tag, Tags, unknown_resource};
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
    /// The activation's `IamRole`, as given, or the one that replaced it.
    pub iam_role: String,
    pub name: Option<String>,
    pub tags: Tags,
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

/// `UpdateManagedInstanceRole`'s request.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct UpdateRole {
    instance_id: Option<String>,
    iam_role: Option<String>,
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
        let mut constraints = Constraints::default();
        let own_tags = Tags::read("tags", asked.tags, &mut constraints);
        constraints.check()?;
        let mut tags = activation.tags.clone();
        tags.add(own_tags)?;
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
            tags,
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

    /// `UpdateManagedInstanceRole`: the next role token is the new role's.
    pub fn update_role(&mut self, asked: UpdateRole) -> Result<Value, Refusal> {
        let mut constraints = Constraints::default();
        let id = read_instance_id(asked.instance_id, &mut constraints);
        let role = read_iam_role(asked.iam_role, &mut constraints);
        constraints.check()?;
        require_role_name(&role)?;
        let id = id.parse().map_err(|_| unknown_instance())?;
        self.0.get_mut(&id).ok_or_else(unknown_instance)?.iam_role = role;
        Ok(json!({}))
    }

    /// `AddTagsToResource`.
    pub fn add_tags(&mut self, asked: AddTags) -> Result<Value, Refusal> {
        let (id, tags) = asked.read()?;
        self.0.get_mut(&id).ok_or_else(unknown_resource)?.tags.add(tags)?;
        Ok(json!({}))
    }

    /// `RemoveTagsFromResource`.
    pub fn remove_tags(&mut self, asked: RemoveTags) -> Result<Value, Refusal> {
        let (id, keys) = asked.read()?;
        self.0.get_mut(&id).ok_or_else(unknown_resource)?.tags.remove(&keys);
        Ok(json!({}))
    }

    /// `ListTagsForResource`.
    pub fn list_tags(&self, asked: ListTags) -> Result<Value, Refusal> {
        let node = self.0.get(&asked.read()?).ok_or_else(unknown_resource)?;
        Ok(json!({ "TagList": node.tags.list() }))
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

    /// The service has a third status, `Inactive`, which it no longer uses.
    pub fn ping_status(&self, now: UtcDateTime) -> &'static str {
        match &self.last_ping {
            Some(ping) if now - ping.at < ONLINE => "Online",
            _ => "ConnectionLost",
        }
    }
}

impl Deregister {
    /// Which node an administrator means.
    pub fn read(self) -> Result<InstanceId, Refusal> {
        let mut constraints = Constraints::default();
        let id = read_instance_id(self.instance_id, &mut constraints);
        constraints.check()?;
        id.parse().map_err(|_| unknown_instance())
    }
}

impl Listed for Node {
    fn since(&self) -> UtcDateTime {
        self.registered_at
    }

    fn id(&self) -> &str {
        self.id.as_str()
    }
}

fn read_instance_id(asked: Option<String>, constraints: &mut Constraints) -> String {
    let id = constraints.required("instanceId", asked);
    constraints.pattern("instanceId", &id, MANAGED_INSTANCE_ID);
    id
}

/// What a node hears that the service does not know, or not any more.
pub fn unknown_instance() -> Refusal {
    Refusal::new("InvalidInstanceId", "There is no such managed instance")
}
