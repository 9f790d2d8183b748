//! The records as they stand in their files. `RegistrationKey` and `InstanceFingerprint` have the
//! names and the order of the reference agent's vault: compact JSON, empty strings present.

use std::collections::BTreeMap;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize, Serializer};
use time::UtcDateTime;
use zeroize::Zeroizing;

use crate::keys::SigningKey;
use crate::pure::fingerprint::{HardwareHash, SimilarityThreshold};
use crate::pure::identity::{Fingerprint, InstanceId, Region};
use crate::pure::key_rotation::Step;
use crate::pure::secret::Secret;

use super::error::Damage;
use super::{FingerprintRecord, PendingRegistration, Registration, StagedKey, date};

/// No record is longer; nothing longer is read or written.
pub(super) const MOST_BYTES: usize = 64 * 1024;

/// `privateKeyType`: the only kind of key that the service registers.
pub(super) const RSA: &str = "Rsa";

/// The records that a vault can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Record {
    Ec2RegistrationKey,
    RegistrationKey,
    InstanceFingerprint,
    PendingRegistration,
    StagedKey,
    SubstituteFingerprint,
}

/// What a record's file holds, and what that means.
pub(super) trait Stored: Serialize + DeserializeOwned {
    const RECORD: Record;
    type Value;

    /// Checked and parsed. `None` for the empty record that the reference agent's `-clear` leaves.
    fn value(&self) -> Result<Option<Self::Value>, Damage>;
}

/// `RegistrationKey`: who this machine is to the service. All members are strings, none is left out.
#[derive(Serialize, Deserialize)]
pub(super) struct RegistrationKey {
    #[serde(rename = "instanceID", default)]
    pub instance_id: String,
    #[serde(default)]
    pub region: String,
    /// Empty outside EC2, as the two others of this kind.
    #[serde(rename = "instanceType", default)]
    pub instance_type: String,
    #[serde(rename = "availabilityZone", default)]
    pub availability_zone: String,
    #[serde(rename = "privateKey", default = "empty_secret", serialize_with = "expose")]
    pub private_key: Secret<String>,
    #[serde(rename = "publicKey", default)]
    pub public_key: String,
    #[serde(rename = "privateKeyType", default)]
    pub private_key_type: String,
    #[serde(rename = "privateKeyCreatedDate", default)]
    pub private_key_created_date: String,
}

/// `InstanceFingerprint`, and `SubstituteFingerprint` beside it.
#[derive(Serialize, Deserialize)]
pub(super) struct InstanceFingerprint {
    #[serde(default)]
    pub fingerprint: String,
    #[serde(rename = "hardwareHash", default)]
    pub hardware_hash: Option<BTreeMap<String, String>>,
    #[serde(rename = "similarityThreshold", default)]
    pub similarity_threshold: i64,
}

/// The same layout in a file of its own.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct SubstituteFingerprint(pub InstanceFingerprint);

/// `PendingRegistration`: the journal of a registration under way. It holds the two records that
/// the registration will become; the id is empty until the service has said yes.
#[derive(Serialize, Deserialize)]
pub(super) struct Journal {
    #[serde(rename = "registrationKey")]
    pub registration_key: RegistrationKey,
    #[serde(rename = "instanceFingerprint")]
    pub instance_fingerprint: InstanceFingerprint,
    #[serde(rename = "acceptedDate", default)]
    pub accepted_date: String,
}

/// `StagedKey`: the key that is to replace the registration's.
#[derive(Serialize, Deserialize)]
pub(super) struct Staged {
    pub step: StagedStep,
    #[serde(rename = "privateKey", serialize_with = "expose")]
    pub private_key: Secret<String>,
    #[serde(rename = "privateKeyType")]
    pub private_key_type: String,
    #[serde(rename = "privateKeyCreatedDate", default)]
    pub private_key_created_date: String,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum StagedStep {
    Staged,
    Published,
}

impl Record {
    pub const ALL: [Record; 6] = [
        Record::Ec2RegistrationKey,
        Record::RegistrationKey,
        Record::InstanceFingerprint,
        Record::PendingRegistration,
        Record::StagedKey,
        Record::SubstituteFingerprint,
    ];

