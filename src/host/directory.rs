//! Opens a directory that nobody else can exchange for another.
//!
//! A privileged writer that follows a path can be led astray by whoever may rename or link on the
//! way. So the path is walked from the root, one name at a time, each opened without following
//! links, and every directory must be out of the reach of others:
//!
//! - it belongs to root, to this process, or to one more user whom the caller trusts with the file;
//! - neither its group nor others may write in it (an ACL that lets more people write shows in the
//!   group's bits). On the way, a sticky directory such as `/tmp` will do, because nobody but its
//!   owner can move what is in there, and that owner is checked next. At the end it will not:
//!   others could put something in the file's place.
//!
//! A symlink is followed only where root or this process alone could have put it: `/var/run` works,
//! a link in the trusted user's own home does not.

use std::ffi::{OsStr, OsString};
use std::fs::{DirBuilder, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstat, fstatat};
use nix::unistd::{Uid, geteuid};

/// How many symlinks one path may lead through; the kernel's own limit.
const SYMLINKS: usize = 40;

/// A directory on the way that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("directory {} {reason}", path.display())]
pub struct UnsafeDirectory {
    pub path: PathBuf,
    pub reason: Reason,
}

/// Why not.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    #[error("does not exist")]
    Missing,
    #[error("is not a directory")]
    NotADirectory,
    #[error("is writable by more than its owner (mode {0:04o})")]
    Writable(u32),
    #[error("belongs to user {0}, who could redirect what is written there")]
    Owner(Uid),
    #[error("is a symlink that others could have made")]
    Symlink,
    #[error("leads through too many symlinks")]
    Loop,
    #[error("is hidden from this service by its unit (ProtectHome=)")]
    Hidden,
    #[error("cannot be opened: {0}")]
    Unopened(io::Error),
}

/// Opens `path`, which must be absolute, trusting `also` besides root and this process.
///
/// # Errors
///
/// The first directory on the way that is missing or in the reach of others.
pub fn open_out_of_reach(path: &Path, also: Option<Uid>) -> Result<OwnedFd, UnsafeDirectory> {
    Walk::start(path, also).and_then(Walk::finish)
}

/// Makes a directory where there is none, with this mode whatever the process's umask is. One that is
/// there stays as it is.
///
/// # Errors
///
/// What the system call said.
pub fn make(path: &Path, mode: u32) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(mode).create(path)?;
    // What was made, and nothing that a link in its place leads to.
    let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let made = open(path, flags, Mode::empty())?;
    Ok(fchmod(&made, Mode::from_bits_truncate(mode as nix::libc::mode_t))?)
}

/// A path half walked.
struct Walk {
    here: OwnedFd,
    path: PathBuf,
    /// The names still to go, the next one last.
    ahead: Vec<OsString>,
    also: Option<Uid>,
    links: usize,
}

impl Walk {
    fn start(path: &Path, also: Option<Uid>) -> Result<Self, UnsafeDirectory> {
        let root = PathBuf::from("/");
        let here = open("/", DIRECTORY, Mode::empty()).map_err(|errno| errno.at(&root))?;
        let walk = Self { here, path: root, ahead: names(path), also, links: 0 };
        walk.check()?;
        Ok(walk)
    }

    fn finish(mut self) -> Result<OwnedFd, UnsafeDirectory> {
        while let Some(name) = self.ahead.pop() {
            let found = fstatat(&self.here, name.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW)
                .map_err(|errno| errno.at(&self.path.join(&name)))?;
            if is(&found, SFlag::S_IFLNK) {
                self.follow(&name)?;
            } else {
                self.enter(&name)?;
            }
        }
        // O_PATH was enough to come here; fsync needs the real thing.
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        openat(&self.here, ".", flags, Mode::empty()).map_err(|errno| errno.at(&self.path))
    }

    fn enter(&mut self, name: &OsStr) -> Result<(), UnsafeDirectory> {
        self.path.push(name);
        let flags = DIRECTORY | OFlag::O_NOFOLLOW;
        self.here =
            openat(&self.here, name, flags, Mode::empty()).map_err(|errno| errno.at(&self.path))?;
        self.check()
    }

    fn follow(&mut self, name: &OsStr) -> Result<(), UnsafeDirectory> {
        let path = self.path.join(name);
        self.links += 1;
        if self.links > SYMLINKS {
            return Err(UnsafeDirectory { path, reason: Reason::Loop });
        }
        let here = self.stat()?;
        let makers = [Uid::from_raw(0), geteuid()];
        if !makers.contains(&Uid::from_raw(here.st_uid)) || others_write(&here) {
            return Err(UnsafeDirectory { path, reason: Reason::Symlink });
        }
        let aim = PathBuf::from(readlinkat(&self.here, name).map_err(|errno| errno.at(&path))?);
        self.ahead.extend(names(&aim));
        if aim.is_absolute() {
            let ahead = std::mem::take(&mut self.ahead);
            *self = Self { ahead, links: self.links, ..Self::start(Path::new("/"), self.also)? };
        }
        Ok(())
    }

