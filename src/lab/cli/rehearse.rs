//! `rolekeeper-lab rehearse`

use std::io::{IsTerminal, stdout};

use clap::Args;
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::LabError;
use crate::host::environment;
use crate::host::signals::SignalStream;
use crate::lab::rehearse::{Form, Report, Stage, rehearse};

/// Rehearse everything in half a minute: registration, renewal, outage, clone, refusals, rotation.
///
/// Starts a lab on a free port, registers this machine there, and runs the real daemon. Another
/// program uses the credentials through the AWS SDK. Nothing of this machine is changed: all files
/// are in a temporary directory, which is removed at the end. Needs no root.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rolekeeper-lab rehearse
  rolekeeper-lab rehearse --json | jq -r 'select(.ok | not) | .step'
  rolekeeper-lab rehearse --verbose 2>daemon.log

Exit status: 0 when every expectation held, 70 when one did not, 75 when interrupted.")]
pub struct Rehearse {
    /// One JSON object a line, for each step and the summary
    #[arg(long)]
    json: bool,
    /// Show the daemon's log on standard error
    #[arg(short, long)]
    verbose: bool,
}

impl Rehearse {
    pub async fn run(self) -> Result<(), LabError> {
        if self.verbose {
            log();
        }
        let mut signals = SignalStream::new().map_err(LabError::Start)?;
        let mut report = Report::new(self.form(), Box::new(stdout()));
        let mut stage = Stage::set().await?;
        let interrupted = tokio::select! {
            () = rehearse(&mut stage, &mut report) => false,
            _ = signals.next() => true,
        };
        stage.strike().await;
        if interrupted {
            report.break_off();
            return Err(LabError::Interrupted);
        }
        let verdict = report.close().map_err(LabError::Output)?;
        match verdict.failed.is_empty() {
            true => Ok(()),
            false => Err(LabError::Rehearsal(verdict)),
        }
    }

    fn form(&self) -> Form {
        if self.json {
            Form::Json
        } else if stdout().is_terminal() && !self.verbose {
            Form::Terminal { colours: environment::variable("NO_COLOR").is_none() }
        } else {
            Form::Plain
        }
    }
}

/// The daemon's own lines. Those of the SDK would show raw answers.
fn log() {
    let filter = Targets::new().with_target("rolekeeper", Level::INFO);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    tracing_subscriber::registry().with(filter).with(lines).init();
}
