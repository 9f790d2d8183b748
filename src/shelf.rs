//! What is known now, for everyone who only reads: a watch pair. The driver writes it, and for each
//! target with a role of its own the task that assumes it writes that target's entry.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use time::UtcDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use tokio::sync::watch;

use crate::pure::role_token::RoleToken;

/// The driver's half.
#[derive(Debug)]
pub struct Shelf(watch::Sender<Held>);

/// The half of whoever assumes a target's role: the target's own place. Empty when it is dropped.
#[derive(Debug)]
pub struct Place {
    name: String,
    sender: watch::Sender<Held>,
}

/// The half of whoever tells a service that credentials are new. Empty when it is dropped.
#[derive(Debug)]
pub struct ReloadPlace {
    unit: String,
    sender: watch::Sender<Held>,
}

/// Everybody else's half. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ShelfReader(watch::Receiver<Held>);

/// One consistent view.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The targets of the registered role come first, then the others by name.
    pub status: Status,
    /// The registered role's, which outlets may hand out now; `None` while there is nothing usable.
    pub token: Option<Arc<RoleToken>>,
    registered: Arc<BTreeSet<String>>,
    assumed: BTreeMap<String, Assumed>,
}

/// What stands in a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assumed {
    pub status: OutletStatus,
    /// What may be handed out under this name now.
    pub token: Option<Arc<RoleToken>>,
}

/// Of a role's own target, or of a consumer that has no file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutletStatus {
    Consumer(ConsumerStatus),
    Target(TargetStatus),
}

/// What was put there, by whom.
#[derive(Debug)]
struct Held {
    status: Status,
    token: Option<Arc<RoleToken>>,
    /// Who has the registered role's credentials: names of targets and consumers.
    registered: Arc<BTreeSet<String>>,
    assumed: BTreeMap<String, Assumed>,
    /// By unit: the targets that it is told for, and what became of that.
    reloads: BTreeMap<String, (BTreeSet<String>, ReloadStatus)>,
}

/// What `status` shows, and its JSON form. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    pub state: State,
    pub instance_id: Option<String>,
    pub region: Option<String>,
    /// Of the program that answers.
    pub version: String,
    pub credentials: Option<Credentials>,
    pub fingerprint: Option<FingerprintStatus>,
    pub targets: Vec<TargetStatus>,
    /// Those with a role of their own.
    #[serde(default)]
    pub consumers: Vec<ConsumerStatus>,
    pub failure: Option<Failure>,
}

