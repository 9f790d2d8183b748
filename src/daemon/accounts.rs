//! The users and groups that the settings name, looked up off the event loop: a directory server may
//! hang, or fail for a while, and neither is the end of those who are known.

use std::collections::BTreeMap;
use std::time::Duration;

use nix::unistd::{Gid, Uid};
use tokio::task::{JoinHandle, spawn_blocking};

use super::targets::GROUP;
use crate::config::{Settings, Table, Whom};
use crate::host::accounts::{self, AccountError, own_uid};
use crate::host::clock::timeout;

/// How long a start or a reload waits for the account database. Who is not known by then is looked up
/// again.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the account database said, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accounts {
    users: BTreeMap<String, Result<Uid, AccountError>>,
    groups: BTreeMap<String, Result<Gid, AccountError>>,
}

impl Accounts {
    /// Looks up every account that the settings name. Takes as long as the database does.
    pub fn look_up(settings: &Settings) -> Self {
        Names::of(settings).look_up()
    }

    /// The number of a user.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub fn user(&self, name: &str) -> Result<Uid, AccountError> {
        self.users.get(name).cloned().unwrap_or_else(|| Err(unanswered("user", name)))
    }

    /// The number of a group.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub fn group(&self, name: &str) -> Result<Gid, AccountError> {
        self.groups.get(name).cloned().unwrap_or_else(|| Err(unanswered("group", name)))
    }

    /// Whether all of them have numbers.
    fn are_complete(&self) -> bool {
        self.users.values().all(Result::is_ok) && self.groups.values().all(Result::is_ok)
    }

    /// Those whom the settings name no more are not known any more.
    fn forget_others(&mut self, names: &Names) {
        self.users.retain(|name, _| names.users.contains(name));
        self.groups.retain(|name, _| names.groups.contains(name));
    }

    /// A database that fails leaves the number that it gave before.
    fn with_earlier(mut self, earlier: &Self) -> Self {
        keep(&mut self.users, &earlier.users);
        keep(&mut self.groups, &earlier.groups);
        self
    }
}

/// The names that have to be looked up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Names {
    users: Vec<String>,
    groups: Vec<String>,
}

/// Looks names up again and again, one time after the other.
#[derive(Debug, Default)]
pub(super) struct AccountLookup {
    found: Accounts,
    under_way: Option<JoinHandle<Accounts>>,
}

impl AccountLookup {
    /// What is known now.
    pub(super) fn found(&self) -> &Accounts {
        &self.found
    }

    /// Looks up what the settings name, and waits a while for it.
    pub(super) async fn wait_for(&mut self, settings: &Settings) {
        self.found.forget_others(&Names::of(settings));
        // One that is under way may have begun before an account was made.
        let mut lookup = spawn(settings);
        match timeout(PATIENCE, &mut lookup).await {
            Ok(found) => self.take(found.unwrap_or_default()),
            Err(_) => {
                tracing::error!("the account database does not answer; it is asked again");
                self.take(Accounts::default());
                self.under_way = Some(lookup);
            }
        }
    }

    /// Begins to look up what the settings name, if anybody is missing and that is not under way: one
    /// that hangs holds one thread.
    pub(super) fn begin(&mut self, settings: &Settings) {
        if self.under_way.is_none() && !self.found.are_complete() {
            self.under_way = Some(spawn(settings));
        }
    }

    /// Waits for what was begun, for ever if nothing was; whether anything is known now that was not.
    pub(super) async fn end(&mut self) -> bool {
        let Some(lookup) = &mut self.under_way else { return std::future::pending().await };
        let found = lookup.await.unwrap_or_default();
        self.under_way = None;
        let before = self.found.clone();
        self.take(found);
        self.found != before
    }

    fn take(&mut self, found: Accounts) {
        self.found = found.with_earlier(&self.found);
    }
}

fn spawn(settings: &Settings) -> JoinHandle<Accounts> {
    let names = Names::of(settings);
    spawn_blocking(move || names.look_up())
}

impl Names {
    fn of(settings: &Settings) -> Self {
        let mut names = Self::default();
        // The default target's, which only root gives away.
        names.groups.extend(own_uid().is_root().then(|| GROUP.to_owned()));
        for target in settings.targets.in_order() {
            match target {
                Table::Usable(target) => {
                    names.users.extend(target.owner.clone());
                    names.groups.extend(target.group.clone());
                }
                Table::Disabled(disabled) => names.add(&disabled.whom),
            }
        }
        for consumer in settings.consumers.in_order() {
            match consumer {
                Table::Usable(consumer) => {
                    names.users.extend(consumer.users.iter().cloned());
                    names.groups.extend(consumer.groups.iter().cloned());
                    let file = consumer.token_file.as_ref();
                    names.users.extend(file.and_then(|file| file.owner.clone()));
                    names.groups.extend(file.and_then(|file| file.group.clone()));
                }
                Table::Disabled(disabled) => names.add(&disabled.whom),
            }
        }
        names
    }

    fn add(&mut self, whom: &Whom) {
        self.users.extend(whom.users.iter().cloned());
        self.groups.extend(whom.groups.iter().cloned());
    }

    fn look_up(self) -> Accounts {
        let user = |name: String| (accounts::user(&name), name);
        let group = |name: String| (accounts::group(&name), name);
        Accounts {
            users: self.users.into_iter().map(user).map(|(found, name)| (name, found)).collect(),
            groups: self.groups.into_iter().map(group).map(|(found, name)| (name, found)).collect(),
        }
    }
}

fn keep<T: Clone>(
    now: &mut BTreeMap<String, Result<T, AccountError>>,
    earlier: &BTreeMap<String, Result<T, AccountError>>,
) {
    for (name, before) in earlier.iter().filter(|(_, before)| before.is_ok()) {
        let entry = now.entry(name.clone()).or_insert_with(|| before.clone());
        if matches!(entry, Err(AccountError::Unavailable { .. })) {
            *entry = before.clone();
        }
    }
}

fn unanswered(kind: &'static str, name: &str) -> AccountError {
    let reason = "the account database has not answered".to_owned();
    AccountError::Unavailable { kind, name: name.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accounts(name: &str, found: Result<u32, AccountError>) -> Accounts {
        let users = BTreeMap::from([(name.to_owned(), found.map(Uid::from_raw))]);
        Accounts { users, ..Accounts::default() }
    }

    #[test]
    fn a_failure_leaves_the_number_and_an_absence_does_not() {
        let earlier = accounts("web", Ok(33));
        let failed = accounts("web", Err(unanswered("user", "web")));
        assert_eq!(failed.with_earlier(&earlier).user("web"), Ok(Uid::from_raw(33)));
        let silent = Accounts::default().with_earlier(&earlier);
        assert_eq!(silent.user("web"), Ok(Uid::from_raw(33)));
        let unknown = AccountError::Unknown { kind: "user", name: "web".into() };
        let gone = accounts("web", Err(unknown.clone()));
        assert_eq!(gone.with_earlier(&earlier).user("web"), Err(unknown));
        let renumbered = accounts("web", Ok(34)).with_earlier(&earlier);
        assert_eq!(renumbered.user("web"), Ok(Uid::from_raw(34)));
    }
}
