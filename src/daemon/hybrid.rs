//! A machine outside AWS: a registration in the vault, hardware that it stands for, a key that proves
//! it. The one of the four providers that owns a vault from the start.

use std::sync::Arc;
use std::time::Duration;

use super::health::{self, Reports};
use super::provider::Reach;
use super::report::LastFailure;
use super::rotation::{self, RotationOutcome};
use super::{Daemon, DaemonError, Seams, connection, log, recordable, registered_region};
use crate::config::Settings;
use crate::control::Complaint;
use crate::host::clock::ServiceClock;
use crate::pure::advice::Exit;
use crate::pure::fingerprint::{Similarity, SimilarityThreshold, Verdict, compare};
use crate::pure::identity::Fingerprint;
use crate::pure::refresher::{AskAs, Event};
use crate::pure::role_token::RoleToken;
use crate::shelf::HealthPlace;
use crate::ssm::{InstanceKey, Ssm};
use crate::vault::{FingerprintRecord, Registration, Vault, VaultError};

/// A machine that has been up for less is still booting: disks and networks may be missing.
pub(super) const BOOT: Duration = Duration::from_secs(5 * 60);

/// The only writer of the vault.
#[derive(Debug)]
pub(super) struct Hybrid {
    vault: Vault,
    ssm: Ssm,
    /// What the client was made by.
    reach: Reach,
    reports: Reports,
    seams: Seams,
    registration: Registration,
    record: FingerprintRecord,
    similarity: Option<Similarity>,
    rotation: rotation::Pace,
    /// The fresh fingerprint on other hardware, once there is one.
    substitute: Option<Fingerprint>,
}

impl Hybrid {
    /// Nothing is asked yet.
    ///
    /// # Errors
    ///
    /// Records that cannot be used, or settings by which nothing can be reached.
    pub(super) fn new(
        daemon: &Daemon,
        vault: Vault,
        clock: &ServiceClock,
        health: HealthPlace,
    ) -> Result<Self, DaemonError> {
        for notice in vault.notices() {
            log(notice);
        }
        let registration = vault.registration()?;
        let region = registered_region(&daemon.settings, &registration, &vault)?;
        let reach = Reach::in_any_case(connection(&daemon.settings, region));
        let ssm = Ssm::new(&reach.connection, clock.clone())?;
        tracing::info!(
            instance_id = %registration.instance_id,
            region = %ssm.region(),
            endpoint = ssm.endpoint(),
            "registered",
        );
        let mut hybrid = Self {
            record: vault.fingerprint_record()?,
            reports: Reports::new(health, Arc::clone(&daemon.seams.entropy)),
            vault,
            ssm,
            reach,
            seams: daemon.seams.clone(),
            registration,
            similarity: None,
            rotation: rotation::Pace::default(),
            substitute: None,
        };
        hybrid.follow_health(&daemon.settings, true);
        Ok(hybrid)
    }

    /// Takes new settings over: how the service is reached, and what it is told.
    ///
    /// # Errors
    ///
    /// When nothing can be reached by them: the client then stays as it was.
    pub(super) fn take_settings(&mut self, settings: &Settings) -> Result<(), DaemonError> {
        let region = registered_region(settings, &self.registration, &self.vault)?;
        let reach = Reach::of(connection(settings, region));
        let is_new = reach != self.reach;
        if is_new {
            self.ssm = Ssm::new(&reach.connection, self.ssm.clock().clone())?;
            self.reach = reach;
        }
        self.follow_health(settings, is_new);
        Ok(())
    }

    pub(super) fn is_out_of_reach(&self) -> bool {
        self.reach.is_out_of_reach()
    }

    fn follow_health(&mut self, settings: &Settings, is_new: bool) {
        let instance_id = self.registration.instance_id.to_string();
        let machine = || health::Machine { instance_id, availability_zone: String::new() };
        self.reports.follow(settings, &self.ssm, is_new, machine);
    }

    pub(super) fn ssm(&self) -> &Ssm {
        &self.ssm
    }

    pub(super) fn registration(&self) -> &Registration {
        &self.registration
    }

    /// How the last look at the machine ended.
    pub(super) fn similarity(&self) -> Option<&Similarity> {
        self.similarity.as_ref()
    }

