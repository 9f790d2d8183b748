//! What can be wrong with a vault, split by what the operator does next.

use std::io;
use std::path::{Path, PathBuf};

use nix::unistd::{Uid, User};

use crate::pure::advice::{Advice, Exit};
use crate::pure::identity::InstanceId;
use crate::pure::shell::in_shell;

use super::records::Record;

/// A vault that cannot be used as asked. Missing, unreadable and damaged are three different things:
/// only the first means that nothing was ever recorded.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The record, or the whole vault, is not there.
    #[error("{}: there is no such record", path.display())]
    Missing { path: PathBuf },
    /// The record may be in order, but this process cannot read it.
    #[error("{}: cannot be read: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    /// The record was read and makes no sense.
    #[error("{}: the record is damaged: {damage}", path.display())]
    Damaged { path: PathBuf, damage: Damage },
    /// Another process has the vault.
    #[error("{}: {} is using the vault", path.display(), process(*holder))]
    Locked { path: PathBuf, holder: Option<u32> },
    /// The file or directory is another user's.
    #[error(
        "{}: belongs to {}, and this process runs as {}",
        path.display(), user(*owner), user(*process)
    )]
    ForeignOwner { path: PathBuf, owner: Uid, process: Uid },
    /// The record could not be written, moved or removed; the old one is untouched.
    #[error("{}: cannot be written: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    /// Another vault was put in this one's place.
    #[error("{}: has another registration now, {found}", path.display())]
    OtherIdentity { path: PathBuf, found: InstanceId },
    /// A staged key is there already, and the service may hold it.
    #[error("{}: a key rotation is under way", path.display())]
    RotationUnderWay { path: PathBuf },
}

