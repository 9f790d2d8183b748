//! What can go wrong with the lab's state, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

use crate::lab::answers::Refusal;
use crate::pure::advice::{Advice, Exit};
use crate::pure::identity::Region;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot create {path}: {error}", path = .0.display(), error = .1)]
    Create(PathBuf, io::Error),
    #[error("cannot open {path}: {error}", path = .0.display(), error = .1)]
    Open(PathBuf, rusqlite::Error),
    #[error("{} is in use by another lab", .0.display())]
    InUse(PathBuf),
    #[error("{} is not a lab's data file", .0.display())]
    Foreign(PathBuf),
    #[error("{path} has schema version {1}, and this program knows {2}", path = .0.display())]
    Version(PathBuf, i32, i32),
    #[error("{path} belongs to a lab in {1}, not in {2}", path = .0.display())]
    Region(PathBuf, String, Region),
    #[error("the lab's data cannot be read or written: {0}")]
    Failed(#[from] rusqlite::Error),
    #[error("the lab's data are damaged: {0} {1}")]
    Damaged(&'static str, String),
}

impl StoreError {
    /// What an error means that comes before the file is known to be ours.
    pub(super) fn opening(path: &Path, error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                Self::InUse(path.to_owned())
            }
            Some(ErrorCode::NotADatabase) => Self::Foreign(path.to_owned()),
            _ => Self::Open(path.to_owned(), error),
        }
    }
}

/// Whoever asked hears that it was not their fault, and what failed.
impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Refusal::with_status(500, "InternalServerError".to_owned(), error.to_string())
    }
}

impl Advice for StoreError {
    fn remedy(&self) -> String {
        match self {
            StoreError::Create(..) | StoreError::Open(..) => {
                "a --data file in a directory that is there and that you may write".to_owned()
            }
            StoreError::InUse(_) => {
                "stop the other lab, or give this one a --data file of its own".to_owned()
            }
            StoreError::Foreign(_) | StoreError::Version(..) => {
                "another --data file; a new one is made where there is none".to_owned()
            }
            StoreError::Region(_, recorded, _) => {
                format!("--region {recorded}, or another --data file")
            }
            StoreError::Failed(_) => "see whether the disk is full or failing".to_owned(),
            StoreError::Damaged(..) => "a new --data file, or a copy of an older one".to_owned(),
        }
    }

    fn exit(&self) -> Exit {
        match self {
            StoreError::Create(..) | StoreError::Open(..) => Exit::CannotCreate,
            StoreError::InUse(_) => Exit::TryAgain,
            StoreError::Foreign(_) | StoreError::Version(..) => Exit::BadData,
            StoreError::Region(..) => Exit::Usage,
            StoreError::Failed(_) => Exit::Unavailable,
            StoreError::Damaged(..) => Exit::BadData,
        }
    }
}
