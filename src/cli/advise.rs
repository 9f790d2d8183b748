//! `rolekeeper advise`

mod confirmation;
mod outlets;
mod page;
mod report;

use std::fmt::Write;

use clap::Args;

use self::outlets::Outlets;
use self::report::Report;
use super::{Places, print};
use crate::control::Complaint;
use crate::programs::{self, Program};
use crate::pure::advice::Exit;
use crate::pure::chain::{Judgement, Sdk};
use crate::systemctl;

/// Say whether a program will see renewed credentials, and how to make it
///
/// Reads the program's environment and files as the program itself sees them, walks the credential
/// chain in the order of its AWS SDK, and says which source it uses, what that hides, and whether
/// renewals are seen there. Where that is one of our outlets, the daemon is asked whether it would serve the
/// program. Where renewals are not seen, prints what to set: a drop-in for a unit, lines for a
/// shell. Without --pid and --unit it looks at the environment that it was called with. What a program
/// sets in its own environment, or hands to its SDK itself, cannot be seen from outside. A program that
/// finds no region is warned of: without one most calls fail, whatever its credentials are. Nothing secret
/// is printed: of an access key id four characters, of other secrets that they are set.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Advise {
    /// A process; another user's needs root
    #[arg(long, value_name = "N", conflicts_with = "unit", value_parser = clap::value_parser!(i32).range(1..))]
    pid: Option<i32>,
    /// A unit: its main process, or what its files say when it does not run
    #[arg(long, value_name = "U")]
    unit: Option<String>,
    /// The program's AWS SDK, where it is not recognised, or wrongly: aws-cli, boto3, cpp, dotnet, go,
    /// java, javascript, php, ruby, rust
    #[arg(long, value_name = "NAME")]
    sdk: Option<Sdk>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  rolekeeper advise --unit backup.service
  sudo rolekeeper advise --pid 4711 --sdk go
  AWS_PROFILE=web rolekeeper advise --sdk boto3
  rolekeeper advise --unit web --json | jq -r '.remedy.drop_in'

Exit status: 0 when the program sees our renewals; 78 when it does not, because it is configured \
not to (or our own settings are wrong, or do not let it); 69 when that cannot be told, because no \
daemon answers say, or there is no such program; 77 when the program is another user's.";

impl Advise {
    pub(super) fn execute(self, places: &Places) -> Result<(), Complaint> {
        let program = self.program()?;
        let outlets = Outlets::of(
            &places.settings()?,
            &places.directories_to_ask().runtime,
            &program,
            self.sdk,
        )?;
        let report = Report::of(&program, self.sdk, &outlets);
        if self.json {
            print(&format!("{}\n", json(&report)))?;
        } else {
            print(&page::page(&report))?;
        }
        complaint(&report).map_or(Ok(()), Err)
    }

    fn program(&self) -> Result<Program, Complaint> {
        if let Some(pid) = self.pid {
            return Ok(programs::running(pid)?);
        }
        let Some(name) = &self.unit else { return Ok(programs::this_shell()?) };
        let unit = systemctl::show(name)?;
        let Some(pid) = unit.main_pid else { return Ok(programs::at_rest(&unit)?) };
        let mut program = programs::running(pid)?;
        // Its cgroup may name another, around it.
        program.unit = unit.id;
        Ok(program)
    }
}

/// One line without control characters: JSON may have DEL and those above ASCII as they are.
fn json(report: &Report) -> String {
    let json = serde_json::to_string(report).unwrap_or_default();
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_control() {
            // Writing to a String cannot fail.
            let _ = write!(text, "\\u{:04x}", u32::from(c));
        } else {
            text.push(c);
        }
    }
    text
}

/// What ends the command with another status than 0.
fn complaint(report: &Report) -> Option<Complaint> {
    let (exit, what) = match &report.judgement {
        Judgement::Renewed(_) => return None,
        Judgement::NotRenewed(_) => (Exit::Configuration, "it will not see renewed credentials"),
        Judgement::Elsewhere(_) => (Exit::Configuration, "it does not use our credentials"),
        Judgement::Nothing(_) => (Exit::Configuration, "it has no credentials"),
        Judgement::Refused(_) => (Exit::Configuration, "the daemon would refuse it credentials"),
        Judgement::Untold(_) => (Exit::Unavailable, "it cannot be told what it will see"),
    };
    let reason = report.judgement.reason();
    if let Some(complaint) = report.complaint.as_ref().filter(|_| report.remedy.is_none()) {
        return Some(Complaint::new(exit, format!("{what}: {reason}"), &complaint.remedy));
    }
    let remedy = match (&report.judgement, &report.remedy) {
        (Judgement::Untold(_), _) if report.sdk.is_none() => {
            "name its SDK with --sdk: rolekeeper advise --help lists them"
        }
        (_, Some(remedy)) if remedy.drop_in.is_some() => "the drop-in that is printed above",
        (_, Some(_)) => "what is printed above",
        (_, None) => "mend first what its SDK fails over",
    };
    Some(Complaint::new(exit, format!("{what}: {reason}"), remedy))
}
