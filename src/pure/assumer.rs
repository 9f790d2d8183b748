//! When to assume a target's own role, to publish its credentials and to withdraw them. One of these
//! for each target that has one; none knows of the others.
//!
//! ```text
//!             base usable and request due
//!  WAITING ───────────────────────────────▶ ASSUMING
//!   │ ▲ ▲    assumed: publish, wait half of its life │
//!   │ │ ├────────────────────────────────────────────┤
//!   │ │ │    failed: wait by class                   │
//!   │ │ └────────────────────────────────────────────┘
//!   │ └───────────────┐ base usable                  │
//!   │ base gone       │                              │ not the registered machine:
//!   └────────────▶ BASELESS ◀────────────────────────┘ withdraw, whatever is under way
//!                  nobody is asked; what is held stays until its end
//! ```
//!
//! The *base* are the registered role's credentials. Whoever runs this feeds events and performs the
//! actions in order; calling with [`Event::Deadline`] too often, too early or too late is harmless.
//! All times are by the service's clock as far as known.

use std::sync::Arc;
use std::time::Duration;

use time::UtcDateTime;

use super::failure::FailureClass;
use super::jitter::Jitter;
pub use super::publication::Policy;
use super::publication::{Content, DOUBT_LOOK, Publication};
use super::role_token::RoleToken;
use super::service_time::TimeEstimate;
use super::timer::Timer;

/// What happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// The whole chain was assumed.
    Assumed(Arc<RoleToken>),
    /// The registered role's credentials are others than before, or the same.
    Base(Base),
    /// Time has passed. Says nothing about which deadline, and need not be on time.
    Deadline,
    /// Publishing or withdrawing ended; `complete` when the target took it.
    Delivered { complete: bool },
    /// A role of the chain was not assumed.
    Failed(FailureClass),
    /// The target's file is another one, by the settings, or somebody else has changed or removed it.
    FileChanged,
    /// The operator wants it now.
    Nudged,
}

/// What there is to assume a role from, once a first request for it has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// No usable credentials, and that may change by itself.
    Gone,
    /// This is not the machine that registered.
    Mismatch,
    Usable(Arc<RoleToken>),
}

/// What to do, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Assume the chain from this token, and report [`Event::Assumed`] or [`Event::Failed`]. An
    /// earlier request that is still under way is given up.
    Assume(Arc<RoleToken>),
    /// Put the token into target and outlets, and report [`Event::Delivered`].
    Publish(Arc<RoleToken>),
    /// Take our credentials out of the target, and report [`Event::Delivered`].
    Withdraw,
}

/// The state machine. One task owns it.
#[derive(Debug)]
pub struct Assumer {
    policy: Policy,
    /// `None` until it is known.
    base: Option<Base>,
    /// A request is under way.
    is_assuming: bool,
    /// Failures in a row of the present kind.
    failures: u32,
    failure: Option<FailureClass>,
    publication: Publication,
    /// This machine's clocks differ, and the service has not been heard since.
    is_in_doubt: bool,
    next_request: Timer,
}

impl Assumer {
    /// Starts with a request due as soon as there is a base. `published_until` is the end of the
    /// credentials that an earlier run left in the file: they stay while they are valid.
    pub fn new(policy: Policy, published_until: Option<UtcDateTime>, now: UtcDateTime) -> Self {
        Self {
            policy,
            base: None,
            is_assuming: false,
            failures: 0,
            failure: None,
            publication: Publication::new(published_until),
            is_in_doubt: false,
            next_request: Timer::after(Duration::ZERO, now),
        }
    }

