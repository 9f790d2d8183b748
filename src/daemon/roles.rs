//! The targets and consumers with roles of their own: a task for each, started, spoken to and let go.

use std::sync::Arc;

use futures_util::future::join_all;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::assumption::{Assumption, Keys, Means, Word};
use super::targets::AssumedOutlet;
use crate::control::Complaint;
use crate::pure::assumer::Policy;
use crate::shelf::Shelf;
use crate::sts::Sts;
use crate::targets::Target;

/// Words that may wait for a task.
const WORDS: usize = 16;

/// All of them. Dropped, they end, and the files stay as they are.
#[derive(Debug, Default)]
pub(super) struct Roles {
    members: Vec<Member>,
    tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Member {
    of: Arc<AssumedOutlet>,
    words: mpsc::Sender<Word>,
}

impl Roles {
    /// Lets those go that are not wanted as they are: their files lose our keys, which would be
    /// another role's or nobody's. The files of those that `are_left` keep them, and are returned.
    pub(super) async fn dismiss(
        &mut self,
        wanted: &[AssumedOutlet],
        are_left: impl Fn(&Target) -> bool,
    ) -> Vec<Target> {
        let (kept, gone) = std::mem::take(&mut self.members)
            .into_iter()
            .partition::<Vec<_>, _>(|member| wanted.contains(&member.of));
        self.members = kept;
        let leaving = gone.into_iter().map(|member| {
            let target = member.of.target.clone().filter(&are_left);
            async move {
                let (done, left) = oneshot::channel();
                let keys = if target.is_some() { Keys::Keep } else { Keys::Withdraw };
                // One that has ended already has left.
                let _ = member.words.send(Word::Leave(keys, done)).await;
                let _ = left.await;
                target
            }
        });
        let left = join_all(leaving).await;
        // Of those that have ended nothing is kept.
        while self.tasks.try_join_next().is_some() {}
        left.into_iter().flatten().collect()
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
            if self.members.iter().any(|member| *member.of == wanted) {
                continue;
            }
            let (words, inbox) = mpsc::channel(WORDS);
            let of = Arc::new(wanted);
            let place = shelf.place(&of.name);
            let task = Assumption::new(means.clone(), Arc::clone(&of), place, policy);
            self.tasks.spawn(task.run(shelf.reader(), inbox));
            self.members.push(Member { of, words });
        }
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
