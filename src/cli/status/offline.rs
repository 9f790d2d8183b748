//! What can be told of a machine where no daemon answers: the vault says who it is, and the files what an
//! earlier run has left.

use time::UtcDateTime;

use super::super::Places;
use crate::control::{Complaint, ControlError};
use crate::daemon::{Rules, targets};
use crate::host::clock::{Clock, SystemClock};
use crate::pure::advice::{Advice, Exit};
use crate::pure::source::Source;
use crate::shelf::{self, Failure, Moment, State};
use crate::targets::{Warning, published};
use crate::vault::{Registration, Vault, VaultError};

/// Who this machine is, as far as the vault tells.
#[derive(Debug)]
enum Identity {
    /// Its credentials come from elsewhere.
    NotNeeded,
    /// It was never registered, or is no more.
    None,
    Known(Box<Registration>),
    /// A record is damaged or missing. Who it is may be known all the same.
    Damaged(Option<Box<Registration>>, VaultError),
    /// The records cannot be read, and may be in order.
    Unreadable(VaultError),
}

/// What the files hold of an earlier run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    Nothing,
    /// It has ended.
    Ended,
    /// Programs can still use it.
    Usable,
}

/// The status, and what keeps it from saying more, with what to do about that.
pub(super) fn status(
    places: &Places,
    error: &ControlError,
) -> Result<(shelf::Status, Complaint), Complaint> {
    let directories = places.directories_to_ask();
    let settings = places.settings()?;
    let mut status = shelf::Status::unregistered();
    status.disabled = Rules::read(&settings, &directories.runtime).disabled;
    status.source = settings.identity.source.value;
    let identity = match status.source {
        Source::Hybrid => Identity::read(&directories.state),
        Source::InstanceMetadata | Source::Container | Source::Environment => Identity::NotNeeded,
    };
    if let Some(registration) = identity.registration() {
        status.instance_id = Some(registration.instance_id.to_string());
        status.region = Some(registration.region.to_string());
    }
    let (now, mut left) = (SystemClock.now(), Left::Nothing);
    for target in targets(&settings, &directories.runtime) {
        let said = settings.targets.iter().find(|said| said.name == target.name);
        let assumption = said.and_then(|said| said.assumption.as_ref());
        let held = published(&target);
        let found = held.as_ref().ok().and_then(Option::as_ref);
        let end = found.and_then(|found| found.expires_at);
        left = left.or(end, now);
        let warning = found.and_then(|found| Warning::of_published(&target, found));
        let mut warnings = warning.iter().map(Complaint::of).collect::<Vec<_>>();
        // That is about whoever asks, and not about the service.
        let held = match held {
            Err(error) if error.is_of_rights_to_read() => {
                let message = "this user may not see what it holds";
                warnings.push(Complaint::new(error.exit(), message, "sudo rolekeeper status"));
                Ok(None)
            }
            held => held,
        };
        status.targets.push(shelf::TargetStatus {
            name: target.name,
            path: target.path,
            profile: target.profile.to_string(),
            written_at: None,
            withdrawn: false,
            held_until: end.map(Moment),
            error: held.as_ref().err().map(ToString::to_string),
            warnings,
            remedy: held.err().map(|error| error.remedy()),
            role_arn: assumption.map(|assumption| assumption.role().to_string()),
            credentials: None,
            failure: None,
            reload: None,
        });
    }
    status.state = state(&identity, left);
    let complaint = identity.complaint(error);
    status.failure = Some(Failure {
        class: "no-daemon".to_owned(),
        message: complaint.message.clone(),
        remedy: complaint.remedy.clone(),
        attempts: 0,
        next_try_at: None,
    });
    Ok((status, complaint))
}

/// The state in one word.
fn state(identity: &Identity, left: Left) -> State {
    match (identity, left) {
        (Identity::None, _) => State::Unregistered,
        (Identity::Damaged(..), _) => State::Damaged,
        (Identity::Unreadable(_), _) => State::Unknown,
        (Identity::NotNeeded | Identity::Known(_), Left::Usable) => State::Stopped,
        (Identity::NotNeeded | Identity::Known(_), Left::Ended) => State::Expired,
        (Identity::NotNeeded, Left::Nothing) => State::Stopped,
        (Identity::Known(_), Left::Nothing) => State::Registered,
    }
}

impl Identity {
    fn read(state: &std::path::Path) -> Self {
        let vault = match Vault::read_only(state) {
            Ok(vault) => vault,
            Err(error) => return Self::without(None, error),
        };
        let registration = match vault.registration() {
            Ok(registration) => Box::new(registration),
            Err(error) => return Self::without(None, error),
        };
        // The next start needs both records.
        match vault.fingerprint_record() {
            Ok(_) => Self::Known(registration),
            Err(error @ VaultError::Missing { .. }) => Self::Damaged(Some(registration), error),
            Err(error) => Self::without(Some(registration), error),
        }
    }

    fn without(registration: Option<Box<Registration>>, error: VaultError) -> Self {
        match error {
            VaultError::Missing { .. } => Self::None,
            VaultError::Damaged { .. } => Self::Damaged(registration, error),
            _ => Self::Unreadable(error),
        }
    }

    fn registration(&self) -> Option<&Registration> {
        match self {
            Self::Known(registration) | Self::Damaged(Some(registration), _) => Some(registration),
            _ => None,
        }
    }

    /// Without a daemon, 69 comes before everything else; what is to be done first does not.
    fn complaint(&self, error: &ControlError) -> Complaint {
        let told = |more: &str, remedy: String| {
            Complaint::new(Exit::Unavailable, format!("{error}; {more}"), remedy)
        };
        match self {
            Self::NotNeeded | Self::Known(_) => Complaint::of(error),
            Self::None => {
                let remedy = "rolekeeper register --region REGION --activation-id ID \
                              --activation-code-file FILE; then systemctl start rolekeeper";
                told("this machine is not registered", remedy.to_owned())
            }
            Self::Damaged(_, vault) => told(&vault.to_string(), vault.remedy()),
            Self::Unreadable(vault) => told(&vault.to_string(), vault.remedy()),
        }
    }
}

impl Left {
    /// The best of both.
    fn or(self, end: Option<UtcDateTime>, now: UtcDateTime) -> Self {
        match (self, end) {
            (Self::Usable, _) => Self::Usable,
            (_, Some(end)) if end > now => Self::Usable,
            (_, Some(_)) => Self::Ended,
            (before, None) => before,
        }
    }
}
