#![forbid(unsafe_code)]
pub mod host;
pub mod keys;
pub mod lab;
pub mod pure;
