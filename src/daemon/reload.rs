//! Performs what `pure::reload` decides: services are told that a target's credentials are new. A task
//! for each, so that one that hangs delays no other, and nobody who delivers waits for any.

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use time::UtcDateTime;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Seams;
use crate::config::Settings;
use crate::control::Complaint;
use crate::host::clock::ServiceClock;
use crate::pure::failure::FailureClass;
use crate::pure::reload::{Action, Event, Hook, Outcome, Reload};
use crate::pure::role_token::RoleToken;
use crate::pure::unit::ServiceName;
use crate::shelf::{Failure, Moment, ReloadPlace, ReloadStatus, Shelf};
use crate::systemctl::{Systemctl, SystemctlError, Told};
use crate::targets::{Delivery, Target, TargetError, deliver, published, withdraw};

/// A wait is looked at again at least this often.
const TICK: Duration = Duration::from_secs(60);

/// All services that are told. Dropped, their tasks end, and nobody is told any more.
#[derive(Debug, Default)]
pub(super) struct Reloads {
    tasks: JoinSet<()>,
    hooks: BTreeMap<ServiceName, Words>,
    announcer: Announcer,
}

/// Delivers to targets and withdraws from them, and says so where a service is to be told. Cheap to
/// clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Announcer(Arc<Mutex<BTreeMap<String, Words>>>);

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

/// One task.
#[derive(Debug)]
struct Task {
    service: Service,
    hook: Hook,
    seams: Seams,
    /// For what is shown; waits go by the time since boot.
    clock: ServiceClock,
    place: ReloadPlace,
    last: Option<LastRun>,
}

#[derive(Debug)]
struct LastRun {
    ended_at: UtcDateTime,
    told: Result<Told, (FailureClass, Complaint)>,
}

type Telling = BoxFuture<'static, Result<Told, SystemctlError>>;

impl Reloads {
    pub(super) fn announcer(&self) -> Announcer {
        self.announcer.clone()
    }

    /// Takes new settings over. A service that is told already goes on at its pace, and what failed is
    /// tried again: the operator may have mended it.
    pub(super) fn engage(
        &mut self,
        settings: &Settings,
        seams: &Seams,
        clock: &ServiceClock,
        shelf: &Shelf,
    ) {
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
                    let place = shelf.reload_place(unit.as_str());
                    let task = Task::new(service, seams.clone(), clock.clone(), place);
                    self.tasks.spawn(task.run(inbox));
                    words
                }
            };
            listeners.extend(targets.into_iter().map(|target| (target, words.clone())));
            self.hooks.insert(unit, words);
        }
        *self.announcer.0.lock().unwrap_or_else(PoisonError::into_inner) = listeners;
        // Of those that have ended nothing is kept.
        while self.tasks.try_join_next().is_some() {}
    }
}

impl Announcer {
    /// Puts the token into the target's file. There is something to tell if programs found other
    /// credentials there before.
    pub(super) fn deliver(
        &self,
        target: &Target,
        token: &RoleToken,
        now: UtcDateTime,
    ) -> Result<Delivery, TargetError> {
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

    /// Takes our keys out of the target's file.
    pub(super) fn withdraw(&self, target: &Target) -> Result<Delivery, TargetError> {
        let delivery = withdraw(target)?;
        if let Some(words) = self.listener(target) {
            // A task that has ended tells nobody.
            let _ = words.send(Word::News(Event::Withdrawn { target: target.name.clone() }));
        }
        Ok(delivery)
    }

    fn listener(&self, target: &Target) -> Option<Words> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&target.name).cloned()
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

impl Task {
    fn new(service: Service, seams: Seams, clock: ServiceClock, place: ReloadPlace) -> Self {
        let hook = Hook::new(service.reload.pace, None);
        Self { service, hook, seams, clock, place, last: None }
    }

