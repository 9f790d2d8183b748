//! Which local user may have which credentials.
//!
//! Nobody may have anything, but root and the service's own user, who reach the vault anyway, until a
//! rule names them. Users and groups are what a rule names: the kernel vouches for both. A unit and a
//! program narrow a rule and never open one, because a process can hand its connection to another,
//! and because who may start a program may also look like it.
//!
//! A rule that is disabled keeps its place: whom it names is refused there, and never gets what a later,
//! perhaps wider rule gives.

pub mod peer;
pub mod socket_diagnosis;
pub mod socket_table;

use std::path::{Path, PathBuf};

use super::advice::{Advice, Exit};
use super::drop_in::example_remedy;
use peer::Peer;

/// All rules of a daemon. Names are unique.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// The user that the daemon runs as.
    pub owner: u32,
    pub targets: Vec<Grant>,
    pub consumers: Vec<Grant>,
}

/// Named credentials, and who may have them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    pub name: String,
    /// The target whose credentials these are; the registered role's when there is none.
    pub target: Option<String>,
    pub rule: Rule,
    /// Whoever is meant is refused, with the reason that `status` shows.
    pub disabled: bool,
}

/// Who is meant: one of the users, or a member of one of the groups; in one of the units and running
/// one of the programs, where any are given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rule {
    pub users: Vec<u32>,
    pub groups: Vec<u32>,
    /// As a file that everyone may read.
    pub everyone: bool,
    pub units: Vec<String>,
    pub executables: Vec<PathBuf>,
    /// It names more than is known now: an account could not be looked up, or a name not be read.
    pub incomplete: bool,
}

/// The credentials that a peer gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowed<'a> {
    pub name: &'a str,
    /// As [`Grant::target`].
    pub target: Option<&'a str>,
    pub because: Grounds,
}

/// What a peer is allowed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grounds {
    Root,
    Owner,
    User,
    Group,
    Everyone,
    /// It showed the token of a consumer's token file.
    Token,
}

/// So many names a refusal has at most, whoever may have a thousand: it is one line.
const MOST_NAMES: usize = 8;

/// A refusal. To those whom no rule names, it does not tell which names there are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{because}")]
pub struct Denied {
    pub because: Denial,
    /// What the peer may have instead.
    pub instead: Vec<String>,
}

/// What one rule says of a peer.
enum Verdict {
    Meant(Grounds),
    /// Its user or group is named, and not its unit or its program.
    Elsewhere(Denial),
    NotMeant,
    /// It is meant if it is in one of the groups, which is not known.
    IfMember,
    /// If it is in one of the groups, it is in another unit or runs another program.
    ElsewhereIfMember,
}

/// Why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    #[error("user {0} may have no credentials here")]
    Nothing(u32),
    #[error("user {uid} may not have credentials named '{name}'")]
    NotNamed { uid: u32, name: String },
    #[error("'{name}' is for other programs than {}", shown(seen.as_ref()))]
    OtherExecutable { name: String, seen: Option<PathBuf> },
    #[error("'{name}' is for other units than {}", shown(seen.as_ref().map(PathBuf::from).as_ref()))]
    OtherUnit { name: String, seen: Option<String> },
    /// Those whom it names hear this, and those who may have everything.
    #[error("'{0}' is disabled by a mistake in the settings")]
    Disabled(String),
    /// A rule comes first that may be meant for the user.
    #[error("whether a rule that comes first is for user {0} cannot be told now")]
    Undecided(u32),
    /// A rule names a group, and whether the user is in it is not known.
    #[error("the groups of user {0} are not known now, and a rule names a group")]
    GroupsUnknown(u32),
    /// Only those hear this who may have everything.
    #[error("there are no credentials named '{0}'")]
    Unknown(String),
}

