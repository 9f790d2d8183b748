//! A registration from the first byte on disk to the last.
//!
//! ```text
//!  stage_registration      PendingRegistration is durable, without an id
//!      │  the service is asked
//!      ├─ no ──────► discard_registration      nothing has changed
//!      ├─ no answer ► the journal stays: the same key and fingerprint may be sent again
//!      ▼ yes
//!  commit_registration     PendingRegistration holds the id: from here on it is done,
//!      │                   and `Vault::open` finishes it after a crash
//!      ├─ InstanceFingerprint
//!      ├─ no SubstituteFingerprint, no StagedKey
//!      ├─ RegistrationKey
//!      ▼
//!  no PendingRegistration
//! ```
//!
//! An identity that was there before stays whole until the commit, and is kept aside then. Every
//! step of the commit may be done twice.

use std::path::PathBuf;

use time::UtcDateTime;

use crate::pure::identity::InstanceId;

use super::error::VaultError;
use super::records::{
    InstanceFingerprint, Journal, Record, RegistrationKey, Staged, Stored, SubstituteFingerprint,
};
use super::{Notice, PendingRegistration, Registration, Vault, date};

impl Vault {
    /// Writes down what the service is about to be asked to register. An earlier registration that
    /// was never answered is kept aside, unless it is the same key that is tried again.
    pub fn stage_registration(
        &mut self,
        pending: &PendingRegistration,
        now: UtcDateTime,
    ) -> Result<(), VaultError> {
        let journal = Journal::new(pending);
        match self.load::<Journal>() {
            Ok(Some(earlier))
                if earlier.registration_key.private_key != journal.registration_key.private_key =>
            {
                self.directory().set_aside(Journal::RECORD.name(), "unanswered", now)?;
            }
            // Whatever else is in the way is dealt with where it is overwritten.
            Ok(_) | Err(_) => {}
        }
        self.store(&journal, now)
    }

    /// The service has said yes and given this id. It is durable before anything else is done, and
    /// the registration is in place when this returns.
    ///
    /// # Errors
    ///
    /// `Missing` without a staged registration. After `Write` call again; it may have come before
    /// the id was durable, so the caller shows the id before it calls at all.
    pub fn commit_registration(
        &mut self,
        instance_id: &InstanceId,
        now: UtcDateTime,
    ) -> Result<Registration, VaultError> {
        let mut journal = self.load::<Journal>()?.ok_or_else(|| self.missing::<Journal>())?;
        journal.registration_key.instance_id = instance_id.to_string();
        journal.accepted_date = date::format(now);
        self.store(&journal, now)?;
        self.put_in_place(&journal)?;
        self.registration()
    }

    /// The service has definitely said no.
    pub fn discard_registration(&mut self, now: UtcDateTime) -> Result<(), VaultError> {
        self.forget::<Journal>(now)
    }

    /// Takes the identity out of use: its records are kept aside as `<record>.retired-<time>`, the
    /// registration first, so that from the first step on this machine is not registered. Says
    /// where the registration is kept. It still holds the private key: once the service has
    /// deregistered the machine nobody needs it.
    pub fn retire(&mut self, now: UtcDateTime) -> Result<PathBuf, VaultError> {
        self.registration()?;
        let directory = self.directory();
        let kept = directory.set_aside(RegistrationKey::RECORD.name(), "retired", now)?;
        for record in [Record::InstanceFingerprint, Record::StagedKey, Record::PendingRegistration]
        {
            directory.set_aside_if_present(record.name(), "retired", now)?;
        }
        self.forget::<SubstituteFingerprint>(now)?;
        Ok(kept)
    }

    /// Completes a registration that the service has accepted. One that it has not answered stays
    /// as it is, and a journal that cannot be used does not take away the registration in place.
    pub(super) fn finish_registration(&mut self) -> Result<(), VaultError> {
        // Checked in every member before any of it is put in place.
        let journal = match self.get::<Journal>().and_then(|_| self.load::<Journal>()) {
            Ok(Some(journal)) => journal,
            Ok(None) => return Ok(()),
            Err(error) => {
                self.notices.push(Notice::JournalUnusable(error));
                return Ok(());
            }
        };
        if let Ok(Some(instance_id)) = journal.accepted() {
            self.put_in_place(&journal)?;
            self.notices.push(Notice::RegistrationCompleted(instance_id));
        }
        Ok(())
    }

    fn put_in_place(&mut self, journal: &Journal) -> Result<(), VaultError> {
        let accepted_at = date::parse(&journal.accepted_date).unwrap_or(UtcDateTime::UNIX_EPOCH);
        self.supersede::<InstanceFingerprint>(&journal.instance_fingerprint, accepted_at)?;
        self.forget::<SubstituteFingerprint>(accepted_at)?;
        // The identity before may have been known by this key.
        self.directory().set_aside_if_present(Staged::RECORD.name(), "replaced", accepted_at)?;
        self.supersede::<RegistrationKey>(&journal.registration_key, accepted_at)?;
        self.directory().remove(Journal::RECORD.name())
    }
}
