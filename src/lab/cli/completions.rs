//! `rolekeeper-lab completions`

use std::ffi::OsString;

use clap::{Args, CommandFactory};
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use clap_complete::env::{CompleteEnv, Shells};
use clap_complete::{Shell, aot};

use super::{Arguments, LabError, print};
use crate::lab::operation::Operation;
use crate::lab::scenario::shipped::SHIPPED;

/// By which a dynamic script asks; its value names the shell.
const VARIABLE: &str = "_ROLEKEEPER_LAB_COMPLETE";

const PROGRAM: &str = "rolekeeper-lab";

/// Print a completion script for a shell.
///
/// The script knows the commands and their options. With --dynamic it asks this program, which knows the
/// scenarios and the service's operations, too.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rolekeeper-lab completions bash > /etc/bash_completion.d/rolekeeper-lab
  rolekeeper-lab completions --dynamic fish | source")]
pub struct Completions {
    /// The shell
    shell: Shell,
    /// Ask this program for each completion: it must be found by its name
    #[arg(long)]
    dynamic: bool,
}

impl Completions {
    pub fn run(self) -> Result<(), LabError> {
        let mut script = Vec::new();
        if self.dynamic {
            let name = self.shell.to_string();
            let written = Shells::builtins().completer(&name).map(|shell| {
                shell.write_registration(VARIABLE, PROGRAM, PROGRAM, PROGRAM, &mut script)
            });
            if !matches!(written, Some(Ok(()))) {
                return Err(LabError::Usage(format!("{name} cannot ask for completions")));
            }
        } else {
            aot::generate(self.shell, &mut Arguments::command(), PROGRAM, &mut script);
        }
        print(&String::from_utf8_lossy(&script))
    }
}

/// Answers a dynamic script, and says whether one has asked.
pub fn answer_completions(arguments: &[OsString]) -> bool {
    let here = std::env::current_dir().ok();
    let asked = CompleteEnv::with_factory(|| completed(Arguments::command()))
        .var(VARIABLE)
        .bin(PROGRAM)
        .completer(PROGRAM)
        .try_complete(arguments, here.as_deref());
    // A shell that does not take the answer, or that is not known, has no use for an error either.
    asked.unwrap_or(true)
}

/// The command line with the values of its options. A scenario may also be a file.
fn completed(command: clap::Command) -> clap::Command {
    let is_of_scenarios = command.get_name() == "scenario";
    let command = command.mut_args(|argument| match argument.get_id().as_str() {
        "scenario" => argument.add(ArgValueCandidates::new(scenarios)),
        "operation" => argument.add(ArgValueCandidates::new(operations)),
        _ => argument,
    });
    command.mut_subcommands(|command| match command.get_name() {
        "show" if is_of_scenarios => {
            command.mut_arg("name", |name| name.add(ArgValueCandidates::new(scenarios)))
        }
        _ => completed(command),
    })
}

fn scenarios() -> Vec<CompletionCandidate> {
    SHIPPED.iter().map(|(name, _)| CompletionCandidate::new(*name)).collect()
}

fn operations() -> Vec<CompletionCandidate> {
    Operation::ALL.map(|operation| CompletionCandidate::new(operation.name())).into()
}
