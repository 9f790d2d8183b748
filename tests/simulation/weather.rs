//! What happens to a machine in a year, drawn before the year begins.

use std::time::Duration;

use rolekeeper::pure::refresher::Policy;

use crate::chance::Chance;

pub const SECOND: Duration = Duration::from_secs(1);
pub const MINUTE: Duration = Duration::from_secs(60);
pub const HOUR: Duration = Duration::from_secs(60 * 60);
pub const DAY: Duration = Duration::from_secs(24 * 60 * 60);
pub const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Everything that is not as it should be, and when.
#[derive(Debug)]
pub struct Weather {
    pub service: Spells<Trouble>,
    /// How long tokens live, when it is not an hour.
    pub lives: Spells<Duration>,
    /// The service wishes a new key.
    pub wishes: Spells<()>,
    /// The vault is in another machine.
    pub hardware: Spells<()>,
    /// A credentials file cannot be written.
    pub targets: [Spells<()>; 2],
    pub suspends: Spells<()>,
    acts: std::vec::IntoIter<(Duration, Act)>,
    next_act: Option<(Duration, Act)>,
}

/// How a service fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Something that is not the service answers.
    Babbles,
    Denies,
    Fails,
    /// Tokens have ended when they arrive.
    GivesDead,
    Hangs,
    Refuses,
    Throttles,
}

/// What a person does, or a clock.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Act {
    Nudge,
    /// Other settings, and the nudge that a reload brings.
    Reload(Policy),
    /// The daemon alone. All that it remembers is in files.
    Restart,
    Reboot {
        down: Duration,
        disks_after: Duration,
        wall_ahead: time::Duration,
    },
    /// From now on the wall clock is ahead of the truth by this much.
    SetClock(time::Duration),
    /// Both clocks stand still for so long.
    Pause(Duration),
}

impl Weather {
    /// A year in which nothing happens.
    pub fn calm() -> Self {
        Self {
            service: Spells::none(),
            lives: Spells::none(),
            wishes: Spells::none(),
            hardware: Spells::none(),
            targets: [Spells::none(), Spells::none()],
            suspends: Spells::none(),
            acts: Vec::new().into_iter(),
            next_act: None,
        }
    }

    /// A year in which everything happens, often.
    pub fn stormy(chance: &mut Chance) -> Self {
        use Trouble::*;
        let troubles = [Babbles, Denies, Fails, GivesDead, Hangs, Refuses, Throttles];
        let fault = |chance: &mut Chance| chance.magnitude(SECOND, DAY * 3);
        let day = |chance: &mut Chance| chance.magnitude(MINUTE, DAY);
        let long = |chance: &mut Chance| chance.between(HOUR, DAY * 10);
        let mut acts = acts(chance).into_iter();
        Self {
            service: Spells::draw(chance, DAY, fault, |chance| chance.one_of(&troubles)),
            lives: Spells::draw(chance, DAY * 10, long, |chance| {
                chance.one_of(&[MINUTE * 15, HOUR * 12])
            }),
            wishes: Spells::draw(chance, DAY * 30, day, |_| ()),
            hardware: Spells::draw(chance, DAY * 5, day, |_| ()),
            targets: [
                Spells::draw(chance, DAY * 3, fault, |_| ()),
                Spells::draw(chance, DAY * 3, fault, |_| ()),
            ],
            suspends: Spells::draw(chance, DAY * 3, day, |_| ()),
            next_act: acts.next(),
            acts,
        }
    }

    pub fn next_act_at(&self) -> Duration {
        self.next_act.map_or(Duration::MAX, |(at, _)| at)
    }

    /// The next act, once its time has come.
    pub fn take_act(&mut self, elapsed: Duration) -> Option<Act> {
        let (_, act) = self.next_act.filter(|(at, _)| *at <= elapsed)?;
        self.next_act = self.acts.next();
        Some(act)
    }
}

