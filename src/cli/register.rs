//! `rolekeeper register`

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;

use super::{Places, complain, local, print, say};
use crate::config::{Settings, parse_endpoint_url};
use crate::connection::OPERATION_TIMEOUT;
use crate::control::{self, Command, Complaint, Reply};
use crate::daemon::{
    Application, RegistrationStep, Seams, Verdict, examine, register, registered_region,
};
use crate::host::{environment, signals, terminal};
use crate::pure::advice::Exit;
use crate::pure::assumption::SessionTags;
use crate::pure::fingerprint::SimilarityThreshold;
use crate::pure::identity::{Activation, ActivationCode, ActivationId, Region};
use crate::pure::secret::Secret;
use crate::pure::shell::in_shell;
use crate::ssm::Tag;
use crate::vault::{Registration, Vault, VaultError, VaultReader};

/// Register this machine through a hybrid activation
///
/// Makes an RSA key and a fingerprint, sends them with the activation once, and keeps the identity
/// in the vault. Prints the instance id. An identity that is there already stays whole until the
/// service has accepted the new one.
///
/// The activation code comes from one of --activation-code-file, --activation-code and the systemd
/// credential "activation". Without any of them it is asked for at the terminal, which does not show it.
///
/// With --ensure, an identity that is there is verified: its records, the hardware that it stands for,
/// the region, and by a signed request that the service knows it. The activation is not compared: it
/// admits once, and ends long before the machine. Exit status 0 when all is well, also when the service
/// cannot be asked, which is said; 65 when a record is damaged, 66 when the fingerprint is missing, 67
/// when the service does not know the instance, 77 when this is another machine, or the service refuses
/// its fingerprint or key, 78 when it is registered in another region than the one asked for.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Register {
    /// AWS region of the activation, such as eu-central-1 [default: from the settings, else
    /// $AWS_REGION, else $AWS_DEFAULT_REGION]
    #[arg(long, value_name = "REGION")]
    region: Option<Region>,
    /// Activation id, a UUID
    #[arg(long, value_name = "ID")]
    activation_id: Option<ActivationId>,
    /// File that holds the activation code; - reads standard input, without showing what is typed there
    #[arg(long, value_name = "FILE", conflicts_with = "activation_code")]
    activation_code_file: Option<PathBuf>,
    /// The activation code itself; every user of this machine can see it while the command runs
    #[arg(long, value_name = "CODE")]
    activation_code: Option<String>,
    /// Change nothing when this machine is registered already, and verify that it is
    #[arg(long)]
    ensure: bool,
    /// Replace the identity that is there; its records are kept aside
    #[arg(long, conflicts_with = "ensure")]
    force: bool,
    /// Tag of the new instance; may be repeated
    #[arg(long = "tag", value_name = "KEY=VALUE")]
    tags: Vec<TagArgument>,
    /// Percent of the hardware that must stay the same, 1 to 100; -1 switches the check off
    #[arg(long, value_name = "N", default_value = "40", allow_hyphen_values = true)]
    similarity_threshold: SimilarityThreshold,
    /// Another endpoint than AWS's own for the region
    #[arg(long, value_name = "URL", value_parser = parse_endpoint_url)]
    endpoint_url: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  rolekeeper register --region eu-central-1 --activation-id \"$ID\"
  rolekeeper register --region eu-central-1 \\
      --activation-id 8d1f6d1e-6f0b-4a3c-9d55-0b6f7d6a1c11 \\
      --activation-code-file code.txt
  printf %s \"$CODE\" | rolekeeper register --region eu-central-1 \\
      --activation-id \"$ID\" --activation-code-file -
  rolekeeper register --ensure --region eu-central-1 --activation-id \"$ID\" \\
      --activation-code-file /etc/rolekeeper/activation-code";

/// The systemd credential that may hold the code.
const CREDENTIAL: &str = "activation";

/// More than any code has; keeps a wrong file from being read whole.
const LARGEST_CODE_FILE: u64 = 4096;

#[derive(Debug, Clone)]
struct TagArgument(Tag);

impl FromStr for TagArgument {
    type Err = String;

    /// Systems Manager takes the keys and values that STS takes, but no empty value (its API reference,
    /// `Tag`).
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() && !value.is_empty() => {
                let (key, value) = (key.to_owned(), value.to_owned());
                let tags = [(key.clone(), value.clone())].into();
                SessionTags::new(tags).map_err(|error| error.to_string())?;
                Ok(Self(Tag { key, value }))
            }
            _ => Err("expected KEY=VALUE".to_owned()),
        }
    }
}

