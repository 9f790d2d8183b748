//! `DescribeInstanceInformation`: what the service shows of its nodes, and to which filters.

use serde::Deserialize;
use serde_json::{Value, json};
use time::UtcDateTime;

use super::answers::{Refusal, epoch};
use super::constraints::{Constraints, is_managed_instance_id};
use super::ec2_instance::INSTANCE_ID;
use super::hosts::{Host, Hosts};
use super::nodes::{Node, Nodes, Ping, ping_status};
use super::paging::{List, page};

const LIST: List = List { name: "instances", sizes: 5..=50, usual: 10 };

/// What nodes are, and EC2 instances: as a resource, and where they come from.
const NODE: (&str, &str) = ("ManagedInstance", "AWS::SSM::ManagedInstance");
const HOST: (&str, &str) = ("EC2Instance", "AWS::EC2::Instance");

/// What the older of the two lists of filters may name.
const OLDER_KEYS: [&str; 8] = [
    "InstanceIds",
    "AgentVersion",
    "PingStatus",
    "PlatformTypes",
    "ActivationIds",
    "IamRole",
    "ResourceType",
    "AssociationStatus",
];

/// The request; the service has two lists of filters, of two spellings.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Describe {
    filters: Vec<Filter>,
    instance_information_filter_list: Vec<OlderFilter>,
    max_results: Option<i64>,
    next_token: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Filter {
    key: Option<String>,
    values: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct OlderFilter {
    key: Option<String>,
    value_set: Option<Vec<String>>,
}

/// One filter: a node passes when what it has is among `values`.
#[derive(Debug)]
struct Wanted<'a> {
    by: Property<'a>,
    values: &'a [String],
}

/// What a node is filtered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Property<'a> {
    InstanceId,
    AgentVersion,
    PingStatus,
    PlatformType,
    ActivationId,
    IamRole,
    ResourceType,
    AssociationStatus,
    SourceId,
    SourceType,
    TagKey,
    Tag(&'a str),
}

/// One of the list.
#[derive(Debug, Clone, Copy)]
enum Item<'a> {
    Node(&'a Node),
    Host(&'a Host),
}

/// `DescribeInstanceInformation`. The EC2 instance, once it has said that it is there, comes last.
pub fn describe(
    nodes: &Nodes,
    hosts: &Hosts,
    asked: &Describe,
    now: UtcDateTime,
) -> Result<Value, Refusal> {
    let wanted = asked.wanted()?;
    let passes = |item: Item<'_>| wanted.iter().all(|one| one.passes(item, now));
    let by_id = |one: &&Wanted<'_>| matches!(one.by, Property::InstanceId | Property::SourceId);
    let ids = wanted.iter().find(by_id).map(|one| one.values);
    let wish = (asked.max_results, asked.next_token.as_deref());
    let (found, mut next_token) =
        page(&LIST, nodes.table(), ids, |node| passes(Item::Node(node)), wish)?;
    let mut list = found.iter().map(|node| show(Item::Node(node), now)).collect::<Vec<_>>();
    let host = hosts.get(INSTANCE_ID)?.filter(|host| host.last_ping.is_some());
    if let Some(host) = host.filter(|host| next_token.is_none() && passes(Item::Host(host))) {
        match found.last().filter(|_| !LIST.has_room(found.len(), asked.max_results)) {
            Some(last) => next_token = Some(LIST.after(last)),
            None => list.push(show(Item::Host(&host), now)),
        }
    }
    let mut answer = json!({ "InstanceInformationList": list });
    if let Some(token) = next_token {
        answer["NextToken"] = token.into();
    }
    Ok(answer)
}

impl Describe {
    /// The filters of whichever list was sent.
    fn wanted(&self) -> Result<Vec<Wanted<'_>>, Refusal> {
        let mut constraints = Constraints::default();
        let older = self.instance_information_filter_list.iter().enumerate().map(|(index, one)| {
            let list = format!("instanceInformationFilterList.{}.member", index + 1);
            (list, one.key.as_deref(), "valueSet", one.value_set.as_deref(), true)
        });
        let newer = self.filters.iter().enumerate().map(|(index, one)| {
            let list = format!("filters.{}.member", index + 1);
            (list, one.key.as_deref(), "values", one.values.as_deref(), false)
        });
        let mut filters = Vec::new();
        for (list, key, values_name, values, is_older) in older.chain(newer) {
            let member = format!("{list}.key");
            let key = constraints.required(&member, key);
            if is_older {
                constraints.one_of(&member, key, &OLDER_KEYS);
            } else {
                constraints.length(&member, key, 1..=usize::MAX);
            }
            let member = format!("{list}.{values_name}");
            let values = constraints.required(&member, values);
            constraints.count(&member, values.len(), 1..=100);
            filters.push((key, values));
        }
        constraints.check()?;
        if !self.filters.is_empty() && !self.instance_information_filter_list.is_empty() {
            return Err(Refusal::validation(
                "Filters and InstanceInformationFilterList cannot be used together",
            ));
        }
        let wanted = filters
            .into_iter()
            .map(|(key, values)| Wanted::read(key, values))
            .collect::<Result<Vec<_>, _>>()?;
        let by_tag = wanted.iter().filter(|one| one.by.is_tag()).count();
        if by_tag > 0 && by_tag < wanted.len() {
            return Err(Refusal::validation(
                "Cannot mix tag or inventory filter with any other filter",
            ));
        }
        Ok(wanted)
    }
}

