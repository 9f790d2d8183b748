//! Time that can be made to pass, for the lab and its machines alike.
//!
//! An hour passes in leaps. Whoever waits for a moment has told the [`Passage`] so, by sleeping on
//! one of its clocks; time leaps to the earliest of these moments, the sleeper wakes, does what it
//! has to do at the pace of the real world, and sleeps again; then time leaps on. So a daemon goes
//! through every deadline of that hour, and each answer that it gets is a real one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use time::UtcDateTime;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use crate::host::clock::{Clock, Sleep, SystemClock};

use super::PATIENCE;

/// All machines have been up for days. One that is still booting is looked at three times before it
/// is taken for another.
const DAYS: Duration = Duration::from_secs(3 * 24 * 3600);

/// How often it is looked at whether those who should be asleep are still there.
const LOOK: Duration = Duration::from_millis(50);

/// Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct Passage(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// What has passed beyond the real.
    ahead: watch::Sender<Duration>,
    beds: Mutex<Beds>,
    someone_lay_down: Notify,
}

#[derive(Debug, Default)]
struct Beds {
    /// When each sleeper wakes, by the time since boot.
    sleepers: BTreeMap<u64, Duration>,
    last: u64,
}

/// The clock of one machine: off by how far it is behind, and in step with all others.
#[derive(Debug)]
pub struct MachineClock {
    passage: Passage,
    behind: Mutex<Duration>,
}

/// One sleeper's place; who leaves it is awake.
struct Bed {
    inner: Arc<Inner>,
    number: u64,
}

impl Passage {
    pub fn new() -> Self {
        let inner = Inner {
            ahead: watch::Sender::new(Duration::ZERO),
            beds: Mutex::default(),
            someone_lay_down: Notify::new(),
        };
        Self(Arc::new(inner))
    }

    /// A clock that is so far behind.
    pub fn clock(&self, behind: Duration) -> Arc<MachineClock> {
        Arc::new(MachineClock { passage: self.clone(), behind: Mutex::new(behind) })
    }

    /// What has passed beyond the real.
    pub fn ahead(&self) -> Duration {
        *self.0.ahead.borrow()
    }

    /// The time that everybody goes by whose clock is right.
    pub fn now(&self) -> UtcDateTime {
        SystemClock.now() + self.ahead()
    }

    /// Lets `span` pass. `awake` says how many sleepers there should be; `leap` hears of each leap
    /// before the clocks show it.
    pub async fn pass(
        &self,
        span: Duration,
        awake: impl Fn() -> usize,
        mut leap: impl FnMut(Duration),
    ) {
        let end = self.since_boot() + span;
        loop {
            self.settled(&awake).await;
            let now = self.since_boot();
            if now >= end {
                return;
            }
            let aim = self.first_waking().map_or(end, |waking| waking.min(end));
            let by = aim.saturating_sub(now);
            leap(by);
            self.0.ahead.send_modify(|ahead| *ahead += by);
            // Until they lie down again, those who wake now are at work.
            self.beds().sleepers.retain(|_, waking| *waking > aim);
        }
    }

    /// Waits until everybody sleeps. Who works longer than anybody's patience is not waited for.
    async fn settled(&self, awake: &impl Fn() -> usize) {
        let settled = async {
            loop {
                let lying_down = self.0.someone_lay_down.notified();
                if self.beds().sleepers.len() >= awake() {
                    return;
                }
                // Who has died in the meantime never lies down: look again.
                let _ = timeout(LOOK, lying_down).await;
            }
        };
        let _ = timeout(PATIENCE, settled).await;
    }

    fn since_boot(&self) -> Duration {
        SystemClock.since_boot() + DAYS + self.ahead()
    }

    fn first_waking(&self) -> Option<Duration> {
        self.beds().sleepers.values().min().copied()
    }

