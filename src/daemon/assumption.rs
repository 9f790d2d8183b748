//! Performs what `pure::assumer` decides for one target or consumer with a role of its own. One task
//! each, on its own clock: the only writer of the target's file and of its place on the shelf.

use std::collections::VecDeque;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::decisions;
use super::reload::Announcer;
use super::report::{LastFailure, TargetOutcome, credentials, target_status};
use super::targets::AssumedOutlet;
use crate::control::Complaint;
use crate::host::clock::ServiceClock;
use crate::host::entropy::Entropy;
use crate::host::file_watch::Ticker;
use crate::pure::assumer::{Action, Assumer, Base, Event, Policy};
use crate::pure::assumption::{Assumption as RoleAssumption, SessionName};
use crate::pure::deliveries::Holder;
use crate::pure::role_token::RoleToken;
use crate::shelf::{
    Assumed, ConsumerStatus, Moment, OutletStatus, Place, ShelfReader, Snapshot, State,
    TargetStatus,
};
use crate::sts::{Sts, StsError};
use crate::targets::{Delivered, Target, TargetError, published};

/// Time is looked at again at least this often: suspend and clock steps do no harm.
const TICK: Duration = Duration::from_secs(60);

/// Chains that are assumed at the same time. At a start, or after an outage, all of them are due: fifty
/// in one instant would take memory that is not given back, and a fleet of such machines all that STS
/// bears. One that hangs holds one place, for a minute at most.
const AT_ONCE: usize = 8;

/// What the driver says to a task.
#[derive(Debug)]
pub(super) enum Word {
    /// It is no target any more: see to our keys in the file, give up what is held, and end.
    Leave(Keys, oneshot::Sender<Option<Arc<RoleToken>>>),
    /// The operator wants it now; the answer comes when an attempt has ended.
    Nudge(oneshot::Sender<Result<(), Complaint>>),
    Policy(Policy),
    /// The same role, with another file: what is held goes there.
    Retarget(Arc<AssumedOutlet>, oneshot::Sender<()>),
    /// STS is reached in another way from the next request on.
    Sts(Box<Sts>),
    /// What failed is tried again now: it may have been mended.
    TryAgain,
    /// The file is another one soon: see to our keys in this one. Whoever asks is served meanwhile.
    Vacate(Keys, oneshot::Sender<()>),
}

/// What becomes of the keys in a file that is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keys {
    Keep,
    Withdraw,
}

/// What all tasks share.
#[derive(Debug, Clone)]
pub(super) struct Means {
    pub sts: Sts,
    /// Who assumes.
    pub identity: String,
    /// The session's, unless a target has another.
    pub session_name: SessionName,
    pub clock: ServiceClock,
    pub entropy: Arc<dyn Entropy>,
    pub announcer: Announcer,
    pub turns: Turns,
}

/// Whose turn it is: first come, first served.
#[derive(Debug, Clone)]
pub(super) struct Turns(Arc<Semaphore>);

/// One task.
#[derive(Debug)]
pub(super) struct Assumption {
    means: Means,
    of: Arc<AssumedOutlet>,
    /// Its file is left, and the next one not known yet.
    is_between_files: bool,
    place: Place,
    assumer: Assumer,
    base: Option<Base>,
    outcome: TargetOutcome,
    failure: Option<LastFailure>,
    /// Who waits for the end of an attempt.
    asked: Vec<oneshot::Sender<Result<(), Complaint>>>,
}

type Answer = BoxFuture<'static, Result<RoleToken, StsError>>;

impl Means {
    fn holder(&self, assumption: &RoleAssumption) -> Holder {
        Holder::of(&self.identity, Some(assumption))
    }
}

impl Default for Turns {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

impl Assumption {
    /// `earlier` is what another held who was assumed in the same way.
    pub(super) fn new(
        means: Means,
        of: Arc<AssumedOutlet>,
        place: Place,
        policy: Policy,
        earlier: Option<Arc<RoleToken>>,
    ) -> Self {
        // What an earlier run left stays while it is valid. A file that cannot be read is reported
        // when it is written.
        let left = of.target.as_ref().and_then(|target| published(target).ok()?);
        let left = left.and_then(|left| left.expires_at);
        let now = means.clock.now();
        Self {
            means,
            of,
            is_between_files: false,
            place,
            assumer: Assumer::new(policy, left, now).with_earlier(earlier, now),
            base: None,
            outcome: TargetOutcome::left(left),
            failure: None,
            asked: Vec::new(),
        }
    }

