//! What several commands do when no daemon does it for them.

use std::sync::Arc;

use super::Places;
use crate::config::Settings;
use crate::control::Complaint;
use crate::daemon::connection;
use crate::hardware::{Probe, SystemProbe};
use crate::host::clock::{ServiceClock, SystemClock};
use crate::pure::fingerprint::{Similarity, compare};
use crate::pure::identity::{InstanceId, Region};
use crate::ssm::Ssm;
use crate::vault::VaultReader;

/// A client of the service in `region`, by the settings.
pub(super) async fn ssm(settings: &Settings, region: Region) -> Result<Ssm, Complaint> {
    let clock = ServiceClock::new(Arc::new(SystemClock));
    Ok(Ssm::new(&connection(settings, region), clock)?)
}

/// The command by which an administrator removes an instance from the service.
pub(super) fn deregistration(settings: &Settings, region: &Region, id: &InstanceId) -> String {
    let endpoint = settings.endpoint_url.value.as_ref();
    let endpoint = endpoint.map(|url| format!(" --endpoint-url {url}")).unwrap_or_default();
    format!("aws ssm deregister-managed-instance --region {region} --instance-id {id}{endpoint}")
}

/// This machine, judged by the vault's record.
pub(super) fn similarity(vault: &VaultReader) -> Result<Similarity, Complaint> {
    let record = vault.fingerprint_record()?;
    let observation = SystemProbe::new().observe();
    Ok(compare(&record.hardware_hash, &observation, record.threshold))
}

/// Whether a daemon answers, that is, has the vault.
pub(super) fn daemon_runs(places: &Places) -> bool {
    let path = crate::control::socket_path(&places.directories_to_ask().runtime);
    std::os::unix::net::UnixStream::connect(path).is_ok()
}