    fn beds(&self) -> MutexGuard<'_, Beds> {
        self.0.beds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lie_down(&self, waking: Duration) -> Bed {
        let mut beds = self.beds();
        beds.last += 1;
        let number = beds.last;
        beds.sleepers.insert(number, waking);
        drop(beds);
        self.0.someone_lay_down.notify_waiters();
        Bed { inner: Arc::clone(&self.0), number }
    }
}

impl MachineClock {
    pub fn set_behind(&self, behind: Duration) {
        *self.behind.lock().unwrap_or_else(PoisonError::into_inner) = behind;
    }

    /// How far what it shows is from what this process's clock shows: positive when it is later.
    pub fn offset(&self) -> time::Duration {
        self.now() - SystemClock.now()
    }
}

impl Clock for MachineClock {
    fn now(&self) -> UtcDateTime {
        self.passage.now() - *self.behind.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn since_boot(&self) -> Duration {
        self.passage.since_boot()
    }

    fn sleep(&self, span: Duration) -> Sleep {
        let passage = self.passage.clone();
        Box::pin(async move {
            let waking = passage.since_boot() + span;
            let mut ahead = passage.0.ahead.subscribe();
            let _bed = passage.lie_down(waking);
            loop {
                let left = waking.saturating_sub(passage.since_boot());
                if left.is_zero() {
                    return;
                }
                // The sender lives as long as the passage, which is here.
                let _ = timeout(left, ahead.changed()).await;
            }
        })
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        let beds = self.inner.beds.lock();
        beds.unwrap_or_else(PoisonError::into_inner).sleepers.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use tokio::task::LocalSet;

    use super::*;

    #[tokio::test]
    async fn every_sleeper_wakes_at_its_moment_and_the_leaps_add_up() {
        let passage = Passage::new();
        let wakings = Arc::new(Mutex::new(Vec::new()));
        let (clock, seen) = (passage.clock(Duration::ZERO), Arc::clone(&wakings));
        let began = clock.since_boot();
        let sleeper = async move {
            loop {
                clock.sleep(Duration::from_secs(600)).await;
                seen.lock().unwrap().push((clock.since_boot() - began).as_secs());
            }
        };
        let local = LocalSet::new();
        let leaps = RefCell::new(Vec::new());
        local
            .run_until(async {
                let sleeping = tokio::task::spawn_local(sleeper);
                let hour = Duration::from_secs(3600);
                passage.pass(hour, || 1, |by| leaps.borrow_mut().push(by)).await;
                sleeping.abort();
            })
            .await;
        let wakings = wakings.lock().unwrap().clone();
        assert!((5..=6).contains(&wakings.len()), "{wakings:?}");
        assert!(wakings.iter().zip(1..).all(|(at, n)| (n * 600..n * 600 + 60).contains(at)));
        assert_eq!(leaps.borrow().iter().sum::<Duration>(), passage.ahead());
        assert!(passage.ahead() <= Duration::from_secs(3600));
    }

    #[tokio::test]
    async fn with_nobody_there_it_is_one_leap() {
        let passage = Passage::new();
        let year = Duration::from_secs(365 * 24 * 3600);
        let clock = passage.clock(year);
        let leaps = RefCell::new(0);
        passage.pass(year, || 0, |_| *leaps.borrow_mut() += 1).await;
        assert_eq!(*leaps.borrow(), 1);
        assert!(clock.offset().abs() < time::Duration::MINUTE, "{}", clock.offset());
        clock.set_behind(Duration::ZERO);
        assert!(clock.offset() > time::Duration::days(364), "{}", clock.offset());
    }

    #[tokio::test]
    async fn who_gives_up_sleeping_is_awake() {
        let passage = Passage::new();
        let clock = passage.clock(Duration::ZERO);
        let given_up = timeout(Duration::ZERO, clock.sleep(Duration::from_secs(60))).await;
        assert!(given_up.is_err());
        assert_eq!(passage.first_waking(), None);
    }
}