impl<'a> Wanted<'a> {
    fn read(key: &'a str, values: &'a [String]) -> Result<Self, Refusal> {
        let by = Property::read(key)
            .ok_or_else(|| Refusal::new("InvalidFilterKey", "There is no such filter"))?;
        let invalid =
            |message: String| Refusal::new("InvalidInstanceInformationFilterValue", message);
        if by == Property::ResourceType && values.len() > 1 {
            return Err(invalid(format!("{key} filter may contain only one value.")));
        }
        if let Some(allowed) = by.allowed()
            && !values.iter().all(|value| allowed.contains(&value.as_str()))
        {
            let allowed = allowed.join(", ");
            return Err(invalid(format!("{key} filter is invalid, valid values are {allowed}")));
        }
        if by == Property::InstanceId && !values.iter().all(|id| is_instance_id(id)) {
            return Err(Refusal::new("InvalidInstanceId", "InstanceIds are mi- or i- and digits"));
        }
        Ok(Self { by, values })
    }

    fn passes(&self, item: Item<'_>, now: UtcDateTime) -> bool {
        let among = |value: &str| self.values.iter().any(|wanted| wanted == value);
        let said = item.last_ping().map(|ping| &ping.said);
        let (resource_type, source_type) = item.types();
        match self.by {
            Property::InstanceId | Property::SourceId => among(item.id()),
            Property::AgentVersion => {
                said.and_then(|said| said.agent_version.as_deref()).is_some_and(among)
            }
            Property::PlatformType => {
                said.and_then(|said| said.platform_type.as_deref()).is_some_and(among)
            }
            Property::PingStatus => among(ping_status(item.last_ping(), now)),
            Property::ActivationId => item.node().is_some_and(|node| among(&node.activation_id)),
            Property::IamRole => item.node().is_some_and(|node| among(&node.iam_role)),
            Property::ResourceType => among(resource_type),
            Property::SourceType => among(source_type),
            // Nothing is ever associated with a node of the lab.
            Property::AssociationStatus => false,
            Property::TagKey => item.node().is_some_and(|node| node.tags.keys().any(among)),
            Property::Tag(key) => {
                item.node().and_then(|node| node.tags.get(key)).is_some_and(among)
            }
        }
    }
}

impl<'a> Item<'a> {
    fn id(self) -> &'a str {
        match self {
            Item::Node(node) => node.id.as_str(),
            Item::Host(host) => &host.id,
        }
    }

    fn last_ping(self) -> Option<&'a Ping> {
        match self {
            Item::Node(node) => node.last_ping.as_ref(),
            Item::Host(host) => host.last_ping.as_ref(),
        }
    }

    /// Only a node has an activation and what comes from it.
    fn node(self) -> Option<&'a Node> {
        match self {
            Item::Node(node) => Some(node),
            Item::Host(_) => None,
        }
    }

    fn types(self) -> (&'static str, &'static str) {
        match self {
            Item::Node(_) => NODE,
            Item::Host(_) => HOST,
        }
    }
}

