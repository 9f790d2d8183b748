//! One service that is told: waits, tells, shows what became of it.

use std::future::pending;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use time::UtcDateTime;
use tokio::sync::mpsc;

use super::memory::Memories;
use super::{Service, Word};
use crate::control::Complaint;
use crate::daemon::Seams;
use crate::host::clock::ServiceClock;
use crate::pure::failure::FailureClass;
use crate::pure::reload::{Action, Event, Hook, Outcome, Reload};
use crate::shelf::{Failure, Moment, ReloadPlace, ReloadStatus};
use crate::systemctl::{Job, Step, SystemctlError, Told};

/// A wait is looked at again at least this often.
const TICK: Duration = Duration::from_secs(60);

/// What it needs for its work.
#[derive(Debug)]
pub(super) struct Means {
    pub seams: Seams,
    /// For what is shown; waits go by the time since boot.
    pub clock: ServiceClock,
    pub place: ReloadPlace,
    pub memories: Memories,
}

/// The only one who tells its service.
#[derive(Debug)]
pub(super) struct Task {
    service: Service,
    means: Means,
    hook: Hook,
    last: Option<LastRun>,
    /// Since when systemd has had a job for it.
    under_way_since: Option<UtcDateTime>,
}

#[derive(Debug)]
struct LastRun {
    ended_at: UtcDateTime,
    told: Result<Told, (FailureClass, Complaint)>,
}

type Telling = BoxFuture<'static, Result<Step, SystemctlError>>;

impl Task {
    pub(super) fn new(service: Service, means: Means) -> Self {
        let Means { seams, memories, .. } = &means;
        let Reload { unit, pace, .. } = &service.reload;
        let (jitter, now) = (seams.entropy.jitter(), seams.clock.since_boot());
        let mut hook = Hook::new(*pace, memories.of(unit), jitter, now);
        hook.serve(*pace, &service.targets);
        Self { service, means, hook, last: None, under_way_since: None }
    }

    /// Runs until the settings name its service no more.
    pub(super) async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Word>) {
        let mut telling = None::<Telling>;
        loop {
            self.means.memories.keep(&self.service.reload.unit, self.hook.memory());
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
                step = under_way => match step {
                    Ok(Step::Accepted(job)) => {
                        telling = Some(self.follow(job));
                        Event::Accepted
                    }
                    Ok(Step::Done(told)) => self.told(Ok(told)),
                    Err(error) => self.told(Err(error)),
                },
                () = self.wait() => Event::Deadline,
            };
            let jitter = self.means.seams.entropy.jitter();
            match self.hook.handle(event, jitter, self.means.seams.clock.since_boot()) {
                Some(Action::Run) => telling = Some(self.tell()),
                None if !self.hook.is_running() => {
                    telling = None;
                    self.under_way_since = None;
                }
                None => {}
            }
        }
    }

    /// Until the next run; for ever when there is nothing to tell.
    async fn wait(&self) {
        match self.hook.next_run() {
            Some(at) => {
                let wait = at.saturating_sub(self.means.seams.clock.since_boot());
                self.means.seams.clock.sleep(wait.min(TICK)).await;
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

    /// The service takes its time; nobody waits for it but this.
    fn follow(&mut self, job: Job) -> Telling {
        let Service { reload, systemctl, .. } = &self.service;
        tracing::debug!(unit = %reload.unit, "systemd has a job to reload or restart it");
        self.under_way_since = Some(self.means.clock.now());
        let (unit, systemctl) = (reload.unit.clone(), systemctl.clone());
        async move { systemctl.follow(&unit, job).await.map(Step::Done) }.boxed()
    }

    /// Keeps and logs what became of a run.
    fn told(&mut self, told: Result<Told, SystemctlError>) -> Event {
        let unit = &self.service.reload.unit;
        self.under_way_since = None;
        let outcome = match &told {
            Ok(_) => Outcome::Done,
            Err(error) if error.is_under_way() => Outcome::Done,
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
                // The first line is in the message.
                for line in error.output.iter().skip(1) {
                    tracing::warn!(%unit, "systemctl: {line}");
                }
                Err((error.class(), complaint))
            }
        };
        self.last = Some(LastRun { ended_at: self.means.clock.now(), told });
        Event::Ended(outcome)
    }

    /// Tells everybody who only reads.
    fn report(&self) {
        let now = (self.means.clock.now(), self.means.seams.clock.since_boot());
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
        if let Some(since) = self.under_way_since {
            status.last_run_at = Some(Moment(since));
            status.last_outcome = Some("reloading".to_owned());
            return self.means.place.put(self.service.targets.clone(), status);
        }
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
        self.means.place.put(self.service.targets.clone(), status);
    }
}

/// In `status` and in the log.
fn word(told: Told) -> &'static str {
    match told {
        Told::Asked => "asked",
        Told::Reloaded => "reloaded",
        Told::Signalled => "signalled",
        Told::NotRunning => "not-running",
    }
}
