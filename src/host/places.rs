//! How many connections a user may have at a time, so that nobody takes all of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Connections of one user at a time.
const CONNECTIONS_OF_A_USER: usize = 32;

/// Who has how many. Whom the kernel does not name counts as one user.
#[derive(Debug, Clone, Default)]
pub struct Places(Arc<Mutex<HashMap<Option<u32>, usize>>>);

/// One of them. Given back when it is dropped.
#[derive(Debug)]
pub struct Place {
    places: Places,
    user: Option<u32>,
}

impl Places {
    /// None when the user has as many as there may be.
    pub fn take(&self, user: Option<u32>) -> Option<Place> {
        let mut held = self.lock();
        let count = held.entry(user).or_default();
        if *count >= CONNECTIONS_OF_A_USER {
            return None;
        }
        *count += 1;
        Some(Place { places: self.clone(), user })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Option<u32>, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.places.lock();
        if let Some(count) = held.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_user_who_takes_all_places_leaves_the_others_theirs() {
        let places = Places::default();
        let held = (0..CONNECTIONS_OF_A_USER).map(|_| places.take(Some(1)).unwrap());
        let held = held.collect::<Vec<_>>();
        assert!(places.take(Some(1)).is_none());
        assert!(places.take(Some(2)).is_some() && places.take(None).is_some());
        drop(held);
        assert!(places.take(Some(1)).is_some());
        assert!(places.lock().is_empty());
    }
}
