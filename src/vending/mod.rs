//! Hands credentials to the programs of this machine, over unix sockets: one line of JSON in, one
//! line out. What is handed out lies on the shelf; nobody waits for AWS.
//!
//! There are two doors with the same clerk behind them. Through `credentials.sock` (0660) comes who
//! is in the service's group, by the kernel's word; `consumers.sock` (0666) is for everybody else.
//! The service cannot see other users' processes, and so not in which groups they are, unless its
//! sandbox is opened for it; the first door makes up for that where it matters most.

mod audit;
mod client;
mod dry_run;
mod judgement;
mod protocol;
mod server;

pub use audit::Audit;
pub use client::{VendingError, ask, network_namespace, try_out};
pub use dry_run::{DryRun, Subject, TokenHolder, TokenHolders, Via, WouldGet};
pub use judgement::Judge;
pub use protocol::{Answer, Request, Vended};
pub use server::{Bound, Stock, bind};

use std::path::{Path, PathBuf};

/// Where the sockets of a runtime directory are: the group's, then everybody's.
pub fn socket_paths(runtime_dir: &Path) -> [PathBuf; 2] {
    ["credentials.sock", "consumers.sock"].map(|name| runtime_dir.join(name))
}
