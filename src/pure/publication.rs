//! What the files are to hold, and when they have to be written: the half that all machines share
//! that hand out credentials. The other half is when to ask for new ones.

use std::sync::Arc;
use std::time::Duration;

use time::UtcDateTime;

use super::failure::FailureClass;
use super::jitter::Jitter;
use super::role_token::RoleToken;
use super::service_time::TimeEstimate;
use super::timer::Timer;

/// What the operator chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// The longest time between two requests while all is well.
    pub interval: Duration,
    /// Whether credentials that have ended are taken out of the files.
    pub withdraw_expired: bool,
}

/// What the files are to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    Nothing,
    Token(Arc<RoleToken>),
}

#[derive(Debug)]
pub(super) struct Publication {
    token: Option<Arc<RoleToken>>,
    /// When the credentials in the files end; `None` when there are none of ours.
    until: Option<UtcDateTime>,
    /// A request has ended, well or not. Until then `now` may be any wall clock's after a start.
    clock_tried: bool,
    /// The clocks differ, and what is held was withdrawn for what one of them says alone.
    withdrawn_in_doubt: bool,
    /// A delivery that is not complete, or is due.
    delivery: Option<Delivery>,
}

/// A delivery under way has no timer: its outcome sets the next one.
#[derive(Debug)]
struct Delivery {
    attempts: u32,
    timer: Option<Timer>,
}

/// A request is kept from following another by less than this, whatever a token's life says.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);

/// How soon it is looked again at what may have ended, while the clocks differ.
pub(super) const DOUBT_LOOK: Duration = Duration::from_secs(10);

/// The share of a wait by which a fleet is spread: refreshes come up to a tenth early.
const SPREAD: u32 = 10;

impl Policy {
    /// How long a token that arrives at `now` is used before the next one is asked for: half of its
    /// life and never more.
    pub(super) fn pause(self, token: &RoleToken, jitter: Jitter, now: UtcDateTime) -> Duration {
        let life = (token.expires_at - now).unsigned_abs();
        let wait = self.interval.min(life / 2);
        (wait - jitter.of(wait / SPREAD)).max(SHORTEST_PAUSE)
    }
}

impl Default for Policy {
    /// 30 minutes: half of the hour that the service's tokens live.
    fn default() -> Self {
        Self { interval: Duration::from_secs(30 * 60), withdraw_expired: true }
    }
}

impl Publication {
    /// `until` is the end of the credentials that an earlier run left in the files.
    pub fn new(until: Option<UtcDateTime>) -> Self {
        Self { token: None, until, clock_tried: false, withdrawn_in_doubt: false, delivery: None }
    }

    /// The newest token, which may have ended.
    pub fn token(&self) -> Option<&Arc<RoleToken>> {
        self.token.as_ref()
    }

    /// Whether programs can use what is in the files.
    pub fn is_usable(&self, now: UtcDateTime) -> bool {
        self.until.is_some_and(|end| now < end)
    }

    /// Usable credentials that an earlier run held, or another outlet. They are due in the files, which may
    /// be other ones since, or have lost them.
    pub fn take_back(&mut self, token: Arc<RoleToken>, now: UtcDateTime) {
        self.until = Some(token.expires_at);
        self.token = Some(token);
        self.delivery = Some(Delivery::due(now));
    }

    /// A request has ended: the clock is as good as it gets.
    pub fn note_outcome(&mut self) {
        self.clock_tried = true;
    }

    /// The clocks differ: nothing leaves the files before a request has shown which one is right.
    pub fn note_doubt(&mut self) {
        self.clock_tried = false;
    }

    /// New credentials, whose delivery begins now.
    pub fn take(&mut self, token: Arc<RoleToken>) -> Content {
        self.note_outcome();
        self.withdrawn_in_doubt = false;
        self.until = Some(token.expires_at);
        self.token = Some(token);
        self.delivery = Some(Delivery { attempts: 0, timer: None });
        self.deliver()
    }

    /// What is held is not to be used any more. Said even when nothing of ours is known of: a file may
    /// have been unreadable at the start.
    pub fn renounce(&mut self, now: UtcDateTime) -> Content {
        self.token = None;
        self.withdrawn_in_doubt = false;
        self.empty(now);
        self.deliver()
    }

