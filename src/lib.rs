#![forbid(unsafe_code)]
pub mod hardware;
pub mod host;
pub mod keys;
pub mod pure;
