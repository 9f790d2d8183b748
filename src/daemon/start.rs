//! What a start refuses of settings that can be read, for those who look before a start.

use super::provider::{container_endpoint, metadata_endpoint};
use super::{DaemonError, Directories, registered_region};
use crate::config::{OwnFiles, Settings};
use crate::control;
use crate::pure::source::Source;
use crate::sources::InstanceMetadata;
use crate::vault::Vault;
use crate::vending;

/// Whether a start by these settings gets as far as the first request, by what this user can see: the
/// vault may be closed to it, and what the daemon's environment says is not known.
///
/// # Errors
///
/// What the start would say.
pub fn would_start(settings: &Settings, directories: &Directories) -> Result<(), DaemonError> {
    match settings.identity.source.value {
        Source::Hybrid => {
            let Ok(vault) = Vault::read_only(&directories.state) else { return Ok(()) };
            let Ok(registration) = vault.registration() else { return Ok(()) };
            registered_region(settings, &registration, &vault)?;
        }
        Source::InstanceMetadata => {
            InstanceMetadata::new(metadata_endpoint(settings)?)?;
        }
        Source::Container if settings.identity.container_credentials_url.value.is_some() => {
            container_endpoint(settings)?;
        }
        Source::Container | Source::Environment => {}
    }
    Ok(())
}

/// What the daemon keeps in these directories.
pub fn own_files(Directories { state, runtime }: &Directories) -> OwnFiles {
    let kept = [super::settings::NAME, super::deliveries::NAME].map(|name| state.join(name));
    let names = [super::held::NAME, super::reload::NAME, super::keyring::RECORD];
    let files = kept.into_iter().chain(names.map(|name| runtime.join(name)));
    let sockets = vending::socket_paths(runtime).into_iter().chain([control::socket_path(runtime)]);
    let mut directories = vec![Vault::directory_in(state)];
    // A runtime directory that lies in it is for credentials.
    if !runtime.starts_with(state) {
        directories.push(state.clone());
    }
    OwnFiles { directories, files: files.chain(sockets).collect() }
}
