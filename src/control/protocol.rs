//! The lines on the socket.

use serde::{Deserialize, Serialize};

use crate::pure::advice::{Advice, Exit};
use crate::shelf::Status;

/// A line from the operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Command {
    AcceptFingerprint,
    Refresh,
    RotateKey,
    /// 1 to 100, or -1.
    SetThreshold {
        threshold: i64,
    },
    Status,
}

/// The daemon's line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// What was done, in a sentence.
    Done(String),
    Refused(Complaint),
    Status(Box<Status>),
}

/// An error on its way to the operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Complaint {
    pub message: String,
    pub remedy: String,
    /// A status of `sysexits.h`.
    pub exit: u8,
}

impl Complaint {
    pub fn of(error: &impl Advice) -> Self {
        Self { message: error.to_string(), remedy: error.remedy(), exit: error.exit() as u8 }
    }

    pub fn new(exit: Exit, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { message: message.into(), remedy: remedy.into(), exit: exit as u8 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_small_json_objects() {
        for (command, line) in [
            (Command::Status, r#"{"command":"status"}"#),
            (
                Command::SetThreshold { threshold: -1 },
                r#"{"command":"set-threshold","threshold":-1}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&command).unwrap(), line);
            assert_eq!(serde_json::from_str::<Command>(line).unwrap(), command);
        }
        assert!(serde_json::from_str::<Command>(r#"{"command":"explode"}"#).is_err());
    }
}
