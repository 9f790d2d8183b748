//! The vault's directory, held open: what happens in it cannot be led elsewhere by a symlink, and
//! what is written in it has the directory's owner.

use std::fs::{DirBuilder, File, Metadata};
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat, renameat};
use nix::sys::stat::{Mode, fchmod, fstatat, mkdirat};
use nix::sys::statvfs::fstatvfs;
use nix::unistd::{
    AccessFlags, Gid, Uid, UnlinkatFlags, faccessat, fchown, fsync, geteuid, unlinkat,
};
use time::UtcDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use zeroize::Zeroizing;

use crate::host::replace::{Access, replace_file_at};

use super::error::{Damage, VaultError};
use super::records::MOST_BYTES;

/// For the owner alone.
pub(super) const DIRECTORY_MODE: u32 = 0o700;
pub(super) const FILE_MODE: u32 = 0o600;

/// `20261122T000052Z`, the end of a kept file's name.
const STAMP: &[BorrowedFormatItem<'_>] =
    format_description!("[year][month][day]T[hour][minute][second]Z");

/// An open directory and whose it is.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    fd: OwnedFd,
    owner: Uid,
    group: Gid,
}

/// A mode that let others in, before it was narrowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Narrowed {
    pub path: PathBuf,
    pub mode: u32,
}

impl Directory {
    /// Opens `parent/name`, which must be this user's or, for root, anybody's.
    pub fn open(parent: &Path, name: &str) -> Result<Self, VaultError> {
        Self::open_any(&parent.join(name), OFlag::O_NOFOLLOW)?.mine()
    }

    /// The same, and makes what is missing, for the owner's eyes only. What root makes in another
    /// user's directory becomes that user's.
    pub fn create(parent: &Path, name: &str) -> Result<Self, VaultError> {
        match Self::open(parent, name) {
            Err(VaultError::Missing { .. }) => {}
            opened => return opened,
        }
        let fail = |source| VaultError::Write { path: parent.join(name), source };
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(DIRECTORY_MODE).create(parent).map_err(fail)?;
        let above = Self::open_any(parent, OFlag::empty())?;
        match mkdirat(&above.fd, name, mode(DIRECTORY_MODE)) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(fail(errno.into())),
        }
        let made = Self::open_any(&parent.join(name), OFlag::O_NOFOLLOW)?;
        above.hand_over(&made.fd, made.owner).map_err(fail)?;
        fsync(&above.fd).map_err(|errno| fail(errno.into()))?;
        Self::open(parent, name)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of `name` in here.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// A file's bytes, all of them; `None` when there is no such file.
    pub fn read(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, VaultError> {
        let Some((mut file, metadata)) = self.open_file(name, OFlag::O_RDONLY)? else {
            return Ok(None);
        };
        let length = usize::try_from(metadata.len()).unwrap_or(usize::MAX);
        if length > MOST_BYTES {
            return Err(self.damaged(name, Damage::TooLong));
        }
        // Files are replaced, never rewritten: this one keeps its length while it is open.
        let mut bytes = Zeroizing::new(vec![0; length]);
        file.read_exact(&mut bytes).map_err(|error| self.unreadable(name, error))?;
        Ok(Some(bytes))
    }

    /// Replaces a file whole.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), VaultError> {
        replace_file_at(&self.fd, name, bytes, self.access())
            .map_err(|error| self.unwritable(name, error))
    }

    /// Renames a file to `name.word-time`, where nothing reads it and nothing overwrites it.
    pub fn set_aside(
        &self,
        name: &str,
        word: &str,
        at: UtcDateTime,
    ) -> Result<PathBuf, VaultError> {
        let fail = |errno: Errno| self.unwritable(name, errno.into());
        // The format has no component that a UtcDateTime lacks, so formatting cannot fail.
        let first = format!("{name}.{word}-{}", at.format(STAMP).unwrap_or_default());
        let mut kept = first.clone();
        let mut count = 1;
        while fstatat(&self.fd, kept.as_str(), AtFlags::AT_SYMLINK_NOFOLLOW).is_ok() {
            count += 1;
            kept = format!("{first}-{count}");
        }
        renameat(&self.fd, name, &self.fd, kept.as_str()).map_err(fail)?;
        fsync(&self.fd).map_err(fail)?;
        Ok(self.join(&kept))
    }

