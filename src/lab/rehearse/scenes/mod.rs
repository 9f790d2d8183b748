//! What is done in each step, and what was seen.

pub mod activation;
pub mod address;
pub mod clone;
pub mod credentials;
pub mod outage;
pub mod rotation;
