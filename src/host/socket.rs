//! Unix sockets in the runtime directory: bound with their mode, bound again when somebody else removes
//! them, removed at the end.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};

use nix::sys::stat::{Mode, umask};
use nix::unistd::Gid;
use tokio::net::{UnixListener, UnixStream};

use super::directory;
use super::file_watch::{Stamp, Ticker};

/// The mode of a directory that holds sockets: everybody passes through, and the socket's own mode
/// decides.
pub const DIRECTORY_MODE: u32 = 0o755;

/// A socket that listens. Removed when it is dropped.
#[derive(Debug)]
pub struct Bound {
    listener: UnixListener,
    path: PathBuf,
    mode: u32,
    /// Device and inode of the file that leads here.
    file: Option<(u64, u64)>,
    ticker: Ticker,
    /// Nobody finds it any more, and that was said.
    is_lost: bool,
}

/// Binds a socket that has its mode from the first moment on, in a directory that is made if need be.
///
/// # Errors
///
/// `AddrInUse` when somebody answers there already; otherwise what the system call said.
pub fn bind(path: PathBuf, mode: u32) -> io::Result<Bound> {
    let (listener, file) = listen(&path, mode)?;
    Ok(Bound { listener, path, mode, file, ticker: Ticker::new(), is_lost: false })
}

fn listen(path: &Path, mode: u32) -> io::Result<(UnixListener, Option<(u64, u64)>)> {
    if let Some(parent) = path.parent() {
        directory::make(parent, DIRECTORY_MODE)?;
    }
    if StdUnixStream::connect(path).is_ok() {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        // What a daemon left that did not end well.
        _ => {}
    }
    let before = umask(Mode::from_bits_truncate(!mode & 0o777));
    let listener = UnixListener::bind(path);
    umask(before);
    Ok((listener?, inode(path)))
}

fn inode(path: &Path) -> Option<(u64, u64)> {
    Stamp::of(path).map(|stamp| stamp.inode())
}

impl Bound {
    /// The next connection. Meanwhile a socket that somebody else has removed is bound again.
    ///
    /// # Errors
    ///
    /// What the system call said. Out of descriptors, the next call would fail at once, too.
    pub async fn accept(&mut self) -> io::Result<UnixStream> {
        loop {
            tokio::select! {
                accepted = self.listener.accept() => return accepted.map(|(stream, _)| stream),
                () = self.ticker.tick() => self.restore(),
            }
        }
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

    fn is_in_place(&self) -> bool {
        self.file.is_some() && inode(&self.path) == self.file
    }

    /// Who holds a connection to the old socket keeps it.
    fn restore(&mut self) {
        if self.is_in_place() {
            return;
        }
        let path = self.path.display();
        match listen(&self.path, self.mode) {
            Ok((listener, file)) => {
                tracing::warn!("{path}: somebody else removed the socket; it is there again");
                (self.listener, self.file, self.is_lost) = (listener, file, false);
            }
            Err(error) if !self.is_lost => {
                self.is_lost = true;
                tracing::error!(
                    "{path}: somebody else removed the socket, and it cannot be made again: {error}; \
                     tried again and again; try: systemctl restart rolekeeper"
                );
            }
            // Said before.
            Err(_) => {}
        }
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        // Another daemon's stays. A leftover of ours is removed by the next daemon.
        if self.is_in_place() {
            let _ = std::fs::remove_file(&self.path);
        }
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

    #[tokio::test]
    async fn a_socket_that_somebody_else_removes_is_bound_again_with_its_directory() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run/a.sock");
        let mut bound = bind(path.clone(), 0o660).unwrap();
        let first = bound.file;
        bound.restore();
        assert_eq!(bound.file, first, "nobody has touched it");
        std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
        bound.restore();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o660, 0o755));
        let (accepted, connected) = tokio::join!(bound.accept(), UnixStream::connect(&path));
        assert!(accepted.is_ok() && connected.is_ok());
        drop(bound);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_socket_of_another_process_in_its_place_is_neither_taken_nor_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.sock");
        let mut bound = bind(path.clone(), 0o660).unwrap();
        std::fs::remove_file(&path).unwrap();
        let others = bind(path.clone(), 0o660).unwrap();
        bound.restore();
        assert!(bound.is_lost);
        drop(bound);
        assert!(path.exists());
        drop(others);
    }
}
