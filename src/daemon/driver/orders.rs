//! What the operator wants of the driver, and what it answers.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::super::report::TargetOutcome;
use super::Driver;
use crate::control::{Complaint, Order, Wish};
use crate::host::service_manager;
use crate::pure::advice::Exit;
use crate::pure::fingerprint::{SimilarityThreshold, Verdict};
use crate::pure::refresher::Event;
use crate::shelf::Moment;

/// Whoever waits for the same.
pub(super) type Asked = Vec<oneshot::Sender<Result<String, Complaint>>>;

/// Equal orders in a row are one: what is done for the first of them is done for all.
pub(super) fn merged(orders: impl IntoIterator<Item = Order>) -> Vec<(Wish, Asked)> {
    let mut merged = Vec::<(Wish, Asked)>::new();
    for Order { wish, reply } in orders {
        match merged.last_mut() {
            Some((last, asked)) if *last == wish => asked.push(reply),
            _ => merged.push((wish, vec![reply])),
        }
    }
    merged
}

impl Driver {
    /// Obeys an order and those that wait behind it.
    pub(super) async fn obey_all(&mut self, first: Order, inbox: &mut mpsc::Receiver<Order>) {
        let mut orders = vec![first];
        while let Ok(order) = inbox.try_recv() {
            orders.push(order);
        }
        for (wish, asked) in merged(orders) {
            service_manager::alive();
            self.obey(wish, asked).await;
        }
    }

    /// Nothing is done for whoever has left.
    pub(super) async fn obey(&mut self, wish: Wish, mut asked: Asked) {
        asked.retain(|reply| !reply.is_closed());
        if asked.is_empty() {
            return;
        }
        let answer = match wish {
            Wish::AcceptFingerprint => self.accept_fingerprint().await,
            Wish::Refresh => {
                self.wait_for_turn().await;
                self.handle(Event::Nudged).await;
                return self.answer_refresh(asked);
            }
            Wish::Reload => {
                // Whoever waits for it need not wait for AWS.
                answer_all(asked, &self.reload().await);
                return self.handle(Event::Nudged).await;
            }
            Wish::RotateKey => self.rotate_on_order().await,
            Wish::SetThreshold(threshold) => self.set_threshold(threshold).await,
        };
        answer_all(asked, &answer);
    }

    /// Whoever wants a request hears what became of theirs, and not of the one a moment before.
    async fn wait_for_turn(&mut self) {
        let wait = self.refresher.until_turn(self.clock.now());
        self.clock.sleep(wait).await;
    }

    /// Answers when the targets' own roles were tried, too. Others need not wait for that.
    pub(super) fn answer_refresh(&mut self, asked: Asked) {
        let refreshed = self.refreshed();
        let assumed = self.roles.nudge();
        tokio::spawn(async move {
            let answer = match refreshed {
                Ok(sentence) => assumed.await.map(|()| sentence),
                Err(complaint) => Err(complaint),
            };
            answer_all(asked, &answer);
        });
    }

    /// What a refresh led to, for the operator.
    fn refreshed(&self) -> Result<String, Complaint> {
        if let Some(failure) = &self.failure {
            return Err(failure.complaint.clone());
        }
        if let Some(complaint) = self.outcomes.iter().find_map(TargetOutcome::complaint) {
            return Err(complaint.clone());
        }
        match self.refresher.token() {
            Some(token) => {
                Ok(format!("credentials renewed, good until {}", Moment(token.expires_at)))
            }
            None => Err(Complaint::new(
                Exit::TryAgain,
                "there are no credentials yet",
                "rolekeeper status",
            )),
        }
    }

    async fn accept_fingerprint(&mut self) -> Result<String, Complaint> {
        let hybrid = self.provider.hybrid()?;
        hybrid.accept_hardware()?;
        self.wait_for_turn().await;
        self.handle(Event::Nudged).await;
        Ok("this machine's hardware is now the registered one".to_owned())
    }

    async fn set_threshold(&mut self, threshold: SimilarityThreshold) -> Result<String, Complaint> {
        let hybrid = self.provider.hybrid()?;
        hybrid.set_threshold(threshold).map_err(|error| Complaint::of(&error))?;
        self.wait_for_turn().await;
        self.handle(Event::Nudged).await;
        Ok(format!("the similarity threshold is now {threshold}"))
    }

    async fn rotate_on_order(&mut self) -> Result<String, Complaint> {
        let hybrid = self.provider.hybrid()?;
        if let Event::Hardware { verdict: Verdict::Different, .. } = hybrid.probe() {
            return Err(Complaint::new(
                Exit::Refused,
                "this is not the machine that registered: its key is not replaced",
                "rolekeeper fingerprint diff",
            ));
        }
        if let Some(token) = hybrid.rotate().await? {
            self.handle(Event::Token(Arc::new(token))).await;
        }
        Ok("the RSA key was replaced".to_owned())
    }
}

fn answer_all(asked: Asked, answer: &Result<String, Complaint>) {
    for reply in asked {
        // Who asked may have left.
        let _ = reply.send(answer.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_orders_in_a_row_are_one_and_none_overtakes_another() {
        let threshold = |percent: i64| Wish::SetThreshold(percent.try_into().unwrap());
        let wishes = [Wish::Refresh, Wish::Refresh, threshold(50), threshold(60), threshold(50)];
        let wishes = wishes.into_iter().chain([Wish::Reload, Wish::Reload, Wish::Refresh]);
        let merged = merged(wishes.map(|wish| Order { wish, reply: oneshot::channel().0 }));
        let counted = merged.into_iter().map(|(wish, asked)| (wish, asked.len()));
        let expected = [
            (Wish::Refresh, 2),
            (threshold(50), 1),
            (threshold(60), 1),
            (threshold(50), 1),
            (Wish::Reload, 2),
            (Wish::Refresh, 1),
        ];
        assert_eq!(counted.collect::<Vec<_>>(), expected);
    }
}
