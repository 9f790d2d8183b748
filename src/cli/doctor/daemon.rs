//! The daemon: whether it answers, what it holds, what it wrote, where it listens, what it may do.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use nix::unistd::{Gid, Uid};

use super::Patient;
use crate::config::{ConsumerSettings, Settings};
use crate::control::{self, Command, Complaint, ControlError, Reply};
use crate::daemon::{registered_region, targets};
use crate::host::clock::{Clock, SystemClock, timeout};
use crate::host::tcp_peer;
use crate::pure::advice::Exit;
use crate::pure::diagnosis::credentials::{Held, Registered};
use crate::pure::diagnosis::endpoint::Listener;
use crate::pure::diagnosis::health::Heard;
use crate::pure::diagnosis::privileges::{Given, Needs};
use crate::pure::diagnosis::target::{File, Told};
use crate::pure::diagnosis::{self, AFTER_THAT, AS_ROOT, Check, Finding};
use crate::pure::refresher::Condition;
use crate::shelf::{Failure, RECORD, State, Status, TargetStatus};
use crate::targets::{Target, Trouble, Warning, published};
use crate::vault::{Vault, VaultError};

/// A daemon answers from memory.
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks the daemon for its status.
pub(super) async fn status(runtime: &Path) -> Result<Status, Complaint> {
    match timeout(PATIENCE, control::ask(runtime, &Command::Status)).await {
        Ok(Ok(Reply::Status(status))) => Ok(*status),
        Ok(Ok(_)) => Err(Complaint::new(
            Exit::Bug,
            "the daemon gives an answer to another question",
            "report this",
        )),
        Ok(Err(error @ ControlError::Forbidden { .. })) => {
            Err(Complaint { exit: Exit::Refused as u8, ..Complaint::of(&error) })
        }
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(Complaint::new(
            Exit::TryAgain,
            format!("the daemon at {} is there and does not answer", runtime.display()),
            "journalctl -u rolekeeper; then systemctl restart rolekeeper",
        )),
    }
}

/// Whether one answers, whether it is this program, and what it has to say.
pub(super) fn answers(patient: &Patient) -> Vec<Check> {
    let own = env!("CARGO_PKG_VERSION");
    let finding = match &patient.status {
        Ok(status) if status.version == own => Finding::ok(format!("answers, version {own}")),
        Ok(status) => Finding::warning(
            format!("runs version {}, and this is {own}", status.version),
            "systemctl restart rolekeeper",
        ),
        Err(complaint) if complaint.exit == Exit::Refused as u8 => {
            let reason = format!("needs root or the service's group: {}", complaint.message);
            Finding::skipped(reason, AS_ROOT)
        }
        Err(complaint) => complaint.clone().into(),
    };
    let warnings = patient.status.iter().flat_map(|status| &status.warnings);
    let warnings = warnings.map(|warning| {
        let is_wrong = warning.is_of_token_file() || warning.subject == RECORD;
        let say = if is_wrong { Finding::wrong } else { Finding::warning };
        let finding = say(&warning.message, &warning.remedy);
        Check::of("daemon", &warning.subject, finding)
    });
    [Check::new("daemon", finding)].into_iter().chain(warnings).collect()
}

/// Who this machine is, by the vault, or else by the daemon's word.
pub(super) fn registration(patient: &Patient) -> Vec<Check> {
    if let Some(checks) = patient.without_registration("registration") {
        return checks;
    }
    let told = patient.status.as_ref().ok().and_then(|status| status.instance_id.clone());
    let vault = Vault::read_only(&patient.directories.state);
    let pending = vault.as_ref().ok().and_then(|vault| vault.pending_registration().ok().flatten());
    if let (Ok(vault), Ok(settings)) = (&vault, &patient.settings)
        && let Ok(registration) = vault.registration()
        && let Err(other) = registered_region(settings, &registration, vault)
    {
        return vec![Check::new("registration", Complaint::of(&other).into())];
    }
    let instance = match vault.and_then(|vault| vault.registration()) {
        Ok(registration) => Ok(Some(registration.instance_id.to_string())),
        Err(VaultError::Missing { .. }) => Ok(None),
        // The vault's own line says what is wrong with it.
        Err(error) => told.map(Some).ok_or_else(|| error.to_string()),
    };
    let finding = match instance {
        Ok(instance) => diagnosis::credentials::registration(&Registered {
            instance,
            pending: pending.map(|_| journal(patient)),
        }),
        Err(reason) => {
            Finding::skipped(format!("needs the vault or the daemon: {reason}"), AS_ROOT)
        }
    };
    vec![Check::new("registration", finding)]
}