    /// The same for a file that need not be there.
    pub fn set_aside_if_present(
        &self,
        name: &str,
        word: &str,
        at: UtcDateTime,
    ) -> Result<(), VaultError> {
        match fstatat(&self.fd, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(_) => self.set_aside(name, word, at).map(drop),
            Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(self.unreadable(name, errno.into())),
        }
    }

    /// Removes a file; there may be none.
    pub fn remove(&self, name: &str) -> Result<(), VaultError> {
        let removed = match unlinkat(&self.fd, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) => fsync(&self.fd),
            Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(errno),
        };
        removed.map_err(|errno| self.unwritable(name, errno.into()))
    }

    /// Opens the file that processes lock, and makes it when there is none.
    pub fn open_lock(&self, name: &str) -> Result<File, VaultError> {
        let flags = OFlag::O_RDWR | OFlag::O_CREAT;
        let (file, metadata) = self.open_file(name, flags)?.ok_or_else(|| {
            // O_CREAT makes it, unless the directory was removed meanwhile.
            self.unwritable(name, io::ErrorKind::NotFound.into())
        })?;
        self.hand_over(&file, Uid::from_raw(metadata.uid()))
            .map_err(|error| self.unwritable(name, error))?;
        Ok(file)
    }

    /// Opens a file that is there, to read it.
    pub fn open_present(&self, name: &str) -> Result<Option<File>, VaultError> {
        Ok(self.open_file(name, OFlag::O_RDONLY)?.map(|(file, _)| file))
    }

    /// Whether the path still leads here.
    pub fn check_place(&self) -> Result<(), VaultError> {
        let own = self.metadata().map_err(|error| self.unreadable("", error))?;
        match self.path.symlink_metadata() {
            Ok(found) if (found.dev(), found.ino()) == (own.dev(), own.ino()) => Ok(()),
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(VaultError::Unreadable { path: self.path.clone(), source })
            }
            _ => Err(VaultError::Missing { path: self.path.clone() }),
        }
    }

    /// Whether a record would find room here. Nothing is written, so it may be asked often.
    pub fn check_writable(&self) -> Result<(), VaultError> {
        let fail =
            |errno: Errno| VaultError::Write { path: self.path.clone(), source: errno.into() };
        faccessat(&self.fd, ".", AccessFlags::W_OK, AtFlags::empty()).map_err(fail)?;
        let room = fstatvfs(&self.fd).map_err(fail)?;
        // Some blocks are for root alone.
        let blocks = if geteuid().is_root() { room.blocks_free() } else { room.blocks_available() };
        let bytes = blocks.saturating_mul(room.fragment_size());
        // File systems that make inodes as they need them count none.
        let inodes = room.files() == 0 || room.files_free() > 0;
        if bytes < MOST_BYTES as u64 || !inodes { Err(fail(Errno::ENOSPC)) } else { Ok(()) }
    }

    /// Gives the directory and these files the modes that they should have, and says which were
    /// open to others. A directory of the reference agent (0600) becomes usable by this.
    pub fn narrow(&self, names: &[&str]) -> Result<Vec<Narrowed>, VaultError> {
        let mut narrowed = Vec::new();
        let metadata = self.metadata().map_err(|error| self.unreadable("", error))?;
        let fail = |path: &Path| {
            let path = path.to_owned();
            move |errno: Errno| VaultError::Write { path, source: errno.into() }
        };
        narrow_to(DIRECTORY_MODE, &self.fd, &metadata, &self.path, &mut narrowed)
            .map_err(fail(&self.path))?;
        for name in names {
            // What is no file of ours is reported when it is read.
            let Ok(Some((file, metadata))) = self.open_file(name, OFlag::O_RDONLY) else {
                continue;
            };
            let path = self.join(name);
            narrow_to(FILE_MODE, &file, &metadata, &path, &mut narrowed).map_err(fail(&path))?;
        }
        Ok(narrowed)
    }

    fn open_any(path: &Path, flags: OFlag) -> Result<Self, VaultError> {
        let path = path.to_owned();
        let fd = match open(&path, flags | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::ENOENT) => return Err(VaultError::Missing { path }),
            Err(Errno::ENOTDIR | Errno::ELOOP) => {
                return Err(VaultError::Damaged { path, damage: Damage::NotADirectory });
            }
            Err(errno) => return Err(denied(path, errno)),
        };
        let file = File::from(fd);
        match file.metadata() {
            Ok(metadata) => Ok(Self {
                path,
                fd: file.into(),
                owner: Uid::from_raw(metadata.uid()),
                group: Gid::from_raw(metadata.gid()),
            }),
            Err(source) => Err(VaultError::Unreadable { path, source }),
        }
    }

    fn mine(self) -> Result<Self, VaultError> {
        let process = geteuid();
        if may_use(self.owner, process) {
            Ok(self)
        } else {
            Err(VaultError::ForeignOwner { path: self.path, owner: self.owner, process })
        }
    }

    fn metadata(&self) -> io::Result<Metadata> {
        File::from(self.fd.try_clone()?).metadata()
    }

    /// Opens a file of the vault and looks at what was opened: a regular file, without a second
    /// name, of the vault's owner or root's. `None` when there is no such file.
    fn open_file(&self, name: &str, flags: OFlag) -> Result<Option<(File, Metadata)>, VaultError> {
        // Without O_NONBLOCK a named pipe in the file's place would hold us up.
        let flags = flags | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let file = match openat(&self.fd, name, flags, mode(FILE_MODE)) {
            Ok(fd) => File::from(fd),
            Err(Errno::ENOENT) => return Ok(None),
            Err(Errno::ELOOP | Errno::ENXIO | Errno::EISDIR) => {
                return Err(self.damaged(name, Damage::NotAFile));
            }
            Err(errno @ (Errno::EROFS | Errno::ENOSPC | Errno::EDQUOT)) => {
                return Err(self.unwritable(name, errno.into()));
            }
            Err(errno) => return Err(self.unreadable(name, errno.into())),
        };
        let metadata = file.metadata().map_err(|error| self.unreadable(name, error))?;
        let owner = Uid::from_raw(metadata.uid());
        if !metadata.is_file() {
            Err(self.damaged(name, Damage::NotAFile))
        } else if metadata.nlink() > 1 {
            Err(self.damaged(name, Damage::HardLink))
        } else if owner != self.owner && !owner.is_root() {
            Err(VaultError::ForeignOwner { path: self.join(name), owner, process: geteuid() })
        } else {
            Ok(Some((file, metadata)))
        }
    }

    /// Root leaves nothing of its own in another user's vault.
    fn hand_over(&self, file: impl AsFd, owner: Uid) -> io::Result<()> {
        if geteuid().is_root() && owner != self.owner {
            fchown(file, Some(self.owner), Some(self.group))?;
        }
        Ok(())
    }

    fn access(&self) -> Access {
        if geteuid() == self.owner {
            Access::PRIVATE
        } else {
            Access { mode: FILE_MODE, owner: Some(self.owner), group: Some(self.group) }
        }
    }

    fn damaged(&self, name: &str, damage: Damage) -> VaultError {
        VaultError::Damaged { path: self.join(name), damage }
    }

    fn unreadable(&self, name: &str, source: io::Error) -> VaultError {
        VaultError::Unreadable { path: self.join(name), source }
    }

    fn unwritable(&self, name: &str, source: io::Error) -> VaultError {
        VaultError::Write { path: self.join(name), source }
    }
}

/// A vault is its owner's; root may do an errand in it.
fn may_use(owner: Uid, process: Uid) -> bool {
    owner == process || process.is_root()
}

/// Permission denied has a better name when the directory is another user's.
fn denied(path: PathBuf, errno: Errno) -> VaultError {
    let process = geteuid();
    match std::fs::symlink_metadata(&path).map(|metadata| Uid::from_raw(metadata.uid())) {
        Ok(owner) if errno == Errno::EACCES && !may_use(owner, process) => {
            VaultError::ForeignOwner { path, owner, process }
        }
        _ => VaultError::Unreadable { path, source: errno.into() },
    }
}

fn narrow_to(
    wanted: u32,
    file: impl AsFd,
    metadata: &Metadata,
    path: &Path,
    narrowed: &mut Vec<Narrowed>,
) -> Result<(), Errno> {
    let found = metadata.mode() & 0o7777;
    if found != wanted {
        fchmod(file, mode(wanted))?;
    }
    if found & 0o077 != 0 {
        narrowed.push(Narrowed { path: path.to_owned(), mode: found });
    }
    Ok(())
}

fn mode(bits: u32) -> Mode {
    Mode::from_bits_truncate(bits as nix::libc::mode_t)
}