    pub(super) fn probe(&mut self) -> Event {
        let settled = self.seams.clock.since_boot() > BOOT;
        let observation = self.seams.probe.observe();
        for (attribute, reason) in observation.unreadable() {
            tracing::debug!(%attribute, reason, "not readable");
        }
        let similarity = compare(&self.record.hardware_hash, &observation, self.record.threshold);
        let verdict = similarity.verdict;
        let before = self.similarity.replace(similarity).map(|similarity| similarity.verdict);
        if let Some(similarity) = &self.similarity
            && before != Some(verdict)
        {
            match verdict {
                Verdict::Different => tracing::error!("hardware {similarity}"),
                Verdict::Similar | Verdict::Disabled => tracing::info!("hardware {similarity}"),
            }
        }
        Event::Hardware { verdict, settled }
    }

    pub(super) async fn request_token(&mut self, ask_as: AskAs) -> Result<RoleToken, LastFailure> {
        match ask_as {
            AskAs::Registered => self.request_registered().await,
            AskAs::Stranger => self.request_as_stranger().await,
        }
    }

    /// A rotation that was interrupted comes first: its proof is a token, and until it is settled
    /// nobody knows which key the service holds.
    async fn request_registered(&mut self) -> Result<RoleToken, LastFailure> {
        if self.vault_trouble().is_some() {
            return self.request_without_writing().await;
        }
        let resume = self.rotation.may_resume(self.since_boot());
        if let Some(settled) = resume
            && let Some(token) = self.resume_rotation(settled).await?
        {
            return Ok(token);
        }
        let fingerprint = self.record.fingerprint;
        match self.ssm.request_role_token(&self.instance_key(), fingerprint).await {
            // The new key arrived while the rotation was waiting.
            Err(error) if resume.is_none() && rotation::refuses_signature(&error) => {
                self.resume_rotation(false).await?.ok_or_else(|| error.into())
            }
            answer => Ok(answer?),
        }
    }

    /// While nothing can be written down, the service is told of no key. It may hold either.
    async fn request_without_writing(&self) -> Result<RoleToken, LastFailure> {
        let fingerprint = self.record.fingerprint;
        let key = self.instance_key();
        match self.ssm.request_role_token(&key, fingerprint).await {
            Err(error) if rotation::refuses_signature(&error) => {
                let Some(staged) = self.vault.staged_key()? else { return Err(error.into()) };
                let key = InstanceKey { signing_key: Arc::new(staged.signing_key), ..key };
                Ok(self.ssm.request_role_token(&key, fingerprint).await?)
            }
            answer => Ok(answer?),
        }
    }

    /// Why nothing can be written down now.
    fn vault_trouble(&self) -> Option<VaultError> {
        self.vault.check().err()
    }

    /// Opens the vault again once it can be written, or is back in its place; what is wrong with it, if
    /// anything is.
    pub(super) fn look_at_vault(&mut self) -> Option<VaultError> {
        match self.vault.check() {
            // The next start needs both records.
            Ok(()) if self.vault.is_whole() => self.vault.fingerprint_record().err(),
            Err(error) if error.is_unwritable() => Some(error),
            _ => match self.vault.reopen(&self.registration.instance_id) {
                Ok(()) => self.take_over_records().err(),
                Err(error) => Some(error),
            },
        }
    }

    /// What a crash or another process has left may have been finished.
    fn take_over_records(&mut self) -> Result<(), VaultError> {
        self.vault.notices().iter().for_each(log);
        self.registration = self.vault.registration()?;
        self.reload_record()
    }

    /// Goes on with a rotation that is under way, if there is one; its token, where it has one.
    async fn resume_rotation(&mut self, settled: bool) -> Result<Option<RoleToken>, VaultError> {
        let Some(staged) = self.vault.staged_key()? else { return Ok(None) };
        let fingerprint = self.record.fingerprint;
        let outcome =
            rotation::resume(&mut self.vault, &self.ssm, fingerprint, staged, settled).await?;
        Ok(self.rotated(outcome))
    }

    /// With a fingerprint that the service has never seen, kept beside the registered one.
    async fn request_as_stranger(&mut self) -> Result<RoleToken, LastFailure> {
        let fingerprint = match self.vault.substitute_fingerprint()? {
            Some(substitute) => substitute.fingerprint,
            None => self.make_substitute()?,
        };
        Ok(self.ssm.request_role_token(&self.instance_key(), fingerprint).await?)
    }

