//! Remembers: the registration, the fingerprint, and what is under way, in `<state>/vault/`.
//!
//! | file | holds |
//! |---|---|
//! | `RegistrationKey` | instance id, region, RSA key: who this machine is |
//! | `InstanceFingerprint` | the UUID that the service knows, the hardware it was made on, the threshold |
//! | `SubstituteFingerprint` | after a hardware mismatch: the fresh fingerprint, beside the registered one |
//! | `PendingRegistration` | the journal of a registration under way |
//! | `StagedKey` | the key that is to replace the registration's, and the step of that rotation |
//! | `EC2RegistrationKey` | on an EC2 instance without a profile: its id, and the RSA key that proves it |
//! | `lock` | the process that has the vault |
//! | `<record>.<word>-<time>` | kept aside: `damaged`, `replaced`, `retired`, `unanswered` |
//!
//! Directories have mode 0700, files 0600; a wider one is narrowed when the vault is opened, and
//! reported. Every file is written whole (`host::replace`), so a crash leaves the old record or the
//! new one.
//!
//! Invariant: write down before you tell. The journal is durable before the service is asked, the
//! id it gives before anything else happens, a new key before the service hears of it. A record
//! that is damaged, or that belongs to another identity, is renamed, never overwritten; it still
//! holds a private key, and goes when the operator removes it.

mod date;
mod directory;
mod ec2_key;
mod error;
mod examination;
mod fingerprint;
mod lock;
mod reader;
mod records;
mod registration;
mod staged_key;

use std::fmt;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use time::UtcDateTime;
use zeroize::Zeroizing;

use crate::keys::SigningKey;
use crate::pure::fingerprint::{HardwareHash, SimilarityThreshold};
use crate::pure::identity::{Fingerprint, InstanceId, Region};
use crate::pure::key_rotation::Step;

pub use ec2_key::Ec2Key;
pub use error::{Damage, VaultError};
pub use examination::{Entry, Examination, Kind};
pub use reader::VaultReader;

use directory::{Directory, Narrowed};
use lock::Lock;
use records::{Record, Stored, encode};

/// The vault's directory in the state directory.
const NAME: &str = "vault";

/// The vault, for this process alone while the value lives. What can be read of it, its
/// [`VaultReader`] reads.
#[derive(Debug)]
pub struct Vault {
    reader: VaultReader,
    notices: Vec<Notice>,
    lock: Option<Lock>,
    /// Nothing that a crash has interrupted is left to be finished.
    is_finished: bool,
}

/// Who this machine is to the service, and the key that proves it.
#[derive(Debug, Clone)]
pub struct Registration {
    pub instance_id: InstanceId,
    pub region: Region,
    pub signing_key: SigningKey,
    /// `None` when the record does not say, or says it oddly.
    pub key_created_at: Option<UtcDateTime>,
}

/// The fingerprint, the hardware that it stands for, and how much of that must agree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FingerprintRecord {
    pub fingerprint: Fingerprint,
    pub hardware_hash: HardwareHash,
    pub threshold: SimilarityThreshold,
}

/// What a machine brings to a registration; the service adds the id.
#[derive(Debug, Clone)]
pub struct PendingRegistration {
    pub region: Region,
    pub signing_key: SigningKey,
    pub key_created_at: Option<UtcDateTime>,
    pub fingerprint: FingerprintRecord,
}

/// The key of a rotation under way.
#[derive(Debug, Clone)]
pub struct StagedKey {
    pub step: Step,
    pub signing_key: SigningKey,
    pub key_created_at: Option<UtcDateTime>,
}

/// What [`Vault::open`] found and dealt with; worth a line in the log.
#[derive(Debug)]
pub enum Notice {
    /// Others could have read it.
    Narrowed { path: PathBuf, mode: u32 },
    /// The service had accepted this registration, and a crash had kept it from being put in place.
    RegistrationCompleted(InstanceId),
    /// The new key was in place already, and a crash had kept the staged one from being removed.
    PromotionCompleted,
    /// A journal that cannot be used. The registration in place, if any, stays.
    JournalUnusable(VaultError),
    /// Nothing can be written: what is there is read.
    ReadOnly(VaultError),
}

impl Vault {
    /// Opens the vault in `state_dir`, makes it when there is none, locks it, and finishes what a
    /// crash has interrupted.
    ///
    /// # Errors
    ///
    /// `Locked` when another process has it, `ForeignOwner` when it is another user's (root may open
    /// anybody's, and leaves all files the owner's), `Unreadable` and `Write` as the system says.
    pub fn open(state_dir: &Path) -> Result<Self, VaultError> {
        let directory = Directory::create(state_dir, NAME)?;
        let names = Record::ALL.map(Record::name);
        let mut narrowed = directory.narrow(&names)?;
        let lock = Lock::take(&directory)?;
        narrowed.extend(directory.narrow(&[lock::NAME])?);
        let notices = narrowed.into_iter().map(Notice::from).collect();
        let reader = VaultReader::new(directory);
        let mut vault = Self { reader, notices, lock: Some(lock), is_finished: false };
        vault.finish_registration()?;
        vault.finish_promotion()?;
        vault.is_finished = true;
        Ok(vault)
    }

