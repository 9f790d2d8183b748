//! Who is at the other end of a connection, and how the kernel's files tell it.

use std::path::{Path, PathBuf};

/// What is known of a peer. What cannot be seen is missing, and names nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    pub uid: u32,
    pub gid: u32,
    /// Supplementary groups, as far as they are known.
    pub groups: Vec<u32>,
    /// Whether these are all of them.
    pub groups_known: bool,
    /// The service manager's unit, as `backup.service`.
    pub unit: Option<String>,
    /// The program, as the peer's own file system names it.
    pub executable: Option<PathBuf>,
    /// Symbolic links that lead to the program, of those that rules name.
    pub links: Vec<PathBuf>,
}

/// The kernel's own number for no group.
pub const NO_GROUP: u32 = u32::MAX;

/// What `/proc/PID/status` tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessStatus {
    /// The effective user.
    pub uid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

/// What the kernel puts behind the path of a program whose file was replaced while it ran, as a
/// package's upgrade does.
const REPLACED: &str = " (deleted)";

impl Peer {
    /// A user, of whom nothing else is known yet.
    pub fn of_user(uid: u32) -> Self {
        let groups = Vec::new();
        let (gid, unit, executable, links) = (NO_GROUP, None, None, Vec::new());
        Self { uid, gid, groups, groups_known: false, unit, executable, links }
    }

    /// Whether it runs the program of that path.
    pub fn runs(&self, program: &Path) -> bool {
        self.executable.as_deref() == Some(program) || self.links.iter().any(|it| it == program)
    }

    pub fn is_member(&self, group: u32) -> bool {
        self.gid == group || self.groups.contains(&group)
    }
}

/// Reads `/proc/PID/status` (proc_pid_status(5)): `Uid:` has the real, effective, saved and file
/// system's user.
pub fn process_status(text: &str) -> Option<ProcessStatus> {
    let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
    let uid = line("Uid:")?.split_whitespace().nth(1)?.parse().ok()?;
    let groups = line("Groups:")?.split_whitespace().map(|group| group.parse().ok());
    Some(ProcessStatus { uid, groups: groups.collect::<Option<_>>()? })
}

/// The unit in `/proc/PID/cgroup` (cgroups(7)). systemd keeps its tree in the unified hierarchy,
/// `0::/…`, and on older machines in one of its own, `1:name=systemd:/…`.
///
/// Slices lead to the unit; what is below it belongs to the unit itself, or to whom it was given. A
/// user's own service manager runs its services below `user@UID.service`, so a unit that a user
/// makes up there is not one of the system's, and does not pass for one.
pub fn unit(cgroup: &str) -> Option<String> {
    let path =
        |mark: &str| cgroup.lines().find_map(|line| line.split_once(mark)).map(|(_, path)| path);
    let path = path(":name=systemd:")
        .or_else(|| cgroup.lines().find_map(|line| line.strip_prefix("0::")))?;
    let mut below_slices = path.strip_prefix('/')?.split('/').skip_while(|part| is_slice(part));
    let unit = below_slices.next()?;
    let known = [".service", ".scope", ".socket", ".mount", ".swap"];
    known.iter().any(|kind| unit.ends_with(kind)).then(|| unit.to_owned())
}

fn is_slice(part: &str) -> bool {
    part.ends_with(".slice")
}

/// The program's path from the link `/proc/PID/exe`.
pub fn executable(link: &str) -> Option<PathBuf> {
    let path = link.strip_suffix(REPLACED).unwrap_or(link);
    path.starts_with('/').then(|| PathBuf::from(path))
}

/// The process of a pidfd, from `/proc/self/fdinfo/N`: none once it has been waited for, because its
/// number may then be another's.
pub fn pidfd_process(fdinfo: &str) -> Option<i32> {
    let pid = fdinfo.lines().find_map(|line| line.strip_prefix("Pid:"))?.trim().parse().ok()?;
    (pid > 0).then_some(pid)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn status_tells_the_effective_user_and_the_groups() {
        let text = "Name:\tsh\nUmask:\t0022\nUid:\t1000\t33\t33\t33\nGid:\t4\t4\t4\t4\n\
                    FDSize:\t64\nGroups:\t4 27 998 \nNStgid:\t7\n";
        let status = ProcessStatus { uid: 33, groups: vec![4, 27, 998] };
        assert_eq!(process_status(text), Some(status));
        assert_eq!(
            process_status("Uid:\t0\t0\t0\t0\nGroups:\t\n").unwrap().groups,
            Vec::<u32>::new()
        );
        for broken in ["", "Uid:\t0\t0\t0\t0\n", "Groups:\t1\n", "Uid:\t0\t0\nGroups:\tx\n"] {
            assert_eq!(process_status(broken), None, "{broken}");
        }
    }

    #[test]
    fn a_unit_is_what_the_slices_lead_to() {
        for (cgroup, expected) in [
            ("0::/system.slice/backup.service\n", Some("backup.service")),
            (
                "0::/system.slice/system-getty.slice/getty@tty1.service\n",
                Some("getty@tty1.service"),
            ),
            ("0::/system.slice/web.service/workers/3\n", Some("web.service")),
            ("0::/user.slice/user-1000.slice/session-2.scope\n", Some("session-2.scope")),
            ("0::/init.scope\n", Some("init.scope")),
            (
                "12:pids:/x\n1:name=systemd:/system.slice/a.service\n0::/system.slice/b.service\n",
                Some("a.service"),
            ),
            ("0::/\n", None),
            ("0::/../../system.slice/backup.service\n", None),
            ("0::/docker/0123\n", None),
            ("", None),
        ] {
            assert_eq!(unit(cgroup).as_deref(), expected, "{cgroup}");
        }
    }

    #[test]
    fn a_unit_of_a_users_own_making_does_not_pass_for_the_systems() {
        let own = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/backup.service\n";
        assert_eq!(unit(own).as_deref(), Some("user@1000.service"));
        let nested = "0::/user.slice/user-1000.slice/user@1000.service/system.slice/web.service\n";
        assert_eq!(unit(nested).as_deref(), Some("user@1000.service"));
    }

    #[test]
    fn a_program_that_was_upgraded_meanwhile_is_still_that_program() {
        assert_eq!(executable("/usr/bin/app (deleted)"), Some("/usr/bin/app".into()));
        assert_eq!(executable("/usr/bin/app"), Some("/usr/bin/app".into()));
        assert_eq!(executable("memfd:x"), None);
    }

    #[test]
    fn a_process_that_is_gone_has_no_number() {
        assert_eq!(
            pidfd_process("pos:\t0\nflags:\t02000002\nPid:\t4711\nNSpid:\t4711\n"),
            Some(4711)
        );
        for gone in ["Pid:\t-1\n", "Pid:\t0\n", "pos:\t0\n", ""] {
            assert_eq!(pidfd_process(gone), None, "{gone}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "(?s).{0,200}") {
            let _ = (process_status(&text), unit(&text), executable(&text), pidfd_process(&text));
        }
    }
}