    /// Its file's name.
    pub fn name(self) -> &'static str {
        match self {
            Record::Ec2RegistrationKey => "EC2RegistrationKey",
            Record::RegistrationKey => "RegistrationKey",
            Record::InstanceFingerprint => "InstanceFingerprint",
            Record::PendingRegistration => "PendingRegistration",
            Record::StagedKey => "StagedKey",
            Record::SubstituteFingerprint => "SubstituteFingerprint",
        }
    }

    /// The record that `path` is the file of.
    pub fn at(path: &Path) -> Option<Record> {
        let name = path.file_name()?;
        Record::ALL.into_iter().find(|record| record.name() == name)
    }
}

/// Reads a record's text. An error tells the place and never quotes the text.
pub(super) fn decode<R: Stored>(text: &[u8]) -> Result<R, Damage> {
    serde_json::from_slice(text)
        .map_err(|error| Damage::Json { line: error.line(), column: error.column() })
}

/// A record's text, in memory that is wiped and never moved.
pub(super) fn encode<R: Stored>(record: &R) -> Result<Zeroizing<Vec<u8>>, Damage> {
    let mut text = Zeroizing::new(vec![0; MOST_BYTES]);
    let mut rest = text.as_mut_slice();
    // Strings and integers always have a JSON form: only the room can be too small.
    serde_json::to_writer(&mut rest, record).map_err(|_| Damage::TooLong)?;
    let written = MOST_BYTES - rest.len();
    text.truncate(written);
    Ok(text)
}

impl RegistrationKey {
    /// Without an id: the service has not given one yet.
    fn unregistered(
        region: &Region,
        signing_key: &SigningKey,
        key_created_at: Option<UtcDateTime>,
    ) -> Self {
        Self {
            instance_id: String::new(),
            region: region.to_string(),
            instance_type: String::new(),
            availability_zone: String::new(),
            private_key: signing_key.encode(),
            public_key: String::new(),
            private_key_type: RSA.into(),
            private_key_created_date: date_text(key_created_at),
        }
    }

    fn is_blank(&self) -> bool {
        self.instance_id.is_empty() && self.region.is_empty() && self.private_key == empty_secret()
    }
}

impl Stored for RegistrationKey {
    const RECORD: Record = Record::RegistrationKey;
    type Value = Registration;

    fn value(&self) -> Result<Option<Registration>, Damage> {
        if self.is_blank() {
            return Ok(None);
        }
        Ok(Some(Registration {
            instance_id: parse("instanceID", &self.instance_id)?,
            region: parse("region", &self.region)?,
            signing_key: signing_key(&self.private_key, &self.private_key_type)?,
            key_created_at: date::parse(&self.private_key_created_date),
        }))
    }
}

impl InstanceFingerprint {
    pub fn new(record: &FingerprintRecord) -> Self {
        Self {
            fingerprint: record.fingerprint.to_string(),
            hardware_hash: Some(record.hardware_hash.to_names()),
            similarity_threshold: record.threshold.as_i64(),
        }
    }
}

impl Stored for InstanceFingerprint {
    const RECORD: Record = Record::InstanceFingerprint;
    type Value = FingerprintRecord;

    fn value(&self) -> Result<Option<FingerprintRecord>, Damage> {
        if self.fingerprint.is_empty() && self.hardware_hash.is_none() {
            return Ok(None);
        }
        let names = self.hardware_hash.as_ref().ok_or(Damage::Empty { member: "hardwareHash" })?;
        Ok(Some(FingerprintRecord {
            fingerprint: parse::<Fingerprint>("fingerprint", &self.fingerprint)?,
            hardware_hash: HardwareHash::from_names(names).map_err(member("hardwareHash"))?,
            threshold: threshold(self.similarity_threshold)?,
        }))
    }
}

impl Stored for SubstituteFingerprint {
    const RECORD: Record = Record::SubstituteFingerprint;
    type Value = FingerprintRecord;

