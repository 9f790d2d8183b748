//! `rolekeeper completions`

mod values;

use std::ffi::OsString;

use clap::Args;
use clap_complete::env::{CompleteEnv, Shells};
use clap_complete::{Shell, aot};

use super::{description, print};
use crate::control::Complaint;
use crate::pure::advice::Exit;

/// Print a completion script for a shell
///
/// The script knows the commands and their options. With --dynamic it asks this program, which knows the
/// names of this machine's targets, consumers, units and users, too.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Completions {
    /// The shell
    shell: Shell,
    /// Ask this program for each completion: it must be found by its name
    #[arg(long)]
    dynamic: bool,
}

const EXAMPLES: &str = "\
Examples:
  rolekeeper completions bash > /etc/bash_completion.d/rolekeeper
  rolekeeper completions --dynamic bash > /etc/bash_completion.d/rolekeeper";

/// By which a dynamic script asks; its value names the shell.
const VARIABLE: &str = "_ROLEKEEPER_COMPLETE";

const PROGRAM: &str = "rolekeeper";

impl Completions {
    pub(super) fn execute(self) -> Result<(), Complaint> {
        let mut script = Vec::new();
        if self.dynamic {
            let name = self.shell.to_string();
            let written = Shells::builtins().completer(&name).map(|shell| {
                shell.write_registration(VARIABLE, PROGRAM, PROGRAM, PROGRAM, &mut script)
            });
            if !matches!(written, Some(Ok(()))) {
                let message = format!("{name} cannot ask for completions");
                let remedy = format!("rolekeeper completions {name}");
                return Err(Complaint::new(Exit::Usage, message, remedy));
            }
        } else {
            aot::generate(self.shell, &mut description(), PROGRAM, &mut script);
        }
        print(&String::from_utf8_lossy(&script))
    }
}

/// Answers a dynamic script, and says whether one has asked.
pub(super) fn answer(arguments: &[OsString]) -> bool {
    let settings = values::settings_file(arguments);
    let factory = || values::completed(description(), settings.clone());
    let here = std::env::current_dir().ok();
    let asked = CompleteEnv::with_factory(factory)
        .var(VARIABLE)
        .bin(PROGRAM)
        .completer(PROGRAM)
        .try_complete(arguments, here.as_deref());
    // A shell that does not take the answer, or that is not known, has no use for an error either.
    asked.unwrap_or(true)
}
