//! Waiting by the machine's own timer: for sockets, whose other ends go by no clock of ours.

use std::sync::OnceLock;
use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, Timeout as TokioTimeout, interval_at};

/// A future that is given up after a while.
pub type Timeout<F> = TokioTimeout<F>;

/// Waits so long. Whatever has a deadline of the service's waits with [`Clock::sleep`] instead.
///
/// [`Clock::sleep`]: super::Clock::sleep
#[expect(clippy::disallowed_methods, reason = "this is the one place that sleeps")]
pub async fn pause(span: Duration) {
    tokio::time::sleep(span).await;
}

/// What `future` comes to, if it does within that time.
#[expect(clippy::disallowed_methods, reason = "this is the one place that sleeps")]
pub fn timeout<F: Future>(limit: Duration, future: F) -> Timeout<F> {
    tokio::time::timeout(limit, future)
}

/// Ticks once in so long, together with whatever else of this process ticks so: at multiples of the period
/// since the first of them was made.
#[expect(clippy::disallowed_methods, reason = "this is the one place that sleeps")]
pub fn on_the_beat(period: Duration) -> Interval {
    static FIRST: OnceLock<Instant> = OnceLock::new();
    let first = *FIRST.get_or_init(Instant::now);
    let beats = first.elapsed().as_millis() / period.as_millis().max(1);
    let beats = u32::try_from(beats).unwrap_or(u32::MAX).saturating_add(1);
    let mut interval = interval_at(first + period.saturating_mul(beats), period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
    interval
}

/// Ticks at once, and then once in so long.
#[expect(clippy::disallowed_methods, reason = "this is the one place that sleeps")]
pub fn every(period: Duration) -> Interval {
    tokio::time::interval(period)
}
