//! Why a program cannot be looked at.

use std::io;

use crate::pure::advice::{Advice, Exit};

#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    #[error("there is no process {pid}")]
    Gone { pid: i32 },
    #[error("process {pid} is another user's")]
    Denied { pid: i32 },
    #[error("process {pid}: {source}")]
    Unreadable { pid: i32, source: io::Error },
    #[error("the root directory cannot be opened: {0}")]
    NoRoot(io::Error),
}

impl ProgramError {
    pub(super) fn of(pid: i32, source: io::Error) -> Self {
        // A process that ends while it is looked at answers ESRCH.
        let gone = source.raw_os_error() == Some(nix::errno::Errno::ESRCH as i32);
        match source.kind() {
            io::ErrorKind::NotFound => Self::Gone { pid },
            io::ErrorKind::PermissionDenied => Self::Denied { pid },
            _ if gone => Self::Gone { pid },
            _ => Self::Unreadable { pid, source },
        }
    }
}

impl Advice for ProgramError {
    fn remedy(&self) -> String {
        match self {
            Self::Gone { .. } => "name a process that runs, or a unit with --unit".into(),
            Self::Denied { pid } => format!("sudo rolekeeper advise --pid {pid}"),
            Self::Unreadable { .. } | Self::NoRoot(_) => {
                "run it as root, with /proc mounted".into()
            }
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Denied { .. } => Exit::Refused,
            _ => Exit::Unavailable,
        }
    }
}
