//! What is mounted where, as `/proc/PID/mountinfo` tells (proc_pid_mountinfo(5)).

use std::path::{Path, PathBuf};

/// One line of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    pub id: u64,
    /// `major:minor` of the file system.
    pub device: String,
    /// What of the file system is mounted: `/` where all of it is.
    pub root: PathBuf,
    /// Whether that was removed, or replaced, since.
    pub is_removed: bool,
    pub mount_point: PathBuf,
}

/// What the kernel puts behind a root that has no name any more.
const REMOVED: &str = "//deleted";

/// The mount of that number.
pub fn mount(mountinfo: &str, id: u64) -> Option<Mount> {
    mountinfo.lines().filter_map(parse).find(|mount| mount.id == id)
}

/// The number of the mount that an open file is on, from `/proc/PID/fdinfo/N`.
pub fn mount_id(fdinfo: &str) -> Option<u64> {
    fdinfo.lines().find_map(|line| line.strip_prefix("mnt_id:"))?.trim().parse().ok()
}

impl Mount {
    /// Where in the file system a path of this mount is.
    pub fn inside(&self, path: &Path) -> Option<PathBuf> {
        path.strip_prefix(&self.mount_point).ok().map(|below| self.root.join(below))
    }
}

/// `ID PARENT MAJOR:MINOR ROOT MOUNT_POINT …`
fn parse(line: &str) -> Option<Mount> {
    let mut fields = line.split(' ');
    let id = fields.next()?.parse().ok()?;
    let device = fields.nth(1)?.to_owned();
    let root = unescaped(fields.next()?);
    let mount_point = PathBuf::from(unescaped(fields.next()?));
    let kept = root.strip_suffix(REMOVED);
    let is_removed = kept.is_some();
    let root = PathBuf::from(kept.unwrap_or(&root));
    Some(Mount { id, device, root, is_removed, mount_point })
}

/// Blanks, line ends and backslashes are written as `\` and three octal digits.
fn unescaped(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .into_iter()
        .fold(text.to_owned(), |text, (written, meant)| text.replace(written, meant))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TABLE: &str = "\
        25 1 0:23 / /run rw,nosuid shared:5 - tmpfs tmpfs rw\n\
        97 25 0:23 /rolekeeper/credentials//deleted /mnt/a\\040b rw - tmpfs tmpfs rw\n";

    #[test]
    fn a_mount_is_found_by_its_number_with_what_of_the_file_system_it_is() {
        let run = mount(TABLE, 25).unwrap();
        let file = run.inside(Path::new("/run/rolekeeper/credentials"));
        assert_eq!(file, Some("/rolekeeper/credentials".into()));
        let old = mount(TABLE, 97).unwrap();
        assert_eq!((old.device.as_str(), old.is_removed), ("0:23", true));
        assert_eq!(Some(old.root), file);
        assert_eq!(old.mount_point, Path::new("/mnt/a b"));
        assert_eq!(mount(TABLE, 1), None);
        assert_eq!(mount_id("pos:\t0\nflags:\t0\nmnt_id:\t97\n"), Some(97));
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "(?s).{0,200}", id in any::<u64>()) {
            let _ = (mount(&text, id), mount_id(&text));
        }
    }
}
