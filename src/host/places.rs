//! How many connections a user may have at a time, and how often they may ask, so that nobody takes
//! all of the places or all of the daemon's time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::pure::allowance::{Allowance, Rate};

/// Requests of one user at one door.
///
/// Nobody asks often while all is well: credentials are kept for half an hour at least before their
/// end. When they cannot be renewed, botocore asks on every use within 15 minutes of the end, but once
/// at a time in a process, and a use is a call to AWS, some 20 in a second: 50 such processes make
/// 1000. All of them may come back at once, so what 10 s make can be saved up. A thousand in a second
/// take a few hundredths of a core.
pub const RATE_OF_A_USER: Rate = Rate { per_second: 1000, at_once: 10_000 };

/// How long whoever asked too often waits to hear so: a flood on all of a user's connections becomes
/// some hundred refusals in a second. An SDK would wait for a second.
pub const PENALTY: Duration = Duration::from_millis(100);

/// Connections of one user at a time.
const CONNECTIONS_OF_A_USER: usize = 32;

/// Users who are remembered when they have left; with a user namespace, somebody could be thousands.
const REMEMBERED: usize = 1024;

/// Who has how many. Whom the kernel does not name counts as one user.
#[derive(Debug, Clone)]
pub struct Places {
    rate: Rate,
    users: Arc<Mutex<HashMap<Option<u32>, Share>>>,
}

/// One of them. Given back when it is dropped.
#[derive(Debug)]
pub struct Place {
    places: Places,
    user: Option<u32>,
}

/// A user's.
#[derive(Debug, Default)]
struct Share {
    connections: usize,
    left: Allowance,
}

impl Places {
    /// Each user may ask so often.
    pub fn new(rate: Rate) -> Self {
        Self { rate, users: Arc::default() }
    }

    /// None when the user has as many as there may be. `now` is the time since boot.
    pub fn take(&self, user: Option<u32>, now: Duration) -> Option<Place> {
        let mut users = self.lock();
        if users.len() >= REMEMBERED {
            users.retain(|_, share| share.connections > 0 || !share.left.is_full(now));
        }
        let share = users.entry(user).or_default();
        if share.connections >= CONNECTIONS_OF_A_USER {
            return None;
        }
        share.connections += 1;
        Some(Place { places: self.clone(), user })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Option<u32>, Share>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Counts a request, and says whether it is one too many. `now` is the time since boot.
    pub fn may_ask(&self, now: Duration) -> bool {
        let mut users = self.places.lock();
        users.entry(self.user).or_default().left.take(self.places.rate, now)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(share) = self.places.lock().get_mut(&self.user) {
            share.connections -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1000);

    #[test]
    fn one_user_who_takes_all_places_leaves_the_others_theirs() {
        let places = Places::new(RATE_OF_A_USER);
        let held = (0..CONNECTIONS_OF_A_USER).map(|_| places.take(Some(1), NOW).unwrap());
        let held = held.collect::<Vec<_>>();
        assert!(places.take(Some(1), NOW).is_none());
        assert!(places.take(Some(2), NOW).is_some() && places.take(None, NOW).is_some());
        drop(held);
        assert!(places.take(Some(1), NOW).is_some());
    }

    #[test]
    fn one_user_who_asks_too_often_takes_nobody_elses_turn() {
        let places = Places::new(Rate { per_second: 1, at_once: 2 });
        let [one, same, other] = [1, 1, 2].map(|user| places.take(Some(user), NOW).unwrap());
        assert!(one.may_ask(NOW) && same.may_ask(NOW) && !one.may_ask(NOW));
        assert!(other.may_ask(NOW));
        drop((one, same));
        let again = places.take(Some(1), NOW).unwrap();
        assert!(!again.may_ask(NOW), "who comes back is known");
        assert!(again.may_ask(NOW + Duration::from_secs(1)));
    }

    #[test]
    fn users_who_have_left_are_forgotten_when_their_allowance_is_full_again() {
        let places = Places::new(RATE_OF_A_USER);
        for user in 0..2000 {
            assert!(places.take(Some(user), NOW).unwrap().may_ask(NOW));
        }
        places.take(None, NOW + Duration::from_secs(1)).unwrap();
        assert_eq!(places.lock().len(), 1);
    }
}
