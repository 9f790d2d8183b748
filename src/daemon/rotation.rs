//! Performs what `pure::key_rotation` decides.

use std::sync::Arc;

use time::UtcDateTime;

use crate::keys::SigningKey;
use crate::pure::failure::FailureClass;
use crate::pure::identity::Fingerprint;
use crate::pure::key_rotation::{Answer, Because, KeyRotation, Next, SETTLING_TIME};
use crate::pure::role_token::RoleToken;
use crate::ssm::{InstanceKey, Ssm, SsmError};
use crate::vault::{Registration, StagedKey, Vault, VaultError};

/// How a rotation, or its present round, ended. The token is the last proof's.
#[derive(Debug)]
pub enum RotationOutcome {
    /// The service holds the new key, and so does the vault.
    Promoted { registration: Box<Registration>, token: Option<RoleToken> },
    /// The service did not want the new key; the old one stays.
    Abandoned { token: Option<RoleToken> },
    /// Not over; both keys are kept.
    Waits { because: Because, token: Option<RoleToken> },
}

/// When an unfinished rotation may go on.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// A round of this process ended in a wait at this moment.
    waits_since: Option<UtcDateTime>,
}

/// Replaces the RSA key: stage, publish, prove, promote. One that is under way goes on.
///
/// # Errors
///
/// When the vault cannot remember a step; the service was then not told of the next one.
pub async fn rotate(
    vault: &mut Vault,
    ssm: &Ssm,
    fingerprint: Fingerprint,
) -> Result<RotationOutcome, VaultError> {
    if let Some(staged) = vault.staged_key()? {
        return resume(vault, ssm, fingerprint, staged, false).await;
    }
    let old_key = instance_key(&vault.registration()?);
    // Generating takes a moment: off the event loop, so that status is answered meanwhile.
    let new_key = tokio::task::spawn_blocking(SigningKey::generate).await;
    let Ok(Ok(new_key)) = new_key else {
        return Ok(RotationOutcome::Waits { because: Because::NotTaken, token: None });
    };
    vault.stage_key(&new_key, ssm.clock().now())?;
    let (rotation, first) = KeyRotation::begin();
    Round { vault, ssm: ssm.without_retries(), fingerprint, old_key, new_key, token: None }
        .run(rotation, first)
        .await
}

/// Goes on with a rotation that the vault remembers.
///
/// # Errors
///
/// As [`rotate`].
pub(super) async fn resume(
    vault: &mut Vault,
    ssm: &Ssm,
    fingerprint: Fingerprint,
    staged: StagedKey,
    settled: bool,
) -> Result<RotationOutcome, VaultError> {
    let old_key = instance_key(&vault.registration()?);
    let (rotation, first) = KeyRotation::resume(staged.step, settled);
    let ssm = ssm.without_retries();
    Round { vault, ssm, fingerprint, old_key, new_key: staged.signing_key, token: None }
        .run(rotation, first)
        .await
}

/// What a registration signs with.
pub(super) fn instance_key(registration: &Registration) -> InstanceKey {
    InstanceKey {
        instance_id: registration.instance_id.clone(),
        signing_key: Arc::new(registration.signing_key.clone()),
    }
}

impl Pace {
    /// Whether a remembered rotation may go on now, and then whether an earlier request can still
    /// be on its way (`settled`).
    pub(super) fn may_resume(&self, now: UtcDateTime) -> Option<bool> {
        match self.waits_since {
            None => Some(false),
            Some(since) if (now - since).unsigned_abs() >= SETTLING_TIME => Some(true),
            Some(_) => None,
        }
    }

    pub(super) fn note(&mut self, outcome: &RotationOutcome, now: UtcDateTime) {
        self.waits_since = matches!(outcome, RotationOutcome::Waits { .. }).then_some(now);
    }
}

/// From the first request to the outcome.
struct Round<'a> {
    vault: &'a mut Vault,
    ssm: Ssm,
    fingerprint: Fingerprint,
    old_key: InstanceKey,
    new_key: SigningKey,
    token: Option<RoleToken>,
}

impl Round<'_> {
    async fn run(
        mut self,
        mut rotation: KeyRotation,
        first: crate::pure::key_rotation::Decision,
    ) -> Result<RotationOutcome, VaultError> {
        let mut decision = first;
        loop {
            if let Some(step) = decision.record {
                self.vault.record_step(step)?;
            }
            let answer = match decision.next {
                Next::Publish => self.publish().await,
                Next::ProveNew => self.prove(self.new_key()).await,
                Next::ProveOld => self.prove(self.old_key.clone()).await,
                Next::Promote => {
                    let registration = Box::new(self.vault.promote_staged_key()?);
                    return Ok(RotationOutcome::Promoted { registration, token: self.token });
                }
                Next::Abandon => {
                    self.vault.discard_staged_key(self.ssm.clock().now())?;
                    return Ok(RotationOutcome::Abandoned { token: self.token });
                }
                Next::Wait(because) => {
                    return Ok(RotationOutcome::Waits { because, token: self.token });
                }
            };
            decision = rotation.answered(answer);
        }
    }

    async fn publish(&self) -> Answer {
        let new_key = self.new_key.public_key();
        answer(dated(async || self.ssm.update_public_key(&self.old_key, &new_key).await).await)
    }

    async fn prove(&mut self, key: InstanceKey) -> Answer {
        let token = dated(async || self.ssm.request_role_token(&key, self.fingerprint).await).await;
        // Part of the service may not have noticed the new key yet. Whether it wants another one
        // is for the next token to say, or the keys would be replaced without end.
        answer(token.map(|token| self.token = Some(RoleToken { update_key_pair: false, ..token })))
    }

    fn new_key(&self) -> InstanceKey {
        InstanceKey { signing_key: Arc::new(self.new_key.clone()), ..self.old_key.clone() }
    }
}

/// What was refused for its date has had no effect, and the refusal has set our clock: once more.
async fn dated<T>(request: impl AsyncFn() -> Result<T, SsmError>) -> Result<T, SsmError> {
    match request().await {
        Err(error) if error.class == FailureClass::ClockSkew => request().await,
        outcome => outcome,
    }
}

/// What an answer says about the keys.
fn answer(outcome: Result<(), SsmError>) -> Answer {
    let Err(error) = outcome else { return Answer::Accepted };
    tracing::warn!(%error, "during the key rotation");
    match (error.class, error.code.as_deref()) {
        (FailureClass::Denied, Some("InvalidSignatureException" | "SignatureDoesNotMatch")) => {
            Answer::SignatureRefused
        }
        (
            FailureClass::Denied,
            Some("InvalidPublicKey" | "PublicKeyAlreadyRegistered" | "ValidationException"),
        ) => Answer::KeyRefused,
        (FailureClass::Denied, _) => Answer::Denied,
        _ => Answer::Unclear,
    }
}
