//! What the driver knows, as `status` shows it.

use std::path::Path;
use std::sync::Arc;

use time::UtcDateTime;

use super::provider::Whose;
use super::warnings::Warnings;
use crate::control::Complaint;
use crate::host::file_watch::Stamp;
use crate::pure::advice::{Advice, Exit};
use crate::pure::disabled::Disabled;
use crate::pure::failure::FailureClass;
use crate::pure::fingerprint::{Attribute, Similarity};
use crate::pure::refresher::{Condition, Refresher};
use crate::pure::role_token::RoleToken;
use crate::pure::service_time::TimeEstimate;
use crate::shelf::{
    Credentials, Failure, FingerprintStatus, Moment, SettingsTrouble, State, Status, TargetStatus,
};
use crate::sources::SourceError;
use crate::ssm::SsmError;
use crate::sts::StsError;
use crate::targets::{Delivered, Delivery, Target, TargetError, Warning};
use crate::vault::VaultError;

/// Everything that goes into a status.
pub(super) struct Report<'a> {
    /// There was an outcome, good or bad.
    pub is_settled: bool,
    pub time: TimeEstimate,
    pub whose: Whose,
    pub refresher: &'a Refresher,
    pub similarity: Option<&'a Similarity>,
    pub targets: &'a [Target],
    pub outcomes: &'a [TargetOutcome],
    pub failure: Option<&'a LastFailure>,
    pub disabled: &'a [Disabled],
    pub settings: Option<&'a Complaint>,
    pub warnings: &'a Warnings,
}

/// Why there is no new token.
#[derive(Debug, Clone)]
pub(super) struct LastFailure {
    pub class: FailureClass,
    pub complaint: Complaint,
}

/// What became of the last delivery to one target.
#[derive(Debug, Default)]
pub(super) struct TargetOutcome {
    written_at: Option<Moment>,
    /// Our keys were taken out last, and nothing was put in their place.
    is_withdrawn: bool,
    /// When what an earlier run left in the file ends.
    held_until: Option<Moment>,
    complaint: Option<Complaint>,
    warnings: Vec<Warning>,
    /// What the last delivery left behind, once there was one.
    left: Option<Left>,
}

/// The directory, and the file in it; there may be neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Left {
    directory: bool,
    file: Option<Stamp>,
}

impl LastFailure {
    /// The service's token had ended before it arrived.
    pub(super) fn dead_on_arrival(token: &RoleToken) -> Self {
        let message = format!(
            "the service's token ends at {}, before it could be used",
            Moment(token.expires_at)
        );
        let class = FailureClass::BadAnswer;
        let remedy = "check this machine's clock, and the service's";
        Self { class, complaint: Complaint::new(Exit::Unavailable, message, remedy) }
    }

    /// There is nothing to assume a role from.
    pub(super) fn no_base() -> Self {
        let message = "there are no credentials of the registered role to assume the role from";
        let remedy = "mend what `rolekeeper status` says of the registered role";
        let class = FailureClass::Local;
        Self { class, complaint: Complaint::new(Exit::TryAgain, message, remedy) }
    }

    /// As `status` shows it.
    pub(super) fn shown(&self, attempts: u32, next_try_at: Option<Moment>) -> Failure {
        Failure {
            class: self.class.name().to_owned(),
            message: self.complaint.message.clone(),
            remedy: self.complaint.remedy.clone(),
            attempts,
            next_try_at,
        }
    }

    /// The service refused a stranger, as it was meant to. Why this machine is one is known here alone.
    pub(super) fn of_a_stranger(self, similarity: Option<&Similarity>) -> Self {
        let Some(similarity) = similarity.filter(|_| self.class == FailureClass::Denied) else {
            return self;
        };
        let remedy = similarity.first_remedy().to_owned();
        Self { complaint: Complaint { remedy, ..self.complaint }, ..self }
    }

    /// The service gave this machine's role to a fingerprint that it cannot know.
    pub(super) fn given_to_a_stranger() -> Self {
        let message = "this is not the machine that registered; the service's token is not used";
        let remedy = "rolekeeper fingerprint diff";
        let class = FailureClass::Denied;
        Self { class, complaint: Complaint::new(Exit::Refused, message, remedy) }
    }
}

impl From<SsmError> for LastFailure {
    fn from(error: SsmError) -> Self {
        Self { class: error.class, complaint: Complaint::of(&error) }
    }
}