    /// With credentials that were assumed in the same way before. The next request is due as if they had
    /// just come.
    pub fn with_earlier(mut self, token: Option<Arc<RoleToken>>, now: UtcDateTime) -> Self {
        if let Some(token) = token.filter(|token| token.is_usable(now)) {
            self.next_request = Timer::after(self.policy.pause(&token, Jitter::NONE, now), now);
            self.publication.take_back(token, now);
        }
        self
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
            // Given up meanwhile: this is another machine.
            Event::Assumed(_) | Event::Failed(_) if !self.is_assuming => Vec::new(),
            Event::Assumed(token) => self.on_token(token, jitter, now),
            Event::Base(base) => self.on_base(base, time),
            Event::Deadline => self.on_deadline(time),
            Event::Delivered { complete } => {
                self.publication.delivered(complete, jitter, now);
                Vec::new()
            }
            Event::Failed(class) => self.on_failure(class, jitter, now),
            Event::FileChanged => self.on_changed_file(time),
            Event::Nudged => self.on_nudge(time),
        }
    }

    /// When to call with [`Event::Deadline`] next. In the past when something is due.
    pub fn next_deadline(&self) -> UtcDateTime {
        let asking = match self.base {
            Some(Base::Usable(_)) if !self.is_assuming => Some(self.next_request.due),
            _ => None,
        };
        let writing = self.publication.next(self.policy);
        asking.into_iter().chain(writing).min().unwrap_or(UtcDateTime::MAX)
    }

    /// The token that outlets may hand out.
    pub fn token(&self) -> Option<&Arc<RoleToken>> {
        self.publication.token()
    }

    /// When STS is asked next, if there is a base then.
    pub fn next_request(&self) -> UtcDateTime {
        self.next_request.due
    }

    /// Whether it is known that there is nothing to assume a role from.
    pub fn lacks_base(&self) -> bool {
        matches!(self.base, Some(Base::Gone | Base::Mismatch))
    }

    /// Whether the answer of a request is waited for.
    pub fn is_assuming(&self) -> bool {
        self.is_assuming
    }

    /// Failures in a row, 0 when all is well.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Takes the operator's new choice; it counts from the next answer on.
    pub fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// Whoever has the base asks at once what time it is; a new base, or none, tells that it is known.
    fn note_doubt(&mut self, time: TimeEstimate) {
        let was_in_doubt = std::mem::replace(&mut self.is_in_doubt, time.is_doubted());
        if self.is_in_doubt && !was_in_doubt {
            self.publication.note_doubt();
        } else if was_in_doubt && !self.is_in_doubt {
            self.publication.note_outcome();
        }
    }

    fn on_base(&mut self, base: Base, time: TimeEstimate) -> Vec<Action> {
        let now = time.now;
        self.publication.note_outcome();
        let before = self.base.replace(base);
        if self.base != Some(Base::Mismatch) {
            return self.on_deadline(time);
        }
        self.is_assuming = false;
        if before == Some(Base::Mismatch) {
            return self.on_deadline(time);
        }
        self.failures = 0;
        self.failure = None;
        self.next_request = Timer::after(Duration::ZERO, now);
        vec![self.publication.renounce(now).into()]
    }

    fn on_deadline(&mut self, time: TimeEstimate) -> Vec<Action> {
        let now = time.now;
        let due = self.publication.due(self.policy, time);
        let mut actions = due.map(Action::from).into_iter().collect::<Vec<_>>();
        if let Some(Base::Usable(token)) = &self.base
            && !token.is_usable(now)
        {
            self.base = Some(Base::Gone);
        }
        if let Some(Base::Usable(token)) = &self.base
            && !self.is_assuming
            && self.next_request.is_due(now)
        {
            if token.is_usable(time.latest) {
                self.is_assuming = true;
                actions.push(Action::Assume(Arc::clone(token)));
            } else {
                self.next_request = Timer::after(DOUBT_LOOK, now);
            }
        }
        actions
    }

    /// Whatever waits is due; a request under way is what was asked for.
    fn on_nudge(&mut self, time: TimeEstimate) -> Vec<Action> {
        let now = time.now;
        self.failures = 0;
        self.publication.hasten(now);
        if !self.is_assuming {
            self.next_request = Timer::after(Duration::ZERO, now);
        }
        self.on_deadline(time)
    }

    /// The file gets what it held; on other hardware, nothing.
    fn on_changed_file(&mut self, time: TimeEstimate) -> Vec<Action> {
        let held = self.token().is_some_and(|token| token.is_usable(time.latest));
        if !held && self.base != Some(Base::Mismatch) {
            return Vec::new();
        }
        vec![self.publication.repeat(time.now).into()]
    }

    fn on_token(&mut self, token: Arc<RoleToken>, jitter: Jitter, now: UtcDateTime) -> Vec<Action> {
        if token.is_dead_on_arrival(now) {
            return self.on_failure(FailureClass::BadAnswer, jitter, now);
        }
        self.is_assuming = false;
        self.failures = 0;
        self.failure = None;
        self.next_request = Timer::after(self.policy.pause(&token, jitter, now), now);
        vec![self.publication.take(token).into()]
    }

    /// What is held stays until its end.
    fn on_failure(&mut self, class: FailureClass, jitter: Jitter, now: UtcDateTime) -> Vec<Action> {
        if class == FailureClass::Denied && self.failure != Some(class) {
            self.failures = 0;
        }
        self.is_assuming = false;
        self.next_request = Timer::after(class.delay(self.failures, jitter), now);
        self.failures = self.failures.saturating_add(1);
        self.failure = Some(class);
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
mod tests;
