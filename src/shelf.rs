//! What is known now, for everyone who only reads: a watch pair. The driver writes it; for each target
//! with a role of its own the task that assumes it writes that target's entry, and each endpoint its
//! own. Writing is rare and reading is not, so what readers see is put together when it is written.

mod status;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::watch;

use crate::pure::role_token::RoleToken;

pub use status::{
    ConsumerStatus, Credentials, EndpointStatus, Failure, FingerprintStatus, HealthStatus, Moment,
    RECORD, ReloadStatus, RoleStatus, SettingsTrouble, State, Status, TargetStatus, Warning,
};

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

/// The half of an endpoint: what becomes of it.
#[derive(Debug)]
pub struct Sign {
    kind: &'static str,
    sender: watch::Sender<Held>,
}

/// The half of whoever reports this machine's health to the service.
#[derive(Debug, Clone)]
pub struct HealthPlace(watch::Sender<Held>);

/// The half of whoever writes the consumers' token files: what stands in the way. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Notices(watch::Sender<Held>);

/// Everybody else's half. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ShelfReader(watch::Receiver<Held>);

/// One consistent view. Cheap to take.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The targets of the registered role come first, then the others by name.
    pub status: Arc<Status>,
    /// The registered role's, which outlets may hand out now; `None` while there is nothing usable.
    pub token: Option<Arc<RoleToken>>,
    registered: Arc<BTreeSet<String>>,
    assumed: Arc<BTreeMap<String, Assumed>>,
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
    driver: Status,
    endpoints: BTreeMap<&'static str, EndpointStatus>,
    health: Option<HealthStatus>,
    /// By unit: the targets that it is told for, and what became of that.
    reloads: BTreeMap<String, (BTreeSet<String>, ReloadStatus)>,
    notices: Vec<Warning>,
    view: Snapshot,
}

impl Shelf {
    /// An empty shelf and its reader.
    pub fn new() -> (Self, ShelfReader) {
        let status = Status::unregistered();
        let view = Snapshot {
            status: Arc::new(status.clone()),
            token: None,
            registered: Arc::default(),
            assumed: Arc::default(),
        };
        let (endpoints, reloads) = (BTreeMap::new(), BTreeMap::new());
        let (health, notices) = (None, Vec::new());
        let held = Held { driver: status, endpoints, health, reloads, notices, view };
        let (sender, receiver) = watch::channel(held);
        (Self(sender), ShelfReader(receiver))
    }

    /// Replaces what readers see, but for the places of others, and wakes those who wait if that is
    /// something else. `registered` are the names of all who have the registered role's credentials.
    pub fn put(&self, status: Status, token: Option<Arc<RoleToken>>, registered: BTreeSet<String>) {
        change(&self.0, |held| {
            let view = &mut held.view;
            let same =
                held.driver == status && view.token == token && *view.registered == registered;
            held.driver = status;
            view.token = token;
            view.registered = Arc::new(registered);
            !same
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

    /// An endpoint's own. There is one of each kind.
    pub fn sign(&self, kind: &'static str) -> Sign {
        Sign { kind, sender: self.0.clone() }
    }

    /// What becomes of the health reports.
    pub fn health(&self) -> HealthPlace {
        HealthPlace(self.0.clone())
    }

    /// What is wrong with the consumers' token files.
    pub fn notices(&self) -> Notices {
        Notices(self.0.clone())
    }

    /// Somebody who only reads.
    pub fn reader(&self) -> ShelfReader {
        ShelfReader(self.0.subscribe())
    }
}

impl Place {
    /// Replaces what stands here, and wakes those who wait if that is something else.
    pub fn put(&self, assumed: Assumed) {
        change(&self.sender, |held| {
            let places = &mut held.view.assumed;
            let same = places.get(&self.name) == Some(&assumed);
            if !same {
                Arc::make_mut(places).insert(self.name.clone(), assumed);
            }
            !same
        });
    }
}

impl Sign {
    /// It listens there, since then, or cannot for this reason, and what to do about that.
    pub fn put(&self, address: String, since: Moment, trouble: Option<(String, String)>) {
        let (error, remedy) = trouble.unzip();
        let kind = self.kind.to_owned();
        let status = EndpointStatus { kind, address, since, error, remedy };
        change(&self.sender, |held| {
            let before = held.endpoints.insert(self.kind, status);
            before.as_ref() != held.endpoints.get(self.kind)
        });
    }

    /// There is no such endpoint any more.
    pub fn take_down(&self) {
        change(&self.sender, |held| held.endpoints.remove(self.kind).is_some());
    }

    /// `container` or `imds`.
    pub fn kind(&self) -> &'static str {
        self.kind
    }
}

impl HealthPlace {
    /// Replaces what is told of the reports; `None` where none are sent.
    pub fn put(&self, health: Option<HealthStatus>) {
        change(&self.0, |held| {
            let changed = held.health != health;
            held.health = health;
            changed
        });
    }

    /// Somebody who only reads.
    pub fn reader(&self) -> ShelfReader {
        ShelfReader(self.0.subscribe())
    }
}

impl Notices {
    /// Replaces all of them.
    pub fn put(&self, notices: &[Warning]) {
        change(&self.0, |held| {
            let changed = held.notices != notices;
            held.notices = notices.to_vec();
            changed
        });
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        change(&self.sender, |held| {
            Arc::make_mut(&mut held.view.assumed).remove(&self.name).is_some()
        });
    }
}

impl ReloadPlace {
    /// Replaces what stands here for these targets, and wakes those who wait if that is something else.
    pub fn put(&self, targets: BTreeSet<String>, status: ReloadStatus) {
        change(&self.sender, |held| {
            let before = held.reloads.insert(self.unit.clone(), (targets, status));
            before.as_ref() != held.reloads.get(&self.unit)
        });
    }
}

impl Drop for ReloadPlace {
    fn drop(&mut self) {
        change(&self.sender, |held| held.reloads.remove(&self.unit).is_some());
    }
}

impl ShelfReader {
    /// The newest view.
    pub fn look(&self) -> Snapshot {
        self.0.borrow().view.clone()
    }

    /// Waits for a view other than the last one waited for; `None` when the driver is gone.
    pub async fn changed(&mut self) -> Option<Snapshot> {
        self.0.changed().await.ok()?;
        Some(self.0.borrow_and_update().view.clone())
    }
}

/// Changes what is held, and wakes those who wait if that made it something else.
fn change(sender: &watch::Sender<Held>, write: impl FnOnce(&mut Held) -> bool) {
    sender.send_if_modified(|held| {
        let changed = write(held);
        if changed {
            held.view.status = Arc::new(held.status());
        }
        changed
    });
}

impl Held {
    /// All of them in one.
    fn status(&self) -> Status {
        let mut status = self.driver.clone();
        for assumed in self.view.assumed.values() {
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
        status.endpoints = self.endpoints.values().cloned().collect();
        status.health.clone_from(&self.health);
        status.warnings.extend_from_slice(&self.notices);
        status
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

#[cfg(test)]
mod tests {
    use time::macros::utc_datetime;

    use super::*;
    use crate::pure::secret::Secret;

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
            withdrawn: false,
            held_until: None,
            error: None,
            remedy: None,
            warnings: Vec::new(),
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
        let shown = || reader.look().status.targets.clone().into_iter().map(|target| target.reload);
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
