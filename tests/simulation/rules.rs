//! What must hold at every step of the year, by an account of its own of what has happened.

use std::collections::VecDeque;
use std::time::Duration;

use rolekeeper::host::clock::ServiceClock;
use rolekeeper::pure::failure::FailureClass;
use rolekeeper::pure::fingerprint::Verdict;
use rolekeeper::pure::jitter::Jitter;
use rolekeeper::pure::refresher::{AskAs, Condition, Event, Policy};
use rolekeeper::pure::role_token::RoleToken;
use time::UtcDateTime;

use crate::weather::{DAY, HOUR, MINUTE, SECOND};
use crate::world::{LONGEST_ANSWER, LONGEST_HANG, World};

/// A year in numbers, so that no rule holds because nothing happened.
#[derive(Debug, Default, Clone, Copy)]
pub struct Totals {
    pub actions: u64,
    pub denials: u64,
    pub failures: u64,
    pub late_deliveries: u64,
    pub requests: u64,
    pub strangers: u64,
    pub tokens: u64,
    pub wishes: u64,
    pub withdrawals: u64,
}

/// The account.
#[derive(Debug)]
pub struct Watch {
    pub totals: Totals,
    policy: Policy,
    reloaded_at: Duration,
    started_at: Duration,
    /// A request of this process has ended.
    asked: bool,
    different: bool,
    /// Looks in a row that found another machine.
    strange_looks: u32,
    denied: bool,
    last: Option<Outcome>,
    failures: u32,
    /// Somebody or something has given a reason to ask before its time.
    disturbed: bool,
    /// When the newest token ends, or what an earlier run left.
    in_hand: Option<UtcDateTime>,
    /// When the last of what an earlier run left ends: it leaves the files together.
    left: Option<UtcDateTime>,
    delivered: bool,
    /// A withdrawal was right when it was begun, and is repeated until every file took it.
    emptying: bool,
    requests: VecDeque<Duration>,
    nudges: VecDeque<Duration>,
    looked_at: Duration,
    ahead_when_looked: time::Duration,
    looks_without_rest: u32,
    /// How far the daemon's clock is ahead, and since when about as far.
    clock_ahead: time::Duration,
    clock_moved_at: Duration,
}

/// How the last request ended, and what may follow.
#[derive(Debug, Clone, Copy)]
struct Outcome {
    at: Duration,
    slept: Duration,
    renewed: bool,
    least: Duration,
    most: Duration,
}

type Checked = Result<(), String>;

/// By how much a clock may be off that is believed (`host::clock`), and a rounded date.
const BELIEVED: time::Duration = time::Duration::seconds(6);

/// What ends sooner is dead on arrival.
const LEAST_LIFE: time::Duration = time::Duration::seconds(5);

/// The three looks at a machine that is booting.
const BOOT_LOOKS: Duration = Duration::from_secs(10);

/// The longest wait but for hibernation's, and how soon a failed file is written again.
const LONGEST_WAIT: Duration = Duration::from_secs(240);

/// What anything takes that is done at once, with timers that look once a minute.
const AT_ONCE: Duration = Duration::from_secs(61);

const HIGHEST: fn() -> Jitter = || Jitter::from_bits(u64::MAX);

impl Watch {
    pub fn new(world: &World, policy: Policy) -> Self {
        Self {
            totals: Totals::default(),
            policy,
            reloaded_at: world.elapsed,
            started_at: world.elapsed,
            asked: false,
            different: false,
            strange_looks: 0,
            denied: false,
            last: None,
            failures: 0,
            disturbed: true,
            in_hand: None,
            left: None,
            delivered: true,
            emptying: false,
            requests: VecDeque::new(),
            nudges: VecDeque::new(),
            looked_at: Duration::ZERO,
            ahead_when_looked: time::Duration::MAX,
            looks_without_rest: 0,
            clock_ahead: time::Duration::ZERO,
            clock_moved_at: Duration::ZERO,
        }
    }

