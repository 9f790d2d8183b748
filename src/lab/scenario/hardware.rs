//! What a machine of a scenario is made of, in the words of somebody who has it in a rack.

use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::net::Ipv4Addr;

/// A machine's hardware; what is not given is usual, or stays as it was.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hardware {
    /// Drawn when the system is installed: 32 hexadecimal digits.
    pub machine_id: Option<String>,
    pub hostname: Option<String>,
    pub firmware: Option<String>,
    pub model: Option<String>,
    pub processor: Option<String>,
    pub memory_gib: Option<u32>,
    /// The disks' serial numbers.
    pub disks: Option<Vec<String>>,
    /// Ethernet cards.
    pub cards: Option<Vec<Card>>,
    /// Interfaces that software makes: bridges of containers, tunnels.
    pub software: Option<Vec<Software>>,
}

/// An Ethernet card with its address.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    pub name: String,
    pub mac: String,
    pub address: Ipv4Addr,
}

/// An interface that no card is behind.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Software {
    pub name: String,
    pub address: Ipv4Addr,
}

/// The most of one kind that a machine may have.
const MOST: usize = 16;

impl Hardware {
    /// This, and `base` where this says nothing.
    pub fn over(&self, base: &Hardware) -> Hardware {
        Hardware {
            machine_id: self.machine_id.clone().or_else(|| base.machine_id.clone()),
            hostname: self.hostname.clone().or_else(|| base.hostname.clone()),
            firmware: self.firmware.clone().or_else(|| base.firmware.clone()),
            model: self.model.clone().or_else(|| base.model.clone()),
            processor: self.processor.clone().or_else(|| base.processor.clone()),
            memory_gib: self.memory_gib.or(base.memory_gib),
            disks: self.disks.clone().or_else(|| base.disks.clone()),
            cards: self.cards.clone().or_else(|| base.cards.clone()),
            software: self.software.clone().or_else(|| base.software.clone()),
        }
    }

    /// A whole machine that has nothing in common with one of another name but its make.
    pub fn of(name: &str) -> Hardware {
        let digest = Sha256::digest(name);
        let hex = hex::encode(digest);
        Hardware {
            machine_id: Some(hex[..32].to_owned()),
            hostname: Some(format!("{name}.example.com")),
            firmware: Some("2.5.1".to_owned()),
            model: Some("Example Server 9".to_owned()),
            processor: Some("Example Processor 8".to_owned()),
            memory_gib: Some(8),
            disks: Some(vec![format!("disk-{}", &hex[32..40])]),
            cards: Some(vec![Card {
                name: "eth0".to_owned(),
                mac: format!(
                    "02:00:{}:{}:{}:{}",
                    &hex[40..42],
                    &hex[42..44],
                    &hex[44..46],
                    &hex[46..48]
                ),
                // A network that is reserved for documentation (RFC 5737).
                address: Ipv4Addr::new(192, 0, 2, digest[24].clamp(2, 250)),
            }]),
            software: Some(Vec::new()),
        }
    }

    /// What is wrong with it, in words.
    pub fn check(&self) -> Result<(), String> {
        if let Some(id) = &self.machine_id {
            let digits = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
            require(digits, "machine_id must be 32 hexadecimal digits")?;
        }
        let texts = [&self.hostname, &self.firmware, &self.model, &self.processor];
        require(
            texts.into_iter().flatten().all(|text| is_plain(text)),
            "hostname, firmware, model and processor must be 1 to 100 printable characters",
        )?;
        require(
            self.memory_gib.is_none_or(|gib| (1..=4096).contains(&gib)),
            "memory_gib must be 1 to 4096",
        )?;
        if let Some(disks) = &self.disks {
            require(disks.len() <= MOST, "at most 16 disks")?;
            require(
                disks.iter().all(|serial| is_plain(serial)),
                "a disk's serial number must be 1 to 100 printable characters",
            )?;
        }
        let cards = self.cards.as_deref().unwrap_or_default();
        let software = self.software.as_deref().unwrap_or_default();
        require(cards.len() <= MOST && software.len() <= MOST, "at most 16 interfaces of a kind")?;
        require(
            cards.iter().all(|card| card.mac.parse::<mac_address::MacAddress>().is_ok()),
            "mac must be an Ethernet address such as 02:00:00:00:00:01",
        )?;
        let mut names = cards.iter().map(|card| &card.name).collect::<Vec<_>>();
        names.extend(software.iter().map(|one| &one.name));
        require(
            names.iter().all(|name| is_interface(name)),
            "an interface's name must be 1 to 15 letters, digits, '-', '_' and '.'",
        )?;
        names.sort();
        require(names.windows(2).all(|pair| pair[0] != pair[1]), "two interfaces have one name")
    }
}

fn require(held: bool, otherwise: &str) -> Result<(), String> {
    if held { Ok(()) } else { Err(otherwise.to_owned()) }
}

fn is_plain(text: &str) -> bool {
    (1..=100).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}

/// It becomes a directory's name.
fn is_interface(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=15).contains(&name.len()) && name.bytes().all(plain) && !name.starts_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_machine_is_whole_and_its_own() {
        let (one, other) = (Hardware::of("one"), Hardware::of("other"));
        assert_eq!((one.check(), other.check()), (Ok(()), Ok(())));
        assert_ne!(one.machine_id, other.machine_id);
        assert_ne!(one.cards, other.cards);
        assert_eq!(Hardware::default().over(&one), one);
        assert_eq!(other.over(&one), other);
    }

    #[test]
    fn what_would_leave_its_directory_is_no_interface() {
        for name in ["", "..", ".hidden", "a/b", "sixteen-letters-"] {
            assert!(!is_interface(name), "{name}");
        }
        assert!(is_interface("br-4af1") && is_interface("bond0.10"));
    }
}
