//! Unix sockets in the runtime directory: bound with their mode, removed at the end.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};

use nix::sys::stat::{Mode, umask};
use nix::unistd::Gid;
use tokio::net::{UnixListener, UnixStream};

/// A socket that listens. Removed when it is dropped.
#[derive(Debug)]
pub struct Bound {
    listener: UnixListener,
    path: PathBuf,
}

/// Binds a socket that has its mode from the first moment on.
///
/// # Errors
///
/// `AddrInUse` when somebody answers there already; otherwise what the system call said.
pub fn bind(path: PathBuf, mode: u32) -> io::Result<Bound> {
    if StdUnixStream::connect(&path).is_ok() {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        // What a daemon left that did not end well.
        _ => {}
    }
    let before = umask(Mode::from_bits_truncate(!mode & 0o777));
    let listener = UnixListener::bind(&path);
    umask(before);
    Ok(Bound { listener: listener?, path })
}

impl Bound {
    /// The next connection.
    ///
    /// # Errors
    ///
    /// What the system call said. Out of descriptors, the next call would fail at once, too.
    pub async fn accept(&self) -> io::Result<UnixStream> {
        self.listener.accept().await.map(|(stream, _)| stream)
    }

    /// The group of the file: with mode 0660, who is neither its owner nor root and yet connects is
    /// in it, by the kernel's word.
    ///
    /// # Errors
    ///
    /// When the file is gone.
    pub fn group(&self) -> io::Result<Gid> {
        std::fs::symlink_metadata(&self.path).map(|file| Gid::from_raw(file.gid()))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        // A leftover is removed by the next daemon.
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[tokio::test]
    async fn a_socket_has_its_mode_and_goes_with_its_listener() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.sock");
        for mode in [0o660, 0o666] {
            let bound = bind(path.clone(), mode).unwrap();
            let found = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
            assert_eq!(found, mode);
            let error = bind(path.clone(), mode).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
            drop(bound);
            assert!(!path.exists());
        }
    }
}
