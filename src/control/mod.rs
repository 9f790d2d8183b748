//! Answers the operator over a unix socket: one line of JSON in, one line out.
//!
//! Whoever can connect may ask for the status, which holds no secret. Everything else is for root
//! and for the daemon's own user, judged by the peer's credentials, which the kernel vouches for.

mod client;
mod protocol;
mod server;

pub use crate::pure::advice::Complaint;
pub use client::{ControlError, ask};
pub use protocol::{Command, Reply};
pub use server::{Bound, bind};

use std::path::{Path, PathBuf};

use tokio::sync::oneshot;

use crate::pure::fingerprint::SimilarityThreshold;

/// What the operator wants of the driver; answered through `reply` when it is done.
#[derive(Debug)]
pub struct Order {
    pub wish: Wish,
    pub reply: oneshot::Sender<Result<String, Complaint>>,
}

/// The wishes that need the driver. Each is answered with a sentence or with a complaint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    AcceptFingerprint,
    Refresh,
    /// Reads the settings again; answered when they are in force, or are not to be.
    Reload,
    RotateKey,
    SetThreshold(SimilarityThreshold),
}

/// Where the socket of a runtime directory is.
pub fn socket_path(runtime_dir: &Path) -> PathBuf {
    runtime_dir.join("control.sock")
}
