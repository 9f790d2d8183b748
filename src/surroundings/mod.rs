//! Looks around for `doctor`: how far a call comes, which proxy is in the way, what stands on the way
//! to a file, what else runs here. It changes nothing, and each look takes a few seconds at most.

pub mod metadata;
pub mod process;
pub mod proxy;
pub mod service;
pub mod way;
