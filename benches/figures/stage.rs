//! A lab on loopback, directories of their own, and the commands of the binary that is measured.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rolekeeper::host::clock::{Clock, SystemClock};
use rolekeeper::host::entropy::SystemEntropy;
use rolekeeper::lab::definitions::Definitions;
use rolekeeper::lab::operation::Operation;
use rolekeeper::lab::{Lab, LabSettings};
use serde_json::json;
use tempfile::TempDir;
use tokio::process::Command;

use super::Outcome;
use super::program::Program;

/// Where the binary is watched.
#[derive(Debug)]
pub(crate) struct Stage {
    binary: PathBuf,
    lab: Lab,
    activation: Activation,
    scratch: TempDir,
}

#[derive(Debug)]
struct Activation {
    id: String,
    code: String,
}

/// As long as AWS's: no refresh falls into an idle window.
const TOKEN_LIFETIME: Duration = Duration::from_secs(60 * 60);

const REGION: &str = "us-east-1";

/// More registrations than anybody asks for.
const REGISTRATIONS: u32 = 1000;

impl Stage {
    /// Starts the lab and makes everything ready for the first registration.
    pub(crate) async fn set(binary: &Path) -> Outcome<Self> {
        let lab = Lab::start(LabSettings {
            token_lifetime: TOKEN_LIFETIME,
            region: REGION.parse()?,
            ..LabSettings::default()
        })
        .await?;
        let asked = json!({ "IamRole": "Figures", "RegistrationLimit": REGISTRATIONS });
        let made =
            lab.client()?.call(Operation::CreateActivation, &asked, SystemClock.now()).await?;
        let text = |name: &str| made[name].as_str().map(str::to_owned).ok_or("no activation");
        let activation = Activation { id: text("ActivationId")?, code: text("ActivationCode")? };

        let scratch = tempfile::tempdir()?;
        std::fs::write(scratch.path().join("code"), &activation.code)?;
        std::fs::create_dir(scratch.path().join("run"))?;
        let stage = Self { binary: binary.to_owned(), lab, activation, scratch };
        stage.write_settings("")?;
        Ok(stage)
    }

    /// The lab's address, and `more`.
    pub(crate) fn write_settings(&self, more: &str) -> Outcome<()> {
        let url = self.lab.endpoint_url();
        let settings = format!("[service]\nendpoint_url = \"{url}\"\n{more}");
        Ok(std::fs::write(self.path("settings.toml"), settings)?)
    }

    /// Roles of the lab, in the form of its `--roles` file.
    pub(crate) fn define(&self, roles: &str) -> Outcome<()> {
        let definitions = Definitions::from_toml(roles)?;
        Ok(self.lab.with_service(|service| definitions.apply(service, &SystemEntropy))?)
    }

    /// What the daemon has logged.
    pub(crate) fn log(&self) -> Outcome<String> {
        Ok(std::fs::read_to_string(self.path("log"))?)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// `rolekeeper register`, into an empty vault.
    pub(crate) async fn register(&self) -> Outcome<Duration> {
        let vault = self.path("state");
        if vault.exists() {
            std::fs::remove_dir_all(&vault)?;
        }
        let mut command = self.command();
        command.args(["register", "--region", REGION, "--activation-id", &self.activation.id]);
        command.arg("--activation-code-file").arg(self.path("code"));
        finish(command).await
    }

    /// `rolekeeper run`, until its first credentials are there.
    pub(crate) async fn run_daemon(&self) -> Outcome<Program> {
        let credentials = self.path("run/credentials");
        // What the last one left.
        let _ = std::fs::remove_file(&credentials);
        let mut command = self.command();
        let log = self.path("log");
        let writer = std::fs::File::create(&log)?;
        command.arg("run").stdin(Stdio::null()).stdout(Stdio::null()).stderr(writer);
        let started = Program::start(command, &credentials).await;
        started.map_err(|error| {
            let log = std::fs::read_to_string(&log).unwrap_or_default();
            format!("{error}; the daemon's log:\n{log}").into()
        })
    }

    /// `rolekeeper refresh`, until the daemon has answered.
    pub(crate) async fn refresh(&self) -> Outcome<Duration> {
        let mut command = self.command();
        command.arg("refresh");
        finish(command).await
    }

    /// `rolekeeper credential-process`, of a daemon that runs.
    pub(crate) async fn credential_process(&self) -> Outcome<Duration> {
        finish(self.asking()).await
    }

    /// The same, to be run.
    pub(crate) fn asking(&self) -> Command {
        let mut command = self.command();
        command.arg("credential-process");
        command
    }

    pub(crate) async fn strike(self) {
        self.lab.shutdown().await;
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command.env_clear().arg("--config").arg(self.path("settings.toml"));
        command.arg("--state-dir").arg(self.path("state"));
        command.arg("--runtime-dir").arg(self.path("run"));
        command
    }
}

/// Runs a command to its end, and says how long that took.
async fn finish(mut command: Command) -> Outcome<Duration> {
    let began = SystemClock.since_boot();
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await?;
    let took = SystemClock.since_boot().saturating_sub(began);
    if output.status.success() {
        Ok(took)
    } else {
        let why = String::from_utf8_lossy(&output.stderr).replace('\n', "; ");
        Err(format!("{:?}: {why}", command.as_std().get_args().last().unwrap_or_default()).into())
    }
}
