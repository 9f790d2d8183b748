//! When to look, to ask, to publish and to withdraw: the daemon's decisions, all of them.
//!
//! ```text
//!            deadline, nudge               similar
//!  WAITING ──────────────────▶ PROBING ──────────────▶ REQUESTING
//!     ▲                          │  ▲                     │   │
//!     │   token: publish, wait   │  └── still booting:    │   │
//!     │   half of its life       │      look again in 5 s │   │
//!     ├──────────────────────────┼─────────────────────────┘   │
//!     │   failed: wait by class  │ different: withdraw,         │
//!     ├──────────────────────────┼─ ask as a stranger ──────────┘ denied
//!     │                          ▼                              │
//!     └──────────────────── HIBERNATING ◀────────────────────────┘
//!                     10, 20, 40, 60 min between requests;
//!                     ends by a token, a nudge, or the old hardware
//! ```
//!
//! The driver feeds events and performs the actions in order; calling with [`Event::Deadline`] too
//! often, too early or too late is harmless. All times are by the service's clock as far as known.

use std::sync::Arc;
use std::time::Duration;

use time::UtcDateTime;

use super::failure::FailureClass;
use super::fingerprint::Verdict;
use super::jitter::Jitter;
pub use super::publication::Policy;
use super::publication::{Content, Publication};
use super::role_token::RoleToken;
use super::service_time::TimeEstimate;
use super::timer::Timer;

/// What happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// The wall clock was set.
    ClockSet,
    /// Time has passed. Says nothing about which deadline, and need not be on time.
    Deadline,
    /// Publishing or withdrawing ended; `complete` when every target took it.
    Delivered { complete: bool },
    /// The request failed.
    Failed(FailureClass),
    /// The machine was looked at. `settled` once it is no longer booting.
    Hardware { verdict: Verdict, settled: bool },
    /// The operator wants it now.
    Nudged,
    /// There are other targets than before.
    Retargeted,
    /// The service answered.
    Token(Arc<RoleToken>),
    /// There is no hardware to judge: the credentials are not this machine's by its hardware.
    Unjudged,
}

/// What to do, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Look at the machine, and report [`Event::Hardware`]; or [`Event::Unjudged`].
    ProbeHardware,
    /// Put the token into every target and outlet, and report [`Event::Delivered`].
    Publish(Arc<RoleToken>),
    /// Ask the service, and report [`Event::Token`] or [`Event::Failed`].
    RequestToken(AskAs),
    /// Replace the RSA key, as the service asked. Its outcome changes nothing here.
    RotateKey,
    /// Take dead credentials out of every target, and report [`Event::Delivered`].
    Withdraw,
}

/// Which fingerprint a request carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AskAs {
    /// The registered one.
    Registered,
    /// One that the service has never seen: this is not the machine that registered, and the
    /// service's refusal is where the fleet's owner sees it.
    Stranger,
}

/// The state in one word, as `status` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// The credentials are usable and the last request succeeded, this run's or that of the run which
    /// they are taken back from.
    Fresh,
    /// The credentials are usable, but could not be renewed when they should have been.
    Stale,
    /// There are no usable credentials.
    Expired,
    /// The service denied us; it is asked again at hibernation's pace.
    Hibernating,
    /// This is not the machine that registered.
    Mismatch,
}

/// The state machine. One task owns it.
#[derive(Debug)]
pub struct Refresher {
    policy: Policy,
    phase: Phase,
    standing: Standing,
    /// Failures in a row of the present kind.
    failures: u32,
    failure: Option<FailureClass>,
    /// Looks in a row that found another machine while this one was booting.
    looks: u8,
    publication: Publication,
    /// What an earlier run held, until this machine has been looked at.
    earlier: Option<Arc<RoleToken>>,
    /// This machine's clocks differ, and the service has not been heard since.
    is_in_doubt: bool,
    next_request: Timer,
    /// When the service may be asked again at the earliest.
    next_turn: Timer,
    /// When a clock that was set is a reason to ask once more.
    next_haste: Timer,
    next_look: Timer,
}

/// Looks at a machine that is still booting, and the time between them. Source: the reference
/// agent's `generateFingerprint`, three attempts 5 s apart.
pub const BOOT_LOOKS: u8 = 3;
pub const BOOT_LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// The service is asked no more often than this, whoever wants it: it slows a whole account down that asks
/// too often.
pub const REQUEST_INTERVAL: Duration = Duration::from_secs(1);

