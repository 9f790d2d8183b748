//! What the operator types: one file per command.

mod advise;
mod completions;
mod config;
mod credential_process;
mod deregister;
mod doctor;
mod exec;
mod export;
mod fingerprint;
mod local;
mod log;
mod man;
mod names;
mod refresh;
mod region;
mod register;
mod reload;
mod rotate_key;
mod run;
mod status;
mod times;
mod vended;

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::config::{ConfigError, Settings, without_account};
use crate::control::Complaint;
use crate::daemon::{Directories, SettingsReader, no_registration, own_files};
use crate::host::progress::Progress;
use crate::host::terminal::{complain, say};
use crate::host::{environment, process};
use crate::pure::advice::{Advice, Exit};
use crate::pure::source::Source;

/// AWS credentials for a server outside AWS.
///
/// Registers this machine once through a hybrid activation of AWS Systems Manager, then keeps
/// short-lived role credentials fresh in credentials files that any AWS SDK reads.
#[derive(Debug, Parser)]
#[command(name = "rolekeeper", version, after_help = EXAMPLES, max_term_width = 100)]
struct Arguments {
    #[command(flatten)]
    places: Places,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  rolekeeper register --region eu-central-1 --activation-id ID
  rolekeeper run
  rolekeeper status
  rolekeeper exec -- aws sts get-caller-identity

Exit status: 0 done, 64 usage, 65 bad data, 66 record missing, \
67 instance unknown to the service, 69 service unavailable, 70 our bug, 73 cannot create, \
75 try again later, 77 refused, 78 configuration.";

/// The settings file.
const SETTINGS_FILE: &str = "ROLEKEEPER_CONFIG";

/// The certificates to trust, as the AWS SDKs and the AWS CLI are told them.
const CA_BUNDLE: &str = "AWS_CA_BUNDLE";

/// Where sockets and credentials are unless told otherwise.
const RUNTIME_DIRECTORY: &str = "/run/rolekeeper";

/// Where the vault is unless told otherwise.
const STATE_DIRECTORY: &str = "/var/lib/rolekeeper";

/// Where things are; accepted before and after every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every command")]
struct Places {
    /// Settings file, instead of /etc/rolekeeper/rolekeeper.toml and /etc/rolekeeper/conf.d
    /// [env: ROLEKEEPER_CONFIG]
    // Not by clap, for which a variable that is empty has a value.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the vault is kept [default: $STATE_DIRECTORY, else /var/lib/rolekeeper]
    #[arg(long, global = true, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Where socket and credentials are [default: $RUNTIME_DIRECTORY, else /run/rolekeeper]
    #[arg(long, global = true, value_name = "DIR")]
    runtime_dir: Option<PathBuf>,
    /// Say nothing of what goes on while a command waits: at a terminal each step is said on standard
    /// error, elsewhere what takes longer than 10 s
    #[arg(short, long, global = true)]
    quiet: bool,
    /// Log each request and each decision, too; twice for everything. The daemon's level is otherwise
    /// that of its settings, `level` under [log]
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
}

#[derive(Debug, Subcommand)]
enum Command {
    Register(register::Register),
    Run(run::Run),
    Status(status::Status),
    Refresh(refresh::Refresh),
    Reload(reload::Reload),
    #[command(subcommand)]
    Fingerprint(fingerprint::Fingerprint),
    RotateKey(rotate_key::RotateKey),
    CredentialProcess(credential_process::CredentialProcess),
    Exec(exec::Exec),
    Export(export::Export),
    Advise(advise::Advise),
    #[command(subcommand)]
    Config(config::Config),
    Deregister(deregister::Deregister),
    Doctor(doctor::Doctor),
    Completions(completions::Completions),
    Man(man::Man),
}

/// Runs the command line to its exit status. Errors have two lines on standard error: what failed,
/// and what to try.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = arguments.into_iter().collect::<Vec<_>>();
    if let Some(ended) = exec::endpoint::serve(&arguments) {
        return ended;
    }
    if completions::answer(&arguments) {
        return ExitCode::SUCCESS;
    }
    let outcome = match Arguments::try_parse_from(&arguments) {
        Ok(mut parsed) => {
            parsed.places.config = parsed.places.config.or_else(settings_file);
            log::start(parsed.places.verbose, matches!(parsed.command, Command::Run(_)));
            match parsed.command {
                // What is run keeps the limits of whoever runs it.
                Command::Exec(_) => process::hide_memory(),
                _ => process::protect_memory(),
            }
            execute(parsed)
        }
        Err(error) if error.use_stderr() => Err(usage(&error, &arguments)),
        Err(help) => {
            // A reader that has gone away is no error.
            let _ = help.print();
            Ok(ExitCode::SUCCESS)
        }
    };
    match outcome {
        Ok(code) => code,
        Err(Complaint { message, remedy, exit }) => {
            complain("rolekeeper", &names::with_names(&message), &names::with_names(&remedy));
            ExitCode::from(exit)
        }
    }
}

