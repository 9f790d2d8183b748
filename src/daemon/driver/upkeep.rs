//! What goes missing under the daemon, or changes, while nobody asks it for anything: looked at every few
//! seconds, and put right.

use super::super::provider::Reach;
use super::super::{DaemonError, held, sts_connection};
use super::{Driver, LEFTOVERS, SERVICE};
use crate::control::Complaint;
use crate::host::directory;
use crate::host::service_manager;
use crate::host::socket::DIRECTORY_MODE;
use crate::pure::advice::Exit;
use crate::pure::refresher::{Condition, Event};
use crate::shelf::RECORD;
use crate::sts::Sts;

/// So many looks in a row find no runtime directory before the service manager is asked for one.
const PATIENCE: u32 = 2;

impl Driver {
    /// What somebody else has changed or removed is put right: the files, and the certificates by which
    /// AWS is known.
    ///
    /// # Errors
    ///
    /// When the runtime directory is gone, only the service manager can make it again, and a start
    /// would find credentials at once.
    pub(super) async fn look_around(&mut self) -> Result<(), DaemonError> {
        let was_out_of_reach = self.is_out_of_reach();
        self.follow_service().await;
        if was_out_of_reach && !self.is_out_of_reach() {
            self.look_again().await;
            self.roles.try_again().await;
            self.handle(Event::Nudged).await;
        }
        self.look_at_vault();
        if self.warnings.has(LEFTOVERS) {
            self.warnings.put(LEFTOVERS, self.record.try_again().err());
        }
        let trouble = self.look_at_runtime_directory();
        let runtime = &self.daemon.directories.runtime;
        let mut changed = self.kept.is_some() && held::stamp(runtime) != self.kept;
        for (target, outcome) in self.targets.iter().zip(&mut self.outcomes) {
            changed |= outcome.notice_change(target);
        }
        if changed {
            self.kept = held::stamp(runtime);
            self.reloads.restore_memory();
            self.handle(Event::Retargeted).await;
        }
        self.report();
        match trouble {
            Some(error) if self.wants_new_start() => Err(error),
            _ => Ok(()),
        }
    }

    /// A vault that cannot be written costs nothing today; one whose records are damaged costs the next
    /// start.
    pub(super) fn look_at_vault(&mut self) {
        let trouble = self.provider.look_at_vault();
        let is_lost = |trouble: &Complaint| trouble.exit == Exit::BadData as u8;
        let (record, vault) = match trouble {
            Some(trouble) if is_lost(&trouble) => (Some(trouble), None),
            trouble => (None, trouble),
        };
        self.warnings.put(RECORD, record);
        self.warnings.put("vault", vault);
    }

    /// Makes the directory again if somebody has removed it. In the service's sandbox that cannot be
    /// done: the directory was a mount of its own, in a file system that is read-only.
    fn look_at_runtime_directory(&mut self) -> Option<DaemonError> {
        let path = &self.daemon.directories.runtime;
        let made = directory::make(path, DIRECTORY_MODE);
        let error = made.err().map(|source| DaemonError::Socket { path: path.clone(), source });
        self.lost = if error.is_some() { self.lost.saturating_add(1) } else { 0 };
        let trouble = error.as_ref().map(|error| {
            let message = format!("the runtime directory was removed, and cannot be made: {error}");
            Complaint::new(Exit::CannotCreate, message, "systemctl restart rolekeeper")
        });
        self.warnings.put("runtime", trouble);
        error
    }

    /// Whether the service manager makes the directory and starts the daemon again, and nothing is lost
    /// by that: the service has answered just now.
    fn wants_new_start(&self) -> bool {
        let answered = self.failure.is_none()
            && self.refresher.condition(self.clock.now()) == Condition::Fresh;
        self.lost >= PATIENCE && service_manager::is_there() && answered
    }

    /// Reaches AWS as the settings say now. Where they cannot be followed, all stays as it was.
    pub(super) async fn follow_service(&mut self) {
        let followed = match self.provider.take_settings(&self.daemon.settings) {
            Ok(()) => self.follow_sts().await,
            failed => failed,
        };
        let trouble = followed.err().map(|error| {
            let Complaint { message, remedy, exit } = Complaint::of(&error);
            let message = match self.is_out_of_reach() {
                true => format!("AWS is out of reach: {message}"),
                false => format!("AWS is reached as before, and not by the settings: {message}"),
            };
            Complaint { message, remedy, exit }
        });
        self.warnings.put(SERVICE, trouble);
    }

    /// Whether somebody is asked who cannot be reached, for what this machine has lost.
    fn is_out_of_reach(&self) -> bool {
        self.provider.is_out_of_reach()
            || self.sts_reach.as_ref().is_some_and(Reach::is_out_of_reach)
    }

    async fn follow_sts(&mut self) -> Result<(), DaemonError> {
        let (Some(means), Some(footing)) = (&mut self.means, self.provider.footing()?) else {
            return Ok(());
        };
        let reach = Reach::of(sts_connection(&self.daemon.settings, footing.region));
        if self.sts_reach.as_ref() != Some(&reach) {
            means.sts = Sts::new(&reach.connection, self.clock.clone())?;
            self.roles.set_sts(&means.sts).await;
            self.sts_reach = Some(reach);
        }
        Ok(())
    }
}
