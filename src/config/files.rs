//! The files that settings are made of, read once: what they said can be kept and read again.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{ConfigError, DEFAULT_DIRECTORY, DEFAULT_FILE};

/// A settings file is not read further than this, in bytes: fifty consumers fit in 1 % of it.
const LARGEST_FILE: u64 = 1024 * 1024;

/// A policy's file is not read further than this, in bytes: the blanks of one that fits have an end.
const LARGEST_POLICY_FILE: u64 = 64 * 1024;

/// What the files said. It may hold a proxy's password: it is written for this user alone, and not
/// shown.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingsFiles {
    /// In the order in which they count.
    texts: Vec<(PathBuf, String)>,
    /// Session policies that settings name by path, or why they could not be read.
    policies: BTreeMap<PathBuf, Result<String, String>>,
}

impl SettingsFiles {
    /// Reads the given file alone, or the default places, which may be empty.
    ///
    /// # Errors
    ///
    /// The first file that cannot be read.
    pub(super) fn read(file: Option<&Path>) -> Result<Self, ConfigError> {
        let paths = match file {
            Some(path) => vec![path.to_owned()],
            None => default_files()?,
        };
        let text = |path: PathBuf| match read_file(&path, LARGEST_FILE) {
            Ok(text) => Ok((path, text)),
            Err(source) => Err(ConfigError::Unreadable { path, source }),
        };
        let texts = paths.into_iter().map(text).collect::<Result<_, _>>()?;
        Ok(Self { texts, policies: BTreeMap::new() })
    }

    /// The settings files, in the order in which they count.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.texts.iter().map(|(path, _)| path.as_path())
    }

    /// Whether a policy could not be read.
    pub fn lack_a_policy(&self) -> bool {
        self.policies.values().any(Result::is_err)
    }

    /// Policies that could not be read are tried anew.
    pub fn forget_unread(&mut self) {
        self.policies.retain(|_, read| read.is_ok());
    }

    pub(super) fn texts(&self) -> &[(PathBuf, String)] {
        &self.texts
    }

    /// The text of a policy's file: as it was, if it was read before.
    pub(super) fn policy(&mut self, path: &Path) -> Result<String, String> {
        let read = || read_policy(path).map_err(|error| error.to_string());
        self.policies.entry(path.to_owned()).or_insert_with(read).clone()
    }
}

/// The main file, where there is one, and the files of the directory, where there is one.
fn default_files() -> Result<Vec<PathBuf>, ConfigError> {
    let unreadable =
        |path: &Path, source| ConfigError::Unreadable { path: path.to_owned(), source };
    let (main, directory) = (Path::new(DEFAULT_FILE), Path::new(DEFAULT_DIRECTORY));
    let mut files = Vec::new();
    // One that cannot be looked at is not one that is not there.
    if main.try_exists().map_err(|source| unreadable(main, source))? {
        files.push(main.to_owned());
    }
    match std::fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(unreadable(directory, error)),
        Ok(entries) => {
            let mut more = Vec::new();
            for entry in entries {
                let path = entry.map_err(|source| unreadable(directory, source))?.path();
                if path.extension().is_some_and(|extension| extension == "toml") {
                    more.push(path);
                }
            }
            more.sort();
            files.extend(more);
        }
    }
    Ok(files)
}

fn read_policy(path: &Path) -> io::Result<String> {
    // Opening a pipe would wait for its other end.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("this is not a file"));
    }
    read_file(path, LARGEST_POLICY_FILE)
}

fn read_file(path: &Path, largest: u64) -> io::Result<String> {
    let mut text = String::new();
    match File::open(path)?.take(largest + 1).read_to_string(&mut text)? as u64 {
        length if length > largest => Err(io::Error::other(format!("larger than {largest} bytes"))),
        _ => Ok(text),
    }
}

/// Without the texts.
impl fmt::Debug for SettingsFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.paths()).finish()
    }
}
