//! Replaces a file whole: whoever reads it sees the old bytes or the new ones, through a crash too.
//!
//! The temporary file is made in the same directory, opened with no access for others, given its
//! final owner, group and mode before the first byte, written, fsynced, renamed, and the directory
//! is fsynced. Everything happens relative to an open directory, and a symlink in the file's place
//! is replaced, never followed.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::Path;

use nix::fcntl::{OFlag, open, openat, renameat};
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, unlinkat};

/// Who may do what with the new file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// Permission bits, as `0o640`.
    pub mode: u32,
    /// The owner; `None` leaves the process's own.
    pub owner: Option<Uid>,
    /// The group; `None` leaves the process's own.
    pub group: Option<Gid>,
}

impl Access {
    /// For the process's own eyes.
    pub const PRIVATE: Access = Access { mode: 0o600, owner: None, group: None };
}

/// Replaces `directory/name` by `bytes`.
///
/// # Errors
///
/// Whatever the first failing system call said; the old file is then untouched and the temporary
/// one is gone.
pub fn replace_file(directory: &Path, name: &str, bytes: &[u8], access: Access) -> io::Result<()> {
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
    name: &str,
    bytes: &[u8],
    access: Access,
) -> io::Result<()> {
    let directory = directory.as_fd();
    let temporary = format!(".{name}.rolekeeper-new");
    remove_if_present(&directory, &temporary)?;
    let flags =
        OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let file =
        File::from(openat(directory, temporary.as_str(), flags, Mode::from_bits_truncate(0o600))?);
    let written = fill(file, bytes, access).and_then(|()| {
        renameat(directory, temporary.as_str(), directory, name).map_err(io::Error::from)
    });
    if let Err(error) = written {
        // The error that counts is the first one; the next attempt removes a leftover anyway.
        let _ = remove_if_present(&directory, &temporary);
        return Err(error);
    }
    nix::unistd::fsync(directory).map_err(io::Error::from)
}

/// Ownership first, then the mode (a change of owner may clear mode bits), then the content: at no
/// instant is the file readable by more than its final mode allows.
fn fill(mut file: File, bytes: &[u8], access: Access) -> io::Result<()> {
    if access.owner.is_some() || access.group.is_some() {
        fchown(&file, access.owner, access.group)?;
    }
    fchmod(&file, Mode::from_bits_truncate(access.mode as nix::libc::mode_t))?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn remove_if_present(directory: &impl AsFd, name: &str) -> io::Result<()> {
    match unlinkat(directory, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(nix::errno::Errno::ENOENT) => Ok(()),
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
