//! A new RSA key without ever losing the node: decided here, remembered by `vault`.
//!
//! ```text
//!  the new key is durable
//!     │
//!     ▼       publish: Accepted               prove new: Accepted
//!  STAGED ──────────────────────► PUBLISHED ───────────────────────► proven ─► promoted
//!   │   ▲                             │                                ▲
//!   │   │     prove old: Accepted     │ prove new: SignatureRefused    │
//!   │   └─────────────────────────────┘                                │
//!   │ publish: Unclear                                                 │
//!   ├──────────────────────► prove new ── Accepted ────────────────────┘
//!   │                            └─────── SignatureRefused ─► wait, then publish again
//!   │ publish: KeyRefused
//!   └──────────────────────► prove old ── Accepted ─► abandoned: the old key stays
//!
//!  Every other answer: wait, keep both keys, and begin the next round with "prove new". So does a
//!  start that finds a staged key, for nobody knows what the service heard before the crash.
//! ```
//!
//! Invariant: at every instant the vault holds the key that the service holds. The new key is
//! durable before the service hears of it; the old one goes only after the service has accepted a
//! signature by the new one, the new one only after it has refused the new key and accepted a
//! signature by the old one. STAGED and PUBLISHED are written down; `proven` is not: the promotion
//! follows at once, and to prove again costs one request.
//!
//! "Publish" is UpdateManagedInstancePublicKey signed by the old key, "prove" is a role-token request
//! signed by that key. Both are sent once, without retries underneath: the fate of an attempt that
//! nobody reports would be unknown here.

use std::time::Duration;

/// The least time that [`Next::Wait`] lasts. A publish that was sent before it can no longer take
/// effect after it: the service refuses a signature that is older than this (15 minutes, the widest
/// that AWS documents for any service).
pub const SETTLING_TIME: Duration = Duration::from_secs(15 * 60);

/// How far a rotation is, as the vault remembers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The new key is durable. Whether the service has heard of it is unknown.
    Staged,
    /// The service has said yes to the new key.
    Published,
}

/// What the service said to the last request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Done; for a proof, a role token came back.
    Accepted,
    /// The signature is not by the key that the service holds.
    SignatureRefused,
    /// The new key was definitely not taken: InvalidPublicKey, PublicKeyAlreadyRegistered, a
    /// validation error.
    KeyRefused,
    /// No, for a reason that says nothing about keys: MachineFingerprintDoesNotMatch,
    /// InvalidInstanceId, AccessDenied.
    Denied,
    /// Timeout, reset, 5xx, throttling: it may have been done or not.
    Unclear,
}

/// What to do, after [`Decision::record`] is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Tell the service the new key, signed by the old one.
    Publish,
    /// Request a role token, signed by the new key.
    ProveNew,
    /// Request a role token, signed by the old key.
    ProveOld,
    /// Make the new key the registration's own and forget the staged one: over.
    Promote,
    /// Forget the staged key: over, the old key stays.
    Abandon,
    /// Nothing for [`SETTLING_TIME`] or longer, then [`KeyRotation::resume`] with `settled`. Both
    /// keys stay, and role tokens are requested with the old one; should the service refuse its
    /// signature meanwhile, resume at once and unsettled.
    Wait(Because),
}

/// Why a rotation waits; for `status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Because {
    #[error("the service could not be asked which key it holds")]
    Unreachable,
    #[error("the service denies this machine, for a reason other than its key")]
    Denied,
    #[error("the service did not take the new key and still accepts the old one")]
    NotTaken,
    #[error("the service refused the new key, and an earlier request may still arrive")]
    Refused,
    #[error("the service accepts neither the old nor the new key; both are kept")]
    NeitherKey,
}

/// What to write down first, and what to do then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// The step that the vault must hold before `next` is done; `None`: as it is.
    pub record: Option<Step>,
    pub next: Next,
}

/// One rotation under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRotation {
    step: Step,
    asked: Asked,
    /// No publish can be on its way that this round did not send.
    settled: bool,
}

