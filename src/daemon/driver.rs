//! Performs what the refresher decides. Owns the vault, the targets and the shelf; nobody else
//! writes them.

mod orders;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::assumption::{Means, Turns};
use super::reload::Reloads;
use super::report::{self, LastFailure, TargetOutcome};
use super::roles::Roles;
use super::rotation::{self, RotationOutcome};
use super::rules::{Rulebook, Rules};
use super::targets::{AssumedOutlet, targets_by_role};
use super::{Daemon, DaemonError, Seams, held, sts_connection};
use crate::control::{Complaint, Order, Wish};
use crate::host::service_manager;
use crate::pure::advice::{Advice, Exit};
use crate::pure::assumption::SessionName;
use crate::pure::fingerprint::{Similarity, Verdict, compare};
use crate::pure::identity::Fingerprint;
use crate::pure::refresher::{Action, AskAs, Event, Policy, Refresher};
use crate::pure::role_token::RoleToken;
use crate::shelf::{Moment, Shelf};
use crate::ssm::{InstanceKey, Ssm};
use crate::sts::Sts;
use crate::targets::{Delivery, Target, TargetError, published};
use crate::vault::{FingerprintRecord, Registration, Vault, VaultError};

/// Time is looked at again at least this often: suspend and clock steps do no harm.
const TICK: Duration = Duration::from_secs(60);

/// A machine that has been up for less is still booting: disks and networks may be missing.
const BOOT: Duration = Duration::from_secs(5 * 60);

/// The one writer.
#[derive(Debug)]
pub(super) struct Driver {
    daemon: Daemon,
    shelf: Shelf,
    rules: Rulebook,
    vault: Vault,
    ssm: Ssm,
    registration: Registration,
    record: FingerprintRecord,
    refresher: Refresher,
    targets: Vec<Target>,
    outcomes: Vec<TargetOutcome>,
    similarity: Option<Similarity>,
    failure: Option<LastFailure>,
    rotation: rotation::Pace,
    /// Names of those who have the registered role's credentials and no file.
    consumers: Vec<String>,
    roles: Roles,
    reloads: Reloads,
    means: Option<Means>,
    ready: bool,
    /// What the service manager was told last.
    line: String,
}

impl Driver {
    pub(super) fn new(
        daemon: Daemon,
        shelf: Shelf,
        rules: Rulebook,
        vault: Vault,
        registration: Registration,
        ssm: Ssm,
    ) -> Result<Self, DaemonError> {
        let (targets, assumed) = targets_by_role(&daemon.settings, &daemon.directories.runtime)?;
        // The settings may have been read again since the sockets were bound.
        rules.put(Rules::read(&daemon.settings, &daemon.directories.runtime)?);
        let outcomes = targets.iter().map(|_| TargetOutcome::default()).collect();
        // What an earlier run left stays while it is valid. A file that cannot be read is reported
        // when it is written.
        let left = targets.iter().filter_map(|target| published(target).ok()?);
        let published_until = left.filter_map(|published| published.expires_at).max();
        let now = ssm.clock().now();
        let runtime = &daemon.directories.runtime;
        let earlier = held::take_back(runtime, &registration.instance_id, now);
        let earlier = earlier.unwrap_or_else(|error| {
            tracing::warn!("nothing is taken back of the run before: {error}");
            None
        });
        let refresher = Refresher::new(policy(&daemon), published_until, now)
            .with_earlier(earlier.map(Arc::new));
        let consumers = consumers(&daemon);
        let reloads = Reloads::new(runtime, &daemon.seams, ssm.clock());
        let mut driver = Self {
            registration,
            record: vault.fingerprint_record()?,
            daemon,
            shelf,
            rules,
            vault,
            ssm,
            refresher,
            targets,
            outcomes,
            similarity: None,
            failure: None,
            rotation: rotation::Pace::default(),
            consumers,
            roles: Roles::default(),
            reloads,
            means: None,
            ready: false,
            line: String::new(),
        };
        driver.reloads.engage(&driver.daemon.settings, &driver.shelf);
        driver.engage(assumed)?;
        Ok(driver)
    }

    /// Runs until it is dropped. `waiting` are orders that came before there was a driver.
    pub(super) async fn run(
        mut self,
        mut inbox: mpsc::Receiver<Order>,
        waiting: Vec<Order>,
    ) -> Result<(), DaemonError> {
        self.handle(Event::Deadline).await;
        for order in waiting {
            match order.wish {
                // That is what has just been done. Who asked may have left.
                Wish::Refresh => self.answer_refresh(order.reply),
                _ => self.obey(order).await,
            }
        }
        loop {
            service_manager::alive();
            let pause = service_manager::within_watchdog(self.pause());
            tokio::select! {
                Some(order) = inbox.recv() => self.obey(order).await,
                Some(settings) = self.daemon.reloads.recv() => {
                    self.daemon.settings = settings;
                    self.reload().await;
                }
                () = self.daemon.seams.clock.sleep(pause) => self.handle(Event::Deadline).await,
            }
        }
    }

