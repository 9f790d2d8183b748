//! `rolekeeper config`

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use nix::unistd::Uid;

use super::{Places, print, say};
use crate::control::{self, Complaint};
use crate::daemon::{
    Directories, Rules, SettingsReader, default_path, missing_programs, would_start,
};
use crate::host::accounts::{self, Account, AccountError};
use crate::host::process;
use crate::pure::advice::Exit;
use crate::pure::disabled::{Disabled, in_one_line};
use crate::vault::Vault;

/// Check and show the settings
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:\n  rolekeeper config check\n  rolekeeper config show")]
pub(super) enum Config {
    Check(Check),
    Show(Show),
}

/// Check the settings as a start would: what is wrong, with file and line
///
/// Run by root it looks as the service's user, who may see less: a settings file, a session policy or
/// a certificate that the service cannot read is found here, and not at the next start.
///
/// Exit status 78 when a start would refuse the settings, or disable a target or a consumer.
#[derive(Debug, Args)]
#[command(after_help = CHECK_EXAMPLES)]
pub(super) struct Check {
    /// This file alone, instead of the ones that the daemon reads
    file: Option<PathBuf>,
    /// Look as the service's user, which only root can; the default for root where that user exists
    #[arg(long, conflicts_with = "as_me")]
    as_service: bool,
    /// Look as the user who asks
    #[arg(long)]
    as_me: bool,
}

const CHECK_EXAMPLES: &str = "\
Examples:
  sudo rolekeeper config check
  rolekeeper config check --as-me ./rolekeeper.toml";

/// Show the effective settings, each with its origin
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  rolekeeper config show")]
pub(super) struct Show {}

/// The user of the unit that ships.
const SERVICE_USER: &str = "rolekeeper";

impl Config {
    pub(super) fn execute(self, places: &Places) -> Result<(), Complaint> {
        match self {
            Self::Check(check) => check.execute(places),
            Self::Show(Show {}) => {
                let default = default_path(&places.directories_to_ask().runtime);
                print(&places.settings()?.show(&default))
            }
        }
    }
}

impl Check {
    fn execute(self, places: &Places) -> Result<(), Complaint> {
        let looks_as_service = self.become_the_service(places)?;
        let reader = match self.file {
            Some(file) => places.reader_of(Some(file)),
            None => places.reader(),
        };
        check(&reader, &places.directories_to_ask()).map_err(|mut complaint| {
            if looks_as_service && complaint.remedy.contains("the user that runs rolekeeper") {
                complaint.remedy = format!("{}, or look with --as-me", complaint.remedy);
            }
            complaint
        })
    }

    /// Whether this process has become the service's user. It cannot go back.
    fn become_the_service(&self, places: &Places) -> Result<bool, Complaint> {
        let is_root = accounts::own_uid().is_root();
        if self.as_service && !is_root {
            let message = "only root can look as the service's user";
            return Err(Complaint::new(Exit::Refused, message, "run the command with sudo"));
        }
        if self.as_me || !is_root {
            return Ok(false);
        }
        let account = match service_account(places) {
            Ok(account) if account.uid != 0 => account,
            // A daemon of root's sees what root sees.
            Ok(_) => return Ok(false),
            Err(_) if !self.as_service => return Ok(false),
            Err(error) => {
                let remedy = "the same with --as-me in the place of --as-service; or create that user, \
                              as the package does: systemd-sysusers";
                return Err(Complaint::new(Exit::Configuration, error.to_string(), remedy));
            }
        };
        process::act_as(&account).map_err(|error| {
            let message = format!("cannot look as user '{}': {error}", account.name);
            Complaint::new(Exit::Refused, message, "rolekeeper config check --as-me")
        })?;
        say(format_args!("note: looking as user '{}', as the service does", account.name));
        Ok(true)
    }
}

/// Whom the daemon runs as: the owner of its socket, else of its vault, else the unit's user.
fn service_account(places: &Places) -> Result<Account, AccountError> {
    let directories = places.directories_to_ask();
    let socket = control::socket_path(&directories.runtime);
    let vault = Vault::directory_in(&directories.state);
    let owner = [socket, vault].into_iter().find_map(|path| Some(path.metadata().ok()?.uid()));
    match owner {
        Some(uid) => accounts::account(&accounts::user_name(Uid::from_raw(uid))),
        None => accounts::account(SERVICE_USER),
    }
}

fn check(reader: &SettingsReader, directories: &Directories) -> Result<(), Complaint> {
    let settings = reader.read()?;
    would_start(&settings, directories)?;
    let disabled = Rules::read(&settings, &directories.runtime).disabled;
    if let (Some(line), Some(first)) = (in_one_line(&disabled), disabled.first()) {
        if disabled.len() > 1 {
            list(&disabled)?;
        }
        return Err(Complaint::new(Exit::Configuration, line, first.remedy.clone()));
    }
    if let Some(Complaint { message, remedy, .. }) = missing_programs(&settings) {
        say(format_args!("warning: {message}\ntry: {remedy}"));
    }
    let files = settings.files.paths().map(|path| format!("{}: ok\n", path.display()));
    let files = files.collect::<String>();
    print(if files.is_empty() { "no settings file: defaults\n" } else { &files })
}

/// What is wrong with each target and consumer that is disabled.
pub(super) fn list(disabled: &[Disabled]) -> Result<(), Complaint> {
    let lines = disabled.iter().map(|it| format!("{it}\n  try: {}\n", it.remedy));
    print(&lines.collect::<String>())
}
