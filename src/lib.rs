#![forbid(unsafe_code)]
pub mod host;
pub mod keys;
pub mod pure;
pub mod targets;
