//! The values that only this machine knows.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use clap::builder::StyledStr;
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};

use super::super::RUNTIME_DIRECTORY;
use crate::config::Settings;
use crate::daemon::default_path;
use crate::host::accounts;
use crate::pure::chain::Sdk;

/// Where unit files are, as systemd.unit(5) has them.
const UNIT_DIRECTORIES: [&str; 5] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/run/systemd/generator",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
];

/// The command line with what is known of each option's values, wherever the option stands: by its name,
/// so that a new command with a `--target` has it, too.
pub(super) fn completed(command: clap::Command, settings: Option<PathBuf>) -> clap::Command {
    let of_this_level = settings.clone();
    let command = command.mut_args(|argument| match argument.get_id().as_str() {
        "target" => {
            let settings = of_this_level.clone();
            argument.add(ArgValueCandidates::new(move || outlets(settings.as_deref())))
        }
        "sdk" => argument.add(ArgValueCandidates::new(sdks)),
        "unit" => argument.add(ArgValueCandidates::new(units)),
        "user" => argument.add(ArgValueCandidates::new(users)),
        _ => argument,
    });
    command.mut_subcommands(|command| completed(command, settings.clone()))
}

/// The settings file of a command line that is being written.
pub(super) fn settings_file(arguments: &[OsString]) -> Option<PathBuf> {
    let texts = || arguments.iter().filter_map(|argument| argument.to_str());
    let joined = texts().find_map(|text| text.strip_prefix("--config="));
    let apart = texts().zip(texts().skip(1)).find(|(option, _)| *option == "--config");
    joined.or(apart.map(|(_, file)| file)).map(PathBuf::from).or_else(super::super::settings_file)
}

/// Targets and consumers; none where the settings cannot be read.
fn outlets(settings: Option<&Path>) -> Vec<CompletionCandidate> {
    let Ok(settings) = Settings::load(settings) else { return Vec::new() };
    let targets = settings.targets.iter().map(|target| {
        let place = format!("target: {}", target.path.display());
        CompletionCandidate::new(&target.name).help(Some(StyledStr::from(place)))
    });
    let consumers = settings.consumers.iter().map(|consumer| {
        CompletionCandidate::new(&consumer.name).help(Some(StyledStr::from("consumer")))
    });
    let implicit = settings.default_target(&default_path(Path::new(RUNTIME_DIRECTORY)));
    let implicit = implicit.map(|target| {
        CompletionCandidate::new(target.name).help(Some(StyledStr::from("the default target")))
    });
    targets.chain(consumers).chain(implicit).collect()
}

fn sdks() -> Vec<CompletionCandidate> {
    let candidate = |sdk: Sdk| {
        CompletionCandidate::new(sdk.name()).help(Some(StyledStr::from(sdk.to_string())))
    };
    Sdk::ALL.map(candidate).into()
}

/// Services that have a file; templates alone are none.
fn units() -> Vec<CompletionCandidate> {
    let files = UNIT_DIRECTORIES.iter().filter_map(|directory| fs::read_dir(directory).ok());
    let names = files.flatten().flatten().filter_map(|file| file.file_name().into_string().ok());
    let services = names.filter(|name| name.ends_with(".service") && !name.contains("@."));
    services.collect::<BTreeSet<_>>().into_iter().map(CompletionCandidate::new).collect()
}

fn users() -> Vec<CompletionCandidate> {
    accounts::local_users().into_iter().map(|(name, _)| CompletionCandidate::new(name)).collect()
}
