//! Extended attributes of an open file: access control lists, labels, and what users note.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{XattrFlags, fgetxattr, flistxattr, fremovexattr, fsetxattr};
use rustix::io::Errno;

/// The longest value, and the longest list of names, that the kernel knows (`linux/limits.h`).
const LONGEST: usize = 64 * 1024;

/// The names of all attributes; none on a file system that has no such thing.
///
/// # Errors
///
/// What the system call said.
pub fn names(file: impl AsFd) -> io::Result<Vec<OsString>> {
    let mut names = vec![0; LONGEST];
    match flistxattr(file, names.as_mut_slice()) {
        Ok(length) => names.truncate(length),
        Err(Errno::NOTSUP) => names.clear(),
        Err(errno) => return Err(errno.into()),
    }
    let names = names.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    Ok(names.map(|name| OsStr::from_bytes(name).to_owned()).collect())
}

/// An attribute's value, if it has one.
///
/// # Errors
///
/// What the system call said.
pub fn get(file: impl AsFd, name: &OsStr) -> io::Result<Option<Vec<u8>>> {
    let mut value = vec![0; LONGEST];
    match fgetxattr(file, name, value.as_mut_slice()) {
        Ok(length) => {
            value.truncate(length);
            Ok(Some(value))
        }
        Err(Errno::NODATA | Errno::NOTSUP) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// # Errors
///
/// `ENOTSUP` where the file system has no such attributes, `EPERM` without the right.
pub fn set(file: impl AsFd, name: &OsStr, value: &[u8]) -> io::Result<()> {
    Ok(fsetxattr(file, name, value, XattrFlags::empty())?)
}

/// Takes an attribute away, if it is there.
///
/// # Errors
///
/// What the system call said.
pub fn remove(file: impl AsFd, name: &OsStr) -> io::Result<()> {
    match fremovexattr(file, name) {
        Ok(()) | Err(Errno::NODATA | Errno::NOTSUP) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}
