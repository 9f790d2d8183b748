//! What errors and findings tell people to do: every remedy of the sources stands in docs/remedies.md, and
//! those that can be carried out here are, to the letter. Then the trouble is gone, and nobody may do more
//! than before.

mod between;
mod disabled;
mod grammar;
mod identity;
mod list;
mod network;
mod rights;
mod service;
mod sources;
mod unit;
mod world;

#[allow(dead_code, reason = "each file of tests plays with a part of it")]
#[path = "../stage/mod.rs"]
mod stage;
