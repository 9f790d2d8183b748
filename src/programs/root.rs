//! A program's file system, as that program sees it: a container's is another than ours.
//!
//! Whoever wrote the files may be a stranger. Links are followed within the program's own root, only
//! regular files are opened, none is waited for, and each is read up to a bound.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use nix::dir::Dir;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat};

use crate::host::process_files::ProcessFiles;
use crate::pure::chain::Binding;
use crate::pure::mount_table::{self, Mount};

/// A directory with more entries is not searched further.
const MOST_ENTRIES: usize = 4096;

/// A root directory, and where relative paths begin.
#[derive(Debug)]
pub struct Root {
    root: OwnedFd,
    working_directory: PathBuf,
}

/// Who would read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reader {
    pub uid: u32,
    /// All of them, the first one too.
    pub groups: Vec<u32>,
}

impl Root {
    /// Our own.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn ours() -> io::Result<Self> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let working_directory = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
        Ok(Self { root: open("/", flags, Mode::empty())?, working_directory })
    }

    /// A process's.
    ///
    /// # Errors
    ///
    /// What the kernel says: `PermissionDenied` of another user's process.
    pub fn of(process: &ProcessFiles) -> io::Result<Self> {
        let working_directory = process.link("cwd").unwrap_or_else(|_| PathBuf::from("/"));
        Ok(Self { root: process.directory("root")?, working_directory })
    }

    /// A regular file's content.
    ///
    /// # Errors
    ///
    /// `NotFound`; `InvalidInput` of what is no regular file, or is longer than `longest`; otherwise
    /// what the kernel says.
    pub fn read(&self, path: &Path, longest: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.open(path)?.take(longest + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > longest {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "is too long"));
        }
        Ok(bytes)
    }

    /// A regular file, to be read.
    ///
    /// # Errors
    ///
    /// As [`Root::read`].
    pub fn open(&self, path: &Path) -> io::Result<File> {
        let (found, is) = self.find(path)?;
        if SFlag::from_bits_truncate(is.st_mode) & SFlag::S_IFMT != SFlag::S_IFREG {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "is no regular file"));
        }
        // What was found is opened itself: nobody exchanges it for a pipe in between.
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let itself = format!("/proc/self/fd/{}", found.as_raw_fd());
        Ok(File::from(open(Path::new(&itself), flags, Mode::empty())?))
    }

    /// Device and inode of what is there, whatever it is.
    pub fn identity(&self, path: &Path) -> Option<(u64, u64)> {
        self.find(path).ok().map(|(_, is)| (is.st_dev, is.st_ino))
    }

    /// Whether what is at `path`, in here, is what is at `ours`, in our own root directory. None where
    /// the kernel does not say.
    pub fn is_same(&self, path: &Path, ours: &Path) -> Option<bool> {
        let identity = |root: &Self, path| match root.find(path) {
            Ok((_, is)) => Some(Some((is.st_dev, is.st_ino))),
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Some(None),
                _ => None,
            },
        };
        let (theirs, ours) = (identity(self, path)?, identity(&Self::ours().ok()?, ours)?);
        Some(theirs.is_some() && theirs == ours)
    }

    /// By what the file at `path`, in here, is the one at `ours`, in our own root directory. None where
    /// it is another. `mounts` is what is mounted in here (proc_pid_mountinfo(5)).
    pub fn binding(&self, path: &Path, ours: &Path, mounts: &str) -> Option<Binding> {
        let our_root = Self::ours().ok()?;
        let (theirs, is) = self.find(path).ok()?;
        let mount = mount_of(&theirs, mounts);
        if our_root.identity(ours) != Some((is.st_dev, is.st_ino)) {
            // One that was replaced since.
            let mount = mount.filter(|mount| mount.is_removed)?;
            return (our_root.inside(ours)? == (mount.device, mount.root))
                .then_some(Binding::Mount);
        }
        let (directory, name) = self.entry(&theirs)?;
        let our_entry = our_root.entry(&our_root.find(ours).ok()?.0);
        if our_entry == Some((directory, name)) {
            Some(Binding::Name)
        } else if mount
            .is_some_and(|mount| self.identity(&mount.mount_point) == Some((is.st_dev, is.st_ino)))
        {
            Some(Binding::Mount)
        } else {
            Some(Binding::HardLink)
        }
    }

    /// The directory in which a file was found, and the name that it has there.
    fn entry(&self, found: &OwnedFd) -> Option<((u64, u64), OsString)> {
        let path = self.path_of(found)?;
        Some((self.identity(path.parent()?)?, path.file_name()?.to_owned()))
    }

    /// Where a file was found, links followed.
    fn path_of(&self, found: &OwnedFd) -> Option<PathBuf> {
        let link =
            |file: &OwnedFd| std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).ok();
        let path = link(found)?;
        let below = path.strip_prefix(link(&self.root)?).ok()?;
        Some(Path::new("/").join(below))
    }

    /// The file system on which one of our files is or would be, and where on it.
    fn inside(&self, ours: &Path) -> Option<(String, PathBuf)> {
        let (directory, _) = self.find(ours.parent()?).ok()?;
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
        let mount = mount_of(&directory, &mounts)?;
        let directory = mount.inside(&self.path_of(&directory)?)?;
        Some((mount.device, directory.join(ours.file_name()?)))
    }

    pub fn is_directory(&self, path: &Path) -> bool {
        self.find(path).is_ok_and(|(_, is)| is_directory(&is))
    }

    /// The names in a directory; none of what is no directory.
    pub fn names(&self, path: &Path) -> Vec<String> {
        let Ok((found, _)) = self.find(path).and_then(|found| {
            if is_directory(&found.1) {
                Ok(found)
            } else {
                Err(io::ErrorKind::NotADirectory.into())
            }
        }) else {
            return Vec::new();
        };
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let Ok(mut directory) = Dir::openat(&found, ".", flags, Mode::empty()) else {
            return Vec::new();
        };
        let names = directory.iter().flatten().take(MOST_ENTRIES);
        let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut names = names.filter(|name| name != "." && name != "..").collect::<Vec<_>>();
        names.sort();
        names
    }

    /// Whether `reader` may read the file, by owner, group and mode of it and of the directories that
    /// its path names. Access lists and capabilities are not looked at; root reads everything.
    pub fn may_read(&self, path: &Path, reader: &Reader) -> bool {
        self.may(path, reader, 0o4)
    }

    /// Whether `reader` may run the file, judged alike.
    pub fn may_run(&self, path: &Path, reader: &Reader) -> bool {
        let any = self.find(path).is_ok_and(|(_, is)| is.st_mode & 0o111 != 0);
        any && !self.is_directory(path) && self.may(path, reader, 0o1)
    }

    fn may(&self, path: &Path, reader: &Reader, right: u32) -> bool {
        let path = self.absolute(path);
        let above = path
            .ancestors()
            .skip(1)
            .all(|directory| self.find(directory).is_ok_and(|(_, is)| reader.has(&is, 0o1)));
        above && self.find(&path).is_ok_and(|(_, is)| reader.has(&is, right))
    }

    /// The path that a relative one stands for.
    pub fn absolute(&self, path: &Path) -> PathBuf {
        self.working_directory.join(path)
    }

    fn find(&self, path: &Path) -> io::Result<(OwnedFd, FileStat)> {
        let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
        let resolve = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS;
        let how = OpenHow::new().flags(flags).resolve(resolve);
        let path = self.absolute(path);
        let below = path.components().filter(|part| !matches!(part, Component::RootDir));
        let below = Path::new(".").join(below.collect::<PathBuf>());
        let found = openat2(&self.root, &below, how)?;
        let is = fstat(&found)?;
        Ok((found, is))
    }
}

