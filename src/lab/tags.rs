//! Tags of what the lab knows, and the operations that change and show them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::answers::Refusal;
use super::constraints::{Constraints, PLAIN_TEXT, is_managed_instance_id};
use crate::pure::identity::InstanceId;

/// The most tags that a resource has (AWS: 50).
const MOST_TAGS: usize = 50;

/// The longest list of tags in a request (the public API model).
const LONGEST_LIST: usize = 1000;

/// What can be tagged, by the public API model. Of these the lab has managed instances only.
const RESOURCE_TYPES: [&str; 10] = [
    "Document",
    MANAGED_INSTANCE,
    "MaintenanceWindow",
    "Parameter",
    "PatchBaseline",
    "OpsItem",
    "OpsMetadata",
    "Automation",
    "Association",
    "CloudConnector",
];

const MANAGED_INSTANCE: &str = "ManagedInstance";

/// A resource's tags, by key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tags(BTreeMap<String, String>);

/// A tag as requests write it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Tag {
    key: Option<String>,
    value: Option<String>,
}

/// `AddTagsToResource`'s request.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AddTags {
    #[serde(flatten)]
    resource: Resource,
    tags: Option<Vec<Tag>>,
}

/// `RemoveTagsFromResource`'s request.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RemoveTags {
    #[serde(flatten)]
    resource: Resource,
    tag_keys: Option<Vec<String>>,
}

/// `ListTagsForResource`'s request.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ListTags {
    #[serde(flatten)]
    resource: Resource,
}

/// Whose tags are meant.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Resource {
    resource_type: Option<String>,
    resource_id: Option<String>,
}

impl Tags {
    /// Tags as asked for in `member` of a request, where a later one replaces an earlier one of the
    /// same key. What does not fit is noted.
    pub fn read(member: &str, asked: Vec<Tag>, constraints: &mut Constraints) -> Self {
        constraints.count(member, asked.len(), 0..=LONGEST_LIST);
        let mut tags = BTreeMap::new();
        for (index, tag) in asked.into_iter().enumerate() {
            let at = |name: &str| format!("{member}.{}.member.{name}", index + 1);
            let key = constraints.required(&at("key"), tag.key);
            constraints.length(&at("key"), &key, 1..=128);
            constraints.pattern(&at("key"), &key, PLAIN_TEXT);
            let value = constraints.required(&at("value"), tag.value);
            constraints.length(&at("value"), &value, 0..=256);
            constraints.pattern(&at("value"), &value, PLAIN_TEXT);
            tags.insert(key, value);
        }
        Self(tags)
    }

    /// Adds tags, or none when they were too many.
    pub fn add(&mut self, others: Tags) -> Result<(), Refusal> {
        if others.0.keys().any(|key| key.to_ascii_lowercase().starts_with("aws:")) {
            return Err(Refusal::validation("Tag keys that begin with aws: belong to AWS"));
        }
        let added = others.0.keys().filter(|key| !self.0.contains_key(*key)).count();
        if self.0.len() + added > MOST_TAGS {
            return Err(Refusal::new(
                "TooManyTagsError",
                format!("A resource has at most {MOST_TAGS} tags"),
            ));
        }
        self.0.extend(others.0);
        Ok(())
    }

    /// Removes tags; those that are not there already count as removed.
    pub fn remove(&mut self, keys: &[String]) {
        self.0.retain(|key, _| !keys.contains(key));
    }

    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// As answers list them.
    pub fn list(&self) -> Value {
        self.0.iter().map(|(key, value)| json!({ "Key": key, "Value": value })).collect()
    }
}

impl AddTags {
    /// Which node gets which tags.
    pub fn read(self) -> Result<(InstanceId, Tags), Refusal> {
        let mut constraints = Constraints::default();
        let asked = constraints.required("tags", self.tags);
        let tags = Tags::read("tags", asked, &mut constraints);
        Ok((self.resource.node(constraints)?, tags))
    }
}

