//! What time it is by the service's clock: what its answers said, carried forward by this machine's
//! two clocks.
//!
//! ```text
//!            heard, the wall clock agrees          the wall clock was set ahead
//!  UNHEARD ───────────────────────────────▶ AGREED ────────────────────────────▶ DOUBTED
//!  the wall clock                            ▲  │ ◀──────────────────────────────  │  │
//!  stands in                                 │  │    it was set back, or heard:    │  │
//!     │                          heard,      │  │    it agrees                     │  │
//!     │                          it agrees   │  │ heard, it does not agree         │  │
//!     │   heard, it does not agree           │  ▼                                  │  │
//!     └──────────────────────────────────▶ CONTRADICTED ◀──────────────────────────┘  │
//!                                          the wall clock counts for nothing          │
//! ```
//!
//! The time since boot is never set, and stands still while a virtual machine is paused or migrated.
//! The wall clock stands still, too, and is set afterwards; but it may be set wrongly as well. So a wall
//! clock that agreed when the service was heard last, and is ahead now, is a doubt: what has ended by
//! either clock is not handed out until the service was heard again. One that the service contradicted
//! (a machine without a clock of its own) raises none.
//!
//! A `Date` is as good as what stands beside it. A token's own end bears its date out; so does a clock of
//! this machine that agrees. Any other is a claim: a refusal of a wrong date may set the clock that
//! requests are signed by, any other answer when a second one says the same; and neither ends
//! credentials.

use std::time::Duration;

use time::UtcDateTime;
use time::macros::utc_datetime;

/// Both clocks of this machine at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// `CLOCK_REALTIME`: may be wrong, and may be set.
    pub wall: UtcDateTime,
    /// `CLOCK_BOOTTIME`: runs through suspend, and stands still in a paused virtual machine.
    pub since_boot: Duration,
}

/// The `Date` of an answer, and the two moments between which the service wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dated {
    /// In whole seconds, rounded down (RFC 9110, section 5.6.7).
    pub date: UtcDateTime,
    pub sent: Reading,
    pub received: Reading,
    pub beside: Beside,
}

/// What an answer says beside its `Date`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beside {
    /// A token that can have been given out at that date.
    Token,
    /// That the request was dated wrongly.
    Skew,
    /// Nothing about the time.
    Nothing,
}

/// What time it is, and what time it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeEstimate {
    /// The best guess: deadlines go by it.
    pub now: UtcDateTime,
    /// The latest that either clock says: what is handed out must not have ended by it. Later than
    /// `now` only while there is a doubt.
    pub latest: UtcDateTime,
    /// The wall clock says something else, doubt or not.
    pub wall_differs: bool,
}

/// The state machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct ServiceTime {
    /// What is borne out.
    anchor: Option<Anchor>,
    /// What was claimed since, and signatures go by.
    claimed: Option<Anchor>,
    /// What one answer claimed, and no second one yet.
    heard_once: Option<Anchor>,
}

#[derive(Debug, Clone, Copy)]
struct Anchor {
    service: UtcDateTime,
    since_boot: Duration,
    /// The wall clock said the same.
    wall_agreed: bool,
}

/// Below this the wall clock is believed, and an answer's way tells the time: `Date` has whole seconds,
/// and an answer takes time. The service accepts dates that are off by 5 minutes.
pub const TOLERATED_SKEW: time::Duration = time::Duration::seconds(5);

/// No service says less: the compiler that this program needs (`rust-version` in Cargo.toml) is of 2026.
const EARLIEST_DATE: UtcDateTime = utc_datetime!(2026-01-01 00:00);

/// What `Date` leaves out.
const ROUNDING: time::Duration = time::Duration::SECOND;

impl ServiceTime {
    /// What time it is at this reading.
    pub fn at(&self, reading: Reading) -> TimeEstimate {
        let Some(anchor) = self.anchor else { return reading.wall.into() };
        let now = anchor.at(reading);
        let ahead = reading.wall - now;
        let is_doubted = anchor.wall_agreed && ahead > TOLERATED_SKEW;
        let latest = if is_doubted { reading.wall } else { now };
        TimeEstimate { now, latest, wall_differs: ahead.abs() > TOLERATED_SKEW }
    }