/// The request that is to be answered, with what was learned before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Publish,
    /// Which key does the service hold? First request of a round.
    WhichKey,
    /// Has the publish that we have no answer to arrived?
    HasItArrived,
    /// The service has accepted the new key: does it hold?
    DoesItHold,
    /// It said yes, yet refuses the new key's signature: is the old one back?
    IsOldBack,
    /// It refused the new key: does the old one hold?
    DoesOldHold,
    /// It refuses the old key's signature: is it the new one, or none?
    IsItNew,
    /// Promote, abandon or wait: no request is open.
    Nothing(Next),
}

impl KeyRotation {
    /// A rotation whose new key was made durable just now, and of which nobody has heard.
    pub fn begin() -> (Self, Decision) {
        Self::ask(Step::Staged, Asked::Publish, true)
    }

    /// A rotation that the vault remembers: after a start (`settled` is false, for a request of the
    /// process before may be on its way), or after a wait of [`SETTLING_TIME`] (`settled` is true).
    pub fn resume(step: Step, settled: bool) -> (Self, Decision) {
        Self::ask(step, Asked::WhichKey, settled)
    }

    /// The step that the vault holds once the last decision is carried out.
    pub fn step(&self) -> Step {
        self.step
    }

    /// What the answer to the last request leads to. Without an open request the last decision
    /// stands.
    pub fn answered(&mut self, answer: Answer) -> Decision {
        if let Asked::Nothing(next) = self.asked {
            return Decision { record: None, next };
        }
        let before = self.step;
        self.asked = self.after(answer);
        let record = (self.step != before).then_some(self.step);
        Decision { record, next: self.asked.next() }
    }

    fn ask(step: Step, asked: Asked, settled: bool) -> (Self, Decision) {
        (Self { step, asked, settled }, Decision { record: None, next: asked.next() })
    }

    /// The whole table: what was asked, what was answered.
    fn after(&mut self, answer: Answer) -> Asked {
        match (self.asked, answer) {
            (Asked::Publish, Answer::Accepted) => {
                self.step = Step::Published;
                Asked::DoesItHold
            }
            (Asked::Publish, Answer::SignatureRefused) => Asked::IsItNew,
            (Asked::Publish, Answer::KeyRefused) if self.settled => Asked::DoesOldHold,
            (Asked::Publish, Answer::KeyRefused) => wait(Because::Refused),
            (Asked::Publish, Answer::Unclear) => Asked::HasItArrived,

            // Proofs of the new key.
            (
                Asked::WhichKey | Asked::HasItArrived | Asked::DoesItHold | Asked::IsItNew,
                Answer::Accepted,
            ) => Asked::Nothing(Next::Promote),
            (Asked::WhichKey, Answer::SignatureRefused) => match self.step {
                Step::Staged => Asked::Publish,
                Step::Published => Asked::IsOldBack,
            },
            (Asked::HasItArrived, Answer::SignatureRefused) => wait(Because::NotTaken),
            (Asked::DoesItHold, Answer::SignatureRefused) => Asked::IsOldBack,
            (Asked::IsItNew, Answer::SignatureRefused) => wait(Because::NeitherKey),

            // Proofs of the old key.
            (Asked::IsOldBack, Answer::Accepted) => {
                self.step = Step::Staged;
                wait(Because::NotTaken)
            }
            (Asked::IsOldBack, Answer::SignatureRefused) => wait(Because::NeitherKey),
            (Asked::DoesOldHold, Answer::Accepted) => Asked::Nothing(Next::Abandon),
            (Asked::DoesOldHold, Answer::SignatureRefused) => Asked::IsItNew,

            (_, Answer::Denied | Answer::KeyRefused) => wait(Because::Denied),
            (_, Answer::Unclear) => wait(Because::Unreachable),
            (Asked::Nothing(next), _) => Asked::Nothing(next),
        }
    }
}

impl Asked {
    fn next(self) -> Next {
        match self {
            Asked::Publish => Next::Publish,
            Asked::WhichKey | Asked::HasItArrived | Asked::DoesItHold | Asked::IsItNew => {
                Next::ProveNew
            }
            Asked::IsOldBack | Asked::DoesOldHold => Next::ProveOld,
            Asked::Nothing(next) => next,
        }
    }
}

