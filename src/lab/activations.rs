//! Activations: who may register, how many, until when.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::{OffsetDateTime, UtcDateTime, format_description::well_known::Rfc3339};

use super::answers::{Refusal, epoch};
use super::constraints::{ACTIVATION_ID, Constraints, PLAIN_TEXT};
use super::issue;
use super::paging::{List, page};
use super::store::{Record, Store, StoreError, Table, moment, secret};
use super::tags::{Tag, Tags};
use crate::host::entropy::Entropy;
use crate::pure::secret::Secret;

/// How long an activation lasts unless asked otherwise (AWS: one day).
const DEFAULT_LIFE: Duration = Duration::from_secs(24 * 3600);

/// The longest life that may be asked for (AWS: 30 days).
const LONGEST_LIFE: Duration = Duration::from_secs(30 * 24 * 3600);

/// How many machines one activation may admit (the public API model).
const LIMITS: RangeInclusive<i64> = 1..=1000;

/// What `DescribeActivations` filters by.
const FILTER_KEYS: [&str; 3] = ["ActivationIds", "DefaultInstanceName", "IamRole"];

const LIST: List = List { name: "activations", sizes: 1..=50, usual: 50 };

/// Activations that are kept; past it, creating one is refused.
const CAPACITY: usize = 200_000;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Activation {
    pub id: String,
    #[serde(with = "secret")]
    code: Secret<String>,
    /// As given; a path such as `service-role/Name` is possible.
    pub iam_role: String,
    pub description: Option<String>,
    pub default_instance_name: Option<String>,
    /// Given when it was created, for good; the machines that it admits inherit them.
    pub tags: Tags,
    pub limit: u32,
    pub registrations: u32,
    #[serde(with = "moment")]
    pub created_at: UtcDateTime,
    #[serde(with = "moment")]
    pub expires_at: UtcDateTime,
}

/// All of them, by id.
#[derive(Debug)]
pub struct Activations(Table<Activation>);

/// `CreateActivation`'s request.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Create {
    description: Option<String>,
    default_instance_name: Option<String>,
    iam_role: Option<String>,
    registration_limit: Option<i64>,
    expiration_date: Option<Moment>,
    tags: Vec<Tag>,
}

/// `DescribeActivations`' request.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Describe {
    filters: Vec<Filter>,
    max_results: Option<i64>,
    next_token: Option<String>,
}

/// `DeleteActivation`'s request, and that of the lab's own expiry.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Named {
    activation_id: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Filter {
    filter_key: Option<String>,
    filter_values: Vec<String>,
}

/// Clients write epoch seconds; the protocol allows ISO 8601 too.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Moment {
    Epoch(f64),
    Text(String),
}

impl Create {
    /// The role that machines are to have, where one is named.
    pub fn role(&self) -> Option<&str> {
        self.iam_role.as_deref()
    }
}

impl Activations {
    pub fn new(store: &Store) -> Self {
        Self(store.table())
    }

    pub fn get(&self, id: &str) -> Result<Option<Activation>, StoreError> {
        self.0.get(id)
    }

    pub fn count(&self) -> Result<usize, StoreError> {
        self.0.count()
    }

    /// Those that were made last, the latest first.
    pub fn newest(&self, most: u32) -> Result<Vec<Activation>, StoreError> {
        self.0.last(most)
    }

    /// Ends an activation's life now, as waiting for its expiry would. False when there is none.
    pub fn expire(&mut self, id: &str, now: UtcDateTime) -> Result<bool, StoreError> {
        let end = |activation: &mut Activation| {
            activation.expires_at = activation.expires_at.min(now);
        };
        Ok(self.0.change(id, end)?.is_some())
    }

