//! The words of `do`: what can happen in a scenario.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use time::UtcDateTime;

use super::file::duration;
use super::hardware::Hardware;
use crate::lab::faults::{Fault, WireFault};
use crate::pure::duration::display_duration;
use crate::pure::fingerprint::SimilarityThreshold;

/// One thing that happens. What is done to a machine is done to the one that the step is `on`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// `rolekeeper register`, with an activation that is made for it.
    Register,
    /// The same with `--force`: an identity that is there is replaced.
    RegisterAgain,
    /// `rolekeeper register` with the activation of this name.
    RegisterWith(String),
    /// The daemon starts.
    Start,
    /// The daemon is told to stop, and does.
    Stop,
    /// The daemon ends without a chance to put anything in order, as by `kill -9`.
    Kill,
    /// `rolekeeper refresh`.
    Refresh,
    /// `rolekeeper rotate-key`.
    RotateKey,
    /// The same, and nobody waits for its end.
    BeginKeyRotation,
    /// `rolekeeper fingerprint accept`.
    AcceptFingerprint,
    /// `rolekeeper fingerprint set-threshold`.
    SetThreshold(Threshold),
    /// From now on the machine's hardware is another, in what is given.
    ChangeHardware(Hardware),
    /// From now on the machine's clock is so far behind.
    SetClockBehind(#[serde(deserialize_with = "duration")] Duration),
    /// The machine is paused for so long, as a virtual machine is that is suspended or migrated: both its
    /// clocks stand still, and are behind afterwards. Time passes for everybody else.
    PauseMachine(#[serde(deserialize_with = "duration")] Duration),
    /// There is one machine more.
    NewMachine(NewMachine),
    /// An administrator creates an activation.
    CreateActivation(NewActivation),
    /// An activation ends now.
    ExpireActivation(String),
    /// An administrator deletes an activation.
    DeleteActivation(String),
    /// An administrator deregisters the machine.
    DeregisterNode,
    /// From now on the service asks the machine for a new key, until it has one.
    AskForNewKey,
    AddFault(WireFault),
    ClearFaults,
    /// Connections to the service are refused.
    StopService,
    /// The service listens again, and knows what it knew.
    StartService,
    /// For everybody alike. Whoever waits for a moment in between wakes at that moment.
    TimePasses(#[serde(deserialize_with = "duration")] Duration),
}

/// A machine that was not there before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewMachine {
    pub name: String,
    /// It starts with the disk of that machine: the same vault and files, on the same hardware but
    /// for what is given.
    pub copy_of: Option<String>,
    #[serde(default)]
    pub hardware: Hardware,
}

/// An activation that a machine can register with by name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewActivation {
    pub name: String,
    /// How many machines it admits.
    #[serde(default = "one")]
    pub machines: u32,
}

/// 1 to 100, or -1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i64")]
pub struct Threshold(pub SimilarityThreshold);

impl TryFrom<i64> for Threshold {
    type Error = crate::pure::fingerprint::InvalidThreshold;

    fn try_from(number: i64) -> Result<Self, Self::Error> {
        number.try_into().map(Self)
    }
}

impl Act {
    /// Whether its outcome has an exit status that a step can expect.
    pub fn is_command(&self) -> bool {
        matches!(
            self,
            Act::Register
                | Act::RegisterAgain
                | Act::RegisterWith(_)
                | Act::Refresh
                | Act::RotateKey
                | Act::AcceptFingerprint
                | Act::SetThreshold(_)
        )
    }
}

/// In words, for the report.
impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Act::Register => f.write_str("register"),
            Act::RegisterAgain => f.write_str("register --force"),
            Act::RegisterWith(name) => write!(f, "register with activation {name}"),
            Act::Start => f.write_str("start the daemon"),
            Act::Stop => f.write_str("stop the daemon"),
            Act::Kill => f.write_str("kill the daemon"),
            Act::Refresh => f.write_str("refresh"),
            Act::RotateKey => f.write_str("rotate-key"),
            Act::BeginKeyRotation => f.write_str("rotate-key, in the background"),
            Act::AcceptFingerprint => f.write_str("fingerprint accept"),
            Act::SetThreshold(Threshold(threshold)) => write!(f, "set-threshold {threshold}"),
            Act::ChangeHardware(_) => f.write_str("change the hardware"),
            Act::SetClockBehind(Duration::ZERO) => f.write_str("set the machine's clock right"),
            Act::SetClockBehind(span) => {
                write!(f, "set the machine's clock {} back", display_duration(*span))
            }
            Act::PauseMachine(span) => {
                write!(f, "pause the machine for {}", display_duration(*span))
            }
            Act::NewMachine(NewMachine { name, copy_of: None, .. }) => {
                write!(f, "new machine {name}")
            }
            Act::NewMachine(NewMachine { name, copy_of: Some(other), .. }) => {
                write!(f, "new machine {name} with the disk of {other}")
            }
            Act::CreateActivation(NewActivation { name, machines }) => {
                write!(f, "create activation {name} for {machines}")
            }
            Act::ExpireActivation(name) => write!(f, "expire activation {name}"),
            Act::DeleteActivation(name) => write!(f, "delete activation {name}"),
            Act::DeregisterNode => f.write_str("deregister the node"),
            Act::AskForNewKey => f.write_str("the service asks for a new key"),
            Act::AddFault(fault) => write!(f, "fault: {}", fault_words(fault)),
            Act::ClearFaults => f.write_str("clear the faults"),
            Act::StopService => f.write_str("the service is gone"),
            Act::StartService => f.write_str("the service is back"),
            Act::TimePasses(span) => write!(f, "{} pass", display_duration(*span)),
        }
    }
}

/// What a fault does, and to which operation; one that is malformed was refused before.
pub fn fault_words(fault: &WireFault) -> String {
    // Any moment does: the words do not depend on it.
    match fault.clone().decode(UtcDateTime::UNIX_EPOCH) {
        Ok(Fault { effect, operation: Some(operation), .. }) => format!("{effect}: {operation}"),
        Ok(Fault { effect, .. }) => effect.to_string(),
        Err(error) => error.to_string(),
    }
}

fn one() -> u32 {
    1
}