    /// Runs until the driver lets it go.
    pub(super) async fn run(mut self, mut shelf: ShelfReader, mut words: mpsc::Receiver<Word>) {
        let mut answer = None::<Answer>;
        let mut ticker = Ticker::new();
        self.keep_access();
        let mut next = self.look(&shelf.look());
        let mut written = None::<oneshot::Sender<()>>;
        loop {
            if let Some(base) = self.handle(next) {
                answer = Some(self.ask(base));
            } else if !self.assumer.is_assuming() {
                answer = None;
            }
            if let Some(written) = written.take() {
                // Who asked may have left.
                let _ = written.send(());
            }
            let under_way = async {
                match &mut answer {
                    Some(answer) => answer.await,
                    None => pending().await,
                }
            };
            next = tokio::select! {
                word = words.recv() => match word {
                    None => return,
                    Some(Word::Leave(keys, done)) => {
                        self.leave_file(keys);
                        let held = self.assumer.token().cloned();
                        // The place is empty before another has it.
                        drop(self);
                        // Who asked may have left.
                        let _ = done.send(held);
                        return;
                    }
                    Some(Word::Vacate(keys, done)) => {
                        self.leave_file(keys);
                        // Who asked may have left.
                        let _ = done.send(());
                        Vec::new()
                    }
                    Some(Word::Retarget(of, done)) => {
                        self.retarget(of);
                        written = Some(done);
                        vec![Event::FileChanged]
                    }
                    Some(Word::TryAgain) => self.try_again(),
                    Some(Word::Nudge(reply)) => {
                        self.asked.push(reply);
                        // The base that it comes with may not have been seen yet.
                        let mut events = self.look(&shelf.look());
                        events.push(Event::Nudged);
                        events
                    }
                    Some(Word::Policy(policy)) => {
                        self.assumer.set_policy(policy);
                        Vec::new()
                    }
                    Some(Word::Sts(sts)) => {
                        self.means.sts = *sts;
                        Vec::new()
                    }
                },
                view = shelf.changed() => match view {
                    None => return,
                    Some(view) => self.look(&view),
                },
                answer = under_way => vec![self.answered(answer)],
                () = self.means.clock.sleep(self.pause()) => Vec::new(),
                () = ticker.tick() => self.look_at_file(),
            };
        }
    }

    fn leave_file(&mut self, keys: Keys) {
        if keys == Keys::Withdraw {
            self.write(Announcer::withdraw);
        }
        self.is_between_files = true;
    }

    /// A file in the place of the one before.
    fn retarget(&mut self, of: Arc<AssumedOutlet>) {
        if !of.is_in_place_of(&self.of) {
            self.outcome = TargetOutcome::default();
        }
        self.of = of;
        self.is_between_files = false;
        self.keep_access();
    }

    /// What an earlier run left in the file is for those whom the settings name now, also while there is
    /// nothing to put in its place.
    fn keep_access(&mut self) {
        let (now, of) = (self.now(), Arc::clone(&self.of));
        let target = of.target.as_ref().filter(|_| self.assumer.token().is_none());
        if let Some((target, given)) =
            target.and_then(|it| Some((it, self.means.announcer.give(it)?)))
        {
            self.outcome.note_access(target, given, now);
        }
    }

    fn try_again(&self) -> Vec<Event> {
        match (&self.failure, self.outcome.complaint()) {
            (Some(_), _) => vec![Event::Nudged],
            (None, Some(_)) => vec![Event::FileChanged],
            (None, None) => Vec::new(),
        }
    }

    /// What somebody else has changed or removed is put right.
    fn look_at_file(&mut self) -> Vec<Event> {
        let of = Arc::clone(&self.of);
        let target = of.target.as_ref().filter(|_| !self.is_between_files);
        let changed = target.is_some_and(|target| self.outcome.notice_change(target));
        if changed { vec![Event::FileChanged] } else { Vec::new() }
    }

    /// Until the next deadline, a minute at most.
    fn pause(&self) -> Duration {
        let wait = self.assumer.next_deadline() - self.now();
        Duration::try_from(wait).unwrap_or(Duration::ZERO).min(TICK)
    }

    /// What has become of the registered role's credentials, if that is news.
    fn look(&mut self, view: &Snapshot) -> Vec<Event> {
        let base = match (view.status.state, &view.token) {
            (State::Mismatch, _) => Base::Mismatch,
            (_, Some(token)) => Base::Usable(Arc::clone(token)),
            (_, None) if view.status.failure.is_some() => Base::Gone,
            // Nobody has been asked for them yet.
            (_, None) => return Vec::new(),
        };
        if self.base.as_ref() == Some(&base) {
            return Vec::new();
        }
        self.base = Some(base.clone());
        vec![Event::Base(base)]
    }

