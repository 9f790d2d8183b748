//! What the kernel tells about a process that runs.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

use super::Outcome;

/// Another process, by its number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Process(pub(crate) Pid);

/// What a process has used since it began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    /// To the nanosecond, threads that have ended included.
    pub(crate) cpu: Duration,
    /// Of the threads that live.
    pub(crate) voluntary_switches: u64,
}

impl Process {
    /// A line of `smaps_rollup`, in KiB.
    pub(crate) fn memory(self, field: &str) -> Result<u64, String> {
        let text = match fs::read_to_string(self.directory().join("smaps_rollup")) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err("needs root".to_owned());
            }
            read => read.map_err(|error| error.to_string())?,
        };
        value(&text, field).ok_or_else(|| format!("no {field} in smaps_rollup"))
    }

    /// The most memory that was ever resident, in KiB.
    #[allow(dead_code, reason = "the other benches look at what is there")]
    pub(crate) fn peak_memory(self) -> Outcome<u64> {
        let status = fs::read_to_string(self.directory().join("status"))?;
        Ok(value(&status, "VmHWM").ok_or("no VmHWM in a process's status")?)
    }

    pub(crate) fn threads(self) -> Outcome<usize> {
        Ok(self.tasks()?.len())
    }

    pub(crate) fn children(self) -> Outcome<usize> {
        let mut children = 0;
        for task in self.tasks()? {
            children += fs::read_to_string(task.join("children"))?.split_whitespace().count();
        }
        Ok(children)
    }

    pub(crate) fn usage(self) -> Outcome<Usage> {
        let mut voluntary_switches = 0;
        for task in self.tasks()? {
            let status = fs::read_to_string(task.join("status"))?;
            voluntary_switches += value(&status, "voluntary_ctxt_switches")
                .ok_or("no voluntary_ctxt_switches in a task's status")?;
        }
        let cpu = clock_gettime(clock_getcpuclockid(self.0)?)?.into();
        Ok(Usage { cpu, voluntary_switches })
    }

    fn tasks(self) -> io::Result<Vec<PathBuf>> {
        fs::read_dir(self.directory().join("task"))?.map(|entry| Ok(entry?.path())).collect()
    }

    fn directory(self) -> PathBuf {
        PathBuf::from(format!("/proc/{}", self.0))
    }
}

impl Usage {
    /// A thread that ended meanwhile takes its switches along.
    pub(crate) fn since(&self, before: &Usage) -> Usage {
        Usage {
            cpu: self.cpu.saturating_sub(before.cpu),
            voluntary_switches: self.voluntary_switches.saturating_sub(before.voluntary_switches),
        }
    }
}

/// The number behind `field:` at the start of a line.
fn value(text: &str, field: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    value.split_whitespace().next()?.parse().ok()
}