impl Register {
    pub(super) async fn execute(self, places: &Places) -> Result<(), Complaint> {
        let reached = Cell::new(Reached::Nothing);
        match signals::unless_stopped(self.register(places, &reached)).await {
            Ok(outcome) => outcome,
            Err(stopped) => {
                let complaint = reached.get().interrupted();
                complain("rolekeeper", &complaint.message, &complaint.remedy);
                stopped.end();
                Ok(())
            }
        }
    }

    async fn register(self, places: &Places, reached: &Cell<Reached>) -> Result<(), Complaint> {
        let progress = places.progress();
        let settings = self.settings(places)?;
        let directories = places.directories();
        let seams = Seams::system();
        if self.ensure {
            match Vault::read_only(&directories.state) {
                Err(VaultError::Missing { .. }) => {}
                vault => {
                    if verified(&settings, &vault?, &seams).await? {
                        return Ok(());
                    }
                }
            }
        }
        let region = settings.region.value.clone().ok_or_else(|| missing("--region"))?;
        let activation = self.activation().await?;
        let ssm = local::ssm(&settings, region).await?;

        let mut vault = Vault::open(&directories.state)?;
        // A registration that a crash had interrupted was completed just now.
        if self.ensure && verified(&settings, &vault, &seams).await? {
            return Ok(());
        }
        let replaced = vault.registration();
        let application = Application {
            activation,
            tags: self.tags.iter().map(|TagArgument(tag)| tag.clone()).collect(),
            threshold: self.similarity_threshold,
            replace: self.force,
        };
        let mut shown = Ok(());
        let show = |step: RegistrationStep<'_>| match step {
            RegistrationStep::Prepares => progress.begin("making an RSA key", None),
            RegistrationStep::Asks => {
                reached.set(Reached::Service);
                let what = format!("asking {} for an instance id", ssm.endpoint());
                progress.begin(what, Some(OPERATION_TIMEOUT));
            }
            RegistrationStep::Accepted(id) => {
                reached.set(Reached::Identity);
                shown = print(&format!("{id}\n"));
                progress
                    .begin(format!("writing the vault in {}", directories.state.display()), None);
            }
        };
        let registering = register(&mut vault, &ssm, &seams, &application, show);
        let registered = progress.during(registering).await;
        let registered = registered.map_err(|error| self.with_endpoint(Complaint::of(&error)))?;
        drop(vault);
        let (id, by) = (&registered.instance_id, &application.activation.id);
        say(format_args!("registered as {id} in {}, by activation {by}", ssm.region()));
        if let Some(note) = left_behind(&settings, replaced) {
            say(format_args!("{note}"));
        }
        progress.expect("waiting for the daemon's first credentials", Some(2 * OPERATION_TIMEOUT));
        progress.during(wake_daemon(&directories.runtime)).await;
        shown
    }

    /// An option beats the files, and these the environment.
    fn settings(&self, places: &Places) -> Result<Settings, Complaint> {
        let settings = places
            .hybrid_settings()?
            .with_region(self.region.clone())
            .with_endpoint_url(self.endpoint_url.clone());
        Ok(settings.with_region_variables(environment::variable)?)
    }

    /// Where only this command line names the endpoint, whoever is asked to look there is told it, too.
    fn with_endpoint(&self, complaint: Complaint) -> Complaint {
        let Some(url) = &self.endpoint_url else { return complaint };
        let (before, option) =
            ("rolekeeper doctor --region ", format!(" --endpoint-url {}", in_shell(url)));
        let Some(at) = complaint.remedy.find(before).map(|at| at + before.len()) else {
            return complaint;
        };
        let mut remedy = complaint.remedy;
        let region = remedy[at..].find(|c: char| !c.is_ascii_alphanumeric() && c != '-');
        remedy.insert_str(region.map_or(remedy.len(), |length| at + length), &option);
        Complaint { remedy, ..complaint }
    }

    async fn activation(&self) -> Result<Activation, Complaint> {
        let id = self.activation_id.clone().ok_or_else(|| missing("--activation-id"))?;
        let code = match (&self.activation_code_file, &self.activation_code) {
            (Some(path), _) if path == Path::new("-") => match ask_code().await? {
                Some(code) => code,
                None => read_code(path)?,
            },
            (Some(path), _) => read_code(path)?,
            (None, Some(code)) => Secret::new(code.clone()),
            (None, None) => match environment::path("CREDENTIALS_DIRECTORY") {
                // That of another service has none for us.
                Some(directory) if !is_missing(&directory.join(CREDENTIAL)) => {
                    read_code(&directory.join(CREDENTIAL))?
                }
                Some(_) | None => {
                    ask_code().await?.ok_or_else(|| missing("--activation-code-file"))?
                }
            },
        };
        let code = ActivationCode::parse(code).map_err(|error| {
            Complaint::new(Exit::Usage, error.to_string(), "copy the code from create-activation")
        })?;
        Ok(Activation { id, code })
    }
}