fn execute(Arguments { places, command }: Arguments) -> Result<ExitCode, Complaint> {
    let done = match command {
        Command::Register(command) => wait(command.execute(&places)),
        Command::Run(command) => wait(command.execute(places)),
        // What it shows is no error of its own.
        Command::Status(command) => return wait(command.execute(&places)),
        Command::Refresh(command) => wait(command.execute(&places)),
        Command::Reload(command) => wait(command.execute(&places)),
        Command::Fingerprint(command) => wait(command.execute(&places)),
        Command::RotateKey(command) => wait(command.execute(&places)),
        Command::CredentialProcess(command) => command.execute(&places),
        // Ends as its command does.
        Command::Exec(command) => return command.execute(&places),
        Command::Export(command) => command.execute(&places),
        Command::Advise(command) => command.execute(&places),
        Command::Config(command) => command.execute(&places),
        Command::Deregister(command) => wait(command.execute(&places)),
        // Its findings are no errors of its own.
        Command::Doctor(command) => return wait(command.execute(&places)),
        Command::Completions(command) => command.execute(),
        Command::Man(command) => command.execute(),
    };
    done.map(|()| ExitCode::SUCCESS)
}

/// Does the work in an event loop of its own.
fn wait<T>(work: impl Future<Output = Result<T, Complaint>>) -> Result<T, Complaint> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| {
        Complaint::new(Exit::Bug, format!("no event loop: {error}"), "free some file descriptors")
    })?;
    let outcome = runtime.block_on(work);
    // A name look-up may hang in a thread of its own; nobody waits for it.
    runtime.shutdown_background();
    outcome
}

impl Places {
    /// Says what goes on, unless it is to be quiet.
    fn progress(&self) -> Progress {
        Progress::new(self.quiet)
    }

    fn settings(&self) -> Result<Settings, ConfigError> {
        let settings = Settings::load(self.config.as_deref()).map(in_this_environment);
        settings.map(|settings| settings.keep_off(&own_files(&self.directories())))
    }

    /// Reads them as often as they are wanted.
    fn reader(&self) -> SettingsReader {
        self.reader_of(self.config.clone())
    }

    fn reader_of(&self, file: Option<PathBuf>) -> SettingsReader {
        let own = own_files(&self.directories());
        SettingsReader::new(file.clone(), move |kept| {
            let settings = match kept {
                Some(files) => Settings::of(files),
                None => Settings::load(file.as_deref()),
            };
            settings.map(in_this_environment).map(|settings| settings.keep_off(&own))
        })
    }

    /// The settings of a machine that registers, for commands that are about its identity.
    fn hybrid_settings(&self) -> Result<Settings, Complaint> {
        let settings = self.settings()?;
        match settings.identity.source.value {
            Source::Hybrid => Ok(settings),
            source => Err(no_registration(source)),
        }
    }

    /// Where a program looks for the daemon. Its own service may have a runtime directory, too, and
    /// then finds that one's name in its environment: the daemon's usual place comes after it.
    fn runtime_directories(&self) -> Vec<PathBuf> {
        let mut directories = vec![self.directories().runtime];
        if self.runtime_dir.is_none() && directories[0] != Path::new(RUNTIME_DIRECTORY) {
            directories.push(PathBuf::from(RUNTIME_DIRECTORY));
        }
        directories
    }

    /// Where somebody looks who only asks. The environment may be another service's, as its shell or its
    /// timer has it: a directory in which there is nothing of ours gives way to the usual one.
    fn directories_to_ask(&self) -> Directories {
        let Directories { state, runtime } = self.directories();
        let choose = |given: bool, found: PathBuf, usual: &str, ours: &[&str]| {
            let is_ours = |place: &Path| ours.iter().any(|name| place.join(name).exists());
            let is_foreign = !given && !is_ours(&found) && is_ours(Path::new(usual));
            if is_foreign { PathBuf::from(usual) } else { found }
        };
        let ours = ["control.sock", "credentials.sock", "credentials", "role-token"];
        Directories {
            state: choose(self.state_dir.is_some(), state, STATE_DIRECTORY, &["vault"]),
            runtime: choose(self.runtime_dir.is_some(), runtime, RUNTIME_DIRECTORY, &ours),
        }
    }

    /// systemd may give several directories, parted by colons; the first is ours.
    fn directories(&self) -> Directories {
        let place = |given: &Option<PathBuf>, name: &str, default: &str| {
            let from_environment = || {
                let value = environment::variable(name)?;
                value.split(':').next().map(PathBuf::from)
            };
            let place = given.clone().or_else(from_environment);
            let place = place.unwrap_or_else(|| PathBuf::from(default));
            // Only an empty path, or a working directory that is gone, cannot be made absolute.
            std::path::absolute(&place).unwrap_or(place)
        };
        Directories {
            state: place(&self.state_dir, "STATE_DIRECTORY", STATE_DIRECTORY),
            runtime: place(&self.runtime_dir, "RUNTIME_DIRECTORY", RUNTIME_DIRECTORY),
        }
    }
}

