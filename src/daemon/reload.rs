//! Performs what `pure::reload` decides: services are told that a target's credentials are new. A task
//! for each, so that one that hangs delays no other, and nobody who delivers waits for any.

mod memory;
mod task;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use time::UtcDateTime;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Seams;
use super::deliveries::DeliveryRecord;
use crate::config::Settings;
use crate::host::clock::ServiceClock;
use crate::pure::deliveries::Holder;
use crate::pure::reload::{Event, Reload};
use crate::pure::role_token::RoleToken;
use crate::pure::unit::ServiceName;
use crate::shelf::{ReloadPlace, Shelf};
use crate::systemctl::Systemctl;
use crate::targets::{Delivered, Target, TargetError, deliver, give, published, withdraw};
use memory::Memories;
pub(super) use memory::NAME;
use task::{Means, Task};

/// All services that are told. Dropped, their tasks end, and nobody is told any more.
#[derive(Debug)]
pub(super) struct Reloads {
    seams: Seams,
    clock: ServiceClock,
    memories: Memories,
    tasks: JoinSet<()>,
    hooks: BTreeMap<ServiceName, Words>,
    announcer: Announcer,
}

/// Delivers to targets and withdraws from them, and says so where a service is to be told. Cheap to
/// clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Announcer {
    listeners: Arc<Mutex<BTreeMap<String, Words>>>,
    record: DeliveryRecord,
}

/// Nobody who delivers waits, so there is no bound. Each task listens all the time.
type Words = mpsc::UnboundedSender<Word>;

#[derive(Debug)]
enum Word {
    News(Event),
    Serve(Service),
}

/// What a task is there for.
#[derive(Debug)]
struct Service {
    reload: Reload,
    targets: BTreeSet<String>,
    systemctl: Systemctl,
}

impl Reloads {
    /// With what the run before kept in this directory, and a record of what is delivered.
    pub(super) fn new(
        runtime: &Path,
        record: DeliveryRecord,
        seams: &Seams,
        clock: &ServiceClock,
    ) -> Self {
        Self {
            seams: seams.clone(),
            clock: clock.clone(),
            memories: Memories::take_back(runtime),
            tasks: JoinSet::new(),
            hooks: BTreeMap::new(),
            announcer: Announcer { listeners: Arc::default(), record },
        }
    }

    pub(super) fn announcer(&self) -> Announcer {
        self.announcer.clone()
    }

    /// Takes new settings over. A service that is told already goes on at its pace, and what failed is
    /// tried again: the operator may have mended it.
    pub(super) fn engage(&mut self, settings: &Settings, shelf: &Shelf) {
        let mut before = std::mem::take(&mut self.hooks);
        let mut listeners = BTreeMap::new();
        for service in services(settings) {
            let unit = service.reload.unit.clone();
            let targets = service.targets.clone();
            let words = match before.remove(&unit) {
                Some(words) => {
                    // Its task lives as long as this sender.
                    let _ = words.send(Word::Serve(service));
                    words
                }
                None => {
                    let (words, inbox) = mpsc::unbounded_channel();
                    let task = Task::new(service, self.means(shelf.reload_place(unit.as_str())));
                    self.tasks.spawn(task.run(inbox));
                    words
                }
            };
            listeners.extend(targets.into_iter().map(|target| (target, words.clone())));
            self.hooks.insert(unit, words);
        }
        *self.announcer.listeners.lock().unwrap_or_else(PoisonError::into_inner) = listeners;
        // Of those that have ended nothing is kept.
        while self.tasks.try_join_next().is_some() {}
    }

    /// The record for the next run is there again if somebody has removed it.
    pub(super) fn restore_memory(&self) {
        self.memories.restore();
    }

    fn means(&self, place: ReloadPlace) -> Means {
        Means {
            seams: self.seams.clone(),
            clock: self.clock.clone(),
            memories: self.memories.clone(),
            place,
        }
    }
}

impl Announcer {
    /// Puts the token of `holder` into the target's file. There is something to tell if programs found
    /// other credentials there before.
    pub(super) fn deliver(
        &self,
        target: &Target,
        token: &RoleToken,
        holder: &Holder,
        now: UtcDateTime,
    ) -> Result<Delivered, TargetError> {
        self.record.announce([target], token, holder);
        let delivery = self.put(target, token, now)?;
        self.record.confirm(target);
        Ok(delivery)
    }

    fn put(
        &self,
        target: &Target,
        token: &RoleToken,
        now: UtcDateTime,
    ) -> Result<Delivered, TargetError> {
        let Some(words) = self.listener(target) else { return deliver(target, token) };
        // A file that cannot be read cannot be written either, as a rule.
        let before = published(target).ok().flatten();
        let delivery = deliver(target, token)?;
        let same = before.as_ref().is_some_and(|before| {
            before.secret_access_key == token.secret_access_key
                && before.session_token == token.session_token
        });
        if !same {
            let end = before.and_then(|before| before.expires_at).unwrap_or(now);
            let left = Duration::try_from(end - now).unwrap_or_default();
            let news = Event::Renewed { target: target.name.clone(), left };
            // A task that has ended tells nobody.
            let _ = words.send(Word::News(news));
        }
        Ok(delivery)
    }

    /// Gives what an earlier run left to those who are to read it now; `None` where it left nothing.
    pub(super) fn give(&self, target: &Target) -> Option<Result<Delivered, TargetError>> {
        self.record.holds(target).then(|| give(target))
    }

    /// Takes our keys out of the target's file.
    pub(super) fn withdraw(&self, target: &Target) -> Result<Delivered, TargetError> {
        let delivery = withdraw(target)?;
        self.record.forget(target);
        if let Some(words) = self.listener(target) {
            // A task that has ended tells nobody.
            let _ = words.send(Word::News(Event::Withdrawn { target: target.name.clone() }));
        }
        Ok(delivery)
    }

    fn listener(&self, target: &Target) -> Option<Words> {
        let listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.get(&target.name).cloned()
    }
}

/// Each service once, with all targets that it reads.
fn services(settings: &Settings) -> Vec<Service> {
    let mut services = Vec::<Service>::new();
    for target in &settings.targets {
        let Some(reload) = &target.reload else { continue };
        let name = target.name.clone();
        match services.iter_mut().find(|service| service.reload.unit == reload.unit) {
            Some(service) => {
                service.targets.insert(name);
            }
            None => services.push(Service {
                reload: reload.clone(),
                targets: BTreeSet::from([name]),
                systemctl: Systemctl::new(settings.systemctl.value.clone()),
            }),
        }
    }
    services
}

#[cfg(test)]
mod tests;
