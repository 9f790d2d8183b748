//! Managed instances, as the service knows them: key, fingerprint, last ping.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::UtcDateTime;

use super::activations::{Activation, read_iam_role, require_role_name};
use super::answers::Refusal;
use super::constraints::{Constraints, MANAGED_INSTANCE_ID};
use super::issue;
use super::store::{Record, Store, StoreError, Table, moment, text};
use super::tags::{AddTags, ListTags, RemoveTags, Tag, Tags, unknown_resource};
use crate::host::entropy::Entropy;
use crate::keys::PublicKey;
use crate::pure::identity::InstanceId;
use crate::pure::secret::Secret;
use crate::pure::signing::sha256_hex;

/// A node is `Online` this long after a ping: two of the agent's five-minute rounds.
const ONLINE: Duration = Duration::from_secs(10 * 60);

/// Nodes that are kept; past it, registering one is refused.
const CAPACITY: usize = 200_000;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Node {
    #[serde(with = "text")]
    pub id: InstanceId,
    pub fingerprint: String,
    #[serde(with = "encoded")]
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
    #[serde(with = "moment")]
    pub registered_at: UtcDateTime,
    pub last_ping: Option<Ping>,
}

/// What the node last said about itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ping {
    #[serde(with = "moment")]
    pub at: UtcDateTime,
    pub said: Information,
}

/// All of them, by id. No two have the same key.
#[derive(Debug)]
pub struct Nodes(Table<Node>);