/// A clock that is set again and again makes nobody ask more often than this.
const HASTE_INTERVAL: Duration = Duration::from_secs(10);

/// How soon the old hardware is noticed when it comes back.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Waiting,
    Probing,
    Requesting,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Good,
    Denied,
    Mismatch,
}

impl Refresher {
    /// Starts with a request due at once. `published_until` is the end of the credentials that an
    /// earlier run left in the files: they stay while they are valid.
    pub fn new(policy: Policy, published_until: Option<UtcDateTime>, now: UtcDateTime) -> Self {
        Self {
            policy,
            phase: Phase::Waiting,
            standing: Standing::Good,
            failures: 0,
            failure: None,
            looks: 0,
            publication: Publication::new(published_until),
            earlier: None,
            is_in_doubt: false,
            next_request: Timer::after(Duration::ZERO, now),
            next_turn: Timer::after(Duration::ZERO, now),
            next_haste: Timer::after(Duration::ZERO, now),
            next_look: Timer::after(Duration::ZERO, now),
        }
    }

    /// With the token that an earlier run of this registration held: outlets may hand it out once the
    /// hardware has been found similar.
    pub fn with_earlier(self, token: Option<Arc<RoleToken>>) -> Self {
        Self { earlier: token, ..self }
    }

    /// Takes what happened, answers what to do.
    pub fn handle(
        &mut self,
        event: Event,
        jitter: Jitter,
        time: impl Into<TimeEstimate>,
    ) -> Vec<Action> {
        let time = time.into();
        let now = time.now;
        self.note_doubt(time);
        match event {
            Event::ClockSet => self.on_clock_set(time),
            Event::Deadline => self.on_deadline(time),
            Event::Delivered { complete } => self.on_delivered(complete, jitter, now),
            Event::Failed(class) => self.on_failure(class, jitter, now),
            Event::Hardware { verdict, settled } => self.on_hardware(verdict, settled, time),
            Event::Nudged => self.on_nudge(time),
            Event::Retargeted => self.on_new_targets(time),
            Event::Token(token) => self.on_token(token, jitter, now),
            Event::Unjudged => self.on_good_hardware(time),
        }
    }

    /// When to call with [`Event::Deadline`] next. In the past when something is due.
    pub fn next_deadline(&self) -> UtcDateTime {
        let next_request = self.next_request.due.max(self.next_turn.due);
        let asking = match (self.phase, self.standing) {
            (Phase::Waiting, Standing::Mismatch) => Some(next_request.min(self.next_look.due)),
            (Phase::Waiting, _) => Some(next_request),
            (Phase::Probing | Phase::Requesting, _) => None,
        };
        let writing = self.publication.next(self.policy);
        asking.into_iter().chain(writing).min().unwrap_or(UtcDateTime::MAX)
    }

    /// The state in one word.
    pub fn condition(&self, time: impl Into<TimeEstimate>) -> Condition {
        let usable = self.publication.is_usable(time.into().latest);
        let renewed = self.publication.token().is_some() && self.failure.is_none();
        match (self.standing, usable, renewed) {
            (Standing::Mismatch, _, _) => Condition::Mismatch,
            (Standing::Denied, _, _) => Condition::Hibernating,
            (Standing::Good, false, _) => Condition::Expired,
            (Standing::Good, true, true) => Condition::Fresh,
            (Standing::Good, true, false) => Condition::Stale,
        }
    }

    /// The token that outlets may hand out.
    pub fn token(&self) -> Option<&Arc<RoleToken>> {
        self.publication.token()
    }

    /// When the service is asked next.
    pub fn next_request(&self) -> UtcDateTime {
        self.next_request.due
    }

    /// How long it is until the service may be asked once more; nothing, as a rule.
    pub fn until_turn(&mut self, now: UtcDateTime) -> Duration {
        if self.next_turn.is_due(now) {
            return Duration::ZERO;
        }
        (self.next_turn.due - now).try_into().unwrap_or(Duration::ZERO)
    }

    /// Failures in a row, 0 when all is well.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Takes the operator's new choice; it counts from the next answer on.
    pub fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// A difference between the clocks is a reason to ask at once. Events come at least once a minute, so
    /// one that nobody reported is noticed, too.
    fn note_doubt(&mut self, time: TimeEstimate) {
        let was_in_doubt = std::mem::replace(&mut self.is_in_doubt, time.is_doubted());
        if self.is_in_doubt && !was_in_doubt {
            self.publication.note_doubt();
            self.hasten(time.now);
        }
    }

