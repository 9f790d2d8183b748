//! Whether a program sees our renewals, by where it takes its credentials from.

use core::net::SocketAddr;
use std::path::PathBuf;

use super::{Found, Rereads, Sdk, Walk, shown};

/// What this installation hands out, and where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Installation {
    /// The credentials files.
    pub outlets: Vec<Outlet>,
    pub container: Option<SocketAddr>,
    pub metadata: Option<SocketAddr>,
}

/// A credentials file that the daemon keeps fresh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outlet {
    pub name: String,
    pub path: PathBuf,
    pub profile: String,
}

/// What becomes of a program when its credentials come to an end. Each with its reason, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// The credentials are ours, and it sees each renewal.
    Renewed(String),
    /// It goes on with what it has.
    NotRenewed(String),
    /// Somebody else renews its credentials, which are not ours.
    Elsewhere(String),
    /// It has none.
    Nothing(String),
    /// It depends on an SDK that is not known.
    Untold(String),
}

/// Judges what a walk found.
pub fn judge(walk: &Walk, installation: &Installation) -> Judgement {
    match walk.used() {
        Some(found) => judge_found(found, walk.sdk, installation),
        None => Judgement::Nothing(
            walk.end().map_or_else(|| format!("{} finds none", walk.sdk), str::to_owned),
        ),
    }
}

fn judge_found(found: &Found, sdk: Sdk, installation: &Installation) -> Judgement {
    let asks = "asks again before they end";
    match found {
        Found::EnvironmentKeys { .. } => Judgement::NotRenewed(
            "keys in the environment stay as they are for as long as the program runs".to_owned(),
        ),
        Found::FileKeys { path, profile, .. } => {
            let ours = installation
                .outlets
                .iter()
                .find(|outlet| outlet.path == *path && outlet.profile == *profile);
            judge_file(ours, sdk)
        }
        Found::AssumedRole { base } => judge_found(base, sdk, installation),
        Found::WebIdentity { .. } => Judgement::Elsewhere(
            "STS gives new credentials for a token that is not ours".to_owned(),
        ),
        Found::SingleSignOn | Found::LoginSession => Judgement::Elsewhere(
            "a person's session renews them for as long as it lasts, and it is not ours".to_owned(),
        ),
        Found::Process(process) if process.ours => Judgement::Renewed(format!("{sdk} {asks}")),
        Found::Process(process) => Judgement::Elsewhere(format!(
            "{sdk} {asks}, but {} is not ours",
            shown(&process.program)
        )),
        Found::Container(address) => match installation.container {
            Some(ours) if address.is(ours) => at_endpoint(sdk),
            _ => Judgement::Elsewhere(format!("{sdk} {asks}, but not our endpoint")),
        },
        Found::Metadata { address, configured } => match installation.metadata {
            Some(ours) if address.is(ours) => at_endpoint(sdk),
            _ if *configured => Judgement::Elsewhere(format!("{sdk} {asks}, but not our endpoint")),
            _ => Judgement::Nothing(format!(
                "{sdk} finds none, unless this is an EC2 instance with a role"
            )),
        },
    }
}

fn at_endpoint(sdk: Sdk) -> Judgement {
    let late = if sdk.habits().learnt_endpoints_late {
        ", unless its release is too old to know the way (docs/consumers.md)"
    } else {
        ""
    };
    Judgement::Renewed(format!("{sdk} asks again before they end{late}"))
}

fn judge_file(ours: Option<&Outlet>, sdk: Sdk) -> Judgement {
    let Some(ours) = ours else {
        return Judgement::NotRenewed("these keys are not ours".to_owned());
    };
    let name = &ours.name;
    match sdk.habits().rereads {
        Rereads::Never => Judgement::NotRenewed(format!(
            "the file is our target '{name}', but {sdk} reads it once in a process's life"
        )),
        Rereads::EachRun => {
            Judgement::Renewed(format!("{sdk} reads our target '{name}' in each run"))
        }
        Rereads::Every(minutes) => Judgement::Renewed(format!(
            "{sdk} reads our target '{name}' again every {minutes} minutes"
        )),
    }
}

impl Judgement {
    /// What holds whatever the SDK is, if they all agree.
    pub fn agreed(of_each: &[Self]) -> Self {
        match of_each {
            [first, rest @ ..] if rest.iter().all(|other| other.reason() == first.reason()) => {
                first.clone()
            }
            [first, rest @ ..] if rest.iter().all(|other| other.name() == first.name()) => {
                match first {
                    Self::Renewed(_) => Self::Renewed("every SDK asks again there".to_owned()),
                    Self::NotRenewed(_) => {
                        Self::NotRenewed("of no SDK, whichever it is".to_owned())
                    }
                    Self::Elsewhere(_) => Self::Elsewhere("with every SDK".to_owned()),
                    Self::Nothing(_) => Self::Nothing("no SDK finds any".to_owned()),
                    Self::Untold(why) => Self::Untold(why.clone()),
                }
            }
            _ => Self::Untold("it depends on the SDK, which is not known".to_owned()),
        }
    }

    /// As JSON has it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Renewed(_) => "renewed",
            Self::NotRenewed(_) => "not-renewed",
            Self::Elsewhere(_) => "elsewhere",
            Self::Nothing(_) => "nothing",
            Self::Untold(_) => "untold",
        }
    }

    pub fn reason(&self) -> &str {
        match self {
            Self::Renewed(why)
            | Self::NotRenewed(why)
            | Self::Elsewhere(why)
            | Self::Nothing(why)
            | Self::Untold(why) => why,
        }
    }

    pub fn is_renewed(&self) -> bool {
        matches!(self, Self::Renewed(_))
    }
}
