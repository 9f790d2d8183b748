//! `rolekeeper export`

use clap::{Args, ValueEnum};
use serde_json::json;

use super::{Places, print};
use crate::control::{self, Command, Complaint, Reply};
use crate::daemon::targets;
use crate::host::clock::{Clock, SystemClock};
use crate::pure::advice::Exit;
use crate::shelf::Moment;
use crate::targets::{Published, published};

/// Print a target's credentials as `aws configure export-credentials` does
///
/// Reads the target's file, so whoever may read that file may do this.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Export {
    /// Which target's credentials [default: the first]
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
    /// How to print them
    #[arg(long, value_enum, default_value_t = Format::Process)]
    format: Format,
}

const EXAMPLES: &str = "\
Examples:
  eval \"$(rolekeeper export --format env)\"
  rolekeeper export --format env-no-export > credentials.env
  rolekeeper export --format fish | source";

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// JSON, as credential_process prints it
    Process,
    /// export NAME=VALUE
    Env,
    /// NAME=VALUE
    EnvNoExport,
    /// $Env:NAME="VALUE"
    Powershell,
    /// set NAME=VALUE
    WindowsCmd,
    /// set -gx NAME "VALUE"
    Fish,
}

impl Export {
    pub(super) async fn execute(self, places: &Places) -> Result<(), Complaint> {
        let targets = targets(&places.settings()?, &places.directories().runtime)?;
        let wanted = |name: &String| targets.iter().find(|target| target.name == *name);
        let target = match &self.target {
            None => targets.first(),
            Some(name) => wanted(name),
        };
        let target = target.ok_or_else(|| {
            let names = targets.iter().map(|target| target.name.as_str()).collect::<Vec<_>>();
            let message = format!("there is no target '{}'", self.target.unwrap_or_default());
            Complaint::new(Exit::Usage, message, format!("--target {}", names.join(" or ")))
        })?;
        let credentials = published(target)?.ok_or_else(|| {
            Complaint::new(
                Exit::TryAgain,
                format!("{} holds no credentials now", target.path.display()),
                "rolekeeper status",
            )
        })?;
        let ended = credentials.expires_at.filter(|end| *end <= SystemClock.now());
        if let Some(end) = ended
            && !daemon_believes_in(places, &target.name, Moment(end)).await
        {
            return Err(Complaint::new(
                Exit::TryAgain,
                format!("the credentials in {} have expired", target.path.display()),
                "rolekeeper status",
            ));
        }
        print(&self.format.write(&credentials))
    }
}

/// The daemon knows the service's clock, where this machine's may be wrong: what it shows as usable
/// is.
async fn daemon_believes_in(places: &Places, target: &str, end: Moment) -> bool {
    let answer = control::ask(&places.directories().runtime, &Command::Status).await;
    let Ok(Reply::Status(status)) = answer else { return false };
    let shown = status.targets.into_iter().find(|shown| shown.name == target);
    shown
        .and_then(|target| target.credentials)
        .is_some_and(|credentials| credentials.expires_at.to_string() == end.to_string())
}

impl Format {
    fn write(self, credentials: &Published) -> String {
        let expiration = credentials.expires_at.map(|end| Moment(end).to_string());
        let access_key_id = credentials.access_key_id.expose();
        let secret_access_key = credentials.secret_access_key.expose();
        let session_token = credentials.session_token.expose();
        if let Self::Process = self {
            let mut object = json!({
                "Version": 1,
                "AccessKeyId": access_key_id,
                "SecretAccessKey": secret_access_key,
                "SessionToken": session_token,
            });
            if let Some(expiration) = expiration {
                object["Expiration"] = expiration.into();
            }
            return format!("{object}\n");
        }
        let variables = [
            ("AWS_ACCESS_KEY_ID", Some(access_key_id)),
            ("AWS_SECRET_ACCESS_KEY", Some(secret_access_key)),
            ("AWS_SESSION_TOKEN", Some(session_token)),
            ("AWS_CREDENTIAL_EXPIRATION", expiration.as_ref()),
        ];
        let lines = variables.into_iter().filter_map(|(name, value)| Some((name, value?)));
        lines.map(|(name, value)| self.line(name, value)).collect()
    }

    /// Credentials have no quote and no blank in them, so none of these needs quoting.
    fn line(self, name: &str, value: &str) -> String {
        match self {
            Self::Process | Self::EnvNoExport => format!("{name}={value}\n"),
            Self::Env => format!("export {name}={value}\n"),
            Self::Powershell => format!("$Env:{name}=\"{value}\"\n"),
            Self::WindowsCmd => format!("set {name}={value}\n"),
            Self::Fish => format!("set -gx {name} \"{value}\"\n"),
        }
    }
}
