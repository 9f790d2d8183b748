//! The account's service settings. The lab has one: the role of Default Host Management.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::UtcDateTime;
use time::macros::utc_datetime;

use super::ACCOUNT;
use super::answers::{Refusal, epoch};
use super::constraints::Constraints;
use super::store::{Store, StoreError, moment};
use crate::pure::identity::Region;

/// The role that EC2 instances without a role of their own get from Systems Manager.
const DEFAULT_HOST_ROLE: &str = "/ssm/managed-instance/default-ec2-instance-management-role";

/// What the service shows as the value of a role that is not set.
const NO_ROLE: &str = "$None";

/// When AWS introduced the setting: a default was last modified then, by `System`.
const INTRODUCED: UtcDateTime = utc_datetime!(2023-02-17 00:00);

/// The store's name for what the account changed.
const FACT: &str = "default-host-role";

/// What the account changed; nothing at first.
#[derive(Debug)]
pub struct Settings(Store);

#[derive(Debug, Serialize, Deserialize)]
struct Customized {
    value: String,
    #[serde(with = "moment")]
    at: UtcDateTime,
    by: String,
}

/// `GetServiceSetting`'s and `ResetServiceSetting`'s request.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Named {
    setting_id: Option<String>,
}

/// `UpdateServiceSetting`'s request.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Update {
    setting_id: Option<String>,
    setting_value: Option<String>,
}

impl Settings {
    pub fn new(store: &Store) -> Self {
        Self(store.clone())
    }

    /// The role of Default Host Management as it was set, perhaps with a path; none at first.
    pub fn default_host_role(&self) -> Result<Option<String>, StoreError> {
        Ok(self.customized()?.map(|custom| custom.value).filter(|value| value != NO_ROLE))
    }

    /// `GetServiceSetting`.
    pub fn get(&self, asked: Named, region: &Region) -> Result<Value, Refusal> {
        require_known(asked.setting_id, Constraints::default(), region)?;
        self.describe(region)
    }

    /// `UpdateServiceSetting`.
    pub fn update(
        &mut self,
        asked: Update,
        region: &Region,
        by: &str,
        now: UtcDateTime,
    ) -> Result<Value, Refusal> {
        let mut constraints = Constraints::default();
        let value = constraints.required("settingValue", asked.setting_value);
        constraints.length("settingValue", &value, 1..=4096);
        require_known(asked.setting_id, constraints, region)?;
        self.0.set_fact(FACT, &Some(Customized { value, at: now, by: by.to_owned() }))?;
        Ok(json!({}))
    }

    /// `ResetServiceSetting`.
    pub fn reset(&mut self, asked: Named, region: &Region) -> Result<Value, Refusal> {
        require_known(asked.setting_id, Constraints::default(), region)?;
        self.0.set_fact(FACT, &None::<Customized>)?;
        self.describe(region)
    }

    fn customized(&self) -> Result<Option<Customized>, StoreError> {
        Ok(self.0.fact::<Option<Customized>>(FACT)?.flatten())
    }

    fn describe(&self, region: &Region) -> Result<Value, Refusal> {
        let custom = self.customized()?;
        let (value, at, by, status) = match &custom {
            Some(custom) => (custom.value.as_str(), custom.at, custom.by.as_str(), "Customized"),
            None => (NO_ROLE, INTRODUCED, "System", "Default"),
        };
        Ok(json!({ "ServiceSetting": {
            "SettingId": DEFAULT_HOST_ROLE,
            "SettingValue": value,
            "LastModifiedDate": epoch(at),
            "LastModifiedUser": by,
            "ARN": arn(region),
            "Status": status,
        }}))
    }
}

/// A setting is named by its path or by its ARN.
fn require_known(
    id: Option<String>,
    mut constraints: Constraints,
    region: &Region,
) -> Result<(), Refusal> {
    let id = constraints.required("settingId", id);
    constraints.length("settingId", &id, 1..=1000);
    constraints.check()?;
    if id == DEFAULT_HOST_ROLE || id == arn(region) {
        Ok(())
    } else {
        Err(Refusal::new("ServiceSettingNotFound", "The lab has no such setting in this region"))
    }
}

fn arn(region: &Region) -> String {
    format!("arn:aws:ssm:{}:{ACCOUNT}:servicesetting{DEFAULT_HOST_ROLE}", region.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UtcDateTime = utc_datetime!(2026-11-22 00:00);

    fn settings() -> Settings {
        Settings::new(&Store::in_memory(&region()).unwrap())
    }

    fn region() -> Region {
        "us-east-1".parse().unwrap()
    }

    fn named(id: &str) -> Named {
        Named { setting_id: Some(id.to_owned()) }
    }

    #[test]
    fn the_role_is_set_shown_and_reset_by_path_or_arn() {
        let mut settings = settings();
        let by_arn = arn(&region());
        let before = settings.get(named(&by_arn), &region()).unwrap();
        assert_eq!(before["ServiceSetting"]["SettingValue"], "$None");
        assert_eq!(before["ServiceSetting"]["Status"], "Default");
        let wish = Update {
            setting_id: Some(by_arn.clone()),
            setting_value: Some("service-role/R".into()),
        };
        settings.update(wish, &region(), "arn:aws:iam::000000000000:user/a", NOW).unwrap();
        let set = settings.get(named(DEFAULT_HOST_ROLE), &region()).unwrap();
        assert_eq!(set["ServiceSetting"]["SettingValue"], "service-role/R");
        assert_eq!(set["ServiceSetting"]["Status"], "Customized");
        assert_eq!(set["ServiceSetting"]["LastModifiedUser"], "arn:aws:iam::000000000000:user/a");
        assert_eq!(set["ServiceSetting"]["LastModifiedDate"], NOW.unix_timestamp());
        assert_eq!(settings.reset(named(&by_arn), &region()).unwrap(), before);
    }

    #[test]
    fn what_is_missing_or_unknown_is_refused() {
        let mut settings = settings();
        let elsewhere = arn(&region()).replace("us-east-1", "eu-west-1");
        for id in ["/ssm/parameter-store/high-throughput-enabled", elsewhere.as_str()] {
            let refusal = settings.get(named(id), &region()).unwrap_err();
            assert_eq!(refusal.code, "ServiceSettingNotFound");
        }
        let refusal = settings.update(Update::default(), &region(), "me", NOW).unwrap_err();
        assert!(refusal.message.starts_with("2 validation errors detected"), "{}", refusal.message);
        assert_eq!(
            settings.reset(Named::default(), &region()).unwrap_err().code,
            "ValidationException"
        );
    }
}
