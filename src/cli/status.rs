//! `rolekeeper status`

mod exit;
mod offline;

use std::fmt::Write;
use std::process::ExitCode;

use clap::Args;

use super::names::with_names;
use super::times::Times;
use super::{Places, print};
use crate::control::{self, Command, Complaint, ControlError, Reply};
use crate::host::clock::{Clock, SystemClock};
use crate::host::terminal::{self, BAD, DOUBTFUL, GOOD};
use crate::pure::advice::Exit;
use crate::pure::source::Source;
use crate::shelf::{
    self, Credentials, EndpointStatus, Failure, HealthStatus, Moment, ReloadStatus,
    SettingsTrouble, State,
};

/// Show state, expiry, next refresh, targets and the last failure
///
/// Asks the daemon; without one, shows what the vault and the files tell.
///
/// The state is one word. Of a daemon: fresh; stale, when the last renewal failed; starting, before the
/// first answer; expired, without usable credentials; hibernating, when the service refuses this machine;
/// mismatch, on another machine; unregistered. Without a daemon: unregistered; registered, before the first
/// run; stopped, when what is in the files can still be used; expired; damaged, when a start would fail for
/// a record of the vault; unknown, when this user may not read the vault.
///
/// Exit status 0 when there are usable credentials and they are renewed, everywhere; otherwise that of
/// the first of these: 77 when a daemon runs that this user may not ask, 69 when no daemon answers, 78 when
/// this machine is not registered, 77 when the service refuses it or this is another machine, 75 when it is
/// starting, 69 when there are no usable credentials, 65 when a record of the vault is damaged or missing,
/// 78 when settings are not in force or disable something, 73 when a file was not written, 69 when a role
/// of its own has no usable credentials or an endpoint does not listen, 75 when a renewal, a reload or a
/// health report has failed, which may end by itself.
///
/// How far away a time is, is told by this machine's clock.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Status {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Show times in this machine's time zone, or that of the variable TZ, instead of UTC
    #[arg(long, conflicts_with = "json")]
    local_time: bool,
}

const EXAMPLES: &str = "\
Examples:
  rolekeeper status
  rolekeeper status --local-time
  rolekeeper status --json | jq -r .credentials.expires_at";

impl Status {
    pub(super) async fn execute(self, places: &Places) -> Result<ExitCode, Complaint> {
        let directories = places.directories_to_ask();
        let times = Times::new(SystemClock.now(), self.local_time)?;
        let progress = places.progress();
        progress.expect("waiting for the daemon", None);
        let asked = control::ask(&directories.runtime, &Command::Status);
        let (status, absent) = match progress.during(asked).await {
            Ok(Reply::Status(status)) => (*status, None),
            Ok(_) => {
                return Err(Complaint::new(
                    Exit::Bug,
                    "an answer to another question",
                    "report this",
                ));
            }
            Err(error @ ControlError::NotRunning { .. }) => {
                let (status, complaint) = offline::status(places, &error)?;
                (status, Some(complaint))
            }
            Err(error) => return Err(error.into()),
        };
        if self.json {
            let json = serde_json::to_string(&status).unwrap_or_default();
            print(&format!("{json}\n"))?;
        } else {
            print(&with_names(&page(&status, &times)))?;
        }
        match absent {
            Some(complaint) => Err(complaint),
            None => Ok(ExitCode::from(exit::exit(&status, Moment(SystemClock.now())) as u8)),
        }
    }
}

fn page(status: &shelf::Status, times: &Times) -> String {
    let mut page = String::new();
    // Writing to a String cannot fail.
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(page, "{name:<12} {value}");
    };
    line("state", &state(status.state));
    match (status.source, &status.instance_id) {
        (Source::Hybrid, None) if status.state == State::Unregistered => {
            line("instance", "not registered");
        }
        (Source::Hybrid, None) => line("instance", "not known"),
        (_, None) => {}
        (_, Some(id)) => line("instance", id),
    }
    if status.source != Source::Hybrid {
        line("source", &source(status));
    }
    if let Some(region) = &status.region {
        line("region", region);
    }
    if let Some(credentials) = &status.credentials {
        line("credentials", &format!("access key id ..{}", credentials.access_key_id_suffix));
        line("issued", &times.of(credentials.issued_at));
        line("expires", &times.of(credentials.expires_at));
        line("refresh", &times.of(credentials.next_refresh_at));
    }
    if let Some(fingerprint) = &status.fingerprint {
        let threshold = match fingerprint.threshold {
            -1 => "check off".to_owned(),
            percent => format!("{percent} % needed"),
        };
        let mut text =
            format!("{}, {} % agree, {threshold}", fingerprint.verdict, fingerprint.score);
        if !fingerprint.changed.is_empty() {
            let _ = write!(text, "; changed: {}", fingerprint.changed.join(", "));
        }
        if !fingerprint.unreadable.is_empty() {
            let _ = write!(text, "; not readable: {}", fingerprint.unreadable.join(", "));
        }
        line("hardware", &text);
    }
    if let Some(health) = &status.health {
        reported(&mut line, times, health);
    }
    for target in &status.targets {
        let place = format!("{} [{}]", target.path.display(), target.profile);
        let outcome = match (&target.error, target.written_at) {
            (Some(error), _) => format!("NOT WRITTEN: {error}"),
            (None, _) if target.withdrawn => {
                "withdrawn: it holds no credentials of ours".to_owned()
            }
            (None, Some(at)) => format!("written {}", times.of(at)),
            (None, None) => match target.held_until {
                Some(until) => format!("holds an earlier run's, good until {}", times.of(until)),
                None => "not written in this run".to_owned(),
            },
        };
        line("target", &format!("{}: {place}, {outcome}", target.name));
        if let Some(remedy) = &target.remedy {
            line("  try", remedy);
        }
        for warning in &target.warnings {
            line("  warning", &warning.message);
            line("  try", &warning.remedy);
        }
        let own = (&target.credentials, &target.failure);
        target.role_arn.iter().for_each(|role| assumed(&mut line, times, role, own));
        target.reload.iter().for_each(|reload| reloaded(&mut line, times, reload));
    }
    for consumer in &status.consumers {
        line("consumer", &format!("{}: asks the daemon", consumer.name));
        let own = (&consumer.credentials, &consumer.failure);
        consumer.role_arn.iter().for_each(|role| assumed(&mut line, times, role, own));
    }
    for endpoint in &status.endpoints {
        let EndpointStatus { kind, address, since, error, remedy } = endpoint;
        let since = times.of(*since);
        match error {
            None => line("endpoint", &format!("{kind}: http://{address}, since {since}")),
            Some(error) => {
                line(
                    "endpoint",
                    &format!("{kind}: NOT LISTENING at {address} since {since}: {error}"),
                );
            }
        }
        if let Some(remedy) = remedy {
            line("  try", remedy);
        }
    }
    for disabled in &status.disabled {
        line(
            "disabled",
            &format!("{} ({}): {}", disabled.subject(), disabled.place, disabled.error),
        );
        line("  try", &disabled.remedy);
    }
    if let Some(SettingsTrouble { error, remedy }) = &status.settings {
        line("settings", &format!("NOT IN FORCE, the last good ones are: {error}"));
        line("  try", remedy);
    }
    if let Some(failure) = &status.failure {
        failed(&mut line, times, ["failure", "try", "next try"], failure);
    }
    for warning in &status.warnings {
        line("warning", &format!("{}: {}", warning.subject, warning.message));
        line("  try", &warning.remedy);
    }
    page
}

