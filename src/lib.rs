#![forbid(unsafe_code)]
pub mod config;
pub mod host;
pub mod keys;
pub mod pure;
pub mod ssm;
