//! Activations: who may register, how many, until when.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use time::{OffsetDateTime, UtcDateTime, format_description::well_known::Rfc3339};

use super::answers::{Refusal, epoch};
use super::issue;
use super::paging::page;
use crate::host::entropy::Entropy;
use crate::pure::secret::Secret;

/// How long an activation lasts unless asked otherwise (AWS: one day).
const DEFAULT_LIFE: Duration = Duration::from_secs(24 * 3600);

/// The longest life that may be asked for (AWS: 30 days).
const LONGEST_LIFE: Duration = Duration::from_secs(30 * 24 * 3600);

/// The most machines that one activation may admit (the public API model).
const LARGEST_LIMIT: u32 = 1000;

/// Activations that are kept; past it, creating one is refused.
const CAPACITY: usize = 10_000;

#[derive(Debug, Clone)]
pub struct Activation {
    pub id: String,
    code: Secret<String>,
    /// As given; a path such as `service-role/Name` is possible.
    pub iam_role: String,
    pub description: Option<String>,
    pub default_instance_name: Option<String>,
    pub tags: Vec<Tag>,
    pub limit: u32,
    pub registrations: u32,
    pub created_at: UtcDateTime,
    pub expires_at: UtcDateTime,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Tag {
    pub key: String,
    pub value: String,
}

/// All of them, by id.
#[derive(Debug, Default)]
pub struct Activations(BTreeMap<String, Activation>);

/// `CreateActivation`'s request.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Create {
    description: Option<String>,
    default_instance_name: Option<String>,
    iam_role: Option<String>,
    registration_limit: Option<u32>,
    expiration_date: Option<Moment>,
    tags: Vec<Tag>,
}

/// `DescribeActivations`' request.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Describe {
    filters: Vec<Filter>,
    max_results: Option<usize>,
    next_token: Option<String>,
}

/// `DeleteActivation`'s request.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Delete {
    activation_id: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Filter {
    filter_key: String,
    #[serde(default)]
    filter_values: Vec<String>,
}

/// Clients write epoch seconds; the protocol allows ISO 8601 too.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Moment {
    Epoch(f64),
    Text(String),
}

