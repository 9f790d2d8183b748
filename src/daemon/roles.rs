//! The targets and consumers with roles of their own: a task for each, started, spoken to and let go.

use std::sync::Arc;

use futures_util::future::join_all;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::assumption::{Assumption as Task, Keys, Means, Word};
use super::targets::AssumedOutlet;
use crate::control::Complaint;
use crate::pure::assumer::Policy;
use crate::pure::assumption::Assumption;
use crate::pure::role_token::RoleToken;
use crate::shelf::Shelf;
use crate::sts::Sts;
use crate::targets::Target;

/// Words that may wait for a task.
const WORDS: usize = 16;

/// All of them. Dropped, they end, and the files stay as they are.
#[derive(Debug, Default)]
pub(super) struct Roles {
    members: Vec<Member>,
    /// What those held who were let go, for others that are assumed in the same way.
    given_up: Vec<(Assumption, Arc<RoleToken>)>,
    tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Member {
    of: Arc<AssumedOutlet>,
    words: mpsc::Sender<Word>,
}

impl Roles {
    /// Lets those go whose name or assumption is not wanted any more, and the others leave the files that
    /// are not theirs any more: a file that nobody takes over in the same way loses our keys, which would
    /// be another role's or nobody's. Those that `are_left` keep them, and are returned.
    pub(super) async fn dismiss(
        &mut self,
        wanted: &[AssumedOutlet],
        are_left: impl Fn(&Target) -> bool,
    ) -> Vec<Target> {
        let (kept, gone) = std::mem::take(&mut self.members)
            .into_iter()
            .partition::<Vec<_>, _>(|member| wanted.iter().any(|it| it.is_served_as(&member.of)));
        self.members = kept;
        let is_taken_over = |of: &AssumedOutlet| {
            let mut wanted = wanted.iter();
            wanted.any(|it| it.assumption == of.assumption && it.is_in_place_of(of))
        };
        let keys = |of: &AssumedOutlet| {
            let left = of.target.clone().filter(&are_left).filter(|_| !is_taken_over(of));
            let keys = match left {
                None if !is_taken_over(of) => Keys::Withdraw,
                _ => Keys::Keep,
            };
            (left, keys)
        };
        let leaving = gone.into_iter().map(|Member { of, words }| {
            let (left, keys) = keys(&of);
            async move {
                let (done, held) = oneshot::channel();
                // One that has ended already has left.
                let _ = words.send(Word::Leave(keys, done)).await;
                let held = held.await.ok().flatten();
                (left, held.map(|token| (of.assumption.clone(), token)))
            }
        });
        let moving = self.members.iter().filter(|member| {
            let mut wanted = wanted.iter();
            !wanted.any(|it| it.is_served_as(&member.of) && it.is_in_place_of(&member.of))
        });
        let vacating = moving.map(|Member { of, words }| {
            let (left, keys) = keys(of);
            async move {
                let (done, vacated) = oneshot::channel();
                // One that has ended writes nothing.
                let _ = words.send(Word::Vacate(keys, done)).await;
                let _ = vacated.await;
                left
            }
        });
        let (gone, moved) = (join_all(leaving).await, join_all(vacating).await);
        // Of those that have ended nothing is kept.
        while self.tasks.try_join_next().is_some() {}
        let (left, given_up) = gone.into_iter().unzip::<_, _, Vec<_>, Vec<_>>();
        let is_wanted = |of: &Assumption| wanted.iter().any(|it| it.assumption == *of);
        self.given_up = given_up.into_iter().flatten().filter(|(of, _)| is_wanted(of)).collect();
        left.into_iter().chain(moved).flatten().collect()
    }

    /// Those that go on have the files that are wanted from now on; answered when these hold what is held.
    pub(super) async fn retarget(&mut self, wanted: &[AssumedOutlet]) {
        let mut written = Vec::new();
        for member in &mut self.members {
            let Some(of) = wanted.iter().find(|it| it.is_served_as(&member.of)) else { continue };
            if *of != *member.of {
                member.of = Arc::new(of.clone());
                let (done, is_written) = oneshot::channel();
                // One that has ended writes nothing.
                let _ = member.words.send(Word::Retarget(Arc::clone(&member.of), done)).await;
                written.push(is_written);
            }
        }
        join_all(written).await;
    }

    /// What failed is tried again now.
    pub(super) async fn try_again(&self) {
        for member in &self.members {
            // One that has ended has failed for good.
            let _ = member.words.send(Word::TryAgain).await;
        }
    }

    /// Starts those that are wanted and do not run.
    pub(super) fn engage(
        &mut self,
        wanted: Vec<AssumedOutlet>,
        means: &Means,
        policy: Policy,
        shelf: &Shelf,
    ) {
        for wanted in wanted {
            if self.members.iter().any(|member| wanted.is_served_as(&member.of)) {
                continue;
            }
            let (words, inbox) = mpsc::channel(WORDS);
            let of = Arc::new(wanted);
            let place = shelf.place(&of.name);
            let earlier = self.given_up.iter().find(|(assumption, _)| *assumption == of.assumption);
            let earlier = earlier.map(|(_, token)| Arc::clone(token));
            let task = Task::new(means.clone(), Arc::clone(&of), place, policy, earlier);
            self.tasks.spawn(task.run(shelf.reader(), inbox));
            self.members.push(Member { of, words });
        }
        self.given_up.clear();
    }

    /// The operator's new choice.
    pub(super) async fn set_policy(&self, policy: Policy) {
        for member in &self.members {
            // One that has ended needs no policy.
            let _ = member.words.send(Word::Policy(policy)).await;
        }
    }

    /// STS is reached in another way from now on.
    pub(super) async fn set_sts(&self, sts: &Sts) {
        for member in &self.members {
            // One that has ended asks nobody.
            let _ = member.words.send(Word::Sts(Box::new(sts.clone()))).await;
        }
    }

    /// Wants all of them now. The first complaint, when every attempt has ended.
    pub(super) fn nudge(&self) -> impl Future<Output = Result<(), Complaint>> + Send + 'static {
        let words = self.members.iter().map(|member| member.words.clone());
        let outcomes = words.map(|words| async move {
            let (reply, outcome) = oneshot::channel();
            // One that has ended has nothing to complain about.
            let _ = words.send(Word::Nudge(reply)).await;
            outcome.await.unwrap_or(Ok(()))
        });
        let outcomes = join_all(outcomes.collect::<Vec<_>>());
        async move { outcomes.await.into_iter().collect() }
    }
}
