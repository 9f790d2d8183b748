//! The daemon's driver once more, without files and sockets: one event and all that follows from
//! it, then sleep until the next deadline, a minute at most.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use rolekeeper::host::clock::{Clock, ServiceClock};
use rolekeeper::pure::jitter::Jitter;
use rolekeeper::pure::refresher::{Action, AskAs, Event, Policy, Refresher};

use crate::watch::Watch;
use crate::weather::{Act, MINUTE, YEAR};
use crate::world::World;

/// As in the daemon's driver.
const TICK: Duration = MINUTE;

#[derive(Debug)]
pub struct Driver {
    world: World,
    clock: ServiceClock,
    refresher: Refresher,
    policy: Policy,
    watch: Watch,
}

impl Driver {
    pub fn new(mut world: World) -> Self {
        let policy = Policy::default();
        let (clock, refresher) = start(&mut world, policy);
        let watch = Watch::new(&world, policy);
        Self { world, clock, refresher, policy, watch }
    }

    /// Lives through a year; what happened in it.
    ///
    /// # Errors
    ///
    /// The first rule that was broken, and when.
    pub fn live(mut self) -> Result<Watch, String> {
        self.live_on().map_err(|broken| {
            let (days, rest) =
                (self.world.elapsed.as_secs() / 86_400, self.world.elapsed.as_secs() % 86_400);
            format!("on day {days}, {rest} s: {broken}\n{:#?}\n{:#?}", self.refresher, self.watch)
        })?;
        Ok(self.watch)
    }

    fn live_on(&mut self) -> Result<(), String> {
        self.handle(Event::Deadline)?;
        while self.world.elapsed < YEAR {
            let act = self.world.weather.next_act_at().saturating_sub(self.world.elapsed);
            self.world.pass(self.pause().min(act));
            self.check()?;
            while let Some(act) = self.world.weather.take_act(self.world.elapsed) {
                self.suffer(act)?;
                self.check()?;
            }
            if self.look()? {
                self.check()?;
            }
        }
        Ok(())
    }

    fn pause(&self) -> Duration {
        let wait = self.refresher.next_deadline() - self.clock.now();
        Duration::try_from(wait).unwrap_or(Duration::ZERO).min(TICK)
    }

    /// A deadline, and whether it led to anything; now and then at once a second time, which must
    /// not matter.
    fn look(&mut self) -> Result<bool, String> {
        let now = self.clock.now();
        let due = self.refresher.next_deadline() <= now;
        let actions = self.step(Event::Deadline);
        let acted = !actions.is_empty();
        self.watch.looked(due, acted, now, &self.world)?;
        self.follow(actions)?;
        if self.world.chance.once_in(100) {
            let due = self.refresher.next_deadline() <= self.clock.now();
            let estimate = self.clock.estimate();
            let again = self.refresher.handle(Event::Deadline, Jitter::NONE, estimate);
            if !due && !again.is_empty() {
                return Err(format!("looking twice led to {again:?}"));
            }
            self.follow(again)?;
        }
        Ok(acted)
    }

    fn suffer(&mut self, act: Act) -> Result<(), String> {
        match act {
            Act::Nudge => self.nudge(),
            Act::Reload(policy) => {
                self.policy = policy;
                self.refresher.set_policy(policy);
                self.watch.reloaded(policy, &self.world);
                self.handle(Event::Retargeted)?;
                self.nudge()
            }
            Act::Restart => self.restart(),
            Act::Reboot { down, disks_after, wall_ahead } => {
                self.world.reboot(down, disks_after, wall_ahead);
                self.restart()
            }
            Act::SetClock(ahead) => {
                self.world.set_wall(ahead);
                self.watch.clock_set(&self.world);
                self.handle(Event::ClockSet)
            }
            // Nothing tells the machine.
            Act::Pause(span) => {
                self.world.pause(span);
                Ok(())
            }
        }
    }

    fn nudge(&mut self) -> Result<(), String> {
        self.watch.nudged(&self.world);
        self.handle(Event::Nudged)
    }

    fn restart(&mut self) -> Result<(), String> {
        (self.clock, self.refresher) = start(&mut self.world, self.policy);
        self.watch.started(&self.world);
        self.handle(Event::Deadline)
    }

    fn handle(&mut self, event: Event) -> Result<(), String> {
        let actions = self.step(event);
        self.follow(actions)
    }

    /// What the actions lead to, until there are no more.
    fn follow(&mut self, actions: Vec<Action>) -> Result<(), String> {
        let mut events = VecDeque::new();
        let mut actions = VecDeque::from(actions);
        loop {
            while let Some(action) = actions.pop_front() {
                events.extend(self.perform(action)?);
            }
            let Some(event) = events.pop_front() else { return Ok(()) };
            actions.extend(self.step(event));
        }
    }

    fn step(&mut self, event: Event) -> Vec<Action> {
        let jitter = self.world.chance.jitter();
        let (now, estimate) = (self.clock.now(), self.clock.estimate());
        let happened = event.clone();
        self.watch.doubts(estimate.is_doubted(), &self.world);
        let actions = self.refresher.handle(event, jitter, estimate);
        self.watch.happened(&happened, &self.world, now);
        actions
    }

    fn perform(&mut self, action: Action) -> Result<Option<Event>, String> {
        match action {
            Action::ProbeHardware => {
                let (verdict, settled) = self.world.probe();
                Ok(Some(Event::Hardware { verdict, settled }))
            }
            Action::Publish(token) => {
                self.watch.publishes(&token)?;
                let complete = self.world.deliver(Some(token.expires_at));
                Ok(Some(Event::Delivered { complete }))
            }
            Action::Withdraw => {
                self.watch.withdraws(&self.world, &self.clock)?;
                let complete = self.world.deliver(None);
                Ok(Some(Event::Delivered { complete }))
            }
            Action::RequestToken(ask_as) => self.request(ask_as).map(Some),
            Action::RotateKey => {
                self.watch.totals.wishes += 1;
                Ok(None)
            }
        }
    }

    fn request(&mut self, ask_as: AskAs) -> Result<Event, String> {
        self.watch.requests(ask_as, &self.world)?;
        Ok(match self.world.answer(ask_as, &self.clock) {
            Ok(token) => Event::Token(Arc::new(token)),
            Err(class) => Event::Failed(class),
        })
    }

    fn check(&mut self) -> Result<(), String> {
        let estimate = self.clock.estimate();
        let condition = self.refresher.condition(estimate);
        let token = self.refresher.token().filter(|token| token.is_usable(estimate.latest));
        self.watch.hands_out(token.map(|token| token.expires_at), &self.world)?;
        self.watch.check(condition, estimate, &mut self.world)
    }
}

/// A process that knows nothing but the files, as `Driver::new` of the daemon.
fn start(world: &mut World, policy: Policy) -> (ServiceClock, Refresher) {
    world.wall_was_right = false;
    let clock = ServiceClock::new(Arc::clone(&world.clock) as Arc<dyn Clock>);
    let left = world.files.iter().flatten().max().copied();
    let refresher = Refresher::new(policy, left, clock.now());
    (clock, refresher)
}
