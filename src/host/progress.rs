//! Says on standard error what goes on while nothing else is printed.
//!
//! At a terminal each step is said when it begins, and again while it lasts. Elsewhere only what lasts is
//! said, so that the log of a script has a line of it where there is something to wonder about.

use std::cell::RefCell;
use std::pin::pin;
use std::time::Duration;

use super::clock::{Clock, SystemClock};
use super::terminal;
use crate::pure::duration::display_duration;

/// How long nothing is said to a person who waits.
const PATIENCE_AT_A_TERMINAL: Duration = Duration::from_secs(5);

/// How long nothing is said in a script's log.
const PATIENCE_ELSEWHERE: Duration = Duration::from_secs(10);

/// What goes on now.
#[derive(Debug)]
pub struct Progress {
    quiet: bool,
    is_watched: bool,
    step: RefCell<Option<Step>>,
}

#[derive(Debug)]
struct Step {
    what: String,
    /// How long it may take at most, where that is known.
    most: Option<Duration>,
    /// By the time since boot.
    began: Duration,
}

impl Progress {
    /// A quiet one says nothing at all.
    pub fn new(quiet: bool) -> Self {
        Self { quiet, is_watched: terminal::is_watched(), step: RefCell::new(None) }
    }

    /// A step begins, such as "making an RSA key", that takes `most` at the most.
    pub fn begin(&self, what: impl Into<String>, most: Option<Duration>) {
        self.expect(what, most);
        if let Some(step) = self.step.borrow().as_ref().filter(|_| self.is_watched && !self.quiet) {
            terminal::say(&step.what);
        }
    }

    /// The same of a step that is over at once, if all is well: nothing is said unless it lasts.
    pub fn expect(&self, what: impl Into<String>, most: Option<Duration>) {
        let (what, began) = (what.into(), SystemClock.since_boot());
        *self.step.borrow_mut() = Some(Step { what, most, began });
    }

    /// Waits for the work, and says every few seconds what is waited for.
    pub async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        let pause = match self.is_watched {
            true => PATIENCE_AT_A_TERMINAL,
            false => PATIENCE_ELSEWHERE,
        };
        let mut work = pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = SystemClock.sleep(pause) => self.remind(),
            }
        }
    }

    fn remind(&self) {
        if let Some(step) = self.step.borrow().as_ref().filter(|_| !self.quiet) {
            terminal::say(step.lasts(SystemClock.since_boot()));
        }
    }
}

impl Step {
    /// `now` is the time since boot.
    fn lasts(&self, now: Duration) -> String {
        let half = Duration::from_millis(500);
        let whole = |span: Duration| display_duration(Duration::from_secs((span + half).as_secs()));
        let since = whole(now.saturating_sub(self.began));
        let most = self.most.map(|most| format!(" of at most {}", whole(most)));
        format!("still {}: {since}{}", self.what, most.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lasts_is_said_with_its_time_and_its_bound() {
        let mut step = Step {
            what: "asking the service".into(),
            most: Some(Duration::from_secs(60)),
            began: Duration::from_millis(1_300),
        };
        let at = |step: &Step, seconds| step.lasts(Duration::from_secs(seconds));
        assert_eq!(at(&step, 12), "still asking the service: 11s of at most 1m");
        step.most = None;
        assert_eq!(at(&step, 92), "still asking the service: 1m31s");
        assert_eq!(at(&step, 0), "still asking the service: 0s");
    }
}