    fn value(&self) -> Result<Option<FingerprintRecord>, Damage> {
        self.0.value()
    }
}

impl Journal {
    pub fn new(pending: &PendingRegistration) -> Self {
        Self {
            registration_key: RegistrationKey::unregistered(
                &pending.region,
                &pending.signing_key,
                pending.key_created_at,
            ),
            instance_fingerprint: InstanceFingerprint::new(&pending.fingerprint),
            accepted_date: String::new(),
        }
    }

    /// The id that the service gave; `None` while it has not answered.
    pub fn accepted(&self) -> Result<Option<InstanceId>, Damage> {
        match self.registration_key.instance_id.as_str() {
            "" => Ok(None),
            id => parse("instanceID", id).map(Some),
        }
    }
}

impl Stored for Journal {
    const RECORD: Record = Record::PendingRegistration;
    type Value = PendingRegistration;

    fn value(&self) -> Result<Option<PendingRegistration>, Damage> {
        let key = &self.registration_key;
        self.accepted()?;
        Ok(Some(PendingRegistration {
            region: parse("region", &key.region)?,
            signing_key: signing_key(&key.private_key, &key.private_key_type)?,
            key_created_at: date::parse(&key.private_key_created_date),
            fingerprint: self
                .instance_fingerprint
                .value()?
                .ok_or(Damage::Empty { member: "instanceFingerprint" })?,
        }))
    }
}

impl Staged {
    pub fn new(staged: &StagedKey) -> Self {
        Self {
            step: staged.step.into(),
            private_key: staged.signing_key.encode(),
            private_key_type: RSA.into(),
            private_key_created_date: date_text(staged.key_created_at),
        }
    }
}

impl Stored for Staged {
    const RECORD: Record = Record::StagedKey;
    type Value = StagedKey;

    fn value(&self) -> Result<Option<StagedKey>, Damage> {
        Ok(Some(StagedKey {
            step: self.step.into(),
            signing_key: signing_key(&self.private_key, &self.private_key_type)?,
            key_created_at: date::parse(&self.private_key_created_date),
        }))
    }
}

impl From<Step> for StagedStep {
    fn from(step: Step) -> Self {
        match step {
            Step::Staged => StagedStep::Staged,
            Step::Published => StagedStep::Published,
        }
    }
}

impl From<StagedStep> for Step {
    fn from(step: StagedStep) -> Self {
        match step {
            StagedStep::Staged => Step::Staged,
            StagedStep::Published => Step::Published,
        }
    }
}

/// The reference agent writes 0 after it met a corrupt record, and 0 accepts any hardware of the
/// same machine-id. The default was meant, and is what is read.
fn threshold(number: i64) -> Result<SimilarityThreshold, Damage> {
    match number {
        0 => Ok(SimilarityThreshold::default()),
        _ => SimilarityThreshold::try_from(number).map_err(member("similarityThreshold")),
    }
}

pub(super) fn signing_key(text: &Secret<String>, kind: &str) -> Result<SigningKey, Damage> {
    if kind != RSA {
        return Err(Damage::Member {
            member: "privateKeyType",
            problem: format!("expected {RSA}"),
        });
    }
    SigningKey::decode(text).map_err(member("privateKey"))
}

pub(super) fn parse<T>(name: &'static str, text: &str) -> Result<T, Damage>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    if text.is_empty() {
        return Err(Damage::Empty { member: name });
    }
    text.parse().map_err(member(name))
}

fn member<E: std::fmt::Display>(name: &'static str) -> impl Fn(E) -> Damage {
    move |problem| Damage::Member { member: name, problem: problem.to_string() }
}

pub(super) fn date_text(at: Option<UtcDateTime>) -> String {
    at.map(date::format).unwrap_or_default()
}

pub(super) fn empty_secret() -> Secret<String> {
    Secret::new(String::new())
}

/// A private key's way into its file.
pub(super) fn expose<S: Serializer>(
    secret: &Secret<String>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose())
}