    /// Whether the directory that the walk stands in is out of the reach of others.
    fn check(&self) -> Result<(), UnsafeDirectory> {
        let here = self.stat()?;
        let owner = Uid::from_raw(here.st_uid);
        let trusted = owner.is_root() || owner == geteuid() || Some(owner) == self.also;
        let sticky = here.st_mode & nix::libc::S_ISVTX != 0;
        let on_the_way = !self.ahead.is_empty();
        let reason = if !trusted {
            Reason::Owner(owner)
        } else if others_write(&here) && !(sticky && on_the_way) {
            Reason::Writable(here.st_mode & 0o7777)
        } else {
            return Ok(());
        };
        Err(UnsafeDirectory { path: self.path.clone(), reason })
    }

    fn stat(&self) -> Result<FileStat, UnsafeDirectory> {
        fstat(&self.here).map_err(|errno| errno.at(&self.path))
    }
}

/// A place in the tree; reading its names needs no permission.
const DIRECTORY: OFlag = OFlag::O_PATH.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);

/// Opens a file of a directory to read it: follows no symlink, and waits for nobody who is at the other
/// end of a pipe. `None` where there is no such file. What was opened may be of any kind.
///
/// # Errors
///
/// What the system call said.
pub fn open_file(directory: impl AsFd, name: &OsStr) -> io::Result<Option<File>> {
    let flags = OFlag::O_RDONLY
        | OFlag::O_NOFOLLOW
        | OFlag::O_NONBLOCK
        | OFlag::O_NOCTTY
        | OFlag::O_CLOEXEC;
    match openat(directory, name, flags, Mode::empty()) {
        Err(Errno::ENOENT) => Ok(None),
        opened => Ok(Some(File::from(opened?))),
    }
}

/// Whether the service manager keeps homes from this process, so that nothing in them is to be made or
/// opened: something empty is mounted where they are (`ProtectHome=`, systemd.exec(5)).
fn is_hidden(path: &Path) -> bool {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    ["/home", "/root", "/run/user"]
        .into_iter()
        .any(|home| path.starts_with(home) && hides(&mounts, home))
}

/// As proc_pid_mountinfo(5) has it: the root within the file system, the mount point, and after ` - ` the
/// file system's type. What `ProtectHome=yes` mounts is systemd's own empty directory, and what
/// `ProtectHome=tmpfs` does a tmpfs that is read-only.
fn hides(mounts: &str, home: &str) -> bool {
    mounts.lines().any(|line| {
        let words = line.split(' ').collect::<Vec<_>>();
        let [_, _, _, root, point, options, ..] = words[..] else { return false };
        let is_tmpfs = line.split_once(" - ").is_some_and(|(_, kind)| kind.starts_with("tmpfs "));
        point == home
            && (root.contains("/systemd/inaccessible/")
                || is_tmpfs && options.split(',').any(|option| option == "ro"))
    })
}

/// The names of a path, the first one last. `..` keeps its meaning for whoever walks.
pub fn names(path: &Path) -> Vec<OsString> {
    let name = |component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        _ => None,
    };
    path.components().filter_map(name).rev().collect()
}

fn is(stat: &FileStat, kind: SFlag) -> bool {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == kind
}

fn others_write(stat: &FileStat) -> bool {
    stat.st_mode & (nix::libc::S_IWGRP | nix::libc::S_IWOTH) != 0
}

/// Says where a system call failed.
trait At {
    fn at(self, path: &Path) -> UnsafeDirectory;
}

impl At for Errno {
    fn at(self, path: &Path) -> UnsafeDirectory {
        let reason = match self {
            Errno::ENOENT | Errno::EACCES if is_hidden(path) => Reason::Hidden,
            Errno::ENOENT => Reason::Missing,
            Errno::ENOTDIR | Errno::ELOOP => Reason::NotADirectory,
            errno => Reason::Unopened(errno.into()),
        };
        UnsafeDirectory { path: path.to_owned(), reason }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};

    use tempfile::TempDir;

    use super::*;

    fn tree() -> (TempDir, PathBuf) {
        let root = tempfile::tempdir().unwrap();
        let leaf = root.path().join("a/b");
        fs::create_dir_all(&leaf).unwrap();
        (root, leaf)
    }

