//! The registered role's credentials, for the daemon that comes after this one: a restart while the
//! service is out of reach, as an update brings it, takes nothing from the programs that ask.
//!
//! They are kept beside the sockets, in memory and for this user alone, and end within the hour.
//! Whoever takes them back looks at the machine first: that is the refresher's business. They are not
//! read from a credentials file, which does not say whose they are: with other settings, or another
//! registration, they would be another role's.

use std::io::{self, Read};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::stat::{SFlag, fstat};
use nix::unistd::{UnlinkatFlags, geteuid, unlinkat};
use serde::{Deserialize, Serialize};
use time::UtcDateTime;
use zeroize::Zeroizing;

use crate::host::directory::{UnsafeDirectory, open_file, open_out_of_reach};
use crate::host::file_watch::Stamp;
use crate::host::replace::{Access, replace_file_at};
use crate::pure::identity::InstanceId;
use crate::pure::role_token::RoleToken;
use crate::pure::secret::Secret;
use crate::shelf::Moment;

/// The record's name in the runtime directory.
pub(super) const NAME: &str = "role-token";

/// More than a record has: a session token is as long as AWS likes, mostly below 4 KiB.
const LARGEST: usize = 64 * 1024;

/// A record that could not be written, read or removed.
#[derive(Debug, thiserror::Error)]
pub enum HeldError {
    #[error(transparent)]
    Directory(#[from] UnsafeDirectory),
    #[error("{NAME}: {0}")]
    File(#[from] io::Error),
    #[error("{NAME}: {0}")]
    Unusable(&'static str),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    instance_id: String,
    access_key_id: String,
    secret_access_key: Secret<String>,
    session_token: Secret<String>,
    issued_at: Moment,
    expires_at: Moment,
}

/// The record as it is written: it borrows what must not be copied.
#[derive(Serialize)]
struct Written<'a> {
    instance_id: &'a str,
    access_key_id: &'a str,
    secret_access_key: &'a str,
    session_token: &'a str,
    issued_at: Moment,
    expires_at: Moment,
}

/// Keeps the token, in the place of the one before.
pub(super) fn keep(runtime: &Path, id: &InstanceId, token: &RoleToken) -> Result<(), HeldError> {
    let record = Written {
        instance_id: id.as_str(),
        access_key_id: token.access_key_id.as_str(),
        secret_access_key: token.secret_access_key.expose(),
        session_token: token.session_token.expose(),
        issued_at: Moment(token.issued_at),
        expires_at: Moment(token.expires_at),
    };
    // Room for all of it at once: a buffer that grew would leave its old halves in memory.
    let mut text = Zeroizing::new(Vec::with_capacity(LARGEST));
    serde_json::to_writer(&mut *text, &record).map_err(io::Error::from)?;
    let directory = open_out_of_reach(runtime, None)?;
    Ok(replace_file_at(&directory, NAME, &text, Access::PRIVATE)?)
}

/// The token that an earlier run of this instance kept, unless it has ended, or begins only after
/// `now`: that clock is wrong.
pub(super) fn take_back(
    runtime: &Path,
    id: &InstanceId,
    now: UtcDateTime,
) -> Result<Option<RoleToken>, HeldError> {
    let Some(record) = read(runtime)? else { return Ok(None) };
    let (Moment(issued_at), Moment(expires_at)) = (record.issued_at, record.expires_at);
    if record.instance_id != id.as_str() || now < issued_at {
        return Ok(None);
    }
    let token = RoleToken::new(
        Some(record.access_key_id),
        Some(record.secret_access_key),
        Some(record.session_token),
        issued_at,
        Some(expires_at),
        false,
    );
    let token = token.map_err(|_| HeldError::Unusable("has no credentials"))?;
    Ok(Some(token).filter(|token| token.is_usable(now)))
}

/// The record's file, to see whether somebody else touches it.
pub(super) fn stamp(runtime: &Path) -> Option<Stamp> {
    Stamp::of(&runtime.join(NAME))
}

/// Removes the record, where there is one.
pub fn forget(runtime: &Path) -> Result<(), HeldError> {
    let directory = match open_out_of_reach(runtime, None) {
        Err(_) if !runtime.exists() => return Ok(()),
        opened => opened?,
    };
    match unlinkat(&directory, NAME, UnlinkatFlags::NoRemoveDir) {
        Err(Errno::ENOENT) => Ok(()),
        removed => Ok(removed.map_err(io::Error::from)?),
    }
}

/// A file that this user alone could have written, and read.
fn read(runtime: &Path) -> Result<Option<Record>, HeldError> {
    let directory = open_out_of_reach(runtime, None)?;
    let Some(file) = open_file(&directory, NAME.as_ref())? else { return Ok(None) };
    let found = fstat(&file).map_err(io::Error::from)?;
    let is_file = SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG;
    if !is_file || found.st_nlink > 1 {
        return Err(HeldError::Unusable("is no file of its own"));
    }
    if found.st_uid != geteuid().as_raw() || found.st_mode & 0o077 != 0 {
        return Err(HeldError::Unusable("is not for this user alone"));
    }
    let mut text = Zeroizing::new(Vec::with_capacity(LARGEST + 1));
    file.take(LARGEST as u64).read_to_end(&mut text)?;
    let record = serde_json::from_slice(&text);
    Ok(Some(record.map_err(|_| HeldError::Unusable("is no record of a role token"))?))
}
