//! The files that settings are made of, read once: what they said can be kept and read again.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::string::FromUtf8Error;

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
    /// It is one file that was asked for, instead of the usual ones.
    #[serde(default)]
    alone: bool,
}

impl SettingsFiles {
    /// Reads the given file alone, or the default places, which may be empty.
    ///
    /// # Errors
    ///
    /// The first file that cannot be read.
    pub(super) fn read(file: Option<&Path>) -> Result<Self, ConfigError> {
        match file {
            Some(path) => Ok(Self { alone: true, ..Self::read_all(vec![path.to_owned()])? }),
            None => {
                Self::read_all(usual_files(Path::new(DEFAULT_FILE), Path::new(DEFAULT_DIRECTORY))?)
            }
        }
    }

    fn read_all(paths: Vec<PathBuf>) -> Result<Self, ConfigError> {
        let text = |path: PathBuf| match read_file(&path, LARGEST_FILE) {
            Ok(bytes) => Ok((path.clone(), text(path, bytes)?)),
            Err(source) => Err(ConfigError::Unreadable { path, source }),
        };
        let texts = paths.into_iter().map(text).collect::<Result<_, _>>()?;
        Ok(Self { texts, ..Self::default() })
    }

    /// The settings files, in the order in which they count.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.texts.iter().map(|(path, _)| path.as_path())
    }

    /// The files of the session policies that settings name by path.
    pub fn policy_paths(&self) -> impl Iterator<Item = &Path> {
        self.policies.keys().map(PathBuf::as_path)
    }

    /// Whether a policy could not be read.
    pub fn lack_a_policy(&self) -> bool {
        self.policies.values().any(Result::is_err)
    }

    /// Policies that could not be read are tried anew.
    pub fn forget_unread(&mut self) {
        self.policies.retain(|_, read| read.is_ok());
    }

    pub(super) fn is_alone(&self) -> bool {
        self.alone
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
fn usual_files(main: &Path, directory: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let unreadable =
        |path: &Path, source| ConfigError::Unreadable { path: path.to_owned(), source };
    let mut files = Vec::new();
    // One that cannot be looked at is not one that is not there, and neither is a link to nothing.
    match main.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(unreadable(main, error)),
        Ok(_) => files.push(main.to_owned()),
    }
    match std::fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(unreadable(directory, error)),
        Ok(entries) => {
            let mut more = Vec::new();
            for entry in entries {
                let path = entry.map_err(|source| unreadable(directory, source))?.path();
                if counts(&path) {
                    more.push(path);
                }
            }
            more.sort();
            files.extend(more);
        }
    }
    files.iter().try_for_each(|path| be_a_file(path))?;
    Ok(files)
}

/// Whether a file of the directory is read, by its name. What is hidden is not, as with systemd's
/// drop-ins: editors keep their locks and copies so (`.#x.toml`, `x.toml~`, `#x.toml#`).
fn counts(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.as_encoded_bytes()).unwrap_or_default();
    name.ends_with(b".toml") && !name.starts_with(b".")
}

/// Opening a pipe would wait for its other end. `/dev/null` is an empty file, as it is to systemd.
fn be_a_file(path: &Path) -> Result<(), ConfigError> {
    let what = match path.metadata() {
        Ok(found) if found.is_file() => return Ok(()),
        Ok(_) if path.canonicalize().is_ok_and(|path| path == Path::new("/dev/null")) => {
            return Ok(());
        }
        Ok(found) if found.is_dir() => "this is a directory, and not a settings file",
        Ok(_) => "this is neither a file nor a link to one",
        Err(error) if error.kind() == io::ErrorKind::NotFound => "this is a link to nothing",
        Err(source) => return Err(ConfigError::Unreadable { path: path.to_owned(), source }),
    };
    Err(ConfigError::NoFile { path: path.to_owned(), what })
}

fn read_policy(path: &Path) -> io::Result<String> {
    // Opening a pipe would wait for its other end.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("this is not a file"));
    }
    let bytes = read_file(path, LARGEST_POLICY_FILE)?;
    String::from_utf8(bytes).map_err(|error| io::Error::other(foreign_byte(&error)))
}

fn read_file(path: &Path, largest: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match File::open(path)?.take(largest + 1).read_to_end(&mut bytes)? as u64 {
        length if length > largest => Err(io::Error::other(format!("larger than {largest} bytes"))),
        _ => Ok(bytes),
    }
}

/// A file's text, without a byte order mark.
fn text(path: PathBuf, bytes: Vec<u8>) -> Result<String, ConfigError> {
    match String::from_utf8(bytes) {
        Ok(text) => Ok(text.strip_prefix('\u{feff}').map_or(text.clone(), str::to_owned)),
        Err(error) => {
            let valid = error.utf8_error().valid_up_to();
            let before = String::from_utf8_lossy(&error.as_bytes()[..valid]);
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            let message = foreign_byte(&error);
            // The usual ones, too, can be looked at one by one.
            Err(ConfigError::Invalid { path, line, column, message, alone: true })
        }
    }
}