    /// Runs until the settings name its service no more.
    async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Word>) {
        let mut telling = None::<Telling>;
        loop {
            self.report();
            let under_way = async {
                match &mut telling {
                    Some(telling) => telling.await,
                    None => pending().await,
                }
            };
            let event = tokio::select! {
                word = inbox.recv() => match word {
                    None => return,
                    Some(Word::News(news)) => news,
                    Some(Word::Serve(service)) => self.serve(service),
                },
                told = under_way => self.told(told),
                () = self.wait() => Event::Deadline,
            };
            let jitter = self.seams.entropy.jitter();
            match self.hook.handle(event, jitter, self.seams.clock.since_boot()) {
                Some(Action::Run) => telling = Some(self.tell()),
                None if !self.hook.is_running() => telling = None,
                None => {}
            }
        }
    }

    /// Until the next run; for ever when there is nothing to tell.
    async fn wait(&self) {
        match self.hook.next_run() {
            Some(at) => {
                let wait = at.saturating_sub(self.seams.clock.since_boot());
                self.seams.clock.sleep(wait.min(TICK)).await;
            }
            None => pending().await,
        }
    }

    /// The same service, perhaps for other targets, at another pace or by another signal.
    fn serve(&mut self, service: Service) -> Event {
        self.hook.serve(service.reload.pace, &service.targets);
        self.service = service;
        Event::Mended
    }

    fn tell(&self) -> Telling {
        let Service { reload, systemctl, .. } = &self.service;
        let (reload, systemctl) = (reload.clone(), systemctl.clone());
        async move { systemctl.tell(&reload).await }.boxed()
    }

    /// Keeps and logs what became of a run.
    fn told(&mut self, told: Result<Told, SystemctlError>) -> Event {
        let unit = &self.service.reload.unit;
        let outcome = match &told {
            Ok(_) => Outcome::Done,
            Err(error) if error.is_open() => Outcome::Unanswered,
            Err(_) => Outcome::Failed,
        };
        let told = match told {
            Ok(told) => {
                tracing::info!(%unit, "told of new credentials: {}", word(told));
                Ok(told)
            }
            Err(error) => {
                let complaint = Complaint::of(&error);
                tracing::warn!("{}; try: {}", complaint.message, complaint.remedy);
                for line in &error.output {
                    tracing::warn!(%unit, "systemctl: {line}");
                }
                Err((error.class(), complaint))
            }
        };
        self.last = Some(LastRun { ended_at: self.clock.now(), told });
        Event::Ended(outcome)
    }

    /// Tells everybody who only reads.
    fn report(&self) {
        let now = (self.clock.now(), self.seams.clock.since_boot());
        let next = self.hook.next_run().map(|at| {
            let wait = time::Duration::try_from(at.saturating_sub(now.1)).unwrap_or_default();
            Moment(now.0.saturating_add(wait))
        });
        let Reload { unit, signal, .. } = &self.service.reload;
        let mut status = ReloadStatus {
            unit: unit.to_string(),
            signal: signal.as_ref().map(ToString::to_string),
            last_run_at: self.last.as_ref().map(|last| Moment(last.ended_at)),
            last_outcome: None,
            next_run_at: next,
            failure: None,
        };
        match self.last.as_ref().map(|last| &last.told) {
            None => {}
            Some(Ok(told)) => status.last_outcome = Some(word(*told).to_owned()),
            Some(Err((class, complaint))) => {
                status.last_outcome = Some("failed".to_owned());
                status.failure = Some(Failure {
                    class: class.name().to_owned(),
                    message: complaint.message.clone(),
                    remedy: complaint.remedy.clone(),
                    attempts: self.hook.failures(),
                    next_try_at: next,
                });
            }
        }
        self.place.put(self.service.targets.clone(), status);
    }
}

/// In `status` and in the log.
fn word(told: Told) -> &'static str {
    match told {
        Told::Reloaded => "reloaded",
        Told::Signalled => "signalled",
        Told::NotRunning => "not-running",
    }
}
