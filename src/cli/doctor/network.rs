//! The way to AWS: the services in use, and what their answers say of the clock.

use std::sync::Arc;

use futures_util::future::join_all;
use http::Uri;
use time::UtcDateTime;

use super::Patient;
use crate::cli::CA_BUNDLE;
use crate::config::{Origin, Settings};
use crate::connection::{Connection, is_local};
use crate::control::Complaint;
use crate::daemon::{DaemonError, connection, sts_connection};
use crate::host::clock::{Clock, ServiceClock, SystemClock};
use crate::host::environment;
use crate::pure::advice::Exit;
use crate::pure::diagnosis::proxy::Way;
use crate::pure::diagnosis::service::{Attempt, Outcome, Service};
use crate::pure::diagnosis::{self, AFTER_THAT, AS_ROOT, Check, Finding};
use crate::pure::identity::Region;
use crate::pure::source::Source;
use crate::ssm::Ssm;
use crate::sts::Sts;
use crate::surroundings::{self, proxy};
use crate::vault::Vault;

/// By which the way to AWS is told a process.
pub(super) const VARIABLES: [&str; 9] = [
    CA_BUNDLE,
    "ALL_PROXY",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "all_proxy",
    "http_proxy",
    "https_proxy",
    "no_proxy",
];

/// Systems Manager where the credentials come by it, STS where a role is assumed; and the clock, by the
/// first who answers.
pub(super) async fn services(patient: Arc<Patient>) -> Vec<Check> {
    let Ok(settings) = &patient.settings else { return Patient::without_settings("service") };
    let Some(region) = region(&patient, settings) else {
        let reason = "no region is known: it is in the settings, or in a registration";
        let remedy = match patient.vault_is_closed() {
            true => AS_ROOT,
            false => AFTER_THAT,
        };
        return vec![Check::new("service", Finding::skipped(reason, remedy))];
    };
    let mut calls = Vec::new();
    // A container and an environment have theirs without it.
    if matches!(patient.source(), Source::Hybrid | Source::InstanceMetadata) {
        calls.push((Service::SystemsManager, connection(settings, region.clone())));
    }
    let targets = settings.targets.iter().map(|target| &target.assumption);
    let mut roles = targets.chain(settings.consumers.iter().map(|consumer| &consumer.assumption));
    if roles.any(Option::is_some) {
        calls.push((Service::TokenService, sts_connection(settings, region)));
    }
    let Some((service, connection)) = calls.first() else {
        let reason = format!("none is asked: the credentials' source is {}", patient.source());
        return vec![Check::new("service", Finding::inapplicable(reason))];
    };
    let way = endpoint(*service, connection).ok();
    let way = way.map(|endpoint| way_to(&patient, settings, connection, &endpoint));
    let attempts = calls.into_iter().map(|(service, connection)| attempt(service, connection));
    let attempts = join_all(attempts).await;
    let mut checks = attempts.iter().map(answered).collect::<Vec<_>>();
    checks.push(Check::new("clock", clock(&attempts)));
    checks.extend(way.into_iter().flatten());
    checks
}

/// Which proxy is between here and a service, what names it, and whether the daemon has it alike.
fn way_to(
    patient: &Patient,
    settings: &Settings,
    connection: &Connection,
    endpoint: &str,
) -> [Check; 2] {
    let uri = endpoint.parse::<Uri>().unwrap_or_default();
    let through = proxy::between(connection, &uri);
    let way = Way {
        host: uri.host().unwrap_or_default().to_owned(),
        through: through.map(|proxy| (format!("{}:{}", proxy.host, proxy.port), proxy.named_by)),
        variables: proxy::set_for(&uri),
        is_local: is_local(&uri),
    };
    let by_variables = connection.proxy.is_none() && !is_local(&uri);
    let certificates = uri.scheme_str() != Some("http")
        && !matches!(settings.ca_bundle.origin, Origin::File { .. });
    let counts = |name: &&str| match *name {
        CA_BUNDLE => certificates,
        name => by_variables && proxy::names(&uri).any(|proxy| proxy == name),
    };
    let differing = patient.daemon.as_ref().and_then(|daemon| daemon.differing.as_ref());
    let differing = differing.map(|it| it.iter().copied().filter(counts).collect::<Vec<_>>());
    let environment = match &patient.status {
        Err(complaint) if complaint.exit != Exit::Refused as u8 => {
            Finding::skipped("needs a daemon that answers", AFTER_THAT)
        }
        _ => diagnosis::environment::judge(differing.as_deref()),
    };
    [Check::new("proxy", diagnosis::proxy::judge(&way)), Check::new("environment", environment)]
}

/// A call, and this machine's time when its answer was there.
type Attempted = (Service, Result<Attempt, Complaint>, UtcDateTime);

async fn attempt(service: Service, connection: Connection) -> Attempted {
    let attempt = match endpoint(service, &connection) {
        Ok(endpoint) => Ok(surroundings::service::call(&connection, service, &endpoint).await),
        Err(complaint) => Err(complaint),
    };
    (service, attempt, SystemClock.now())
}

fn endpoint(service: Service, connection: &Connection) -> Result<String, Complaint> {
    // Nothing is signed, so nothing needs the service's clock.
    let clock = ServiceClock::new(Arc::new(SystemClock));
    match service {
        Service::SystemsManager => Ssm::new(connection, clock)
            .map(|ssm| ssm.endpoint().to_owned())
            .map_err(|error| Complaint::of(&error)),
        Service::TokenService => Sts::new(connection, clock)
            .map(|sts| sts.endpoint().to_owned())
            .map_err(|error| Complaint::of(&DaemonError::Unusable(error))),
    }
}

fn answered((service, attempt, _): &Attempted) -> Check {
    let finding = match attempt {
        Ok(attempt) => diagnosis::service::judge(*service, attempt),
        Err(complaint) => complaint.clone().into(),
    };
    Check::of("service", service.name(), finding)
}

/// Only who answers as the service does is believed about the time.
fn clock(attempts: &[Attempted]) -> Finding {
    let told =
        attempts.iter().find_map(|(_, attempt, now)| match &attempt.as_ref().ok()?.outcome {
            Outcome::Answered(answer) if answer.is_the_services() => Some((answer.date?, *now)),
            _ => None,
        });
    match told {
        Some((service, now)) => diagnosis::clock::judge(service, now),
        None => Finding::skipped("no service answered, so nobody has told the time", AFTER_THAT),
    }
}

/// The command line's, else the settings', else the registration's, which this user may not be able to
/// read, else what the daemon says, else where a registration from here would be.
fn region(patient: &Patient, settings: &Settings) -> Option<Region> {
    let registered = || {
        let vault = Vault::read_only(&patient.directories.state).ok()?;
        Some(vault.registration().ok()?.region)
    };
    let told = || patient.status.as_ref().ok()?.region.as_ref()?.parse().ok();
    let named = || settings.clone().with_region_variables(environment::variable).ok();
    let named = || named()?.region.value;
    let asked = patient.region.clone().or_else(|| settings.region.value.clone());
    asked.or_else(registered).or_else(told).or_else(named)
}