/// Some 700 acts. A clock that is wrong is put right after seconds to days.
fn acts(chance: &mut Chance) -> Vec<(Duration, Act)> {
    let hour = time::Duration::HOUR;
    let (second, year) = (time::Duration::SECOND, hour * 24 * 365);
    let errors =
        [year * -56, hour * -3, second * -30, second * -3, second * 3, second * 60, hour * 72];
    let mut acts = Vec::new();
    let mut at = Duration::ZERO;
    while at < YEAR {
        at += chance.magnitude(SECOND, DAY * 2);
        let wall_ahead = chance.one_of(&errors);
        match chance.bits() % 16 {
            0..6 => acts.push((at, Act::Nudge)),
            6..8 => {
                let span = chance.magnitude(SECOND * 10, HOUR * 6);
                acts.push((at, Act::Pause(span)));
                // Whoever lets it go on sets its clock, sooner or later.
                at += span + chance.magnitude(SECOND, MINUTE * 30);
                acts.push((at, Act::SetClock(time::Duration::ZERO)));
            }
            8..11 => acts.push((at, Act::Restart)),
            11..13 => acts.push((at, Act::Reload(policy(chance)))),
            13 => acts.push((at, Act::SetClock(wall_ahead))),
            _ => {
                let down = chance.magnitude(SECOND * 10, HOUR * 6);
                let late = chance.once_in(2);
                let disks_after =
                    if late { chance.between(SECOND, MINUTE) } else { Duration::ZERO };
                let has_clock = chance.once_in(2);
                let wall_ahead = if has_clock { time::Duration::ZERO } else { wall_ahead };
                acts.push((at, Act::Reboot { down, disks_after, wall_ahead }));
            }
        }
        if chance.once_in(2) {
            at += chance.magnitude(SECOND, DAY);
            acts.push((at, Act::SetClock(time::Duration::ZERO)));
        }
    }
    acts
}

fn policy(chance: &mut Chance) -> Policy {
    let interval = chance.one_of(&[MINUTE * 30, MINUTE * 30, MINUTE * 5, HOUR * 6]);
    Policy { interval, withdraw_expired: !chance.once_in(4) }
}

/// Spells of one kind: in order, apart, and asked about by a time that only grows.
#[derive(Debug)]
pub struct Spells<T> {
    spells: Vec<Spell<T>>,
    /// The first that is not over.
    next: usize,
}

#[derive(Debug, Clone, Copy)]
pub struct Spell<T> {
    pub from: Duration,
    pub until: Duration,
    pub what: T,
}

impl<T: Copy> Spells<T> {
    fn none() -> Self {
        Self { spells: Vec::new(), next: 0 }
    }

    /// A year's worth, with `gap` on average between them.
    fn draw(
        chance: &mut Chance,
        gap: Duration,
        mut length: impl FnMut(&mut Chance) -> Duration,
        mut what: impl FnMut(&mut Chance) -> T,
    ) -> Self {
        let mut spells = Vec::new();
        let mut from = chance.between(Duration::ZERO, gap * 2);
        while from < YEAR {
            let until = from + length(chance);
            spells.push(Spell { from, until, what: what(chance) });
            from = until + SECOND + chance.between(Duration::ZERO, gap * 2);
        }
        Self { spells, next: 0 }
    }

    pub fn at(&mut self, elapsed: Duration) -> Option<T> {
        self.not_over(elapsed).filter(|spell| spell.from <= elapsed).map(|spell| spell.what)
    }

    /// Since when there has been none; nothing while there is one.
    pub fn clear_since(&mut self, elapsed: Duration) -> Option<Duration> {
        match self.at(elapsed) {
            Some(_) => None,
            None if self.next == 0 => Some(Duration::ZERO),
            None => Some(self.spells[self.next - 1].until),
        }
    }

    /// The present spell or the next one.
    pub fn not_over(&mut self, elapsed: Duration) -> Option<Spell<T>> {
        while self.spells.get(self.next).is_some_and(|spell| spell.until <= elapsed) {
            self.next += 1;
        }
        self.spells.get(self.next).copied()
    }
}
