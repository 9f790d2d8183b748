#![forbid(unsafe_code)]
pub mod cli;
pub mod config;
pub mod control;
pub mod daemon;
pub mod hardware;
pub mod host;
pub mod keys;
pub mod lab;
pub mod pure;
pub mod shelf;
pub mod ssm;
pub mod targets;
pub mod vault;
