//! Registers a machine: a new key and a new fingerprint, sent once with an activation.
//!
//! An identity that is there already stays whole until the service has accepted the new one; what a
//! crash leaves at each step, `vault` tells.

use time::UtcDateTime;

use super::Seams;
use crate::keys::{KeyError, SigningKey};
use crate::pure::advice::{Advice, Exit};
use crate::pure::failure::FailureClass;
use crate::pure::fingerprint::{
    Attribute, HardwareHash, Observation, Reading, SimilarityThreshold,
};
use crate::pure::identity::{Activation, Fingerprint, InstanceId, Region};
use crate::ssm::{Ssm, SsmError, Tag};
use crate::vault::{FingerprintRecord, PendingRegistration, Registration, Vault, VaultError};

/// What a machine registers with.
#[derive(Debug, Clone)]
pub struct Application {
    pub activation: Activation,
    pub tags: Vec<Tag>,
    pub threshold: SimilarityThreshold,
    /// An identity that is there may be replaced; its records are kept aside.
    pub replace: bool,
}

/// How far a registration has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
    /// The hardware is looked at and a key is made.
    Prepares,
    /// The service is asked: from now on the activation may be used up.
    Asks,
    /// The service gave this id, and it is not yet saved.
    Accepted(&'a InstanceId),
}

/// Why a machine was not registered.
#[derive(Debug, thiserror::Error)]
pub enum RegistrationError {
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    MachineId(#[from] MachineIdError),
    #[error("this machine is registered already, as {0}")]
    Registered(InstanceId),
    /// With the region that was asked.
    #[error("{0}")]
    Service(Box<SsmError>, Region),
    #[error(transparent)]
    Vault(#[from] VaultError),
}

/// A machine that cannot be told from another one, with the reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this machine has no usable machine-id: {0}")]
pub struct MachineIdError(String);

/// Registers the machine that `seams` observe, in the region that `ssm` speaks to.
///
/// `announce` is called before each step; with the id before it is saved: whatever happens then, the id
/// is known.
///
/// # Errors
///
/// What stood in the way. The identity that was there before is then as it was, unless saving
/// itself failed.
pub async fn register(
    vault: &mut Vault,
    ssm: &Ssm,
    seams: &Seams,
    application: &Application,
    mut announce: impl FnMut(Step<'_>),
) -> Result<Registration, RegistrationError> {
    check_vacant(vault, application.replace)?;
    announce(Step::Prepares);
    let pending =
        prepare(seams, ssm.region().clone(), application.threshold, ssm.clock().now()).await?;
    vault.stage_registration(&pending, ssm.clock().now())?;
    let public_key = pending.signing_key.public_key();
    let fingerprint = pending.fingerprint.fingerprint;
    let Application { activation, tags, .. } = application;
    announce(Step::Asks);
    match ssm.register(activation, fingerprint, &public_key, tags).await {
        Ok(id) => {
            announce(Step::Accepted(&id));
            Ok(vault.commit_registration(&id, ssm.clock().now())?)
        }
        Err(error) => {
            // A request that reached nobody registered nothing, and a refusal says so.
            if error.class == FailureClass::Denied || error.unsent {
                vault.discard_registration(ssm.clock().now())?;
            }
            Err(RegistrationError::Service(Box::new(error), ssm.region().clone()))
        }
    }
}

/// What helps where nothing is registered: nobody tries again by itself, and only the command line knows
/// the region.
fn unregistered(remedy: &str, region: &Region) -> String {
    remedy
        .replace("; the daemon tries again by itself", "")
        .replace("rolekeeper doctor", &format!("rolekeeper doctor --region {region}"))
}

/// Refuses to touch an identity unless that was asked for.
fn check_vacant(vault: &Vault, replace: bool) -> Result<(), RegistrationError> {
    match vault.registration() {
        Err(VaultError::Missing { .. }) => Ok(()),
        _ if replace => Ok(()),
        Ok(registration) => Err(RegistrationError::Registered(registration.instance_id)),
        Err(error) => Err(error.into()),
    }
}

/// What a machine is to be known by, as it was observed.
///
/// # Errors
///
/// When it has no machine-id, or one that cannot be read: every later look would find another machine.
pub fn recordable(observation: &Observation) -> Result<HardwareHash, MachineIdError> {
    match observation.get(Attribute::MachineId) {
        Reading::Value { .. } => Ok(observation.hash()),
        Reading::Absent => Err(MachineIdError("there is none".to_owned())),
        Reading::Unknown(reason) => Err(MachineIdError(reason.clone())),
    }
}

/// A new key, a new fingerprint, and the hardware that they stand for.
async fn prepare(
    seams: &Seams,
    region: Region,
    threshold: SimilarityThreshold,
    now: UtcDateTime,
) -> Result<PendingRegistration, RegistrationError> {
    let observation = seams.probe.observe();
    let hardware_hash = recordable(&observation)?;
    // Generating takes a moment: off the event loop.
    let signing_key = tokio::task::spawn_blocking(SigningKey::generate).await;
    let signing_key = signing_key.unwrap_or(Err(KeyError::Generate))?;
    let mut bytes = [0; 16];
    seams.entropy.fill(&mut bytes);
    let fingerprint = FingerprintRecord {
        fingerprint: Fingerprint::from_random_bytes(bytes),
        hardware_hash,
        threshold,
    };
    Ok(PendingRegistration { region, signing_key, key_created_at: Some(now), fingerprint })
}

impl Advice for MachineIdError {
    fn remedy(&self) -> String {
        "systemd-machine-id-setup".to_owned()
    }

    fn exit(&self) -> Exit {
        Exit::BadData
    }
}

impl Advice for RegistrationError {
    fn remedy(&self) -> String {
        match self {
            Self::Key(_) => "the same command again".to_owned(),
            Self::MachineId(error) => error.remedy(),
            Self::Registered(_) => {
                "rolekeeper status: the identity is there and stays; --force gives it up for \
                 another, and costs one use of an activation"
                    .to_owned()
            }
            // Without an answer, nobody knows whether the activation was spent.
            Self::Service(error, region) => match error.class {
                FailureClass::Unreachable | FailureClass::BadAnswer if !error.unsent => format!(
                    "{}; if an instance appears at the service all the same, deregister it there: \
                     aws ssm deregister-managed-instance --instance-id ID",
                    unregistered(&error.remedy(), region)
                ),
                _ => unregistered(&error.remedy(), region),
            },
            Self::Vault(error) => error.remedy(),
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Key(_) => Exit::Bug,
            Self::MachineId(error) => error.exit(),
            Self::Registered(_) => Exit::CannotCreate,
            Self::Service(error, _) => error.exit(),
            Self::Vault(error) => error.exit(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_a_machine_id_is_recorded_nowhere() {
        let observed = |reading: Reading| {
            Observation::from_fn(|attribute| match attribute {
                Attribute::MachineId => reading.clone(),
                other => Reading::of(other, "x", "x".to_owned()),
            })
        };
        let value = Reading::of(Attribute::MachineId, "1", "1".to_owned());
        let hash = recordable(&observed(value)).unwrap();
        assert!(hash.get(Attribute::MachineId).is_some());
        for (reading, reason) in [
            (Reading::Absent, "there is none"),
            (Reading::Unknown("Permission denied".to_owned()), "Permission denied"),
        ] {
            let error = recordable(&observed(reading)).unwrap_err();
            assert!(error.to_string().ends_with(reason), "{error}");
            assert_eq!(error.exit(), Exit::BadData);
        }
    }
}
