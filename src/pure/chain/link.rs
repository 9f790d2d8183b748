//! A link of the chain: what kind of credentials, and where they are looked for.

use serde::Serialize;

/// What kind of credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// An access key and its secret, as they stand there.
    Keys,
    /// A role for a token in a file, by STS.
    WebIdentity,
    /// A role for other credentials, by STS.
    AssumedRole,
    /// IAM Identity Center.
    SingleSignOn,
    /// What `aws login` left.
    LoginSession,
    /// What a command prints: `credential_process`.
    Process,
    /// A container's endpoint.
    Container,
    /// EC2's metadata service, or one like it.
    InstanceMetadata,
}

/// Where they are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    Environment,
    /// The profile as both files together give it, the credentials file first.
    Profile,
    CredentialsFile,
    ConfigFile,
}

impl Source {
    /// As it is called in a line of its own.
    pub fn title(self) -> &'static str {
        match self {
            Self::Keys => "keys",
            Self::WebIdentity => "web identity",
            Self::AssumedRole => "assumed role",
            Self::SingleSignOn => "single sign-on",
            Self::LoginSession => "login session",
            Self::Process => "credential_process",
            Self::Container => "container endpoint",
            Self::InstanceMetadata => "instance metadata",
        }
    }
}

impl Place {
    pub fn title(self) -> &'static str {
        match self {
            Self::Environment => "environment",
            Self::Profile => "profile",
            Self::CredentialsFile => "credentials file",
            Self::ConfigFile => "config file",
        }
    }
}