fn journal(patient: &Patient) -> String {
    let path = Vault::directory_in(&patient.directories.state).join("PendingRegistration");
    path.display().to_string()
}

/// The registered role's credentials.
pub(super) fn credentials(patient: &Patient) -> Vec<Check> {
    let finding = match &patient.status {
        Err(complaint) if complaint.exit == Exit::Refused as u8 => {
            Finding::skipped("needs the daemon's word", AS_ROOT)
        }
        Err(_) => Finding::skipped("needs a daemon that answers", AFTER_THAT),
        Ok(status) => diagnosis::credentials::judge(&Held {
            condition: condition(status.state),
            until: status.credentials.as_ref().map(|held| held.expires_at.to_string()),
            next_try: status.failure.as_ref().and_then(|it| Some(it.next_try_at?.to_string())),
            failure: status.failure.as_ref().map(complaint),
        }),
    };
    vec![Check::new("credentials", finding)]
}

/// What Systems Manager hears of this machine's health.
pub(super) fn health(patient: &Patient) -> Vec<Check> {
    let finding = match &patient.status {
        Err(complaint) if complaint.exit == Exit::Refused as u8 => {
            Finding::skipped("needs the daemon's word", AS_ROOT)
        }
        Err(_) => Finding::skipped("needs a daemon that answers", AFTER_THAT),
        Ok(status) => match &status.health {
            None => Finding::inapplicable("none is reported by these settings or this source"),
            Some(health) => diagnosis::health::judge(&Heard {
                last: health.reported_at.map(|at| at.to_string()),
                failure: health.failure.as_ref().map(complaint),
                next: health.next_report_at.map(|at| at.to_string()),
            }),
        },
    };
    vec![Check::new("health", finding)]
}

/// Each target's file.
pub(super) fn files(patient: &Patient) -> Vec<Check> {
    const NAME: &str = "target";
    let Ok(settings) = &patient.settings else { return Patient::without_settings(NAME) };
    // Of those that are not written the settings' own line tells.
    let targets = targets(settings, &patient.directories.runtime);
    if patient.is_unregistered() {
        return vec![Check::new(NAME, Finding::inapplicable("this machine is not registered"))];
    }
    let now = SystemClock.now();
    let check = |target: &Target| {
        let status = patient.status.as_ref().ok();
        let status = status.map(|status| status.targets.iter().find(|it| it.name == target.name));
        let target = diagnosis::target::Target {
            path: target.path.display().to_string(),
            profile: target.profile.to_string(),
            told: status.map(|status| status.map(told).unwrap_or_default()),
            file: file(target),
        };
        diagnosis::target::judge(&target, now)
    };
    let checks = targets.iter().map(|it| Check::of(NAME, it.name.clone(), check(it)));
    checks.chain(consumers(patient)).chain(services(patient)).collect()
}

/// The consumers with roles of their own.
fn consumers(patient: &Patient) -> impl Iterator<Item = Check> {
    let consumers = patient.status.iter().flat_map(|status| &status.consumers);
    consumers.filter(|consumer| consumer.role_arn.is_some()).map(|consumer| {
        let failure = consumer.failure.as_ref().map(complaint);
        let held = consumer.credentials.is_some();
        let finding = diagnosis::target::consumer(failure.as_ref(), held);
        Check::of("consumer", consumer.name.clone(), finding)
    })
}

/// The services that are told of new credentials, each once, whatever number of targets it reads.
fn services(patient: &Patient) -> impl Iterator<Item = Check> {
    let targets = patient.status.iter().flat_map(|status| &status.targets);
    let reloads = targets.filter_map(|target| target.reload.as_deref());
    let services = reloads.map(|reload| (&reload.unit, reload)).collect::<BTreeMap<_, _>>();
    services.into_values().map(|reload| {
        let failure = reload.failure.as_ref().map(complaint);
        let finding = diagnosis::target::told_service(failure.as_ref());
        Check::of("reload", reload.unit.clone(), finding)
    })
}

