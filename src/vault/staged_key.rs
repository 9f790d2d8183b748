//! The effects of `pure::key_rotation`: the new key in `StagedKey` until it takes the old one's
//! place in `RegistrationKey`.

use time::UtcDateTime;

use crate::keys::SigningKey;
use crate::pure::key_rotation::Step;

use super::error::VaultError;
use super::records::{RegistrationKey, Staged, Stored};
use super::{Notice, Registration, StagedKey, Vault};

impl Vault {
    /// Makes a new key durable, before the service hears of it.
    ///
    /// # Errors
    ///
    /// `RotationUnderWay` when there is a staged key: the service may hold that one. `Missing` on a
    /// machine that is not registered.
    pub fn stage_key(&mut self, key: &SigningKey, now: UtcDateTime) -> Result<(), VaultError> {
        self.registration()?;
        match self.staged_key() {
            Ok(Some(_)) => Err(VaultError::RotationUnderWay {
                path: self.directory().join(Staged::RECORD.name()),
            }),
            // A damaged one is kept aside by `store`, which also reports whatever else is wrong.
            Ok(None) | Err(_) => {
                let staged = StagedKey {
                    step: Step::Staged,
                    signing_key: key.clone(),
                    key_created_at: Some(now),
                };
                self.store(&Staged::new(&staged), now)
            }
        }
    }

    /// Writes down how far the rotation is (`Decision::record`).
    ///
    /// # Errors
    ///
    /// `Missing` without a rotation under way.
    pub fn record_step(&mut self, step: Step) -> Result<(), VaultError> {
        let mut staged = self.load::<Staged>()?.ok_or_else(|| self.missing::<Staged>())?;
        staged.step = step.into();
        self.rewrite(&staged)
    }

    /// The service has accepted a signature by the staged key: it takes the old one's place, with
    /// its date, and all else in the registration stays. After a `Write` error both keys are still
    /// there; call again.
    ///
    /// # Errors
    ///
    /// `Missing` without a rotation under way or without a registration.
    pub fn promote_staged_key(&mut self) -> Result<Registration, VaultError> {
        self.staged_key()?;
        let staged = self.load::<Staged>()?.ok_or_else(|| self.missing::<Staged>())?;
        self.registration()?;
        let mut registration =
            self.load::<RegistrationKey>()?.ok_or_else(|| self.missing::<RegistrationKey>())?;
        registration.private_key = staged.private_key.clone();
        // Derived from the private key by whoever needs it, as for every machine outside EC2.
        registration.public_key.clear();
        registration.private_key_type.clone_from(&staged.private_key_type);
        registration.private_key_created_date.clone_from(&staged.private_key_created_date);
        self.rewrite(&registration)?;
        self.directory().remove(Staged::RECORD.name())?;
        self.registration()
    }

    /// The service has refused the new key and holds the old one.
    pub fn discard_staged_key(&mut self, now: UtcDateTime) -> Result<(), VaultError> {
        self.forget::<Staged>(now)
    }

    /// Removes a staged key that is the registration's own by now.
    pub(super) fn finish_promotion(&mut self) -> Result<(), VaultError> {
        // A record that cannot be read is reported by the getter that needs it.
        let (Ok(Some(staged)), Ok(Some(registration))) =
            (self.load::<Staged>(), self.load::<RegistrationKey>())
        else {
            return Ok(());
        };
        if staged.private_key == registration.private_key {
            self.directory().remove(Staged::RECORD.name())?;
            self.notices.push(Notice::PromotionCompleted);
        }
        Ok(())
    }
}