/// The settings, and what the environment says where the files are silent.
fn in_this_environment(settings: Settings) -> Settings {
    settings
        .with_ca_bundle(CA_BUNDLE, environment::variable(CA_BUNDLE))
        .with_source_variables(environment::variable)
}

/// The command line's description, for completions, man pages and tests.
pub fn description() -> clap::Command {
    Arguments::command()
}

/// The settings file that the environment names.
fn settings_file() -> Option<PathBuf> {
    environment::path(SETTINGS_FILE)
}

/// clap's message up to the usage, on one line, and where help is.
fn usage(error: &clap::Error, arguments: &[OsString]) -> Complaint {
    let text = error.to_string();
    let message = text.split("\n\n").next().unwrap_or_default();
    // An option's value is repeated, and a URL's account may be a token.
    let words = message.split_whitespace().map(without_account).collect::<Vec<_>>().join(" ");
    let message = match error.kind() {
        // clap then gives the help text instead of a message.
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => "a command is missing",
        _ => words.strip_prefix("error: ").unwrap_or(&words),
    };
    let description = description();
    let mut command = &description;
    let mut names = vec![command.get_name()];
    for argument in arguments {
        if let Some(subcommand) = command.find_subcommand(argument) {
            command = subcommand;
            names.push(command.get_name());
        }
    }
    if names[1..] == ["exec"]
        && let Some(complaint) = exec::misplaced(error, arguments)
    {
        return complaint;
    }
    let meant = suggestion(error).map(|word| format!("; did you mean '{word}'?"));
    let message = format!("{message}{}", meant.unwrap_or_default());
    Complaint::new(Exit::Usage, message, format!("{} --help", names.join(" ")))
}

/// What clap takes a mistyped word for.
fn suggestion(error: &clap::Error) -> Option<&str> {
    let kinds =
        [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand, ContextKind::SuggestedValue];
    kinds.into_iter().find_map(|kind| match error.get(kind)? {
        ContextValue::String(word) => Some(word.as_str()),
        ContextValue::Strings(words) => words.first().map(String::as_str),
        _ => None,
    })
}

/// Prints a result. A reader that has gone away, as `head` does, is no error.
fn print(text: &str) -> Result<(), Complaint> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Complaint::new(
            Exit::CannotCreate,
            format!("standard output: {error}"),
            "give it a place to write to",
        )),
        _ => Ok(()),
    }
}

impl<E: Advice> From<E> for Complaint {
    fn from(error: E) -> Self {
        Self::of(&error)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;
    use crate::pure::chain::Process;

    proptest! {
        /// What `advise` takes for our command line, ours is, and the other way about.
        #[test]
        fn a_line_of_credential_process_is_told_as_the_command_line_has_it(
            words in vec(select(vec![
                "credential-process", "credential-process", "credential-process", "--target", "web",
                "--target=a", "--target=", "--runtime-dir", "/r", "--runtime-dir=/s", "--state-dir=",
                "--state-dir", "--config", "--config=/c", "-q", "-v", "-qv", "-vv", "-qq", "-V", "-h",
                "--quiet", "--quiet=x", "--verbose", "--help", "--version", "--nonsense", "--", "-",
                "export", "status", "x", "--targ", "--consumer", "''",
            ]), 0..7)
        ) {
            let line = format!("rolekeeper {}", words.join(" "));
            let bare = words.iter().map(|word| if *word == "''" { "" } else { word });
            let parsed = Arguments::try_parse_from(std::iter::once("rolekeeper").chain(bare));
            let process = Process::of(&line);
            match parsed {
                Ok(Arguments { places, command: Command::CredentialProcess(command) }) => {
                    prop_assert!(process.is_ours(), "{}", line);
                    prop_assert_eq!(process.target, command.target);
                    prop_assert_eq!(process.runtime_dir.map(PathBuf::from), places.runtime_dir);
                }
                _ => prop_assert!(!process.is_ours(), "{}", line),
            }
        }
    }

    #[test]
    fn advise_knows_every_option_of_credential_process() {
        let mut description = description();
        description.build();
        let command = description.find_subcommand("credential-process").unwrap();
        for argument in command.get_arguments() {
            let Some(long) = argument.get_long().filter(|it| !["help", "version"].contains(it))
            else {
                continue;
            };
            let value = if argument.get_action().takes_values() { " x" } else { "" };
            let short = argument.get_short().map(|short| format!("-{short}"));
            for option in std::iter::once(format!("--{long}")).chain(short) {
                let line = format!("rolekeeper credential-process {option}{value}");
                assert!(Process::of(&line).is_ours(), "{line}");
            }
        }
    }
}
