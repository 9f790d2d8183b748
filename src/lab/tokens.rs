//! Role credentials that were handed out, to whom, and until when.

use std::ops::ControlFlow;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::UtcDateTime;

use super::answers::epoch;
use super::issue;
use super::nodes::Node;
use super::policy::Policy;
use super::store::{Record, Store, StoreError, Table, moment, secret, text};
use crate::host::entropy::Entropy;
use crate::pure::identity::InstanceId;
use crate::pure::secret::Secret;

/// How long dead credentials are remembered, so that their user hears "expired" and not "unknown".
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);

/// Credentials that are remembered at all; past it the one that ends first is forgotten.
const CAPACITY: usize = 500_000;

/// After every access key id: what ends right now is dead.
const LAST_ID: &str = "~";

/// How many dead credentials are forgotten when new ones are made: more than one, so that they
/// become fewer, and few enough for nobody to notice.
const SWEPT: u32 = 4;

/// The administrator's credentials, made with the lab's state. They do not expire.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AdminCredentials {
    pub access_key_id: String,
    #[serde(with = "secret")]
    pub secret_access_key: Secret<String>,
}

/// A role's credentials for one session.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct IssuedToken {
    pub access_key_id: String,
    #[serde(with = "secret")]
    pub secret_access_key: Secret<String>,
    #[serde(with = "secret")]
    pub session_token: Secret<String>,
    pub holder: Holder,
    #[serde(with = "moment")]
    pub expires_at: UtcDateTime,
}

/// Who was given credentials of a role. A role's name is without its path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Holder {
    Node {
        #[serde(with = "text")]
        node: InstanceId,
        role_name: String,
    },
    Session(Session),
}

/// A tag of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionTag {
    pub key: String,
    pub value: String,
}

/// What `AssumeRole` makes: a role, taken on under a name and perhaps with less rights.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    pub role_name: String,
    pub name: String,
    /// Allows nothing that the role's own policy does not allow.
    pub policy: Option<Policy>,
    pub tags: Vec<SessionTag>,
    /// Keys of the tags that sessions which come of this one inherit.
    #[serde(default)]
    pub transitive: Vec<String>,
    pub source_identity: Option<String>,
}

/// All of them, by access key id, in the order in which they end.
#[derive(Debug)]
pub struct Tokens(Table<IssuedToken>);

impl AdminCredentials {
    pub fn new(entropy: &dyn Entropy) -> Self {
        Self {
            access_key_id: issue::access_key_id("AKIA", entropy),
            secret_access_key: issue::secret_access_key(entropy),
        }
    }
}

impl IssuedToken {
    /// `RequestManagedInstanceRoleToken`'s answer, all five members.
    pub fn answer(&self, update_key_pair: bool) -> Value {
        json!({
            "AccessKeyId": self.access_key_id,
            "SecretAccessKey": self.secret_access_key.expose(),
            "SessionToken": self.session_token.expose(),
            "TokenExpirationDate": epoch(self.expires_at),
            "UpdateKeyPair": update_key_pair,
        })
    }

    /// The node that they were given to, if it was one.
    pub fn node(&self) -> Option<&InstanceId> {
        match &self.holder {
            Holder::Node { node, .. } => Some(node),
            Holder::Session(_) => None,
        }
    }
}

impl Session {
    /// With the role's rights and no more to say.
    pub fn plain(role_name: &str, name: &str) -> Self {
        Self {
            role_name: role_name.to_owned(),
            name: name.to_owned(),
            policy: None,
            tags: Vec::new(),
            transitive: Vec::new(),
            source_identity: None,
        }
    }
}

impl Tokens {
    pub fn new(store: &Store) -> Self {
        Self(store.table())
    }

    pub fn get(&self, access_key_id: &str) -> Result<Option<IssuedToken>, StoreError> {
        self.0.get(access_key_id)
    }

    /// How many are remembered, alive or not.
    pub fn count(&self) -> Result<usize, StoreError> {
        self.0.count()
    }

    pub fn count_alive(&self, now: UtcDateTime) -> Result<usize, StoreError> {
        self.0.count_after(now)
    }

    /// Those that are alive, the last to end first; at most so many.
    pub fn alive_longest(
        &self,
        most: u32,
        now: UtcDateTime,
    ) -> Result<Vec<IssuedToken>, StoreError> {
        let mut alive = self.0.last(most)?;
        alive.retain(|token| token.expires_at > now);
        Ok(alive)
    }

    /// Those that are alive, the first to end first; at most so many.
    pub fn alive(&self, most: usize, now: UtcDateTime) -> Result<Vec<IssuedToken>, StoreError> {
        let mut alive = Vec::new();
        self.0.walk(Some((now, LAST_ID)), |token| {
            if alive.len() == most {
                return ControlFlow::Break(());
            }
            alive.push(token);
            ControlFlow::Continue(())
        })?;
        Ok(alive)
    }

    /// New credentials for the node, as they are told.
    pub fn issue(
        &mut self,
        node: &Node,
        lifetime: Duration,
        entropy: &dyn Entropy,
        now: UtcDateTime,
    ) -> Result<Value, StoreError> {
        let holder = Holder::Node { node: node.id.clone(), role_name: node.role_name().to_owned() };
        let token = self.issue_to(holder, lifetime, entropy, now)?;
        Ok(token.answer(node.asked_for_new_key))
    }

    /// New credentials for a session: `AssumeRole`'s.
    pub fn issue_session(
        &mut self,
        session: Session,
        lifetime: Duration,
        entropy: &dyn Entropy,
        now: UtcDateTime,
    ) -> Result<IssuedToken, StoreError> {
        self.issue_to(Holder::Session(session), lifetime, entropy, now)
    }

    fn issue_to(
        &mut self,
        holder: Holder,
        lifetime: Duration,
        entropy: &dyn Entropy,
        now: UtcDateTime,
    ) -> Result<IssuedToken, StoreError> {
        self.forget(now)?;
        let token = IssuedToken {
            access_key_id: issue::access_key_id("ASIA", entropy),
            secret_access_key: issue::secret_access_key(entropy),
            session_token: issue::session_token(entropy),
            holder,
            expires_at: now.saturating_add(lifetime.try_into().unwrap_or(time::Duration::MAX)),
        };
        self.0.put(&token)?;
        Ok(token)
    }

    fn forget(&mut self, now: UtcDateTime) -> Result<(), StoreError> {
        self.0.remove_first(now - REMEMBERED, SWEPT)?;
        if self.0.count()? >= CAPACITY {
            self.0.remove_first(UtcDateTime::MAX, 1)?;
        }
        Ok(())
    }
}

impl Record for IssuedToken {
    const KIND: &'static str = "token";

    fn id(&self) -> &str {
        &self.access_key_id
    }

    fn at(&self) -> UtcDateTime {
        self.expires_at
    }
}
