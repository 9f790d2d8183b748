//! The world that a daemon lives in: a service, a machine, two files, and the true time.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rolekeeper::host::clock::{Clock, ServiceClock};
use rolekeeper::pure::failure::FailureClass;
use rolekeeper::pure::fingerprint::Verdict;
use rolekeeper::pure::refresher::AskAs;
use rolekeeper::pure::role_token::RoleToken;
use rolekeeper::pure::secret::Secret;
use rolekeeper::pure::service_time::{Beside, Dated, Reading};
use time::UtcDateTime;
use time::macros::utc_datetime;

use crate::chance::Chance;
use crate::weather::{HOUR, MINUTE, SECOND, Trouble, Weather};

pub const START: UtcDateTime = utc_datetime!(2026-11-22 00:00);

/// The longest that a request takes (`connection::OPERATION_TIMEOUT`), and a service that is well.
pub const LONGEST_HANG: Duration = MINUTE;
pub const LONGEST_ANSWER: Duration = Duration::from_secs(3);

/// A machine that has been up for less is still booting, as in the daemon's driver.
const BOOT: Duration = Duration::from_secs(5 * 60);

#[derive(Debug)]
pub struct World {
    pub weather: Weather,
    pub chance: Chance,
    /// The truth, since the start of the year.
    pub elapsed: Duration,
    /// The same as a moment, which is the service's time.
    pub now: UtcDateTime,
    pub clock: Arc<WorldClock>,
    pub booted_at: Duration,
    pub disks_after: Duration,
    pub wall_ahead: time::Duration,
    pub wall_set_at: Duration,
    /// The wall clock was right when the service was heard last, by this process.
    pub wall_was_right: bool,
    /// Both clocks stood still for so long since the machine booted: a paused virtual machine.
    pub lost: Duration,
    /// It was paused, and nothing shows it yet.
    pub pause_is_hidden: bool,
    pub resumed_at: Duration,
    /// Time spent in suspend, all in all.
    pub slept: Duration,
    /// When the credentials in each file end. The second file does not survive a reboot.
    pub files: [Option<UtcDateTime>; 2],
}

/// The machine's clocks, as the daemon reads them.
#[derive(Debug)]
pub struct WorldClock(Mutex<(UtcDateTime, Duration)>);

impl Clock for WorldClock {
    fn now(&self) -> UtcDateTime {
        self.0.lock().unwrap().0
    }

    fn since_boot(&self) -> Duration {
        self.0.lock().unwrap().1
    }
}

impl World {
    pub fn new(weather: Weather, chance: Chance) -> Self {
        Self {
            weather,
            chance,
            elapsed: Duration::ZERO,
            now: START,
            clock: Arc::new(WorldClock(Mutex::new((START, Duration::ZERO)))),
            booted_at: Duration::ZERO,
            disks_after: Duration::ZERO,
            wall_ahead: time::Duration::ZERO,
            wall_set_at: Duration::ZERO,
            wall_was_right: false,
            lost: Duration::ZERO,
            pause_is_hidden: false,
            resumed_at: Duration::ZERO,
            slept: Duration::ZERO,
            files: [None; 2],
        }
    }

    /// Lets time pass by a clock that stands still in suspend, as a timer's does.
    pub fn pass(&mut self, span: Duration) {
        let mut end = self.elapsed + span;
        while let Some(suspend) = self.weather.suspends.not_over(self.elapsed)
            && suspend.from < end
        {
            let asleep = suspend.until - suspend.from.max(self.elapsed);
            end += asleep;
            self.slept += asleep;
            self.resumed_at = suspend.until;
            self.elapsed = suspend.until;
        }
        self.elapsed = end;
        self.tell_clock();
    }

    pub fn set_wall(&mut self, ahead: time::Duration) {
        self.wall_ahead = ahead;
        self.wall_set_at = self.elapsed;
        if std::mem::take(&mut self.pause_is_hidden) {
            self.resumed_at = self.elapsed;
        }
        self.tell_clock();
    }

    pub fn reboot(&mut self, down: Duration, disks_after: Duration, wall_ahead: time::Duration) {
        self.elapsed += down;
        self.booted_at = self.elapsed;
        self.disks_after = disks_after;
        self.files[1] = None;
        self.lost = Duration::ZERO;
        self.set_wall(wall_ahead);
    }

