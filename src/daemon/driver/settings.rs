//! New settings: read again, put in force, kept for a start that cannot read them.

use std::net::SocketAddr;
use std::time::Duration;

use super::super::access::missing_programs;
use super::super::report::TargetOutcome;
use super::super::rules::{Listen, Rules};
use super::super::settings;
use super::super::targets::{AssumedOutlet, Outlets};
use super::{Driver, EXECUTABLES, IDENTITY, LEFTOVERS, SERVICE, policy, wanted};
use crate::control::Complaint;
use crate::host::clock::timeout;
use crate::pure::advice::Advice;
use crate::pure::refresher::{Condition, Event};
use crate::shelf::EndpointStatus;
use crate::targets::{Target, published};

/// How long a reload waits for endpoints to close and to open.
const PATIENCE: Duration = Duration::from_secs(5);

impl Driver {
    /// Reads the settings again, and says what became of that.
    pub(super) async fn reload(&mut self) -> Result<String, Complaint> {
        match self.daemon.read_again().await {
            Ok(differs) => self.warnings.put(IDENTITY, differs),
            Err(complaint) => {
                self.report();
                return Err(complaint);
            }
        }
        self.accounts.wait_for(&self.daemon.settings).await;
        self.apply().await;
        self.keep_settings();
        tracing::info!("settings reloaded");
        let not_in_force = [IDENTITY, SERVICE].iter().find_map(|it| self.warnings.get(it));
        let reloaded = settings::outcome(&self.disabled, not_in_force.cloned())?;
        self.settle().await;
        match settings::shortfall(&self.shelf.reader().look().status) {
            Some(shortfall) => Err(shortfall),
            None => Ok(reloaded),
        }
    }

    /// Waits until token files and endpoints are as the settings have them, or it shows that they cannot be.
    async fn settle(&self) {
        let files = self.rules.token_files().borrow().clone();
        self.keyring.renew(&files, &*self.seams().entropy, self.since_boot());
        let listen = *self.rules.listen().borrow();
        let mut shelf = self.shelf.reader();
        let shown = async {
            while !shows(&shelf.look().status.endpoints, listen) {
                if shelf.changed().await.is_none() {
                    return;
                }
            }
        };
        // Whoever waits for longer looks at the status.
        let _ = timeout(PATIENCE, shown).await;
    }

    /// Looks whether what was wrong with the settings, or with one target or consumer, has gone.
    pub(super) async fn look_again(&mut self) {
        if self.daemon.trouble.is_some() {
            // What is wrong is in the log and in the status.
            let _ = self.reload().await;
        } else if self.daemon.settings.files.lack_a_policy() {
            let files = self.daemon.settings.files.clone();
            match self.daemon.reader.complete(files).await {
                Ok(settings) if settings.files != self.daemon.settings.files => {
                    let differs = self.daemon.take_settings(settings);
                    self.warnings.put(IDENTITY, differs);
                    self.apply().await;
                    self.keep_settings();
                }
                // It still cannot be read, as the status says.
                _ => {}
            }
        }
        self.accounts.begin(&self.daemon.settings);
        self.warnings.put(EXECUTABLES, missing_programs(&self.daemon.settings));
        self.withdraw_left();
    }

    /// Puts the settings in force: all but the source of the daemon's own credentials, which stays until
    /// the next start.
    pub(super) async fn apply(&mut self) {
        let rules = self.daemon.rules(&self.accounts);
        rules.log(&self.disabled);
        let Outlets { registered, without_file, assumed } = rules.outlets.clone();
        // What changes hands is emptied first, and nobody is let in before that shows.
        let wanted = wanted(&self.provider.identity(), &registered, &assumed);
        let left = self.roles.dismiss(&assumed, |target| rules.may_be_unserved(target)).await;
        self.left.extend(left);
        self.retarget(registered, &assumed, &rules);
        // Whatever else is there: what could not be emptied by name, for one.
        let (_, emptied) =
            self.record.withdraw_leftovers(&wanted, |target| rules.may_be_unserved(target));
        self.warnings.put(LEFTOVERS, emptied.err());
        self.reloads.engage(&self.daemon.settings, &self.shelf);
        self.consumers = without_file;
        self.rules.put(&rules);
        self.disabled = rules.disabled;
        self.warnings.put(EXECUTABLES, missing_programs(&self.daemon.settings));
        self.report();
        self.follow_service().await;
        self.refresher.set_policy(policy(&self.daemon));
        self.roles.set_policy(policy(&self.daemon)).await;
        self.roles.retarget(&assumed).await;
        // Those that begin now have not failed yet.
        self.roles.try_again().await;
        if let Err(error) = self.engage(assumed) {
            tracing::error!("{error}; no new role is assumed; try: {}", error.remedy());
        }
        self.handle(Event::Retargeted).await;
    }

