//! What one look at the machine found.

use sha2::{Digest, Sha256};

use super::{Attribute, HardwareHash};

/// What one look found out about one attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// It has a value.
    Value {
        /// Lower-case hex SHA-256 of the value.
        hash: String,
        /// The value for a person's eyes, on one line, without serial numbers.
        shown: String,
    },
    /// This machine has none, as a container has no disk and many a VM no SMBIOS.
    Absent,
    /// It could not be read now, and why. Never taken for equal, never for absent.
    Unknown(String),
}

/// One look at the machine: a reading for each of the nine attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation([Reading; 9]);

impl Reading {
    /// The reading of a value in its canonical text. The text is hashed behind the attribute's name
    /// and a version, so that no value can stand for another attribute's.
    pub fn of(attribute: Attribute, canonical: &str, shown: impl Into<String>) -> Self {
        let text = format!("rolekeeper:{attribute}:v1\n{canonical}");
        Reading::Value { hash: hex::encode(Sha256::digest(text)), shown: shown.into() }
    }

    /// The hash, where there is a value.
    pub fn hash(&self) -> Option<&str> {
        match self {
            Reading::Value { hash, .. } => Some(hash),
            Reading::Absent | Reading::Unknown(_) => None,
        }
    }
}

impl Observation {
    /// Asks `read` for each attribute once, in the order of their names.
    pub fn from_fn(read: impl FnMut(Attribute) -> Reading) -> Self {
        Self(Attribute::ALL.map(read))
    }

    /// The same but for one attribute.
    #[must_use]
    pub fn with(mut self, attribute: Attribute, reading: Reading) -> Self {
        self.0[attribute as usize] = reading;
        self
    }

    pub fn get(&self, attribute: Attribute) -> &Reading {
        &self.0[attribute as usize]
    }

    /// All nine, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (Attribute, &Reading)> {
        Attribute::ALL.into_iter().zip(&self.0)
    }

    /// What could not be read, with the reason.
    pub fn unreadable(&self) -> impl Iterator<Item = (Attribute, &str)> {
        self.iter().filter_map(|(attribute, reading)| match reading {
            Reading::Unknown(reason) => Some((attribute, reason.as_str())),
            Reading::Value { .. } | Reading::Absent => None,
        })
    }

    /// The hashes of what has a value: what a record keeps of this look.
    pub fn hash(&self) -> HardwareHash {
        self.iter()
            .filter_map(|(attribute, reading)| Some((attribute, reading.hash()?.to_owned())))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_attribute_finds_its_own_reading() {
        let observation =
            Observation::from_fn(|attribute| Reading::Unknown(attribute.name().into()));
        for attribute in Attribute::ALL {
            assert_eq!(observation.get(attribute), &Reading::Unknown(attribute.name().into()));
        }
        assert_eq!(observation.unreadable().count(), 9);
        assert!(observation.hash().is_empty());
    }

    /// A change of these texts is a mismatch on every registered machine.
    #[test]
    fn the_hash_is_sha_256_behind_a_name_and_a_version() {
        let reading = Reading::of(Attribute::Hostname, "web-1\n", "web-1");
        let expected = hex::encode(Sha256::digest("rolekeeper:hostname-info:v1\nweb-1\n"));
        assert_eq!(reading.hash(), Some(expected.as_str()));
        assert_ne!(reading.hash(), Reading::of(Attribute::MachineId, "web-1\n", "web-1").hash());
    }
}
