//! `rolekeeper-lab clock`

use clap::{ArgGroup, Args, Subcommand};
use serde_json::Value;

use super::{LabError, Reach, cell, now, print, print_json};
use crate::lab::clock::{ClockSetting, HIGHEST_RATE};
use crate::pure::duration::{display_duration, parse_duration};

#[derive(Debug, Subcommand)]
pub enum Clock {
    Show(Show),
    Set(Set),
}

/// Show what time it is in the lab, and how fast it runs.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rolekeeper-lab clock show
  rolekeeper-lab clock show --json")]
pub struct Show {
    /// Print the lab's answer
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

/// Set the lab's time forward, or let it run faster; it never goes back.
///
/// Everything goes by it: the life of credentials and of activations, pings, faults that end. A
/// client whose own clock is this machine's hears of it in the Date of an answer, as it would of a
/// wrong clock, and corrects itself if it can.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("setting").required(true)
    .args(["forward", "to", "rate"]))]
#[command(
    override_usage = "rolekeeper-lab clock set [OPTIONS] <--forward SPAN|--to TIME|--rate N>"
)]
#[command(after_help = "\
Examples:
  rolekeeper-lab clock set --forward 2h
  rolekeeper-lab clock set --to 2026-12-24T18:00:00Z
  rolekeeper-lab clock set --rate 60")]
pub struct Set {
    /// So much later
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    forward: Option<String>,
    /// This time, in RFC 3339
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// How many seconds of the lab pass in one of this machine
    #[arg(long, value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=i64::from(HIGHEST_RATE)))]
    rate: Option<u32>,
    /// Print the lab's answer
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

impl Clock {
    pub async fn run(self) -> Result<(), LabError> {
        match self {
            Clock::Show(show) => show.run().await,
            Clock::Set(set) => set.run().await,
        }
    }
}

impl Show {
    async fn run(self) -> Result<(), LabError> {
        shown(&self.reach.client()?.clock(None, now()).await?, self.json)
    }
}

impl Set {
    async fn run(self) -> Result<(), LabError> {
        // One of them is there: clap sees to it.
        let setting = (self.forward.map(ClockSetting::Forward))
            .or(self.to.map(ClockSetting::To))
            .or(self.rate.map(ClockSetting::Rate));
        shown(&self.reach.client()?.clock(setting.as_ref(), now()).await?, self.json)
    }
}

fn shown(answer: &Value, json: bool) -> Result<(), LabError> {
    if json {
        return print_json(answer);
    }
    let pace = match answer["Rate"].as_u64() {
        Some(rate @ 2..) => format!("{rate} times as fast as this machine's"),
        _ => "as fast as this machine's".to_owned(),
    };
    print(&format!("It is {} in the lab; its clock runs {pace}.\n", cell(&answer["Now"])))
}

/// In the words that the lab reads.
fn duration(text: &str) -> Result<String, String> {
    parse_duration(text).map(display_duration).map_err(|error| error.to_string())
}