    /// Until the next deadline, a minute at most.
    fn pause(&self) -> Duration {
        let wait = self.refresher.next_deadline() - self.ssm.clock().now();
        Duration::try_from(wait).unwrap_or(Duration::ZERO).min(TICK)
    }

    /// One event and all that follows from it.
    async fn handle(&mut self, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let jitter = self.seams().entropy.jitter();
            let actions = self.refresher.handle(event, jitter, self.ssm.clock().now());
            for action in actions {
                events.extend(self.perform(action).await);
            }
            self.report();
        }
    }

    async fn perform(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::ProbeHardware => Some(self.probe()),
            Action::Publish(token) => Some(self.publish(&token)),
            Action::RequestToken(ask_as) => {
                // What was decided shows before anybody is waited for.
                self.report();
                Some(self.request_token(ask_as).await)
            }
            Action::RotateKey => self.rotate_key().await,
            Action::Withdraw => Some(self.withdraw()),
        }
    }

    fn probe(&mut self) -> Event {
        let seams = self.seams();
        let settled = seams.clock.since_boot() > BOOT;
        let observation = seams.probe.observe();
        for (attribute, reason) in observation.unreadable() {
            tracing::debug!(%attribute, reason, "not readable");
        }
        let similarity = compare(&self.record.hardware_hash, &observation, self.record.threshold);
        let verdict = similarity.verdict;
        let before = self.similarity.replace(similarity).map(|similarity| similarity.verdict);
        if let Some(similarity) = &self.similarity
            && before != Some(verdict)
        {
            match verdict {
                Verdict::Different => tracing::error!("hardware {similarity}"),
                Verdict::Similar | Verdict::Disabled => tracing::info!("hardware {similarity}"),
            }
        }
        Event::Hardware { verdict, settled }
    }

    async fn request_token(&mut self, ask_as: AskAs) -> Event {
        let answer = match ask_as {
            AskAs::Registered => self.request_registered().await,
            AskAs::Stranger => self.request_as_stranger().await,
        };
        let now = self.ssm.clock().now();
        let answer = answer.and_then(|token| match ask_as {
            AskAs::Stranger => Err(LastFailure::given_to_a_stranger()),
            AskAs::Registered if token.is_dead_on_arrival(now) => {
                Err(LastFailure::dead_on_arrival(&token))
            }
            AskAs::Registered => Ok(token),
        });
        match answer {
            Ok(token) => {
                self.failure = None;
                Event::Token(Arc::new(token))
            }
            Err(LastFailure { class, complaint }) => {
                let (message, remedy) = (&complaint.message, &complaint.remedy);
                tracing::warn!(class = class.name(), "{message}; try: {remedy}");
                self.failure = Some(LastFailure { class, complaint });
                Event::Failed(class)
            }
        }
    }

    /// A rotation that was interrupted comes first: its proof is a token, and until it is settled
    /// nobody knows which key the service holds.
    async fn request_registered(&mut self) -> Result<RoleToken, LastFailure> {
        let resume = self.rotation.may_resume(self.since_boot());
        if let Some(settled) = resume
            && let Some(token) = self.resume_rotation(settled).await?
        {
            return Ok(token);
        }
        let fingerprint = self.record.fingerprint;
        match self.ssm.request_role_token(&self.instance_key(), fingerprint).await {
            // The new key arrived while the rotation was waiting.
            Err(error) if resume.is_none() && rotation::refuses_signature(&error) => {
                self.resume_rotation(false).await?.ok_or_else(|| error.into())
            }
            answer => Ok(answer?),
        }
    }

    /// Goes on with a rotation that is under way, if there is one; its token, where it has one.
    async fn resume_rotation(&mut self, settled: bool) -> Result<Option<RoleToken>, VaultError> {
        let Some(staged) = self.vault.staged_key()? else { return Ok(None) };
        let fingerprint = self.record.fingerprint;
        let outcome =
            rotation::resume(&mut self.vault, &self.ssm, fingerprint, staged, settled).await?;
        Ok(self.rotated(outcome))
    }

    /// With a fingerprint that the service has never seen, kept beside the registered one.
    async fn request_as_stranger(&mut self) -> Result<RoleToken, LastFailure> {
        let fingerprint = match self.vault.substitute_fingerprint()? {
            Some(substitute) => substitute.fingerprint,
            None => self.make_substitute()?,
        };
        Ok(self.ssm.request_role_token(&self.instance_key(), fingerprint).await?)
    }

    fn make_substitute(&mut self) -> Result<Fingerprint, VaultError> {
        let mut bytes = [0; 16];
        self.seams().entropy.fill(&mut bytes);
        let substitute = FingerprintRecord {
            fingerprint: Fingerprint::from_random_bytes(bytes),
            hardware_hash: self.seams().probe.observe().hash(),
            threshold: self.record.threshold,
        };
        self.vault.store_substitute_fingerprint(&substitute, self.ssm.clock().now())?;
        Ok(substitute.fingerprint)
    }

    fn publish(&mut self, token: &RoleToken) -> Event {
        let (announcer, now) = (self.reloads.announcer(), self.ssm.clock().now());
        let complete = self.deliver(|target| announcer.deliver(target, token, now));
        let runtime = &self.daemon.directories.runtime;
        if let Err(error) = held::keep(runtime, &self.registration.instance_id, token) {
            tracing::warn!("the next run will have nothing to begin with: {error}");
        }
        tracing::info!(
            expires_at = %Moment(token.expires_at),
            targets = self.targets.len(),
            complete,
            "credentials renewed",
        );
        Event::Delivered { complete }
    }

    fn withdraw(&mut self) -> Event {
        let announcer = self.reloads.announcer();
        let complete = self.deliver(|target| announcer.withdraw(target));
        if let Err(error) = held::forget(&self.daemon.directories.runtime) {
            tracing::warn!("{error}");
        }
        tracing::warn!(complete, "credentials withdrawn from the files");
        Event::Delivered { complete }
    }

    /// Heeds the service's wish for a new key.
    async fn rotate_key(&mut self) -> Option<Event> {
        if !self.rotation.may_begin(self.since_boot()) {
            return None;
        }
        match self.rotate().await {
            Ok(token) => token.map(|token| Event::Token(Arc::new(token))),
            Err(complaint) => {
                tracing::warn!("{}; try: {}", complaint.message, complaint.remedy);
                None
            }
        }
    }

    async fn rotate(&mut self) -> Result<Option<RoleToken>, Complaint> {
        let fingerprint = self.record.fingerprint;
        let outcome = rotation::rotate(&mut self.vault, &self.ssm, fingerprint)
            .await
            .map_err(|error| Complaint::of(&error))?;
        let waits = match &outcome {
            RotationOutcome::Waits { because, .. } => Some(because.to_string()),
            RotationOutcome::Promoted { .. } | RotationOutcome::Abandoned { .. } => None,
        };
        let promoted = matches!(outcome, RotationOutcome::Promoted { .. });
        let token = self.rotated(outcome);
        match waits {
            _ if promoted => Ok(token),
            None => Err(Complaint::new(
                Exit::Refused,
                "the service refused the new key and keeps the old one",
                "rolekeeper rotate-key once more",
            )),
            Some(because) => Err(Complaint::new(
                Exit::TryAgain,
                format!("the key rotation is not over: {because}"),
                "again later: it goes on by itself, and both keys are kept",
            )),
        }
    }

    /// Takes over what a rotation led to; its token, where there is one.
    fn rotated(&mut self, outcome: RotationOutcome) -> Option<RoleToken> {
        self.rotation.note(&outcome, self.since_boot());
        match outcome {
            RotationOutcome::Promoted { registration, token } => {
                tracing::info!("the RSA key was replaced");
                self.registration = *registration;
                token
            }
            RotationOutcome::Abandoned { token } => {
                tracing::warn!("the service refused the new RSA key; the old one stays");
                token
            }
            RotationOutcome::Waits { because, token } => {
                tracing::warn!(%because, "the key rotation waits");
                token
            }
        }
    }

    /// New settings: targets, roles, rules and pace at once, the connection at the next start.
    async fn reload(&mut self) {
        let (settings, directory) = (&self.daemon.settings, &self.daemon.directories.runtime);
        let read = Rules::read(settings, directory)
            .and_then(|rules| Ok((rules, targets_by_role(settings, directory)?)));
        match read {
            Ok((rules, (targets, assumed))) => {
                // What changes hands is emptied first, and nobody is let in before that shows.
                self.roles.dismiss(&assumed).await;
                self.retarget(targets);
                self.reloads.engage(&self.daemon.settings, &self.shelf);
                self.consumers = consumers(&self.daemon);
                self.rules.put(rules);
                self.report();
                self.refresher.set_policy(policy(&self.daemon));
                self.roles.set_policy(policy(&self.daemon)).await;
                if let Err(error) = self.engage(assumed) {
                    tracing::error!("{error}; no new role is assumed; try: {}", error.remedy());
                }
                tracing::info!("settings reloaded");
                self.handle(Event::Retargeted).await;
            }
            Err(error) => {
                tracing::error!("{error}; the targets stay as they were; try: {}", error.remedy());
            }
        }
        self.handle(Event::Nudged).await;
    }

    /// Starts the tasks of those targets with a role of their own that have none yet.
    fn engage(&mut self, assumed: Vec<AssumedOutlet>) -> Result<(), DaemonError> {
        if assumed.is_empty() {
            return Ok(());
        }
        let means = match self.means.take() {
            Some(means) => means,
            None => {
                let clock = self.ssm.clock().clone();
                let region = self.registration.region.clone();
                let connection = sts_connection(&self.daemon.settings, region);
                Means {
                    sts: Sts::new(&connection, clock.clone())?,
                    session_name: SessionName::of_instance(&self.registration.instance_id),
                    clock,
                    entropy: Arc::clone(&self.seams().entropy),
                    announcer: self.reloads.announcer(),
                    turns: Turns::default(),
                }
            }
        };
        self.roles.engage(assumed, &means, policy(&self.daemon), &self.shelf);
        self.means = Some(means);
        Ok(())
    }

    /// What stays keeps its history; what is no target any more loses our keys, which nobody would
    /// renew.
    fn retarget(&mut self, targets: Vec<Target>) {
        let before = std::mem::take(&mut self.targets);
        let outcomes = std::mem::take(&mut self.outcomes);
        let mut before = before.into_iter().zip(outcomes).collect::<Vec<_>>();
        let outcomes = targets.iter().map(|target| {
            let same = before.iter().position(|(earlier, _)| earlier == target);
            same.map(|index| before.swap_remove(index).1).unwrap_or_default()
        });
        self.outcomes = outcomes.collect();
        self.targets = targets;
        let goes_on = |gone: &Target| {
            let mut targets = self.targets.iter();
            targets.any(|target| target.path == gone.path && target.profile == gone.profile)
        };
        for (gone, mut outcome) in before.into_iter().filter(|(gone, _)| !goes_on(gone)) {
            let withdrawn = self.reloads.announcer().withdraw(&gone);
            outcome.note(&gone, withdrawn, self.ssm.clock().now());
        }
    }

    /// Does one thing to every target, and says whether all took it.
    fn deliver(&mut self, act: impl Fn(&Target) -> Result<Delivery, TargetError>) -> bool {
        let now = self.ssm.clock().now();
        for (target, outcome) in self.targets.iter().zip(&mut self.outcomes) {
            outcome.note(target, act(target), now);
        }
        self.outcomes.iter().all(|outcome| outcome.complaint().is_none())
    }

    /// Tells everybody who only reads.
    fn report(&mut self) {
        let report = report::Report {
            now: self.ssm.clock().now(),
            region: self.ssm.region(),
            registration: &self.registration,
            refresher: &self.refresher,
            similarity: self.similarity.as_ref(),
            targets: &self.targets,
            outcomes: &self.outcomes,
            failure: self.failure.as_ref(),
        };
        let status = report.status();
        let line = report::line(&status);
        let targets = self.targets.iter().map(|target| &target.name);
        let registered = targets.chain(&self.consumers).cloned().collect();
        self.shelf.put(status, report.token().cloned(), registered);
        let settled = self.failure.is_some() || self.refresher.token().is_some();
        if settled && !self.ready {
            self.ready = true;
            service_manager::ready(&line);
        } else if self.ready && line != self.line {
            service_manager::status(&line);
        }
        self.line = line;
    }

    fn instance_key(&self) -> InstanceKey {
        rotation::instance_key(&self.registration)
    }

    fn since_boot(&self) -> Duration {
        self.seams().clock.since_boot()
    }

    fn seams(&self) -> &Seams {
        &self.daemon.seams
    }
}

fn policy(daemon: &Daemon) -> Policy {
    Policy {
        interval: daemon.settings.interval.value,
        withdraw_expired: daemon.settings.on_expiry.value == crate::config::OnExpiry::Withdraw,
    }
}

fn consumers(daemon: &Daemon) -> Vec<String> {
    let consumers = daemon.settings.consumers.iter();
    let registered = consumers.filter(|one| one.assumption.is_none() && one.target.is_none());
    registered.map(|consumer| consumer.name.clone()).collect()
}
