//! Whether the identity in the vault is good: its records, the hardware that it stands for, and what
//! the service says of it. Changes nothing; the token by which the service proves that it knows this
//! machine is dropped.

use std::sync::Arc;

use super::Seams;
use super::hybrid::BOOT;
use super::rotation::refuses_signature;
use crate::pure::advice::{Advice, Exit};
use crate::pure::failure::FailureClass;
use crate::pure::fingerprint::{Similarity, compare};
use crate::pure::identity::{Fingerprint, InstanceId};
use crate::pure::refresher::{BOOT_LOOK_INTERVAL, BOOT_LOOKS};
use crate::ssm::{InstanceKey, Ssm, SsmError};
use crate::vault::{FingerprintRecord, VaultError, VaultReader};

/// An identity whose records are whole, on the hardware that it stands for.
#[derive(Debug)]
pub struct Examined {
    instance_id: InstanceId,
    fingerprint: Fingerprint,
    /// The registration's, and that of a rotation under way, which the service may hold by now.
    keys: Vec<InstanceKey>,
}

/// What the service said of an identity that is in order here.
#[derive(Debug)]
pub enum Verdict {
    Known,
    /// It could not be asked, or its answer says nothing about the identity.
    NotAsked(SsmError),
}

/// An identity that this machine must not rely on.
#[derive(Debug, thiserror::Error)]
pub enum VerificationError {
    /// A record is missing, damaged or closed to this user.
    #[error(transparent)]
    Vault(#[from] VaultError),
    #[error("this is not the machine that registered as {0}: hardware {1}")]
    OtherHardware(InstanceId, Box<Similarity>),
    #[error("the service does not know {0}: {1}")]
    Unknown(InstanceId, SsmError),
    #[error("the service refuses {0}: {1}")]
    Refused(InstanceId, SsmError),
    /// Nothing could be sent: a setting is wrong.
    #[error(transparent)]
    Local(SsmError),
}

/// Looks at the vault and at the machine. One that is still booting gets as many looks as the daemon
/// gives it.
///
/// # Errors
///
/// A record that cannot be used, or other hardware.
pub async fn examine(vault: &VaultReader, seams: &Seams) -> Result<Examined, VerificationError> {
    let registration = vault.registration()?;
    let record = vault.fingerprint_record()?;
    let staged = vault.staged_key()?;
    let similarity = look(&record, seams).await;
    if !similarity.is_accepted() {
        let id = registration.instance_id;
        return Err(VerificationError::OtherHardware(id, Box::new(similarity)));
    }
    let staged = staged.map(|staged| staged.signing_key);
    let keys = [registration.signing_key].into_iter().chain(staged).map(|key| InstanceKey {
        instance_id: registration.instance_id.clone(),
        signing_key: Arc::new(key),
    });
    let keys = keys.collect();
    Ok(Examined { instance_id: registration.instance_id, fingerprint: record.fingerprint, keys })
}

async fn look(record: &FingerprintRecord, seams: &Seams) -> Similarity {
    let judge = || compare(&record.hardware_hash, &seams.probe.observe(), record.threshold);
    let mut similarity = judge();
    for _ in 1..BOOT_LOOKS {
        if similarity.is_accepted() || seams.clock.since_boot() > BOOT {
            break;
        }
        seams.clock.sleep(BOOT_LOOK_INTERVAL).await;
        similarity = judge();
    }
    similarity
}

impl Examined {
    /// Asks the service for a role token, once with each key, and drops it: there is no other call by
    /// which an instance can prove itself and change nothing.
    ///
    /// # Errors
    ///
    /// When the service answers that this identity is none of its own, or nothing can be sent.
    pub async fn ask(&self, ssm: &Ssm) -> Result<Verdict, VerificationError> {
        // Who waits for a service that is out of reach waits for one attempt.
        let ssm = ssm.without_retries();
        let mut outcome = Ok(());
        for key in &self.keys {
            outcome = ssm.request_role_token(key, self.fingerprint).await.map(drop);
            if !outcome.as_ref().is_err_and(refuses_signature) {
                break;
            }
        }
        let Err(error) = outcome else { return Ok(Verdict::Known) };
        let id = self.instance_id.clone();
        match error.class {
            FailureClass::Denied if error.code.as_deref() == Some("InvalidInstanceId") => {
                Err(VerificationError::Unknown(id, error))
            }
            FailureClass::Denied => Err(VerificationError::Refused(id, error)),
            FailureClass::Local => Err(VerificationError::Local(error)),
            FailureClass::BadAnswer
            | FailureClass::ClockSkew
            | FailureClass::ServiceFault
            | FailureClass::Throttled
            | FailureClass::Unreachable => Ok(Verdict::NotAsked(error)),
        }
    }
}

impl Advice for VerificationError {
    fn remedy(&self) -> String {
        match self {
            Self::Vault(error) => error.remedy(),
            Self::OtherHardware(_, similarity) => similarity.first_remedy().to_owned(),
            Self::Unknown(_, error) | Self::Refused(_, error) | Self::Local(error) => {
                error.remedy()
            }
        }
    }

    fn exit(&self) -> Exit {
        match self {
            // The registration was just read: what is missing is its other half.
            Self::Vault(VaultError::Missing { .. }) => Exit::NoInput,
            Self::Vault(error) => error.exit(),
            Self::OtherHardware(..) | Self::Refused(..) => Exit::Refused,
            Self::Unknown(..) => Exit::NoUser,
            Self::Local(error) => error.exit(),
        }
    }
}
