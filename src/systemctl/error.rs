//! A service that was not told, why not, and what was printed about it.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use super::{Answer, Failed, PLACES};
use crate::pure::advice::{Advice, Exit};
use crate::pure::duration::display_duration;
use crate::pure::failure::FailureClass;
use crate::pure::unit::{ServiceName, SignalName};

/// A service that was not told.
#[derive(Debug, thiserror::Error)]
#[error("{unit} was not {}: {trouble}{}", self.wish(), self.first_words())]
pub struct SystemctlError {
    pub unit: ServiceName,
    /// What it was to be sent; it was to be reloaded when there is none.
    pub signal: Option<SignalName>,
    pub trouble: Trouble,
    /// Line by line, safe to log.
    pub output: Vec<String>,
}

/// Why not.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    #[error("systemctl is in none of {}", PLACES.join(", "))]
    Missing,
    #[error("{}: {source}", program.display())]
    NotRun { program: PathBuf, source: io::Error },
    /// systemd asked polkit, which said no or is not there.
    #[error("the daemon's user is not allowed to")]
    Denied,
    #[error("there is no such unit")]
    UnknownUnit,
    #[error("systemctl ended with {0}")]
    Failed(ExitStatus),
    #[error("systemctl did not end within {}", display_duration(*.0))]
    Unanswered(Duration),
    /// What systemd says of the unit after its job.
    #[error("its job ended with ActiveState={state}, Result={result}")]
    Job { state: String, result: String },
    #[error("its job has not ended within {}", display_duration(*.0))]
    Unfinished(Duration),
}

/// How systemd says no (`systemctl` 252, in the C locale, which an empty environment is).
const DENIALS: [&str; 3] =
    ["Interactive authentication required", "Access denied", "Permission denied"];

impl Trouble {
    /// Of a run that did not succeed.
    pub(super) fn of(Answer { status, output }: Answer) -> Failed {
        let says = |words: &str| output.iter().any(|line| line.contains(words));
        let trouble = if DENIALS.iter().any(|words| says(words)) {
            Self::Denied
        } else if says(".service not found") {
            Self::UnknownUnit
        } else {
            Self::Failed(status)
        };
        (trouble, output)
    }
}

impl SystemctlError {
    /// Nobody knows whether the service is being told still.
    pub fn is_open(&self) -> bool {
        matches!(self.trouble, Trouble::Unanswered(_))
    }

    /// Whether systemd has taken the job on, and goes on with it.
    pub fn is_under_way(&self) -> bool {
        matches!(self.trouble, Trouble::Unfinished(_))
    }

    /// For `status`.
    pub fn class(&self) -> FailureClass {
        match self.trouble {
            Trouble::Denied => FailureClass::Denied,
            _ => FailureClass::Local,
        }
    }

    fn wish(&self) -> String {
        match &self.signal {
            None => "reloaded".to_owned(),
            Some(signal) => format!("sent {signal}"),
        }
    }

    /// The word for it that polkit's rules see.
    fn verb(&self) -> &'static str {
        if self.signal.is_some() { "kill" } else { "reload-or-try-restart" }
    }

    fn first_words(&self) -> String {
        self.output.first().map(|line| format!(" ({line})")).unwrap_or_default()
    }
}

impl Advice for SystemctlError {
    fn remedy(&self) -> String {
        let unit = &self.unit;
        match &self.trouble {
            Trouble::Missing | Trouble::NotRun { .. } => {
                "say where it is with systemctl under [reload] in the settings".to_owned()
            }
            Trouble::Denied => format!(
                "allow '{}' of {unit} in /etc/polkit-1/rules.d, as the example \
                 50-rolekeeper.rules does, then systemctl try-restart polkit and systemctl reload \
                 rolekeeper; or use a path unit \
                 instead (examples/rolekeeper-reload@.path)",
                self.verb(),
            ),
            Trouble::UnknownUnit => format!("name the unit as `systemctl status {unit}` knows it"),
            Trouble::Failed(_) | Trouble::Job { .. } => {
                format!("look at what it says: systemctl status {unit}; journalctl -u {unit}")
            }
            Trouble::Unanswered(_) | Trouble::Unfinished(_) => {
                format!(
                    "see whether it still reloads: systemctl list-jobs; systemctl status {unit}"
                )
            }
        }
    }

    fn exit(&self) -> Exit {
        match self.trouble {
            Trouble::Denied => Exit::Refused,
            Trouble::Missing | Trouble::NotRun { .. } | Trouble::UnknownUnit => Exit::Configuration,
            Trouble::Failed(_) | Trouble::Job { .. } => Exit::Unavailable,
            Trouble::Unanswered(_) | Trouble::Unfinished(_) => Exit::TryAgain,
        }
    }
}
