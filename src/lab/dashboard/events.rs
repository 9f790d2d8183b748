//! What changes, for whoever watches: server-sent events (HTML Living Standard, section 9.2), each
//! a section that is no longer what it was.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Bytes;
use futures_util::stream::{self, Stream};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Interval, MissedTickBehavior};

use super::Dashboard;
use super::marks::Actions;
use super::sections::Section;
use super::snapshot::Snapshot;
use crate::host::clock::{Clock, SystemClock, every, timeout};

/// Between two looks at the service, however much happens.
const PACE: Duration = Duration::from_millis(300);

/// The longest time without a look: lives end and faults run out by themselves.
const BEAT: Duration = Duration::from_secs(2);

/// How soon a browser that lost the lab asks again.
const RETRY: &str = "retry: 2000\n\n";

/// One browser that watches, and what it has been shown.
struct Watcher {
    dashboard: Dashboard,
    changes: watch::Receiver<()>,
    pace: Interval,
    shown: Shown,
    /// Given back when the browser leaves.
    _seat: OwnedSemaphorePermit,
}

/// The sections as they were sent last.
#[derive(Default)]
struct Shown([String; Section::ALL.len()]);

/// Everything at once, then what changes, until the connection ends.
pub fn events(
    dashboard: Dashboard,
    seat: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Bytes, Infallible>> {
    let mut changes = dashboard.0.changes.subscribe();
    changes.mark_changed();
    let mut pace = every(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let watcher = Watcher { dashboard, changes, pace, shown: Shown::default(), _seat: seat };
    stream::unfold(watcher, |mut watcher| async {
        let news = watcher.news().await;
        Some((Ok(news.into()), watcher))
    })
}

impl Watcher {
    /// Waits until there may be something to see, and looks.
    async fn news(&mut self) -> String {
        self.pace.tick().await;
        // The sender is the dashboard's own, so a change or the time is what ends this.
        let _ = timeout(BEAT, self.changes.changed()).await;
        match self.dashboard.snapshot(SystemClock.now()) {
            Ok(snapshot) => self.shown.news(&snapshot, self.dashboard.actions()),
            // The page as it is says more than no page; the next look may succeed.
            Err(_) => RETRY.to_owned(),
        }
    }
}

impl Shown {
    /// The events that bring a browser up to date. Never empty, so that one that has gone away is
    /// noticed.
    fn news(&mut self, snapshot: &Snapshot, actions: Actions<'_>) -> String {
        let mut news = String::from(RETRY);
        for (section, shown) in Section::ALL.into_iter().zip(&mut self.0) {
            let html = section.render(snapshot, actions).into_string();
            if *shown != html {
                news.push_str(&event(section.id(), &html));
                *shown = html;
            }
        }
        news
    }
}

/// One event. A line break within the data would end it, and to HTML is no more than a blank.
fn event(name: &str, data: &str) -> String {
    format!("event: {name}\ndata: {}\n\n", data.replace(['\r', '\n'], " "))
}