    /// One that cannot be kept is good for this run: the service refuses it either way.
    fn make_substitute(&mut self) -> Result<Fingerprint, VaultError> {
        let entropy = &self.seams.entropy;
        let fingerprint = *self.substitute.get_or_insert_with(|| {
            let mut bytes = [0; 16];
            entropy.fill(&mut bytes);
            Fingerprint::from_random_bytes(bytes)
        });
        if self.vault.check().is_ok() {
            let substitute = FingerprintRecord {
                fingerprint,
                hardware_hash: self.seams.probe.observe().hash(),
                threshold: self.record.threshold,
            };
            self.vault.store_substitute_fingerprint(&substitute, self.ssm.clock().now())?;
        }
        Ok(fingerprint)
    }

    /// Heeds the service's wish for a new key; the proof's token, where there is one.
    pub(super) async fn heed_rotation(&mut self) -> Option<RoleToken> {
        if !self.rotation.may_begin(self.since_boot()) {
            return None;
        }
        if let Some(error) = self.vault_trouble() {
            tracing::warn!("the service wants a new key, which waits: {error}");
            return None;
        }
        self.rotate().await.unwrap_or_else(|complaint| {
            tracing::warn!("{}; try: {}", complaint.message, complaint.remedy);
            None
        })
    }

    pub(super) async fn rotate(&mut self) -> Result<Option<RoleToken>, Complaint> {
        if let Some(error) = self.vault_trouble() {
            return Err(Complaint::of(&error));
        }
        let fingerprint = self.record.fingerprint;
        let outcome = rotation::rotate(&mut self.vault, &self.ssm, fingerprint)
            .await
            .map_err(|error| Complaint::of(&error))?;
        let waits = match &outcome {
            RotationOutcome::Waits { because, .. } => Some(because.to_string()),
            RotationOutcome::Promoted { .. } | RotationOutcome::Abandoned { .. } => None,
        };
        let promoted = matches!(outcome, RotationOutcome::Promoted { .. });
        let token = self.rotated(outcome);
        match waits {
            _ if promoted => Ok(token),
            None => Err(Complaint::new(
                Exit::Refused,
                "the service refused the new key and keeps the old one",
                "rolekeeper rotate-key once more",
            )),
            Some(because) => Err(Complaint::new(
                Exit::TryAgain,
                format!("the key rotation is not over: {because}"),
                "again later: it goes on by itself, and both keys are kept",
            )),
        }
    }

    /// Takes over what a rotation led to; its token, where there is one.
    fn rotated(&mut self, outcome: RotationOutcome) -> Option<RoleToken> {
        self.rotation.note(&outcome, self.since_boot());
        match outcome {
            RotationOutcome::Promoted { registration, token } => {
                tracing::info!("the RSA key was replaced");
                self.registration = *registration;
                token
            }
            RotationOutcome::Abandoned { token } => {
                tracing::warn!("the service refused the new RSA key; the old one stays");
                token
            }
            RotationOutcome::Waits { because, token } => {
                tracing::warn!(%because, "the key rotation waits");
                token
            }
        }
    }

    /// This machine's hardware becomes the registered one.
    pub(super) fn accept_hardware(&mut self) -> Result<(), Complaint> {
        let failed = |error: VaultError| Complaint::of(&error);
        let hardware = recordable(&self.seams.probe.observe()).map_err(|it| Complaint::of(&it))?;
        self.vault.accept_hardware(&hardware, self.ssm.clock().now()).map_err(failed)?;
        self.reload_record().map_err(failed)
    }

    pub(super) fn set_threshold(
        &mut self,
        threshold: SimilarityThreshold,
    ) -> Result<(), VaultError> {
        self.vault.set_threshold(threshold)?;
        self.reload_record()
    }

    fn reload_record(&mut self) -> Result<(), VaultError> {
        self.record = self.vault.fingerprint_record()?;
        Ok(())
    }

    fn instance_key(&self) -> InstanceKey {
        rotation::instance_key(&self.registration)
    }

    fn since_boot(&self) -> Duration {
        self.seams.clock.since_boot()
    }
}
