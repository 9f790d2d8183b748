//! Where the daemon's own credentials come from.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Where the daemon's own credentials come from. Everything after that is the same for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// A hybrid activation of Systems Manager: a machine outside AWS.
    Hybrid,
    /// The metadata service of an EC2 instance.
    InstanceMetadata,
    /// The endpoint that ECS, EKS and CloudShell give a container.
    Container,
    /// The daemon's own environment variables.
    Environment,
}

/// A word that names no source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected \"hybrid\", \"instance-metadata\", \"container\" or \"environment\"")]
pub struct UnknownSource;

impl Source {
    pub const ALL: [Source; 4] =
        [Source::Hybrid, Source::InstanceMetadata, Source::Container, Source::Environment];

    /// The word in settings and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hybrid => "hybrid",
            Self::InstanceMetadata => "instance-metadata",
            Self::Container => "container",
            Self::Environment => "environment",
        }
    }
}

impl FromStr for Source {
    type Err = UnknownSource;

    fn from_str(text: &str) -> Result<Self, UnknownSource> {
        Self::ALL.into_iter().find(|source| source.name() == text).ok_or(UnknownSource)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_is_the_same_in_settings_and_in_json() {
        for source in Source::ALL {
            assert_eq!(source.name().parse(), Ok(source));
            assert_eq!(serde_json::to_value(source).unwrap(), source.name());
        }
        assert_eq!("imds".parse::<Source>(), Err(UnknownSource));
    }
}
