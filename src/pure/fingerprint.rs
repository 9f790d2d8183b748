//! Is this still the machine that registered? The hardware hash then, the hardware now, and a
//! verdict with its reasons.
//!
//! The fingerprint itself is a random UUID (`pure::identity::Fingerprint`). The hardware hash never
//! leaves the machine; it only decides whether that UUID may still be used here.

mod observation;
mod similarity;
mod threshold;

use std::collections::BTreeMap;
use std::fmt;

pub use observation::{Observation, Reading};
pub use similarity::{Agreement, Contribution, Rule, Similarity, Verdict, compare};
pub use threshold::{InvalidThreshold, SimilarityThreshold};

/// What is looked at, under the reference agent's names ([`Attribute::name`]), in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Attribute {
    Bios,
    Disk,
    Hostname,
    IpAddress,
    MacAddress,
    MachineId,
    Memory,
    Processor,
    System,
}

/// Attribute to lower-case hex SHA-256 of its reading. Not the fingerprint, which is random.
///
/// A record of the reference agent holds that agent's values instead. They are kept as they are, and
/// agree with nothing that is read here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HardwareHash(BTreeMap<Attribute, String>);

/// A record names an attribute that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown hardware attribute '{0}'")]
pub struct UnknownAttribute(String);

impl Attribute {
    /// All nine, in the order of their names.
    pub const ALL: [Attribute; 9] = [
        Attribute::Bios,
        Attribute::Disk,
        Attribute::Hostname,
        Attribute::IpAddress,
        Attribute::MacAddress,
        Attribute::MachineId,
        Attribute::Memory,
        Attribute::Processor,
        Attribute::System,
    ];

    /// The name in the vault's record and in every report.
    pub fn name(self) -> &'static str {
        match self {
            Attribute::Bios => "bios-hash",
            Attribute::Disk => "disk-info",
            Attribute::Hostname => "hostname-info",
            Attribute::IpAddress => "ipaddress-info",
            Attribute::MacAddress => "macaddr-info",
            Attribute::MachineId => "machine-id",
            Attribute::Memory => "memory-hash",
            Attribute::Processor => "processor-hash",
            Attribute::System => "system-hash",
        }
    }

    /// The attribute of that name.
    ///
    /// # Errors
    ///
    /// There is none.
    pub fn from_name(name: &str) -> Result<Self, UnknownAttribute> {
        Self::ALL.into_iter().find(|attribute| attribute.name() == name).ok_or_else(|| {
            UnknownAttribute(name.chars().take(60).flat_map(char::escape_default).collect())
        })
    }
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl HardwareHash {
    /// From a record: an empty string means that nothing was recorded.
    ///
    /// # Errors
    ///
    /// The first name that is no attribute's.
    pub fn from_names(names: &BTreeMap<String, String>) -> Result<Self, UnknownAttribute> {
        names.iter().map(|(name, hash)| Ok((Attribute::from_name(name)?, hash.clone()))).collect()
    }

    /// For a record: always nine names, with an empty string for what was not recorded, as the
    /// reference agent writes.
    pub fn to_names(&self) -> BTreeMap<String, String> {
        let hash = |attribute| self.get(attribute).unwrap_or_default().to_owned();
        Attribute::ALL.map(|attribute| (attribute.name().to_owned(), hash(attribute))).into()
    }

    /// What was recorded for `attribute`.
    pub fn get(&self, attribute: Attribute) -> Option<&str> {
        self.0.get(&attribute).map(String::as_str)
    }

    /// What was recorded, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (Attribute, &str)> {
        self.0.iter().map(|(attribute, hash)| (*attribute, hash.as_str()))
    }

    /// Nothing was recorded.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(Attribute, String)> for HardwareHash {
    fn from_iter<I: IntoIterator<Item = (Attribute, String)>>(entries: I) -> Self {
        Self(entries.into_iter().filter(|(_, hash)| !hash.is_empty()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_attributes_are_sorted_by_name_and_found_by_name() {
        assert!(Attribute::ALL.is_sorted());
        assert!(Attribute::ALL.map(Attribute::name).is_sorted());
        for attribute in Attribute::ALL {
            assert_eq!(Attribute::from_name(attribute.name()), Ok(attribute));
        }
        assert_eq!(Attribute::from_name("uuid"), Err(UnknownAttribute("uuid".into())));
    }

    #[test]
    fn a_record_keeps_nine_names_and_empty_strings_mean_not_recorded() {
        let hash = HardwareHash::from_iter([
            (Attribute::MachineId, "ab".into()),
            (Attribute::Disk, String::new()),
        ]);
        let names = hash.to_names();
        assert_eq!(names.len(), 9);
        assert_eq!(names["machine-id"], "ab");
        assert_eq!(names["disk-info"], "");
        assert_eq!(HardwareHash::from_names(&names), Ok(hash.clone()));
        assert_eq!(hash.iter().collect::<Vec<_>>(), [(Attribute::MachineId, "ab")]);
    }

    #[test]
    fn a_record_with_another_name_is_refused() {
        let names = BTreeMap::from([("gpu-info".to_owned(), "ab".to_owned())]);
        let error = HardwareHash::from_names(&names).unwrap_err();
        assert_eq!(error.to_string(), "unknown hardware attribute 'gpu-info'");
    }
}
