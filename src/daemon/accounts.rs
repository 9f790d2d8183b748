//! The users and groups that the settings name, looked up off the event loop and beside each other: a
//! directory server may hang, or fail for a while, and neither is the end of those who are known.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use nix::unistd::{Gid, Uid};
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, spawn_blocking};

use super::targets::GROUP;
use crate::config::{Settings, Table, Whom};
use crate::host::accounts::{self, AccountError, own_uid};
use crate::host::clock::timeout;

/// How long a start or a reload waits for the account database. Who is not known by then is looked up
/// again.
const PATIENCE: Duration = Duration::from_secs(5);

/// Look-ups at a time. One that hangs keeps its place, so that reloads during an outage of the database
/// do not add thread to thread.
const AT_ONCE: usize = 16;

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

    /// Those whom the settings name no more are not known any more, and why somebody has no number is
    /// asked anew.
    fn forget_others(&mut self, names: &Names) {
        self.users.retain(|name, found| names.users.contains(name) && found.is_ok());
        self.groups.retain(|name, found| names.groups.contains(name) && found.is_ok());
    }

    /// A database that fails leaves the number that it gave before.
    fn take(&mut self, answer: Answer) {
        match answer {
            Answer::User(name, found) => keep(&mut self.users, name, found),
            Answer::Group(name, found) => keep(&mut self.groups, name, found),
        }
    }
}

/// The names that have to be looked up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Names {
    users: BTreeSet<String>,
    groups: BTreeSet<String>,
}

/// What the account database said of one name.
#[derive(Debug)]
enum Answer {
    User(String, Result<Uid, AccountError>),
    Group(String, Result<Gid, AccountError>),
}

/// Looks names up again and again, one time after the other.
#[derive(Debug)]
pub(super) struct AccountLookup {
    found: Accounts,
    /// Whom the settings name.
    wanted: Names,
    under_way: JoinSet<Answer>,
    places: Arc<Semaphore>,
}

impl Default for AccountLookup {
    fn default() -> Self {
        let places = Arc::new(Semaphore::new(AT_ONCE));
        let (found, wanted) = (Accounts::default(), Names::default());
        Self { found, wanted, under_way: JoinSet::new(), places }
    }
}

impl AccountLookup {
    /// What is known now.
    pub(super) fn found(&self) -> &Accounts {
        &self.found
    }

    /// Looks up what the settings name, and waits a while for it.
    pub(super) async fn wait_for(&mut self, settings: &Settings) {
        let names = Names::of(settings);
        self.found.forget_others(&names);
        self.wanted = names.clone();
        // One that is under way may have begun before an account was made.
        self.spawn(names);
        let answers = async {
            while let Some(answer) = self.under_way.join_next().await {
                // It does not panic.
                answer.into_iter().for_each(|answer| self.found.take(answer));
            }
        };
        if timeout(PATIENCE, answers).await.is_err() {
            tracing::error!("the account database does not answer; it is asked again");
        }
    }

    /// Begins to look up what the settings name, if anybody is missing and that is not under way.
    pub(super) fn begin(&mut self, settings: &Settings) {
        if self.under_way.is_empty() && !self.is_complete() {
            self.spawn(Names::of(settings));
        }
    }

    /// Waits for what was begun, for ever if nothing was; whether anything is known now that was not.
    pub(super) async fn end(&mut self) -> bool {
        let Some(first) = self.under_way.join_next().await else {
            return std::future::pending().await;
        };
        let before = self.found.clone();
        let mut next = Some(first);
        while let Some(answer) = next {
            answer.into_iter().for_each(|answer| self.found.take(answer));
            next = self.under_way.try_join_next();
        }
        self.found != before
    }

    /// Looks these names up, and none of the earlier ones any more.
    fn spawn(&mut self, Names { users, groups }: Names) {
        self.under_way = JoinSet::new();
        let user = |name: String| Answer::User(name.clone(), accounts::user(&name));
        let group = |name: String| Answer::Group(name.clone(), accounts::group(&name));
        for name in users {
            self.under_way.spawn(look_up(Arc::clone(&self.places), move || user(name)));
        }
        for name in groups {
            self.under_way.spawn(look_up(Arc::clone(&self.places), move || group(name)));
        }
    }

