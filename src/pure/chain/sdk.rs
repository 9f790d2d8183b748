//! What each AWS SDK does, as far as its public source says: in which order it looks, which variables
//! name its profile, and whether it reads a file again.

use std::fmt;
use std::str::FromStr;

use super::link::{Place, Source};

/// An SDK whose order is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Sdk {
    /// The AWS CLI, both generations: botocore, in a new process each time.
    AwsCli,
    /// boto3, botocore and what is built on them.
    Boto3,
    Cpp,
    /// Version 4; version 3 differs in what it does first with a web identity.
    DotNet,
    /// Version 2.
    Go,
    /// Version 2.
    Java,
    /// Version 3, in Node.js.
    JavaScript,
    Php,
    Ruby,
    Rust,
}

/// Whether what a credentials file holds is looked at again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rereads {
    /// Once in a process's life.
    Never,
    /// A process lives for one command.
    EachRun,
    /// So often, in minutes.
    Every(u32),
}

/// An SDK's habits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Habits {
    /// Where it looks, in its order.
    pub order: &'static [(Source, Place)],
    /// The variables that name the profile; the first that is set counts.
    pub profile: &'static [&'static str],
    pub access_key_id: &'static [&'static str],
    pub secret_access_key: &'static [&'static str],
    /// The variables that name the region; the first that is set counts, and all come before the profile.
    pub region: &'static [&'static str],
    /// Whether EC2's metadata service is asked for the region at last.
    pub region_of_metadata: bool,
    pub rereads: Rereads,
    /// What an environment's profile does that no file has.
    pub missing_profile: MissingProfile,
    /// Whether a file that botocore's parser does not take makes it fail.
    pub refuses_files: bool,
    /// Whether an access key without its secret ends the search.
    pub half_a_pair_ends_it: bool,
    /// Whether keys in the environment are passed over when the environment names a profile.
    pub profile_before_keys: bool,
    /// Whether the home directory comes from the account database where `HOME` is not set.
    pub home_of_the_account: bool,
    /// Whether a profile that is configured in two ways at once is passed over.
    pub one_way_alone: bool,
    /// Whether releases are still about, as Debian 12's, that know nothing of a token file, or of an
    /// endpoint's port (docs/consumers.md).
    pub learnt_endpoints_late: bool,
    /// Whether `[default]` of the config file counts, or `[profile default]` alone.
    pub bare_default: bool,
    /// Whether of `[default]` and `[profile default]` the later counts.
    pub last_default: bool,
    /// Whether a variable for the profile that is set to nothing names one: that of no name.
    pub blank_profile: bool,
    /// How it reads the variables for the shared files.
    pub paths: PathHabits,
}

/// How an SDK reads `AWS_CONFIG_FILE` and its sibling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathHabits {
    /// Whether `~/` is the home directory.
    pub tilde: bool,
    /// Whether `$HOME` is.
    pub variables: bool,
    /// Whether one that is set to nothing leads nowhere, instead of to the usual place.
    pub blank_is_one: bool,
}

/// A profile that the environment names and no file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingProfile {
    /// The SDK fails before it has looked anywhere.
    EndsAll,
    /// It fails when it comes to the profile.
    EndsThere,
    /// It looks on behind the profile.
    PassedOver,
}

use Place::{ConfigFile, CredentialsFile, Environment, Profile};
use Source::{
    AssumedRole, Container, InstanceMetadata, Keys, LoginSession, Process, SingleSignOn,
    WebIdentity,
};

/// botocore 1.44, `create_credential_resolver` and `ProfileProviderBuilder.providers`. Left out are
/// the files of its forerunners, `AWS_CREDENTIAL_FILE` and `~/.boto`. Keys of `config` come last.
const BOTOCORE: &[(Source, Place)] = &[
    (Keys, Environment),
    (AssumedRole, Profile),
    (WebIdentity, Environment),
    (WebIdentity, Profile),
    (SingleSignOn, Profile),
    (Keys, CredentialsFile),
    (LoginSession, Profile),
    (Process, Profile),
    (Keys, ConfigFile),
    (Container, Environment),
    (InstanceMetadata, Environment),
];

