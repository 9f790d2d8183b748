//! The region of a command or a shell that gets credentials: without one no SDK finds a service.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use crate::host::{accounts, environment};
use crate::pure::identity::Region;
use crate::pure::ini::survey;

/// By which the AWS SDKs are told. boto3 and older releases of the AWS CLI know the second alone, most
/// others the first alone.
const NAMES: [&str; 2] = ["AWS_REGION", "AWS_DEFAULT_REGION"];

/// The name of the profile that an SDK reads.
const PROFILES: [&str; 2] = ["AWS_PROFILE", "AWS_DEFAULT_PROFILE"];

/// More of a config file is not read.
const LONGEST: u64 = 1024 * 1024;

/// The variables that are unset, with the region of the one that is set, else with the daemon's unless the
/// profile says another.
/// `default_profile` where no variable will name a profile.
pub(super) fn variables(
    region: Option<&Region>,
    default_profile: bool,
) -> Vec<(&'static str, String)> {
    // Where one is set, the other says the same.
    let set = |name: &str| environment::variable(name).filter(|value| !value.is_empty());
    if let Some(chosen) = NAMES.iter().find_map(|name| set(name)) {
        let unset = NAMES.into_iter().filter(|name| set(name).is_none());
        return unset.map(|name| (name, chosen.clone())).collect();
    }
    let named = PROFILES.iter().find_map(|name| environment::variable(name));
    let profile = named.filter(|_| !default_profile).unwrap_or_else(|| "default".to_owned());
    if has_region(&profile) {
        return Vec::new();
    }
    let named = |region: &Region| NAMES.map(|name| (name, region.to_string())).into();
    region.map(named).unwrap_or_default()
}

/// Whether the config file gives this profile a region. One that cannot be read gives none.
fn has_region(profile: &str) -> bool {
    let text = config_file().and_then(|path| {
        // What is no file may never end.
        let file = path.is_file().then(|| File::open(path).ok())??;
        let mut text = Vec::new();
        file.take(LONGEST).read_to_end(&mut text).ok()?;
        Some(text)
    });
    let text = text.unwrap_or_default();
    let sections = survey(&text).unwrap_or_default();
    sections.iter().any(|section| {
        let name = section.name.strip_prefix("profile ").unwrap_or(section.name);
        let is_region = |(key, value): &(String, &str)| key == "region" && !value.is_empty();
        name.trim() == profile && section.keys.iter().any(is_region)
    })
}

fn config_file() -> Option<PathBuf> {
    let home = || {
        let home = environment::variable("HOME").map(PathBuf::from);
        home.or_else(|| accounts::home_of(accounts::own_uid().as_raw()))
    };
    match environment::variable("AWS_CONFIG_FILE") {
        None => Some(home()?.join(".aws/config")),
        Some(path) => match path.strip_prefix("~/") {
            Some(rest) => Some(home()?.join(rest)),
            None => Some(PathBuf::from(path)),
        },
    }
}
