//! One process at a time: an advisory lock on a file of the vault, which the kernel gives back when
//! the process ends, however it ends. The file stays; it holds the process's number for the others'
//! error message.

use std::fs::File;
use std::io::{Read, Write};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::directory::Directory;
use super::error::VaultError;

/// The file's name in the vault.
pub(super) const NAME: &str = "lock";

/// The vault is this process's while it lives.
#[derive(Debug)]
pub(super) struct Lock(Flock<File>);

impl Lock {
    /// Takes the lock, or says at once who has it.
    pub fn take(directory: &Directory) -> Result<Self, VaultError> {
        Self::of(directory.open_lock(NAME)?, directory)
    }

    /// The same where nothing can be written. Without the file nobody else could make it, either.
    pub fn take_without_writing(directory: &Directory) -> Result<Option<Self>, VaultError> {
        let file = directory.open_present(NAME)?;
        file.map(|file| Self::of(file, directory)).transpose()
    }

    fn of(file: File, directory: &Directory) -> Result<Self, VaultError> {
        let path = directory.join(NAME);
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => {
                // The number is for a message only: a full disk must not keep the vault shut.
                let _ = lock.set_len(0);
                let _ = (&*lock).write_all(format!("{}\n", std::process::id()).as_bytes());
                Ok(Self(lock))
            }
            Err((file, Errno::EWOULDBLOCK)) => {
                Err(VaultError::Locked { path, holder: holder(&file) })
            }
            Err((_, errno)) => Err(VaultError::Unreadable { path, source: errno.into() }),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Nobody is to be told the number of a process that is gone.
        let _ = self.0.set_len(0);
    }
}

/// The number that the holder wrote; `None` in the instant before it has.
fn holder(file: &File) -> Option<u32> {
    /// More digits than any process number has.
    const MOST_DIGITS: u64 = 20;
    let mut text = String::new();
    file.take(MOST_DIGITS).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}
