//! Where a program's AWS SDK takes its credentials from: the chain of places, walked as that SDK walks
//! it, over the environment and the files of that program.
//!
//! ```text
//! environment and files → walk → links, of which one is used → judge → renewed or not, by whom
//!                                                             → mend → what to set, what to take away
//! ```
//!
//! Each SDK has an order of its own ([`Sdk::habits`]); what comes first hides all that comes after it.
//! No secret gets as far as here: of an access key id its last four characters, of everything else
//! that it is set.

mod address;
mod decision;
mod dialects;
mod environment;
mod go_profile;
mod judgement;
mod link;
mod process;
mod region;
mod remedy;
mod sdk;
mod search;
mod shared_file;

pub use address::Address;
pub use dialects::Refusal;
pub use environment::{AccessKey, Environment};
pub use judgement::{Binding, Installation, Judgement, Network, Outlet, Served, judge, served};
pub use link::{Place, Source};
pub use process::{Process, Runs};
pub use region::{Region, region};
pub use remedy::{Mended, Remedy, Way, mend};
pub use sdk::{Habits, MissingProfile, PathHabits, Rereads, Sdk, UnknownSdk};
pub use shared_file::{Content, Header, Kind, Paths, Section, SharedFile};

use std::path::PathBuf;

use self::search::{Outcome, Search};

/// What a program's SDK looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surroundings {
    pub environment: Environment,
    pub credentials: SharedFile,
    pub config: SharedFile,
    /// Files that the environment or a profile names, and that are not there or not to be read.
    pub missing: Vec<PathBuf>,
    /// Programs of a `credential_process` that are not found, or may not be run.
    pub not_run: Vec<String>,
}

/// The chain, walked to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walk {
    pub sdk: Sdk,
    /// The profile that counts.
    pub profile: String,
    /// The variable that names it.
    pub profile_variable: Option<&'static str>,
    /// Why the SDK fails before it looks anywhere.
    pub failure: Option<String>,
    /// In the SDK's order.
    pub links: Vec<Link>,
}

/// One place of the chain, and what came of looking there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    pub source: Source,
    pub place: Place,
    pub verdict: Verdict,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Absent,
    /// There is something, and the SDK does not take it. In words.
    PassedOver(String),
    /// These are the credentials.
    Used(Found),
    /// It comes too late.
    Shadowed(Found),
    /// The SDK fails here, or it cannot be told what it does. In words.
    Ends(String),
}

/// Credentials, or where they come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    EnvironmentKeys {
        variable: &'static str,
        access_key: AccessKey,
    },
    FileKeys {
        path: PathBuf,
        profile: String,
        access_key: AccessKey,
    },
    WebIdentity {
        token_file: String,
    },
    AssumedRole {
        base: Box<Found>,
    },
    SingleSignOn,
    LoginSession,
    Process(Process),
    Container(Address),
    /// `configured` where somebody named the address; else it is EC2's own, there or not.
    Metadata {
        address: Address,
        configured: bool,
        /// Whether the SDK asks a proxy for it.
        proxied: bool,
    },
}

/// Walks the chain. What the first place has that has anything is used.
pub fn walk(sdk: Sdk, surroundings: &Surroundings) -> Walk {
    let search = Search::of(sdk, surroundings);
    let habits = &search.habits;
    let failure = search.failure();
    let mut over = failure.is_some();
    let mut links = Vec::with_capacity(habits.order.len());
    for &(source, place) in habits.order {
        let verdict = match search.look(source, place) {
            Outcome::Nothing => Verdict::Absent,
            Outcome::PassedOver(why) => Verdict::PassedOver(why),
            Outcome::Ends(_) if over => Verdict::Absent,
            Outcome::Ends(why) => Verdict::Ends(why),
            Outcome::Found(found) if over => Verdict::Shadowed(found),
            Outcome::Found(found) => Verdict::Used(found),
        };
        over |= matches!(verdict, Verdict::Used(_) | Verdict::Ends(_));
        links.push(Link { source, place, verdict });
    }
    Walk {
        sdk,
        profile: search.profile.to_owned(),
        profile_variable: search.variable,
        failure,
        links,
    }
}

impl Walk {
    /// The credentials that the SDK uses.
    pub fn used(&self) -> Option<&Found> {
        self.links.iter().find_map(|link| match &link.verdict {
            Verdict::Used(found) => Some(found),
            _ => None,
        })
    }

    /// What would be used, did nothing come before it. EC2's metadata service, which everybody has at
    /// the end, only where somebody named it.
    pub fn shadowed(&self) -> impl Iterator<Item = &Found> {
        self.links.iter().filter_map(|link| match &link.verdict {
            Verdict::Shadowed(found) if found.is_meant() => Some(found),
            _ => None,
        })
    }

    /// Why the SDK gets no credentials although it looked, or cannot be followed.
    pub fn end(&self) -> Option<&str> {
        let ends = self.links.iter().find_map(|link| match &link.verdict {
            Verdict::Ends(why) => Some(why.as_str()),
            _ => None,
        });
        self.failure.as_deref().or(ends)
    }
}

impl Found {
    /// Whether somebody meant it.
    pub fn is_meant(&self) -> bool {
        !matches!(self, Self::Metadata { configured: false, .. })
    }

    /// Keys that stand somewhere as they are, and what they are.
    pub fn access_key(&self) -> Option<&AccessKey> {
        match self {
            Self::EnvironmentKeys { access_key, .. } | Self::FileKeys { access_key, .. } => {
                Some(access_key)
            }
            _ => None,
        }
    }

    /// In words, on one line, without a secret.
    pub fn describe(&self) -> String {
        match self {
            Self::EnvironmentKeys { variable, access_key } => {
                format!("{variable} ({})", access_key.describe())
            }
            Self::FileKeys { path, profile, access_key } => {
                let path = shown(&path.to_string_lossy());
                format!("[{}] of {path} ({})", shown(profile), access_key.describe())
            }
            Self::WebIdentity { token_file } => format!("the token in {}", shown(token_file)),
            Self::AssumedRole { base } => format!("a role, assumed with {}", base.describe()),
            Self::SingleSignOn => "IAM Identity Center".to_owned(),
            Self::LoginSession => "a session of `aws login`".to_owned(),
            Self::Process(process) => format!("what {} prints", shown(&process.program)),
            Self::Container(address) => address.to_string(),
            Self::Metadata { address, configured: true, .. } => address.to_string(),
            Self::Metadata { address, .. } => format!("{address}, if anything answers there"),
        }
    }
}

/// A stranger's text on one line of ours, and not too much of it.
pub fn shown(text: &str) -> String {
    text.chars().take(200).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod measured;
#[cfg(test)]
mod tests;