impl<'a> Property<'a> {
    fn read(key: &'a str) -> Option<Self> {
        match key {
            "InstanceIds" => Some(Property::InstanceId),
            "AgentVersion" => Some(Property::AgentVersion),
            "PingStatus" => Some(Property::PingStatus),
            "PlatformTypes" => Some(Property::PlatformType),
            "ActivationIds" => Some(Property::ActivationId),
            "IamRole" => Some(Property::IamRole),
            "ResourceType" => Some(Property::ResourceType),
            "AssociationStatus" => Some(Property::AssociationStatus),
            "SourceIds" => Some(Property::SourceId),
            "SourceTypes" => Some(Property::SourceType),
            "tag-key" => Some(Property::TagKey),
            _ => key.strip_prefix("tag:").filter(|key| !key.is_empty()).map(Property::Tag),
        }
    }

    fn is_tag(self) -> bool {
        matches!(self, Property::TagKey | Property::Tag(_))
    }

    /// The values there are, where they are few.
    fn allowed(self) -> Option<&'static [&'static str]> {
        match self {
            Property::PingStatus => Some(&["Online", "ConnectionLost", "Inactive"]),
            Property::PlatformType => Some(&["Windows", "Linux", "MacOS"]),
            Property::ResourceType => Some(&[HOST.0, NODE.0]),
            Property::AssociationStatus => Some(&["Success", "Pending", "Failed"]),
            Property::SourceType => Some(&[
                HOST.1,
                NODE.1,
                "AWS::IoT::Thing",
                "Microsoft.Compute/virtualMachines",
                "compute.googleapis.com/Instance",
            ]),
            _ => None,
        }
    }
}

