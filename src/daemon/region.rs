//! The region of a registered machine: its registration's.

use std::path::PathBuf;

use crate::config::{Origin, Settings};
use crate::pure::advice::{Advice, Exit};
use crate::pure::identity::Region;
use crate::vault::{Registration, VaultReader};

/// What is asked for and what is registered are two regions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{origin} says region {asked}, and {} says that this machine is registered in {registered}",
    record.display()
)]
pub struct OtherRegion {
    pub origin: Origin,
    pub asked: Region,
    pub record: PathBuf,
    pub registered: Region,
}

/// The region of `registration`, which the settings may repeat and not contradict: the service in
/// another region does not know this machine.
///
/// # Errors
///
/// When they contradict it.
pub fn registered_region(
    settings: &Settings,
    registration: &Registration,
    vault: &VaultReader,
) -> Result<Region, OtherRegion> {
    let registered = registration.region.clone();
    match &settings.region.value {
        Some(asked) if *asked != registered => Err(OtherRegion {
            origin: settings.region.origin.clone(),
            asked: asked.clone(),
            record: vault.registration_path(),
            registered,
        }),
        _ => Ok(registered),
    }
}

impl Advice for OtherRegion {
    fn remedy(&self) -> String {
        let Self { origin, asked, registered, .. } = self;
        let mend = match origin {
            Origin::File { .. } => format!("take region out of {origin}"),
            Origin::Environment(variable) => format!("unset {variable}"),
            Origin::Flag(_) | Origin::Default => format!("leave {origin} out"),
        };
        format!(
            "{mend}: the registration in {registered} goes on; to move this machine to {asked} \
             instead, with an activation of that region: systemctl stop rolekeeper; rolekeeper register \
             --force --region {asked} --activation-id ID --activation-code-file FILE; systemctl start \
             rolekeeper"
        )
    }

    fn exit(&self) -> Exit {
        Exit::Configuration
    }
}