/// `RegisterManagedInstance`'s request.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Register {
    pub activation_id: Option<String>,
    pub activation_code: Option<Secret<String>>,
    pub fingerprint: Option<String>,
    pub public_key: Option<String>,
    pub public_key_type: Option<String>,
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
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
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
    pub fn new(store: &Store) -> Self {
        Self(store.table())
    }

    pub fn get(&self, id: &InstanceId) -> Result<Option<Node>, StoreError> {
        self.0.get(id.as_str())
    }

    pub fn count(&self) -> Result<usize, StoreError> {
        self.0.count()
    }

    /// Those that registered last, the latest first.
    pub fn newest(&self, most: u32) -> Result<Vec<Node>, StoreError> {
        self.0.last(most)
    }

    /// Every one of them, by the time of registration.
    pub(super) fn table(&self) -> &Table<Node> {
        &self.0
    }

    /// Takes a node over as it is, without an activation. Its key must not be another's.
    pub fn insert(&mut self, node: &Node) -> Result<(), StoreError> {
        self.0.put(node)
    }

    /// From now on the node's role tokens ask for a new key, until it changes. False when there is
    /// no such node.
    pub fn ask_for_new_key(&mut self, id: &InstanceId) -> Result<bool, StoreError> {
        let changed = self.0.change(id.as_str(), |node| node.asked_for_new_key = true)?;
        Ok(changed.is_some())
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
        let public_key = self.read_key(asked.public_key, asked.public_key_type)?;
        let mut constraints = Constraints::default();
        let own_tags = Tags::read("tags", asked.tags, &mut constraints);
        constraints.check()?;
        let mut tags = activation.tags.clone();
        tags.add(own_tags)?;
        if self.0.count()? >= CAPACITY {
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
        self.0.put(&node)?;
        Ok(json!({ "InstanceId": id.as_str() }))
    }

    /// `UpdateManagedInstancePublicKey`, once the old key's signature has been checked.
    pub fn update_key(&mut self, id: &InstanceId, asked: UpdateKey) -> Result<Value, Refusal> {
        let key = self.read_key(asked.new_public_key, asked.new_public_key_type)?;
        let change = |node: &mut Node| {
            node.public_key = key;
            node.key_changes += 1;
            node.asked_for_new_key = false;
        };
        self.0.change(id.as_str(), change)?.ok_or_else(unknown_instance)?;
        Ok(json!({}))
    }

    /// `UpdateInstanceInformation`.
    pub fn ping(
        &mut self,
        id: &InstanceId,
        said: Information,
        now: UtcDateTime,
    ) -> Result<Value, Refusal> {
        let change = |node: &mut Node| node.last_ping = Some(Ping { at: now, said });
        self.0.change(id.as_str(), change)?.ok_or_else(unknown_instance)?;
        Ok(json!({}))
    }

    /// `DeregisterManagedInstance`. Credentials that were issued live on to their end.
    pub fn deregister(&mut self, id: &InstanceId) -> Result<Value, Refusal> {
        if self.0.remove(id.as_str())? { Ok(json!({})) } else { Err(unknown_instance()) }
    }

    /// `UpdateManagedInstanceRole`: the next role token is the new role's.
    pub fn update_role(&mut self, asked: UpdateRole) -> Result<Value, Refusal> {
        let mut constraints = Constraints::default();
        let id = read_instance_id(asked.instance_id, &mut constraints);
        let role = read_iam_role(asked.iam_role, &mut constraints);
        constraints.check()?;
        require_role_name(&role)?;
        self.0.change(&id, |node| node.iam_role = role)?.ok_or_else(unknown_instance)?;
        Ok(json!({}))
    }

    /// `AddTagsToResource`.
    pub fn add_tags(&mut self, asked: AddTags) -> Result<Value, Refusal> {
        let (id, tags) = asked.read()?;
        let add = |node: &mut Node| node.tags.add(tags);
        self.0.change(id.as_str(), add)?.ok_or_else(unknown_resource)??;
        Ok(json!({}))
    }

    /// `RemoveTagsFromResource`.
    pub fn remove_tags(&mut self, asked: RemoveTags) -> Result<Value, Refusal> {
        let (id, keys) = asked.read()?;
        let remove = |node: &mut Node| node.tags.remove(&keys);
        self.0.change(id.as_str(), remove)?.ok_or_else(unknown_resource)?;
        Ok(json!({}))
    }

    /// `ListTagsForResource`.
    pub fn list_tags(&self, asked: ListTags) -> Result<Value, Refusal> {
        let node = self.get(&asked.read()?)?.ok_or_else(unknown_resource)?;
        Ok(json!({ "TagList": node.tags.list() }))
    }

    /// A key that no other node has.
    pub(super) fn read_key(
        &self,
        key: Option<String>,
        kind: Option<String>,
    ) -> Result<PublicKey, Refusal> {
        if kind.is_some_and(|kind| kind != "Rsa") {
            return Err(Refusal::validation("The public key's type must be Rsa"));
        }
        let text = key.ok_or_else(|| Refusal::validation("The public key is missing"))?;
        let key = PublicKey::decode(&text)
            .map_err(|error| Refusal::new("InvalidPublicKey", error.to_string()))?;
        if self.0.marked(&mark(&key))?.is_some() {
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

    pub fn ping_status(&self, now: UtcDateTime) -> &'static str {
        ping_status(self.last_ping.as_ref(), now)
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

impl Record for Node {
    const KIND: &'static str = "node";

    fn id(&self) -> &str {
        self.id.as_str()
    }

    fn at(&self) -> UtcDateTime {
        self.registered_at
    }

    fn mark(&self) -> Option<String> {
        Some(mark(&self.public_key))
    }
}

/// A public key in a record: base64 of its DER.
pub(super) mod encoded {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::keys::PublicKey;

    pub fn serialize<S: Serializer>(key: &PublicKey, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&key.encode())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<PublicKey, D::Error> {
        PublicKey::decode(&String::deserialize(from)?).map_err(Error::custom)
    }
}

/// What tells one key from all others, and is shorter.
fn mark(key: &PublicKey) -> String {
    sha256_hex(key.encode().as_bytes())
}

fn read_instance_id(asked: Option<String>, constraints: &mut Constraints) -> String {
    let id = constraints.required("instanceId", asked);
    constraints.pattern("instanceId", &id, MANAGED_INSTANCE_ID);
    id
}

/// The service has a third status, `Inactive`, which it no longer uses.
pub fn ping_status(last: Option<&Ping>, now: UtcDateTime) -> &'static str {
    match last {
        Some(ping) if now - ping.at < ONLINE => "Online",
        _ => "ConnectionLost",
    }
}

/// What a node hears that the service does not know, or not any more.
pub fn unknown_instance() -> Refusal {
    Refusal::new("InvalidInstanceId", "There is no such managed instance")
}