impl Reader {
    fn has(&self, file: &FileStat, right: u32) -> bool {
        let shift = if file.st_uid == self.uid {
            6
        } else if self.groups.contains(&file.st_gid) {
            3
        } else {
            0
        };
        self.uid == 0 || (file.st_mode >> shift) & right != 0
    }
}

/// The mount that an open file is on.
fn mount_of(found: &OwnedFd, mounts: &str) -> Option<Mount> {
    let told = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", found.as_raw_fd())).ok()?;
    mount_table::mount(mounts, mount_table::mount_id(&told)?)
}

fn is_directory(is: &FileStat) -> bool {
    SFlag::from_bits_truncate(is.st_mode) & SFlag::S_IFMT == SFlag::S_IFDIR
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn files_are_read_up_to_a_bound_and_only_files_are() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::ours().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("a"), "12345").unwrap();
        assert_eq!(root.read(&path("a"), 5).unwrap(), b"12345");
        assert_eq!(root.read(&path("a"), 4).unwrap_err().to_string(), "is too long");
        assert_eq!(root.read(&path("b"), 4).unwrap_err().kind(), io::ErrorKind::NotFound);
        nix::unistd::mkfifo(&path("pipe"), Mode::S_IRWXU).unwrap();
        for name in ["pipe", "."] {
            let error = root.read(&path(name), 4).unwrap_err();
            assert_eq!(error.to_string(), "is no regular file", "{name}");
        }
        assert_eq!(root.names(directory.path()), ["a", "pipe"]);
        assert_eq!(root.names(&path("a")), [""; 0]);
    }

    #[test]
    fn a_link_does_not_lead_out_of_the_root() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("etc")).unwrap();
        fs::write(directory.path().join("etc/passwd"), "inside").unwrap();
        symlink("/etc/passwd", directory.path().join("absolute")).unwrap();
        symlink("../../../../../../etc/passwd", directory.path().join("climbing")).unwrap();
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
        let root = open(directory.path(), flags, Mode::empty()).unwrap();
        let root = Root { root, working_directory: "/".into() };
        for name in ["/absolute", "climbing", "/etc/passwd", "/../etc/passwd"] {
            assert_eq!(root.read(Path::new(name), 99).unwrap(), b"inside", "{name}");
        }
    }

    #[test]
    fn who_may_read_is_told_by_modes_on_the_way() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::ours().unwrap();
        let file = directory.path().join("a");
        fs::write(&file, "").unwrap();
        let chmod = |path: &Path, mode| {
            fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        };
        let stranger = Reader { uid: 64_998, groups: vec![64_998] };
        chmod(directory.path(), 0o755);
        for (mode, expected) in [(0o644, true), (0o640, false), (0o604, true)] {
            chmod(&file, mode);
            assert_eq!(root.may_read(&file, &stranger), expected, "{mode:o}");
        }
        chmod(directory.path(), 0o700);
        assert!(!root.may_read(&file, &stranger));
        assert!(root.may_read(&file, &Reader { uid: 0, groups: vec![] }));
        let gid = nix::unistd::getegid().as_raw();
        chmod(directory.path(), 0o750);
        chmod(&file, 0o640);
        assert!(root.may_read(&file, &Reader { uid: 64_998, groups: vec![gid] }));
    }
}
