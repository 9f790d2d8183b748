//! What the operator wants of the driver, and what it answers.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::super::report::TargetOutcome;
use super::Driver;
use crate::control::{Complaint, Order, Wish};
use crate::pure::advice::Exit;
use crate::pure::fingerprint::{SimilarityThreshold, Verdict};
use crate::pure::refresher::Event;
use crate::shelf::Moment;

impl Driver {
    pub(super) async fn obey(&mut self, Order { wish, reply }: Order) {
        let answer = match wish {
            Wish::AcceptFingerprint => self.accept_fingerprint().await,
            Wish::Refresh => {
                self.handle(Event::Nudged).await;
                return self.answer_refresh(reply);
            }
            Wish::Reload => {
                // Whoever waits for it need not wait for AWS; it may have left.
                let _ = reply.send(self.reload().await);
                return self.handle(Event::Nudged).await;
            }
            Wish::RotateKey => self.rotate_on_order().await,
            Wish::SetThreshold(threshold) => self.set_threshold(threshold).await,
        };
        // Who asked may have left.
        let _ = reply.send(answer);
    }

    /// Answers when the targets' own roles were tried, too. Others need not wait for that.
    pub(super) fn answer_refresh(&mut self, reply: oneshot::Sender<Result<String, Complaint>>) {
        let refreshed = self.refreshed();
        let assumed = self.roles.nudge();
        tokio::spawn(async move {
            let answer = match refreshed {
                Ok(sentence) => assumed.await.map(|()| sentence),
                Err(complaint) => Err(complaint),
            };
            // Who asked may have left.
            let _ = reply.send(answer);
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
        hybrid.accept_hardware().map_err(|error| Complaint::of(&error))?;
        self.handle(Event::Nudged).await;
        Ok("this machine's hardware is now the registered one".to_owned())
    }

    async fn set_threshold(&mut self, threshold: SimilarityThreshold) -> Result<String, Complaint> {
        let hybrid = self.provider.hybrid()?;
        hybrid.set_threshold(threshold).map_err(|error| Complaint::of(&error))?;
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
