//! The file that is in a target's place already.

use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::fd::BorrowedFd;

use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::{FileStat, SFlag, fstat, fstatat};
use nix::unistd::{Gid, Uid};

use super::attributes::Attributes;
use super::{Permission, Trouble};
use crate::host::directory::open_file;
use crate::pure::diagnosis::acl;
use crate::pure::secret::Secret;

/// Credentials files have a few kilobytes; ours adds less than five.
pub(super) const LARGEST: u64 = 1024 * 1024;

/// A regular file with one name, and what it held when it was read.
pub(super) struct Existing {
    stat: FileStat,
    attributes: Attributes,
    bytes: Secret<Vec<u8>>,
}

impl Existing {
    /// Reads `name`, without following a symlink and without waiting for anything. `None` when
    /// there is no such file.
    pub fn open(directory: BorrowedFd<'_>, name: &OsStr) -> Result<Option<Self>, Trouble> {
        // Opening a device can do things, so the file is looked at first.
        match fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Err(Errno::ENOENT) => return Ok(None),
            found => check(&found.map_err(|errno| Trouble::of("read", errno.into()))?)?,
        }
        let opened = open_file(directory, name).map_err(|error| Trouble::of("read", error))?;
        let Some(file) = opened else { return Ok(None) };
        let stat = fstat(&file).map_err(|errno| Trouble::of("read", errno.into()))?;
        check(&stat)?;
        let attributes = Attributes::of(&file);
        Ok(Some(Self { stat, attributes, bytes: read(file, &stat)? }))
    }

    pub fn bytes(&self) -> &[u8] {
        self.bytes.expose()
    }

    /// Owner, group and mode, without what an access control list makes of the mode.
    pub fn permission(&self) -> Permission {
        let mode = self.stat.st_mode & 0o7777;
        let list = self.attributes.list.as_deref();
        Permission {
            owner: Uid::from_raw(self.stat.st_uid),
            group: Gid::from_raw(self.stat.st_gid),
            mode: list.map_or(mode, |list| acl::own_mode(list, mode)),
        }
    }

    pub fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    /// Whether `name` is still what it was when it was read, or still nothing.
    pub fn is_still(then: Option<&Self>, directory: BorrowedFd<'_>, name: &OsStr) -> bool {
        let now = fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW);
        match (then, now) {
            (None, Err(Errno::ENOENT)) => true,
            (Some(then), Ok(now)) => identity(&then.stat) == identity(&now),
            _ => false,
        }
    }
}

impl fmt::Debug for Existing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Existing").field("permission", &self.permission()).finish_non_exhaustive()
    }
}

/// Which file it is and when it was last written or changed.
fn identity(stat: &FileStat) -> impl PartialEq {
    let times = (stat.st_mtime, stat.st_mtime_nsec, stat.st_ctime, stat.st_ctime_nsec);
    (stat.st_dev, stat.st_ino, stat.st_size, times)
}

fn check(stat: &FileStat) -> Result<(), Trouble> {
    let kind = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
    if kind == SFlag::S_IFLNK {
        Err(Trouble::Symlink)
    } else if kind != SFlag::S_IFREG {
        Err(Trouble::NotAFile(kind_name(kind)))
    } else if stat.st_nlink > 1 {
        Err(Trouble::HardLinks(stat.st_nlink))
    } else {
        Ok(())
    }
}

fn kind_name(kind: SFlag) -> &'static str {
    match kind {
        SFlag::S_IFDIR => "a directory",
        SFlag::S_IFIFO => "a named pipe",
        SFlag::S_IFSOCK => "a socket",
        SFlag::S_IFCHR | SFlag::S_IFBLK => "a device",
        _ => "something else",
    }
}

fn read(file: File, stat: &FileStat) -> Result<Secret<Vec<u8>>, Trouble> {
    let expected = u64::try_from(stat.st_size).unwrap_or(0).min(LARGEST) as usize;
    // One byte more than expected: a buffer that grew would leave its old half in memory.
    let mut bytes = Vec::with_capacity(expected + 1);
    let outcome = file.take(LARGEST + 1).read_to_end(&mut bytes);
    let bytes = Secret::new(bytes);
    outcome.map_err(|error| Trouble::of("read", error))?;
    if bytes.expose().len() as u64 > LARGEST { Err(Trouble::TooLarge) } else { Ok(bytes) }
}
