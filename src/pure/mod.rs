//! Decides. Nothing in here reads a clock, draws a random number, touches a file, a socket or the
//! environment, logs, or awaits: time and chance are arguments (`now` last, jitter a fraction).
//! Whoever calls does what the answer says.

pub mod access;
pub mod advice;
pub mod allowance;
pub mod assumer;
pub mod assumption;
pub mod aws_endpoint;
pub mod chain;
pub mod deliveries;
pub mod diagnosis;
pub mod disabled;
pub mod drop_in;
pub mod duration;
pub mod failure;
pub mod fingerprint;
pub mod identity;
pub mod ini;
pub mod jitter;
pub mod key_rotation;
pub mod metadata;
pub mod mount_table;
mod publication;
pub mod refresher;
pub mod reload;
pub mod role_token;
pub mod secret;
pub mod service_time;
pub mod shell;
pub mod signing;
pub mod source;
mod timer;
pub mod unit;
pub mod unit_settings;