    /// What failed may have failed for the clock: a certificate that was not yet valid. And whoever set
    /// it to something else than is believed here may know more, after a pause of the machine.
    fn on_clock_set(&mut self, time: TimeEstimate) -> Vec<Action> {
        if self.standing == Standing::Good && (self.failure.is_some() || time.wall_differs) {
            self.hasten(time.now);
        }
        self.on_deadline(time)
    }

    /// The next request is due now, unless a clock that was set has been a reason just before.
    fn hasten(&mut self, now: UtcDateTime) {
        if self.phase != Phase::Waiting || self.standing == Standing::Mismatch {
            return;
        }
        let wait = match self.next_haste.is_due(now) {
            true => Duration::ZERO,
            false => (self.next_haste.due - now).unsigned_abs(),
        };
        let soon = Timer::after(wait, now);
        if self.next_request.due > soon.due {
            self.next_request = soon;
        }
        self.next_haste = Timer::after(wait + HASTE_INTERVAL, now);
    }

    fn on_deadline(&mut self, time: TimeEstimate) -> Vec<Action> {
        let now = time.now;
        let due = self.publication.due(self.policy, time);
        let mut actions = due.map(Action::from).into_iter().collect::<Vec<_>>();
        let look = self.next_look.is_due(now) && self.standing == Standing::Mismatch;
        if (self.may_ask(now) || look) && self.phase == Phase::Waiting {
            self.phase = Phase::Probing;
            actions.push(Action::ProbeHardware);
        }
        actions
    }

    fn may_ask(&mut self, now: UtcDateTime) -> bool {
        // Each is looked at: a clock that was set back must not lengthen a wait.
        let is_turn = self.next_turn.is_due(now);
        self.next_request.is_due(now) && is_turn
    }

    /// Whatever waits is due; a request under way is what was asked for.
    fn on_nudge(&mut self, time: TimeEstimate) -> Vec<Action> {
        let now = time.now;
        self.failures = 0;
        self.looks = 0;
        // The operator has mended a target, perhaps; the service may be out of reach all the same.
        self.publication.hasten(now);
        if self.phase == Phase::Waiting {
            self.next_request = Timer::after(Duration::ZERO, now);
        }
        self.on_deadline(time)
    }

    /// The new ones get what the old ones hold, whether or not the service can be reached; on other
    /// hardware, nothing.
    fn on_new_targets(&mut self, time: TimeEstimate) -> Vec<Action> {
        let now = time.now;
        let held = self.token().is_some_and(|token| token.is_usable(time.latest));
        if !held && self.standing != Standing::Mismatch {
            return Vec::new();
        }
        vec![self.publication.repeat(now).into()]
    }

    fn on_hardware(&mut self, verdict: Verdict, settled: bool, time: TimeEstimate) -> Vec<Action> {
        if verdict != Verdict::Different {
            return self.on_good_hardware(time);
        }
        let now = time.now;
        self.phase = Phase::Waiting;
        self.looks = self.looks.saturating_add(1);
        if self.standing != Standing::Mismatch && !settled && self.looks < BOOT_LOOKS {
            self.next_request = Timer::after(BOOT_LOOK_INTERVAL, now);
            return Vec::new();
        }
        let mut actions = Vec::new();
        if self.standing != Standing::Mismatch {
            self.standing = Standing::Mismatch;
            self.failures = 0;
            self.earlier = None;
            self.next_request = Timer::after(Duration::ZERO, now);
            actions.push(self.publication.renounce(now).into());
        }
        self.next_look = Timer::after(LOOK_INTERVAL, now);
        if self.may_ask(now) {
            self.phase = Phase::Requesting;
            self.next_turn = Timer::after(REQUEST_INTERVAL, now);
            actions.push(Action::RequestToken(AskAs::Stranger));
        }
        actions
    }

    /// What an earlier run held is in the files before anybody is asked: they may be other ones since.
    fn on_good_hardware(&mut self, time: TimeEstimate) -> Vec<Action> {
        if self.standing == Standing::Mismatch {
            self.standing = Standing::Good;
            self.failures = 0;
        }
        self.looks = 0;
        self.phase = Phase::Requesting;
        self.next_turn = Timer::after(REQUEST_INTERVAL, time.now);
        let mut actions = Vec::new();
        if let Some(token) = self.earlier.take()
            && token.is_usable(time.now)
        {
            self.publication.take_back(token, time.now);
            actions.extend(self.publication.due(self.policy, time).map(Action::from));
        }
        actions.push(Action::RequestToken(AskAs::Registered));
        actions
    }

