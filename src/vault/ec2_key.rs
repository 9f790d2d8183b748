//! The key of an EC2 instance under Default Host Management. It stands in a record of its own, beside a
//! registration that the machine may have besides; an image that was made of the instance holds it too,
//! so that another instance's is kept aside and never used.

use serde::{Deserialize, Serialize};
use time::UtcDateTime;

use crate::keys::SigningKey;
use crate::pure::identity::{Ec2InstanceId, Region};
use crate::pure::secret::Secret;

use super::error::{Damage, VaultError};
use super::records::{RSA, Record, Stored, date_text, empty_secret, expose, parse, signing_key};
use super::{Vault, VaultReader, date};

/// Which instance it is of, and whether the service has it.
#[derive(Debug, Clone)]
pub struct Ec2Key {
    pub instance_id: Ec2InstanceId,
    pub signing_key: SigningKey,
    pub registered: bool,
}

/// `EC2RegistrationKey`: the members of a `RegistrationKey` that mean something here, and the date on
/// which the service took the key; empty until then.
#[derive(Serialize, Deserialize)]
pub(super) struct Ec2RegistrationKey {
    #[serde(rename = "instanceID", default)]
    instance_id: String,
    #[serde(default)]
    region: String,
    #[serde(rename = "privateKey", default = "empty_secret", serialize_with = "expose")]
    private_key: Secret<String>,
    #[serde(rename = "privateKeyType", default)]
    private_key_type: String,
    #[serde(rename = "privateKeyCreatedDate", default)]
    private_key_created_date: String,
    #[serde(rename = "registeredDate", default)]
    registered_date: String,
}

impl Stored for Ec2RegistrationKey {
    const RECORD: Record = Record::Ec2RegistrationKey;
    type Value = Ec2Key;

    fn value(&self) -> Result<Option<Ec2Key>, Damage> {
        Ok(Some(Ec2Key {
            instance_id: parse("instanceID", &self.instance_id)?,
            signing_key: signing_key(&self.private_key, &self.private_key_type)?,
            registered: !self.registered_date.is_empty(),
        }))
    }
}

impl VaultReader {
    /// The key of an EC2 instance, which may be another one than this.
    pub fn ec2_key(&self) -> Result<Option<Ec2Key>, VaultError> {
        self.get::<Ec2RegistrationKey>()
    }
}

impl Vault {
    /// Makes a key durable, before the service hears of it. That of another instance is kept aside.
    pub fn stage_ec2_key(
        &mut self,
        instance_id: &Ec2InstanceId,
        region: &Region,
        key: &SigningKey,
        now: UtcDateTime,
    ) -> Result<(), VaultError> {
        let record = Ec2RegistrationKey {
            instance_id: instance_id.to_string(),
            region: region.to_string(),
            private_key: key.encode(),
            private_key_type: RSA.to_owned(),
            private_key_created_date: date_text(Some(now)),
            registered_date: String::new(),
        };
        self.supersede(&record, now)
    }

    /// The service has the key.
    ///
    /// # Errors
    ///
    /// `Missing` without a staged key.
    pub fn confirm_ec2_key(&mut self, now: UtcDateTime) -> Result<(), VaultError> {
        let record = self.load::<Ec2RegistrationKey>()?;
        let mut record = record.ok_or_else(|| self.missing::<Ec2RegistrationKey>())?;
        record.registered_date = date::format(now);
        self.rewrite(&record)
    }
}

#[cfg(test)]
mod tests {
    use time::macros::utc_datetime;

    use super::*;

    const NOW: UtcDateTime = utc_datetime!(2026-11-22 00:00);

    #[test]
    fn a_key_is_staged_then_confirmed_and_another_instances_is_kept_aside() {
        let directory = tempfile::tempdir().unwrap();
        let mut vault = Vault::open(directory.path()).unwrap();
        assert!(vault.ec2_key().unwrap().is_none());
        assert!(matches!(vault.confirm_ec2_key(NOW), Err(VaultError::Missing { .. })));

        let key = SigningKey::generate().unwrap();
        let region = "eu-central-1".parse().unwrap();
        let one = "i-1234567890abcdef0".parse().unwrap();
        vault.stage_ec2_key(&one, &region, &key, NOW).unwrap();
        assert!(!vault.ec2_key().unwrap().unwrap().registered);
        vault.confirm_ec2_key(NOW).unwrap();
        let kept = vault.ec2_key().unwrap().unwrap();
        assert!(kept.registered);
        assert_eq!(kept.instance_id, one);
        assert_eq!(kept.signing_key.public_key(), key.public_key());

        // The same disk, as the image of another instance.
        let other = "i-0987654321fedcba0".parse().unwrap();
        let new_key = SigningKey::generate().unwrap();
        vault.stage_ec2_key(&other, &region, &new_key, NOW).unwrap();
        let kept = vault.ec2_key().unwrap().unwrap();
        assert_eq!((kept.instance_id, kept.registered), (other, false));
        let names = std::fs::read_dir(vault.path()).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let aside = names.filter(|name| name.starts_with("EC2RegistrationKey.replaced-"));
        assert_eq!(aside.count(), 1);
    }
}
