//! `rolekeeper doctor`

mod daemon;
mod home;
mod machine;
mod network;
mod page;
mod storage;
mod user;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use futures_util::future::{BoxFuture, join_all};
use tokio::task::spawn_blocking;

use super::names::with_names;
use super::{Places, print};
use crate::config::{Settings, parse_endpoint_url};
use crate::control::{self, Complaint};
use crate::daemon::{Directories, Rules};
use crate::host::accounts;
use crate::host::clock::timeout;
use crate::pure::advice::{Advice, Exit};
use crate::pure::diagnosis::{self, AFTER_THAT, Check, Finding};
use crate::pure::identity::Region;
use crate::pure::source::Source;
use crate::shelf::{SettingsTrouble, State, Status};
use crate::surroundings::process;
use crate::vault::{Vault, VaultError};

/// Find what is wrong, and say what to do
///
/// Looks at the settings, the vault, the hardware, the way to AWS, the daemon, its outlets and what
/// else runs here. Changes nothing, asks for no credentials and prints no secret. What this user may
/// not look at is skipped, and not known to be right; root sees everything.
///
/// Exit status 0 when everything was looked at and nothing is wrong, 75 with warnings or skipped checks,
/// 78 when something is wrong.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Doctor {
    /// Print a JSON list: name, subject, verdict (ok, inapplicable, skipped, warning, wrong), finding,
    /// remedy and evidence of each check
    #[arg(long)]
    json: bool,
    /// Look at what this user may have, and whether it gets there
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Call the services of this region [default: the settings', else the registration's]
    #[arg(long, value_name = "REGION")]
    region: Option<Region>,
    /// Another endpoint than AWS's own for the region [default: the settings']
    #[arg(long, value_name = "URL", value_parser = parse_endpoint_url)]
    endpoint_url: Option<String>,
    /// Where to look for EC2's instance metadata
    #[arg(long, hide = true, value_name = "ADDRESS", default_value = METADATA)]
    metadata_address: SocketAddr,
    /// Where amazon-ssm-agent keeps its things
    #[arg(long, hide = true, value_name = "DIR", default_value = process::AGENT_DIRECTORY)]
    agent_directory: PathBuf,
    /// The user's home directory, instead of the account's
    #[arg(long, hide = true, value_name = "DIR", requires = "user")]
    home: Option<PathBuf>,
}

/// Where SDKs look for EC2's instance metadata.
const METADATA: &str = "169.254.169.254:80";

const EXAMPLES: &str = "\
Examples:
  sudo rolekeeper doctor
  sudo rolekeeper doctor --user backup
  rolekeeper doctor --region eu-central-1              # before a registration
  rolekeeper doctor --json | jq -r '.[] | select(.verdict == \"wrong\") | .remedy'";

/// How long one look may take. Whatever it waits for, waits less by itself; a file system that hangs
/// does not.
const PATIENCE: Duration = Duration::from_secs(10);

/// Everything that the looks share.
struct Patient {
    settings: Result<Settings, Complaint>,
    directories: Directories,
    /// What the daemon says of itself.
    status: Result<Status, Complaint>,
    /// Its process, where this user may see it.
    daemon: Option<process::Daemon>,
    region: Option<Region>,
    metadata_address: SocketAddr,
    agent_directory: PathBuf,
    home: Option<PathBuf>,
}

/// One look: the name that its checks have, and what finds them.
type Look = (&'static str, BoxFuture<'static, Vec<Check>>);

impl Doctor {
    pub(super) async fn execute(self, places: &Places) -> Result<ExitCode, Complaint> {
        let progress = places.progress();
        progress
            .begin("looking at this machine, the way to AWS and the daemon", Some(2 * PATIENCE));
        let settings = places.settings().map_err(|error| Complaint::of(&error));
        let settings = settings.map(|settings| settings.with_endpoint_url(self.endpoint_url));
        let directories = places.directories_to_ask();
        let socket = control::socket_path(&directories.runtime);
        let patient = Arc::new(Patient {
            settings,
            status: progress.during(daemon::status(&directories.runtime)).await,
            daemon: progress.during(process::behind(&socket, &network::VARIABLES)).await,
            directories,
            region: self.region,
            metadata_address: self.metadata_address,
            agent_directory: self.agent_directory,
            home: self.home,
        });
        let account = self.user.as_deref().map(accounts::account).transpose();
        let mut looks = vec![
            blocking("settings", &patient, settings_read),
            blocking("registration", &patient, daemon::registration),
            blocking("vault", &patient, storage::vault),
            blocking("hardware", &patient, storage::hardware),
            waiting("service", network::services(Arc::clone(&patient))),
            blocking("daemon", &patient, daemon::answers),
            blocking("credentials", &patient, daemon::credentials),
            blocking("health", &patient, daemon::health),
            blocking("target", &patient, daemon::files),
            blocking("endpoint", &patient, daemon::listeners),
            blocking("privileges", &patient, daemon::privileges),
            blocking("agent", &patient, machine::agent),
            waiting("metadata", machine::metadata(Arc::clone(&patient))),
        ];
        match account {
            Ok(None) => {}
            Ok(Some(account)) => {
                looks.push(blocking("access", &patient, move |it| user::look(it, &account)));
            }
            Err(unknown) => {
                let remedy = "give the name or the number of a user of this machine";
                return Err(Complaint::new(Exit::Usage, format!("--user: {unknown}"), remedy));
            }
        }
        let looks = join_all(looks.into_iter().map(bounded));
        let checks = progress.during(looks).await.concat();
        if self.json {
            let json = serde_json::to_string_pretty(&checks).unwrap_or_default();
            print(&format!("{json}\n"))?;
        } else {
            print(&with_names(&page::page(&checks)))?;
        }
        Ok(ExitCode::from(diagnosis::exit(&checks) as u8))
    }
}

