//! Waiting by the machine's own timer: for sockets, whose other ends go by no clock of ours.

use std::time::Duration;

use tokio::time::{Interval, Timeout as TokioTimeout};

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

/// Ticks at once, and then once in so long.
#[expect(clippy::disallowed_methods, reason = "this is the one place that sleeps")]
pub fn every(period: Duration) -> Interval {
    tokio::time::interval(period)
}
