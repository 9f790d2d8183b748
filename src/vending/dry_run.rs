//! What a program would get of an outlet, did it ask: for `rolekeeper advise`. No secret crosses, and
//! nothing is logged as if it had been asked for.
//!
//! Root, the service's user and its group may ask about anybody, everybody else about themselves alone.
//! The answer is the one that the outlet would give: what the daemon cannot see of a process when that
//! asks, its unit say, it does not take from whoever asks on its behalf.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::host::peer::{self, Caller};
use crate::pure::access::peer::{NO_GROUP, Peer};
use crate::pure::access::{Access, Allowed, Denial, Denied, Grant, Grounds};
use crate::pure::advice::{Complaint, Exit};
use crate::pure::assumption::RoleArn;
use crate::pure::metadata::container::BearerToken;
use crate::shelf::Moment;

use super::server::Clerk;

/// Groups of a process that are sent; the kernel allows 65536, and nobody has so many.
const MOST_GROUPS: usize = 1000;

/// Below it stands a consumer's name.
const CONTAINER_PATH: &str = "/credentials/";

/// A program and the outlet that it would ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DryRun {
    pub via: Via,
    pub program: Subject,
}

/// How the program would come by its credentials.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Via {
    /// By the container endpoint.
    Container {
        path: String,
        /// The SHA-256 digest of the token that it would show, in hexadecimal digits.
        token_sha256: Option<String>,
    },
    /// By a target's file, which it may read.
    File { target: String },
    /// By the metadata endpoint.
    Metadata,
    /// By `rolekeeper credential-process`.
    Process { target: Option<String> },
}

/// Who would ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    pub uid: u32,
    /// All of its groups, the first one first.
    pub groups: Vec<u32>,
    /// None of one that does not run.
    pub pid: Option<i32>,
    pub unit: Option<String>,
    /// What would come to the socket.
    pub executable: Option<PathBuf>,
}

/// What the program would get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WouldGet {
    /// A target's or a consumer's.
    pub name: String,
    pub role_arn: Option<String>,
    pub expires_at: Moment,
    /// Whether its token of the container endpoint has been replaced, and is honoured for a while.
    pub token_replaced: bool,
}

/// Whose a token of the container endpoint is.
pub trait TokenHolders: fmt::Debug + Send + Sync {
    fn holder(&self, token: &BearerToken) -> Option<TokenHolder>;
}

/// A consumer, known by its token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenHolder {
    pub consumer: String,
    /// Whether it is the token that is in the file now.
    pub current: bool,
}

impl Subject {
    /// No more of it than is sent.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        self.groups.truncate(MOST_GROUPS);
        self
    }
}

impl Clerk {
    /// What the outlet would answer.
    pub(super) async fn dry_run(
        &self,
        DryRun { via, program }: DryRun,
        caller: Caller,
    ) -> Result<WouldGet, Complaint> {
        let access = self.access();
        let privileged = caller.peer.uid == 0
            || caller.peer.uid == access.owner
            || caller.peer.is_member(self.group.as_raw());
        if !privileged && program.uid != caller.peer.uid {
            return Err(Complaint::new(
                Exit::Refused,
                "what another user would get is for root and the service's group to ask",
                "run the command with sudo",
            ));
        }
        let (allowed, token_replaced) = match &via {
            Via::Container { path, token_sha256 } => {
                self.listens("container")?;
                // Its token is gone with it; the name is for those to hear who may hear all.
                let named = path.strip_prefix(CONTAINER_PATH).filter(|_| privileged);
                if let Some(name) = named.filter(|name| is_disabled(&access.consumers, name)) {
                    return Err(disabled(name));
                }
                self.by_token(&access, path, token_sha256.as_deref())?
            }
            Via::Metadata => {
                self.listens("imds")?;
                // That endpoint knows of its clients which user they are, and no more.
                (self.judge(&access, None, Peer::of_user(program.uid)).await?, false)
            }
            Via::Process { target } => {
                let peer = self.peer(program, caller, privileged);
                (self.judge(&access, target.as_deref(), peer).await?, false)
            }
            // Who can read the file has it.
            Via::File { target } if privileged => (by_file(&access, target)?, false),
            Via::File { target } => {
                let peer = self.peer(program, caller, privileged);
                (self.judge(&access, Some(target), peer).await?, false)
            }
        };
        let token = self.in_stock(allowed)?;
        Ok(WouldGet {
            name: allowed.name.to_owned(),
            role_arn: token.role.as_ref().map(RoleArn::as_str).map(str::to_owned),
            expires_at: Moment(token.expires_at),
            token_replaced,
        })
    }