    /// A process has begun, and knows the files.
    pub fn started(&mut self, world: &World) {
        self.nudges.push_back(world.elapsed);
        let left = world.files.iter().flatten().max().copied();
        *self = Self {
            totals: self.totals,
            requests: std::mem::take(&mut self.requests),
            nudges: std::mem::take(&mut self.nudges),
            in_hand: left,
            left,
            clock_moved_at: world.elapsed,
            ..Self::new(world, self.policy)
        };
    }

    pub fn reloaded(&mut self, policy: Policy, world: &World) {
        self.policy = policy;
        self.reloaded_at = world.elapsed;
    }

    pub fn nudged(&mut self, world: &World) {
        self.failures = 0;
        self.strange_looks = 0;
        self.disturbed = true;
        self.nudges.push_back(world.elapsed);
    }

    /// The refresher has taken an event.
    pub fn happened(&mut self, event: &Event, world: &World, now: UtcDateTime) {
        self.follow_clock(now, world);
        match event {
            Event::Deadline | Event::Nudged => {}
            Event::Delivered { complete } => {
                self.totals.late_deliveries += u64::from(*complete && !self.delivered);
                self.delivered = *complete;
                self.emptying &= !complete;
            }
            Event::Hardware { verdict, settled } => self.probed(*verdict, *settled, world),
            Event::Token(token) if self.different || token.expires_at <= now + LEAST_LIFE => {
                let class =
                    if self.different { FailureClass::Denied } else { FailureClass::BadAnswer };
                self.failed(class, world);
            }
            Event::Token(token) => self.renewed(token, world, now),
            Event::Failed(class) => self.failed(*class, world),
        }
    }

    fn probed(&mut self, verdict: Verdict, settled: bool, world: &World) {
        let was_different = self.different;
        if verdict == Verdict::Different {
            self.strange_looks += 1;
            self.different |= settled || self.strange_looks >= 3;
            self.disturbed |= !was_different;
        } else {
            self.strange_looks = 0;
            self.different = false;
            self.denied &= !was_different;
        }
        if was_different != self.different {
            self.failures = 0;
            self.disturbed = true;
            self.nudges.push_back(world.elapsed);
            if self.different {
                self.in_hand = None;
            }
        }
    }

    fn renewed(&mut self, token: &RoleToken, world: &World, now: UtcDateTime) {
        self.totals.tokens += 1;
        self.denied = false;
        self.failures = 0;
        self.in_hand = Some(token.expires_at);
        self.left = None;
        self.emptying = false;
        let wait = self.policy.interval.min((token.expires_at - now).unsigned_abs() / 2);
        self.ended(true, wait * 9 / 10, wait, world);
    }

    fn failed(&mut self, class: FailureClass, world: &World) {
        self.totals.failures += 1;
        self.totals.denials += u64::from(class == FailureClass::Denied);
        if class == FailureClass::Denied && !self.denied && !self.different {
            self.denied = true;
            self.failures = 0;
        }
        let (least, most) = if self.denied || self.different {
            let step = MINUTE * [10, 20, 40, 60][self.failures.min(3) as usize];
            (step, step * 11 / 10)
        } else {
            (class.delay(self.failures, Jitter::NONE), class.delay(self.failures, HIGHEST()))
        };
        self.failures += 1;
        self.ended(false, least, most, world);
    }

    fn ended(&mut self, renewed: bool, least: Duration, most: Duration, world: &World) {
        self.asked = true;
        self.disturbed = false;
        self.last = Some(Outcome { at: world.elapsed, slept: world.slept, renewed, least, most });
    }