    fn on_token(&mut self, token: Arc<RoleToken>, jitter: Jitter, now: UtcDateTime) -> Vec<Action> {
        if self.standing == Standing::Mismatch {
            // A service that gives a stranger this machine's role has made a mistake: not used.
            return self.on_failure(FailureClass::Denied, jitter, now);
        }
        if token.is_dead_on_arrival(now) {
            return self.on_failure(FailureClass::BadAnswer, jitter, now);
        }
        let pause = self.policy.pause(&token, jitter, now);
        self.phase = Phase::Waiting;
        self.standing = Standing::Good;
        self.failures = 0;
        self.failure = None;
        self.earlier = None;
        self.next_request = Timer::after(pause, now);
        let rotate = token.update_key_pair;
        let mut actions = vec![self.publication.take(token).into()];
        if rotate {
            actions.push(Action::RotateKey);
        }
        actions
    }

    fn on_failure(&mut self, class: FailureClass, jitter: Jitter, now: UtcDateTime) -> Vec<Action> {
        if class == FailureClass::Denied && self.standing == Standing::Good {
            self.standing = Standing::Denied;
            self.failures = 0;
        }
        // Only the service's own yes, a nudge or the old hardware ends hibernation.
        let pace = if self.standing == Standing::Good { class } else { FailureClass::Denied };
        self.phase = Phase::Waiting;
        self.publication.note_outcome();
        self.next_request = Timer::after(pace.delay(self.failures, jitter), now);
        self.failures = self.failures.saturating_add(1);
        self.failure = Some(class);
        Vec::new()
    }

    fn on_delivered(&mut self, complete: bool, jitter: Jitter, now: UtcDateTime) -> Vec<Action> {
        self.publication.delivered(complete, jitter, now);
        Vec::new()
    }
}

impl From<Content> for Action {
    fn from(content: Content) -> Self {
        match content {
            Content::Nothing => Self::Withdraw,
            Content::Token(token) => Self::Publish(token),
        }
    }
}

#[cfg(test)]
mod properties;

#[cfg(test)]
mod tests {
    use time::macros::utc_datetime;

    use super::*;
    use crate::pure::secret::Secret;

    const START: UtcDateTime = utc_datetime!(2026-11-22 00:00);
    const SIMILAR: Event = Event::Hardware { verdict: Verdict::Similar, settled: true };
    const DIFFERENT: Event = Event::Hardware { verdict: Verdict::Different, settled: true };

    fn at(seconds: i64) -> UtcDateTime {
        START + time::Duration::seconds(seconds)
    }

    fn token(now: UtcDateTime, life: i64) -> Arc<RoleToken> {
        let text = || Some(Secret::new("x".to_owned()));
        let expires_at = now + time::Duration::seconds(life);
        let id = Some("ASIAEXAMPLE000000001".to_owned());
        Arc::new(RoleToken::new(id, text(), text(), now, Some(expires_at), false).unwrap())
    }

    /// Feeds events at one moment, with no jitter; the actions of the last.
    fn feed(refresher: &mut Refresher, events: &[Event], now: UtcDateTime) -> Vec<Action> {
        let mut actions = Vec::new();
        for event in events {
            actions = refresher.handle(event.clone(), Jitter::NONE, now);
        }
        actions
    }

    fn fresh(life: i64) -> Refresher {
        let mut refresher = Refresher::new(Policy::default(), None, START);
        let token = Event::Token(token(START, life));
        let delivered = Event::Delivered { complete: true };
        feed(&mut refresher, &[Event::Deadline, SIMILAR, token, delivered], START);
        refresher
    }

    #[test]
    fn a_token_is_renewed_after_half_of_its_life_and_30_minutes_at_most() {
        assert_eq!(fresh(600).next_deadline(), at(300));
        assert_eq!(fresh(3600).next_deadline(), at(1800));
        assert_eq!(fresh(43_200).next_deadline(), at(1800));
    }

    #[test]
    fn looking_early_or_twice_does_nothing() {
        let mut refresher = fresh(3600);
        assert_eq!(feed(&mut refresher, &[Event::Deadline], at(1799)), []);
        assert_eq!(feed(&mut refresher, &[Event::Deadline], at(1800)), [Action::ProbeHardware]);
        assert_eq!(feed(&mut refresher, &[Event::Deadline], at(1801)), []);
    }

