//! May the daemon do what its settings ask of it?

use super::Finding;
use crate::pure::drop_in::{delivery_lines, example_remedy, lines_remedy};

/// The daemon's process, as the kernel shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    pub uid: u32,
    pub groups: Vec<u32>,
    /// Effective capabilities, a bit each.
    pub capabilities: u64,
    /// Whether it sees other users' processes; unknown to all but root.
    pub sees_others: Option<bool>,
}

/// What the settings ask of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// Targets whose files the settings give to somebody.
    pub targets: Vec<Given>,
    /// Consumers that name units.
    pub by_unit: Vec<String>,
    /// Consumers that name programs.
    pub by_program: Vec<String>,
}

/// To whom a target's file is given: nothing is said where it stays the daemon's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    pub name: String,
    pub directory: String,
    pub owner: Option<u32>,
    pub group: Option<u32>,
}

/// Bits of `linux/capability.h`.
pub const CHOWN: u64 = 1 << 0;
const SYS_PTRACE: u64 = 1 << 19;

/// Judges what the daemon lacks, a finding for each; one that all is well when it lacks nothing.
pub fn judge(process: &Process, needs: &Needs) -> Vec<(Option<String>, Finding)> {
    let may = |capability| process.capabilities & capability != 0;
    let mut findings = Vec::new();
    for Given { name, directory, owner, group } in &needs.targets {
        let foreign_owner = owner.filter(|owner| *owner != process.uid);
        let foreign_group = group.filter(|group| !process.groups.contains(group));
        // A member of the group needs no capability to give it a file.
        let lacking = match (foreign_owner, foreign_group) {
            _ if may(CHOWN) => None,
            (Some(owner), _) => {
                Some((format!("uid {owner}"), lines_remedy(&delivery_lines(directory, true, None))))
            }
            (None, Some(group)) => {
                let lines = delivery_lines(directory, false, Some(group));
                Some((format!("gid {group}"), lines_remedy(&lines)))
            }
            (None, None) => None,
        };
        if let Some((to, remedy)) = lacking {
            let text = format!(
                "its file is to belong to {to}, and the daemon (uid {}) may not give files away",
                process.uid
            );
            findings.push((Some(name.clone()), Finding::wrong(text, remedy)));
        }
    }
    let hidden = process.sees_others == Some(false);
    for name in needs.by_unit.iter().filter(|_| hidden) {
        let text = "it names units, and the daemon does not see other users' processes: it is \
                    refused to all";
        let remedy = example_remedy("consumers-by-unit.conf");
        findings.push((Some(name.clone()), Finding::wrong(text, remedy)));
    }
    for name in needs.by_program.iter().filter(|_| !may(SYS_PTRACE)) {
        let text = "it names programs, and the daemon is not shown which one another user runs: it \
                    is refused to all";
        let remedy = "take the # from the CAP_SYS_PTRACE lines of the example, too: ".to_owned()
            + &example_remedy("consumers-by-unit.conf");
        findings.push((Some(name.clone()), Finding::wrong(text, remedy)));
    }
    if findings.is_empty() {
        let text = format!("the daemon (uid {}) may do what its settings ask", process.uid);
        findings.push((None, Finding::ok(text)));
    }
    findings
}

/// `CapEff:` of `/proc/PID/status`, in hexadecimal.
pub fn effective_capabilities(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

/// Whether a process sees those of others, by the options of its `/proc` in `/proc/PID/mountinfo`.
pub fn sees_others(mountinfo: &str) -> Option<bool> {
    let of_proc = |line: &&str| line.split(' ').nth(4) == Some("/proc");
    // What is mounted last hides what is below it.
    let line = mountinfo.lines().rfind(of_proc)?;
    let hides = |option: &str| {
        option.strip_prefix("hidepid=").is_some_and(|how| !["0", "off"].contains(&how))
    };
    Some(!line.split([' ', ',']).any(hides))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pure::diagnosis::Verdict;

    fn sandboxed() -> Process {
        Process { uid: 990, groups: vec![990, 4], capabilities: 0, sees_others: Some(false) }
    }

    fn needs(owner: u32, group: u32) -> Needs {
        let (name, directory) = ("backup".into(), "/srv/backup".into());
        let given = Given { name, directory, owner: Some(owner), group: Some(group) };
        Needs { targets: vec![given], ..Needs::default() }
    }

    fn names(process: &Process, needs: &Needs) -> Vec<String> {
        let findings = judge(process, needs).into_iter();
        let wrong = findings.filter(|(_, finding)| finding.verdict == Verdict::Wrong);
        wrong.filter_map(|(name, _)| name).collect()
    }

    #[test]
    fn a_file_is_given_away_with_a_capability_or_not_at_all() {
        assert_eq!(names(&sandboxed(), &needs(990, 990)), [""; 0]);
        assert_eq!(names(&sandboxed(), &needs(990, 4)), [""; 0]);
        assert_eq!(names(&sandboxed(), &needs(990, 34)), ["backup"]);
        assert_eq!(names(&sandboxed(), &needs(34, 990)), ["backup"]);
        let remedy = |needs| judge(&sandboxed(), &needs)[0].1.remedy.clone().unwrap();
        assert!(remedy(needs(990, 34)).contains(" SupplementaryGroups=34 "), "no capability");
        let whole = "'AmbientCapabilities=CAP_CHOWN CAP_FOWNER CAP_DAC_OVERRIDE' \
                     ReadWritePaths=-/srv/backup >>";
        assert!(remedy(needs(34, 990)).contains(whole), "{}", remedy(needs(34, 990)));
        let able = Process { capabilities: CHOWN, ..sandboxed() };
        assert_eq!(names(&able, &needs(34, 34)), [""; 0]);
    }

    #[test]
    fn consumers_by_unit_and_by_program_need_what_the_sandbox_hides() {
        let needs = Needs {
            targets: vec![],
            by_unit: vec!["nightly".into()],
            by_program: vec!["restic".into()],
        };
        assert_eq!(names(&sandboxed(), &needs), ["nightly", "restic"]);
        let unknown = Process { sees_others: None, ..sandboxed() };
        assert_eq!(names(&unknown, &needs), ["restic"]);
        let able = Process { sees_others: Some(true), capabilities: SYS_PTRACE, ..sandboxed() };
        assert_eq!(judge(&able, &needs)[0].1.verdict, Verdict::Ok);
    }

    #[test]
    fn the_kernels_files_are_read() {
        let status = "Name:\tx\nCapPrm:\t0000000000000000\nCapEff:\t0000000000080001\n";
        assert_eq!(effective_capabilities(status), Some(CHOWN | SYS_PTRACE));
        assert_eq!(effective_capabilities("CapEff:\tx\n"), None);
        let plain = "22 28 0:21 / /proc rw,nosuid shared:12 - proc proc rw\n";
        let hiding = "61 45 0:52 / /proc rw - proc proc rw,hidepid=invisible\n";
        assert_eq!(sees_others(plain), Some(true));
        assert_eq!(sees_others(&format!("{plain}{hiding}")), Some(false));
        assert_eq!(sees_others(&hiding.replace("invisible", "0")), Some(true));
        assert_eq!(sees_others("1 2 0:3 / /sys rw - sysfs sysfs rw\n"), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "(?s).{0,120}") {
            let _ = (effective_capabilities(&text), sees_others(&text));
        }
    }
}