/// What makes a record unusable. Never repeats content, which may be a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    #[error("it is not a regular file")]
    NotAFile,
    #[error("it is not a directory")]
    NotADirectory,
    #[error("it has a second name (hard link)")]
    HardLink,
    #[error("it is longer than 64 KiB")]
    TooLong,
    #[error("it is not a JSON record of this kind (line {line}, column {column})")]
    Json { line: usize, column: usize },
    #[error("{member} is empty")]
    Empty { member: &'static str },
    #[error("{member}: {problem}")]
    Member { member: &'static str, problem: String },
}

impl VaultError {
    /// Whether there is no room or no way to write, whoever tries.
    pub fn is_unwritable(&self) -> bool {
        let Self::Write { source, .. } = self else { return false };
        is_read_only(source) || is_full(source)
    }
}

impl Advice for VaultError {
    fn remedy(&self) -> String {
        match self {
            VaultError::Missing { path } => missing_remedy(path),
            VaultError::Unreadable { path, source } => unreadable_remedy(path, source),
            VaultError::Damaged { path, .. } => damaged_remedy(path),
            VaultError::Locked { holder: Some(_), .. } => {
                "rolekeeper refresh or rolekeeper status, which ask the daemon; to change the vault: \
                 systemctl stop rolekeeper; then the same again; then systemctl start rolekeeper"
                    .into()
            }
            VaultError::Locked { holder: None, .. } => {
                "the same again in a moment, or systemctl stop rolekeeper".into()
            }
            // In a vault of this process's own.
            VaultError::ForeignOwner { path, process, .. } if Record::at(path).is_some() => {
                format!("chown {process} {}", in_shell(&path.to_string_lossy()))
            }
            VaultError::ForeignOwner { owner, .. } => format!(
                "the same with sudo -u {}, or give a --state-dir of your own",
                sudoer(*owner)
            ),
            VaultError::Write { path, source } => write_remedy(path, source),
            VaultError::OtherIdentity { .. } => {
                "systemctl restart rolekeeper, to go on with that one".into()
            }
            VaultError::RotationUnderWay { .. } => {
                "rolekeeper run, which finishes it; rolekeeper status shows how far it is".into()
            }
        }
    }

    fn exit(&self) -> Exit {
        match self {
            // Not registered: "something was found in an unconfigured state" (sysexits(3)).
            VaultError::Missing { .. } | VaultError::OtherIdentity { .. } => Exit::Configuration,
            VaultError::Unreadable { source, .. } if is_permission(source) => Exit::Refused,
            VaultError::Unreadable { .. } | VaultError::Damaged { .. } => Exit::BadData,
            VaultError::Locked { .. } | VaultError::RotationUnderWay { .. } => Exit::TryAgain,
            VaultError::ForeignOwner { .. } => Exit::Refused,
            VaultError::Write { source, .. } if is_permission(source) => Exit::Refused,
            VaultError::Write { .. } => Exit::CannotCreate,
        }
    }
}

const REGISTER: &str =
    "rolekeeper register --region REGION --activation-id ID --activation-code-file FILE";

fn missing_remedy(path: &Path) -> String {
    match Record::at(path) {
        Some(Record::InstanceFingerprint) if !is_registered(path) => REGISTER.into(),
        Some(Record::InstanceFingerprint) => {
            "restore it from a backup, because the service knows this machine by its fingerprint; \
             without one, with a new activation: systemctl stop rolekeeper; rolekeeper register \
             --force --region REGION --activation-id ID --activation-code-file FILE; systemctl start \
             rolekeeper"
                .into()
        }
        Some(Record::Ec2RegistrationKey) => {
            "rolekeeper run on the EC2 instance, which makes a new one".into()
        }
        Some(Record::StagedKey) => "rolekeeper rotate-key, which begins a rotation".into(),
        Some(
            Record::RegistrationKey | Record::PendingRegistration | Record::SubstituteFingerprint,
        )
        | None => REGISTER.into(),
    }
}

/// Whether there is a registration beside a record.
fn is_registered(path: &Path) -> bool {
    path.with_file_name(Record::RegistrationKey.name()).exists()
}

fn damaged_remedy(path: &Path) -> String {
    match Record::at(path) {
        Some(Record::RegistrationKey | Record::InstanceFingerprint) => format!(
            "restore {} from a backup; without one, with a new activation, which keeps the damaged \
             file aside: systemctl stop rolekeeper; rolekeeper register --force --region REGION \
             --activation-id ID --activation-code-file FILE; systemctl start rolekeeper",
            path.display()
        ),
        Some(Record::Ec2RegistrationKey) => format!(
            "restore {} from a backup; without one the instance cannot prove itself: give it an \
             instance profile",
            path.display()
        ),
        Some(Record::StagedKey) => {
            "rolekeeper rotate-key, which keeps the damaged file aside; if the service refuses the \
             old key too, register again"
                .into()
        }
        Some(Record::PendingRegistration) => format!(
            "{REGISTER}; the damaged file is kept aside, and the activation may have lost one use"
        ),
        Some(Record::SubstituteFingerprint) | None => {
            let path = in_shell(&path.to_string_lossy());
            format!("mv {path} {path}.damaged")
        }
    }
}

fn unreadable_remedy(path: &Path, source: &io::Error) -> String {
    if is_permission(source) {
        format!("the same with sudo; ls -l {} shows whose it is", in_shell(&path.to_string_lossy()))
    } else {
        "check the disk; the record itself was not touched".into()
    }
}

fn write_remedy(path: &Path, source: &io::Error) -> String {
    let path = path.display();
    if is_permission(source) {
        "the same with sudo, or give another --state-dir".into()
    } else if is_read_only(source) {
        format!(
            "mount the file system of {path} writable; where it is read-only for the service alone, \
             name the state directory in the unit's ReadWritePaths="
        )
    } else if is_full(source) {
        format!("free some space where {path} is (df -h, df -i); nothing was lost")
    } else {
        "check that the file system has room and is writable; nothing was lost".into()
    }
}

fn is_read_only(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ReadOnlyFilesystem
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn is_permission(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}

fn process(holder: Option<u32>) -> String {
    holder.map_or_else(|| "another process".into(), |pid| format!("process {pid}"))
}

/// As `sudo -u` takes a user, in a shell.
fn sudoer(uid: Uid) -> String {
    match User::from_uid(uid) {
        Ok(Some(user)) => in_shell(&user.name),
        Ok(None) | Err(_) => format!("'#{uid}'"),
    }
}

/// `backup (uid 34)`, or the number alone for a user without a name.
fn user(uid: Uid) -> String {
    match User::from_uid(uid) {
        Ok(Some(user)) => format!("{} (uid {uid})", user.name),
        Ok(None) | Err(_) => format!("uid {uid}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<VaultError> {
        let path = || PathBuf::from("/var/lib/rolekeeper/vault/RegistrationKey");
        let denied = || io::Error::from(io::ErrorKind::PermissionDenied);
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        vec![
            VaultError::Missing { path: path() },
            VaultError::Unreadable { path: path(), source: denied() },
            VaultError::Unreadable { path: path(), source: full() },
            VaultError::Damaged { path: path(), damage: Damage::TooLong },
            VaultError::Locked { path: path(), holder: Some(7) },
            VaultError::Locked { path: path(), holder: None },
            VaultError::ForeignOwner {
                path: path(),
                owner: Uid::from_raw(0),
                process: Uid::from_raw(4_000_000),
            },
            VaultError::Write { path: path(), source: denied() },
            VaultError::Write { path: path(), source: full() },
            VaultError::RotationUnderWay { path: path() },
            VaultError::Write { path: path(), source: io::ErrorKind::ReadOnlyFilesystem.into() },
            VaultError::OtherIdentity {
                path: path(),
                found: "mi-00000000000000001".parse().unwrap(),
            },
        ]
    }

    #[test]
    fn every_error_is_one_line_with_its_path_and_one_line_of_remedy() {
        for error in all() {
            let (text, remedy) = (error.to_string(), error.remedy());
            assert!(text.starts_with("/var/lib/rolekeeper/vault/RegistrationKey: "), "{text}");
            assert!(!text.contains('\n') && !remedy.contains('\n') && !remedy.is_empty());
            assert!(!remedy.contains("  "), "{remedy}");
        }
    }

    #[test]
    fn exit_statuses_tell_missing_unreadable_and_damaged_apart() {
        let exits = all().iter().map(|error| error.exit() as i32).collect::<Vec<_>>();
        assert_eq!(exits, [78, 77, 65, 65, 75, 75, 77, 77, 73, 75, 73, 78]);
    }

    #[test]
    fn owners_are_named() {
        let text = all()[6].to_string();
        assert!(text.contains("root (uid 0)") && text.contains("runs as uid 4000000"), "{text}");
    }
}
