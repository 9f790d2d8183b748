//! `rolekeeper-lab`: arguments → run → exit status.

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use rolekeeper::host::terminal;
use rolekeeper::lab::cli::{Arguments, LabError, answer_completions, run};
use rolekeeper::pure::advice::Advice;

fn main() -> ExitCode {
    let arguments = std::env::args_os().collect::<Vec<_>>();
    if answer_completions(&arguments) {
        return ExitCode::SUCCESS;
    }
    let outcome = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(LabError::Start)
            .and_then(|runtime| runtime.block_on(run(arguments))),
        Err(error) if error.use_stderr() => Err(LabError::Usage(in_one_line(&error))),
        Err(help) => {
            // Help and version; a reader that has gone away is no error.
            let _ = help.print();
            Ok(())
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            terminal::complain("rolekeeper-lab", &error.to_string(), &error.remedy());
            ExitCode::from(error.exit() as u8)
        }
    }
}

/// clap's message up to the usage, without its "error:".
fn in_one_line(error: &clap::Error) -> String {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return "a command is missing".to_owned();
    }
    let text = error.to_string();
    let message = text.split("\n\n").next().unwrap_or_default();
    let words = message.split_whitespace().collect::<Vec<_>>().join(" ");
    words.strip_prefix("error: ").unwrap_or(&words).to_owned()
}