/// aws-sdk-cpp, `DefaultAWSCredentialsProviderChain`: its profile provider reads the credentials file
/// alone, its process and SSO providers the config file.
const CPP: &[(Source, Place)] = &[
    (Keys, Environment),
    (Keys, CredentialsFile),
    (Process, ConfigFile),
    (WebIdentity, Environment),
    (WebIdentity, ConfigFile),
    (SingleSignOn, ConfigFile),
    (Container, Environment),
    (InstanceMetadata, Environment),
];

/// aws-sdk-net v4, `DefaultAWSCredentialsIdentityResolver`, and `CredentialProfileTypeDetector` for
/// what a profile is.
const DOT_NET: &[(Source, Place)] = &[
    (Keys, Environment),
    (WebIdentity, Environment),
    (SingleSignOn, Profile),
    (WebIdentity, Profile),
    (AssumedRole, Profile),
    (Process, Profile),
    (Keys, Profile),
    (Container, Environment),
    (InstanceMetadata, Environment),
];

/// aws-sdk-go-v2, `config/resolve_credentials.go`: `resolveCredentialChain`, then
/// `resolveCredsFromProfile`.
const GO: &[(Source, Place)] = &[
    (Keys, Environment),
    (WebIdentity, Environment),
    (AssumedRole, Profile),
    (Keys, Profile),
    (WebIdentity, Profile),
    (SingleSignOn, Profile),
    (Process, Profile),
    (Container, Environment),
    (InstanceMetadata, Environment),
];

/// aws-sdk-java-v2, `DefaultCredentialsProvider`, and `ProfileCredentialsUtils` for the profile. Its
/// system properties, which come first, are not seen from outside.
const JAVA: &[(Source, Place)] = &[
    (Keys, Environment),
    (WebIdentity, Environment),
    (WebIdentity, Profile),
    (SingleSignOn, Profile),
    (AssumedRole, Profile),
    (LoginSession, Profile),
    (Process, Profile),
    (Keys, Profile),
    (Container, Environment),
    (InstanceMetadata, Environment),
];

/// aws-sdk-js-v3, `credential-provider-node/defaultProvider`, and `credential-provider-ini`'s
/// `resolveProfileData` for the profile.
const JAVA_SCRIPT: &[(Source, Place)] = &[
    (Keys, Environment),
    (AssumedRole, Profile),
    (Keys, Profile),
    (WebIdentity, Profile),
    (Process, Profile),
    (SingleSignOn, Profile),
    (LoginSession, Profile),
    (WebIdentity, Environment),
    (Container, Environment),
    (InstanceMetadata, Environment),
];

/// aws-sdk-php, `CredentialProvider::defaultProvider`: first all of the credentials file, then the
/// config file, whose sections it finds only with their prefix.
const PHP: &[(Source, Place)] = &[
    (Keys, Environment),
    (WebIdentity, Environment),
    (WebIdentity, Profile),
    (SingleSignOn, ConfigFile),
    (Process, CredentialsFile),
    (AssumedRole, CredentialsFile),
    (Keys, CredentialsFile),
    (Process, ConfigFile),
    (AssumedRole, ConfigFile),
    (Keys, ConfigFile),
    (Container, Environment),
    (InstanceMetadata, Environment),
];

/// aws-sdk-ruby, `credential_provider_chain.rb`.
const RUBY: &[(Source, Place)] = &[
    (Keys, Environment),
    (WebIdentity, Environment),
    (WebIdentity, ConfigFile),
    (SingleSignOn, Profile),
    (AssumedRole, Profile),
    (Keys, Profile),
    (Process, Profile),
    (Container, Environment),
    (InstanceMetadata, Environment),
];

