//! The registered fingerprint keeps its UUID for as long as the registration lives: only the
//! hardware that it stands for, and the threshold, can be changed. A substitute stands beside it.

use time::UtcDateTime;

use crate::pure::fingerprint::{HardwareHash, SimilarityThreshold};

use super::error::VaultError;
use super::records::{InstanceFingerprint, SubstituteFingerprint};
use super::{FingerprintRecord, Vault};

impl Vault {
    /// The operator confirms that this is still the same machine: the hardware as it is now becomes
    /// the registered one, and a substitute is forgotten.
    pub fn accept_hardware(
        &mut self,
        hardware_hash: &HardwareHash,
        now: UtcDateTime,
    ) -> Result<(), VaultError> {
        let mut record = self.fingerprint_record()?;
        record.hardware_hash = hardware_hash.clone();
        self.rewrite(&InstanceFingerprint::new(&record))?;
        self.forget_substitute_fingerprint(now)
    }

    /// How much of the hardware must agree.
    pub fn set_threshold(&mut self, threshold: SimilarityThreshold) -> Result<(), VaultError> {
        let mut record = self.fingerprint_record()?;
        record.threshold = threshold;
        self.rewrite(&InstanceFingerprint::new(&record))
    }

    /// Keeps the fresh fingerprint that the service gets on hardware that differs.
    pub fn store_substitute_fingerprint(
        &mut self,
        record: &FingerprintRecord,
        now: UtcDateTime,
    ) -> Result<(), VaultError> {
        self.store(&SubstituteFingerprint(InstanceFingerprint::new(record)), now)
    }

    /// The old hardware is back, or the new one is accepted.
    pub fn forget_substitute_fingerprint(&mut self, now: UtcDateTime) -> Result<(), VaultError> {
        self.forget::<SubstituteFingerprint>(now)
    }
}
