//! Observes the machine, for `pure::fingerprint` to judge.
//!
//! Root, an ordinary user and the sandboxed service must see the same machine. So nothing is read
//! that only root may read (`/sys/firmware/dmi/tables`, serial numbers of board and chassis), nor
//! what the sandbox hides (`/dev`), and no command is run. Nothing is taken in that changes by
//! itself: no time, no kernel's name for a disk, no clock frequency, no interface that software
//! made.
//!
//! A source that cannot be read is an `Unknown` with its reason: never an empty value, and never
//! "this machine has none".

mod altered;
mod disks;
mod interfaces;
mod kernel;
mod machine_id;
mod memory;
mod processor;
mod smbios;
mod tree;

use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::Arc;

pub use altered::AlteredProbe;
pub use kernel::{Kernel, RunningKernel};

use crate::pure::fingerprint::{Attribute, Observation, Reading};
use tree::{Tree, Unreadable};

/// Looks at a machine.
pub trait Probe: Debug + Send + Sync {
    /// One look, now. It takes a few milliseconds of file reading and waits for nothing.
    fn observe(&self) -> Observation;
}

/// This machine: the files below a root directory, and what only system calls tell.
#[derive(Debug, Clone)]
pub struct SystemProbe {
    tree: Tree,
    kernel: Arc<dyn Kernel>,
}

/// A value that was found: the text that is hashed, and one line for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    canonical: String,
    shown: String,
}

/// `None`: this machine has none.
type Finding = Result<Option<Found>, Unreadable>;

impl SystemProbe {
    /// The machine that this process runs on.
    pub fn new() -> Self {
        Self::with("/", Arc::new(RunningKernel))
    }

    /// A machine whose `/etc`, `/proc` and `/sys` lie below `root`.
    pub fn with(root: impl Into<PathBuf>, kernel: Arc<dyn Kernel>) -> Self {
        Self { tree: Tree::new(root), kernel }
    }

    fn find(&self, attribute: Attribute) -> Finding {
        let (tree, kernel) = (&self.tree, self.kernel.as_ref());
        match attribute {
            Attribute::Bios => smbios::bios(tree),
            Attribute::Disk => disks::find(tree),
            Attribute::Hostname => kernel::hostname(kernel),
            Attribute::IpAddress => interfaces::ip_addresses(tree, kernel),
            Attribute::MacAddress => interfaces::mac_addresses(tree),
            Attribute::MachineId => machine_id::find(tree),
            Attribute::Memory => memory::find(tree, kernel),
            Attribute::Processor => processor::find(tree),
            Attribute::System => smbios::system(tree),
        }
    }
}

impl Default for SystemProbe {
    fn default() -> Self {
        Self::new()
    }
}

impl Probe for SystemProbe {
    fn observe(&self) -> Observation {
        Observation::from_fn(|attribute| match self.find(attribute) {
            Ok(Some(found)) => Reading::of(attribute, &found.canonical, found.shown),
            Ok(None) => Reading::Absent,
            Err(unreadable) => Reading::Unknown(unreadable.to_string()),
        })
    }
}

#[cfg(test)]
mod tests;