    /// A deadline was looked at.
    ///
    /// # Errors
    ///
    /// When one that was due led to nothing, or one that was not to something; but after a clock was
    /// set back nothing waits longer than before.
    pub fn looked(&mut self, due: bool, acted: bool, now: UtcDateTime, world: &World) -> Checked {
        let rested = world.elapsed > self.looked_at + SECOND / 10;
        self.looked_at = world.elapsed;
        self.looks_without_rest = if rested { 0 } else { self.looks_without_rest + 1 };
        ensure(self.looks_without_rest <= 3, || "the driver spins".to_owned())?;
        let ahead = now - world.now;
        let set_back = std::mem::replace(&mut self.ahead_when_looked, ahead) > ahead;
        ensure(due == acted || acted && set_back, || format!("due: {due}, yet acted: {acted}"))
    }

    /// A token is about to be written.
    ///
    /// # Errors
    ///
    /// When it is not the newest, or not this machine's.
    pub fn publishes(&self, token: &RoleToken) -> Checked {
        ensure(!self.different, || "published on other hardware".to_owned())?;
        ensure(self.in_hand == Some(token.expires_at), || "published an old token".to_owned())
    }

    /// The files are about to be emptied.
    ///
    /// # Errors
    ///
    /// When that is too early.
    pub fn withdraws(&mut self, world: &World, clock: &ServiceClock) -> Checked {
        self.totals.withdrawals += 1;
        let guess = self.asked && clock.skew().is_zero() && world.wall_ahead > BELIEVED;
        let still_good = world.files.iter().flatten().any(|until| *until > world.now + BELIEVED);
        // Credentials that end while others take their place cannot be told apart from these.
        self.in_hand = None;
        self.emptying |= self.different || guess || !still_good;
        ensure(self.emptying, || "withdrawn while valid".to_owned())
    }

    /// A request is about to be sent.
    ///
    /// # Errors
    ///
    /// When it comes too early, too late or too often.
    pub fn requests(&mut self, ask_as: AskAs, world: &World) -> Checked {
        self.totals.requests += 1;
        self.totals.strangers += u64::from(ask_as == AskAs::Stranger);
        self.requests.push_back(world.elapsed);
        strangers_are_those_of_other_hardware(self, ask_as)?;
        the_pace_is_the_last_outcomes(self, world)?;
        never_a_hot_loop(self, world.elapsed)
    }

    /// Between any two steps.
    ///
    /// # Errors
    ///
    /// The rule that does not hold.
    pub fn check(&mut self, condition: Condition, now: UtcDateTime, world: &mut World) -> Checked {
        self.follow_clock(now, world);
        let calm = self.calm_for(world);
        the_condition_is_the_worlds(self, condition, now)?;
        a_recovered_service_is_heard_within_five_minutes(condition, calm)?;
        files_hold_a_usable_token_when_nothing_stands_in_the_way(condition, calm, world)?;
        a_pardon_is_noticed_within_66_minutes(condition, calm)?;
        the_old_hardware_is_noticed_within_about_a_minute(condition, self, world)?;
        nothing_of_ours_stays_on_other_hardware(condition, self, world)?;
        what_has_ended_leaves_the_files(self, now, world)
    }

    fn follow_clock(&mut self, now: UtcDateTime, world: &World) {
        let ahead = now - world.now;
        self.disturbed |= ahead != self.clock_ahead;
        if (ahead - self.clock_ahead).abs() > BELIEVED {
            self.clock_moved_at = world.elapsed;
        }
        self.clock_ahead = ahead;
    }

    /// For how long service, hardware, machine and clock have been as they should be.
    fn calm_for(&self, world: &mut World) -> Option<Duration> {
        let service = world.weather.service.clear_since(world.elapsed)?;
        let hardware = self.same_hardware_since(world)?;
        // What was asked before the service was well is heard to its end.
        let asked = self.requests.back().is_some_and(|asked| *asked < service);
        let heard = self.last.map_or(service, |last| last.at);
        let service = if asked { service.max(heard) } else { service };
        let awake = self.awake_since(world).max(self.clock_moved_at);
        Some(world.elapsed - service.max(hardware).max(awake))
    }