    fn allow(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    fn refusal(path: &Path) -> String {
        open_out_of_reach(path, None).unwrap_err().reason.to_string()
    }

    #[test]
    fn a_directory_below_a_sticky_one_opens() {
        let (_root, leaf) = tree();
        allow(leaf.parent().unwrap(), 0o1777);
        let opened = open_out_of_reach(&leaf, None).unwrap();
        assert_eq!(fstat(&opened).unwrap().st_ino, fs::metadata(&leaf).unwrap().ino());
    }

    #[test]
    fn what_others_can_write_is_refused_at_the_end_and_on_the_way() {
        let (_root, leaf) = tree();
        for mode in [0o777, 0o775, 0o1777, 0o1775] {
            allow(&leaf, mode);
            assert!(refusal(&leaf).ends_with(&format!("(mode {mode:04o})")));
        }
        allow(&leaf, 0o755);
        allow(leaf.parent().unwrap(), 0o775);
        assert!(refusal(&leaf).ends_with("(mode 0775)"));
    }

    #[test]
    fn links_are_followed_where_only_we_could_make_them() {
        let (root, leaf) = tree();
        symlink("a/../a", root.path().join("relative")).unwrap();
        symlink(&leaf, root.path().join("absolute")).unwrap();
        symlink("loop", root.path().join("loop")).unwrap();
        assert!(open_out_of_reach(&root.path().join("relative/b"), None).is_ok());
        assert!(open_out_of_reach(&root.path().join("absolute"), None).is_ok());
        assert!(refusal(&root.path().join("loop")).contains("too many"));
        allow(root.path(), 0o1777);
        assert!(refusal(&root.path().join("absolute")).contains("others could have made"));
    }

    #[test]
    fn a_directory_is_made_with_its_mode_and_one_that_is_there_stays() {
        let (_root, leaf) = tree();
        let made = leaf.join("run");
        make(&made, 0o755).unwrap();
        assert_eq!(fs::metadata(&made).unwrap().mode() & 0o7777, 0o755);
        allow(&made, 0o750);
        make(&made, 0o755).unwrap();
        assert_eq!(fs::metadata(&made).unwrap().mode() & 0o7777, 0o750);
        symlink(leaf.join("nowhere"), leaf.join("link")).unwrap();
        assert!(make(&leaf.join("link"), 0o755).is_err());
    }

    #[test]
    fn a_missing_directory_and_a_file_in_its_place_are_told_apart() {
        let (_root, leaf) = tree();
        fs::write(leaf.join("file"), "").unwrap();
        let missing = open_out_of_reach(&leaf.join("no/where"), None).unwrap_err();
        assert!(matches!(missing.reason, Reason::Missing));
        assert_eq!(missing.path, leaf.join("no"));
        assert!(refusal(&leaf.join("file")).contains("not a directory"));
    }

    #[test]
    fn somebody_elses_directory_opens_only_when_they_are_trusted() {
        let (_root, leaf) = tree();
        let stranger = Uid::from_raw(geteuid().as_raw() + 1);
        let given = chown(&leaf, Some(stranger.as_raw()), None);
        if geteuid().is_root() {
            given.unwrap();
            assert!(refusal(&leaf).contains("belongs to user 1,"));
            assert!(open_out_of_reach(&leaf, Some(stranger)).is_ok());
            // What the trusted user may do with a directory, they may not do with our path.
            symlink("/etc", leaf.join("link")).unwrap();
            let led = open_out_of_reach(&leaf.join("link"), Some(stranger)).unwrap_err();
            assert!(matches!(led.reason, Reason::Symlink));
        } else {
            // An ordinary user cannot give a directory away, and meets root's own instead.
            assert!(given.is_err());
            assert!(open_out_of_reach(Path::new("/etc"), None).is_ok());
        }
    }

    #[test]
    fn homes_that_the_unit_hides_are_told_from_homes() {
        let yes = "59 33 0:24 /systemd/inaccessible/dir /home ro,nosuid - tmpfs tmpfs rw,size=1k\n";
        let tmpfs = "60 33 0:51 / /home ro,nosuid,nodev,noexec,relatime - tmpfs tmpfs ro\n";
        for mounts in [yes, tmpfs] {
            assert!(hides(mounts, "/home"), "{mounts}");
            assert!(!hides(mounts, "/root"), "{mounts}");
        }
        for mounts in [
            "61 1 8:2 / /home rw,relatime shared:3 - ext4 /dev/sda2 rw\n",
            "62 1 0:52 / /home rw,relatime - tmpfs tmpfs rw\n",
            "63 1 8:2 / /srv ro - ext4 /dev/sda2 ro\n",
            "nonsense\n",
        ] {
            assert!(!hides(mounts, "/home"), "{mounts}");
        }
    }
}
