//! The onlooker: keeps an account of its own of what has happened, and asks the rules.

mod rules;

use std::collections::VecDeque;
use std::time::Duration;

use rolekeeper::host::clock::ServiceClock;
use rolekeeper::pure::failure::FailureClass;
use rolekeeper::pure::fingerprint::Verdict;
use rolekeeper::pure::jitter::Jitter;
use rolekeeper::pure::refresher::{AskAs, Condition, Event, Policy};
use rolekeeper::pure::role_token::RoleToken;
use rolekeeper::pure::service_time::TimeEstimate;
use time::UtcDateTime;

use crate::weather::{MINUTE, SECOND};
use crate::world::World;
use rules::{Checked, ensure};

/// A year in numbers, so that no rule holds because nothing happened.
#[derive(Debug, Default, Clone, Copy)]
pub struct Totals {
    pub denials: u64,
    pub failures: u64,
    pub late_deliveries: u64,
    pub requests: u64,
    pub strangers: u64,
    pub tokens: u64,
    pub wishes: u64,
    pub withdrawals: u64,
    /// Times that the clocks of the machine differed.
    pub doubts: u64,
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
    /// The same of what was withdrawn for a doubt.
    in_doubt: Option<UtcDateTime>,
    was_in_doubt: bool,
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

/// By how much a clock may be off that is believed (`host::clock`), and a rounded date.
const BELIEVED: time::Duration = time::Duration::seconds(6);

/// What ends sooner is dead on arrival.
const LEAST_LIFE: time::Duration = time::Duration::seconds(5);

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
            in_doubt: None,
            was_in_doubt: false,
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
            Event::ClockSet
            | Event::Deadline
            | Event::Nudged
            | Event::Retargeted
            | Event::Unjudged => {}
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
                (self.in_hand, self.in_doubt) = (None, None);
            }
        }
    }

    fn renewed(&mut self, token: &RoleToken, world: &World, now: UtcDateTime) {
        self.totals.tokens += 1;
        self.denied = false;
        self.failures = 0;
        self.in_hand = Some(token.expires_at);
        self.in_doubt = None;
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
            (
                class.delay(self.failures, Jitter::NONE),
                class.delay(self.failures, Jitter::from_bits(u64::MAX)),
            )
        };
        self.failures += 1;
        self.ended(false, least, most, world);
    }

    fn ended(&mut self, renewed: bool, least: Duration, most: Duration, world: &World) {
        self.asked = true;
        self.disturbed = false;
        self.last = Some(Outcome { at: world.elapsed, slept: world.slept, renewed, least, most });
    }

    /// The wall clock was set.
    pub fn clock_set(&mut self, world: &World) {
        self.disturbed = true;
        self.nudges.push_back(world.elapsed);
    }

    /// Whether this machine's clocks differ.
    pub fn doubts(&mut self, is_in_doubt: bool, world: &World) {
        if is_in_doubt != std::mem::replace(&mut self.was_in_doubt, is_in_doubt) {
            self.totals.doubts += u64::from(is_in_doubt);
            self.disturbed = true;
            self.nudges.push_back(world.elapsed);
        }
    }

    /// Outlets may hand this out, if anything.
    ///
    /// # Errors
    ///
    /// When it has ended and the wall clock is right, as it was when the service was heard last.
    pub fn hands_out(&mut self, until: Option<UtcDateTime>, world: &World) -> Checked {
        let known = world.wall_was_right && world.wall_ahead.is_zero();
        let dead = until.is_some_and(|until| until <= world.now - BELIEVED);
        ensure(!known || !dead, || "handed out what has ended".to_owned())
    }

    /// A deadline was looked at.
    ///
    /// # Errors
    ///
    /// When one that was due led to nothing, or one that was not to something; but after a clock was
    /// set back nothing waits longer than before.
    pub fn looked(&mut self, due: bool, acted: bool, now: UtcDateTime, world: &World) -> Checked {
        // What is withdrawn for a doubt, or comes back when it is over, has no moment of its own.
        let due = due || acted && (self.was_in_doubt || self.in_doubt.is_some());
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
    pub fn publishes(&mut self, token: &RoleToken) -> Checked {
        ensure(!self.different, || "published on other hardware".to_owned())?;
        self.in_hand = self.in_hand.or(self.in_doubt.take());
        ensure(self.in_hand == Some(token.expires_at), || "published an old token".to_owned())
    }

    /// The files are about to be emptied.
    ///
    /// # Errors
    ///
    /// When that is too early.
    pub fn withdraws(&mut self, world: &World, clock: &ServiceClock) -> Checked {
        self.totals.withdrawals += 1;
        let wall_counts = clock.skew().is_zero() || clock.estimate().is_doubted();
        let guess = self.asked && wall_counts && world.wall_ahead > BELIEVED;
        let still_good = world.files.iter().flatten().any(|until| *until > world.now + BELIEVED);
        // What was withdrawn for a doubt comes back when it is over.
        self.in_doubt = self.in_hand.filter(|_| clock.estimate().is_doubted() && !self.different);
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
        rules::strangers_are_those_of_other_hardware(self, ask_as)?;
        rules::the_pace_is_the_last_outcomes(self, world)?;
        rules::never_a_hot_loop(self, world.elapsed)
    }

    /// Between any two steps.
    ///
    /// # Errors
    ///
    /// The rule that does not hold.
    pub fn check(
        &mut self,
        condition: Condition,
        estimate: TimeEstimate,
        world: &mut World,
    ) -> Checked {
        let now = estimate.now;
        self.follow_clock(now, world);
        let calm = self.calm_for(world);
        rules::the_condition_is_the_worlds(self, condition, estimate.latest)?;
        rules::a_recovered_service_is_heard_within_five_minutes(condition, calm)?;
        rules::files_hold_a_usable_token_when_nothing_stands_in_the_way(condition, calm, world)?;
        rules::a_pardon_is_noticed_within_66_minutes(condition, calm)?;
        rules::the_old_hardware_is_noticed_within_about_a_minute(condition, self, world)?;
        rules::nothing_of_ours_stays_on_other_hardware(condition, self, world)?;
        rules::what_has_ended_leaves_the_files(self, now, world)
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
        if world.pause_is_hidden {
            return None;
        }
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