    /// What is held is delivered once more.
    pub fn repeat(&mut self, now: UtcDateTime) -> Content {
        self.delivery = Some(Delivery::due(now));
        self.deliver()
    }

    /// A delivery that waits to be tried again is due now.
    pub fn hasten(&mut self, now: UtcDateTime) {
        if self.delivery.as_ref().is_some_and(|delivery| delivery.timer.is_some()) {
            self.delivery = Some(Delivery::due(now));
        }
    }

    /// What is to be written now, if anything is. Credentials that have ended are put into no file: what
    /// did not take them in time keeps what it has.
    pub fn due(&mut self, policy: Policy, time: TimeEstimate) -> Option<Content> {
        let now = time.now;
        if self.withdrawal(policy).is_some_and(|end| end <= time.latest) {
            self.withdrawn_in_doubt = self.is_usable(now);
            self.empty(now);
        } else if self.withdrawn_in_doubt && !time.is_doubted() {
            self.withdrawn_in_doubt = false;
            self.restore(now);
        }
        let timer = self.delivery.as_mut().and_then(|delivery| delivery.timer.as_mut());
        if !timer.is_some_and(|timer| timer.is_due(now)) {
            return None;
        }
        let token = self.token.as_ref().filter(|_| self.until.is_some());
        match token.map(|token| (token.is_usable(now), token.is_usable(time.latest))) {
            Some((false, _)) => {
                self.delivery = None;
                None
            }
            // They may have ended: the next answer tells.
            Some((true, false)) => {
                if let Some(delivery) = &mut self.delivery {
                    delivery.timer = Some(Timer::after(DOUBT_LOOK, now));
                }
                None
            }
            Some((true, true)) | None => Some(self.deliver()),
        }
    }

    /// A delivery has ended; `complete` when every file took it.
    pub fn delivered(&mut self, complete: bool, jitter: Jitter, now: UtcDateTime) {
        let attempts = self.delivery.take().map_or(0, |delivery| delivery.attempts);
        if !complete {
            let timer = Timer::after(FailureClass::Local.delay(attempts, jitter), now);
            let attempts = attempts.saturating_add(1);
            self.delivery = Some(Delivery { attempts, timer: Some(timer) });
        }
    }

    /// When to look at [`Publication::due`] next. A doubt may make it earlier; it is looked at every minute.
    pub fn next(&self, policy: Policy) -> Option<UtcDateTime> {
        let delivery = self.delivery.as_ref().and_then(|delivery| delivery.timer);
        let delivery = delivery.map(|timer| timer.due).filter(|due| {
            let token = self.token.as_ref().filter(|_| self.until.is_some());
            token.is_none_or(|token| token.is_usable(*due))
        });
        delivery.into_iter().chain(self.withdrawal(policy)).min()
    }

    /// When the files are to be emptied, as far as it is known. Not before a first request has
    /// shown whether the clock can be trusted: a machine without one of its own may boot in any year,
    /// and a good answer replaces the credentials anyway.
    fn withdrawal(&self, policy: Policy) -> Option<UtcDateTime> {
        self.until.filter(|_| policy.withdraw_expired && self.clock_tried)
    }

    /// The doubt is over: what is usable after all is delivered once more.
    fn restore(&mut self, now: UtcDateTime) {
        if let Some(token) = self.token.as_ref().filter(|token| token.is_usable(now)) {
            self.until = Some(token.expires_at);
            self.delivery = Some(Delivery::due(now));
        }
    }

    /// From here on the files are to hold nothing of ours.
    fn empty(&mut self, now: UtcDateTime) {
        self.until = None;
        self.delivery = Some(Delivery::due(now));
    }

    /// What the files are to hold now.
    fn deliver(&mut self) -> Content {
        if let Some(delivery) = &mut self.delivery {
            delivery.timer = None;
        }
        match (&self.token, self.until) {
            (Some(token), Some(_)) => Content::Token(Arc::clone(token)),
            _ => Content::Nothing,
        }
    }
}

impl Delivery {
    fn due(now: UtcDateTime) -> Self {
        Self { attempts: 0, timer: Some(Timer::after(Duration::ZERO, now)) }
    }
}
