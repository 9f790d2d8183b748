//! What can be read of a vault, with or without its lock.

use std::path::{Path, PathBuf};

use super::directory::Directory;
use super::error::VaultError;
use super::records::{
    InstanceFingerprint, Journal, RegistrationKey, Staged, Stored, SubstituteFingerprint, decode,
};
use super::{FingerprintRecord, PendingRegistration, Registration, StagedKey};

/// Reads a vault's records. Without the lock two of them may be of different moments.
///
/// Every getter fails with `Unreadable`, `Damaged` or `ForeignOwner`; those of records that every
/// registered machine has, with `Missing` too.
#[derive(Debug)]
pub struct VaultReader {
    directory: Directory,
}

impl VaultReader {
    pub(super) fn new(directory: Directory) -> Self {
        Self { directory }
    }

    pub(super) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// The vault's own directory.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Where the record of the registration is, for messages.
    pub fn registration_path(&self) -> PathBuf {
        self.directory.join(RegistrationKey::RECORD.name())
    }

    /// Who this machine is. `Missing` means that it is not registered.
    pub fn registration(&self) -> Result<Registration, VaultError> {
        self.expect::<RegistrationKey>()
    }

    /// The registered fingerprint.
    pub fn fingerprint_record(&self) -> Result<FingerprintRecord, VaultError> {
        self.expect::<InstanceFingerprint>()
    }

    /// The fresh fingerprint that stands in after a hardware mismatch.
    pub fn substitute_fingerprint(&self) -> Result<Option<FingerprintRecord>, VaultError> {
        self.get::<SubstituteFingerprint>()
    }

    /// A registration that the service was asked for and has not answered: it may have been done,
    /// and the id is unknown. To ask again with the same key and fingerprint does no harm.
    pub fn pending_registration(&self) -> Result<Option<PendingRegistration>, VaultError> {
        self.get::<Journal>()
    }

    /// The key of a rotation under way.
    pub fn staged_key(&self) -> Result<Option<StagedKey>, VaultError> {
        self.get::<Staged>()
    }

    /// A record as it stands in its file.
    pub(super) fn load<R: Stored>(&self) -> Result<Option<R>, VaultError> {
        let name = R::RECORD.name();
        let damaged = |damage| VaultError::Damaged { path: self.directory.join(name), damage };
        self.directory.read(name)?.map(|text| decode(&text).map_err(damaged)).transpose()
    }

    /// What a record means.
    pub(super) fn get<R: Stored>(&self) -> Result<Option<R::Value>, VaultError> {
        let path = || self.directory.join(R::RECORD.name());
        match self.load::<R>()? {
            Some(record) => {
                record.value().map_err(|damage| VaultError::Damaged { path: path(), damage })
            }
            None => Ok(None),
        }
    }

    fn expect<R: Stored>(&self) -> Result<R::Value, VaultError> {
        self.get::<R>()?.ok_or_else(|| self.missing::<R>())
    }

    pub(super) fn missing<R: Stored>(&self) -> VaultError {
        VaultError::Missing { path: self.directory.join(R::RECORD.name()) }
    }
}
