//! Who this machine is to Systems Manager: names that are parsed once, at the edge.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use super::secret::Secret;

/// A managed instance's id: `mi-` and, today, 17 hexadecimal digits.
///
/// The API model asks for at least 10 characters and the number of digits is not documented, so any
/// 7 to 121 letters and digits are taken. Nothing that could break a header, a path or a record is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InstanceId(String);

/// An EC2 instance's id: `i-` and 8 or 17 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Ec2InstanceId(String);

/// An AWS region's name, as `eu-central-1`.
///
/// The same bounds as the reference agent's: letters, digits and hyphens, at most 100 characters;
/// in addition at least two hyphens and a final digit, which every region has and few typing errors
/// keep.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Region(String);

/// The public half of an activation: a UUID of 36 characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ActivationId(String);

/// The secret half of an activation: 20 to 250 characters (the bounds of the public API model).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActivationCode(Secret<String>);

/// The one-time admission by which a machine registers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activation {
    pub id: ActivationId,
    pub code: ActivationCode,
}

/// The random UUID that the service knows this machine by. Not the hardware hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(Uuid);

/// A name that has the wrong shape. The message says what was expected and never repeats a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MalformedName {
    #[error("activation code: expected 20 to 250 printable characters without spaces, got {0}")]
    ActivationCode(usize),
    #[error("EC2 instance id '{0}': expected 'i-' and 8 or 17 hexadecimal digits")]
    Ec2InstanceId(String),
    #[error("activation id '{0}': expected a UUID such as 01234567-89ab-4cde-8f01-23456789abcd")]
    ActivationId(String),
    #[error("fingerprint '{0}': expected a UUID")]
    Fingerprint(String),
    #[error(
        "instance id '{0}': expected 'mi-' and letters or digits, such as mi-0123456789abcdef0"
    )]
    InstanceId(String),
    #[error("region '{0}': expected a name such as eu-central-1")]
    Region(String),
}

impl InstanceId {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for InstanceId {
    type Err = MalformedName;

    fn from_str(text: &str) -> Result<Self, MalformedName> {
        let well_formed = text.strip_prefix("mi-").is_some_and(|digits| {
            (7..=121).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_alphanumeric())
        });
        if well_formed {
            Ok(Self(text.to_owned()))
        } else {
            Err(MalformedName::InstanceId(excerpt(text)))
        }
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Ec2InstanceId {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Ec2InstanceId {
    type Err = MalformedName;

    fn from_str(text: &str) -> Result<Self, MalformedName> {
        let digit = |b: u8| b.is_ascii_digit() || matches!(b, b'a'..=b'f');
        let digits = text.strip_prefix("i-").filter(|digits| digits.bytes().all(digit));
        match digits.map(str::len) {
            Some(8 | 17) => Ok(Self(text.to_owned())),
            _ => Err(MalformedName::Ec2InstanceId(excerpt(text))),
        }
    }
}

impl fmt::Display for Ec2InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Region {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Region {
    type Err = MalformedName;

    fn from_str(text: &str) -> Result<Self, MalformedName> {
        let characters =
            text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        let parts = text.split('-').collect::<Vec<_>>();
        let shaped = parts.len() >= 3
            && parts.iter().all(|part| !part.is_empty())
            && parts.last().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
        if characters && shaped && text.len() <= 100 {
            Ok(Self(text.to_owned()))
        } else {
            Err(MalformedName::Region(excerpt(text)))
        }
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl ActivationId {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ActivationId {
    type Err = MalformedName;

    fn from_str(text: &str) -> Result<Self, MalformedName> {
        match (text.len(), Uuid::try_parse(text)) {
            (36, Ok(_)) => Ok(Self(text.to_owned())),
            _ => Err(MalformedName::ActivationId(excerpt(text))),
        }
    }
}

impl fmt::Display for ActivationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl ActivationCode {
    /// Takes the code, with or without the newline that a file or a pipe ends in.
    pub fn parse(text: Secret<String>) -> Result<Self, MalformedName> {
        let code = text.expose().trim_end_matches(['\r', '\n']);
        if (20..=250).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_graphic()) {
            Ok(Self(Secret::new(code.to_owned())))
        } else {
            Err(MalformedName::ActivationCode(code.chars().count()))
        }
    }

    /// The code, for the one request that carries it.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl Fingerprint {
    /// A version-4 UUID from 16 random bytes.
    pub fn from_random_bytes(bytes: [u8; 16]) -> Self {
        Self(uuid::Builder::from_random_bytes(bytes).into_uuid())
    }
}

impl FromStr for Fingerprint {
    type Err = MalformedName;

    fn from_str(text: &str) -> Result<Self, MalformedName> {
        Uuid::try_parse(text).map(Self).map_err(|_| MalformedName::Fingerprint(excerpt(text)))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.as_hyphenated())
    }
}

/// What an error may repeat of a text that did not parse: its beginning, on one line.
fn excerpt(text: &str) -> String {
    text.chars().take(60).flat_map(char::escape_default).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_of_every_partition_parse() {
        for name in
            ["eu-central-1", "us-gov-west-1", "cn-north-1", "us-iso-east-1", "eusc-de-east-1"]
        {
            assert_eq!(name.parse::<Region>().unwrap().as_str(), name);
        }
    }

    #[test]
    fn regions_with_typing_errors_do_not() {
        for name in [
            "",
            "eu",
            "eu-central",
            "eu-central-",
            "EU-central-1",
            "eu_central_1",
            "eu-central-1 ",
            "x.y-z-1",
        ] {
            assert!(name.parse::<Region>().is_err(), "{name:?}");
        }
    }

    #[test]
    fn instance_ids_are_managed_instances_only() {
        assert!("mi-0123456789abcdef0".parse::<InstanceId>().is_ok());
        for text in ["i-0123456789abcdef0", "mi-", "mi-12 456789", "mi-0123456789abcdef0\n"] {
            assert!(text.parse::<InstanceId>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn ec2_instances_have_ids_of_two_lengths() {
        for text in ["i-1234567890abcdef0", "i-1234abcd"] {
            assert_eq!(text.parse::<Ec2InstanceId>().unwrap().as_str(), text);
        }
        for text in ["mi-0123456789abcdef0", "i-", "i-1234567890abcdeg0", "i-1234abcd\n", "i-123"] {
            assert!(text.parse::<Ec2InstanceId>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_code_loses_the_newline_of_its_file_and_nothing_else() {
        let code = ActivationCode::parse(Secret::new("ABCDEFGHIJKLMNOPQRST\n".into())).unwrap();
        assert_eq!(code.expose(), "ABCDEFGHIJKLMNOPQRST");
        assert!(ActivationCode::parse(Secret::new("ABCDEFGHIJ KLMNOPQRST".into())).is_err());
        assert!(ActivationCode::parse(Secret::new("short".into())).is_err());
    }

    #[test]
    fn a_refused_code_is_not_repeated() {
        let error = ActivationCode::parse(Secret::new("sesame".into())).unwrap_err();
        assert!(!error.to_string().contains("sesame"));
    }

    #[test]
    fn fingerprints_are_version_4_uuids_in_lower_case() {
        let fingerprint = Fingerprint::from_random_bytes([0xff; 16]);
        assert_eq!(fingerprint.to_string(), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }
}
