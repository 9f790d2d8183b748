//! Replaces a file whole: whoever reads it sees the old bytes or the new ones, through a crash too.
//!
//! The new file is staged under a temporary name in the same directory, opened with no access for
//! others, given its final owner, group and mode before the first byte, written, fsynced, renamed,
//! and the directory is fsynced. An access control list that the directory would pass on is taken away,
//! so that nobody reads the file but whom its mode says. Everything happens relative to an open directory, and a symlink in
//! the file's place is replaced, never followed.
//!
//! One writer at a time: whoever replaces a file must be the only one to do so. The vault's lock
//! sees to it; a second writer is noticed, not waited for.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat, renameat};
use nix::sys::stat::{Mode, fchmod, fstat, fstatat};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, getegid, geteuid, unlinkat};

use super::attributes;
use crate::pure::diagnosis::acl;

/// Who may do what with the new file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// Permission bits, as `0o640`.
    pub mode: u32,
    /// The owner; `None` leaves the process's own.
    pub owner: Option<Uid>,
    /// The group; `None` leaves the process's own, also where the directory would pass on another.
    pub group: Option<Gid>,
}

impl Access {
    /// For the process's own eyes.
    pub const PRIVATE: Access = Access { mode: 0o600, owner: None, group: None };

    /// The owner and group that the file gets.
    pub fn ids(&self) -> (Uid, Gid) {
        self.ids_for((geteuid(), getegid()))
    }

    /// The same where a process of that user and group writes it.
    pub fn ids_for(&self, (owner, group): (Uid, Gid)) -> (Uid, Gid) {
        (self.owner.unwrap_or(owner), self.group.unwrap_or(group))
    }
}

/// Replaces `directory/name` by `bytes`.
///
/// # Errors
///
/// Whatever the first failing system call said; the old file is then untouched and the temporary
/// one is gone.
pub fn replace_file(
    directory: &Path,
    name: impl AsRef<OsStr>,
    bytes: &[u8],
    access: Access,
) -> io::Result<()> {
    let directory = open(directory, OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    replace_file_at(&directory, name, bytes, access)
}

/// The same in a directory that is already open, and so cannot be exchanged meanwhile.
///
/// # Errors
///
/// As [`replace_file`].
pub fn replace_file_at(
    directory: impl AsFd,
    name: impl AsRef<OsStr>,
    bytes: &[u8],
    access: Access,
) -> io::Result<()> {
    let mut staged = Staged::create(directory.as_fd(), name.as_ref())?;
    staged.give(access)?;
    staged.write(bytes)?;
    staged.commit()
}

/// A file that is not in its place yet. Dropped, it is gone. The steps are [`replace_file_at`]'s,
/// apart, for callers that must tell which one failed.
#[derive(Debug)]
pub struct Staged<'d> {
    directory: BorrowedFd<'d>,
    name: OsString,
    temporary: OsString,
    file: File,
}

impl<'d> Staged<'d> {
    /// Makes the temporary file, for the process's own eyes. A leftover of a crash is removed.
    ///
    /// # Errors
    ///
    /// Whatever the system call said.
    pub fn create(directory: BorrowedFd<'d>, name: &OsStr) -> io::Result<Self> {
        let mut temporary = OsString::from(".");
        temporary.push(name);
        temporary.push(".rolekeeper-new");
        remove_if_present(directory, &temporary)?;
        let flags =
            OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        let file = File::from(openat(directory, temporary.as_os_str(), flags, mode)?);
        let staged = Self { directory, name: name.to_owned(), temporary, file };
        attributes::remove(&staged.file, OsStr::new(acl::ATTRIBUTE))?;
        Ok(staged)
    }

    /// Gives it an extended attribute. A list of access belongs behind [`Staged::give`], which would
    /// change its mask.
    ///
    /// # Errors
    ///
    /// As [`attributes::set`].
    pub fn attach(&self, name: &OsStr, value: &[u8]) -> io::Result<()> {
        if attributes::get(&self.file, name)?.as_deref() == Some(value) {
            return Ok(());
        }
        attributes::set(&self.file, name, value)
    }

    /// Sets the final owner, group and mode. In this order, because a change of owner may clear
    /// mode bits; and before the first byte, so that the file is at no instant readable by more
    /// than its final mode allows.
    ///
    /// # Errors
    ///
    /// `EPERM` when the process may not give files away (to this owner or group).
    pub fn give(&self, access: Access) -> io::Result<()> {
        let (owner, group) = access.ids();
        let now = fstat(&self.file)?;
        let owner = Some(owner).filter(|owner| owner.as_raw() != now.st_uid);
        let group = Some(group).filter(|group| group.as_raw() != now.st_gid);
        if owner.is_some() || group.is_some() {
            fchown(&self.file, owner, group)?;
        }
        fchmod(&self.file, Mode::from_bits_truncate(access.mode as nix::libc::mode_t))?;
        Ok(())
    }

    /// Writes the content and waits until it is on the disk.
    ///
    /// # Errors
    ///
    /// `ENOSPC`, most likely.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.file.sync_all()
    }

    /// Puts the file in its place, and waits until that is on the disk.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::ResourceBusy`] without a number when another writer took the temporary name;
    /// else whatever the system call said. That is `EBUSY` where the file is a mount point.
    pub fn commit(self) -> io::Result<()> {
        let ours = fstat(&self.file)?;
        let named =
            fstatat(self.directory, self.temporary.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW);
        if named.is_ok_and(|named| (named.st_dev, named.st_ino) != (ours.st_dev, ours.st_ino)) {
            return Err(io::ErrorKind::ResourceBusy.into());
        }
        let (temporary, name) = (self.temporary.as_os_str(), self.name.as_os_str());
        renameat(self.directory, temporary, self.directory, name)?;
        nix::unistd::fsync(self.directory).map_err(io::Error::from)
    }
}

impl Drop for Staged<'_> {
    /// After a commit there is nothing to remove. Whatever fails here, the error that counts has
    /// been told already, and the next attempt removes a leftover.
    fn drop(&mut self) {
        let _ = remove_if_present(self.directory, &self.temporary);
    }
}

fn remove_if_present(directory: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    match unlinkat(directory, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn replaces_content_and_mode_and_leaves_no_temporary_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "old").unwrap();
        replace_file(directory.path(), "file", b"new", Access { mode: 0o640, ..Access::PRIVATE })
            .unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o640);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_symlink_in_the_way_is_replaced_and_its_aim_is_untouched() {
        let directory = tempfile::tempdir().unwrap();
        let aim = directory.path().join("aim");
        fs::write(&aim, "precious").unwrap();
        symlink(&aim, directory.path().join("file")).unwrap();
        symlink(&aim, directory.path().join(".file.rolekeeper-new")).unwrap();
        replace_file(directory.path(), "file", b"new", Access::PRIVATE).unwrap();
        assert_eq!(fs::read(&aim).unwrap(), b"precious");
        assert!(fs::symlink_metadata(directory.path().join("file")).unwrap().is_file());
    }

    #[test]
    fn a_failure_leaves_the_old_file() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("file")).unwrap();
        fs::write(directory.path().join("file/inside"), "kept").unwrap();
        assert!(replace_file(directory.path(), "file", b"new", Access::PRIVATE).is_err());
        assert_eq!(fs::read(directory.path().join("file/inside")).unwrap(), b"kept");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
