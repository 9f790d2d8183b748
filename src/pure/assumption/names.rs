//! Names that STS takes, parsed once, at the edge.

use std::fmt;
use std::str::FromStr;

use crate::pure::identity::{Ec2InstanceId, InstanceId};

/// A role by its ARN: `arn:aws:iam::111122223333:role/path/name`, in any partition.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RoleArn(String);

/// A managed policy by its ARN: `arn:aws:iam::aws:policy/ReadOnlyAccess`, or one of an account.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PolicyArn(String);

/// What a session is called in `GetCallerIdentity` and CloudTrail.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SessionName(String);

/// Who is behind a session, for as long as the chain goes on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SourceIdentity(String);

/// What a role of somebody else's account may want to hear. Not a secret (IAM user guide, "Access to
/// AWS accounts owned by third parties").
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ExternalId(String);

/// A name that the service would refuse.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} '{name}': expected {expected}")]
pub struct MalformedRoleName {
    what: &'static str,
    name: String,
    expected: &'static str,
}

/// The longest ARN.
const LONGEST_ARN: usize = 2048;

/// The longest session name and source identity.
const LONGEST_NAME: usize = 64;

impl SessionName {
    /// A session that is told apart by the machine, as the registered role's own is.
    pub fn of_instance(id: &InstanceId) -> Self {
        let characters = id.as_str().chars().take(LONGEST_NAME);
        Self(characters.collect())
    }

    /// The same for an EC2 instance; its profile's session has that name, too.
    pub fn of_ec2_instance(id: &Ec2InstanceId) -> Self {
        Self(id.to_string())
    }
}

/// For a machine that has no name of its own at AWS.
impl Default for SessionName {
    fn default() -> Self {
        Self("rolekeeper".to_owned())
    }
}

impl RoleArn {
    /// The twelve digits of the account that has the role.
    pub fn account_id(&self) -> &str {
        self.0.split(':').nth(4).unwrap_or_default()
    }
}

impl FromStr for RoleArn {
    type Err = MalformedRoleName;

    fn from_str(text: &str) -> Result<Self, MalformedRoleName> {
        let expected = "an ARN such as arn:aws:iam::111122223333:role/backup";
        let account = |id: &str| id.len() == 12 && id.bytes().all(|b| b.is_ascii_digit());
        check("role", text, expected, is_arn(text, account, "role/")).map(Self)
    }
}

impl FromStr for PolicyArn {
    type Err = MalformedRoleName;

    fn from_str(text: &str) -> Result<Self, MalformedRoleName> {
        let expected = "an ARN such as arn:aws:iam::aws:policy/ReadOnlyAccess";
        let account =
            |id: &str| id == "aws" || (id.len() == 12 && id.bytes().all(|b| b.is_ascii_digit()));
        check("policy", text, expected, is_arn(text, account, "policy/")).map(Self)
    }
}

impl FromStr for SessionName {
    type Err = MalformedRoleName;

    fn from_str(text: &str) -> Result<Self, MalformedRoleName> {
        let expected = "2 to 64 letters, digits and _+=,.@-";
        check("session name", text, expected, is_name(text)).map(Self)
    }
}

impl FromStr for SourceIdentity {
    type Err = MalformedRoleName;

    fn from_str(text: &str) -> Result<Self, MalformedRoleName> {
        let expected = "2 to 64 letters, digits and _+=,.@-, without 'aws:' in front";
        check("source identity", text, expected, is_name(text)).map(Self)
    }
}

impl FromStr for ExternalId {
    type Err = MalformedRoleName;

    fn from_str(text: &str) -> Result<Self, MalformedRoleName> {
        let expected = "2 to 1224 letters, digits and _+=,.@:/-";
        let plain = |b: u8| is_name_character(b) || b":/".contains(&b);
        let fits = (2..=1224).contains(&text.len()) && text.bytes().all(plain);
        check("external id", text, expected, fits).map(Self)
    }
}

/// `arn:PARTITION:iam::ACCOUNT:KIND/NAME`, the name with its path.
fn is_arn(text: &str, account: impl Fn(&str) -> bool, kind: &str) -> bool {
    let parts = text.splitn(6, ':').collect::<Vec<_>>();
    let [arn, partition, service, region, id, resource] = parts[..] else { return false };
    let name = resource.strip_prefix(kind).unwrap_or_default();
    let plain = |b: u8| b.is_ascii_graphic();
    arn == "arn"
        && partition.starts_with("aws")
        && partition.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
        && (service, region) == ("iam", "")
        && account(id)
        && !name.is_empty()
        && !name.ends_with('/')
        && name.bytes().all(plain)
        && text.len() <= LONGEST_ARN
}

fn is_name(text: &str) -> bool {
    (2..=LONGEST_NAME).contains(&text.len()) && text.bytes().all(is_name_character)
}

/// `[\w+=,.@-]`
fn is_name_character(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte)
}

fn check(
    what: &'static str,
    text: &str,
    expected: &'static str,
    fits: bool,
) -> Result<String, MalformedRoleName> {
    if fits {
        Ok(text.to_owned())
    } else {
        let name = text.chars().take(80).collect();
        Err(MalformedRoleName { what, name, expected })
    }
}

macro_rules! text {
    ($($name:ident)*) => {$(
        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

text!(RoleArn PolicyArn SessionName SourceIdentity ExternalId);
