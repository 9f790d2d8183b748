//! The seams to the operating system: clock, entropy, files, users, signals, terminal, log, service
//! manager.
//!
//! Everything that cannot be repeated comes in through here, so that the rest can be tested.

pub mod accounts;
pub mod attributes;
pub mod clock;
pub mod directory;
pub mod entropy;
pub mod environment;
pub mod file_watch;
pub mod log;
pub mod peer;
pub mod places;
pub mod process;
pub mod process_files;
pub mod progress;
pub mod replace;
pub mod service_manager;
pub mod signals;
pub mod socket;
pub mod tcp_peer;
pub mod terminal;
