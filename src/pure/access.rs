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

use std::path::PathBuf;

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

/// A refusal. To those whom no rule names, it does not tell which names there are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{because}")]
pub struct Denied {
    pub because: Denial,
    /// What the peer may have instead.
    pub instead: Vec<String>,
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
    /// Why it gets nothing.
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
        usable.filter(|g| all || g.judge(peer).is_ok()).map(|g| g.name.as_str()).collect()
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
                Ok(_) if grant.disabled => {
                    refused = Some(Denial::Disabled(grant.name.clone()));
                    break;
                }
                Ok(Grounds::User) => return Ok(grant.allow(Grounds::User)),
                Ok(because) if !undecided => return Ok(grant.allow(because)),
                // For whoever is named by a later rule.
                Ok(_) => {}
                Err(denial) => {
                    refused = refused.or(denial);
                    undecided |= grant.rule.incomplete;
                }
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

    /// `Err(None)`: this rule does not name the peer at all.
    fn judge(&self, peer: &Peer) -> Result<Grounds, Option<Denial>> {
        let Rule { users, groups, everyone, units, executables, .. } = &self.rule;
        let because = if users.contains(&peer.uid) {
            Grounds::User
        } else if groups.iter().any(|group| peer.is_member(*group)) {
            Grounds::Group
        } else if *everyone {
            Grounds::Everyone
        } else {
            return Err(None);
        };
        let name = || self.name.clone();
        if !units.is_empty() && !peer.unit.as_ref().is_some_and(|unit| units.contains(unit)) {
            return Err(Some(Denial::OtherUnit { name: name(), seen: peer.unit.clone() }));
        }
        let runs_one = peer.executable.as_ref().is_some_and(|path| executables.contains(path));
        if !executables.is_empty() && !runs_one {
            return Err(Some(Denial::OtherExecutable {
                name: name(),
                seen: peer.executable.clone(),
            }));
        }
        Ok(because)
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

impl Advice for Denied {
    fn remedy(&self) -> String {
        match &self.because {
            Denial::Disabled(_) => "mend what `sudo rolekeeper status` says of it".to_owned(),
            Denial::Undecided(_) if self.instead.is_empty() => {
                "mend what `sudo rolekeeper status` calls disabled".to_owned()
            }
            _ if !self.instead.is_empty() => format!("--target {}", self.instead.join(" or ")),
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
            Denial::Undecided(_) => Exit::TryAgain,
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OWNER: u32 = 990;
    const BACKUP: u32 = 34;
    const WEB: u32 = 33;
    const NOBODY: u32 = 65534;

    fn peer(uid: u32, groups: &[u32]) -> Peer {
        Peer { uid, gid: uid, groups: groups.to_vec(), unit: None, executable: None }
    }

    fn grant(name: &str, rule: Rule) -> Grant {
        Grant { name: name.to_owned(), target: None, rule, disabled: false }
    }

    fn access() -> Access {
        let group = |gid| Rule { groups: vec![gid], ..Rule::default() };
        let user = |uid| Rule { users: vec![uid], ..Rule::default() };
        Access {
            owner: OWNER,
            targets: vec![grant("default", group(OWNER)), grant("dump", user(BACKUP))],
            consumers: vec![
                grant("backup", user(BACKUP)),
                grant("web", Rule { units: vec!["web.service".into()], ..group(WEB) }),
            ],
        }
    }

    fn name(wanted: Option<&str>, peer: &Peer) -> Result<String, Denial> {
        let access = access();
        let judged = access.judge(wanted, peer);
        judged.map(|allowed| allowed.name.to_owned()).map_err(|denied| denied.because)
    }

    #[test]
    fn root_and_the_owner_have_everything_and_the_first_target_unasked() {
        for uid in [0, OWNER] {
            let peer = peer(uid, &[]);
            assert_eq!(name(None, &peer).unwrap(), "default");
            assert_eq!(name(Some("web"), &peer).unwrap(), "web");
            assert_eq!(name(Some("x"), &peer).unwrap_err(), Denial::Unknown("x".into()));
        }
    }

    #[test]
    fn whom_no_rule_names_gets_nothing_and_hears_no_names() {
        let stranger = peer(NOBODY, &[100]);
        assert_eq!(name(None, &stranger).unwrap_err(), Denial::Nothing(NOBODY));
        let existing = access().judge(Some("backup"), &stranger).unwrap_err();
        let missing = access().judge(Some("x"), &stranger).unwrap_err();
        assert_eq!(existing.to_string().replace("backup", "x"), missing.to_string());
        assert_eq!((existing.instead, missing.instead), (vec![], vec![]));
        assert_eq!(access().judge(None, &stranger).unwrap_err().exit(), Exit::Refused);
    }

    #[test]
    fn a_user_gets_what_names_it_consumers_first() {
        let backup = peer(BACKUP, &[]);
        assert_eq!(name(None, &backup).unwrap(), "backup");
        assert_eq!(name(Some("dump"), &backup).unwrap(), "dump");
        let denied = access().judge(Some("default"), &backup).unwrap_err();
        assert_eq!(denied.remedy(), "--target backup or dump");
        let wrong = Denial::NotNamed { uid: BACKUP, name: "default".into() };
        assert_eq!(denied.because, wrong);
    }

    #[test]
    fn a_token_stands_for_its_consumer_and_for_no_target() {
        let access = access();
        let allowed = access.bearer("web").unwrap();
        assert_eq!((allowed.name, allowed.because), ("web", Grounds::Token));
        assert_eq!(access.bearer("default"), None);
    }

    #[test]
    fn a_group_counts_whether_it_is_the_first_or_another() {
        assert_eq!(name(None, &peer(1000, &[4, OWNER])).unwrap(), "default");
        assert_eq!(name(None, &Peer { gid: OWNER, ..peer(1000, &[]) }).unwrap(), "default");
    }

    #[test]
    fn a_unit_narrows_a_rule_and_never_opens_one() {
        let in_unit = |uid, unit: &str| Peer { unit: Some(unit.into()), ..peer(uid, &[]) };
        assert_eq!(name(None, &in_unit(WEB, "web.service")).unwrap(), "web");
        let elsewhere = name(None, &in_unit(WEB, "cron.service")).unwrap_err();
        assert_eq!(elsewhere.to_string(), "'web' is for other units than 'cron.service'");
        let hidden = access().judge(Some("web"), &peer(WEB, &[])).unwrap_err();
        assert_eq!(hidden.to_string(), "'web' is for other units than one that cannot be seen");
        assert!(hidden.remedy().contains("consumers-by-unit.conf"));
        assert_eq!(name(None, &in_unit(1, "web.service")).unwrap_err(), Denial::Nothing(1));
    }

    #[test]
    fn a_program_narrows_a_rule_by_its_whole_path() {
        let mut access = access();
        access.consumers[0].rule.executables = vec!["/usr/bin/restic".into()];
        let running = |path: &str| Peer { executable: Some(path.into()), ..peer(BACKUP, &[]) };
        assert!(access.judge(Some("backup"), &running("/usr/bin/restic")).is_ok());
        for other in ["/tmp/restic", "/usr/bin/restic2"] {
            let denied = access.judge(Some("backup"), &running(other)).unwrap_err();
            assert!(matches!(denied.because, Denial::OtherExecutable { .. }), "{denied:?}");
            assert_eq!(denied.instead, ["dump"]);
        }
        // Without a name, what it may have instead is what it gets.
        assert_eq!(access.judge(None, &running("/tmp/x")).unwrap().name, "dump");
    }

    #[test]
    fn a_file_that_everyone_may_read_is_everyones() {
        let mut access = access();
        access.targets[0].rule.everyone = true;
        let allowed = access.judge(None, &peer(NOBODY, &[])).unwrap();
        assert_eq!(allowed, Allowed { name: "default", target: None, because: Grounds::Everyone });
    }

    #[test]
    fn a_disabled_rule_keeps_its_place_and_nobody_else_feels_it() {
        let mut access = access();
        access.consumers[0].disabled = true;
        let backup = peer(BACKUP, &[]);
        let denied = access.judge(None, &backup).unwrap_err();
        assert_eq!(denied.because, Denial::Disabled("backup".into()));
        assert_eq!(
            (denied.exit(), denied.remedy().contains("status")),
            (Exit::Configuration, true)
        );
        assert_eq!(denied.instead, ["dump"]);
        // By its name the later rule is still what it was.
        assert_eq!(access.judge(Some("dump"), &backup).unwrap().name, "dump");
        let root = access.judge(Some("backup"), &peer(0, &[])).unwrap_err();
        assert_eq!(root.because, Denial::Disabled("backup".into()));
        assert_eq!(access.judge(None, &peer(1000, &[OWNER])).unwrap().name, "default");
        let stranger = access.judge(Some("backup"), &peer(NOBODY, &[])).unwrap_err();
        assert_eq!(stranger.because, Denial::NotNamed { uid: NOBODY, name: "backup".into() });
        assert_eq!(access.bearer("backup"), None);
        assert!(access.bearer("web").is_some());
    }

    #[test]
    fn behind_a_rule_that_is_not_known_whole_who_is_named_is_served() {
        let mut access = access();
        access.consumers[1] =
            grant("web", Rule { users: vec![WEB], incomplete: true, ..Rule::default() });
        assert_eq!(access.judge(None, &peer(WEB, &[])).unwrap().name, "web");
        assert_eq!(access.judge(None, &peer(BACKUP, &[])).unwrap().name, "backup");
        access.consumers.remove(0);
        assert_eq!(access.judge(None, &peer(BACKUP, &[])).unwrap().name, "dump");
        // A member of the group may be whomever the rule means.
        let member = peer(1000, &[OWNER]);
        let denied = access.judge(None, &member).unwrap_err();
        assert_eq!((&denied.because, denied.exit()), (&Denial::Undecided(1000), Exit::TryAgain));
        assert_eq!(denied.instead, ["default"]);
        assert_eq!(access.judge(Some("default"), &member).unwrap().name, "default");
        let stranger = access.judge(None, &peer(NOBODY, &[])).unwrap_err();
        assert_eq!(stranger.because, Denial::Undecided(NOBODY));
    }

    proptest! {
        #[test]
        fn nobody_is_allowed_what_no_rule_says(
            uid in 1_u32..8, gid in 1_u32..8, groups in prop::collection::vec(1_u32..8, 0..3),
            users in prop::collection::vec(1_u32..8, 0..3),
            members in prop::collection::vec(1_u32..8, 0..3),
            unit in prop::option::of("[ab]"), units in prop::collection::vec("[ab]", 0..2),
        ) {
            let peer = Peer { uid, gid, groups: groups.clone(), unit: unit.clone(), executable: None };
            let rule = Rule { users, groups: members, units, ..Rule::default() };
            let named = rule.users.contains(&uid)
                || rule.groups.contains(&gid)
                || rule.groups.iter().any(|group| groups.contains(group));
            let narrowed = rule.units.is_empty() || unit.is_some_and(|unit| rule.units.contains(&unit));
            let access =
                Access { owner: OWNER, targets: vec![], consumers: vec![grant("a", rule)] };
            prop_assert_eq!(access.judge(Some("a"), &peer).is_ok(), named && narrowed);
            prop_assert_eq!(access.judge(None, &peer).is_ok(), named && narrowed);
        }
    }
}