    /// `CreateActivation`.
    pub fn create(
        &mut self,
        asked: Create,
        entropy: &dyn Entropy,
        now: UtcDateTime,
    ) -> Result<Value, Refusal> {
        let mut constraints = Constraints::default();
        let iam_role = read_iam_role(asked.iam_role, &mut constraints);
        let description = asked.description.unwrap_or_default();
        constraints.length("description", &description, 0..=256);
        let name = asked.default_instance_name.unwrap_or_default();
        constraints.length("defaultInstanceName", &name, 0..=256);
        constraints.pattern("defaultInstanceName", &name, PLAIN_TEXT);
        let limit = asked.registration_limit.unwrap_or(*LIMITS.start());
        constraints.range("registrationLimit", limit, LIMITS);
        let wanted = Tags::read("tags", asked.tags, &mut constraints);
        constraints.check()?;
        require_role_name(&iam_role)?;
        let mut tags = Tags::default();
        tags.add(wanted)?;
        let expires_at = match asked.expiration_date {
            Some(moment) => moment
                .at()
                .filter(|at| *at > now && *at <= now + LONGEST_LIFE)
                .ok_or_else(|| {
                    Refusal::validation("ExpirationDate must be in the future and within 30 days")
                })?,
            None => now + DEFAULT_LIFE,
        };
        if self.0.count()? >= CAPACITY {
            return Err(Refusal::new(
                "LimitExceededException",
                "Too many activations; delete some",
            ));
        }
        let activation = Activation {
            id: issue::uuid(entropy).to_string(),
            code: issue::activation_code(entropy),
            iam_role,
            description: Some(description).filter(|text| !text.is_empty()),
            default_instance_name: Some(name).filter(|text| !text.is_empty()),
            tags,
            limit: u32::try_from(limit).unwrap_or(u32::MAX),
            registrations: 0,
            created_at: now,
            expires_at,
        };
        let answer =
            json!({ "ActivationId": activation.id, "ActivationCode": activation.code.expose() });
        self.0.put(&activation)?;
        Ok(answer)
    }

    /// `DescribeActivations`.
    pub fn describe(&self, asked: &Describe, now: UtcDateTime) -> Result<Value, Refusal> {
        let mut constraints = Constraints::default();
        for (index, filter) in asked.filters.iter().enumerate() {
            if let Some(key) = &filter.filter_key {
                let member = format!("filters.{}.member.filterKey", index + 1);
                constraints.one_of(&member, key, &FILTER_KEYS);
            }
        }
        constraints.check()?;
        for filter in &asked.filters {
            let lacks =
                |what: &str| Refusal::new("InvalidFilter", format!("A filter needs {what}"));
            if filter.filter_values.is_empty() {
                return Err(lacks("FilterValues"));
            }
            filter.filter_key.as_ref().ok_or_else(|| lacks("a FilterKey"))?;
        }
        let passes = |one: &Activation| asked.filters.iter().all(|filter| filter.passes(one));
        let by_id = |filter: &&Filter| filter.filter_key.as_deref() == Some("ActivationIds");
        let ids = asked.filters.iter().find(by_id).map(|filter| filter.filter_values.as_slice());
        let wish = (asked.max_results, asked.next_token.as_deref());
        let (found, next_token) = page(&LIST, &self.0, ids, passes, wish)?;
        let list = found.into_iter().map(|one| one.describe(now)).collect::<Vec<_>>();
        let mut answer = json!({ "ActivationList": list });
        if let Some(token) = next_token {
            answer["NextToken"] = token.into();
        }
        Ok(answer)
    }

    /// `DeleteActivation`. Machines that it admitted stay.
    pub fn delete(&mut self, asked: Named) -> Result<Value, Refusal> {
        let id = asked.read()?;
        if self.0.remove(&id)? { Ok(json!({})) } else { Err(unknown_activation()) }
    }

    /// The lab's own operation: [`Activations::expire`].
    pub fn expire_asked(&mut self, asked: Named, now: UtcDateTime) -> Result<Value, Refusal> {
        let id = asked.read()?;
        if self.expire(&id, now)? { Ok(json!({})) } else { Err(unknown_activation()) }
    }

    /// Whether this activation admits one more machine. Nothing is counted yet.
    pub fn check(
        &self,
        id: &str,
        code: &Secret<String>,
        now: UtcDateTime,
    ) -> Result<Activation, Refusal> {
        let activation = self.0.get(id)?.filter(|found| found.code == *code).ok_or_else(|| {
            Refusal::new("InvalidActivation", "The activation ID or the activation code is wrong")
        })?;
        if activation.expires_at <= now {
            return Err(Refusal::new("ActivationExpired", "The activation has expired"));
        }
        if activation.registrations >= activation.limit {
            return Err(Refusal::new(
                "RegistrationLimitExceeded",
                "The activation has admitted as many machines as it may",
            ));
        }
        Ok(activation)
    }

    /// Counts a machine that was admitted.
    pub fn count_registration(&mut self, id: &str) -> Result<(), StoreError> {
        self.0.change(id, |activation| activation.registrations += 1)?;
        Ok(())
    }
}

