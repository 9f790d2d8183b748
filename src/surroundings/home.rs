//! The two shared files in a user's home directory.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::libc::O_NONBLOCK;
use zeroize::Zeroizing;

use crate::pure::chain::{Content, Kind, SharedFile};
use crate::pure::diagnosis::shadow::Home;

/// No credentials file is longer.
const LONGEST: u64 = 1024 * 1024;

/// What the user of that home has in `.aws`.
pub fn look(name: &str, home: &Path) -> Home {
    Home {
        name: name.to_owned(),
        path: home.display().to_string(),
        credentials: file(home.join(".aws/credentials"), Kind::Credentials),
        config: file(home.join(".aws/config"), Kind::Config),
    }
}

fn file(path: PathBuf, kind: Kind) -> SharedFile {
    match read(&path) {
        Ok(bytes) => SharedFile::of_bytes(path, kind, &bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => SharedFile::absent(Some(path)),
        Err(error) => {
            SharedFile { path: Some(path), content: Content::Unreadable(error.to_string()) }
        }
    }
}

/// Whoever owns the directory chose what is there: a pipe is not waited for, a device not read.
fn read(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let file = OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() > LONGEST {
        let reason = "it is not a file of a credentials file's size";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
    }
    // Room for all of it at once: a buffer that grew would leave its old halves in memory.
    let room = usize::try_from(metadata.len()).unwrap_or_default();
    let mut bytes = Zeroizing::new(Vec::with_capacity(room + 1));
    file.take(LONGEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}