fn is_missing(path: &Path) -> bool {
    path.symlink_metadata().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}

/// How far it has come when it is interrupted.
#[derive(Debug, Clone, Copy)]
enum Reached {
    Nothing,
    /// The service is asked, and may have answered.
    Service,
    Identity,
}

impl Reached {
    fn interrupted(self) -> Complaint {
        let (message, remedy) = match self {
            Self::Nothing => ("interrupted; nothing was changed", "the same command again"),
            Self::Service => (
                "interrupted while the service was asked: it may have registered this machine",
                "the same command again; if an instance appears at the service all the same, deregister \
                 it there: aws ssm deregister-managed-instance --instance-id ID",
            ),
            Self::Identity => (
                "interrupted; this machine is registered, and the daemon was not waited for",
                "rolekeeper status",
            ),
        };
        Complaint::new(Exit::TryAgain, message, remedy)
    }
}

/// The code as somebody types it; nothing where nobody sits at a terminal.
async fn ask_code() -> Result<Option<Secret<String>>, Complaint> {
    let asked = terminal::ask_secret("Activation code: ", LARGEST_CODE_FILE as usize).await;
    asked.map_err(|error| {
        let message = format!("the activation code cannot be asked for at this terminal: {error}");
        Complaint::new(Exit::BadData, message, "give --activation-code-file FILE")
    })
}

/// Verifies the identity that is there, and says how far; false on a machine that has none.
async fn verified(
    settings: &Settings,
    vault: &VaultReader,
    seams: &Seams,
) -> Result<bool, Complaint> {
    let registration = match vault.registration() {
        Err(VaultError::Missing { .. }) => return Ok(false),
        registration => registration?,
    };
    let region = registered_region(settings, &registration, vault)?;
    let examined = examine(vault, seams).await?;
    let verdict = examined.ask(&local::ssm(settings, region.clone()).await?).await?;
    let id = registration.instance_id;
    match verdict {
        Verdict::Known => {
            say(format_args!(
                "already registered as {id} in {region}, verified with the service; nothing was changed"
            ));
        }
        Verdict::NotAsked(error) => {
            say(format_args!(
                "already registered as {id} in {region}, not verified with the service: {error}; \
                 nothing was changed"
            ));
        }
    }
    print(&format!("{id}\n"))?;
    Ok(true)
}

/// What becomes of the identity that was replaced: the service keeps it until somebody says otherwise.
fn left_behind(settings: &Settings, replaced: Result<Registration, VaultError>) -> Option<String> {
    match replaced {
        Err(VaultError::Missing { .. }) => None,
        Ok(Registration { instance_id, region, .. }) => Some(format!(
            "the service may still list {instance_id}, which this machine was; to remove it there: {}",
            local::deregistration(settings, &region, &instance_id)
        )),
        Err(error) => Some(format!(
            "the service may still list what this machine was; its id is not known here: {error}"
        )),
    }
}

fn read_code(path: &Path) -> Result<Secret<String>, Complaint> {
    use std::io::Read;
    let mut code = String::with_capacity(LARGEST_CODE_FILE as usize);
    let read = if path == Path::new("-") {
        std::io::stdin().take(LARGEST_CODE_FILE).read_to_string(&mut code)
    } else {
        std::fs::File::open(path)
            .and_then(|file| file.take(LARGEST_CODE_FILE).read_to_string(&mut code))
    };
    let code = Secret::new(code);
    match read {
        Ok(_) => Ok(code),
        Err(error) => Err(Complaint::new(
            Exit::BadData,
            format!("activation code file {}: {error}", path.display()),
            "name a readable file that holds the code and nothing else",
        )),
    }
}

fn missing(option: &str) -> Complaint {
    Complaint::new(Exit::Usage, format!("{option} is required"), "rolekeeper register --help")
}

/// A daemon that waits for this goes to work at once, and says how that went.
async fn wake_daemon(runtime_dir: &Path) {
    match control::ask(runtime_dir, &Command::Refresh).await {
        Ok(Reply::Done(sentence)) => say(format_args!("the daemon: {sentence}")),
        Err(control::ControlError::Refused(complaint)) => {
            say(format_args!("the daemon: {}\ntry: {}", complaint.message, complaint.remedy));
        }
        // Nobody waits.
        Ok(_) | Err(_) => {}
    }
}