impl Named {
    /// Which activation is meant.
    fn read(self) -> Result<String, Refusal> {
        let mut constraints = Constraints::default();
        let id = constraints.required("activationId", self.activation_id);
        constraints.pattern("activationId", &id, ACTIVATION_ID);
        constraints.check()?;
        Ok(id)
    }
}

impl Record for Activation {
    const KIND: &'static str = "activation";

    fn id(&self) -> &str {
        &self.id
    }

    fn at(&self) -> UtcDateTime {
        self.created_at
    }
}

impl Filter {
    fn passes(&self, activation: &Activation) -> bool {
        let wanted = |value: &str| self.filter_values.iter().any(|allowed| allowed == value);
        match self.filter_key.as_deref() {
            Some("ActivationIds") => wanted(&activation.id),
            Some("IamRole") => wanted(&activation.iam_role),
            _ => activation.default_instance_name.as_deref().is_some_and(wanted),
        }
    }
}

impl Activation {
    fn describe(&self, now: UtcDateTime) -> Value {
        let mut value = json!({
            "ActivationId": self.id,
            "IamRole": self.iam_role,
            "RegistrationLimit": self.limit,
            "RegistrationsCount": self.registrations,
            "CreatedDate": epoch(self.created_at),
            "ExpirationDate": epoch(self.expires_at),
            "Expired": self.expires_at <= now,
            "Tags": self.tags.list(),
        });
        for (name, text) in [
            ("Description", &self.description),
            ("DefaultInstanceName", &self.default_instance_name),
        ] {
            if let Some(text) = text {
                value[name] = text.as_str().into();
            }
        }
        value
    }
}

impl Moment {
    fn at(&self) -> Option<UtcDateTime> {
        match self {
            Moment::Epoch(seconds) => {
                // A float outside the range saturates, and is then out of a date's range too.
                let nanos = (seconds * 1e9) as i128;
                UtcDateTime::from_unix_timestamp_nanos(nanos).ok()
            }
            Moment::Text(text) => {
                OffsetDateTime::parse(text, &Rfc3339).ok().map(OffsetDateTime::to_utc)
            }
        }
    }
}

fn unknown_activation() -> Refusal {
    Refusal::new("InvalidActivation", "There is no such activation")
}

/// The name of a role, as given: it may have a path before it.
pub fn read_iam_role(asked: Option<String>, constraints: &mut Constraints) -> String {
    let role = constraints.required("iamRole", asked);
    constraints.length("iamRole", &role, 0..=64);
    role
}

/// The model bounds the length alone; a role that cannot exist is turned down all the same.
pub fn require_role_name(role: &str) -> Result<(), Refusal> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-/".contains(&byte);
    if !role.is_empty() && role.bytes().all(allowed) {
        Ok(())
    } else {
        Err(Refusal::validation("IamRole must be the name of a role: A-Z a-z 0-9 _+=,.@-/"))
    }
}

#[cfg(test)]
mod tests {
    use time::macros::utc_datetime;

    use super::*;
    use crate::host::entropy::SystemEntropy;

    const NOW: UtcDateTime = utc_datetime!(2026-11-22 00:00);

    fn activations() -> Activations {
        Activations::new(&Store::in_memory(&"us-east-1".parse().unwrap()).unwrap())
    }

    fn create(
        activations: &mut Activations,
        asked: Value,
    ) -> Result<(String, Secret<String>), Refusal> {
        let asked = serde_json::from_value(asked).unwrap();
        let answer = activations.create(asked, &SystemEntropy, NOW)?;
        let text = |name: &str| answer[name].as_str().unwrap().to_owned();
        Ok((text("ActivationId"), Secret::new(text("ActivationCode"))))
    }

    #[test]
    fn a_limit_and_an_expiry_hold() {
        let mut activations = activations();
        let (id, code) = create(&mut activations, json!({ "IamRole": "Role" })).unwrap();
        assert!(activations.check(&id, &code, NOW).is_ok());
        let later = activations.check(&id, &code, NOW + DEFAULT_LIFE).unwrap_err();
        assert_eq!(later.code, "ActivationExpired");
        activations.count_registration(&id).unwrap();
        let full = activations.check(&id, &code, NOW).unwrap_err();
        assert_eq!(full.code, "RegistrationLimitExceeded");
        let wrong = activations.check(&id, &Secret::new("x".repeat(20)), NOW).unwrap_err();
        assert_eq!(wrong.code, "InvalidActivation");
    }