impl RemoveTags {
    /// Which node loses which keys.
    pub fn read(self) -> Result<(InstanceId, Vec<String>), Refusal> {
        let mut constraints = Constraints::default();
        let keys = constraints.required("tagKeys", self.tag_keys);
        for (index, key) in keys.iter().enumerate() {
            let member = format!("tagKeys.{}.member", index + 1);
            constraints.length(&member, key, 1..=128);
            constraints.pattern(&member, key, PLAIN_TEXT);
        }
        Ok((self.resource.node(constraints)?, keys))
    }
}

impl ListTags {
    /// Whose tags are asked for.
    pub fn read(self) -> Result<InstanceId, Refusal> {
        self.resource.node(Constraints::default())
    }
}

impl Resource {
    /// The node that is meant, once all constraints are met. Activations are tagged when they are
    /// created and never after: their type is none of the list.
    fn node(self, mut constraints: Constraints) -> Result<InstanceId, Refusal> {
        let kind = constraints.required("resourceType", self.resource_type);
        constraints.one_of("resourceType", &kind, &RESOURCE_TYPES);
        let id = constraints.required("resourceId", self.resource_id);
        constraints.check()?;
        if kind != MANAGED_INSTANCE {
            return Err(unknown_resource());
        }
        id.parse().ok().filter(|_| is_managed_instance_id(&id)).ok_or_else(|| {
            Refusal::validation(
                "resourceId should be in format mi-[0-9a-f]{17} for resource type ManagedInstance",
            )
        })
    }
}

/// What the service says of a resource that it does not know.
pub fn unknown_resource() -> Refusal {
    Refusal::new("InvalidResourceId", "There is no such resource")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: &str = "mi-0123456789abcdef0";

    fn tags(count: usize) -> Tags {
        Tags((0..count).map(|number| (format!("key-{number}"), String::new())).collect())
    }

    fn add(asked: Value) -> Result<(InstanceId, Tags), Refusal> {
        serde_json::from_value::<AddTags>(asked).unwrap().read()
    }

    #[test]
    fn the_later_value_of_a_key_counts() {
        let asked = json!({
            "ResourceType": "ManagedInstance", "ResourceId": NODE,
            "Tags": [{ "Key": "OS", "Value": "old" }, { "Key": "OS", "Value": "new" }],
        });
        let (node, read) = add(asked).unwrap();
        assert_eq!(node.as_str(), NODE);
        assert_eq!(read.list(), json!([{ "Key": "OS", "Value": "new" }]));
    }

    #[test]
    fn fifty_tags_fit_and_one_more_changes_nothing() {
        let mut mine = tags(50);
        mine.add(tags(3)).unwrap();
        assert_eq!(mine.add(tags(51)).unwrap_err().code, "TooManyTagsError");
        assert_eq!(mine, tags(50));
        mine.remove(&["key-0".to_owned(), "absent".to_owned()]);
        assert_eq!(mine.keys().count(), 49);
    }

    #[test]
    fn odd_wishes_are_refused_as_the_service_does() {
        let tag = json!([{ "Key": "OS", "Value": "Debian" }]);
        for (kind, id, tags, code) in [
            ("Activation", NODE, tag.clone(), "ValidationException"),
            ("ManagedInstance", "i-0123456789abcdef0", tag.clone(), "ValidationException"),
            ("Parameter", "name", tag, "InvalidResourceId"),
            ("ManagedInstance", NODE, json!([{ "Key": "OS" }]), "ValidationException"),
            ("ManagedInstance", NODE, json!([{ "Key": "", "Value": "" }]), "ValidationException"),
            ("ManagedInstance", NODE, json!([{ "Key": "%", "Value": "" }]), "ValidationException"),
            ("ManagedInstance", NODE, Value::Null, "ValidationException"),
        ] {
            let asked = json!({ "ResourceType": kind, "ResourceId": id, "Tags": tags });
            assert_eq!(add(asked.clone()).unwrap_err().code, code, "{asked}");
        }
        assert_eq!(add(json!({})).unwrap_err().message.matches("must not be null").count(), 3);
    }

    #[test]
    fn keys_of_aws_are_its_own() {
        let reserved = Tags([("AWS:x".to_owned(), String::new())].into());
        assert_eq!(Tags::default().add(reserved).unwrap_err().code, "ValidationException");
    }
}