    #[test]
    fn the_machine_is_looked_at_before_every_request() {
        let mut refresher = fresh(3600);
        let ask = [Action::RequestToken(AskAs::Registered)];
        assert_eq!(feed(&mut refresher, &[Event::Deadline, SIMILAR], at(1800)), ask);
    }

    #[test]
    fn where_no_hardware_is_judged_the_request_follows_at_once() {
        let mut refresher = fresh(3600);
        let ask = [Action::RequestToken(AskAs::Registered)];
        assert_eq!(feed(&mut refresher, &[Event::Deadline, Event::Unjudged], at(1800)), ask);
    }

    #[test]
    fn what_an_earlier_run_held_is_usable_on_the_machine_it_was_held_on() {
        let earlier =
            || Refresher::new(Policy::default(), None, START).with_earlier(Some(token(START, 60)));
        let mut refresher = earlier();
        feed(&mut refresher, &[Event::Deadline], START);
        assert_eq!(refresher.token(), None, "nobody has looked yet");
        let written = [Action::Publish(token(START, 60)), Action::RequestToken(AskAs::Registered)];
        assert_eq!(feed(&mut refresher, &[SIMILAR], START), written, "files may be new or mended");
        let unwritten = Event::Delivered { complete: false };
        feed(&mut refresher, &[unwritten, Event::Failed(FailureClass::Unreachable)], START);
        assert_eq!(refresher.token(), Some(&token(START, 60)));
        let again = feed(&mut refresher, &[Event::Deadline], at(10));
        assert!(again.contains(&Action::Publish(token(START, 60))), "{again:?}");
        assert_eq!(refresher.condition(at(59)), Condition::Stale);
        assert_eq!(refresher.condition(at(60)), Condition::Expired);

        let mut refresher = earlier();
        feed(&mut refresher, &[Event::Deadline, DIFFERENT], START);
        feed(&mut refresher, &[Event::Nudged, SIMILAR], at(1));
        assert_eq!(refresher.token(), None, "it was given up");
    }

    #[test]
    fn credentials_stay_through_failures_and_are_withdrawn_at_their_end() {
        let mut refresher = fresh(3600);
        let mut now = at(1800);
        while now < at(3600) {
            assert!(!feed(&mut refresher, &[Event::Deadline], now).contains(&Action::Withdraw));
            feed(&mut refresher, &[SIMILAR, Event::Failed(FailureClass::Unreachable)], now);
            assert_eq!(refresher.condition(now), Condition::Stale);
            now = refresher.next_deadline();
        }
        assert_eq!(now, at(3600));
        assert!(feed(&mut refresher, &[Event::Deadline], now).contains(&Action::Withdraw));
        assert_eq!(refresher.condition(now), Condition::Expired);
    }

    #[test]
    fn credentials_of_an_earlier_run_are_withdrawn_at_their_end_too() {
        let mut refresher = Refresher::new(Policy::default(), Some(at(100)), START);
        let failed = Event::Failed(FailureClass::Unreachable);
        feed(&mut refresher, &[Event::Deadline, SIMILAR, failed], START);
        assert!(!feed(&mut refresher, &[Event::Deadline], at(99)).contains(&Action::Withdraw));
        assert_eq!(refresher.condition(at(99)), Condition::Stale);
        assert!(feed(&mut refresher, &[Event::Deadline], at(100)).contains(&Action::Withdraw));
        assert_eq!(refresher.condition(at(100)), Condition::Expired);
    }

    #[test]
    fn credentials_of_an_earlier_run_that_seem_to_have_ended_wait_for_the_first_outcome() {
        let mut refresher = Refresher::new(Policy::default(), Some(at(-3600)), START);
        assert_eq!(feed(&mut refresher, &[Event::Deadline], START), [Action::ProbeHardware]);
        let answered = Event::Token(token(at(-7200), 3600));
        let mut corrected = Refresher::new(Policy::default(), Some(at(-3600)), START);
        let actions = feed(&mut corrected, &[Event::Deadline, SIMILAR, answered], at(-7200));
        assert!(matches!(actions.as_slice(), [Action::Publish(_)]), "{actions:?}");
        feed(&mut refresher, &[SIMILAR, Event::Failed(FailureClass::Unreachable)], START);
        assert!(refresher.next_deadline() <= START);
        assert!(feed(&mut refresher, &[Event::Deadline], START).contains(&Action::Withdraw));
    }