    /// What happened, that time has passed, and all that follows; the base, if the role is to be
    /// assumed now.
    fn handle(&mut self, events: Vec<Event>) -> Option<Arc<RoleToken>> {
        let mut wanted = None;
        let mut events = VecDeque::from(events);
        // Whatever it was may have moved the clock.
        events.push_back(Event::Deadline);
        while let Some(event) = events.pop_front() {
            let jitter = self.means.entropy.jitter();
            let heard = decisions::of_assumer(&event);
            let actions = self.assumer.handle(event, jitter, self.means.clock.estimate());
            let decided = actions.iter().map(decisions::by_assumer).collect::<Vec<_>>();
            decisions::log(&self.of.name, heard, &decided);
            for action in actions {
                match action {
                    Action::Assume(base) => wanted = Some(base),
                    Action::Publish(token) => events.push_back(self.publish(&token)),
                    Action::Withdraw => events.push_back(self.withdraw()),
                }
            }
        }
        self.report();
        if !self.assumer.is_assuming() {
            let outcome = self.complaint().map_or(Ok(()), Err);
            for reply in self.asked.drain(..) {
                // Who asked may have left.
                let _ = reply.send(outcome.clone());
            }
        }
        wanted
    }

    fn ask(&self, base: Arc<RoleToken>) -> Answer {
        let (of, means) = (Arc::clone(&self.of), self.means.clone());
        async move {
            // Never closed; were it, nobody would have to wait.
            let _turn = means.turns.0.acquire().await;
            let steps = of.assumption.steps(&means.session_name);
            means.sts.assume(&base, &steps).await
        }
        .boxed()
    }

    fn answered(&mut self, answer: Result<RoleToken, StsError>) -> Event {
        let now = self.now();
        let answer = answer.map_err(LastFailure::from).and_then(|token| {
            if token.is_dead_on_arrival(now) {
                Err(LastFailure::dead_on_arrival(&token))
            } else {
                Ok(token)
            }
        });
        match answer {
            Ok(token) => {
                self.failure = None;
                Event::Assumed(Arc::new(token))
            }
            Err(failure) => {
                let LastFailure { class, complaint } = &failure;
                let (message, remedy) = (&complaint.message, &complaint.remedy);
                let name = &self.of.name;
                tracing::warn!(name, class = class.name(), "{message}; try: {remedy}");
                let class = *class;
                self.failure = Some(failure);
                Event::Failed(class)
            }
        }
    }

    fn publish(&mut self, token: &RoleToken) -> Event {
        let now = self.now();
        let holder = self.means.holder(&self.of.assumption);
        let deliver =
            |announcer: &Announcer, target: &Target| announcer.deliver(target, token, &holder, now);
        let complete = self.write(deliver);
        tracing::info!(
            name = self.of.name,
            role = %self.of.assumption.role(),
            expires_at = %Moment(token.expires_at),
            complete,
            "role assumed",
        );
        Event::Delivered { complete }
    }

    fn withdraw(&mut self) -> Event {
        let complete = self.write(Announcer::withdraw);
        self.outcome.was_a_withdrawal();
        tracing::warn!(name = self.of.name, complete, "credentials withdrawn");
        Event::Delivered { complete }
    }

    /// Does something to the file, where there is one; whether it took it.
    fn write(
        &mut self,
        act: impl Fn(&Announcer, &Target) -> Result<Delivered, TargetError>,
    ) -> bool {
        let (now, of) = (self.now(), Arc::clone(&self.of));
        if let Some(target) = of.target.as_ref().filter(|_| !self.is_between_files) {
            self.outcome.note(target, act(&self.means.announcer, target), now);
        }
        self.outcome.complaint().is_none()
    }

    /// Tells everybody who only reads.
    fn report(&mut self) {
        let (latest, next) =
            (self.means.clock.estimate().latest, Moment(self.assumer.next_request()));
        let token = self.assumer.token().filter(|token| token.is_usable(latest)).cloned();
        if self.base == Some(Base::Mismatch) {
            self.failure = None;
        }
        let failure = match &self.failure {
            Some(failure) => Some(failure.shown(self.assumer.failures(), Some(next))),
            None if self.waits_for_base() => Some(LastFailure::no_base().shown(0, None)),
            None => None,
        };
        let role_arn = Some(self.of.assumption.role().to_string());
        let credentials = token.as_ref().map(|token| credentials(token, next));
        let status = match &self.of.target {
            Some(target) => OutletStatus::Target(TargetStatus {
                role_arn,
                credentials,
                failure,
                ..target_status(target, &self.outcome)
            }),
            None => {
                let name = self.of.name.clone();
                OutletStatus::Consumer(ConsumerStatus { name, role_arn, credentials, failure })
            }
        };
        self.place.put(Assumed { status, token });
    }

    /// Whether it would ask, and has nothing to ask with.
    fn waits_for_base(&self) -> bool {
        self.assumer.lacks_base() && self.assumer.next_request() <= self.now()
    }

    fn complaint(&self) -> Option<Complaint> {
        let failure = self.failure.as_ref().map(|failure| failure.complaint.clone());
        let waits = self.waits_for_base().then(|| LastFailure::no_base().complaint);
        failure.or(waits).or_else(|| self.outcome.complaint().cloned())
    }

    fn now(&self) -> time::UtcDateTime {
        self.means.clock.now()
    }
}
