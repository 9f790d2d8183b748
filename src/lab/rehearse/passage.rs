//! Time that can be made to pass, for the lab and its machines alike.
//!
//! An hour passes in leaps. Whoever waits for a moment has told the [`Passage`] so, by sleeping on
//! one of its clocks; time leaps to the earliest of these moments, the sleeper wakes, does what it
//! has to do at the pace of the real world, and sleeps again; then time leaps on. So a daemon goes
//! through every deadline of that hour, and each answer that it gets is a real one.
//!
//! A machine's clock may stand still meanwhile, as that of a paused virtual machine does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::stream;
use time::UtcDateTime;
use tokio::sync::{Notify, watch};
use tokio::task::{self, try_id};

use crate::host::clock::{Clock, Sleep, Steps, SystemClock, timeout};
use crate::pure::service_time::Reading;

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
    sleepers: BTreeMap<u64, Sleeper>,
    /// Tasks that have slept to the end, and not lain down since: time waits for them.
    at_work: BTreeMap<task::Id, Arc<Hands>>,
    last: u64,
}

#[derive(Debug)]
struct Sleeper {
    /// By its machine's time since boot.
    waking: Duration,
    clock: Arc<Hands>,
    task: Option<task::Id>,
}

/// The clock of one machine: off by how far it is behind, and in step with all others, unless the
/// machine was paused.
#[derive(Debug, Clone)]
pub struct MachineClock {
    passage: Passage,
    hands: Arc<Hands>,
}

