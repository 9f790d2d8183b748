//! EC2 instances that Systems Manager knows without an activation: their keys, and how they prove
//! them.

use serde::{Deserialize, Serialize};
use time::UtcDateTime;

use super::answers::Refusal;
use super::message::Request;
use super::nodes::{Information, Ping, encoded};
use super::store::{Record, Store, StoreError, Table, moment};
use crate::keys::PublicKey;

/// Where an instance proves the key that it registered: `Signature=`, and that key's RSASSA-PSS
/// signature of the request's whole `Authorization` value in base64.
pub const HEADER: &str = "ssm-asymmetrickeyauthorization";

/// An instance that registered a key, or said that it is there.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Host {
    /// `i-…`
    pub id: String,
    pub key: Option<Key>,
    #[serde(with = "moment")]
    pub known_since: UtcDateTime,
    pub last_ping: Option<Ping>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Key(#[serde(with = "encoded")] PublicKey);

/// All of them, by id.
#[derive(Debug)]
pub struct Hosts(Table<Host>);

impl Hosts {
    pub fn new(store: &Store) -> Self {
        Self(store.table())
    }

    pub fn get(&self, id: &str) -> Result<Option<Host>, StoreError> {
        self.0.get(id)
    }

    /// The key that the instance registered.
    pub fn key(&self, id: &str) -> Result<Option<PublicKey>, StoreError> {
        Ok(self.get(id)?.and_then(|host| host.key).map(|Key(key)| key))
    }

    /// `RegisterManagedInstance`: an instance has one key for good.
    pub fn register(&self, id: &str, key: &PublicKey, now: UtcDateTime) -> Result<(), Refusal> {
        let mut host = self.known(id, now)?;
        if host.key.is_some() {
            return Err(Refusal::new(
                "InstanceAlreadyRegistered",
                "The instance is registered already, with this key or another",
            ));
        }
        host.key = Some(Key(key.clone()));
        Ok(self.0.put(&host)?)
    }

    /// `UpdateInstanceInformation`. With an instance profile of its own, no key is needed for it.
    pub fn ping(&self, id: &str, said: Information, now: UtcDateTime) -> Result<(), StoreError> {
        let mut host = self.known(id, now)?;
        host.last_ping = Some(Ping { at: now, said });
        self.0.put(&host)
    }

    fn known(&self, id: &str, now: UtcDateTime) -> Result<Host, StoreError> {
        let new = || Host { id: id.to_owned(), key: None, known_since: now, last_ping: None };
        Ok(self.get(id)?.unwrap_or_else(new))
    }
}

impl Record for Host {
    const KIND: &'static str = "host";

    fn id(&self) -> &str {
        &self.id
    }

    fn at(&self) -> UtcDateTime {
        self.known_since
    }
}

/// Which of the request's headers proves `key` for this `Authorization` value.
pub fn proving(request: &Request, authorization: &str, key: &PublicKey) -> Option<usize> {
    request.headers.iter().position(|(name, value)| {
        let signature =
            value.strip_prefix("Signature=").filter(|_| name.eq_ignore_ascii_case(HEADER));
        signature.is_some_and(|signature| key.verify(authorization, signature))
    })
}