    fn same_hardware_since(&self, world: &mut World) -> Option<Duration> {
        let since = world.weather.hardware.clear_since(world.elapsed)?;
        let disks = world.booted_at + world.disks_after;
        (disks <= world.elapsed).then_some(since.max(disks))
    }

    fn awake_since(&self, world: &World) -> Duration {
        self.started_at.max(world.resumed_at)
    }
}

/// Other hardware asks with a fingerprint of its own, the registered hardware with the registered.
fn strangers_are_those_of_other_hardware(watch: &Watch, ask_as: AskAs) -> Checked {
    ensure((ask_as == AskAs::Stranger) == watch.different, || {
        format!("asked as {ask_as:?}, different: {}", watch.different)
    })
}

/// A request follows a token after 90 to 100 % of half its life or of the interval (27 to 30 minutes
/// of an hour), a failure after its class's row, a denial after 10, 20, 40, 60 minutes and up to a
/// tenth, unless somebody or the hardware has given a reason. Suspend adds what it lasts.
fn the_pace_is_the_last_outcomes(watch: &Watch, world: &World) -> Checked {
    let Some(last) = watch.last.filter(|_| !watch.disturbed) else { return Ok(()) };
    let gap = world.elapsed - last.at;
    let slept = world.slept - last.slept;
    let late = if slept.is_zero() { Duration::ZERO } else { slept + AT_ONCE };
    let rounding = SECOND / 1000;
    ensure(gap + rounding >= last.least && gap <= last.most + late + rounding, || {
        format!("asked {gap:?} after {last:?}")
    })
}

/// Whatever happens, no more than 7 requests in a minute, 38 in an hour, 750 in a day; 8 more for
/// each time that somebody or the hardware gave a reason, for then the waits begin anew.
fn never_a_hot_loop(watch: &mut Watch, elapsed: Duration) -> Checked {
    for moments in [&mut watch.requests, &mut watch.nudges] {
        while moments.front().is_some_and(|moment| *moment + DAY < elapsed) {
            moments.pop_front();
        }
    }
    let within = |moments: &VecDeque<Duration>, span: Duration| {
        let recent = moments.iter().rev().take_while(|moment| **moment + span >= elapsed);
        recent.count()
    };
    for (span, most) in [(MINUTE, 7), (HOUR, 38), (DAY, 750)] {
        let requests = within(&watch.requests, span);
        let most = most + 8 * within(&watch.nudges, span);
        ensure(requests <= most, || format!("{requests} requests within {span:?}"))?;
    }
    Ok(())
}

/// The condition is what an onlooker would say.
fn the_condition_is_the_worlds(watch: &Watch, condition: Condition, now: UtcDateTime) -> Checked {
    let usable = watch.in_hand.is_some_and(|until| now < until);
    let renewed = watch.last.is_some_and(|last| last.renewed);
    let expected = match (watch.different, watch.denied, usable, renewed) {
        (true, ..) => Condition::Mismatch,
        (_, true, ..) => Condition::Hibernating,
        (_, _, false, _) => Condition::Expired,
        (_, _, true, true) => Condition::Fresh,
        (_, _, true, false) => Condition::Stale,
    };
    ensure(condition == expected, || format!("{condition:?} instead of {expected:?}"))
}

/// Nobody who was not denied is more than five minutes behind a service that is well again: the
/// longest wait is four, and a request that was under way hangs for one at most.
fn a_recovered_service_is_heard_within_five_minutes(
    condition: Condition,
    calm: Option<Duration>,
) -> Checked {
    let behind = matches!(condition, Condition::Stale | Condition::Expired);
    let most = LONGEST_WAIT + LONGEST_ANSWER + BOOT_LOOKS;
    ensure(!behind || calm.is_none_or(|calm| calm <= most), || {
        format!("{condition:?} although all has been well for {calm:?}")
    })
}