fn foreign_byte(error: &FromUtf8Error) -> String {
    let at = error.utf8_error().valid_up_to();
    let byte = error.as_bytes().get(at).copied().unwrap_or_default();
    format!("byte {} of the file (0x{byte:02x}) is not UTF-8", at + 1)
}

/// Without the texts.
impl fmt::Debug for SettingsFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.paths()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;
    use tempfile::TempDir;

    use super::*;
    use crate::config::Settings;
    use crate::pure::advice::Advice;

    /// `rolekeeper.toml` and `conf.d` of their own.
    struct Etc(TempDir);

    impl Etc {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            fs::create_dir(directory.path().join("conf.d")).unwrap();
            Self(directory)
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn write(&self, name: &str, text: impl AsRef<[u8]>) {
            fs::write(self.path(name), text).unwrap();
        }

        fn read(&self) -> Result<Settings, ConfigError> {
            let paths = usual_files(&self.path("rolekeeper.toml"), &self.path("conf.d"))?;
            Settings::of(SettingsFiles::read_all(paths)?)
        }
    }

    #[test]
    fn a_directory_has_the_files_that_systemd_would_take() {
        let etc = Etc::new();
        for name in [".hidden.toml", "x.toml~", "#x.toml#", "x.toml.bak", "x.conf", ".toml", "toml"]
        {
            etc.write(&format!("conf.d/{name}"), "nonsense");
        }
        symlink("root@host.1:2", etc.path("conf.d/.#x.toml")).unwrap();
        fs::create_dir(etc.path("conf.d/more.d")).unwrap();
        etc.write("conf.d/10-a.toml", "[service]\nfips = true\n");
        etc.write("conf.d/9-b.toml", "[service]\nfips = false\n");
        symlink("/dev/null", etc.path("conf.d/none.toml")).unwrap();
        let settings = etc.read().unwrap();
        let names = settings.files.paths().map(|path| path.file_name().unwrap().to_owned());
        assert_eq!(names.collect::<Vec<_>>(), ["10-a.toml", "9-b.toml", "none.toml"]);
        assert!(settings.fips.origin.to_string().ends_with("conf.d/9-b.toml:2"));
    }

    #[test]
    fn what_has_a_files_name_and_is_none_is_named() {
        for name in ["conf.d/x.toml", "rolekeeper.toml"] {
            for (make, expected) in [
                ((|path| symlink("nowhere", path).unwrap()) as fn(&Path), "a link to nothing"),
                (|path| fs::create_dir(path).unwrap(), "this is a directory"),
                (|path| mkfifo(path, Mode::S_IRWXU).unwrap(), "neither a file nor a link"),
                (|path| symlink("/dev/zero", path).unwrap(), "neither a file nor a link"),
            ] {
                let etc = Etc::new();
                make(&etc.path(name));
                let error = etc.read().unwrap_err();
                let shown = error.to_string();
                assert!(
                    shown.contains(&format!("{name}: ")) && shown.contains(expected),
                    "{shown}"
                );
                assert!(error.remedy().contains(name), "{}", error.remedy());
            }
        }
    }

    #[test]
    fn a_file_is_utf_8_with_or_without_a_mark_and_lines_of_either_kind() {
        let etc = Etc::new();
        etc.write(
            "rolekeeper.toml",
            "\u{feff}[service]\r\nfips = true\r\n[[target]]\r\nname = 1\r\n",
        );
        let settings = etc.read().unwrap();
        assert!(settings.fips.origin.to_string().ends_with("rolekeeper.toml:2"));
        let disabled = settings.disabled().next().unwrap();
        assert!(disabled.place.ends_with("rolekeeper.toml:4:8"), "{}", disabled.place);
        etc.write("rolekeeper.toml", b"[service]\n# caf\xe9\n");
        let error = etc.read().unwrap_err();
        let shown = error.to_string();
        let expected = "rolekeeper.toml:2:6: byte 16 of the file (0xe9) is not UTF-8";
        assert!(shown.ends_with(expected), "{shown}");
    }

    #[test]
    fn all_files_are_judged_together_and_the_remedy_looks_at_all_of_them() {
        let etc = Etc::new();
        // By itself the first one would be refused.
        etc.write("rolekeeper.toml", "[endpoint.imds]\nlisten = \"127.0.0.1:1\"\n");
        etc.write("conf.d/a.toml", "[endpoint.container]\nlisten = \"127.0.0.1:1\"\n");
        let error = etc.read().unwrap_err();
        assert!(error.to_string().contains("conf.d/a.toml:2:10: both endpoints"), "{error}");
        assert_eq!(error.remedy(), "mend that line, then `rolekeeper config check`");
        etc.write("conf.d/b.toml", "[endpoint.imds]\nlisten = \"127.0.0.1:2\"\n");
        assert_eq!(etc.read().unwrap().imds_listen.value, Some("127.0.0.1:2".parse().unwrap()));
        let alone = etc.path("conf.d/c.toml");
        etc.write("conf.d/c.toml", "x = 1\n");
        assert_eq!(etc.read().unwrap_err().remedy(), error.remedy());
        let expected = format!("rolekeeper config check {}`", alone.display());
        assert!(Settings::load(Some(&alone)).unwrap_err().remedy().ends_with(&expected));
    }
}
