//! `rolekeeper-lab rehearse`

use std::fs::File;
use std::io::{IsTerminal, Read, stdout};
use std::path::{Path, PathBuf};

use clap::Args;
use tracing::Level;
use tracing_subscriber::filter::Targets;

use super::LabError;
use crate::host::replace::{Access, replace_file};
use crate::host::signals::SignalStream;
use crate::host::{log, terminal};
use crate::lab::rehearse::page::{About, page};
use crate::lab::rehearse::{Form, Report, SHORT_LIFE, Stage, play, rehearse};
use crate::lab::scenario::{LARGEST, Scenario, shipped};

/// Rehearse everything in half a minute: registration, renewal, outage, clone, refusals, rotation.
///
/// Starts a lab on a free port, registers this machine there, and runs the real daemon. Another
/// program uses the credentials through the AWS SDK. Nothing of this machine is changed: all files
/// are in a temporary directory, which is removed at the end. Needs no root.
///
/// With a scenario it rehearses that instead, on a machine made of files and in time that passes at
/// once: `scenario list` has those that come with the program, and a file may hold one's own.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rolekeeper-lab rehearse
  rolekeeper-lab rehearse --json | jq -r 'select(.ok | not) | .step'
  rolekeeper-lab rehearse --verbose 2>daemon.log
  rolekeeper-lab rehearse outage-of-an-hour --report outage.html
  rolekeeper-lab rehearse ./mine.toml

Exit status: 0 when every expectation held, 70 when one did not, 75 when interrupted, 64 without \
such a scenario, 65 when its file is malformed, 73 when the report cannot be written.")]
pub struct Rehearse {
    /// A name of `scenario list`, or a scenario file [default: the whole tour]
    #[arg(value_name = "SCENARIO")]
    scenario: Option<String>,
    /// Draw what happened, with what was expected and seen, as a web page that needs nothing else
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
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
            // The daemon's own lines. Those of the SDK would show raw answers.
            log::start(Targets::new().with_target("rolekeeper", Level::INFO), false);
        }
        let source = self.scenario.as_deref().map(source).transpose()?;
        let scenario = source.as_ref().map(|(path, text)| parse(path, text)).transpose()?;
        let mut signals = SignalStream::new().map_err(LabError::Start)?;
        let mut report = match &scenario {
            Some(scenario) => Report::of_scenario(self.form(), scenario, Box::new(stdout())),
            None => Report::of_tour(self.form(), Box::new(stdout())),
        };
        let life = scenario.as_ref().map_or(SHORT_LIFE, |scenario| scenario.token_lifetime);
        let mut stage = Stage::set(life).await?;
        let performed = async {
            match &scenario {
                Some(scenario) => play(&mut stage, scenario, &mut report).await,
                None => rehearse(&mut stage, &mut report).await,
            }
        };
        let interrupted = tokio::select! {
            () = performed => false,
            _ = signals.next() => true,
        };
        let record = stage.record();
        stage.strike().await;
        if interrupted {
            report.break_off();
            return Err(LabError::Interrupted);
        }
        let verdict = report.close().map_err(LabError::Output)?;
        if let Some(path) = &self.report {
            let about = match (&scenario, &source) {
                (Some(scenario), Some((_, text))) => About::of(scenario, text),
                _ => About::the_tour(),
            };
            write(path, &page(&about, &record, report.told()))?;
        }
        match verdict.failed.is_empty() {
            true => Ok(()),
            false => Err(LabError::Rehearsal(verdict)),
        }
    }

    fn form(&self) -> Form {
        if self.json {
            Form::Json
        } else if stdout().is_terminal() && !self.verbose {
            Form::Terminal { colours: terminal::has_colours(&stdout()) }
        } else {
            Form::Plain
        }
    }
}

/// The text of a scenario that comes with the program, or of one's own; and where it is from.
fn source(word: &str) -> Result<(PathBuf, String), LabError> {
    let path = PathBuf::from(word);
    match shipped::text(word) {
        Some(text) => Ok((path, text.to_owned())),
        None if word.contains(['/', '.']) || path.exists() => match read(&path) {
            Ok(text) => Ok((path, text)),
            Err(error) => Err(LabError::ScenarioFile(path, error)),
        },
        None => Err(LabError::NoScenario(word.chars().take(100).collect())),
    }
}

fn parse(path: &Path, text: &str) -> Result<Scenario, LabError> {
    Scenario::parse(text).map_err(|error| LabError::Scenario(path.to_owned(), error))
}

/// One byte more than may be is enough to see that there is too much.
fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(LARGEST as u64 + 1).read_to_string(&mut text)?;
    Ok(text)
}

/// Everybody may read a report: there is no secret in it.
fn write(path: &Path, page: &str) -> Result<(), LabError> {
    let failed = |error| LabError::Page(path.to_owned(), error);
    let name =
        path.file_name().ok_or_else(|| failed(std::io::ErrorKind::InvalidFilename.into()))?;
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let access = Access { mode: 0o644, ..Access::PRIVATE };
    replace_file(directory, name, page.as_bytes(), access).map_err(failed)
}
