//! Whether a program sees our renewals, by where it takes its credentials from.

use core::net::SocketAddr;
use std::path::PathBuf;

use super::decision::IN_VAIN;
use super::{Address, Found, Process, Rereads, Runs, Sdk, Walk, shown};

/// What this installation hands out, and where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Installation {
    /// The credentials files.
    pub outlets: Vec<Outlet>,
    pub container: Option<SocketAddr>,
    pub metadata: Option<SocketAddr>,
    pub network: Network,
}

/// Whether a program is in the daemon's network namespace: each has a loopback of its own, and the
/// endpoints listen on the daemon's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Network {
    #[default]
    Shared,
    Another,
    /// It cannot be seen from here.
    Unseen,
}

/// A credentials file that the daemon keeps fresh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outlet {
    pub name: String,
    /// As the program names it.
    pub path: PathBuf,
    pub profile: String,
    pub binding: Binding,
}

/// By what a program has a file of ours. Each renewal puts a new file in the place of the old one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binding {
    /// By its name in our directory: it finds each new file.
    Name,
    /// By a mount of the file itself, which stays the one that it was.
    Mount,
    /// By another name for the old file.
    HardLink,
}

/// How a program is served that comes to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Served<'a> {
    File(&'a Outlet),
    Process(&'a Process),
    Container(&'a Address),
    Metadata,
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
    /// It comes to one of our outlets, which gives it nothing.
    Refused(String),
    /// It depends on what is not known: the SDK, or the daemon, which does not answer.
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

/// The outlet of ours where a walk ended. None where that is not ours.
pub fn served<'a>(walk: &'a Walk, installation: &'a Installation) -> Option<Served<'a>> {
    served_by(walk.used()?, installation)
}

fn served_by<'a>(found: &'a Found, installation: &'a Installation) -> Option<Served<'a>> {
    match found {
        Found::AssumedRole { base } => served_by(base, installation),
        Found::FileKeys { path, profile, .. } => {
            let of_name = |outlet: &&Outlet| outlet.path == *path && outlet.profile == *profile;
            installation.outlets.iter().find(of_name).map(Served::File)
        }
        Found::Process(process) => process.is_ours().then_some(Served::Process(process)),
        Found::Container(address) => {
            let ours = installation.container.is_some_and(|ours| address.is(ours));
            ours.then_some(Served::Container(address))
        }
        Found::Metadata { address, .. } => {
            let ours = installation.metadata.is_some_and(|ours| address.is(ours));
            ours.then_some(Served::Metadata)
        }
        Found::EnvironmentKeys { .. }
        | Found::WebIdentity { .. }
        | Found::SingleSignOn
        | Found::LoginSession => None,
    }
}

fn judge_found(found: &Found, sdk: Sdk, installation: &Installation) -> Judgement {
    let asks = "asks again before they end";
    match found {
        Found::EnvironmentKeys { .. } => Judgement::NotRenewed(
            "keys in the environment stay as they are for as long as the program runs".to_owned(),
        ),
        Found::FileKeys { .. } => match served_by(found, installation) {
            Some(Served::File(outlet)) => judge_file(outlet, sdk),
            _ => Judgement::NotRenewed("these keys are not ours".to_owned()),
        },
        Found::AssumedRole { base } => judge_found(base, sdk, installation),
        Found::WebIdentity { .. } => Judgement::Elsewhere(
            "STS gives new credentials for a token that is not ours".to_owned(),
        ),
        Found::SingleSignOn | Found::LoginSession => Judgement::Elsewhere(
            "a person's session renews them for as long as it lasts, and it is not ours".to_owned(),
        ),
        Found::Process(process) => match process.runs {
            Runs::Ours => Judgement::Renewed(format!("{sdk} {asks}")),
            Runs::OursInVain => Judgement::Nothing(IN_VAIN.to_owned()),
            Runs::OursAndMore => Judgement::Untold(
                "its credential_process has more in it than rolekeeper and its words, and what that \
                 does is not known"
                    .to_owned(),
            ),
            Runs::Another => Judgement::Elsewhere(format!(
                "{sdk} {asks}, but {} is not ours",
                shown(&process.program)
            )),
        },
        Found::Container(address) => match installation.container {
            Some(ours) if address.is(ours) => at_endpoint(sdk, installation.network),
            _ => Judgement::Elsewhere(format!("{sdk} {asks}, but not our endpoint")),
        },
        Found::Metadata { address, configured, proxied } => match installation.metadata {
            Some(ours) if address.is(ours) && *proxied => Judgement::NotRenewed(format!(
                "{sdk} asks the proxy of its environment for our endpoint, unless NO_PROXY names {}",
                shown(&address.host)
            )),
            Some(ours) if address.is(ours) => at_endpoint(sdk, installation.network),
            _ if *configured => Judgement::Elsewhere(format!("{sdk} {asks}, but not our endpoint")),
            _ => Judgement::Nothing(format!(
                "{sdk} finds none, unless this is an EC2 instance with a role"
            )),
        },
    }
}

fn at_endpoint(sdk: Sdk, network: Network) -> Judgement {
    match network {
        Network::Shared => {}
        Network::Another => {
            return Judgement::NotRenewed(
                "the program is in a network of its own, a container's say, and our endpoint is not \
                 on its loopback: mount the directory of a file, or /run/rolekeeper for \
                 credential_process (docs/consumers.md)"
                    .to_owned(),
            );
        }
        Network::Unseen => {
            return Judgement::Untold(
                "whether the program is in the daemon's network, where our endpoint is, cannot be \
                 seen"
                    .to_owned(),
            );
        }
    }
    let late = if sdk.habits().learnt_endpoints_late {
        ", unless its release is too old to know the way (docs/consumers.md)"
    } else {
        ""
    };
    Judgement::Renewed(format!("{sdk} asks again before they end{late}"))
}

fn judge_file(ours: &Outlet, sdk: Sdk) -> Judgement {
    let name = &ours.name;
    match ours.binding {
        Binding::Name => {}
        Binding::Mount => {
            return Judgement::NotRenewed(format!(
                "the file of our target '{name}' itself is mounted there, and stays as it was: \
                 mount its directory, or use our socket"
            ));
        }
        Binding::HardLink => {
            return Judgement::NotRenewed(format!(
                "a hard link to the file of our target '{name}' stays with the file that it was: \
                 use its own name, or a symbolic link"
            ));
        }
    }
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
                    Self::Refused(why) => Self::Refused(why.clone()),
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
            Self::Refused(_) => "refused",
            Self::Untold(_) => "untold",
        }
    }

    pub fn reason(&self) -> &str {
        match self {
            Self::Renewed(why)
            | Self::NotRenewed(why)
            | Self::Elsewhere(why)
            | Self::Nothing(why)
            | Self::Refused(why)
            | Self::Untold(why) => why,
        }
    }

    pub fn is_renewed(&self) -> bool {
        matches!(self, Self::Renewed(_))
    }
}
