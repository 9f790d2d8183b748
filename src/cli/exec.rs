//! `rolekeeper exec`

pub(super) mod endpoint;

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use clap::Args;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::export::variables;
use super::vended::vended;
use super::{Places, region, suggestion};
use crate::control::Complaint;
use crate::pure::advice::Exit;
use crate::pure::shell::in_shell;
use crate::shelf::Moment;

/// Run a command with credentials in its environment
///
/// The command takes this one's place, as the same process: signals, terminal, standard input and exit
/// status are its own. The credentials do not change while it runs, and end within the hour; a command that runs for
/// longer needs --container-endpoint, by which its SDK fetches new ones by itself: this user's
/// processes alone are answered there. Variables that would make an SDK look elsewhere, such as
/// AWS_PROFILE, are taken out. AWS_REGION and AWS_DEFAULT_REGION are the daemon's region, or one that is
/// set says the other; unless the config file has a region in its `[default]`; keys or a credential_process there
/// come before the endpoint, and have to be taken out.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Exec {
    /// A target's or a consumer's name [default: the first that this user may have]
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
    /// Hand over an address and a token to fetch credentials with, for as long as the command runs
    #[arg(long)]
    container_endpoint: bool,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

const EXAMPLES: &str = "\
Examples:
  rolekeeper exec -- aws s3 ls
  rolekeeper exec --target backup -- docker run --rm -e AWS_ACCESS_KEY_ID \\
    -e AWS_SECRET_ACCESS_KEY -e AWS_SESSION_TOKEN image
  rolekeeper exec --container-endpoint -- ./server

Exit status: the command's; 126 when it cannot be run, 127 when it is not found.";

/// What leads an SDK to other credentials than those that are handed over. Some look at a profile or
/// at a web identity before they look at keys; all of them look at keys, and most at files, before
/// they look at a container's address.
const LEADS_ELSEWHERE: [&str; 19] = [
    "AWS_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_ACCOUNT_ID",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CREDENTIAL_EXPIRATION",
    "AWS_CREDENTIAL_FILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_PROFILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SECRET_KEY",
    "AWS_SECURITY_TOKEN",
    "AWS_SESSION_TOKEN",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
];

impl Exec {
    pub(super) fn execute(self, places: &Places) -> Result<ExitCode, Complaint> {
        // Asked also where the endpoint will ask again: who gets nothing runs nothing.
        let vended = vended(places, self.target.as_deref())?;
        let mut command = self.prepared();
        if self.container_endpoint {
            endpoint::open(&mut command, &places.runtime_directories(), &vended.name)?;
        } else {
            let expiration = Moment(vended.token.expires_at).to_string();
            command.envs(variables(&vended.token, &expiration));
        }
        command.envs(region::variables(vended.region.as_ref(), true));
        // Becomes the command, and comes back only when that cannot be.
        let error = command.exec();
        Err(not_run(command.get_program(), &error))
    }

    fn prepared(&self) -> Command {
        let mut words = self.command.iter();
        // clap wants at least one.
        let mut command = Command::new(words.next().map_or_else(OsString::new, Clone::clone));
        command.args(words);
        for name in LEADS_ELSEWHERE {
            command.env_remove(name);
        }
        command
    }
}

/// A command line of which clap took the command, or an option, for something else: what it lacks, and the
/// line as it was meant.
pub(super) fn misplaced(error: &clap::Error, arguments: &[OsString]) -> Option<Complaint> {
    let ContextValue::String(word) = error.get(ContextKind::InvalidArg)? else { return None };
    if error.kind() != ErrorKind::UnknownArgument {
        return None;
    }
    let of_word = |argument: &OsString| {
        argument.to_str().is_some_and(|text| text.split('=').next() == word.split('=').next())
    };
    let at = arguments.iter().position(of_word)?;
    let mut words = arguments.iter().map(|argument| argument.to_string_lossy()).collect::<Vec<_>>();
    let message = if !word.starts_with('-') {
        words.insert(at, "--".into());
        format!("-- is missing before the command '{word}'")
    } else if let Some(meant) = suggestion(error) {
        words[at] = words[at].replacen(word.as_str(), meant, 1).into();
        format!("exec has no option '{word}'")
    } else {
        let message = format!("exec has no option '{word}'; the command's own stand behind --");
        return Some(Complaint::new(Exit::Usage, message, "rolekeeper exec --help"));
    };
    words[0] = "rolekeeper".into();
    let line = words.iter().map(|word| in_shell(word)).collect::<Vec<_>>().join(" ");
    Some(Complaint::new(Exit::Usage, message, line))
}

/// With the statuses of shells and env(1).
fn not_run(program: &OsStr, error: &io::Error) -> Complaint {
    Complaint {
        message: format!("{}: {error}", program.display()),
        remedy: "name a program that can be run after --".to_owned(),
        exit: if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 },
    }
}