    #[test]
    fn expiry_can_be_hurried() {
        let mut activations = activations();
        let (id, code) = create(&mut activations, json!({ "IamRole": "Role" })).unwrap();
        assert!(activations.expire(&id, NOW).unwrap());
        assert_eq!(activations.check(&id, &code, NOW).unwrap_err().code, "ActivationExpired");
    }

    #[test]
    fn odd_wishes_are_refused() {
        let mut activations = activations();
        for asked in [
            json!({}),
            json!({ "IamRole": "" }),
            json!({ "IamRole": "a b" }),
            json!({ "IamRole": "Role", "RegistrationLimit": 0 }),
            json!({ "IamRole": "Role", "RegistrationLimit": -1 }),
            json!({ "IamRole": "Role", "RegistrationLimit": 1001 }),
            json!({ "IamRole": "R".repeat(65) }),
            json!({ "IamRole": "Role", "Description": "d".repeat(257) }),
            json!({ "IamRole": "Role", "DefaultInstanceName": "50%" }),
            json!({ "IamRole": "Role", "Tags": [{ "Key": "OS" }] }),
            json!({ "IamRole": "Role", "Tags": [{ "Key": "aws:OS", "Value": "" }] }),
            json!({ "IamRole": "Role", "ExpirationDate": 1 }),
            json!({ "IamRole": "Role", "ExpirationDate": 1e300 }),
            json!({ "IamRole": "Role", "ExpirationDate": "tomorrow" }),
        ] {
            let refusal = create(&mut activations, asked.clone()).unwrap_err();
            assert_eq!(refusal.code, "ValidationException", "{asked}");
        }
    }

    #[test]
    fn descriptions_are_filtered_and_show_no_code() {
        let mut activations = activations();
        let asked =
            json!({ "IamRole": "service-role/One", "ExpirationDate": "2026-11-23T00:00:00Z" });
        let (id, code) = create(&mut activations, asked).unwrap();
        create(&mut activations, json!({ "IamRole": "Two" })).unwrap();
        let describe =
            |filters: Value| activations.describe(&serde_json::from_value(filters).unwrap(), NOW);
        let all = describe(json!({})).unwrap();
        assert_eq!(all["ActivationList"].as_array().unwrap().len(), 2);
        assert!(!all.to_string().contains(code.expose().as_str()));
        let one = describe(json!({
            "Filters": [{ "FilterKey": "ActivationIds", "FilterValues": [id] }]
        }))
        .unwrap();
        assert_eq!(one["ActivationList"][0]["IamRole"], "service-role/One");
        assert_eq!(one["ActivationList"][0]["ExpirationDate"], 1_795_392_000);
        for (odd, code) in [
            (json!({ "FilterKey": "Colour", "FilterValues": ["red"] }), "ValidationException"),
            (json!({ "FilterKey": "IamRole", "FilterValues": [] }), "InvalidFilter"),
            (json!({ "FilterValues": ["red"] }), "InvalidFilter"),
        ] {
            assert_eq!(describe(json!({ "Filters": [odd] })).unwrap_err().code, code);
        }
    }

    #[test]
    fn thirty_days_are_the_most_and_a_millisecond_more_is_refused() {
        let mut activations = activations();
        let mut at = |end: UtcDateTime| {
            let seconds = end.unix_timestamp_nanos() / 1_000_000;
            let asked = json!({ "IamRole": "Role", "ExpirationDate": seconds as f64 / 1000.0 });
            create(&mut activations, asked)
        };
        assert!(at(NOW + LONGEST_LIFE).is_ok());
        assert!(at(NOW + LONGEST_LIFE + Duration::from_millis(1)).is_err());
        assert!(at(NOW).is_err());
    }

    #[test]
    fn an_activation_is_deleted_once() {
        let mut activations = activations();
        let (id, code) = create(&mut activations, json!({ "IamRole": "Role" })).unwrap();
        let mut delete = |id: &str| activations.delete(Named { activation_id: Some(id.into()) });
        assert_eq!(delete("foo").unwrap_err().code, "ValidationException");
        assert!(delete(&id).is_ok());
        assert_eq!(delete(&id).unwrap_err().code, "InvalidActivation");
        assert!(activations.check(&id, &code, NOW).is_err());
    }
}
