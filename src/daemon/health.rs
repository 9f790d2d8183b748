//! Tells the service that this machine is alive (`UpdateInstanceInformation`), as the reference
//! agent's worker does: without it the service shows the node as lost.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::report::LastFailure;
use crate::config::Settings;
use crate::control::Complaint;
use crate::hardware::Platform;
use crate::host::entropy::Entropy;
use crate::pure::advice::Advice;
use crate::pure::failure::FailureClass;
use crate::shelf::{HealthPlace, HealthStatus, Moment};
use crate::ssm::{AwsCredentials, HealthReport, Ssm, SsmError};

/// Who reports, to whom, how often.
#[derive(Debug)]
struct Reporter {
    ssm: Ssm,
    machine: Machine,
    interval: Duration,
    entropy: Arc<dyn Entropy>,
    place: HealthPlace,
}

/// Who is said to be alive.
#[derive(Debug, Clone)]
pub(super) struct Machine {
    /// `mi-…`, or `i-…` of an EC2 instance.
    pub instance_id: String,
    /// Empty outside EC2.
    pub availability_zone: String,
}

/// The reports of one machine, as the settings want them.
#[derive(Debug)]
pub(super) struct Reports {
    place: HealthPlace,
    entropy: Arc<dyn Entropy>,
    /// How often the task reports, if there is one.
    interval: Option<Duration>,
    task: JoinSet<()>,
}

impl Reports {
    pub(super) fn new(place: HealthPlace, entropy: Arc<dyn Entropy>) -> Self {
        Self { place, entropy, interval: None, task: JoinSet::new() }
    }

    /// Takes the settings over. What they leave as it is goes on at its pace, unless the client is
    /// `new`.
    pub(super) fn follow(
        &mut self,
        settings: &Settings,
        ssm: &Ssm,
        is_new: bool,
        machine: impl FnOnce() -> Machine,
    ) {
        let interval = settings.health.value.then_some(settings.health_interval.value);
        if !is_new && self.interval == interval {
            return;
        }
        self.interval = interval;
        self.task.abort_all();
        self.place.put(interval.map(|_| HealthStatus::default()));
        if let Some(interval) = interval {
            let (ssm, entropy) = (ssm.clone(), Arc::clone(&self.entropy));
            let place = self.place.clone();
            let reporter = Reporter { ssm, machine: machine(), interval, entropy, place };
            self.task.spawn(reporter.report_for_ever());
        }
        // Of one that has ended nothing is kept.
        while self.task.try_join_next().is_some() {}
    }
}

/// The name and the least version of an agent that the service's own tools know how to show.
const AGENT_NAME: &str = "amazon-ssm-agent";

impl Reporter {
    /// Reports at once when there are credentials, then after a random part of the interval, then
    /// every interval less up to a tenth: a fleet that started together spreads.
    async fn report_for_ever(self) {
        let mut shelf = self.place.reader();
        let mut first = true;
        let mut status = HealthStatus::default();
        loop {
            let Some(token) = shelf.look().token else {
                tokio::select! {
                    view = shelf.changed() => if view.is_none() { return },
                    // Whoever waits for the time is not at work: a rehearsal's time may go on.
                    () = self.ssm.clock().sleep(self.interval) => {}
                }
                continue;
            };
            let report = report(&self.machine.instance_id, &self.machine.availability_zone);
            let answer =
                self.ssm.report_health(AwsCredentials::from(token.as_ref()), &report).await;
            let spread = if first { self.interval } else { self.interval / 10 };
            first = false;
            let pause = self.interval - self.entropy.jitter().of(spread);
            let now = self.ssm.clock().now();
            let next = Moment(now + pause);
            status = after(status, answer, Moment(now), next);
            self.place.put(Some(status.clone()));
            self.ssm.clock().sleep(pause).await;
        }
    }
}

