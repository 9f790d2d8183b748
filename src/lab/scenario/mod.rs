//! A scenario: what happens to machines and to the service, and what must be seen then. A TOML file
//! that a person reads from top to bottom, as a story.
//!
//! ```toml
//! name = "a-bad-minute"
//! summary = "The service fails for a minute."
//! learn = "The credentials file stays as it is, and the daemon comes back by itself."
//!
//! [[step]]
//! title = "A machine registers and gets credentials"
//! do = ["register", "start"]
//! expect = { state = "fresh", call = "accepted" }
//!
//! [[step]]
//! title = "The service fails"
//! do = [{ add-fault = { effect = "status", status = 503 } }, "refresh"]
//! expect = { state = "stale", failure = "service-fault", credentials = "same" }
//!
//! [[step]]
//! title = "A minute later it is well"
//! do = ["clear-faults", { time-passes = "1m" }]
//! expect = { state = "fresh", credentials = "new" }
//! ```
//!
//! ```text
//! mod       a scenario and its steps
//! act       the words of `do`
//! expect    the words of `expect`
//! hardware  the machines
//! file      reads TOML, and says where it is wrong
//! shipped   those that come with the program; the files are in src/lab/scenarios/
//! ```
//!
//! There is no scripting: no variables, no branches, no loops. Every wait is bounded. What a step
//! does is done in order; what it expects must then hold at one moment, all of it, `within` a time.

mod act;
mod expect;
mod file;
mod hardware;
pub mod shipped;

use std::time::Duration;

pub use act::{Act, NewActivation, NewMachine, Threshold, fault_words};
pub use expect::{
    Call, Expect, FailureWord, Held, Key, Requests, Spans, Verdict, changed_words, nodes_words,
};
pub use file::{LARGEST, MalformedScenario};
pub use hardware::{Card, Hardware, Software};

/// The machine that a scenario begins with.
pub const MACHINE: &str = "machine";

/// How long a step waits for what it expects, unless it says so.
pub const USUAL_PATIENCE: Duration = Duration::from_secs(30);

/// A story with its expectations, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    pub name: String,
    /// One sentence: what happens.
    pub summary: String,
    /// What an operator should take home.
    pub learn: String,
    /// How long role credentials live.
    pub token_lifetime: Duration,
    /// The machine that is there at the beginning.
    pub hardware: Hardware,
    /// How far that machine's clock is behind.
    pub clock_behind: Duration,
    pub steps: Vec<Step>,
}

/// Something is done, then something is seen; either may be missing.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    pub title: String,
    /// The machine that is meant.
    pub on: String,
    pub acts: Vec<Act>,
    pub expect: Expect,
    /// By the watch of whoever runs the rehearsal.
    pub within: Duration,
}

impl Step {
    /// What must be seen, in words.
    pub fn expected(&self) -> String {
        match self.expect.in_words() {
            words if words.is_empty() => "it is done".to_owned(),
            words => words.join("; "),
        }
    }
}

impl Scenario {
    /// Reads a scenario file.
    ///
    /// # Errors
    ///
    /// The first mistake in it, with its line and column.
    pub fn parse(text: &str) -> Result<Self, MalformedScenario> {
        file::read(text)
    }
}