    /// The same for whoever goes on with what can be read where nothing can be written: the file system
    /// is read-only or full. [`Vault::is_whole`] tells the one from the other.
    ///
    /// # Errors
    ///
    /// As [`Vault::open`]; `Write` only where there is no vault yet.
    pub fn open_or_read(state_dir: &Path) -> Result<Self, VaultError> {
        match Self::open(state_dir) {
            Err(error) if error.is_unwritable() => {
                let Ok(directory) = Directory::open(state_dir, NAME) else { return Err(error) };
                let lock = Lock::take_without_writing(&directory)?;
                let (reader, notices) =
                    (VaultReader::new(directory), vec![Notice::ReadOnly(error)]);
                Ok(Self { reader, notices, lock, is_finished: false })
            }
            opened => opened,
        }
    }

    /// Whether it was opened with all that [`Vault::open`] does.
    pub fn is_whole(&self) -> bool {
        self.is_finished
    }

    /// Whether a record could be written now, as far as that can be known without writing one.
    ///
    /// # Errors
    ///
    /// `Missing` when the directory is gone from its place, or another is there; `Write` when the file
    /// system is read-only or full.
    pub fn check(&self) -> Result<(), VaultError> {
        self.directory().check_place()?;
        self.directory().check_writable()
    }

    /// Opens it again as [`Vault::open`] does, where it is now. What is there must be the same identity:
    /// otherwise all stays as it was.
    ///
    /// # Errors
    ///
    /// As [`Vault::open`]; `Missing` when there is no registration, `OtherIdentity` when it is another
    /// one.
    pub fn reopen(&mut self, identity: &InstanceId) -> Result<(), VaultError> {
        let path = self.path().to_owned();
        let Some(state_dir) = path.parent() else { return Err(VaultError::Missing { path }) };
        // Nothing is made where nothing is.
        let found = Self::read_only(state_dir)?.registration()?.instance_id;
        if found != *identity {
            return Err(VaultError::OtherIdentity { path, found });
        }
        // A process cannot have one lock twice.
        self.lock = None;
        self.is_finished = false;
        *self = Self::open(state_dir)?;
        Ok(())
    }

    /// Reads without a lock beside whoever has it, and changes nothing.
    ///
    /// # Errors
    ///
    /// `Missing` when there is no vault: this machine was never registered; else as [`Vault::open`].
    pub fn read_only(state_dir: &Path) -> Result<VaultReader, VaultError> {
        Directory::open(state_dir, NAME).map(VaultReader::new)
    }

    /// What was found on opening.
    pub fn notices(&self) -> &[Notice] {
        &self.notices
    }

    fn directory(&self) -> &Directory {
        self.reader.directory()
    }

    /// Writes a record. One that is damaged is kept aside, one that cannot be read is left alone.
    fn store<R: Stored>(&mut self, record: &R, now: UtcDateTime) -> Result<(), VaultError> {
        self.keep_if_damaged::<R>(now)?;
        self.rewrite(record)
    }

    /// Writes a record in the place of one that was just read.
    fn rewrite<R: Stored>(&mut self, record: &R) -> Result<(), VaultError> {
        self.directory().write(R::RECORD.name(), &self.text(record)?)
    }

    /// Writes a record of an identity; one of another identity is kept aside. A second time it does
    /// nothing.
    fn supersede<R: Stored>(&mut self, record: &R, now: UtcDateTime) -> Result<(), VaultError> {
        let name = R::RECORD.name();
        let text = self.text(record)?;
        if !self.keep_if_damaged::<R>(now)? {
            match self.directory().read(name)? {
                Some(present) if present == text => return Ok(()),
                Some(_) => drop(self.directory().set_aside(name, "replaced", now)?),
                None => {}
            }
        }
        self.directory().write(name, &text)
    }

    fn text<R: Stored>(&self, record: &R) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let path = || self.directory().join(R::RECORD.name());
        encode(record).map_err(|damage| VaultError::Damaged { path: path(), damage })
    }

    /// Removes a record that is of no use any more; a damaged one is kept aside.
    fn forget<R: Stored>(&mut self, now: UtcDateTime) -> Result<(), VaultError> {
        self.keep_if_damaged::<R>(now)?;
        self.directory().remove(R::RECORD.name())
    }

    /// Whether there was a damaged record; it is out of the way then.
    fn keep_if_damaged<R: Stored>(&mut self, now: UtcDateTime) -> Result<bool, VaultError> {
        match self.get::<R>() {
            Ok(_) => Ok(false),
            Err(VaultError::Damaged { .. }) => {
                self.directory().set_aside(R::RECORD.name(), "damaged", now)?;
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }
}

/// A vault is to its reader what a write guard is to the value that it guards.
impl Deref for Vault {
    type Target = VaultReader;

    fn deref(&self) -> &VaultReader {
        &self.reader
    }
}

impl From<Narrowed> for Notice {
    fn from(narrowed: Narrowed) -> Self {
        Notice::Narrowed { path: narrowed.path, mode: narrowed.mode }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Notice::Narrowed { path, mode } => write!(
                f,
                "{}: mode {mode:04o} let other users in and was narrowed; rotate the key if one of \
                 them may have read it",
                path.display()
            ),
            Notice::RegistrationCompleted(id) => {
                write!(f, "an interrupted registration was completed: this machine is {id}")
            }
            Notice::PromotionCompleted => f.write_str("an interrupted key rotation was completed"),
            Notice::JournalUnusable(error) => {
                write!(f, "an interrupted registration cannot be completed: {error}")
            }
            Notice::ReadOnly(error) => write!(f, "the vault is read, and not written: {error}"),
        }
    }
}

#[cfg(test)]
mod tests;
