//! Whose token lies in which file, for the daemon that comes after this one: it honours a token that it
//! finds for the consumer alone that the token was made for. Digests tell a token, and open nothing.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::endpoints::TokenFile;
use crate::host::directory::{UnsafeDirectory, open_file, open_out_of_reach};
use crate::host::replace::{Access, replace_file_at};
use crate::pure::metadata::container::BearerToken;

/// The record's name in the runtime directory.
pub(super) const NAME: &str = "bearer-tokens.json";

/// In bytes; an entry has about 200.
const LARGEST: u64 = 4 * 1024 * 1024;

/// A token, and the file that it was written into.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    consumer: String,
    pub(super) path: PathBuf,
    mode: u32,
    /// The service's own where the settings name none.
    owner: Option<u32>,
    group: Option<u32>,
    /// SHA-256, in hexadecimal digits.
    digest: String,
}

/// A record that could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(super) enum RecordError {
    #[error(transparent)]
    Directory(#[from] UnsafeDirectory),
    #[error("{NAME}: {0}")]
    File(#[from] io::Error),
}

impl Entry {
    pub(super) fn new(file: &TokenFile, token: &BearerToken) -> Self {
        Self {
            consumer: file.consumer.clone(),
            path: file.path.clone(),
            mode: file.access.mode,
            owner: file.access.owner.map(|uid| uid.as_raw()),
            group: file.access.group.map(|gid| gid.as_raw()),
            digest: token.digest(),
        }
    }

    /// The token, if it was made for this consumer and this file, and nobody has read it who may not
    /// read the file now.
    pub(super) fn token_of(&self, file: &TokenFile) -> Option<BearerToken> {
        let access = Access {
            mode: self.mode,
            owner: self.owner.map(Into::into),
            group: self.group.map(Into::into),
        };
        let is_its = self.consumer == file.consumer && self.path == file.path;
        (is_its && !shuts_out(access, file.access)).then(|| BearerToken::of_digest(&self.digest))?
    }
}

/// Whether somebody who could read a file before cannot do so now.
pub(super) fn shuts_out(before: Access, now: Access) -> bool {
    let ((owner, group), (new_owner, new_group)) = (before.ids(), now.ids());
    let everyone = now.mode & 0o004 != 0;
    let is_shut_out =
        |bit: u32, same: bool| before.mode & bit != 0 && (now.mode & bit == 0 || !same);
    !everyone
        && (is_shut_out(0o400, owner == new_owner)
            || is_shut_out(0o040, group == new_group)
            || is_shut_out(0o004, true))
}

/// The entries that the daemon before has written. No record has none.
pub(super) fn read(runtime: &Path) -> Result<Vec<Entry>, RecordError> {
    let directory = open_out_of_reach(runtime, None)?;
    let Some(file) = open_file(&directory, NAME.as_ref())? else { return Ok(Vec::new()) };
    let mut text = Vec::new();
    file.take(LARGEST).read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text).map_err(io::Error::from)?)
}

pub(super) fn write(runtime: &Path, entries: &[Entry]) -> Result<(), RecordError> {
    let text = serde_json::to_vec(entries).map_err(io::Error::from)?;
    let directory = open_out_of_reach(runtime, None)?;
    Ok(replace_file_at(&directory, NAME, &text, Access::PRIVATE)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_can_read_a_file_no_more_is_shut_out() {
        let access = |mode, owner: u32, group: u32| Access {
            mode,
            owner: Some(owner.into()),
            group: Some(group.into()),
        };
        let before = access(0o640, 1, 2);
        for (now, expected) in [
            (before, false),
            (access(0o644, 1, 2), false),
            (access(0o644, 3, 4), false),
            (access(0o600, 1, 2), true),
            (access(0o640, 3, 2), true),
            (access(0o640, 1, 4), true),
        ] {
            assert_eq!(shuts_out(before, now), expected, "{now:?}");
        }
        assert!(!shuts_out(access(0o600, 1, 2), access(0o600, 1, 4)), "its group never read it");
        assert!(shuts_out(access(0o644, 1, 2), before));
    }
}
