//! Rehearses: a stand-in for Systems Manager, STS and S3 that runs on this machine and can be made
//! to misbehave.
//!
//! [`service::Service`] decides, in plain code: a request, chance and the time go in, an answer
//! comes out. [`server::Lab`] has the socket, [`connection`] what comes through it. [`faults`] decide
//! what goes wrong, and when; [`conduct`] does it.
//!
//! ```text
//! cli → client ──HTTP──> connection → service ─┬─ signatures   who is calling?
//!                                              ├─ faults       what goes wrong?
//!                                              ├─ access       may they? roles, by their policies
//!                                              ├─ sts, s3      what is not Systems Manager
//!                                              ├─ ec2_instance what an instance, a container asks
//!                                              ├─ activations, nodes, hosts, tokens, settings,
//!                                              │  buckets: what it knows, most of it in a store
//!                                              ├─ clock        what time it is for all of them
//!                                              └─ ledger       what it was asked
//! ```
//!
//! Everything it knows is made up: the account is 000000000000, and no credential from here is
//! worth anything anywhere else. It lives in SQLite, in memory or in a file. Roles and buckets are
//! read at each start; faults and the ledger end with the process.

mod absence;
pub mod access;
pub mod activations;
pub mod answers;
pub mod authority;
pub mod buckets;
pub mod cli;
pub mod client;
pub mod clock;
pub mod conduct;
pub mod connection;
pub mod constraints;
pub mod control;
pub mod dashboard;
pub mod definitions;
pub mod ec2_instance;
pub mod explain;
pub mod faults;
pub mod form;
pub mod hops;
pub mod hosts;
pub mod instance_information;
pub mod invitation;
pub mod issue;
pub mod ledger;
pub mod message;
pub mod nodes;
pub mod operation;
pub mod paging;
pub mod policy;
pub mod rehearse;
pub mod roles;
pub mod s3;
pub mod scenario;
pub mod server;
pub mod service;
pub mod settings;
pub mod signatures;
pub mod signed_text;
pub mod store;
pub mod sts;
pub mod tags;
pub mod tls;
pub mod tokens;
mod unreadable;

pub use server::{Lab, LabSettings, StartError};

/// The account that everything in the lab belongs to; AWS gives it to nobody.
pub const ACCOUNT: &str = "000000000000";
