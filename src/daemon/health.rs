//! Tells the service that this machine is alive (`UpdateInstanceInformation`), as the reference
//! agent's worker does: without it the service shows the node as lost.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::config::Settings;
use crate::hardware::Platform;
use crate::host::entropy::Entropy;
use crate::shelf::ShelfReader;
use crate::ssm::{AwsCredentials, HealthReport, Ssm};

/// Who reports, to whom, how often.
#[derive(Debug)]
struct Reporter {
    ssm: Ssm,
    machine: Machine,
    interval: Duration,
    entropy: Arc<dyn Entropy>,
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
    shelf: ShelfReader,
    entropy: Arc<dyn Entropy>,
    /// How often the task reports, if there is one.
    interval: Option<Duration>,
    task: JoinSet<()>,
}

impl Reports {
    pub(super) fn new(shelf: ShelfReader, entropy: Arc<dyn Entropy>) -> Self {
        Self { shelf, entropy, interval: None, task: JoinSet::new() }
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
        if let Some(interval) = interval {
            let (ssm, entropy) = (ssm.clone(), Arc::clone(&self.entropy));
            let reporter = Reporter { ssm, machine: machine(), interval, entropy };
            self.task.spawn(reporter.report_for_ever(self.shelf.clone()));
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
    async fn report_for_ever(self, mut shelf: ShelfReader) {
        let mut first = true;
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
            match self.ssm.report_health(AwsCredentials::from(token.as_ref()), &report).await {
                Ok(()) => tracing::debug!("health reported"),
                Err(error) => tracing::warn!(%error, "health was not reported"),
            }
            let spread = if first { self.interval } else { self.interval / 10 };
            first = false;
            self.ssm.clock().sleep(self.interval - self.entropy.jitter().of(spread)).await;
        }
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
