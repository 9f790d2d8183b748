#![forbid(unsafe_code)]
pub mod config;
pub mod control;
pub mod hardware;
pub mod host;
pub mod keys;
pub mod pure;
pub mod shelf;
pub mod ssm;
pub mod vault;