impl Access {
    /// What `peer` gets that asks for `wanted`. Without a name that is the first that names the peer,
    /// consumers before targets; for root and the daemon's own user the first target.
    ///
    /// # Errors
    ///
    /// Why it gets nothing. [`Denial::GroupsUnknown`] where that depends on groups of the peer that are
    /// not known: no later rule is looked at then. Whoever asks again with all of the groups, or with all
    /// of them known from the beginning, gets the same.
    pub fn judge(&self, wanted: Option<&str>, peer: &Peer) -> Result<Allowed<'_>, Denied> {
        match self.administrator(peer) {
            Some(because) => self.for_administrator(wanted, because),
            None => self.for_others(wanted, peer),
        }
    }

    /// What the bearer of a consumer's token gets, whoever that is.
    pub fn bearer(&self, consumer: &str) -> Option<Allowed<'_>> {
        let grant = self.consumers.iter().find(|grant| grant.name == consumer)?;
        if grant.disabled {
            return None;
        }
        let target = grant.target.as_deref();
        Some(Allowed { name: &grant.name, target, because: Grounds::Token })
    }

    /// Every name that the peer may ask for.
    pub fn open_to(&self, peer: &Peer) -> Vec<&str> {
        let all = self.administrator(peer).is_some();
        let usable = self.grants().filter(|grant| !grant.disabled);
        let meant = |grant: &&Grant| all || matches!(grant.judge(peer), Verdict::Meant(_));
        usable.filter(meant).map(|grant| grant.name.as_str()).collect()
    }

    /// The groups that rules name, by which whoever looks a user's groups up knows what to look for.
    pub fn groups(&self) -> impl Iterator<Item = u32> {
        self.grants().flat_map(|grant| grant.rule.groups.iter().copied())
    }

    /// The programs that rules name.
    pub fn executables(&self) -> impl Iterator<Item = &Path> {
        self.grants().flat_map(|grant| grant.rule.executables.iter().map(PathBuf::as_path))
    }

    fn for_administrator(
        &self,
        wanted: Option<&str>,
        because: Grounds,
    ) -> Result<Allowed<'_>, Denied> {
        let mut in_order = self.targets.iter().chain(&self.consumers);
        let because = match in_order.find(|it| wanted.is_none_or(|wanted| it.name == wanted)) {
            Some(grant) if grant.disabled => Denial::Disabled(grant.name.clone()),
            Some(grant) => return Ok(grant.allow(because)),
            None => Denial::Unknown(wanted.unwrap_or_default().to_owned()),
        };
        let usable = self.grants().filter(|grant| !grant.disabled);
        Err(Denied { because, instead: usable.map(|grant| grant.name.clone()).collect() })
    }

    /// Behind a rule that may be meant for the peer, only its own name tells it from whomever that rule
    /// means: as a member of a group, or one of all, it may be just that one, for whom the later rule's
    /// credentials are not. Who is named is served, and so is who asks by name.
    fn for_others(&self, wanted: Option<&str>, peer: &Peer) -> Result<Allowed<'_>, Denied> {
        let (mut refused, mut undecided) = (None, false);
        for grant in self.grants().filter(|g| wanted.is_none_or(|wanted| g.name == wanted)) {
            match grant.judge(peer) {
                Verdict::Meant(_) if grant.disabled => {
                    refused = Some(Denial::Disabled(grant.name.clone()));
                    break;
                }
                Verdict::Meant(Grounds::User) => return Ok(grant.allow(Grounds::User)),
                Verdict::Meant(because) if !undecided => return Ok(grant.allow(because)),
                // A member would not be served here, either.
                Verdict::IfMember if undecided && !grant.disabled => {}
                Verdict::IfMember => {
                    refused = Some(Denial::GroupsUnknown(peer.uid));
                    break;
                }
                // For whoever is named by a later rule.
                Verdict::Meant(_) => {}
                Verdict::Elsewhere(denial) => {
                    refused = refused.or(Some(denial));
                    undecided |= grant.rule.incomplete;
                }
                Verdict::ElsewhereIfMember => {
                    refused = refused.or(Some(Denial::GroupsUnknown(peer.uid)));
                    undecided |= grant.rule.incomplete;
                }
                Verdict::NotMeant => undecided |= grant.rule.incomplete,
            }
        }
        let undecided = undecided.then_some(Denial::Undecided(peer.uid));
        let not_named = || match wanted {
            None => Denial::Nothing(peer.uid),
            Some(name) => Denial::NotNamed { uid: peer.uid, name: name.to_owned() },
        };
        Err(Denied {
            because: refused.or(undecided).unwrap_or_else(not_named),
            instead: self.open_to(peer).into_iter().map(str::to_owned).collect(),
        })
    }

    fn administrator(&self, peer: &Peer) -> Option<Grounds> {
        match peer.uid {
            0 => Some(Grounds::Root),
            uid if uid == self.owner => Some(Grounds::Owner),
            _ => None,
        }
    }

    fn grants(&self) -> impl Iterator<Item = &Grant> {
        self.consumers.iter().chain(&self.targets)
    }
}