impl Activations {
    pub fn get(&self, id: &str) -> Option<&Activation> {
        self.0.get(id)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Activation> {
        self.0.values()
    }

    /// Ends an activation's life now, as waiting for its expiry would. False when there is none.
    pub fn expire(&mut self, id: &str, now: UtcDateTime) -> bool {
        self.0.get_mut(id).map(|activation| activation.expires_at = now).is_some()
    }

    /// `CreateActivation`.
    pub fn create(
        &mut self,
        asked: Create,
        entropy: &dyn Entropy,
        now: UtcDateTime,
    ) -> Result<Value, Refusal> {
        let iam_role = asked
            .iam_role
            .filter(|role| (1..=64).contains(&role.len()) && role.bytes().all(is_role_character))
            .ok_or_else(|| {
                Refusal::validation("IamRole must be 1 to 64 of A-Z a-z 0-9 _+=,.@-/")
            })?;
        let limit = asked.registration_limit.unwrap_or(1);
        if !(1..=LARGEST_LIMIT).contains(&limit) {
            return Err(Refusal::validation(format!(
                "RegistrationLimit must be 1 to {LARGEST_LIMIT}"
            )));
        }
        let expires_at = match asked.expiration_date {
            Some(moment) => moment
                .at()
                .filter(|at| *at > now && *at <= now + LONGEST_LIFE)
                .ok_or_else(|| {
                    Refusal::validation("ExpirationDate must be in the future and within 30 days")
                })?,
            None => now + DEFAULT_LIFE,
        };
        if self.0.len() >= CAPACITY {
            return Err(Refusal::new(
                "LimitExceededException",
                "Too many activations; delete some",
            ));
        }
        let activation = Activation {
            id: issue::uuid(entropy).to_string(),
            code: issue::activation_code(entropy),
            iam_role,
            description: asked.description,
            default_instance_name: asked.default_instance_name,
            tags: asked.tags,
            limit,
            registrations: 0,
            created_at: now,
            expires_at,
        };
        let answer =
            json!({ "ActivationId": activation.id, "ActivationCode": activation.code.expose() });
        self.0.insert(activation.id.clone(), activation);
        Ok(answer)
    }

    /// `DescribeActivations`.
    pub fn describe(&self, asked: &Describe, now: UtcDateTime) -> Result<Value, Refusal> {
        let mut found = self.0.values().collect::<Vec<_>>();
        for filter in &asked.filters {
            let wanted = |value: &str| filter.filter_values.iter().any(|allowed| allowed == value);
            match filter.filter_key.as_str() {
                "ActivationIds" => found.retain(|activation| wanted(&activation.id)),
                "IamRole" => found.retain(|activation| wanted(&activation.iam_role)),
                "DefaultInstanceName" => found.retain(|activation| {
                    activation.default_instance_name.as_deref().is_some_and(wanted)
                }),
                _ => {
                    return Err(Refusal::new(
                        "InvalidFilter",
                        "FilterKey must be ActivationIds, IamRole or DefaultInstanceName",
                    ));
                }
            }
        }
        found.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        let (found, next_token) = page(found, asked.max_results, asked.next_token.as_deref())?;
        let list = found.into_iter().map(|one| one.describe(now)).collect::<Vec<_>>();
        let mut answer = json!({ "ActivationList": list });
        if let Some(token) = next_token {
            answer["NextToken"] = token.into();
        }
        Ok(answer)
    }

    /// `DeleteActivation`. Machines that it admitted stay.
    pub fn delete(&mut self, asked: &Delete) -> Result<Value, Refusal> {
        let id = asked.activation_id.as_deref().unwrap_or_default();
        if id.len() != 36 {
            return Err(Refusal::new("InvalidActivationId", "The activation ID is not valid"));
        }
        self.0
            .remove(id)
            .map(|_| json!({}))
            .ok_or_else(|| Refusal::new("InvalidActivation", "There is no such activation"))
    }

    /// Whether this activation admits one more machine. Nothing is counted yet.
    pub fn check(
        &self,
        id: &str,
        code: &Secret<String>,
        now: UtcDateTime,
    ) -> Result<&Activation, Refusal> {
        let activation = self.0.get(id).filter(|found| found.code == *code).ok_or_else(|| {
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
    pub fn count_registration(&mut self, id: &str) {
        if let Some(activation) = self.0.get_mut(id) {
            activation.registrations += 1;
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
            "Tags": self.tags.iter()
                .map(|tag| json!({ "Key": tag.key, "Value": tag.value }))
                .collect::<Vec<_>>(),
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

fn is_role_character(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_+=,.@-/".contains(&byte)
}

#[cfg(test)]
mod tests {
    use time::macros::utc_datetime;

    use super::*;
    use crate::host::entropy::SystemEntropy;

    const NOW: UtcDateTime = utc_datetime!(2026-11-22 00:00);

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
        let mut activations = Activations::default();
        let (id, code) = create(&mut activations, json!({ "IamRole": "Role" })).unwrap();
        assert!(activations.check(&id, &code, NOW).is_ok());
        let later = activations.check(&id, &code, NOW + DEFAULT_LIFE).unwrap_err();
        assert_eq!(later.code, "ActivationExpired");
        activations.count_registration(&id);
        let full = activations.check(&id, &code, NOW).unwrap_err();
        assert_eq!(full.code, "RegistrationLimitExceeded");
        let wrong = activations.check(&id, &Secret::new("x".repeat(20)), NOW).unwrap_err();
        assert_eq!(wrong.code, "InvalidActivation");
    }

    #[test]
    fn expiry_can_be_hurried() {
        let mut activations = Activations::default();
        let (id, code) = create(&mut activations, json!({ "IamRole": "Role" })).unwrap();
        assert!(activations.expire(&id, NOW));
        assert_eq!(activations.check(&id, &code, NOW).unwrap_err().code, "ActivationExpired");
    }

    #[test]
    fn odd_wishes_are_refused() {
        let mut activations = Activations::default();
        for asked in [
            json!({}),
            json!({ "IamRole": "" }),
            json!({ "IamRole": "a b" }),
            json!({ "IamRole": "Role", "RegistrationLimit": 0 }),
            json!({ "IamRole": "Role", "RegistrationLimit": 1001 }),
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
        let mut activations = Activations::default();
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
        let odd = describe(json!({ "Filters": [{ "FilterKey": "Colour" }] })).unwrap_err();
        assert_eq!(odd.code, "InvalidFilter");
    }
}