impl Patient {
    /// Where the credentials come from: what the daemon says of itself, else the settings.
    fn source(&self) -> Source {
        let chosen = || self.settings.as_ref().map(|settings| settings.identity.source.value);
        let told = self.status.as_ref().map(|status| status.source);
        told.or_else(|_| chosen()).unwrap_or(Source::Hybrid)
    }

    /// What a look finds that is about a registration, where there is to be none.
    fn without_registration(&self, name: &'static str) -> Option<Vec<Check>> {
        let source = Some(self.source()).filter(|source| *source != Source::Hybrid)?;
        let finding = format!("none is used: the credentials' source is {source}");
        Some(vec![Check::new(name, Finding::inapplicable(finding))])
    }

    /// What a look finds that needs the settings and has none.
    fn without_settings(name: &'static str) -> Vec<Check> {
        vec![Check::new(name, Finding::skipped("needs settings that can be read", AFTER_THAT))]
    }

    /// Whether there is to be a registration, and none is there.
    fn is_unregistered(&self) -> bool {
        if let Ok(status) = &self.status {
            return status.state == State::Unregistered;
        }
        let vault = Vault::read_only(&self.directories.state);
        let read = vault.and_then(|vault| vault.registration());
        self.source() == Source::Hybrid && matches!(read, Err(VaultError::Missing { .. }))
    }

    /// Whether there is a vault that this user may not look into.
    fn vault_is_closed(&self) -> bool {
        let vault = Vault::read_only(&self.directories.state);
        let read = vault.and_then(|vault| vault.registration());
        read.is_err_and(|error| error.exit() == Exit::Refused)
    }
}

/// A look that reads files, on a thread of its own.
fn blocking(
    name: &'static str,
    patient: &Arc<Patient>,
    look: impl FnOnce(&Patient) -> Vec<Check> + Send + 'static,
) -> Look {
    let patient = Arc::clone(patient);
    let look = spawn_blocking(move || look(&patient));
    // It is neither cancelled nor does it panic.
    waiting(name, async move { look.await.unwrap_or_default() })
}

fn waiting(name: &'static str, look: impl Future<Output = Vec<Check>> + Send + 'static) -> Look {
    (name, Box::pin(look))
}

/// One that hangs keeps nobody from the others' results.
async fn bounded((name, look): Look) -> Vec<Check> {
    timeout(PATIENCE, look).await.unwrap_or_else(|_| {
        let seconds = PATIENCE.as_secs();
        let hangs = format!("no result within {seconds} s: a disk, a name server or a mount hangs");
        vec![Check::new(name, Finding::warning(hangs, "rolekeeper doctor, once more, as root"))]
    })
}

/// What this user finds in the files, and what the daemon found in them: it may be less.
fn settings_read(patient: &Patient) -> Vec<Check> {
    const NAME: &str = "settings";
    let told = patient.status.as_ref().ok();
    let trouble = told.and_then(|status| status.settings.clone());
    let finding = match (&patient.settings, trouble) {
        (Err(complaint), _) => complaint.clone().into(),
        (Ok(_), Some(SettingsTrouble { error, remedy })) => {
            let text = format!("the daemon goes by the last good ones: {error}");
            Finding::wrong(text, remedy)
        }
        (Ok(settings), None) => {
            let files = settings.files.paths().map(|path| path.display().to_string());
            let files = files.collect::<Vec<_>>();
            Finding::ok(match files.as_slice() {
                [] => "no settings file: the defaults hold".to_owned(),
                files => files.join(", "),
            })
        }
    };
    let own = patient
        .settings
        .as_ref()
        .map(|settings| Rules::read(settings, &patient.directories.runtime).disabled);
    let mut disabled = own.unwrap_or_default();
    for told in told.into_iter().flat_map(|status| &status.disabled) {
        if !disabled.contains(told) {
            disabled.push(told.clone());
        }
    }
    let checks = disabled.into_iter().map(|disabled| {
        let text = format!("{}: {}", disabled.place, disabled.error);
        Check::of(NAME, disabled.subject(), Finding::wrong(text, disabled.remedy))
    });
    [Check::new(NAME, finding)].into_iter().chain(checks).collect()
}