impl From<SourceError> for LastFailure {
    fn from(error: SourceError) -> Self {
        Self { class: error.class(), complaint: Complaint::of(&error) }
    }
}

impl From<StsError> for LastFailure {
    fn from(error: StsError) -> Self {
        Self { class: error.class, complaint: Complaint::of(&error) }
    }
}

impl From<VaultError> for LastFailure {
    fn from(error: VaultError) -> Self {
        Self { class: FailureClass::Local, complaint: Complaint::of(&error) }
    }
}

impl TargetOutcome {
    /// Nothing has been delivered yet; what an earlier run left ends at `end`.
    pub(super) fn left(end: Option<UtcDateTime>) -> Self {
        Self { held_until: end.map(Moment), ..Self::default() }
    }

    /// Keeps what happened, and logs what changed.
    pub(super) fn note(
        &mut self,
        target: &Target,
        outcome: Result<Delivered, TargetError>,
        now: UtcDateTime,
    ) {
        if let Ok(delivered) = &outcome {
            self.warn(target, delivered);
        }
        let outcome = outcome.map(|delivered| delivered.delivery);
        if let Ok(Delivery::Written | Delivery::Corrected { .. }) = outcome {
            self.written_at = Some(Moment(now));
        }
        // What was there before is an earlier run's still.
        if outcome.as_ref().is_ok_and(|delivery| *delivery != Delivery::Unchanged) {
            self.held_until = None;
        }
        self.is_withdrawn &= outcome.is_err();
        if let Ok(Delivery::Corrected { found, now }) = outcome {
            let path = target.path.display();
            tracing::warn!(
                target_name = target.name,
                "{path} had {found} and now has {now}; \
                 whoever could read it may have the credentials that it held"
            );
        }
        self.left = Some(Left::of(target));
        let complaint = outcome.as_ref().err().map(Complaint::of);
        match &complaint {
            Some(complaint) if self.complaint.as_ref() != Some(complaint) => {
                tracing::error!(
                    target_name = target.name,
                    "{}; try: {}",
                    complaint.message,
                    complaint.remedy
                );
            }
            // Nothing to say, or said before.
            _ => {}
        }
        self.complaint = complaint;
    }

    /// The same of a file that holds what it held, and may have got another owner, group or mode.
    pub(super) fn note_access(
        &mut self,
        target: &Target,
        outcome: Result<Delivered, TargetError>,
        now: UtcDateTime,
    ) {
        let held_until = self.held_until;
        self.note(target, outcome, now);
        self.held_until = held_until;
    }

    /// What was noted last was a withdrawal.
    pub(super) fn was_a_withdrawal(&mut self) {
        self.is_withdrawn = self.complaint.is_none();
        if self.is_withdrawn {
            self.held_until = None;
        }
    }

    /// Keeps the warnings, and logs what is new. What a file lost when it was replaced stays told until
    /// it is replaced again.
    fn warn(&mut self, target: &Target, Delivered { delivery, warnings }: &Delivered) {
        let mut warnings = warnings.clone();
        for warning in warnings.iter().filter(|warning| !self.warnings.contains(warning)) {
            tracing::warn!(target_name = target.name, "{warning}; try: {}", warning.remedy());
        }
        let lost = |warning: &Warning| matches!(warning, Warning::Lost { .. });
        if *delivery == Delivery::Unchanged {
            warnings.extend(self.warnings.drain(..).filter(lost));
        }
        self.warnings = warnings;
    }

    pub(super) fn complaint(&self) -> Option<&Complaint> {
        self.complaint.as_ref()
    }

    /// Whether somebody else has changed or removed the file since; said once for each change.
    pub(super) fn notice_change(&mut self, target: &Target) -> bool {
        let now = Left::of(target);
        let changed = self.left.is_some_and(|left| left != now);
        if changed {
            self.left = Some(now);
            let (path, name) = (target.path.display(), &target.name);
            let what = if now.file.is_some() { "changed" } else { "removed" };
            tracing::warn!(target_name = name, "{path} was {what} by somebody else");
        }
        changed
    }
}

impl Left {
    fn of(target: &Target) -> Self {
        let directory = target.path.parent().is_some_and(Path::is_dir);
        Self { directory, file: Stamp::of(&target.path) }
    }
}