/// What a machine's clocks show differs by this from what they should.
#[derive(Debug)]
struct Hands {
    /// How far the wall clock is behind. Whoever waits for it to be set watches.
    behind: watch::Sender<Duration>,
    /// How long the machine was paused, all in all.
    lost: Mutex<Duration>,
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
        let hands = Hands { behind: watch::Sender::new(behind), lost: Mutex::default() };
        Arc::new(MachineClock { passage: self.clone(), hands: Arc::new(hands) })
    }

    /// What has passed beyond the real.
    pub fn ahead(&self) -> Duration {
        *self.0.ahead.borrow()
    }

    /// The time that everybody goes by whose clock is right.
    pub fn now(&self) -> UtcDateTime {
        SystemClock.now() + self.ahead()
    }

    /// Lets `span` pass. `tasks` says which tasks should sleep before it does; `leap` hears of each leap
    /// before the clocks show it.
    pub async fn pass(
        &self,
        span: Duration,
        tasks: impl Fn() -> Vec<task::Id>,
        mut leap: impl FnMut(Duration),
    ) {
        let end = self.since_boot() + span;
        loop {
            self.settled(&tasks).await;
            let now = self.since_boot();
            if now >= end {
                return;
            }
            let aim = self.first_waking().map_or(end, |waking| waking.min(end));
            let by = aim.saturating_sub(now);
            leap(by);
            self.0.ahead.send_modify(|ahead| *ahead += by);
            self.beds().wake_until(aim);
        }
    }

    /// Waits until everybody sleeps. Who works longer than anybody's patience is not waited for.
    async fn settled(&self, tasks: &impl Fn() -> Vec<task::Id>) {
        let settled = async {
            loop {
                let lying_down = self.0.someone_lay_down.notified();
                if self.beds().are_taken_by(&tasks()) {
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
        self.beds().sleepers.values().map(Sleeper::waking).min()
    }

    fn beds(&self) -> MutexGuard<'_, Beds> {
        self.0.beds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lie_down(&self, sleeper: Sleeper) -> Bed {
        let mut beds = self.beds();
        beds.last += 1;
        let number = beds.last;
        beds.at_work.retain(|task, _| Some(*task) != sleeper.task);
        beds.sleepers.insert(number, sleeper);
        drop(beds);
        self.0.someone_lay_down.notify_waiters();
        Bed { inner: Arc::clone(&self.0), number }
    }
}

impl Beds {
    fn are_taken_by(&self, tasks: &[task::Id]) -> bool {
        let sleeps =
            |task: &task::Id| self.sleepers.values().any(|sleeper| sleeper.task == Some(*task));
        self.at_work.is_empty() && tasks.iter().all(sleeps)
    }

    /// Until they lie down again, those who wake now are at work.
    fn wake_until(&mut self, aim: Duration) {
        let woken = self.sleepers.extract_if(.., |_, sleeper| sleeper.waking() <= aim);
        self.at_work.extend(woken.filter_map(|(_, sleeper)| Some((sleeper.task?, sleeper.clock))));
    }
}

impl Sleeper {
    /// By the passage's time since boot.
    fn waking(&self) -> Duration {
        self.waking + self.clock.lost()
    }
}

impl Hands {
    fn lost(&self) -> Duration {
        *self.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MachineClock {
    /// The wall clock is set: from now on it is so far behind.
    pub fn set_behind(&self, behind: Duration) {
        self.hands.behind.send_replace(behind);
    }

    /// The machine is paused for so long: its clocks stand still, and time passes for everybody else.
    /// `leap` hears of it before the clocks show it.
    pub fn pause(&self, span: Duration, leap: impl FnOnce(Duration)) {
        leap(span);
        let mut lost = self.hands.lost.lock().unwrap_or_else(PoisonError::into_inner);
        self.passage.0.ahead.send_modify(|ahead| *ahead += span);
        *lost += span;
        // Nobody has set it: it is not where it should be by itself.
        self.hands.behind.send_if_modified(|behind| {
            *behind += span;
            false
        });
    }

    /// Its machine's daemon is gone, and whoever was at work there.
    pub fn forget_work(&self) {
        self.passage.beds().at_work.retain(|_, clock| !Arc::ptr_eq(clock, &self.hands));
    }

    /// How far what it shows is from what this process's clock shows: positive when it is later.
    pub fn offset(&self) -> time::Duration {
        self.now() - SystemClock.now()
    }
}

impl Clock for MachineClock {
    fn now(&self) -> UtcDateTime {
        self.read().wall
    }

    fn since_boot(&self) -> Duration {
        self.read().since_boot
    }

    /// A leap or a pause shows on both at once, or on neither.
    fn read(&self) -> Reading {
        let lost = self.hands.lost.lock().unwrap_or_else(PoisonError::into_inner);
        let ahead = self.passage.ahead();
        Reading {
            wall: SystemClock.now() + ahead - *self.hands.behind.borrow(),
            since_boot: SystemClock.since_boot() + DAYS + ahead - *lost,
        }
    }

    fn sleep(&self, span: Duration) -> Sleep {
        let clock = self.clone();
        Box::pin(async move {
            let (passage, task) = (&clock.passage, try_id());
            let mut ahead = passage.0.ahead.subscribe();
            let waking = clock.since_boot() + span;
            let hands = Arc::clone(&clock.hands);
            let _bed = passage.lie_down(Sleeper { waking, clock: hands, task });
            loop {
                let left = waking.saturating_sub(clock.since_boot());
                if left.is_zero() {
                    passage
                        .beds()
                        .at_work
                        .extend(task.map(|task| (task, Arc::clone(&clock.hands))));
                    return;
                }
                // The sender lives as long as the passage, which is here.
                let _ = timeout(left, ahead.changed()).await;
            }
        })
    }

    fn steps(&self) -> Steps {
        let behind = self.hands.behind.subscribe();
        Box::pin(stream::unfold(behind, |mut behind| async {
            behind.changed().await.ok()?;
            Some(((), behind))
        }))
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

    use futures_util::{FutureExt, StreamExt};
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
                passage.pass(hour, || vec![sleeping.id()], |by| leaps.borrow_mut().push(by)).await;
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
        passage.pass(year, Vec::new, |_| *leaps.borrow_mut() += 1).await;
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

    #[tokio::test]
    async fn a_paused_machine_shows_the_pause_once_its_clock_is_set() {
        let passage = Passage::new();
        let (paused, other) = (passage.clock(Duration::ZERO), passage.clock(Duration::ZERO));
        let (began, hour) = (paused.since_boot(), Duration::from_secs(3600));
        paused.pause(hour, |by| assert_eq!(by, hour));
        assert!(paused.since_boot() - began < hour && other.since_boot() - began >= hour);
        assert!((other.now() - paused.now() - hour).abs() < time::Duration::SECOND);
        let mut steps = paused.steps();
        assert!(steps.next().now_or_never().is_none(), "nobody has set it");
        paused.set_behind(Duration::ZERO);
        assert_eq!(steps.next().await, Some(()));
        assert!((other.now() - paused.now()).abs() < time::Duration::SECOND);
    }

    #[tokio::test]
    async fn time_waits_for_whoever_has_slept_to_the_end_and_works() {
        let passage = Passage::new();
        let clock = passage.clock(Duration::ZERO);
        let (go, mut gone) = tokio::sync::oneshot::channel();
        let minute = Duration::from_secs(60);
        let worker = tokio::spawn(async move {
            clock.sleep(minute).await;
            let done = clock.since_boot();
            // Works until it is told to go on.
            let _ = (&mut gone).await;
            let slipped = clock.since_boot() - done;
            clock.sleep(minute).await;
            slipped
        });
        let others = passage.clone();
        let passing = tokio::spawn(async move { others.pass(minute * 10, Vec::new, |_| {}).await });
        while passage.beds().at_work.is_empty() {
            tokio::task::yield_now().await;
        }
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        assert!(passage.ahead() <= minute, "{:?}", passage.ahead());
        let _ = go.send(());
        assert!(worker.await.unwrap() < minute);
        passing.abort();
    }
}