    #[test]
    fn they_are_not_withdrawn_by_a_clock_that_no_request_has_tried() {
        let booting = Event::Hardware { verdict: Verdict::Different, settled: false };
        let mut refresher = Refresher::new(Policy::default(), Some(at(-100)), START);
        let actions = feed(&mut refresher, &[Event::Deadline], START);
        assert_eq!(actions, [Action::ProbeHardware]);
        feed(&mut refresher, &[booting], START);
        assert_eq!(refresher.next_deadline(), at(5));
        feed(&mut refresher, &[Event::Deadline, SIMILAR], at(5));
        feed(&mut refresher, &[Event::Failed(FailureClass::Unreachable)], at(5));
        assert_eq!(feed(&mut refresher, &[Event::Deadline], at(5)), [Action::Withdraw]);
    }

    #[test]
    fn they_are_usable_until_their_end_but_not_fresh() {
        let refresher = Refresher::new(Policy::default(), Some(at(100)), START);
        assert_eq!(refresher.condition(at(99)), Condition::Stale);
        assert_eq!(refresher.condition(at(100)), Condition::Expired);
    }

    #[test]
    fn another_machine_withdraws_asks_as_a_stranger_and_hibernates() {
        let mut refresher = fresh(3600);
        let actions = feed(&mut refresher, &[Event::Deadline, DIFFERENT], at(1800));
        assert_eq!(actions, [Action::Withdraw, Action::RequestToken(AskAs::Stranger)]);
        feed(&mut refresher, &[Event::Failed(FailureClass::Denied)], at(1800));
        assert_eq!(refresher.condition(at(1800)), Condition::Mismatch);
        assert_eq!(refresher.next_request(), at(1800 + 600));
        // It is looked at once a minute, and nobody is asked.
        assert_eq!(feed(&mut refresher, &[Event::Deadline], at(1860)), [Action::ProbeHardware]);
        assert_eq!(feed(&mut refresher, &[DIFFERENT], at(1860)), []);
    }

    #[test]
    fn the_old_hardware_ends_hibernation_at_the_next_look() {
        let mut refresher = fresh(3600);
        let denied = Event::Failed(FailureClass::Denied);
        feed(&mut refresher, &[Event::Deadline, DIFFERENT, denied], at(1800));
        let actions = feed(&mut refresher, &[Event::Deadline, SIMILAR], at(1860));
        assert_eq!(actions, [Action::RequestToken(AskAs::Registered)]);
        let token = token(at(1860), 3600);
        let actions = feed(&mut refresher, &[Event::Token(Arc::clone(&token))], at(1860));
        assert_eq!(actions, [Action::Publish(token)]);
        assert_eq!(refresher.condition(at(1860)), Condition::Fresh);
    }

    #[test]
    fn a_token_given_to_a_stranger_is_not_used() {
        let mut refresher = fresh(3600);
        feed(&mut refresher, &[Event::Deadline, DIFFERENT], at(1800));
        assert_eq!(feed(&mut refresher, &[Event::Token(token(at(1800), 3600))], at(1800)), []);
        assert_eq!(refresher.condition(at(1800)), Condition::Mismatch);
    }

    #[test]
    fn a_machine_that_is_still_booting_gets_three_looks_5_seconds_apart() {
        let booting = Event::Hardware { verdict: Verdict::Different, settled: false };
        let mut refresher = Refresher::new(Policy::default(), None, START);
        for look in 0..2 {
            let now = at(look * 5);
            assert_eq!(feed(&mut refresher, &[Event::Deadline], now), [Action::ProbeHardware]);
            assert_eq!(feed(&mut refresher, std::slice::from_ref(&booting), now), []);
            assert_eq!(refresher.next_deadline(), at((look + 1) * 5));
        }
        let actions = feed(&mut refresher, &[Event::Deadline, booting], at(10));
        assert_eq!(actions, [Action::Withdraw, Action::RequestToken(AskAs::Stranger)]);
    }

    #[test]
    fn a_denial_hibernates_and_a_nudge_asks_at_once() {
        let mut refresher = fresh(3600);
        let denied = Event::Failed(FailureClass::Denied);
        feed(&mut refresher, &[Event::Deadline, SIMILAR, denied.clone()], at(1800));
        assert_eq!(refresher.condition(at(1800)), Condition::Hibernating);
        assert_eq!(refresher.next_request(), at(1800 + 600));
        assert_eq!(feed(&mut refresher, &[Event::Nudged], at(1801)), [Action::ProbeHardware]);
        feed(&mut refresher, &[SIMILAR, denied], at(1801));
        assert_eq!(refresher.next_request(), at(1801 + 600));
    }

