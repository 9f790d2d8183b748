//! Performs what the refresher decides. Owns the provider, the targets and the shelf; nobody else
//! writes them.

mod orders;
mod settings;
mod upkeep;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use time::UtcDateTime;
use tokio::sync::mpsc;

use super::access::missing_programs;
use super::accounts::AccountLookup;
use super::assumption::{Means, Turns};
use super::decisions;
use super::deliveries::{DeliveryRecord, Wanted};
use super::keyring::Keyring;
use super::provider::{Footing, Provider, Reach};
use super::reload::Reloads;
use super::report::{self, LastFailure, TargetOutcome};
use super::roles::Roles;
use super::rules::{Rulebook, Rules};
use super::targets::{AssumedOutlet, Outlets};
use super::warnings::Warnings;
use super::{Daemon, DaemonError, Seams, held, sts_connection};
use crate::control::{Order, Wish};
use crate::host::clock::ServiceClock;
use crate::host::file_watch::{Stamp, Ticker};
use crate::host::service_manager;
use crate::pure::advice::Advice;
use crate::pure::deliveries::Holder;
use crate::pure::disabled::Disabled;
use crate::pure::refresher::{Action, AskAs, Event, Policy, Refresher};
use crate::pure::role_token::RoleToken;
use crate::shelf::{Moment, Shelf};
use crate::sts::Sts;
use crate::targets::{Delivered, Target, TargetError, published};

/// Time is looked at again at least this often: suspend and clock steps do no harm.
const TICK: Duration = Duration::from_secs(60);

/// The warning that keys of an earlier run could not be withdrawn.
const LEFTOVERS: &str = "leftovers";

/// What the warning is about that a program of the rules is not there.
const EXECUTABLES: &str = "executables";

/// What the warning is about that a source of credentials waits for the next start.
const IDENTITY: &str = "identity";

/// What the warning is about that the service cannot be reached as the settings have it.
const SERVICE: &str = "service";

/// The one writer.
#[derive(Debug)]
pub(super) struct Driver {
    daemon: Daemon,
    shelf: Shelf,
    rules: Rulebook,
    keyring: Keyring,
    accounts: AccountLookup,
    disabled: Vec<Disabled>,
    clock: ServiceClock,
    provider: Provider,
    refresher: Refresher,
    targets: Vec<Target>,
    outcomes: Vec<TargetOutcome>,
    /// Files of targets that are disabled now: what they hold is left until it ends.
    left: Vec<Target>,
    failure: Option<LastFailure>,
    /// What the targets got last, from this run or the one before.
    published: Option<Arc<RoleToken>>,
    /// Names of those who have the registered role's credentials and no file.
    consumers: Vec<String>,
    roles: Roles,
    reloads: Reloads,
    means: Option<Means>,
    /// Those with a role of their own, until it is known where and as whom roles are assumed.
    waiting: Vec<AssumedOutlet>,
    /// What `means` reaches STS by.
    sts_reach: Option<Reach>,
    warnings: Warnings,
    record: DeliveryRecord,
    /// The record for the next run, as it was kept.
    kept: Option<Stamp>,
    /// Looks in a row that found no runtime directory, and could not make one.
    lost: u32,
    ready: bool,
    /// What the service manager was told last.
    line: String,
}

