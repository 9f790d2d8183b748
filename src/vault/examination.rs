//! A look at everything in the vault, for `doctor`: nothing is locked, and nothing is changed.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::directory::{DIRECTORY_MODE, FILE_MODE};
use super::records::Record;
use super::{NAME, Vault, VaultError, VaultReader, lock};

/// What was found.
#[derive(Debug)]
pub struct Examination {
    /// The vault's directory first, then its files in the order of their names.
    pub entries: Vec<Entry>,
    /// Why no record can be written now.
    pub unwritable: Option<VaultError>,
}

/// The directory, or something in it.
#[derive(Debug)]
pub struct Entry {
    pub path: PathBuf,
    pub kind: Kind,
    pub owner: u32,
    /// Permission bits, and those that it should have at most.
    pub mode: u32,
    pub most: u32,
}

/// What it is to us.
#[derive(Debug)]
pub enum Kind {
    Directory,
    /// One that is read, by the vault's own reader.
    Record {
        name: &'static str,
        read: Result<(), VaultError>,
    },
    /// Out of the way, with what it held.
    KeptAside,
    Lock,
    Foreign,
}

impl Vault {
    /// Where the vault of a state directory is.
    pub fn directory_in(state_dir: &Path) -> PathBuf {
        state_dir.join(NAME)
    }

    /// Looks at every file of the vault in `state_dir`.
    ///
    /// # Errors
    ///
    /// As [`Vault::read_only`]. What is wrong with a record stands beside it.
    pub fn examine(state_dir: &Path) -> Result<Examination, VaultError> {
        let reader = Vault::read_only(state_dir)?;
        let directory = reader.path().to_owned();
        let unreadable =
            |source: io::Error| VaultError::Unreadable { path: directory.clone(), source };
        let mut paths = vec![directory.clone()];
        for found in std::fs::read_dir(&directory).map_err(unreadable)? {
            paths.push(found.map_err(unreadable)?.path());
        }
        paths[1..].sort();
        let entries = paths.into_iter().filter_map(|path| entry(&reader, path));
        let entries = entries.collect();
        let unwritable =
            reader.directory().check_writable().err().filter(VaultError::is_unwritable);
        Ok(Examination { entries, unwritable })
    }
}

/// Nothing of a file that went meanwhile, as one does that is being replaced.
fn entry(reader: &VaultReader, path: PathBuf) -> Option<Entry> {
    let metadata = path.symlink_metadata().ok()?;
    let kind = if path == reader.path() { Kind::Directory } else { kind(reader, &path) };
    let most = if matches!(kind, Kind::Directory) { DIRECTORY_MODE } else { FILE_MODE };
    Some(Entry { path, kind, owner: metadata.uid(), mode: metadata.mode() & 0o7777, most })
}

fn kind(reader: &VaultReader, path: &Path) -> Kind {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    match Record::at(path) {
        Some(record) => Kind::Record { name: record.name(), read: read(reader, record) },
        None if name == lock::NAME => Kind::Lock,
        None if is_kept_aside(name) => Kind::KeptAside,
        None => Kind::Foreign,
    }
}

fn read(reader: &VaultReader, record: Record) -> Result<(), VaultError> {
    match record {
        Record::Ec2RegistrationKey => reader.ec2_key().map(drop),
        Record::RegistrationKey => reader.registration().map(drop),
        Record::InstanceFingerprint => reader.fingerprint_record().map(drop),
        Record::PendingRegistration => reader.pending_registration().map(drop),
        Record::StagedKey => reader.staged_key().map(drop),
        Record::SubstituteFingerprint => reader.substitute_fingerprint().map(drop),
    }
}

/// `RegistrationKey.replaced-20261122T000052Z`.
fn is_kept_aside(name: &str) -> bool {
    name.split_once('.').is_some_and(|(record, rest)| {
        let ours = Record::ALL.iter().any(|known| known.name() == record);
        let words = ["damaged-", "replaced-", "retired-", "unanswered-"];
        ours && words.iter().any(|word| rest.starts_with(word))
    })
}
