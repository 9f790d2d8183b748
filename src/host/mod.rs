//! The seams to the operating system: clock, entropy, files, users, signals, service manager.
//!
//! Everything that cannot be repeated comes in through here, so that the rest can be tested.

pub mod clock;
pub mod entropy;
pub mod environment;
pub mod replace;