    /// What date the service accepts at this reading, by all that it has said.
    pub fn signing_date(&self, reading: Reading) -> UtcDateTime {
        self.claimed.map_or_else(|| self.at(reading).now, |claimed| claimed.at(reading))
    }

    /// The service said what time it was, at some moment between two readings.
    ///
    /// A quick answer sets the clock: to the wall clock where the two agree, else to the middle of what is
    /// possible. A slow one (a suspended machine, a satellite link) does no more than it proves: the
    /// clock moves into what is possible, if it was not there.
    pub fn hear(&mut self, dated: Dated) {
        if dated.date < EARLIEST_DATE {
            return;
        }
        let span = dated.span();
        let received = dated.received;
        let is_borne_out = dated.beside == Beside::Token
            || span.has(received.wall)
            || self.anchor.is_some_and(|anchor| span.has(anchor.at(received)));
        if is_borne_out {
            let believed = self.anchor.map_or(received.wall, |anchor| anchor.at(received));
            // Nothing new is no reason to forget what was known.
            self.anchor = span.anchor(believed, received).or(self.anchor);
            (self.claimed, self.heard_once) = (None, None);
            return;
        }
        let claim = span.anchor(self.signing_date(received), received);
        let said_before = self.heard_once.is_some_and(|once| span.has(once.at(received)));
        if dated.beside == Beside::Skew || said_before {
            self.claimed = claim.or(self.claimed);
        }
        self.heard_once = claim.or(self.heard_once);
    }
}

impl Anchor {
    fn at(self, reading: Reading) -> UtcDateTime {
        let elapsed = span(reading.since_boot.saturating_sub(self.since_boot));
        self.service.saturating_add(elapsed)
    }
}

impl Dated {
    fn span(&self) -> Span {
        let (sent, received) = (self.sent, self.received);
        let by_boot = span(received.since_boot.saturating_sub(sent.since_boot));
        // A pause on the way shows in the wall clock alone, once that was set.
        let way = by_boot.max(received.wall - sent.wall);
        Span { earliest: self.date, way }
    }
}

/// When an answer was read, by the service's clock: at its date, or as much later as its way took.
#[derive(Debug, Clone, Copy)]
struct Span {
    earliest: UtcDateTime,
    way: time::Duration,
}

impl Span {
    fn latest(self) -> UtcDateTime {
        self.earliest.saturating_add(ROUNDING + self.way)
    }

    /// Whether it can have been then.
    fn has(self, at: UtcDateTime) -> bool {
        at >= self.earliest.saturating_sub(TOLERATED_SKEW)
            && at <= self.latest().saturating_add(TOLERATED_SKEW)
    }

    /// What the answer tells; `None` when it is nothing that was not known before.
    fn anchor(self, believed: UtcDateTime, received: Reading) -> Option<Anchor> {
        let (wall, since_boot) = (received.wall, received.since_boot);
        if self.way <= TOLERATED_SKEW {
            let middle = self.earliest.saturating_add((ROUNDING + self.way) / 2);
            let wall_agreed = (middle - wall).abs() < TOLERATED_SKEW;
            let service = if wall_agreed { wall } else { middle };
            return Some(Anchor { service, since_boot, wall_agreed });
        }
        let (service, wall_agreed) = match (self.has(believed), self.has(wall)) {
            (true, true) => return None,
            (true, false) => (believed, false),
            (false, true) => (wall, true),
            (false, false) => (believed.clamp(self.earliest, self.latest()), false),
        };
        Some(Anchor { service, since_boot, wall_agreed })
    }
}

impl TimeEstimate {
    /// Whether the two clocks of this machine differ since the service was heard last.
    pub fn is_doubted(self) -> bool {
        self.latest > self.now
    }
}

/// Without a doubt.
impl From<UtcDateTime> for TimeEstimate {
    fn from(now: UtcDateTime) -> Self {
        Self { now, latest: now, wall_differs: false }
    }
}

fn span(span: Duration) -> time::Duration {
    span.try_into().unwrap_or(time::Duration::MAX)
}

#[cfg(test)]
mod tests;
