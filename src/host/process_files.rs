//! What the kernel tells of a process: the files below `/proc/PID`.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, open, openat, readlinkat};
use nix::sys::stat::Mode;

/// `/proc/PID`, held open: from now on it is this process's or nobody's, whoever gets its number.
#[derive(Debug)]
pub struct ProcessFiles(OwnedFd);

impl ProcessFiles {
    /// # Errors
    ///
    /// `NotFound` when there is no such process, or none that can be seen from here.
    pub fn open(pid: i32) -> io::Result<Self> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(Self(open(Path::new(&format!("/proc/{pid}")), flags, Mode::empty())?))
    }

    /// A file's first bytes, no more than `longest`.
    ///
    /// # Errors
    ///
    /// What the kernel says: `PermissionDenied` of what belongs to another user's process.
    pub fn read(&self, name: &str, longest: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.file(name)?.take(longest).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// The same as text; none of what cannot be read or is none.
    pub fn text(&self, name: &str, longest: u64) -> Option<String> {
        String::from_utf8(self.read(name, longest).ok()?).ok()
    }

    /// A file to read from: `exe` is the program itself, also when its name is another's by now.
    ///
    /// # Errors
    ///
    /// As [`ProcessFiles::read`].
    pub fn file(&self, name: &str) -> io::Result<File> {
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        Ok(File::from(openat(&self.0, name, flags, Mode::empty())?))
    }

    /// A directory to start from: `root` is the process's own file system.
    ///
    /// # Errors
    ///
    /// As [`ProcessFiles::read`].
    pub fn directory(&self, name: &str) -> io::Result<OwnedFd> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(openat(&self.0, name, flags, Mode::empty())?)
    }

    /// Where a link leads.
    ///
    /// # Errors
    ///
    /// As [`ProcessFiles::read`].
    pub fn link(&self, name: &str) -> io::Result<PathBuf> {
        Ok(PathBuf::from(readlinkat(&self.0, name)?))
    }

    /// Its network namespace, as the link names it; none where that cannot be read.
    pub fn network(&self) -> Option<String> {
        self.link("ns/net").ok()?.into_os_string().into_string().ok()
    }

    /// Where the links of `fd` lead, no more than `most`.
    pub fn open_files(&self, most: usize) -> Vec<PathBuf> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let Ok(mut directory) = nix::dir::Dir::openat(&self.0, "fd", flags, Mode::empty()) else {
            return Vec::new();
        };
        let names = directory.iter().flatten().take(most).map(|entry| {
            let name = entry.file_name().to_string_lossy();
            self.link(&format!("fd/{name}"))
        });
        names.filter_map(Result::ok).collect()
    }
}

/// The network namespace of this process, as `/proc/PID/ns/net` names it (namespaces(7)).
pub fn own_network() -> Option<String> {
    let own = ProcessFiles::open(nix::unistd::getpid().as_raw()).ok()?;
    own.network()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> ProcessFiles {
        ProcessFiles::open(i32::try_from(std::process::id()).unwrap()).unwrap()
    }

    #[test]
    fn this_process_is_seen_as_it_is() {
        let own = own();
        assert_eq!(own.link("exe").unwrap(), std::env::current_exe().unwrap());
        assert!(own.text("status", 64 * 1024).unwrap().contains("\nUid:"));
        assert_eq!(own.read("status", 5).unwrap(), b"Name:");
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(own.open_files(4096).iter().any(|path| path == file.path()));
    }

    #[test]
    fn a_process_that_is_not_there_is_not_found() {
        let error = ProcessFiles::open(i32::MAX).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
