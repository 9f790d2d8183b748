//! Reads below a root directory, and keeps "is not there" apart from "cannot be read".

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::PathBuf;

use nix::errno::Errno;

/// The most that is read of one file, in bytes: the first processor's block in `/proc/cpuinfo` is
/// the longest text of interest, of up to 3 KiB.
const LONGEST_TEXT: u64 = 16 * 1024;

/// A directory that stands for `/`. Paths below it are given without the leading slash.
#[derive(Debug, Clone)]
pub struct Tree {
    root: PathBuf,
}

/// Why a source could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    #[error("/{path}: {cause}")]
    File { path: String, cause: io::Error },
    #[error("{call}: {cause}")]
    Call { call: &'static str, cause: String },
    #[error("/{path}: {problem}")]
    Content { path: String, problem: &'static str },
}

impl Tree {
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The file's text without surrounding white space; `None` where there is no such file.
    /// Bytes that are not UTF-8, as vendors put into their tables, become U+FFFD.
    pub fn text(&self, path: &str) -> Result<Option<String>, Unreadable> {
        let mut bytes = Vec::new();
        let read = File::open(self.root.join(path))
            .and_then(|file| file.take(LONGEST_TEXT).read_to_end(&mut bytes));
        Ok(present(path, read)?.map(|_| String::from_utf8_lossy(&bytes).trim().to_owned()))
    }

    /// As [`Tree::text`]; `None` also where the file is empty, or where the kernel has the file but
    /// the device has no such value.
    pub fn value(&self, path: &str) -> Result<Option<String>, Unreadable> {
        match self.text(path) {
            Ok(text) => Ok(text.filter(|text| !text.is_empty())),
            Err(Unreadable::File { cause, .. }) if says_nothing(&cause) => Ok(None),
            Err(unreadable) => Err(unreadable),
        }
    }

    /// The names in a directory, sorted; `None` where there is no such directory.
    pub fn names(&self, path: &str) -> Result<Option<Vec<String>>, Unreadable> {
        let entries = fs::read_dir(self.root.join(path)).and_then(|entries| {
            entries
                .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
                .collect::<io::Result<Vec<_>>>()
        });
        let mut names = present(path, entries)?;
        names.iter_mut().for_each(|names| names.sort_unstable());
        Ok(names)
    }

    /// Whether there is a file, a directory or what a link points at.
    pub fn exists(&self, path: &str) -> Result<bool, Unreadable> {
        Ok(present(path, fs::metadata(self.root.join(path)))?.is_some())
    }

    /// What the symbolic link says; `None` where there is nothing, or no link.
    pub fn link(&self, path: &str) -> Result<Option<String>, Unreadable> {
        match fs::read_link(self.root.join(path)) {
            Err(error) if error.kind() == ErrorKind::InvalidInput => Ok(None),
            link => Ok(present(path, link)?.map(|aim| aim.to_string_lossy().into_owned())),
        }
    }

    /// The names in a directory of sysfs. Nothing is missing from a sysfs that is not mounted.
    pub fn devices(&self, path: &str) -> Result<Option<Vec<String>>, Unreadable> {
        if self.exists("sys/class")? {
            self.names(path)
        } else {
            Err(Unreadable::content("sys/class", "is missing; sysfs is not mounted"))
        }
    }
}

impl Unreadable {
    pub fn content(path: &str, problem: &'static str) -> Self {
        Unreadable::Content { path: path.to_owned(), problem }
    }
}

fn present<T>(path: &str, result: io::Result<T>) -> Result<Option<T>, Unreadable> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(cause) => Err(Unreadable::File { path: path.to_owned(), cause }),
    }
}

/// What drivers answer when a device has no such value; the SCSI layer's `wwid` for one.
fn says_nothing(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::EINVAL | Errno::ENXIO | Errno::ENODATA | Errno::EOPNOTSUPP))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> (tempfile::TempDir, Tree) {
        let root = tempfile::tempdir().unwrap();
        let tree = Tree::new(root.path());
        (root, tree)
    }

    #[test]
    fn what_is_missing_is_none_and_what_fails_is_an_error() {
        let (root, tree) = tree();
        fs::write(root.path().join("file"), " text\n").unwrap();
        fs::create_dir(root.path().join("directory")).unwrap();
        assert_eq!(tree.text("file").unwrap().as_deref(), Some("text"));
        assert_eq!(tree.text("nothing").unwrap(), None);
        assert_eq!(tree.text("file/below").unwrap(), None);
        let error = tree.text("directory").unwrap_err();
        assert_eq!(error.to_string(), "/directory: Is a directory (os error 21)");
    }

    #[test]
    fn an_empty_value_is_no_value() {
        let (root, tree) = tree();
        fs::write(root.path().join("file"), "\n").unwrap();
        assert_eq!(tree.value("file").unwrap(), None);
        assert!(tree.value("").is_err());
    }

    #[test]
    fn a_device_that_does_not_say_is_not_a_failure() {
        assert!(says_nothing(&Errno::ENXIO.into()));
        assert!(!says_nothing(&Errno::EIO.into()));
        assert!(!says_nothing(&Errno::EACCES.into()));
    }

    #[test]
    fn without_sysfs_no_device_is_said_to_be_missing() {
        let (root, tree) = tree();
        assert!(tree.devices("sys/block").is_err());
        fs::create_dir_all(root.path().join("sys/class")).unwrap();
        assert_eq!(tree.devices("sys/block").unwrap(), None);
    }
}
