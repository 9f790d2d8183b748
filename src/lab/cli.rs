//! `rolekeeper-lab`: what a person types.

mod activation;
mod caller_identity;
mod clock;
mod completions;
mod error;
mod explain;
mod fault;
mod node;
mod rehearse;
mod scenario;
mod serve;

use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use serde_json::Value;

use super::client::Client;
use super::tokens::AdminCredentials;
use crate::host::clock::{Clock, SystemClock};
use crate::host::environment;
use crate::pure::identity::Region;
use crate::pure::secret::Secret;

pub use completions::answer_completions;
pub use error::LabError;

/// A stand-in for AWS Systems Manager, STS and S3 on this machine, to rehearse with.
///
/// Everything in it is made up: the account is 000000000000, and no credential from here is worth
/// anything anywhere else. It forgets everything when it stops, unless `serve --data` keeps it.
#[derive(Debug, Parser)]
#[command(name = "rolekeeper-lab", version, after_help = EXAMPLES)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  rolekeeper-lab rehearse
  rolekeeper-lab rehearse outage-of-an-hour --report outage.html
  rolekeeper-lab serve --env-file lab.env &
  . ./lab.env
  rolekeeper-lab activation create
  rolekeeper-lab fault add --status 500 --count 3
  rolekeeper-lab explain request.http --public-key node.pem
  aws ssm describe-instance-information

Exit status: 0 done, 64 usage, 65 a request does not verify, 69 no lab answers, 70 an expectation \
of the rehearsal failed, 73 cannot create a file, 75 interrupted, 77 refused.";

#[derive(Debug, Subcommand)]
enum Command {
    Rehearse(rehearse::Rehearse),
    /// List and show the stories that can be rehearsed.
    #[command(subcommand)]
    Scenario(scenario::Scenarios),
    Serve(serve::Serve),
    /// Create, list and expire activations, by which machines register.
    #[command(subcommand)]
    Activation(activation::Activation),
    /// List and deregister machines.
    #[command(subcommand)]
    Node(node::Node),
    /// Make the service misbehave.
    #[command(subcommand)]
    Fault(fault::Fault),
    /// See and set the time that the lab goes by.
    #[command(subcommand)]
    Clock(clock::Clock),
    Explain(explain::Explain),
    Completions(completions::Completions),
    CallerIdentity(caller_identity::CallerIdentity),
}

/// Which lab is meant.
#[derive(Debug, Args)]
struct Reach {
    /// The lab's address [default: $AWS_ENDPOINT_URL]
    #[arg(long, value_name = "URL")]
    endpoint_url: Option<String>,
}

/// Does what was typed.
///
/// # Errors
///
/// See [`LabError`].
pub async fn run(arguments: Arguments) -> Result<(), LabError> {
    match arguments.command {
        Command::Rehearse(rehearse) => rehearse.run().await,
        Command::Scenario(scenario) => scenario.run().await,
        Command::Serve(serve) => serve.run().await,
        Command::Activation(activation) => activation.run().await,
        Command::Node(node) => node.run().await,
        Command::Fault(fault) => fault.run().await,
        Command::Clock(clock) => clock.run().await,
        Command::Explain(explain) => explain.run().await,
        Command::Completions(completions) => completions.run(),
        Command::CallerIdentity(program) => program.run().await,
    }
}

impl Reach {
    /// The administrator's way in, from the variables that `serve --env-file` writes.
    fn client(&self) -> Result<Client, LabError> {
        let endpoint_url = self
            .endpoint_url
            .clone()
            .or_else(|| environment::variable("AWS_ENDPOINT_URL"))
            .ok_or(LabError::Missing("AWS_ENDPOINT_URL"))?;
        let needed = |name| environment::variable(name).ok_or(LabError::Missing(name));
        let region = needed("AWS_REGION")?
            .parse::<Region>()
            .map_err(|error| LabError::Region(error.to_string()))?;
        let credentials = AdminCredentials {
            access_key_id: needed("AWS_ACCESS_KEY_ID")?,
            secret_access_key: Secret::new(needed("AWS_SECRET_ACCESS_KEY")?),
        };
        let ca_bundle = environment::variable("AWS_CA_BUNDLE").map(PathBuf::from);
        Ok(Client::new(&endpoint_url, ca_bundle.as_deref(), credentials, region)?)
    }
}

fn now() -> time::UtcDateTime {
    SystemClock.now()
}

/// Writes to standard output. A reader that has gone away (`| head`) is no error.
fn print(text: &str) -> Result<(), LabError> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(LabError::Output(error)),
        _ => Ok(()),
    }
}

/// One JSON value on one line.
fn print_json(value: &Value) -> Result<(), LabError> {
    print(&format!("{value}\n"))
}

/// Rows under a heading, each column as wide as its widest cell.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths = (0..columns).map(|column| width(column).unwrap_or(0)).collect::<Vec<_>>();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// A member of an answer as a cell: text as it is, nothing as `-`.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A moment of an answer, epoch seconds, as a cell: `2026-11-22T00:00:52Z`.
fn moment(value: &Value) -> String {
    value
        .as_f64()
        .and_then(|seconds| time::UtcDateTime::from_unix_timestamp(seconds as i64).ok())
        .and_then(|at| at.format(&time::format_description::well_known::Rfc3339).ok())
        .unwrap_or_else(|| "-".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_command_shows_an_example() {
        fn check(command: &clap::Command) {
            for command in command.get_subcommands() {
                if command.has_subcommands() {
                    check(command);
                } else {
                    let help = command.get_after_help().map(ToString::to_string);
                    let shown = help.is_some_and(|help| help.contains("  rolekeeper-lab "));
                    assert!(shown, "{} has no example", command.get_name());
                }
            }
        }
        check(&Arguments::command());
    }

    #[test]
    fn columns_line_up_and_end_without_blanks() {
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        assert_eq!(table(&[row(["A", "B"]), row(["long", ""])]), "A     B\nlong\n");
    }

    #[test]
    fn moments_are_shown_in_utc() {
        assert_eq!(moment(&json!(1_795_305_652.5)), "2026-11-22T00:00:52Z");
        assert_eq!(moment(&Value::Null), "-");
    }
}