fn show(item: Item<'_>, now: UtcDateTime) -> Value {
    let (resource_type, source_type) = item.types();
    let mut value = json!({
        "InstanceId": item.id(),
        "PingStatus": ping_status(item.last_ping(), now),
        "ResourceType": resource_type,
        "SourceType": source_type,
        "SourceId": item.id(),
    });
    if let Some(node) = item.node() {
        value["ActivationId"] = node.activation_id.as_str().into();
        value["IamRole"] = node.iam_role.as_str().into();
        value["RegistrationDate"] = epoch(node.registered_at);
        if let Some(name) = &node.name {
            value["Name"] = name.as_str().into();
        }
    }
    if let Some(Ping { at, said }) = item.last_ping() {
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

/// `mi-` or, of EC2, `i-` and 8 or 17 digits.
fn is_instance_id(text: &str) -> bool {
    is_managed_instance_id(text)
        || text.strip_prefix("i-").is_some_and(|digits| {
            matches!(digits.len(), 8 | 17) && digits.bytes().all(|b| b.is_ascii_alphanumeric())
        })
}

#[cfg(test)]
mod tests {
    use time::macros::utc_datetime;

    use super::*;
    use crate::keys::SigningKey;
    use crate::lab::nodes::Information;
    use crate::lab::store::Store;
    use crate::lab::tags::Tags;

    fn refused(asked: Value) -> String {
        let asked = serde_json::from_value(asked).unwrap();
        let now = utc_datetime!(2026-11-22 00:00);
        let store = Store::in_memory(&"us-east-1".parse().unwrap()).unwrap();
        describe(&Nodes::new(&store), &Hosts::new(&store), &asked, now)
            .unwrap_err()
            .code
            .into_owned()
    }

    fn by(key: &str, values: &[&str]) -> Value {
        json!({ "Key": key, "Values": values })
    }

    /// Five nodes, and the EC2 instance, which has pinged.
    fn known(now: UtcDateTime) -> (Nodes, Hosts) {
        let store = Store::in_memory(&"us-east-1".parse().unwrap()).unwrap();
        let (mut nodes, hosts) = (Nodes::new(&store), Hosts::new(&store));
        for number in 0..5 {
            nodes.insert(&node(number, now)).unwrap();
        }
        hosts.ping(INSTANCE_ID, Information::default(), now).unwrap();
        (nodes, hosts)
    }

    /// The ids of each page.
    fn pages((nodes, hosts): &(Nodes, Hosts), asked: &Value, now: UtcDateTime) -> Vec<Vec<String>> {
        let mut pages = Vec::new();
        let mut next = Value::Null;
        while pages.is_empty() || !next.is_null() {
            let mut asked = asked.clone();
            asked["NextToken"] = next;
            let asked = serde_json::from_value(asked).unwrap();
            let mut answer = describe(nodes, hosts, &asked, now).unwrap();
            next = answer["NextToken"].take();
            let list = answer["InstanceInformationList"].as_array().unwrap();
            let id = |one: &Value| one["InstanceId"].as_str().unwrap().to_owned();
            pages.push(list.iter().map(id).collect());
        }
        pages
    }

    fn node(number: u8, now: UtcDateTime) -> Node {
        Node {
            id: format!("mi-{number:017x}").parse().unwrap(),
            fingerprint: "f6699b39-9f9a-4a34-8cea-d81c17d5fa4d".to_owned(),
            public_key: SigningKey::generate().unwrap().public_key(),
            key_changes: 0,
            asked_for_new_key: false,
            activation_id: String::new(),
            iam_role: "Role".to_owned(),
            name: None,
            tags: Tags::default(),
            registered_at: now,
            last_ping: None,
        }
    }

    #[test]
    fn an_ec2_instance_comes_last_and_on_a_page_of_its_own_if_need_be() {
        let now = utc_datetime!(2026-11-22 00:00);
        let known = known(now);
        let pages = |asked: &Value| pages(&known, asked, now);
        let sizes = |asked: Value| pages(&asked).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes(json!({})), [6]);
        assert_eq!(sizes(json!({ "MaxResults": 5 })), [5, 1]);
        assert_eq!(pages(&json!({ "MaxResults": 5 }))[1], [INSTANCE_ID]);
        let by = |key: &str, value: &str| json!({ "Filters": [by(key, &[value])] });
        assert_eq!(pages(&by("ResourceType", "EC2Instance")), [[INSTANCE_ID]]);
        assert_eq!(pages(&by("SourceTypes", "AWS::EC2::Instance")), [[INSTANCE_ID]]);
        assert_eq!(pages(&by("PingStatus", "Online")), [[INSTANCE_ID]]);
        assert_eq!(pages(&by("InstanceIds", INSTANCE_ID)), [[INSTANCE_ID]]);
        assert_eq!(sizes(by("ResourceType", "ManagedInstance")), [5]);
        assert_eq!(sizes(by("IamRole", "Role")), [5]);
    }

    #[test]
    fn every_filter_of_the_model_is_known() {
        for key in OLDER_KEYS.into_iter().chain(["SourceIds", "SourceTypes", "tag-key", "tag:OS"]) {
            assert!(Property::read(key).is_some(), "{key}");
        }
    }

    #[test]
    fn odd_filters_are_refused_as_the_service_does() {
        for (filter, code) in [
            (by("PlatformType", &["Linux"]), "InvalidFilterKey"),
            (by("tag:", &["Linux"]), "InvalidFilterKey"),
            (by("PlatformTypes", &["BeOS"]), "InvalidInstanceInformationFilterValue"),
            (by("ResourceType", &["Document"]), "InvalidInstanceInformationFilterValue"),
            (
                by("ResourceType", &["EC2Instance", "ManagedInstance"]),
                "InvalidInstanceInformationFilterValue",
            ),
            (by("InstanceIds", &["web-1"]), "InvalidInstanceId"),
            (by("IamRole", &[]), "ValidationException"),
            (by("", &["x"]), "ValidationException"),
            (json!({ "Key": "IamRole" }), "ValidationException"),
        ] {
            assert_eq!(refused(json!({ "Filters": [filter] })), code, "{filter}");
        }
    }

    #[test]
    fn the_older_list_knows_no_tags_and_stands_alone() {
        let older = |key: &str| json!([{ "key": key, "valueSet": ["Role"] }]);
        let asked = json!({ "InstanceInformationFilterList": older("tag:OS") });
        assert_eq!(refused(asked), "ValidationException");
        let both = json!({
            "InstanceInformationFilterList": older("IamRole"), "Filters": [by("IamRole", &["Role"])],
        });
        assert_eq!(refused(both), "ValidationException");
    }

    #[test]
    fn tags_and_other_filters_do_not_mix() {
        let asked = json!({ "Filters": [by("tag:OS", &["Debian"]), by("IamRole", &["Role"])] });
        assert_eq!(refused(asked), "ValidationException");
        assert_eq!(refused(json!({ "MaxResults": 4 })), "ValidationException");
    }
}
