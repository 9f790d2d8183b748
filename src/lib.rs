//! Rolekeeper keeps AWS credentials fresh on a server outside AWS.
//!
//! # The picture
//!
//! ```text
//! main, bin → cli → daemon, lab → adapters → leaves → pure
//! ```
//!
//! [`pure`] decides: values in, values out, no clock, no chance, no files. [`daemon`] does: it is
//! the only module that knows every adapter. Between them, adapters talk to the world and never to
//! one another: [`ssm`] talks to Systems Manager, [`sts`] to STS, [`sources`] to those who hand out
//! credentials on the spot, [`vault`] remembers, [`hardware`] observes the machine, [`surroundings`]
//! what is around it and [`programs`] those who use credentials, [`targets`] delivers to credentials files,
//! [`vending`] and [`endpoints`] hand them to programs that ask, [`systemctl`] tells services that
//! cannot, [`control`] answers the operator, [`config`] reads the settings. [`connection`], [`host`],
//! [`keys`] and [`shelf`] are leaves that everybody may use. [`lab`] stands in for the service; the
//! production program has nothing of it. `tests/layers.rs` keeps the arrows as they are.
//!
//! # A role token's journey
//!
//! 1. The driver wakes, because the refresher's next deadline is past by the service's clock, or
//!    because the wall clock was set. It looks at least once a minute, so suspend does no harm.
//! 2. [`Refresher::handle`] answers [`ProbeHardware`].
//! 3. [`hardware`] reads the machine, and [`compare`] judges it by the vault's record.
//! 4. Similar: [`RequestToken`]. [`ssm`] writes the body, [`pure::signing`] the text to sign,
//!    [`keys`] signs it (RSASSA-PSS), and the AWS SDK's runtime carries it.
//! 5. The answer becomes a [`RoleToken`], or an error that is reduced to a [`FailureClass`].
//! 6. A token leads to [`Publish`]: [`targets`] edits one profile per file and renames it into
//!    place. The next deadline is half of the token's life away, 30 minutes of an hour, less a
//!    jitter.
//! 7. [`shelf`] shows everybody who only reads what is known now, and systemd hears READY after the
//!    first outcome, good or bad.
//! 8. If the service wants a new key, [`pure::key_rotation`] decides and the vault remembers each
//!    step before the service is told of it.
//! 9. On failure the old token stays published until its end; the wait comes from the class's row,
//!    and `status` names both.
//!
//! That is a machine outside AWS. Where `[identity] source` names another source, nothing is compared
//! and nothing registered: step 2 is answered with [`Unjudged`], step 4 is [`sources`]', and the rest is
//! the same.
//!
//! # A role of one's own
//!
//! A target may have a role that is assumed from the registered one. A task for each of them sees on
//! the shelf that there is a token, [`Assumer::handle`] answers [`Assume`], [`sts`] walks the chain of
//! roles, and the token at its end goes into that target alone. It is renewed by its own half-life;
//! its failures are its own. When the registered role's token is gone, what is held stays until its
//! end; on another machine it is withdrawn at once.
//!
//! [`Assume`]: pure::assumer::Action::Assume
//! [`Assumer::handle`]: pure::assumer::Assumer::handle
//! [`compare`]: pure::fingerprint::compare
//! [`FailureClass`]: pure::failure::FailureClass
//! [`ProbeHardware`]: pure::refresher::Action::ProbeHardware
//! [`Publish`]: pure::refresher::Action::Publish
//! [`Refresher::handle`]: pure::refresher::Refresher::handle
//! [`RequestToken`]: pure::refresher::Action::RequestToken
//! [`RoleToken`]: pure::role_token::RoleToken
//! [`Unjudged`]: pure::refresher::Event::Unjudged

#![forbid(unsafe_code)]

pub mod cli;
pub mod config;
pub mod connection;
pub mod control;
pub mod daemon;
pub mod endpoints;
pub mod hardware;
pub mod host;
pub mod keys;
pub mod lab;
pub mod programs;
pub mod pure;
pub mod shelf;
pub mod sources;
pub mod ssm;
pub mod sts;
pub mod surroundings;
pub mod systemctl;
pub mod targets;
pub mod vault;
pub mod vending;