/// aws-config 1.13, `default_provider/credentials.rs`, and `profile/credentials/repr.rs` for the
/// profile: a process comes before keys.
const RUST: &[(Source, Place)] = &[
    (Keys, Environment),
    (AssumedRole, Profile),
    (WebIdentity, Profile),
    (SingleSignOn, Profile),
    (LoginSession, Profile),
    (Process, Profile),
    (Keys, Profile),
    (WebIdentity, Environment),
    (Container, Environment),
    (InstanceMetadata, Environment),
];

/// What most SDKs have in common.
const COMMON: Habits = Habits {
    order: BOTOCORE,
    profile: &["AWS_PROFILE"],
    access_key_id: &["AWS_ACCESS_KEY_ID"],
    secret_access_key: &["AWS_SECRET_ACCESS_KEY"],
    region: &["AWS_REGION"],
    region_of_metadata: false,
    rereads: Rereads::Never,
    missing_profile: MissingProfile::PassedOver,
    refuses_files: false,
    half_a_pair_ends_it: false,
    profile_before_keys: false,
    home_of_the_account: true,
    one_way_alone: false,
    learnt_endpoints_late: false,
    bare_default: true,
    last_default: false,
    blank_profile: false,
    paths: PathHabits { tilde: true, variables: false, blank_is_one: false },
};

const REGION_OR_DEFAULT: &[&str] = &["AWS_REGION", "AWS_DEFAULT_REGION"];

impl Sdk {
    pub const ALL: [Self; 10] = [
        Self::AwsCli,
        Self::Boto3,
        Self::Cpp,
        Self::DotNet,
        Self::Go,
        Self::Java,
        Self::JavaScript,
        Self::Php,
        Self::Ruby,
        Self::Rust,
    ];

