//! Performs what `pure::key_rotation` decides.

use std::sync::Arc;
use std::time::Duration;

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

/// When a rotation may begin, and an unfinished one go on. By the time since boot: a step of the wall
/// clock neither lengthens a wait nor ends it.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// A round of this process ended in a wait at this moment.
    waits_since: Option<Duration>,
    /// A rotation of this process was over at this moment, with the new key or the old.
    over_since: Option<Duration>,
}

/// How soon the service's wish for a new key is heeded once more: one that goes on wishing, because
/// it refused the key or has not noticed it, gets a key a day and not one with every token.
const WISH_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);

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
    pub(super) fn may_resume(&self, now: Duration) -> Option<bool> {
        match self.waits_since {
            None => Some(false),
            Some(since) if now.saturating_sub(since) >= SETTLING_TIME => Some(true),
            Some(_) => None,
        }
    }

    /// Whether the service's wish for a new key is heeded now.
    pub(super) fn may_begin(&self, now: Duration) -> bool {
        let rested = self.over_since.is_none_or(|since| now.saturating_sub(since) >= WISH_INTERVAL);
        rested && self.may_resume(now).is_some()
    }

    pub(super) fn note(&mut self, outcome: &RotationOutcome, now: Duration) {
        let waits = matches!(outcome, RotationOutcome::Waits { .. });
        self.waits_since = waits.then_some(now);
        self.over_since = (!waits).then_some(now);
    }
}

/// Whether the service holds another key than the one that signed.
pub(super) fn refuses_signature(error: &SsmError) -> bool {
    let code = error.code.as_deref();
    error.class == FailureClass::Denied
        && matches!(code, Some("InvalidSignatureException" | "SignatureDoesNotMatch"))
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
        _ if refuses_signature(&error) => Answer::SignatureRefused,
        (
            FailureClass::Denied,
            Some("InvalidPublicKey" | "PublicKeyAlreadyRegistered" | "ValidationException"),
        ) => Answer::KeyRefused,
        (FailureClass::Denied, _) => Answer::Denied,
        _ => Answer::Unclear,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Duration = Duration::from_secs(12 * 60 * 60);
    const WAITS: RotationOutcome =
        RotationOutcome::Waits { because: Because::NotTaken, token: None };
    const REFUSED: RotationOutcome = RotationOutcome::Abandoned { token: None };

    #[test]
    fn a_start_goes_on_at_once_and_unsettled() {
        assert_eq!(Pace::default().may_resume(NOON), Some(false));
        assert!(Pace::default().may_begin(NOON));
    }

    #[test]
    fn a_wait_lasts_until_no_earlier_request_can_arrive() {
        let mut pace = Pace::default();
        pace.note(&WAITS, NOON);
        let settled = NOON + SETTLING_TIME;
        let before = settled - Duration::from_nanos(1);
        assert_eq!(pace.may_resume(before), None);
        assert!(!pace.may_begin(before));
        assert_eq!(pace.may_resume(settled), Some(true));
        assert!(pace.may_begin(settled));
    }

    #[test]
    fn a_service_that_refuses_the_key_and_wishes_on_gets_one_a_day() {
        let mut pace = Pace::default();
        pace.note(&REFUSED, NOON);
        let half_hours = (1..=96).map(|n| NOON + n * Duration::from_secs(30 * 60));
        let begun = half_hours.filter(|now| {
            let begins = pace.may_begin(*now);
            if begins {
                pace.note(&REFUSED, *now);
            }
            begins
        });
        assert_eq!(begun.count(), 2);
    }

    #[test]
    fn only_a_refused_signature_is_about_the_key() {
        let error = |class, code: Option<&str>| SsmError {
            operation: "RequestManagedInstanceRoleToken",
            endpoint: String::new(),
            class,
            code: code.map(str::to_owned),
            message: String::new(),
            request_id: None,
            unsent: false,
        };
        let refused = Some("InvalidSignatureException");
        assert!(refuses_signature(&error(FailureClass::Denied, refused)));
        assert!(!refuses_signature(&error(FailureClass::ClockSkew, refused)));
        assert!(!refuses_signature(&error(FailureClass::Denied, Some("InvalidInstanceId"))));
        assert!(!refuses_signature(&error(FailureClass::Unreachable, None)));
    }
}