    /// Whether all have numbers.
    fn is_complete(&self) -> bool {
        let Names { users, groups } = &self.wanted;
        users.iter().all(|name| self.found.user(name).is_ok())
            && groups.iter().all(|name| self.found.group(name).is_ok())
    }
}

/// One name, when it has its turn. What has begun cannot be ended, and keeps its place.
async fn look_up(places: Arc<Semaphore>, look: impl FnOnce() -> Answer + Send + 'static) -> Answer {
    // The semaphore is never closed, and a look-up does not panic.
    let place = places.acquire_owned().await;
    let found = spawn_blocking(move || (look(), drop(place)).0).await;
    match found {
        Ok(found) => found,
        Err(_) => std::future::pending().await,
    }
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
        let user = |name: String| (name.clone(), accounts::user(&name));
        let group = |name: String| (name.clone(), accounts::group(&name));
        Accounts {
            users: self.users.into_iter().map(user).collect(),
            groups: self.groups.into_iter().map(group).collect(),
        }
    }
}

fn keep<T>(
    known: &mut BTreeMap<String, Result<T, AccountError>>,
    name: String,
    found: Result<T, AccountError>,
) {
    let failed = matches!(found, Err(AccountError::Unavailable { .. }));
    if !failed || !known.get(&name).is_some_and(Result::is_ok) {
        known.insert(name, found);
    }
}

fn unanswered(kind: &'static str, name: &str) -> AccountError {
    let reason = "the account database has not answered".to_owned();
    AccountError::Unavailable { kind, name: name.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(answers: impl IntoIterator<Item = Result<u32, AccountError>>) -> Accounts {
        let mut accounts = Accounts::default();
        for found in answers {
            accounts.take(Answer::User("web".to_owned(), found.map(Uid::from_raw)));
        }
        accounts
    }

    #[test]
    fn a_failure_leaves_the_number_and_an_absence_does_not() {
        let failed = || Err(unanswered("user", "web"));
        assert_eq!(known([Ok(33), failed()]).user("web"), Ok(Uid::from_raw(33)));
        let unknown = AccountError::Unknown { kind: "user", name: "web".into() };
        assert_eq!(known([Ok(33), Err(unknown.clone())]).user("web"), Err(unknown.clone()));
        assert_eq!(known([Ok(33), Ok(34)]).user("web"), Ok(Uid::from_raw(34)));
        // What was absent may be there by now.
        assert_eq!(known([Err(unknown), failed()]).user("web"), failed().map(Uid::from_raw));
        assert_eq!(known([]).user("web"), failed().map(Uid::from_raw));
    }

    #[tokio::test]
    async fn a_look_up_that_hangs_keeps_nobody_else_waiting_and_takes_no_more_threads() {
        let places = Arc::new(Semaphore::new(2));
        let (release, hang) = std::sync::mpsc::channel::<()>();
        let hangs = move || {
            let _ = hang.recv();
            Answer::User("slow".to_owned(), Ok(Uid::from_raw(1)))
        };
        let mut lookups = JoinSet::new();
        lookups.spawn(look_up(Arc::clone(&places), hangs));
        while places.available_permits() == 2 {
            tokio::task::yield_now().await;
        }
        let quick = || Answer::User("quick".to_owned(), Ok(Uid::from_raw(2)));
        for _ in 0..4 {
            lookups.spawn(look_up(Arc::clone(&places), quick));
        }
        for _ in 0..4 {
            let Some(Ok(Answer::User(name, _))) = lookups.join_next().await else { panic!() };
            assert_eq!(name, "quick");
        }
        // Given up, it still has its place until the database answers.
        drop(lookups);
        assert_eq!(places.available_permits(), 1);
        release.send(()).unwrap();
        while places.available_permits() == 1 {
            tokio::task::yield_now().await;
        }
    }
}