    #[test]
    fn a_token_that_is_dead_on_arrival_is_a_failure_with_a_wait() {
        let mut refresher = Refresher::new(Policy::default(), None, START);
        feed(&mut refresher, &[Event::Deadline, SIMILAR], START);
        assert_eq!(feed(&mut refresher, &[Event::Token(token(START, 5))], START), []);
        assert!(refresher.next_deadline() > START + time::Duration::SECOND);
        assert_eq!(refresher.condition(START), Condition::Expired);
    }

    #[test]
    fn a_target_that_fails_is_written_again_without_asking_the_service() {
        let mut refresher = fresh(3600);
        let nudged = [Event::Nudged, SIMILAR, Event::Token(token(at(60), 3600))];
        feed(&mut refresher, &nudged, at(60));
        feed(&mut refresher, &[Event::Delivered { complete: false }], at(60));
        let due = refresher.next_deadline();
        assert!(due > at(60) && due <= at(70));
        let actions = feed(&mut refresher, &[Event::Deadline], due);
        assert!(matches!(actions.as_slice(), [Action::Publish(_)]), "{actions:?}");
    }

    #[test]
    fn a_nudge_delivers_what_is_held_before_it_asks() {
        let mut refresher = fresh(3600);
        let delivered = Event::Delivered { complete: false };
        let nudged = [Event::Nudged, SIMILAR, Event::Token(token(at(60), 3600)), delivered];
        feed(&mut refresher, &nudged, at(60));
        let actions = feed(&mut refresher, &[Event::Nudged], at(61));
        let both = matches!(actions.as_slice(), [Action::Publish(_), Action::ProbeHardware]);
        assert!(both, "{actions:?}");
    }

    #[test]
    fn a_nudge_while_a_request_is_under_way_asks_no_second_time() {
        let mut refresher = fresh(3600);
        feed(&mut refresher, &[Event::Deadline, SIMILAR], at(1800));
        assert_eq!(feed(&mut refresher, &[Event::Nudged], at(1801)), []);
        let failed = Event::Failed(FailureClass::Unreachable);
        feed(&mut refresher, &[failed], at(1802));
        assert_eq!(refresher.failures(), 1);
    }

    #[test]
    fn a_nudge_does_not_put_off_a_withdrawal() {
        let mut refresher = fresh(3600);
        let actions = feed(&mut refresher, &[Event::Nudged], at(3600));
        assert_eq!(actions, [Action::Withdraw, Action::ProbeHardware]);
    }

    #[test]
    fn new_targets_get_what_is_held_and_nothing_that_has_ended() {
        let mut refresher = fresh(3600);
        let actions = feed(&mut refresher, &[Event::Retargeted], at(60));
        assert!(matches!(actions.as_slice(), [Action::Publish(_)]), "{actions:?}");
        feed(&mut refresher, &[Event::Delivered { complete: true }], at(60));
        assert_eq!(feed(&mut refresher, &[Event::Retargeted], at(3600)), []);
    }