    async fn judge<'a>(
        &self,
        access: &'a Access,
        wanted: Option<&str>,
        mut peer: Peer,
    ) -> Result<Allowed<'a>, Complaint> {
        let judged = self.stock.judge.judge(access, wanted, &mut peer).await;
        judged.map_err(|denied| Complaint::of(&denied))
    }

    /// Whom the daemon would see at the socket.
    fn peer(&self, program: Subject, caller: Caller, privileged: bool) -> Peer {
        let group = self.group.as_raw();
        let told = if privileged { program.groups } else { caller.peer.groups.clone() };
        let gid = if privileged { told.first().copied() } else { Some(caller.peer.gid) };
        let nothing_seen = Peer { gid: gid.unwrap_or(NO_GROUP), ..Peer::of_user(program.uid) };
        let process = Caller { peer: nothing_seen, pid: program.pid };
        let mut seen = match program.pid {
            Some(_) => peer::seen(process),
            // What will be seen of it is as much as is seen of who asks.
            None if caller.peer.groups_known && privileged => {
                let (groups, groups_known) = (told.clone(), true);
                let (unit, executable) = (program.unit, caller.peer.executable);
                let peer = Peer { groups, groups_known, unit, executable, ..process.peer };
                Caller { peer, ..process }
            }
            None => process,
        };
        // The group's own socket makes up for what is not seen.
        seen.peer.groups.extend(told.into_iter().filter(|told| *told == group));
        // It is not the program itself that comes to the socket.
        seen.peer.executable = seen.peer.executable.and(program.executable);
        seen.peer
    }

    fn by_token<'a>(
        &self,
        access: &'a Access,
        path: &str,
        token: Option<&str>,
    ) -> Result<(Allowed<'a>, bool), Complaint> {
        let refuse = |message: String, remedy: &str| Complaint::new(Exit::Refused, message, remedy);
        let name_the_file =
            "name the consumer's token_file in AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";
        let Some(token) = token else {
            return Err(refuse("the container endpoint wants a token".to_owned(), name_the_file));
        };
        let holder =
            BearerToken::of_digest(token).and_then(|token| self.stock.tokens.holder(&token));
        let Some(holder) = holder else {
            let why =
                "the token is none that the container endpoint knows: an old one, or another's";
            return Err(refuse(why.to_owned(), name_the_file));
        };
        let TokenHolder { consumer, current } = holder;
        let named = path.strip_prefix(CONTAINER_PATH).unwrap_or(path);
        if named != consumer {
            let why = format!("the token is consumer '{consumer}''s, and the path is {path:?}");
            let remedy = format!("let the URI end in {CONTAINER_PATH}{consumer}");
            return Err(refuse(why, &remedy));
        }
        if is_disabled(&access.consumers, named) {
            return Err(disabled(named));
        }
        let allowed = access.bearer(named);
        let gone = || refuse(format!("there is no consumer '{named}' any more"), name_the_file);
        allowed.map(|allowed| (allowed, !current)).ok_or_else(gone)
    }

    /// Whether the endpoint can be reached at all.
    fn listens(&self, kind: &str) -> Result<(), Complaint> {
        let snapshot = self.stock.shelf.look();
        let endpoint = snapshot.status.endpoints.iter().find(|endpoint| endpoint.kind == kind);
        let remedy = "systemctl reload rolekeeper, where the settings are new";
        match endpoint {
            None => {
                let why = format!("the daemon has no {kind} endpoint");
                Err(Complaint::new(Exit::Unavailable, why, remedy))
            }
            Some(endpoint) => match &endpoint.error {
                None => Ok(()),
                Some(error) => {
                    let why = format!("the {kind} endpoint does not listen: {error}");
                    let remedy = endpoint.remedy.as_deref().unwrap_or(remedy);
                    Err(Complaint::new(Exit::Unavailable, why, remedy))
                }
            },
        }
    }
}

fn by_file<'a>(access: &'a Access, target: &str) -> Result<Allowed<'a>, Complaint> {
    let grant = access.targets.iter().find(|grant| grant.name == target);
    let grant = grant.ok_or_else(|| {
        Complaint::new(
            Exit::Unavailable,
            format!("the daemon has no target '{target}'"),
            "systemctl reload rolekeeper, where the settings are new",
        )
    })?;
    // What is in its file stays until it ends, and is not renewed.
    if grant.disabled {
        return Err(disabled(target));
    }
    let target = grant.target.as_deref();
    Ok(Allowed { name: &grant.name, target, because: Grounds::Owner })
}

fn is_disabled(grants: &[Grant], name: &str) -> bool {
    grants.iter().any(|grant| grant.name == name && grant.disabled)
}

fn disabled(name: &str) -> Complaint {
    let because = Denial::Disabled(name.to_owned());
    Complaint::of(&Denied { because, instead: Vec::new() })
}