impl Driver {
    pub(super) fn new(
        daemon: Daemon,
        shelf: Shelf,
        rules: Rulebook,
        accounts: AccountLookup,
        clock: ServiceClock,
        provider: Provider,
        keyring: Keyring,
    ) -> Result<Self, DaemonError> {
        // The settings may have been read again since the sockets were bound.
        let read = daemon.rules(&accounts);
        rules.put(&read);
        let record = DeliveryRecord::open(&daemon.directories.state);
        let Outlets { registered, assumed, .. } = &read.outlets;
        let wanted = wanted(&provider.identity(), registered, assumed);
        let (left, emptied) =
            record.withdraw_leftovers(&wanted, |target| read.may_be_unserved(target));
        let mut warnings = Warnings::default();
        warnings.put(LEFTOVERS, emptied.err());
        warnings.put(EXECUTABLES, missing_programs(&daemon.settings));
        let Rules { disabled, outlets, .. } = read;
        let Outlets { registered: targets, without_file: consumers, assumed } = outlets;
        // What an earlier run left stays while it is valid. A file that cannot be read is reported
        // when it is written.
        let ends = targets.iter().map(|target| published(target).ok()??.expires_at);
        let ends = ends.collect::<Vec<_>>();
        let published_until = ends.iter().flatten().max().copied();
        let outcomes = ends.into_iter().map(TargetOutcome::left).collect();
        let earlier = earlier(&daemon, &provider, clock.now()).map(Arc::new);
        let refresher = Refresher::new(policy(&daemon), published_until, clock.now())
            .with_earlier(earlier.clone());
        let (runtime, kept) = (&daemon.directories.runtime, record.clone());
        let reloads = Reloads::new(runtime, kept, &daemon.seams, &clock);
        let mut driver = Self {
            daemon,
            shelf,
            rules,
            keyring,
            accounts,
            disabled,
            clock,
            provider,
            refresher,
            targets,
            outcomes,
            left,
            failure: None,
            published: earlier,
            consumers,
            roles: Roles::default(),
            reloads,
            means: None,
            waiting: Vec::new(),
            sts_reach: None,
            warnings,
            record,
            kept: None,
            lost: 0,
            ready: false,
            line: String::new(),
        };
        driver.reloads.engage(&driver.daemon.settings, &driver.shelf);
        driver.engage(assumed)?;
        driver.keep_settings();
        Ok(driver)
    }

    /// Runs until it is dropped. `waiting` are orders that came before there was a driver.
    pub(super) async fn run(
        mut self,
        mut inbox: mpsc::Receiver<Order>,
        waiting: Vec<Order>,
    ) -> Result<(), DaemonError> {
        self.look_at_vault();
        self.follow_service().await;
        self.handle(Event::Deadline).await;
        let mut ticker = Ticker::new();
        for (wish, asked) in orders::merged(waiting) {
            match wish {
                // That is what has just been done.
                Wish::Refresh => self.answer_refresh(asked),
                _ => self.obey(wish, asked).await,
            }
        }
        let mut steps = self.clock.steps();
        let mut next_look = self.since_boot() + TICK;
        loop {
            service_manager::alive();
            let pause = service_manager::within_watchdog(self.pause());
            tokio::select! {
                Some(order) = inbox.recv() => self.obey_all(order, &mut inbox).await,
                Some(()) = self.daemon.reloads.recv() => {
                    // What is wrong is in the log and in the status.
                    let _ = self.reload().await;
                    self.handle(Event::Nudged).await;
                }
                news = self.accounts.end() => if news { self.apply().await },
                () = ticker.tick() => {
                    self.look_around().await?;
                    // Each tick begins the pause below anew, which alone would never come to its end.
                    if self.since_boot() >= next_look {
                        next_look = self.since_boot() + TICK;
                        self.look_again().await;
                        self.handle(Event::Deadline).await;
                    }
                }
                () = self.clock.sleep(pause) => {
                    self.look_again().await;
                    self.handle(Event::Deadline).await;
                }
                Some(()) = steps.next() => self.note_step().await,
            }
        }
    }

    /// The wall clock was set: what failed for it may succeed, and what has ended by it is not handed
    /// out until the service was heard.
    async fn note_step(&mut self) {
        if self.clock.estimate().is_doubted() {
            tracing::warn!(
                seconds = -self.clock.skew().whole_seconds(),
                "the clock was set ahead, or this machine was paused: asking the service what time it is"
            );
        } else {
            tracing::info!("the clock was set");
        }
        self.handle(Event::ClockSet).await;
    }

