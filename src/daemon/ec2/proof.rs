//! The profile's role that Systems Manager has heard, for the daemon that comes after this one: a restart
//! while Systems Manager is out of reach takes nothing from an instance whose metadata service hands out
//! credentials. Another role under the same names, that of Default Host Management, is told apart.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::{UnlinkatFlags, unlinkat};
use serde::{Deserialize, Serialize};

use crate::host::directory::{UnsafeDirectory, make, open_file, open_out_of_reach};
use crate::host::replace::{Access, replace_file_at};
use crate::pure::identity::Ec2InstanceId;

/// The record's name in the state directory.
const NAME: &str = "instance-profile.json";

/// A state directory that had to be made is for the daemon alone.
const DIRECTORY_MODE: u32 = 0o700;

/// More than a record has: IAM's names end at 64 characters.
const LARGEST: u64 = 4096;

/// What is known of it, and where that is kept.
#[derive(Debug)]
pub(super) struct Proof {
    state: PathBuf,
    record: Option<Record>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    instance_id: String,
    role: String,
}

/// A record that could not be written, read or removed.
#[derive(Debug, thiserror::Error)]
enum ProofError {
    #[error(transparent)]
    Directory(#[from] UnsafeDirectory),
    #[error("{NAME}: {0}")]
    File(#[from] io::Error),
}

impl Proof {
    /// What the run before kept in this directory. One that cannot be read is none.
    pub(super) fn of_run_before(state: &Path) -> Self {
        let record = read(state).unwrap_or_else(|error| {
            tracing::warn!("it is not known which role Systems Manager has heard: {error}");
            None
        });
        Self { state: state.to_owned(), record }
    }

    pub(super) fn is_of(&self, id: &Ec2InstanceId, role: &str) -> bool {
        self.record.as_ref() == Some(&Record::new(id, role))
    }

    /// Systems Manager has heard this role.
    pub(super) fn keep(&mut self, id: &Ec2InstanceId, role: &str) {
        let record = Record::new(id, role);
        if self.record.as_ref() == Some(&record) {
            return;
        }
        if let Err(error) = write(&self.state, &record) {
            tracing::warn!("the next run will have to prove the role {role} first: {error}");
        }
        self.record = Some(record);
    }

    /// The profile's role is not the one that is used.
    pub(super) fn forget(&mut self) {
        if self.record.take().is_some()
            && let Err(error) = remove(&self.state)
        {
            tracing::warn!("the next run may take the profile's role unproven: {error}");
        }
    }
}

impl Record {
    fn new(id: &Ec2InstanceId, role: &str) -> Self {
        Self { instance_id: id.to_string(), role: role.to_owned() }
    }
}

fn write(state: &Path, record: &Record) -> Result<(), ProofError> {
    let text = serde_json::to_vec(record).map_err(io::Error::from)?;
    make(state, DIRECTORY_MODE)?;
    let directory = open_out_of_reach(state, None)?;
    Ok(replace_file_at(&directory, NAME, &text, Access::PRIVATE)?)
}

fn read(state: &Path) -> Result<Option<Record>, ProofError> {
    if !state.exists() {
        return Ok(None);
    }
    let directory = open_out_of_reach(state, None)?;
    let Some(file) = open_file(&directory, NAME.as_ref())? else { return Ok(None) };
    let mut text = Vec::new();
    file.take(LARGEST).read_to_end(&mut text)?;
    Ok(Some(serde_json::from_slice(&text).map_err(io::Error::from)?))
}

fn remove(state: &Path) -> Result<(), ProofError> {
    let directory = open_out_of_reach(state, None)?;
    match unlinkat(&directory, NAME, UnlinkatFlags::NoRemoveDir) {
        Err(Errno::ENOENT) => Ok(()),
        removed => Ok(removed.map_err(io::Error::from)?),
    }
}