    /// As it is typed and printed in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::AwsCli => "aws-cli",
            Self::Boto3 => "boto3",
            Self::Cpp => "cpp",
            Self::DotNet => "dotnet",
            Self::Go => "go",
            Self::Java => "java",
            Self::JavaScript => "javascript",
            Self::Php => "php",
            Self::Ruby => "ruby",
            Self::Rust => "rust",
        }
    }

    /// As it is called in a sentence.
    pub fn title(self) -> &'static str {
        match self {
            Self::AwsCli => "the AWS CLI",
            Self::Boto3 => "boto3 (botocore)",
            Self::Cpp => "the AWS SDK for C++",
            Self::DotNet => "the AWS SDK for .NET",
            Self::Go => "the AWS SDK for Go v2",
            Self::Java => "the AWS SDK for Java v2",
            Self::JavaScript => "the AWS SDK for JavaScript v3",
            Self::Php => "the AWS SDK for PHP",
            Self::Ruby => "the AWS SDK for Ruby",
            Self::Rust => "the AWS SDK for Rust",
        }
    }

    pub fn habits(self) -> Habits {
        match self {
            // Both name their profile by AWS_DEFAULT_PROFILE first (`configprovider.py`).
            Self::AwsCli => Habits {
                rereads: Rereads::EachRun,
                // Version 2; the first does as botocore.
                region: REGION_OR_DEFAULT,
                region_of_metadata: true,
                learnt_endpoints_late: true,
                ..Self::Boto3.habits()
            },
            Self::Boto3 => Habits {
                profile: &["AWS_DEFAULT_PROFILE", "AWS_PROFILE"],
                // `BOTOCORE_DEFAUT_SESSION_VARIABLES` of `configprovider.py`.
                region: &["AWS_DEFAULT_REGION"],
                missing_profile: MissingProfile::EndsAll,
                refuses_files: true,
                half_a_pair_ends_it: true,
                last_default: true,
                blank_profile: true,
                paths: PathHabits { tilde: true, variables: true, blank_is_one: true },
                ..COMMON
            },
            // `REFRESH_THRESHOLD` of AWSCredentialsProvider.h; the profile by `GetConfigProfileName`.
            Self::Cpp => Habits {
                order: CPP,
                profile: &["AWS_DEFAULT_PROFILE", "AWS_PROFILE"],
                // `calculateRegion` of ClientConfiguration.cpp; without one it goes to us-east-1.
                region: &["AWS_DEFAULT_REGION", "AWS_REGION"],
                region_of_metadata: true,
                rereads: Rereads::Every(5),
                ..COMMON
            },
            // Only the newest releases of version 4 watch the files, and which is not to be seen.
            Self::DotNet => Habits {
                order: DOT_NET,
                region_of_metadata: true,
                secret_access_key: &["AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY"],
                missing_profile: MissingProfile::EndsThere,
                one_way_alone: true,
                ..COMMON
            },
            Self::Go => Habits {
                order: GO,
                region: REGION_OR_DEFAULT,
                profile: &["AWS_PROFILE", "AWS_DEFAULT_PROFILE"],
                access_key_id: &["AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY"],
                secret_access_key: &["AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY"],
                missing_profile: MissingProfile::EndsAll,
                learnt_endpoints_late: true,
                paths: PathHabits { tilde: false, ..COMMON.paths },
                ..COMMON
            },
            Self::Java => Habits {
                order: JAVA,
                region_of_metadata: true,
                blank_profile: true,
                paths: PathHabits { blank_is_one: true, ..COMMON.paths },
                ..COMMON
            },
            Self::JavaScript => Habits { order: JAVA_SCRIPT, profile_before_keys: true, ..COMMON },
            Self::Php => {
                Habits { order: PHP, home_of_the_account: false, bare_default: false, ..COMMON }
            }
            Self::Ruby => Habits {
                order: RUBY,
                profile: &["AWS_PROFILE", "AWS_DEFAULT_PROFILE"],
                access_key_id: &["AWS_ACCESS_KEY_ID", "AMAZON_ACCESS_KEY_ID", "AWS_ACCESS_KEY"],
                secret_access_key: &[
                    "AWS_SECRET_ACCESS_KEY",
                    "AMAZON_SECRET_ACCESS_KEY",
                    "AWS_SECRET_KEY",
                ],
                region: &["AWS_REGION", "AMAZON_REGION", "AWS_DEFAULT_REGION"],
                learnt_endpoints_late: true,
                ..COMMON
            },
            Self::Rust => Habits {
                order: RUST,
                region: REGION_OR_DEFAULT,
                region_of_metadata: true,
                secret_access_key: &["AWS_SECRET_ACCESS_KEY", "SECRET_ACCESS_KEY"],
                home_of_the_account: false,
                blank_profile: true,
                paths: PathHabits { blank_is_one: true, ..COMMON.paths },
                ..COMMON
            },
        }
    }
}

/// A name that is none of [`Sdk::ALL`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected one of aws-cli, boto3, cpp, dotnet, go, java, javascript, php, ruby, rust")]
pub struct UnknownSdk;

impl FromStr for Sdk {
    type Err = UnknownSdk;

    fn from_str(text: &str) -> Result<Self, UnknownSdk> {
        Self::ALL.into_iter().find(|sdk| sdk.name() == text).ok_or(UnknownSdk)
    }
}

impl fmt::Display for Sdk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.title())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sdk_is_named_by_its_name_and_in_the_message() {
        for sdk in Sdk::ALL {
            assert_eq!(sdk.name().parse(), Ok(sdk));
            assert!(UnknownSdk.to_string().contains(sdk.name()));
        }
        assert_eq!("perl".parse::<Sdk>(), Err(UnknownSdk));
    }

    #[test]
    fn every_order_begins_with_the_environments_keys_and_ends_with_the_metadata_service() {
        for sdk in Sdk::ALL {
            let order = sdk.habits().order;
            assert_eq!(order.first(), Some(&(Keys, Environment)), "{sdk}");
            assert_eq!(order.last(), Some(&(InstanceMetadata, Environment)), "{sdk}");
            assert!(order.contains(&(Container, Environment)), "{sdk}");
            assert!(order.iter().any(|(source, _)| *source == Process), "{sdk}");
        }
    }
}