/// What is known after a report; what has changed is logged.
fn after(
    before: HealthStatus,
    answer: Result<(), SsmError>,
    now: Moment,
    next: Moment,
) -> HealthStatus {
    match answer {
        Ok(()) => {
            if before.failure.is_some() {
                tracing::info!("health is reported again");
            }
            HealthStatus { reported_at: Some(now), next_report_at: Some(next), failure: None }
        }
        Err(error) => {
            let attempts = before.failure.as_ref().map_or(0, |failure| failure.attempts);
            let remedy = remedy(&error);
            let failure = LastFailure::from(error);
            let complaint = Complaint { remedy, ..failure.complaint };
            let failure = LastFailure { complaint, ..failure };
            let failure = failure.shown(attempts.saturating_add(1), Some(next));
            // The request id is another each time.
            if before.failure.is_none_or(|before| before.class != failure.class) {
                let (message, remedy) = (&failure.message, &failure.remedy);
                tracing::warn!(
                    class = failure.class,
                    "health was not reported, and the service soon shows this machine as lost: \
                     {message}; try: {remedy}"
                );
            }
            HealthStatus { next_report_at: Some(next), failure: Some(failure), ..before }
        }
    }
}

/// A refusal is about the role's rights: by those same credentials everything else works.
fn remedy(error: &SsmError) -> String {
    match (error.class, error.code.as_deref()) {
        (FailureClass::Denied, Some("AccessDeniedException" | "AccessDenied")) => {
            "allow the role ssm:UpdateInstanceInformation (as AmazonSSMManagedInstanceCore does), or \
             set enabled = false in [health]: Systems Manager then lists this machine as lost"
                .to_owned()
        }
        _ => error.remedy(),
    }
}

pub(super) fn report(instance_id: &str, availability_zone: &str) -> HealthReport {
    let platform = Platform::observe();
    HealthReport {
        agent_name: AGENT_NAME,
        agent_status: "Active",
        agent_version: concat!(env!("CARGO_PKG_VERSION"), ".0").to_owned(),
        availability_zone: availability_zone.to_owned(),
        availability_zone_id: "",
        computer_name: platform.host_name,
        ip_address: platform.ip_address,
        instance_id: instance_id.to_owned(),
        platform_name: platform.name,
        platform_type: "Linux",
        platform_version: platform.version,
        connection_channel: "",
    }
}

#[cfg(test)]
mod tests {
    use time::macros::utc_datetime;

    use super::*;

    const NOON: Moment = Moment(utc_datetime!(2026-11-22 12:00));
    const LATER: Moment = Moment(utc_datetime!(2026-11-22 12:05));

    fn refused(class: FailureClass, code: &str) -> SsmError {
        SsmError {
            operation: "UpdateInstanceInformation",
            endpoint: "https://ssm.eu-central-1.amazonaws.com".to_owned(),
            class,
            code: Some(code.to_owned()),
            message: "no".to_owned(),
            request_id: None,
            unsent: false,
        }
    }

    #[test]
    fn the_last_report_and_the_last_failure_are_kept_and_a_report_ends_the_failure() {
        let told = after(HealthStatus::default(), Ok(()), NOON, LATER);
        assert_eq!((told.reported_at, told.failure.as_ref()), (Some(NOON), None));
        let denied = || Err(refused(FailureClass::Denied, "AccessDeniedException"));
        let failing = after(told, denied(), LATER, LATER);
        let failing = after(failing, denied(), LATER, LATER);
        assert_eq!(failing.reported_at, Some(NOON), "when it was heard last");
        let failure = failing.failure.clone().unwrap();
        assert_eq!((failure.class.as_str(), failure.attempts), ("denied", 2));
        assert!(failure.remedy.starts_with("allow the role ssm:UpdateInstanceInformation"));
        assert_eq!(failure.next_try_at, Some(LATER));
        assert_eq!(after(failing, Ok(()), LATER, LATER).failure, None);
    }

    #[test]
    fn only_a_refusal_of_the_role_is_about_its_rights() {
        let other = refused(FailureClass::ServiceFault, "InternalServerError");
        assert_eq!(remedy(&other), other.remedy());
    }
}