/// The endpoints that the settings name.
pub(super) fn listeners(patient: &Patient) -> Vec<Check> {
    const NAME: &str = "endpoint";
    let Ok(settings) = &patient.settings else { return Patient::without_settings(NAME) };
    let named = [("container", &settings.container_listen), ("imds", &settings.imds_listen)];
    let named = named.into_iter().filter_map(|(name, listen)| {
        // Port 0 is whichever is free, and only the daemon's log tells which that was.
        Some((name, listen.value.filter(|address| address.port() != 0)?, &listen.origin))
    });
    let checks = named.map(|(name, address, origin)| {
        let finding = diagnosis::endpoint::judge(&Listener {
            address: address.to_string(),
            origin: origin.to_string(),
            uid: tcp_peer::listener(address),
            daemon: patient.daemon.as_ref().map(|daemon| daemon.process.uid),
        });
        Check::of(NAME, name, finding)
    });
    checks.collect()
}

/// What the settings need of the daemon's process.
pub(super) fn privileges(patient: &Patient) -> Vec<Check> {
    const NAME: &str = "privileges";
    let Ok(settings) = &patient.settings else { return Patient::without_settings(NAME) };
    let Some(daemon) = &patient.daemon else {
        let remedy = match &patient.status {
            Err(complaint) if complaint.exit != Exit::Refused as u8 => AFTER_THAT,
            _ => AS_ROOT,
        };
        let finding = Finding::skipped("needs a daemon that this user may see", remedy);
        return vec![Check::new(NAME, finding)];
    };
    let found = diagnosis::privileges::judge(&daemon.process, &needs(settings, patient));
    let check = |(subject, finding)| Check { name: NAME, subject, finding };
    found.into_iter().map(check).collect()
}

fn needs(settings: &Settings, patient: &Patient) -> Needs {
    let targets = targets(settings, &patient.directories.runtime);
    // The default target stands in no settings, and gets what the daemon has to give.
    let is_named = |target: &&Target| settings.targets.iter().any(|it| it.name == target.name);
    let named = targets.iter().filter(is_named);
    let given = named.map(|target| {
        let (owner, group) = (target.access.owner, target.access.group);
        let directory = target.path.parent().unwrap_or(&target.path).display().to_string();
        let (owner, group) = (owner.map(Uid::as_raw), group.map(Gid::as_raw));
        Given { name: target.name.clone(), directory, owner, group }
    });
    let name = |consumer: &ConsumerSettings| consumer.name.clone();
    let consumers = settings.consumers.iter();
    Needs {
        targets: given.collect(),
        by_unit: consumers.clone().filter(|it| !it.units.is_empty()).map(name).collect(),
        by_program: consumers.filter(|it| !it.executables.is_empty()).map(name).collect(),
    }
}

fn told(status: &TargetStatus) -> Told {
    let unwritten = status.error.as_ref().map(|message| {
        Complaint::new(Exit::CannotCreate, message, status.remedy.clone().unwrap_or_default())
    });
    let failure = status.failure.as_ref().map(complaint);
    let (held, warnings) = (status.credentials.is_some(), status.warnings.clone());
    Told { unwritten, failure, held, warnings }
}

fn file(target: &Target) -> File {
    match published(target) {
        Ok(None) => File::Empty,
        Ok(Some(published)) => match (published.expires_at, published.overridden) {
            (None, _) => File::Others,
            (Some(end), None) => File::Until(end),
            (Some(end), Some(_)) => Warning::of_published(target, &published)
                .map_or(File::Until(end), |warning| File::PassedOver(Complaint::of(&warning))),
        },
        Err(error) if matches!(error.trouble, Trouble::Denied(_)) => {
            File::Unseen(error.to_string())
        }
        Err(error) => File::Unusable(Complaint::of(&error)),
    }
}

fn complaint(failure: &Failure) -> Complaint {
    Complaint::new(Exit::Unavailable, &failure.message, &failure.remedy)
}

fn condition(state: State) -> Option<Condition> {
    match state {
        State::Fresh => Some(Condition::Fresh),
        State::Stale => Some(Condition::Stale),
        State::Starting | State::Expired => Some(Condition::Expired),
        State::Hibernating => Some(Condition::Hibernating),
        State::Mismatch => Some(Condition::Mismatch),
        State::Unregistered => None,
        // Only what needs no daemon says so.
        State::Registered | State::Stopped | State::Damaged | State::Unknown => None,
    }
}