    /// For a start that cannot read them, or cannot go by them: what is not in force is not kept.
    pub(super) fn keep_settings(&self) {
        let is_in_force = [IDENTITY, SERVICE].iter().all(|it| self.warnings.get(it).is_none());
        if self.daemon.trouble.is_none() && is_in_force {
            self.daemon.reader.keep(&self.daemon.directories.state, &self.daemon.settings);
        }
    }

    /// What stays keeps its history; what is no target any more loses our keys, which nobody would
    /// renew. What is only disabled keeps them until they end.
    fn retarget(&mut self, targets: Vec<Target>, assumed: &[AssumedOutlet], rules: &Rules) {
        let before = std::mem::take(&mut self.targets);
        let outcomes = std::mem::take(&mut self.outcomes);
        let mut before = before.into_iter().zip(outcomes).collect::<Vec<_>>();
        let outcomes = targets.iter().map(|target| {
            let same = before.iter().position(|(earlier, _)| earlier == target);
            same.map(|index| before.swap_remove(index).1).unwrap_or_default()
        });
        self.outcomes = outcomes.collect();
        self.targets = targets;
        let assumed = assumed.iter().filter_map(|outlet| outlet.target.as_ref());
        let wanted = self.targets.iter().chain(assumed).collect::<Vec<_>>();
        let goes_on = |gone: &Target| {
            let mut targets = wanted.iter();
            targets.any(|target| target.is_in_place_of(gone))
        };
        let left = std::mem::take(&mut self.left).into_iter();
        let gone = left.chain(before.into_iter().map(|(gone, _)| gone));
        for gone in gone.filter(|gone| !goes_on(gone)).collect::<Vec<_>>() {
            if rules.may_be_unserved(&gone) {
                self.left.push(gone);
                continue;
            }
            let withdrawn = self.reloads.announcer().withdraw(&gone);
            TargetOutcome::default().note(&gone, withdrawn, self.clock.now());
        }
    }

    /// Takes our keys out of the files of disabled targets once they have ended, as the settings have
    /// it; on another machine at once.
    pub(super) fn withdraw_left(&mut self) {
        let (now, mismatch) =
            (self.clock.now(), self.refresher.condition(self.clock.now()) == Condition::Mismatch);
        let withdraws = policy(&self.daemon).withdraw_expired;
        let announcer = self.reloads.announcer();
        self.left.retain(|target| {
            let held = published(target).ok().flatten();
            let ended = held.and_then(|held| held.expires_at).is_some_and(|end| end <= now);
            let over = mismatch || (ended && withdraws);
            if over {
                TargetOutcome::default().note(target, announcer.withdraw(target), now);
            }
            !over
        });
    }
}

/// Whether the endpoints that are shown are those that are wanted, at their addresses.
fn shows(endpoints: &[EndpointStatus], wanted: Listen) -> bool {
    let address = |kind: &str| {
        let endpoint = endpoints.iter().find(|endpoint| endpoint.kind == kind)?;
        endpoint.address.parse::<SocketAddr>().ok()
    };
    let is_there = |kind, wanted: Option<SocketAddr>| match (wanted, address(kind)) {
        (Some(wanted), Some(shown)) => {
            wanted == shown || wanted.port() == 0 && wanted.ip() == shown.ip()
        }
        (wanted, shown) => wanted == shown,
    };
    is_there("container", wanted.container) && is_there("imds", wanted.imds)
}
