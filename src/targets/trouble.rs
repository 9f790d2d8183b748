//! Why a credentials file was not written, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::libc::nlink_t;
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{Gid, Uid};

use super::Permission;
use super::existing::LARGEST;
use crate::host::accounts::{local_name, may_give_files_away, own_groups, own_uid};
use crate::host::directory::{Reason, UnsafeDirectory};
use crate::pure::advice::{Advice, Exit};
use crate::pure::drop_in::{delivery_lines, lines_remedy};
use crate::pure::ini::{ProfileName, Unusable};
use crate::pure::shell::in_shell;

/// A target that was not served. Its file is as it was.
#[derive(Debug, thiserror::Error)]
#[error("credentials file {}: {trouble}", path.display())]
pub struct TargetError {
    pub path: PathBuf,
    /// Whose the file is to be, and its group's.
    pub owner: Uid,
    pub group: Gid,
    pub trouble: Trouble,
}

/// What is in the way.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    // The settings.
    #[error("the path is not absolute, has a '..', or names no file")]
    Path,
    #[error("mode {0:04o} is not one for credentials")]
    Mode(u32),

    // What is on the disk.
    #[error(transparent)]
    Directory(#[from] UnsafeDirectory),
    #[error("there is a symlink in its place")]
    Symlink,
    #[error("there is {0} in its place")]
    NotAFile(&'static str),
    #[error("the file has {0} names (hard links), and replacing it would part them")]
    HardLinks(nlink_t),
    #[error("the file is larger than {LARGEST} bytes")]
    TooLarge,
    #[error("left alone, because {unusable} (profile {profile})")]
    Content { profile: ProfileName, unusable: Unusable },

    // What the system would not do.
    #[error("the system does not let this process give it {0}")]
    Give(Permission),
    #[error("the system does not let this process {0} it")]
    Denied(&'static str),
    #[error("the disk is full")]
    DiskFull,
    #[error("the file system is read-only")]
    ReadOnly,
    #[error("another program keeps writing it")]
    Busy,
    #[error("it is a mount point, which cannot be replaced")]
    MountPoint,
    #[error("cannot {doing} it: {error}")]
    System { doing: &'static str, error: io::Error },
}

impl Trouble {
    /// What a failed system call means.
    pub(super) fn of(doing: &'static str, error: io::Error) -> Self {
        match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EACCES | Errno::EPERM) => Self::Denied(doing),
            Some(Errno::ENOSPC | Errno::EDQUOT) => Self::DiskFull,
            Some(Errno::EROFS) => Self::ReadOnly,
            Some(Errno::ELOOP) => Self::Symlink,
            Some(Errno::EBUSY) => Self::MountPoint,
            _ if error.kind() == io::ErrorKind::ResourceBusy => Self::Busy,
            _ => Self::System { doing, error },
        }
    }

    /// The same for setting owner, group and mode.
    pub(super) fn of_giving(error: io::Error, permission: Permission) -> Self {
        match Self::of("write", error) {
            Self::Denied(_) => Self::Give(permission),
            other => other,
        }
    }
}

impl Advice for TargetError {
    fn remedy(&self) -> String {
        let path = in_shell(&self.path.to_string_lossy());
        match &self.trouble {
            Trouble::Path => "set the target's `path` to the full path of a file".into(),
            Trouble::Mode(_) => {
                "set the target's `mode` to 0600, or to 0640 with a `group` that may read it".into()
            }
            Trouble::Directory(directory) => self.remedy_for_directory(directory),
            Trouble::Symlink => {
                format!("rm {path}, which is the symlink alone; or set `path` to where it leads")
            }
            Trouble::NotAFile(_) => format!("mv {path} {path}.old, or set another `path`"),
            Trouble::HardLinks(_) => format!("cp -p {path} {path}.new && mv {path}.new {path}"),
            Trouble::TooLarge => format!("see whether {path} is a credentials file at all"),
            Trouble::Content { unusable, .. } => unusable.remedy(),
            Trouble::Give(_) => lines_remedy(&self.lacking()),
            Trouble::Denied("read") if !self.is_for_others() => {
                format!("setfacl -m u:{}:r {path}", local_name(own_uid()))
            }
            Trouble::Denied(_) if !self.is_for_others() => {
                let own = in_shell(&self.parent().join("rolekeeper").to_string_lossy());
                let user = local_name(own_uid());
                format!(
                    "install -d -m 0755 -o {user} {own}, and set the target's `path` to in there"
                )
            }
            Trouble::Denied(_) => lines_remedy(&self.lacking()),
            Trouble::DiskFull => format!("free some space where {path} is; it is tried again"),
            Trouble::ReadOnly => format!(
                "{}; where it is not the unit that makes it so, mount it writable",
                lines_remedy(&self.lacking())
            ),
            Trouble::MountPoint => {
                let directory = self.directory();
                format!(
                    "mount its directory instead of the file: where the unit (systemctl cat rolekeeper) \
                     names {path}, name {directory}, then systemctl daemon-reload && systemctl restart \
                     rolekeeper; in a container, docker run -v {directory}:{directory}"
                )
            }
            Trouble::Busy => "find out who else writes the file; it is tried again".into(),
            Trouble::System { .. } => format!("check the disk that {path} is on"),
        }
    }

    fn exit(&self) -> Exit {
        match &self.trouble {
            Trouble::Path | Trouble::Mode(_) => Exit::Configuration,
            Trouble::TooLarge | Trouble::Content { .. } => Exit::BadData,
            Trouble::Busy => Exit::TryAgain,
            Trouble::Directory(directory) => match directory.reason {
                Reason::Writable(_) | Reason::Owner(_) | Reason::Symlink => Exit::Refused,
                _ => Exit::CannotCreate,
            },
            Trouble::Symlink
            | Trouble::NotAFile(_)
            | Trouble::HardLinks(_)
            | Trouble::MountPoint
            | Trouble::Give(_)
            | Trouble::Denied(_) => Exit::Refused,
            Trouble::DiskFull | Trouble::ReadOnly | Trouble::System { .. } => Exit::CannotCreate,
        }
    }
}

impl TargetError {
    /// Whether it is for what there is in the file's place.
    pub fn is_of_what_is_there(&self) -> bool {
        matches!(
            self.trouble,
            Trouble::Symlink
                | Trouble::NotAFile(_)
                | Trouble::HardLinks(_)
                | Trouble::TooLarge
                | Trouble::Content { .. }
        )
    }

    /// Whether it is for what this user may see.
    pub fn is_of_rights_to_read(&self) -> bool {
        match &self.trouble {
            Trouble::Denied("read") => true,
            Trouble::Directory(directory) => matches!(directory.reason, Reason::Unopened(_)),
            _ => false,
        }
    }

    fn parent(&self) -> &Path {
        self.path.parent().unwrap_or(&self.path)
    }

    fn directory(&self) -> String {
        in_shell(&self.parent().to_string_lossy())
    }

    /// Whether the file is somebody else's, and this process may not give it away yet.
    fn is_for_others(&self) -> bool {
        self.owner != own_uid() && !may_give_files_away()
    }

    /// What the unit has to allow, all at once: whoever adds a line a time goes round in circles.
    fn lacking(&self) -> Vec<String> {
        let is_strange = !may_give_files_away() && !own_groups().contains(&self.group.as_raw());
        let group = (is_strange && !self.is_for_others()).then(|| self.group.as_raw());
        delivery_lines(&self.parent().to_string_lossy(), self.is_for_others(), group)
    }

    /// What follows a first step where the unit has to allow something besides.
    fn and_the_unit(&self) -> String {
        if self.is_for_others() || is_read_only(self.parent()) {
            format!(" && {}", lines_remedy(&self.lacking()))
        } else {
            String::new()
        }
    }

    /// What is made belongs to whose the file is to be: nobody else may write there.
    fn remedy_for_directory(&self, directory: &UnsafeDirectory) -> String {
        let path = in_shell(&directory.path.to_string_lossy());
        match &directory.reason {
            Reason::Missing => format!(
                "install -d -m 0755 -o {} {}{}",
                local_name(self.owner),
                self.directory(),
                self.and_the_unit()
            ),
            Reason::Hidden => lines_remedy(&self.lacking()),
            Reason::NotADirectory => "set the target's `path` to a file in a directory".into(),
            Reason::Writable(mode) if mode & 0o1000 != 0 => {
                format!("make a directory of its own in {path} (mode 0755) and set `path` in there")
            }
            Reason::Writable(_) => format!("chmod go-w {path}{}", self.and_the_unit()),
            Reason::Owner(owner) => format!(
                "set the target's `owner` to user {owner} if the file is meant for them, otherwise \
                 its `path` to a directory that root or the service owns"
            ),
            Reason::Symlink | Reason::Loop => {
                format!("set the target's `path` to where {path} leads, without the symlink")
            }
            Reason::Unopened(_) if self.is_for_others() => lines_remedy(&self.lacking()),
            // To pass needs less than to write down, durably, what is in it.
            Reason::Unopened(_) if directory.path == self.parent() => {
                format!("setfacl -m u:{}:rx {path}", local_name(own_uid()))
            }
            Reason::Unopened(_) => format!("setfacl -m u:{}:x {path}", local_name(own_uid())),
        }
    }
}

/// Whether nothing can be made there, as far as there is anything of the path: the unit keeps it so, or it is
/// mounted so.
fn is_read_only(path: &Path) -> bool {
    let there = path.ancestors().find_map(|path| statvfs(path).ok());
    there.is_some_and(|there| there.flags().contains(FsFlags::ST_RDONLY))
}
