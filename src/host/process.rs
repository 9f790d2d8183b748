//! This process's own protection.

use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};

/// Keeps the memory, which holds keys, out of core dumps and away from `ptrace` by the same user.
pub fn protect_memory() {
    let limited = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    let hidden = prctl::set_dumpable(false);
    if limited.is_err() || hidden.is_err() {
        tracing::warn!("core dumps could not be switched off");
    }
}