    /// The machine is paused or migrated; nothing shows it until its wall clock is set.
    pub fn pause(&mut self, span: Duration) {
        self.elapsed += span;
        self.resumed_at = self.elapsed;
        self.slept += span;
        self.lost += span;
        self.pause_is_hidden = true;
        self.wall_ahead -= span;
        self.tell_clock();
    }

    pub fn since_boot(&self) -> Duration {
        self.elapsed - self.booted_at - self.lost
    }

    fn read(&self) -> Reading {
        Reading { wall: self.now + self.wall_ahead, since_boot: self.since_boot() }
    }

    /// What a look at the machine finds.
    pub fn probe(&mut self) -> (Verdict, bool) {
        let late = self.since_boot() < self.disks_after;
        let other = late || self.weather.hardware.at(self.elapsed).is_some();
        let verdict = if other { Verdict::Different } else { Verdict::Similar };
        (verdict, self.since_boot() > BOOT)
    }

    /// What a request leads to, and how long it takes. Whatever the service itself answers carries
    /// its date, which the request's own retry is signed by.
    pub fn answer(
        &mut self,
        ask_as: AskAs,
        clock: &ServiceClock,
    ) -> Result<RoleToken, FailureClass> {
        let trouble = self.weather.service.at(self.elapsed);
        let span = match trouble {
            Some(Trouble::Hangs) => self.chance.between(SECOND, LONGEST_HANG),
            Some(Trouble::Refuses) => SECOND / 1000,
            _ => self.chance.between(SECOND / 50, LONGEST_ANSWER),
        };
        let sent = self.read();
        // Somewhere on the way the service writes the date.
        let there = self.chance.jitter().of(span);
        self.pass(there);
        let date = self.now.replace_nanosecond(0).unwrap();
        self.pass(span - there);
        match trouble {
            Some(Trouble::Hangs | Trouble::Refuses) => return Err(FailureClass::Unreachable),
            Some(Trouble::Babbles) => return Err(FailureClass::BadAnswer),
            _ => {
                let beside = match trouble {
                    None | Some(Trouble::GivesDead) => Beside::Token,
                    _ => Beside::Nothing,
                };
                clock.hear(Dated { date, sent, received: self.read(), beside });
                self.wall_was_right = self.wall_ahead.is_zero();
            }
        }
        match trouble {
            Some(Trouble::Denies) => Err(FailureClass::Denied),
            Some(Trouble::Fails) => Err(FailureClass::ServiceFault),
            Some(Trouble::Throttles) => Err(FailureClass::Throttled),
            // A service by mistake gives a stranger the role, once in a while.
            _ if ask_as == AskAs::Stranger && !self.chance.once_in(50) => Err(FailureClass::Denied),
            Some(Trouble::GivesDead) => Ok(self.token(Duration::ZERO, clock)),
            _ => {
                let life = self.weather.lives.at(self.elapsed).unwrap_or(HOUR);
                Ok(self.token(life, clock))
            }
        }
    }

    /// Puts this into every file that can be written; whether all could.
    pub fn deliver(&mut self, until: Option<UtcDateTime>) -> bool {
        let mut complete = true;
        for (file, unwritable) in self.files.iter_mut().zip(&mut self.weather.targets) {
            if unwritable.at(self.elapsed).is_some() {
                complete = false;
            } else {
                *file = until;
            }
        }
        complete
    }

    fn token(&mut self, life: Duration, clock: &ServiceClock) -> RoleToken {
        let text = || Some(Secret::new("x".to_owned()));
        let wishes = self.weather.wishes.at(self.elapsed).is_some();
        // Whole seconds, as the service writes them.
        let expires_at = (self.now + life).replace_nanosecond(0).unwrap();
        let id = Some("ASIAEXAMPLE000000001".to_owned());
        RoleToken::new(id, text(), text(), clock.now(), Some(expires_at), wishes).unwrap()
    }

    fn tell_clock(&mut self) {
        self.now = START + self.elapsed;
        *self.clock.0.lock().unwrap() = (self.now + self.wall_ahead, self.since_boot());
    }
}
