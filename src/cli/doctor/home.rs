//! A user's home: what stands in it that comes before what the daemon hands out.

use std::io;
use std::path::Path;

use zeroize::Zeroizing;

use super::Patient;
use crate::config::Settings;
use crate::host::accounts::Account;
use crate::programs::Root;
use crate::pure::chain::{self, Content, Installation, Kind, SharedFile};
use crate::pure::diagnosis::shadow::{self, Home};
use crate::pure::diagnosis::{AS_ROOT, Check, Finding};
use crate::targets::Target;

const NAME: &str = "shadow";

/// No credentials file is longer.
const LONGEST_SHARED_FILE: u64 = 1 << 20;

/// Looks at the home itself, and at it beside each of the `targets` that the user may read.
pub(super) fn shadows(
    patient: &Patient,
    account: &Account,
    settings: &Settings,
    targets: &[&Target],
) -> Vec<Check> {
    let Some(home) = patient.home.as_deref().or(account.home.as_deref()) else {
        let reason = format!("{} has no home directory", account.name);
        return vec![Check::new(NAME, Finding::inapplicable(reason))];
    };
    let home = look_at_home(&account.name, home);
    for file in [&home.credentials, &home.config] {
        if let (Some(path), Content::Unreadable(reason)) = (&file.path, &file.content) {
            let reason = format!("needs root: {}: {reason}", path.display());
            return vec![Check::new(NAME, Finding::skipped(reason, AS_ROOT))];
        }
    }
    let outlet = |target: &&Target| chain::Outlet {
        name: target.name.clone(),
        path: target.path.clone(),
        profile: target.profile.to_string(),
        binding: chain::Binding::Name,
    };
    let installation = Installation {
        outlets: targets.iter().map(outlet).collect(),
        container: settings.container_listen.value,
        metadata: settings.imds_listen.value,
        network: crate::pure::chain::Network::Shared,
    };
    let finding = shadow::by_default(&home, &installation);
    let at_home = Check::new(NAME, finding);
    let at_targets = targets.iter().map(|target| {
        let (path, profile) = (target.path.display().to_string(), target.profile.to_string());
        let finding = shadow::at_outlet(&home, &shadow::Outlet { path, profile });
        Check::of(NAME, format!("target {}", target.name), finding)
    });
    [at_home].into_iter().chain(at_targets).collect()
}

/// The two files of a home directory. Its owner may have put anything there, in their place too.
fn look_at_home(name: &str, home: &Path) -> Home {
    let root = Root::ours();
    let file = |name: &str, kind| {
        let path = home.join(name);
        let read = root.as_ref().map_err(|error| error.kind().into());
        match read.and_then(|root| root.read(&path, LONGEST_SHARED_FILE)).map(Zeroizing::new) {
            Ok(bytes) => SharedFile::of_bytes(path, kind, &bytes),
            Err(error) if is_nothing(&error) => SharedFile::absent(Some(path)),
            Err(error) => {
                SharedFile { path: Some(path), content: Content::Unreadable(error.to_string()) }
            }
        }
    };
    Home {
        name: name.to_owned(),
        path: home.display().to_string(),
        credentials: file(".aws/credentials", Kind::Credentials),
        config: file(".aws/config", Kind::Config),
    }
}

fn is_nothing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
