//! Notices that somebody else has removed, replaced or changed a file.
//!
//! Files are looked at now and then, and not watched with inotify: a directory that is removed and made
//! again has no watch any more, network file systems have none for what others do, and a look costs a
//! system call.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use tokio::time::Interval;

use super::clock::on_the_beat;

/// How often is looked: what was removed is there again before most programs ask next, and a daemon that
/// has nothing to do wakes no more than six times a minute.
pub const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// Which file it is, and when it was last written or changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    inode: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// Ticks every [`LOOK_INTERVAL`], in real time. All tickers of a process keep one beat, so that it wakes
/// once for all of them.
#[derive(Debug)]
pub struct Ticker(Interval);

impl Stamp {
    /// Of what has this name now, a symlink itself. `None` where there is nothing, or nothing that this
    /// process may look at.
    pub fn of(path: &Path) -> Option<Self> {
        let found = path.symlink_metadata().ok()?;
        Some(Self {
            inode: (found.dev(), found.ino()),
            size: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }

    /// Device and inode: the same for as long as the file is not replaced.
    pub fn inode(&self) -> (u64, u64) {
        self.inode
    }
}

impl Ticker {
    /// The first tick comes with the next beat.
    pub fn new() -> Self {
        Self(on_the_beat(LOOK_INTERVAL))
    }

    /// Waits for the next tick. Given up and called again, it keeps its time.
    pub async fn tick(&mut self) {
        self.0.tick().await;
    }
}

impl Default for Ticker {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_stamp_tells_a_file_that_was_touched_from_one_that_was_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        assert_eq!(Stamp::of(&path), None);
        fs::write(&path, "one").unwrap();
        let written = Stamp::of(&path);
        assert_eq!(fs::read(&path).unwrap(), b"one");
        assert_eq!(Stamp::of(&path), written);

        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "three").unwrap();
        let rewritten = Stamp::of(&path);
        assert_ne!(rewritten, written);
        assert_eq!(rewritten.unwrap().inode(), written.unwrap().inode());

        fs::write(directory.path().join("new"), "three").unwrap();
        fs::rename(directory.path().join("new"), &path).unwrap();
        assert_ne!(Stamp::of(&path).unwrap().inode(), rewritten.unwrap().inode());
    }
}