/// The state in one word; coloured, where a person reads it.
fn state(state: State) -> String {
    let style = match state {
        State::Fresh => GOOD,
        State::Stale | State::Starting | State::Registered | State::Stopped | State::Unknown => {
            DOUBTFUL
        }
        State::Expired
        | State::Hibernating
        | State::Mismatch
        | State::Unregistered
        | State::Damaged => BAD,
    };
    terminal::styled(state.name(), style, &std::io::stdout())
}

/// What Systems Manager hears of this machine's health.
fn reported(line: &mut impl FnMut(&str, &str), times: &Times, health: &HealthStatus) {
    let last = health.reported_at.map(|at| times.of(at));
    match (&health.failure, last) {
        (None, Some(last)) => line("health", &format!("reported {last}")),
        (None, None) => line("health", "not reported yet"),
        (Some(failure), last) => {
            let last = last.map(|last| format!(", last heard {last}")).unwrap_or_default();
            line("health", &format!("NOT REPORTED{last}"));
            failed(line, times, ["  failure", "  try", "  next try"], failure);
        }
    }
}

/// The source in words, and whose credentials it gives as far as it tells.
fn source(status: &shelf::Status) -> String {
    let Some(role) = &status.role else { return status.source.to_string() };
    // That says whose it is, too.
    if let Some(arn) = &role.arn {
        return format!("{}: {arn}", status.source);
    }
    let name = role.name.as_ref();
    let name = name.map(|name| format!(" {name}")).unwrap_or_default();
    let account = role.account_id.as_ref().map(|id| format!(", account {id}")).unwrap_or_default();
    format!("{}: {}{name}{account}", status.source, role.granted_by)
}

/// A role of its own: what is held of it, and what becomes of it.
fn assumed(
    line: &mut impl FnMut(&str, &str),
    times: &Times,
    role: &str,
    (credentials, failure): (&Option<Credentials>, &Option<Failure>),
) {
    line("  role", role);
    match credentials {
        Some(Credentials { access_key_id_suffix: suffix, expires_at, .. }) => {
            let expires = times.of(*expires_at);
            line("  holds", &format!("access key id ..{suffix}, expires {expires}"));
        }
        None => line("  holds", "nothing usable"),
    }
    match (failure, credentials) {
        (Some(failure), _) => failed(line, times, ["  failure", "  try", "  next try"], failure),
        (None, Some(own)) => line("  refresh", &times.of(own.next_refresh_at)),
        (None, None) => {}
    }
}

/// The service that is told of new credentials, and what became of that.
fn reloaded(line: &mut impl FnMut(&str, &str), times: &Times, reload: &ReloadStatus) {
    let wish = reload.signal.as_ref().map(|signal| format!(" by {signal}")).unwrap_or_default();
    let last = match (&reload.last_outcome, reload.last_run_at) {
        (Some(outcome), Some(at)) => format!("{outcome} {}", times.of(at)),
        _ => "not told in this run".to_owned(),
    };
    line("  tells", &format!("{}{wish}, {last}", reload.unit));
    match (&reload.failure, reload.next_run_at) {
        (Some(failure), _) => failed(line, times, ["  failure", "  try", "  next try"], failure),
        (None, Some(at)) => line("  next", &times.of(at)),
        (None, None) => {}
    }
}

fn failed(line: &mut impl FnMut(&str, &str), times: &Times, names: [&str; 3], failure: &Failure) {
    let [what, remedy, next] = names;
    line(what, &format!("{}: {}", failure.class, failure.message));
    line(remedy, &failure.remedy);
    if let Some(at) = failure.next_try_at {
        line(next, &format!("{}, after {} in a row", times.of(at), failure.attempts));
    }
}
