//! Is this still the machine that registered? The hardware hash then, the hardware now, and a
//! verdict with its reasons.

use std::collections::BTreeMap;

/// What is looked at, under the reference agent's names (`Attribute::name`).
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
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HardwareHash(pub BTreeMap<Attribute, String>);

/// Percent of the attributes that must agree: 1 to 100, or the check is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SimilarityThreshold {
    Disabled,
    Percent(u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Similar,
    Different,
    Disabled,
}