impl Grant {
    fn allow(&self, because: Grounds) -> Allowed<'_> {
        Allowed { name: &self.name, target: self.target.as_deref(), because }
    }

    fn judge(&self, peer: &Peer) -> Verdict {
        let Rule { users, groups, everyone, .. } = &self.rule;
        let because = if users.contains(&peer.uid) {
            Grounds::User
        } else if groups.iter().any(|group| peer.is_member(*group)) {
            Grounds::Group
        } else if *everyone {
            Grounds::Everyone
        } else if groups.is_empty() || peer.groups_known {
            return Verdict::NotMeant;
        } else {
            return match self.elsewhere(peer) {
                None => Verdict::IfMember,
                Some(_) => Verdict::ElsewhereIfMember,
            };
        };
        self.elsewhere(peer).map_or(Verdict::Meant(because), Verdict::Elsewhere)
    }

    /// Why the peer is not meant, though its user or its group is.
    fn elsewhere(&self, peer: &Peer) -> Option<Denial> {
        let (Rule { units, executables, .. }, name) = (&self.rule, || self.name.clone());
        if !units.is_empty() && !peer.unit.as_ref().is_some_and(|unit| units.contains(unit)) {
            return Some(Denial::OtherUnit { name: name(), seen: peer.unit.clone() });
        }
        if !executables.is_empty() && !executables.iter().any(|path| peer.runs(path)) {
            let seen = peer.executable.clone();
            return Some(Denial::OtherExecutable { name: name(), seen });
        }
        None
    }
}

impl Grounds {
    /// The word in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Owner => "owner",
            Self::User => "user",
            Self::Group => "group",
            Self::Everyone => "everyone",
            Self::Token => "token",
        }
    }
}

/// The first of them, and how many more there are.
fn listed(names: &[String]) -> String {
    let (shown, more) = names.split_at(names.len().min(MOST_NAMES));
    let shown = shown.join(" or ");
    if more.is_empty() { shown } else { format!("{shown}, or one of {} more", more.len()) }
}

impl Advice for Denied {
    fn remedy(&self) -> String {
        match &self.because {
            Denial::GroupsUnknown(uid) => {
                format!("mend the account database: id {uid}; then ask again")
            }
            Denial::Disabled(_) => "mend what `sudo rolekeeper status` says of it".to_owned(),
            Denial::Undecided(_) if self.instead.is_empty() => {
                "mend what `sudo rolekeeper status` calls disabled".to_owned()
            }
            _ if !self.instead.is_empty() => format!("--target {}", listed(&self.instead)),
            Denial::OtherUnit { seen: None, .. } | Denial::OtherExecutable { seen: None, .. } => {
                "let the service see other users' processes: ".to_owned()
                    + &example_remedy("consumers-by-unit.conf")
            }
            Denial::OtherUnit { .. } | Denial::OtherExecutable { .. } => {
                "widen that [[consumer]] in the settings, then systemctl reload rolekeeper"
                    .to_owned()
            }
            Denial::Nothing(_)
            | Denial::NotNamed { .. }
            | Denial::Undecided(_)
            | Denial::Unknown(_) => {
                "name the user in a [[consumer]] of the settings, then systemctl reload rolekeeper"
                    .to_owned()
            }
        }
    }

    fn exit(&self) -> Exit {
        match self.because {
            Denial::Unknown(_) => Exit::Usage,
            Denial::Disabled(_) => Exit::Configuration,
            Denial::Undecided(_) | Denial::GroupsUnknown(_) => Exit::TryAgain,
            _ => Exit::Refused,
        }
    }
}

fn shown(seen: Option<&PathBuf>) -> String {
    seen.map_or_else(
        || "one that cannot be seen".to_owned(),
        |seen| format!("'{}'", seen.display()),
    )
}

#[cfg(test)]
mod tests;
