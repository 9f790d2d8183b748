//! What else runs here: the reference agent, and whoever answers in EC2's place.

use std::sync::Arc;

use super::Patient;
use crate::pure::diagnosis::metadata::Heard;
use crate::pure::diagnosis::{self, Check, Finding};
use crate::pure::source::Source;
use crate::surroundings::{metadata, process};
use crate::vault::Vault;

/// The reference agent, and whether it is the same instance.
pub(super) fn agent(patient: &Patient) -> Vec<Check> {
    let told = patient.status.as_ref().ok().and_then(|status| status.instance_id.clone());
    let registration = || {
        let vault = Vault::read_only(&patient.directories.state).ok()?;
        Some(vault.registration().ok()?.instance_id.to_string())
    };
    let agent = process::reference_agent(&patient.agent_directory);
    let finding = diagnosis::agent::judge(&agent, told.or_else(registration).as_deref());
    vec![Check::new("agent", finding)]
}

/// The instance metadata of a machine that is none of EC2's.
pub(super) async fn metadata(patient: Arc<Patient>) -> Vec<Check> {
    let heard = metadata::ask(patient.metadata_address).await;
    let address = patient.metadata_address.ip().to_string();
    if patient.source() == Source::InstanceMetadata
        && let Heard::Metadata { session: true, .. } = heard
    {
        let finding = Finding::ok(format!("{address} is where the credentials come from"));
        return vec![Check::new("metadata", finding)];
    }
    vec![Check::new("metadata", diagnosis::metadata::judge(&address, &heard))]
}