/// Once all has been well for five minutes, the files that can be written hold a usable token.
fn files_hold_a_usable_token_when_nothing_stands_in_the_way(
    condition: Condition,
    calm: Option<Duration>,
    world: &mut World,
) -> Checked {
    let most = LONGEST_WAIT + LONGEST_ANSWER + BOOT_LOOKS;
    if matches!(condition, Condition::Hibernating | Condition::Mismatch)
        || calm.is_none_or(|calm| calm <= most)
    {
        return Ok(());
    }
    for index in 0..world.files.len() {
        let writable = world.weather.targets[index].clear_since(world.elapsed);
        if writable.is_some_and(|since| world.elapsed - since > most) {
            let usable = world.files[index].is_some_and(|until| until > world.now);
            ensure(usable, || format!("file {index} holds nothing usable"))?;
        }
    }
    Ok(())
}

/// A service that no longer denies us is asked again after its longest step at the latest.
fn a_pardon_is_noticed_within_66_minutes(condition: Condition, calm: Option<Duration>) -> Checked {
    let most = MINUTE * 66 + AT_ONCE + LONGEST_HANG + LONGEST_ANSWER;
    ensure(condition != Condition::Hibernating || calm.is_none_or(|calm| calm <= most), || {
        format!("still hibernating after {calm:?}")
    })
}

/// The registered hardware is noticed a minute after it is back, or as soon as the request under
/// way is answered.
fn the_old_hardware_is_noticed_within_about_a_minute(
    condition: Condition,
    watch: &Watch,
    world: &mut World,
) -> Checked {
    let since = watch.same_hardware_since(world);
    let since = since.map(|since| since.max(watch.awake_since(world)).max(watch.clock_moved_at));
    let most = AT_ONCE + LONGEST_HANG + LONGEST_ANSWER;
    let noticed = condition != Condition::Mismatch;
    ensure(noticed || since.is_none_or(|since| world.elapsed - since <= most), || {
        "the old hardware is back and not noticed".to_owned()
    })
}

/// On other hardware the files are empty, as soon as they can be written.
fn nothing_of_ours_stays_on_other_hardware(
    condition: Condition,
    watch: &Watch,
    world: &mut World,
) -> Checked {
    if condition != Condition::Mismatch {
        return Ok(());
    }
    for index in 0..world.files.len() {
        let writable = world.weather.targets[index].clear_since(world.elapsed);
        let awake = watch.awake_since(world);
        let most = LONGEST_WAIT + LONGEST_HANG + AT_ONCE;
        let must = writable.is_some_and(|since| {
            since.is_zero() || world.elapsed - since.max(awake).max(watch.clock_moved_at) > most
        });
        ensure(!must || world.files[index].is_none(), || format!("file {index} is not empty"))?;
    }
    Ok(())
}

/// Credentials that have ended leave a file within a minute and a request's time, when the daemon
/// can know the time and the file can be written. The operator may wish otherwise.
fn what_has_ended_leaves_the_files(watch: &Watch, now: UtcDateTime, world: &mut World) -> Checked {
    if !watch.policy.withdraw_expired || now < world.now - BELIEVED {
        return Ok(());
    }
    for index in 0..world.files.len() {
        let Some(writable) = world.weather.targets[index].clear_since(world.elapsed) else {
            continue;
        };
        let Some(until) =
            world.files[index].map(|until| watch.left.map_or(until, |left| left.max(until)))
        else {
            continue;
        };
        let ended = Duration::try_from(world.now - until).unwrap_or(Duration::ZERO);
        let free = watch.awake_since(world).max(watch.clock_moved_at).max(watch.reloaded_at);
        let retried = if writable.is_zero() { Duration::ZERO } else { LONGEST_WAIT };
        let possible =
            ended.min(world.elapsed - free).min((world.elapsed - writable).saturating_sub(retried));
        let most = AT_ONCE + BOOT_LOOKS + LONGEST_HANG;
        ensure(possible <= most, || format!("file {index} holds what ended {ended:?} ago"))?;
    }
    Ok(())
}

fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(otherwise()) }
}
