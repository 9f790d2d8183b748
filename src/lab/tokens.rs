//! Role credentials that were handed out, to whom, and until when.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use time::UtcDateTime;

use super::answers::epoch;
use super::issue;
use super::nodes::Node;
use super::policy::Policy;
use crate::host::entropy::Entropy;
use crate::pure::identity::InstanceId;
use crate::pure::secret::Secret;

/// How long dead credentials are remembered, so that their user hears "expired" and not "unknown".
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);

/// Credentials that are remembered at all; past it the one that ends first is forgotten.
const CAPACITY: usize = 10_000;

/// The administrator's credentials, made when the lab starts. They do not expire.
#[derive(Debug, Clone)]
pub struct AdminCredentials {
    pub access_key_id: String,
    pub secret_access_key: Secret<String>,
}

/// A role's credentials for one session.
#[derive(Debug, Clone)]
pub struct IssuedToken {
    pub access_key_id: String,
    pub secret_access_key: Secret<String>,
    pub session_token: Secret<String>,
    pub holder: Holder,
    pub expires_at: UtcDateTime,
}

/// Who was given credentials of a role. A role's name is without its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    Node { node: InstanceId, role_name: String },
    Session(Session),
}

/// A tag of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionTag {
    pub key: String,
    pub value: String,
}

/// What `AssumeRole` makes: a role, taken on under a name and perhaps with less rights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    pub role_name: String,
    pub name: String,
    /// Allows nothing that the role's own policy does not allow.
    pub policy: Option<Policy>,
    pub tags: Vec<SessionTag>,
    pub source_identity: Option<String>,
}

/// All of them, by access key id.
#[derive(Debug, Default)]
pub struct Tokens(BTreeMap<String, IssuedToken>);

impl AdminCredentials {
    pub fn new(entropy: &dyn Entropy) -> Self {
        Self {
            access_key_id: issue::access_key_id("AKIA", entropy),
            secret_access_key: issue::secret_access_key(entropy),
        }
    }
}

impl IssuedToken {
    /// The node that they were given to, if it was one.
    pub fn node(&self) -> Option<&InstanceId> {
        match &self.holder {
            Holder::Node { node, .. } => Some(node),
            Holder::Session(_) => None,
        }
    }
}

impl Tokens {
    pub fn get(&self, access_key_id: &str) -> Option<&IssuedToken> {
        self.0.get(access_key_id)
    }

    pub fn iter(&self) -> impl Iterator<Item = &IssuedToken> {
        self.0.values()
    }

    /// New credentials for the node: `RequestManagedInstanceRoleToken`'s answer, all five members.
    pub fn issue(
        &mut self,
        node: &Node,
        lifetime: Duration,
        entropy: &dyn Entropy,
        now: UtcDateTime,
    ) -> Value {
        let holder = Holder::Node { node: node.id.clone(), role_name: node.role_name().to_owned() };
        let token = self.issue_to(holder, lifetime, entropy, now);
        json!({
            "AccessKeyId": token.access_key_id,
            "SecretAccessKey": token.secret_access_key.expose(),
            "SessionToken": token.session_token.expose(),
            "TokenExpirationDate": epoch(token.expires_at),
            "UpdateKeyPair": node.asked_for_new_key,
        })
    }

    /// New credentials for a session: `AssumeRole`'s.
    pub fn issue_session(
        &mut self,
        session: Session,
        lifetime: Duration,
        entropy: &dyn Entropy,
        now: UtcDateTime,
    ) -> IssuedToken {
        self.issue_to(Holder::Session(session), lifetime, entropy, now)
    }

    fn issue_to(
        &mut self,
        holder: Holder,
        lifetime: Duration,
        entropy: &dyn Entropy,
        now: UtcDateTime,
    ) -> IssuedToken {
        self.forget(now);
        let token = IssuedToken {
            access_key_id: issue::access_key_id("ASIA", entropy),
            secret_access_key: issue::secret_access_key(entropy),
            session_token: issue::session_token(entropy),
            holder,
            expires_at: now.saturating_add(lifetime.try_into().unwrap_or(time::Duration::MAX)),
        };
        self.0.insert(token.access_key_id.clone(), token.clone());
        token
    }

    fn forget(&mut self, now: UtcDateTime) {
        self.0.retain(|_, token| now - token.expires_at < REMEMBERED);
        if self.0.len() >= CAPACITY
            && let Some(first) = self
                .0
                .values()
                .min_by_key(|token| token.expires_at)
                .map(|t| t.access_key_id.clone())
        {
            self.0.remove(&first);
        }
    }
}
