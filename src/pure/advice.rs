//! What an error owes the operator: what to do about it, and an exit status for scripts.

use std::error::Error;

use serde::{Deserialize, Serialize};

/// An error that reaches a person ends in a remedy, one line in the imperative.
pub trait Advice: Error {
    /// What to do about it; printed after `try: `.
    fn remedy(&self) -> String;

    /// How the process that met it ends.
    fn exit(&self) -> Exit;
}

/// Exit statuses, named as in BSD's `sysexits.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Everything that was asked for is done.
    Done = 0,
    /// The command line is wrong (`EX_USAGE`).
    Usage = 64,
    /// A file or a record has wrong content (`EX_DATAERR`).
    BadData = 65,
    /// A file or a record that has to be there is missing (`EX_NOINPUT`).
    NoInput = 66,
    /// The service does not know who asks (`EX_NOUSER`).
    NoUser = 67,
    /// The service, or the daemon, cannot be reached or failed (`EX_UNAVAILABLE`).
    Unavailable = 69,
    /// A mistake of ours (`EX_SOFTWARE`).
    Bug = 70,
    /// A file cannot be created or written (`EX_CANTCREAT`).
    CannotCreate = 73,
    /// The same call may succeed later (`EX_TEMPFAIL`).
    TryAgain = 75,
    /// Not permitted, here or by the service (`EX_NOPERM`).
    Refused = 77,
    /// The configuration is wrong (`EX_CONFIG`).
    Configuration = 78,
}

/// An error on its way to the operator, perhaps over a socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Complaint {
    pub message: String,
    pub remedy: String,
    /// A status of `sysexits.h`.
    pub exit: u8,
}

impl Exit {
    /// The status behind a number; an unknown number is a mistake of ours.
    pub fn from_code(code: u8) -> Self {
        use Exit::*;
        let all = [
            Done,
            Usage,
            BadData,
            NoInput,
            NoUser,
            Unavailable,
            Bug,
            CannotCreate,
            TryAgain,
            Refused,
            Configuration,
        ];
        all.into_iter().find(|exit| *exit as u8 == code).unwrap_or(Bug)
    }
}

impl Complaint {
    pub fn of(error: &impl Advice) -> Self {
        Self { message: error.to_string(), remedy: error.remedy(), exit: error.exit() as u8 }
    }

    pub fn new(exit: Exit, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { message: message.into(), remedy: remedy.into(), exit: exit as u8 }
    }
}
