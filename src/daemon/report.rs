//! What the driver knows, as `status` shows it.

use time::UtcDateTime;

use crate::control::Complaint;
use crate::pure::advice::Exit;
use crate::pure::failure::FailureClass;
use crate::pure::fingerprint::Similarity;
use crate::pure::identity::Region;
use crate::pure::refresher::{Condition, Refresher};
use crate::pure::role_token::RoleToken;
use crate::shelf::{
    Credentials, Failure, FingerprintStatus, Moment, Snapshot, State, Status, TargetStatus,
};
use crate::ssm::SsmError;
use crate::targets::{Delivery, Target, TargetError};
use crate::vault::{Registration, VaultError};

/// Everything that goes into a snapshot.
pub(super) struct Report<'a> {
    pub now: UtcDateTime,
    pub region: &'a Region,
    pub registration: &'a Registration,
    pub refresher: &'a Refresher,
    pub similarity: Option<&'a Similarity>,
    pub targets: &'a [Target],
    pub outcomes: &'a [TargetOutcome],
    pub failure: Option<&'a LastFailure>,
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
    complaint: Option<Complaint>,
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

impl From<VaultError> for LastFailure {
    fn from(error: VaultError) -> Self {
        Self { class: FailureClass::Local, complaint: Complaint::of(&error) }
    }
}

impl TargetOutcome {
    /// Keeps what happened, and logs what changed.
    pub(super) fn note(
        &mut self,
        target: &Target,
        outcome: Result<Delivery, TargetError>,
        now: UtcDateTime,
    ) {
        if let Ok(Delivery::Written | Delivery::Corrected { .. }) = outcome {
            self.written_at = Some(Moment(now));
        }
        if let Ok(Delivery::Corrected { found, now }) = outcome {
            let path = target.path.display();
            tracing::warn!(
                target_name = target.name,
                "{path} had {found} and now has {now}; \
                 whoever could read it may have the credentials that it held"
            );
        }
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

    pub(super) fn complaint(&self) -> Option<&Complaint> {
        self.complaint.as_ref()
    }
}

impl Report<'_> {
    pub(super) fn snapshot(&self) -> Snapshot {
        let token = self.refresher.token().filter(|token| token.is_usable(self.now));
        let next_refresh_at = Moment(self.refresher.next_request());
        let status = Status {
            state: self.state(),
            instance_id: Some(self.registration.instance_id.to_string()),
            region: Some(self.region.to_string()),
            credentials: token.map(|token| Credentials {
                access_key_id_suffix: token.access_key_id.suffix().to_owned(),
                issued_at: Moment(token.issued_at),
                expires_at: Moment(token.expires_at),
                next_refresh_at,
            }),
            fingerprint: self.similarity.map(fingerprint),
            targets: self.targets(),
            failure: self.failure.map(|LastFailure { class, complaint }| Failure {
                class: class.name().to_owned(),
                message: complaint.message.clone(),
                remedy: complaint.remedy.clone(),
                attempts: self.refresher.failures(),
                next_try_at: Some(next_refresh_at),
            }),
            ..Status::unregistered()
        };
        Snapshot { status, token: token.cloned() }
    }

    fn state(&self) -> State {
        match self.refresher.condition(self.now) {
            Condition::Fresh => State::Fresh,
            Condition::Stale => State::Stale,
            Condition::Expired => State::Expired,
            Condition::Hibernating => State::Hibernating,
            Condition::Mismatch => State::Mismatch,
        }
    }

    fn targets(&self) -> Vec<TargetStatus> {
        let status = |(target, outcome): (&Target, &TargetOutcome)| TargetStatus {
            name: target.name.clone(),
            path: target.path.clone(),
            profile: target.profile.to_string(),
            written_at: outcome.written_at,
            error: outcome.complaint.as_ref().map(|complaint| complaint.message.clone()),
            remedy: outcome.complaint.as_ref().map(|complaint| complaint.remedy.clone()),
        };
        self.targets.iter().zip(self.outcomes).map(status).collect()
    }
}

/// The state in one line, for the service manager.
pub(super) fn line(status: &Status) -> String {
    let id = status.instance_id.as_deref().unwrap_or_default();
    let state = status.state.name();
    match (&status.credentials, &status.failure) {
        (Some(credentials), None) => format!(
            "{state}: {id}, credentials until {}, next refresh {}",
            credentials.expires_at, credentials.next_refresh_at
        ),
        (_, Some(Failure { message, next_try_at: Some(at), .. })) => {
            format!("{state}: {id}, {message}; next try {at}")
        }
        _ => format!("{state}: {id}"),
    }
}

fn fingerprint(similarity: &Similarity) -> FingerprintStatus {
    let changed = similarity.changed().into_iter().chain(similarity.unreadable());
    FingerprintStatus {
        verdict: similarity.verdict.name().to_owned(),
        score: similarity.score,
        threshold: similarity.threshold.as_i64(),
        changed: changed.map(|attribute| attribute.name().to_owned()).collect(),
    }
}