/// The state in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Fresh,
    Stale,
    Expired,
    Hibernating,
    Mismatch,
    Unregistered,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    pub access_key_id_suffix: String,
    pub issued_at: Moment,
    pub expires_at: Moment,
    pub next_refresh_at: Moment,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FingerprintStatus {
    /// `similar`, `different` or `disabled`.
    pub verdict: String,
    /// Percent.
    pub score: u8,
    /// Percent, or -1 when the check is off.
    pub threshold: i64,
    /// Names of the attributes that are not what they were.
    pub changed: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetStatus {
    pub name: String,
    pub path: PathBuf,
    pub profile: String,
    pub written_at: Option<Moment>,
    pub error: Option<String>,
    /// What to do about the error.
    pub remedy: Option<String>,
    /// The ARN of its own role; `None` is the registered role.
    pub role_arn: Option<String>,
    /// What it is to hold: its own role's credentials, or the registered role's.
    pub credentials: Option<Credentials>,
    /// Why its own role was not assumed.
    pub failure: Option<Failure>,
    /// The service that is told when its credentials are new.
    #[serde(default)]
    pub reload: Option<Box<ReloadStatus>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadStatus {
    pub unit: String,
    /// It is reloaded, or restarted, when there is none.
    pub signal: Option<String>,
    /// When the last run in this daemon's life ended.
    pub last_run_at: Option<Moment>,
    /// `reloaded`, `signalled`, `not-running` or `failed`.
    pub last_outcome: Option<String>,
    /// While new credentials wait for it.
    pub next_run_at: Option<Moment>,
    pub failure: Option<Failure>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsumerStatus {
    pub name: String,
    pub role_arn: Option<String>,
    pub credentials: Option<Credentials>,
    /// Why its role was not assumed.
    pub failure: Option<Failure>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub class: String,
    pub message: String,
    pub remedy: String,
    /// Failures in a row.
    pub attempts: u32,
    pub next_try_at: Option<Moment>,
}

/// A point in time whose text is RFC 3339 in UTC with whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub UtcDateTime);

impl Shelf {
    /// An empty shelf and its reader.
    pub fn new() -> (Self, ShelfReader) {
        let (sender, receiver) = watch::channel(Held {
            status: Status::unregistered(),
            token: None,
            registered: Arc::default(),
            assumed: BTreeMap::new(),
            reloads: BTreeMap::new(),
        });
        (Self(sender), ShelfReader(receiver))
    }

    /// Replaces what readers see, but for the places of others, and wakes those who wait.
    /// `registered` are the names of all who have the registered role's credentials.
    pub fn put(&self, status: Status, token: Option<Arc<RoleToken>>, registered: BTreeSet<String>) {
        self.0.send_modify(|held| {
            held.status = status;
            held.token = token;
            if *held.registered != registered {
                held.registered = Arc::new(registered);
            }
        });
    }

    /// A target's own place. There is one for each name.
    pub fn place(&self, name: &str) -> Place {
        Place { name: name.to_owned(), sender: self.0.clone() }
    }

    /// A service's own place. There is one for each unit.
    pub fn reload_place(&self, unit: &str) -> ReloadPlace {
        ReloadPlace { unit: unit.to_owned(), sender: self.0.clone() }
    }

    /// Somebody who only reads.
    pub fn reader(&self) -> ShelfReader {
        ShelfReader(self.0.subscribe())
    }
}

impl Place {
    /// Replaces what stands here, and wakes those who wait if that is something else.
    pub fn put(&self, assumed: Assumed) {
        self.sender.send_if_modified(|held| {
            let before = held.assumed.insert(self.name.clone(), assumed);
            before.as_ref() != held.assumed.get(&self.name)
        });
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.sender.send_if_modified(|held| held.assumed.remove(&self.name).is_some());
    }
}

impl ReloadPlace {
    /// Replaces what stands here for these targets, and wakes those who wait if that is something else.
    pub fn put(&self, targets: BTreeSet<String>, status: ReloadStatus) {
        self.sender.send_if_modified(|held| {
            let before = held.reloads.insert(self.unit.clone(), (targets, status));
            before.as_ref() != held.reloads.get(&self.unit)
        });
    }
}

impl Drop for ReloadPlace {
    fn drop(&mut self) {
        self.sender.send_if_modified(|held| held.reloads.remove(&self.unit).is_some());
    }
}

impl ShelfReader {
    /// The newest view.
    pub fn look(&self) -> Snapshot {
        self.0.borrow().snapshot()
    }

    /// Waits for a view other than the last one waited for; `None` when the driver is gone.
    pub async fn changed(&mut self) -> Option<Snapshot> {
        self.0.changed().await.ok()?;
        Some(self.0.borrow_and_update().snapshot())
    }
}

impl Held {
    fn snapshot(&self) -> Snapshot {
        let mut status = self.status.clone();
        for assumed in self.assumed.values() {
            match &assumed.status {
                OutletStatus::Consumer(consumer) => status.consumers.push(consumer.clone()),
                OutletStatus::Target(target) => status.targets.push(target.clone()),
            }
        }
        for (targets, reload) in self.reloads.values() {
            let told_for = |target: &&mut TargetStatus| targets.contains(&target.name);
            for target in status.targets.iter_mut().filter(told_for) {
                target.reload = Some(Box::new(reload.clone()));
            }
        }
        let (token, registered) = (self.token.clone(), Arc::clone(&self.registered));
        Snapshot { status, token, registered, assumed: self.assumed.clone() }
    }
}

impl Snapshot {
    /// What the outlets of a target or a consumer may hand out now. The registered role's credentials
    /// are for those alone that have no role of their own; for an unknown name there is nothing.
    pub fn credentials_for(&self, name: &str) -> Option<Arc<RoleToken>> {
        if self.registered.contains(name) {
            self.token.clone()
        } else {
            self.assumed.get(name)?.token.clone()
        }
    }

    /// Why the role of a target or a consumer was not assumed.
    pub fn failure_of(&self, name: &str) -> Option<&Failure> {
        match &self.assumed.get(name)?.status {
            OutletStatus::Consumer(consumer) => consumer.failure.as_ref(),
            OutletStatus::Target(target) => target.failure.as_ref(),
        }
    }
}

impl Status {
    /// Before anything is known.
    pub fn unregistered() -> Self {
        Self {
            state: State::Unregistered,
            instance_id: None,
            region: None,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            credentials: None,
            fingerprint: None,
            targets: Vec::new(),
            consumers: Vec::new(),
            failure: None,
        }
    }
}

impl State {
    /// The word in every report.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Stale => "stale",
            Self::Expired => "expired",
            Self::Hibernating => "hibernating",
            Self::Mismatch => "mismatch",
            Self::Unregistered => "unregistered",
        }
    }
}

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
        f.write_str(&self.0.format(format).map_err(|_| std::fmt::Error)?)
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        UtcDateTime::parse(&text, &Rfc3339).map(Self).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use time::macros::utc_datetime;

    use super::*;
    use crate::pure::secret::Secret;

    #[test]
    fn status_has_the_members_and_words_that_scripts_rely_on() {
        let mut status = Status::unregistered();
        status.state = State::Fresh;
        status.credentials = Some(Credentials {
            access_key_id_suffix: "0001".into(),
            issued_at: Moment(utc_datetime!(2026-11-22 00:00:00.7)),
            expires_at: Moment(utc_datetime!(2026-11-22 01:00)),
            next_refresh_at: Moment(utc_datetime!(2026-11-22 00:30)),
        });
        let json = serde_json::to_string(&status).unwrap();
        assert!(
            json.starts_with(r#"{"state":"fresh","instance_id":null,"region":null,"version":"#)
        );
        assert!(json.contains(r#""issued_at":"2026-11-22T00:00:00Z""#));
        let mut read: Status = serde_json::from_str(&json).unwrap();
        // Times have whole seconds in text.
        read.credentials.as_mut().unwrap().issued_at = Moment(utc_datetime!(2026-11-22 00:00:00.7));
        assert_eq!(read, status);
    }

    fn token(id: &str) -> Option<Arc<RoleToken>> {
        let (secret, at) = (|| Some(Secret::new("x".to_owned())), utc_datetime!(2026-11-22 01:00));
        let token = RoleToken::new(Some(id.to_owned()), secret(), secret(), at, Some(at), false);
        Some(Arc::new(token.unwrap()))
    }

    fn target(name: &str, role_arn: Option<&str>) -> TargetStatus {
        TargetStatus {
            name: name.to_owned(),
            path: "/c".into(),
            profile: "default".to_owned(),
            written_at: None,
            error: None,
            remedy: None,
            role_arn: role_arn.map(str::to_owned),
            credentials: None,
            failure: None,
            reload: None,
        }
    }

    #[test]
    fn a_service_shows_with_the_targets_that_it_is_told_for() {
        let (shelf, reader) = Shelf::new();
        let mut status = Status::unregistered();
        status.targets = ["a", "b"].map(|name| target(name, None)).into();
        shelf.put(status, None, BTreeSet::new());
        let reload = ReloadStatus {
            unit: "a.service".to_owned(),
            signal: None,
            last_run_at: None,
            last_outcome: None,
            next_run_at: None,
            failure: None,
        };
        let place = shelf.reload_place("a.service");
        place.put(BTreeSet::from(["a".to_owned()]), reload.clone());
        let shown = || reader.look().status.targets.into_iter().map(|target| target.reload);
        assert_eq!(shown().collect::<Vec<_>>(), [Some(Box::new(reload)), None]);
        drop(place);
        assert_eq!(shown().collect::<Vec<_>>(), [None, None]);
    }

    #[test]
    fn a_target_with_a_role_of_its_own_never_has_the_registered_roles_credentials() {
        let (shelf, reader) = Shelf::new();
        let place = shelf.place("backup");
        let registered = token("ASIAREGISTERED00");
        let mut status = Status::unregistered();
        status.targets.push(target("default", None));
        let names = || BTreeSet::from(["default".to_owned(), "nightly".to_owned()]);
        shelf.put(status.clone(), registered.clone(), names());
        assert_eq!(reader.look().credentials_for("nightly"), registered);
        assert_eq!(reader.look().credentials_for("default"), registered);
        assert_eq!(reader.look().credentials_for("backup"), None);

        let own = target("backup", Some("arn:aws:iam::111122223333:role/backup"));
        let own = OutletStatus::Target(own);
        place.put(Assumed { status: own.clone(), token: None });
        assert_eq!(reader.look().credentials_for("backup"), None);
        let assumed = token("ASIABACKUP000000");
        place.put(Assumed { status: own, token: assumed.clone() });
        // The driver's news leave the place as it is.
        shelf.put(status, registered, names());
        let view = reader.look();
        assert_eq!(view.credentials_for("backup"), assumed);
        let shown = view.status.targets.iter().map(|target| target.name.as_str());
        assert_eq!(shown.collect::<Vec<_>>(), ["default", "backup"]);
        drop(place);
        assert_eq!(reader.look().credentials_for("backup"), None);
        assert_eq!(reader.look().status.targets.len(), 1);
    }
}
