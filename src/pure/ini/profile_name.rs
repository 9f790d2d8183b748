//! A profile's name, in the letters that every SDK reads the same way.

use std::fmt;
use std::str::FromStr;

/// 64 is what IAM allows a role's name, the longest thing that profiles are commonly named after;
/// twice that is generous.
const LONGEST: usize = 128;

/// The name of a section: letters, digits and `_ . @ / + % : -`.
///
/// Not `DEFAULT`: Python's configparser spreads that section over all others.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProfileName(String);

/// A profile name that some SDK would read differently from another.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MalformedProfile {
    #[error(
        "profile '{0}': expected 1 to 128 of the letters, digits and signs that every SDK takes \
         (A-Z a-z 0-9 _ . @ / + % : -)"
    )]
    Characters(String),
    #[error(
        "profile 'DEFAULT': Python programs spread this section over all profiles; the usual name \
         is 'default'"
    )]
    Reserved,
}

impl ProfileName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ProfileName {
    type Err = MalformedProfile;

    fn from_str(text: &str) -> Result<Self, MalformedProfile> {
        let well_formed = (1..=LONGEST).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.@/+%:-".contains(&b));
        match text {
            "DEFAULT" => Err(MalformedProfile::Reserved),
            _ if well_formed => Ok(Self(text.to_owned())),
            _ => Err(MalformedProfile::Characters(
                text.chars().take(60).flat_map(char::escape_default).collect(),
            )),
        }
    }
}

impl fmt::Display for ProfileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_every_sdk_reads_alike_parse() {
        for name in ["default", "rolekeeper", "a", "Team/prod.eu@x+y%z:w-1_2"] {
            assert_eq!(name.parse::<ProfileName>().unwrap().as_str(), name);
        }
    }

    #[test]
    fn others_do_not() {
        for name in ["", "DEFAULT", "a b", "a]", "[a", "a#", "a;b", "a=b", "ä", "a\n", "\"a\""] {
            assert!(name.parse::<ProfileName>().is_err(), "{name:?}");
        }
        assert!("x".repeat(129).parse::<ProfileName>().is_err());
    }
}