impl Report<'_> {
    pub(super) fn status(&self) -> Status {
        let next_refresh_at = Moment(self.refresher.next_request());
        let credentials = self.token().map(|token| credentials(token, next_refresh_at));
        let failure =
            |failure: &LastFailure| failure.shown(self.refresher.failures(), Some(next_refresh_at));
        let target = |(target, outcome)| TargetStatus {
            credentials: credentials.clone(),
            ..target_status(target, outcome)
        };
        Status {
            state: self.state(),
            instance_id: self.whose.instance_id.clone(),
            region: self.whose.region.as_ref().map(ToString::to_string),
            source: self.whose.source,
            role: self.whose.role.clone(),
            fingerprint: self.similarity.map(fingerprint),
            targets: self.targets.iter().zip(self.outcomes).map(target).collect(),
            failure: self.failure.map(failure),
            warnings: self.warnings.shown(),
            credentials,
            disabled: self.disabled.to_vec(),
            settings: self.settings.map(settings),
            ..Status::unregistered()
        }
    }

    /// What outlets may hand out now.
    pub(super) fn token(&self) -> Option<&Arc<RoleToken>> {
        self.refresher.token().filter(|token| token.is_usable(self.time.latest))
    }

    fn state(&self) -> State {
        match self.refresher.condition(self.time) {
            Condition::Fresh => State::Fresh,
            Condition::Stale => State::Stale,
            Condition::Expired if !self.is_settled => State::Starting,
            Condition::Expired => State::Expired,
            Condition::Hibernating => State::Hibernating,
            Condition::Mismatch => State::Mismatch,
        }
    }
}

/// A target and what became of its last delivery; nothing about credentials.
pub(super) fn target_status(target: &Target, outcome: &TargetOutcome) -> TargetStatus {
    TargetStatus {
        name: target.name.clone(),
        path: target.path.clone(),
        profile: target.profile.to_string(),
        written_at: outcome.written_at,
        withdrawn: outcome.is_withdrawn,
        held_until: outcome.held_until,
        error: outcome.complaint.as_ref().map(|complaint| complaint.message.clone()),
        remedy: outcome.complaint.as_ref().map(|complaint| complaint.remedy.clone()),
        warnings: outcome.warnings.iter().map(Complaint::of).collect(),
        role_arn: None,
        credentials: None,
        failure: None,
        reload: None,
    }
}

/// What may be seen of a token.
pub(super) fn credentials(token: &RoleToken, next_refresh_at: Moment) -> Credentials {
    Credentials {
        access_key_id_suffix: token.access_key_id.suffix().to_owned(),
        issued_at: Moment(token.issued_at),
        expires_at: Moment(token.expires_at),
        next_refresh_at,
    }
}

/// Settings that cannot be used.
pub(super) fn settings(trouble: &Complaint) -> SettingsTrouble {
    SettingsTrouble { error: trouble.message.clone(), remedy: trouble.remedy.clone() }
}

/// The state in one line, for the service manager, and what the settings lack.
pub(super) fn line(status: &Status) -> String {
    state_line(status) + &remarks(status)
}

/// What the settings lack, behind whatever else is said.
pub(super) fn remarks(status: &Status) -> String {
    let settings = status.settings.as_ref();
    let settings = settings.map(|it| format!("; settings not in force: {}", it.error));
    let disabled = match status.disabled.len() {
        0 => String::new(),
        1 => "; 1 target or consumer is disabled".to_owned(),
        count => format!("; {count} targets and consumers are disabled"),
    };
    settings.unwrap_or_default() + &disabled
}

fn state_line(status: &Status) -> String {
    let id = status.instance_id.as_deref().unwrap_or_else(|| status.source.name());
    let state = status.state.name();
    let line = match (&status.credentials, &status.failure) {
        (Some(credentials), None) => format!(
            "{state}: {id}, credentials until {}, next refresh {}",
            credentials.expires_at, credentials.next_refresh_at
        ),
        (_, Some(Failure { message, next_try_at: Some(at), .. })) => {
            format!("{state}: {id}, {message}; next try {at}")
        }
        _ => format!("{state}: {id}"),
    };
    match status.warnings.first() {
        Some(warning) => format!("{line}; {}: {}", warning.subject, warning.message),
        None => line,
    }
}

fn fingerprint(similarity: &Similarity) -> FingerprintStatus {
    let names = |attributes: Vec<Attribute>| {
        attributes.into_iter().map(|attribute| attribute.name().to_owned()).collect()
    };
    FingerprintStatus {
        verdict: similarity.verdict.name().to_owned(),
        score: similarity.score,
        threshold: similarity.threshold.as_i64(),
        changed: names(similarity.changed()),
        unreadable: names(similarity.unreadable()),
    }
}