    #[test]
    fn nothing_that_has_ended_is_put_into_a_file_that_was_mended_too_late() {
        let policy = Policy { withdraw_expired: false, ..Policy::default() };
        let unwritten = Event::Delivered { complete: false };
        let failed = Event::Failed(FailureClass::Unreachable);
        let mut refresher = Refresher::new(policy, None, START);
        let story = [Event::Deadline, SIMILAR, Event::Token(token(START, 60)), unwritten.clone()];
        feed(&mut refresher, &story, START);
        feed(&mut refresher, &[Event::Deadline, SIMILAR, failed, unwritten], at(59));
        // Nobody knows what time it is: it waits.
        let doubted = doubted(59, 100);
        refresher.handle(Event::Nudged, Jitter::NONE, doubted);
        assert!(refresher.next_deadline() > at(59));
        let written = |action: &Action| matches!(action, Action::Publish(_) | Action::Withdraw);
        for event in [Event::Deadline, Event::Nudged, Event::Retargeted, Event::ClockSet] {
            let actions = feed(&mut refresher, &[event], at(100));
            assert!(!actions.iter().any(written), "{actions:?}");
        }
        assert!(refresher.token().is_some_and(|token| !token.is_usable(at(100))));
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_lengthen_a_wait() {
        let mut refresher = fresh(3600);
        feed(&mut refresher, &[Event::Deadline], at(-86_400));
        assert_eq!(refresher.next_deadline(), at(-86_400 + 1800));
    }

    #[test]
    fn a_wish_for_a_new_key_follows_the_publication() {
        let mut refresher = Refresher::new(Policy::default(), None, START);
        feed(&mut refresher, &[Event::Deadline, SIMILAR], START);
        let mut wishing = RoleToken::clone(&token(START, 3600));
        wishing.update_key_pair = true;
        let wishing = Arc::new(wishing);
        let actions = feed(&mut refresher, &[Event::Token(Arc::clone(&wishing))], START);
        assert_eq!(actions, [Action::Publish(wishing), Action::RotateKey]);
    }

    /// The wall clock was set so far ahead, after the service had agreed with it.
    fn doubted(seconds: i64, ahead: i64) -> TimeEstimate {
        TimeEstimate { now: at(seconds), latest: at(seconds + ahead), wall_differs: true }
    }

    #[test]
    fn a_doubt_asks_at_once_and_withdraws_once_nobody_could_say_what_time_it_is() {
        let mut refresher = fresh(3600);
        let time = doubted(60, 7200);
        let asked = refresher.handle(Event::ClockSet, Jitter::NONE, time);
        assert_eq!(asked, [Action::ProbeHardware]);
        assert_eq!(refresher.condition(time), Condition::Expired);
        refresher.handle(SIMILAR, Jitter::NONE, time);
        let failed = Event::Failed(FailureClass::Unreachable);
        assert_eq!(refresher.handle(failed, Jitter::NONE, time), []);
        let emptied = refresher.handle(Event::Deadline, Jitter::NONE, time);
        assert_eq!(emptied, [Action::Withdraw]);

        // The clock is set back: it was wrong, and the credentials are good.
        let actions =
            feed(&mut refresher, &[Event::Delivered { complete: true }, Event::ClockSet], at(61));
        assert!(matches!(actions.first(), Some(Action::Publish(_))), "{actions:?}");
        assert_eq!(refresher.condition(at(61)), Condition::Stale);
    }

    #[test]
    fn a_doubt_that_the_service_dispels_changes_nothing() {
        let mut refresher = fresh(3600);
        let time = doubted(60, 7200);
        let asked = refresher.handle(Event::ClockSet, Jitter::NONE, time);
        assert_eq!(asked, [Action::ProbeHardware]);
        let actions = feed(&mut refresher, &[SIMILAR, Event::Token(token(at(61), 3600))], at(61));
        assert!(matches!(actions.as_slice(), [Action::Publish(_)]), "{actions:?}");
        assert_eq!(refresher.condition(at(61)), Condition::Fresh);
    }

    #[test]
    fn a_clock_that_is_set_hastens_what_fails_and_no_more_than_every_ten_seconds() {
        let mut refresher = Refresher::new(Policy::default(), None, START);
        let failed = Event::Failed(FailureClass::ClockSkew);
        for _ in 0..9 {
            feed(&mut refresher, &[Event::Nudged, SIMILAR, failed.clone()], START);
        }
        for _ in 0..9 {
            let due = refresher.next_deadline();
            feed(&mut refresher, &[Event::Deadline, SIMILAR, failed.clone()], due);
        }
        let now = refresher.next_deadline() - time::Duration::seconds(100);
        assert_eq!(feed(&mut refresher, &[Event::ClockSet], now), [Action::ProbeHardware]);
        feed(&mut refresher, &[SIMILAR, failed], now);
        assert_eq!(feed(&mut refresher, &[Event::ClockSet], now + time::Duration::SECOND), []);
        assert_eq!(refresher.next_deadline(), now + HASTE_INTERVAL);
    }

    #[test]
    fn a_clock_that_is_set_to_what_is_believed_is_no_reason_to_ask() {
        let mut refresher = fresh(3600);
        assert_eq!(feed(&mut refresher, &[Event::ClockSet], at(60)), []);
        let time = TimeEstimate { now: at(61), latest: at(61), wall_differs: true };
        let asked = refresher.handle(Event::ClockSet, Jitter::NONE, time);
        assert_eq!(asked, [Action::ProbeHardware], "whoever set it may know more");
    }
}