fn wait(because: Because) -> Asked {
    Asked::Nothing(Next::Wait(because))
}

#[cfg(test)]
mod simulation;

#[cfg(test)]
mod tests {
    use super::*;

    /// The actions that a service with these answers leads to.
    fn actions(start: (KeyRotation, Decision), answers: &[Answer]) -> Vec<Next> {
        let (mut rotation, first) = start;
        let rest = answers.iter().map(|answer| rotation.answered(*answer).next);
        std::iter::once(first.next).chain(rest).collect()
    }

    #[test]
    fn a_key_is_published_written_down_as_published_proven_and_promoted() {
        let (mut rotation, decision) = KeyRotation::begin();
        assert_eq!(decision, Decision { record: None, next: Next::Publish });
        let decision = rotation.answered(Answer::Accepted);
        assert_eq!(decision, Decision { record: Some(Step::Published), next: Next::ProveNew });
        let decision = rotation.answered(Answer::Accepted);
        assert_eq!(decision, Decision { record: None, next: Next::Promote });
    }

    #[test]
    fn a_refused_key_is_abandoned_once_the_old_one_is_proven() {
        assert_eq!(
            actions(KeyRotation::begin(), &[Answer::KeyRefused, Answer::Accepted]),
            [Next::Publish, Next::ProveOld, Next::Abandon]
        );
    }

    #[test]
    fn a_refused_key_is_not_abandoned_while_an_earlier_publish_may_arrive() {
        let answers = [Answer::SignatureRefused, Answer::KeyRefused];
        assert_eq!(
            actions(KeyRotation::resume(Step::Staged, false), &answers),
            [Next::ProveNew, Next::Publish, Next::Wait(Because::Refused)]
        );
    }

    #[test]
    fn an_unclear_publish_is_settled_by_asking_with_the_new_key() {
        assert_eq!(
            actions(KeyRotation::begin(), &[Answer::Unclear, Answer::Accepted]),
            [Next::Publish, Next::ProveNew, Next::Promote]
        );
        assert_eq!(
            actions(KeyRotation::begin(), &[Answer::Unclear, Answer::SignatureRefused]),
            [Next::Publish, Next::ProveNew, Next::Wait(Because::NotTaken)]
        );
    }

    #[test]
    fn a_denial_that_is_not_about_the_key_changes_nothing() {
        for step in [Step::Staged, Step::Published] {
            assert_eq!(
                actions(KeyRotation::resume(step, false), &[Answer::Denied]),
                [Next::ProveNew, Next::Wait(Because::Denied)]
            );
        }
    }

    #[test]
    fn a_service_that_takes_back_its_yes_is_asked_again_later() {
        let (mut rotation, _) = KeyRotation::begin();
        rotation.answered(Answer::Accepted);
        assert_eq!(rotation.answered(Answer::SignatureRefused).next, Next::ProveOld);
        let decision = rotation.answered(Answer::Accepted);
        let wait = Next::Wait(Because::NotTaken);
        assert_eq!(decision, Decision { record: Some(Step::Staged), next: wait });
    }

    #[test]
    fn with_neither_key_accepted_both_are_kept_for_ever() {
        for step in [Step::Staged, Step::Published] {
            for settled in [false, true] {
                let actions =
                    actions(KeyRotation::resume(step, settled), &[Answer::SignatureRefused; 9]);
                assert_eq!(actions[9], Next::Wait(Because::NeitherKey));
                assert!(!actions.contains(&Next::Abandon) && !actions.contains(&Next::Promote));
            }
        }
    }

    #[test]
    fn an_answer_to_nothing_changes_nothing() {
        let (mut rotation, _) = KeyRotation::resume(Step::Published, false);
        let promote = rotation.answered(Answer::Accepted);
        for answer in [Answer::Accepted, Answer::SignatureRefused, Answer::Unclear] {
            assert_eq!(rotation.answered(answer), promote);
        }
    }
}
