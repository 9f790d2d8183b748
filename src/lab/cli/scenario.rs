//! `rolekeeper-lab scenario`

use clap::{Args, Subcommand};
use serde_json::json;

use super::{LabError, print, print_json, table};
use crate::lab::scenario::{Scenario, shipped};

#[derive(Debug, Subcommand)]
pub enum Scenarios {
    List(List),
    Show(Show),
}

/// List the scenarios that come with the program.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rolekeeper-lab scenario list
  rolekeeper-lab scenario list --json")]
pub struct List {
    /// One JSON object for each: Name, Summary, Learn, Steps
    #[arg(long)]
    json: bool,
}

/// Print a scenario's file, to read it or to begin one's own with.
///
/// A scenario is a list of steps. Each does something (`do`), or expects something (`expect`), or
/// both: what it expects must hold all at once, `within` 30 s unless it says otherwise.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rolekeeper-lab scenario show clone
  rolekeeper-lab scenario show clone > mine.toml
  rolekeeper-lab rehearse mine.toml

What can be done, to the machine that the step is `on`:
  \"register\", \"register-again\", { register-with = ACTIVATION }
  \"start\", \"stop\", \"kill\"                 the daemon
  \"refresh\", \"rotate-key\", \"begin-key-rotation\", \"accept-fingerprint\",
  { set-threshold = N }
  { change-hardware = { hostname, machine_id, firmware, model, processor,
                        memory_gib, disks, cards = [{ name, mac, address }],
                        software = [{ name, address }] } }
  { set-clock-behind = DURATION }, { pause-machine = DURATION }
  { new-machine = { name, copy_of, hardware } }
At the service:
  { create-activation = { name, machines } }, { expire-activation = NAME },
  { delete-activation = NAME }, \"deregister-node\", \"ask-for-new-key\"
  { add-fault = { effect, operation, ... } }    as `fault add` has them
  \"clear-faults\"
  \"stop-service\", \"start-service\"
For everybody:
  { time-passes = DURATION }

What can be expected:
  state        fresh, stale, starting, expired, hibernating, mismatch,
               unregistered
  failure      none, bad-answer, clock-skew, denied, local, service-fault,
               throttled, unreachable
  credentials  live, new, same, dead, none       what the file holds
  call         accepted, no-credentials, CODE    what a program hears that
               uses the file
  exit, refused                                  of the step's last command
  hardware     similar, different, disabled;     score = PERCENT,
               changed = [ATTRIBUTE, ...]
  key          same, staged, new
  asks_again_in = { at_least, at_most }
  nodes        how many machines the service knows
  requests     { operation, outcome, at_least, at_most }    during the step")]
pub struct Show {
    /// As `scenario list` has it
    #[arg(value_name = "NAME")]
    name: String,
}

impl Scenarios {
    pub async fn run(self) -> Result<(), LabError> {
        match self {
            Scenarios::List(list) => list.run(),
            Scenarios::Show(show) => show.run(),
        }
    }
}

impl List {
    fn run(self) -> Result<(), LabError> {
        let mut rows = vec![["SCENARIO", "WHAT HAPPENS"].map(str::to_owned).to_vec()];
        for (name, text) in shipped::SHIPPED {
            let scenario =
                Scenario::parse(text).map_err(|error| LabError::Scenario(name.into(), error))?;
            if self.json {
                print_json(&json!({
                    "Name": scenario.name,
                    "Summary": scenario.summary,
                    "Learn": scenario.learn,
                    "Steps": scenario.steps.iter().map(|step| &step.title).collect::<Vec<_>>(),
                }))?;
            }
            rows.push(vec![scenario.name, scenario.summary]);
        }
        if self.json { Ok(()) } else { print(&table(&rows)) }
    }
}

impl Show {
    fn run(self) -> Result<(), LabError> {
        match shipped::text(&self.name) {
            Some(text) => print(text),
            None => Err(LabError::NoScenario(self.name)),
        }
    }
}