    /// Until the next deadline, a minute at most.
    fn pause(&self) -> Duration {
        let wait = self.refresher.next_deadline() - self.clock.now();
        Duration::try_from(wait).unwrap_or(Duration::ZERO).min(TICK)
    }

    /// One event and all that follows from it.
    async fn handle(&mut self, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let jitter = self.seams().entropy.jitter();
            let heard = decisions::of_refresher(&event);
            let actions = self.refresher.handle(event, jitter, self.clock.estimate());
            let decided = actions.iter().map(decisions::by_refresher).collect::<Vec<_>>();
            decisions::log("registered role", heard, &decided);
            for action in actions {
                events.extend(self.perform(action).await);
            }
            self.report();
        }
    }

    async fn perform(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::ProbeHardware => Some(self.provider.probe()),
            Action::Publish(token) => Some(self.publish(token)),
            Action::RequestToken(ask_as) => {
                // What was decided shows before anybody is waited for.
                self.report();
                Some(self.request_token(ask_as).await)
            }
            Action::RotateKey => self.rotate_key().await,
            Action::Withdraw => Some(self.withdraw()),
        }
    }

    async fn request_token(&mut self, ask_as: AskAs) -> Event {
        let answer = self.provider.request_token(ask_as).await;
        let now = self.clock.now();
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
                self.engage_waiting();
                Event::Token(Arc::new(token))
            }
            Err(failure) => {
                let failure = match ask_as {
                    AskAs::Stranger => failure.of_a_stranger(self.provider.similarity()),
                    AskAs::Registered => failure,
                };
                let LastFailure { class, complaint } = failure;
                let (message, remedy) = (&complaint.message, &complaint.remedy);
                tracing::warn!(class = class.name(), "{message}; try: {remedy}");
                self.failure = Some(LastFailure { class, complaint });
                Event::Failed(class)
            }
        }
    }

    fn publish(&mut self, token: Arc<RoleToken>) -> Event {
        let (announcer, now) = (self.reloads.announcer(), self.clock.now());
        let is_news = self.published.replace(Arc::clone(&token)).is_none_or(|it| it != token);
        let token = &*token;
        let holder = Holder::of(&self.provider.identity(), None);
        // All at once: each waits for the disk.
        self.record.announce(&self.targets, token, &holder);
        let complete = self.deliver(|target| announcer.deliver(target, token, &holder, now));
        let runtime = &self.daemon.directories.runtime;
        if let Some(id) = self.provider.registered() {
            if let Err(error) = held::keep(runtime, id, token) {
                tracing::warn!("the next run will have nothing to begin with: {error}");
            }
            self.kept = held::stamp(runtime);
        }
        tracing::info!(
            expires_at = %Moment(token.expires_at),
            targets = self.targets.len(),
            complete,
            "credentials {}",
            if is_news { "renewed" } else { "delivered" },
        );
        Event::Delivered { complete }
    }

    fn withdraw(&mut self) -> Event {
        let announcer = self.reloads.announcer();
        let complete = self.deliver(|target| announcer.withdraw(target));
        self.outcomes.iter_mut().for_each(TargetOutcome::was_a_withdrawal);
        self.withdraw_left();
        self.kept = None;
        if let Err(error) = held::forget(&self.daemon.directories.runtime) {
            tracing::warn!("{error}");
        }
        tracing::warn!(complete, "credentials withdrawn from the files");
        Event::Delivered { complete }
    }

    /// Heeds the service's wish for a new key.
    async fn rotate_key(&mut self) -> Option<Event> {
        let token = self.provider.hybrid().ok()?.heed_rotation().await?;
        Some(Event::Token(Arc::new(token)))
    }

    /// Starts the tasks of those with a role of their own that have none yet.
    fn engage(&mut self, assumed: Vec<AssumedOutlet>) -> Result<(), DaemonError> {
        self.waiting.clear();
        if assumed.is_empty() {
            return Ok(());
        }
        let means = match self.means.take() {
            Some(means) => means,
            None => match self.provider.footing()? {
                Some(footing) => self.means_by(footing)?,
                None => {
                    self.waiting = assumed;
                    return Ok(());
                }
            },
        };
        self.roles.engage(assumed, &means, policy(&self.daemon), &self.shelf);
        self.means = Some(means);
        Ok(())
    }

    /// The first token has told what they waited for.
    fn engage_waiting(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        if let Err(error) = self.engage(waiting) {
            tracing::error!("{error}; no role is assumed; try: {}", error.remedy());
        }
    }

    fn means_by(
        &mut self,
        Footing { region, session_name }: Footing,
    ) -> Result<Means, DaemonError> {
        let reach = Reach::in_any_case(sts_connection(&self.daemon.settings, region));
        let sts = Sts::new(&reach.connection, self.clock.clone())?;
        self.sts_reach = Some(reach);
        Ok(Means {
            sts,
            identity: self.provider.identity(),
            session_name,
            clock: self.clock.clone(),
            entropy: Arc::clone(&self.seams().entropy),
            announcer: self.reloads.announcer(),
            turns: Turns::default(),
        })
    }

    /// Does one thing to every target, and says whether all took it.
    fn deliver(&mut self, act: impl Fn(&Target) -> Result<Delivered, TargetError>) -> bool {
        let now = self.clock.now();
        for (target, outcome) in self.targets.iter().zip(&mut self.outcomes) {
            outcome.note(target, act(target), now);
        }
        self.outcomes.iter().all(|outcome| outcome.complaint().is_none())
    }

    /// Tells everybody who only reads.
    fn report(&mut self) {
        let settled = self.ready || self.failure.is_some() || self.refresher.token().is_some();
        let report = report::Report {
            is_settled: settled,
            time: self.clock.estimate(),
            whose: self.provider.whose(),
            refresher: &self.refresher,
            similarity: self.provider.similarity(),
            targets: &self.targets,
            outcomes: &self.outcomes,
            failure: self.failure.as_ref(),
            disabled: &self.disabled,
            settings: self.daemon.trouble.as_ref(),
            warnings: &self.warnings,
        };
        let status = report.status();
        let line = report::line(&status);
        let targets = self.targets.iter().map(|target| &target.name);
        let registered = targets.chain(&self.consumers).cloned().collect();
        self.shelf.put(status, report.token().cloned(), registered);
        if settled && !self.ready {
            self.ready = true;
            service_manager::ready(&line);
        } else if self.ready && line != self.line {
            service_manager::status(&line);
        }
        self.line = line;
    }

    fn since_boot(&self) -> Duration {
        self.seams().clock.since_boot()
    }

    fn seams(&self) -> &Seams {
        &self.daemon.seams
    }
}

/// What the run before held of the same registration. Other sources answer again at once: of them
/// nothing is kept.
fn earlier(daemon: &Daemon, provider: &Provider, now: UtcDateTime) -> Option<RoleToken> {
    let runtime = &daemon.directories.runtime;
    let earlier = match provider.registered() {
        Some(id) => held::take_back(runtime, id, now),
        None => held::forget(runtime).map(|()| None),
    };
    earlier.unwrap_or_else(|error| {
        tracing::warn!("nothing is taken back of the run before: {error}");
        None
    })
}

fn wanted(identity: &str, registered: &[Target], assumed: &[AssumedOutlet]) -> Wanted {
    let holder = |assumption| Holder::of(identity, assumption);
    let place = |target: &Target| (target.path.clone(), target.profile.to_string());
    let own = registered.iter().map(|target| (place(target), holder(None)));
    let others = assumed.iter().filter_map(|outlet| {
        Some((place(outlet.target.as_ref()?), holder(Some(&outlet.assumption))))
    });
    own.chain(others).collect()
}

fn policy(daemon: &Daemon) -> Policy {
    Policy {
        interval: daemon.settings.interval.value,
        withdraw_expired: daemon.settings.on_expiry.value == crate::config::OnExpiry::Withdraw,
    }
}
