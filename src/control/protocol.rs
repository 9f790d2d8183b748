//! The lines on the socket.

use serde::{Deserialize, Serialize};

use crate::pure::advice::Complaint;
use crate::shelf::Status;

/// A line from the operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Command {
    AcceptFingerprint,
    Refresh,
    Reload,
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
