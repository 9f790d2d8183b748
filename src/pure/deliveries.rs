//! What was written where, for the daemon that comes after this one: keys of a target that is none any
//! more, or has another role by then, are withdrawn, and nobody else's are.
//!
//! A key is written down before it goes into a file. So the file holds one of the keys that are known of
//! it, whatever a crash has interrupted: the one that was there before, or one that was on its way.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::assumption::{Assumption, SessionName};
use super::ini::ProfileName;
use super::secret::Secret;

/// All profiles that hold keys of ours, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deliveries {
    profiles: Vec<Delivered>,
}

/// A profile of a file, and what was put there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivered {
    /// The target's name.
    pub name: String,
    pub path: PathBuf,
    pub profile: String,
    /// Owner, group and mode that the file was given; `None` is the daemon's own.
    pub owner: Option<u32>,
    pub group: Option<u32>,
    pub mode: u32,
    /// Whose credentials they are.
    holder: Holder,
    /// One of these is in the file. The newest is the last.
    keys: Vec<KeyDigest>,
    /// Any of them has ever arrived.
    #[serde(default = "yes")]
    arrived: bool,
}

/// Of an access key id. The record says nothing that a log would not say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyDigest(String);

/// Whose credentials they are, by digests: other credentials have another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Who this machine is.
    identity: String,
    /// All that decides what the credentials may do: the roles on the way, session policies and tags.
    /// `None` for the registered role's.
    assumption: Option<String>,
}

/// Keys that are remembered of one profile. More are on their way only while the file cannot be
/// written, and then it holds the first of them.
const MOST_KEYS: usize = 8;

impl Deliveries {
    /// A key is about to be put into a profile; whether that is news.
    pub fn announce(&mut self, place: Delivered, key: &KeyDigest) -> bool {
        let Some(known) = self.find(&place.path, &place.profile) else {
            self.profiles.push(Delivered { keys: vec![key.clone()], ..place });
            return true;
        };
        let mut keys = known.keys.clone();
        if keys.last() != Some(key) {
            keys.push(key.clone());
        }
        if keys.len() > MOST_KEYS {
            keys.remove(1);
        }
        let news = Delivered { keys, arrived: known.arrived, ..place };
        let changed = *known != news;
        *known = news;
        changed
    }

    /// The newest key has arrived: the ones before are gone. Whether it is the first that has.
    pub fn confirm(&mut self, path: &Path, profile: &ProfileName) -> bool {
        let Some(known) = self.find(path, profile.as_str()) else { return false };
        known.keys.drain(..known.keys.len().saturating_sub(1));
        !std::mem::replace(&mut known.arrived, true)
    }

    /// Whether this key was put into the profile by us.
    pub fn is_ours(&self, path: &Path, profile: &str, access_key_id: &Secret<String>) -> bool {
        let mut known = self.profiles.iter().filter(|known| known.is_at(path, profile));
        known.any(|known| known.is_ours(access_key_id))
    }

    /// There is nothing of ours any more; whether that is news.
    pub fn forget(&mut self, path: &Path, profile: &str) -> bool {
        let before = self.profiles.len();
        self.profiles.retain(|known| !known.is_at(path, profile));
        self.profiles.len() != before
    }

    /// Those that are to be emptied: `holder` says whose credentials a profile is to have now.
    pub fn leftovers<'a>(
        &'a self,
        holder: impl Fn(&Path, &str) -> Option<&'a Holder>,
    ) -> Vec<&'a Delivered> {
        let is_left = |known: &&Delivered| {
            !holder(&known.path, &known.profile).is_some_and(|wanted| known.holder == *wanted)
        };
        self.profiles.iter().filter(is_left).collect()
    }

    fn find(&mut self, path: &Path, profile: &str) -> Option<&mut Delivered> {
        self.profiles.iter_mut().find(|known| known.is_at(path, profile))
    }
}

impl Delivered {
    /// A profile that is to get these credentials.
    pub fn to(
        name: &str,
        path: &Path,
        profile: &ProfileName,
        (owner, group, mode): (Option<u32>, Option<u32>, u32),
        holder: &Holder,
    ) -> Self {
        Self {
            name: name.to_owned(),
            path: path.to_owned(),
            profile: profile.to_string(),
            owner,
            group,
            mode,
            holder: holder.clone(),
            keys: Vec::new(),
            arrived: false,
        }
    }

    /// Whether a key of ours has ever been there, as far as it is known.
    pub fn has_arrived(&self) -> bool {
        self.arrived
    }

    /// Whether this key was put there by us.
    pub fn is_ours(&self, access_key_id: &Secret<String>) -> bool {
        self.keys.contains(&KeyDigest::of(access_key_id.expose()))
    }

    fn is_at(&self, path: &Path, profile: &str) -> bool {
        self.path == path && self.profile == profile
    }
}

impl KeyDigest {
    pub fn of(access_key_id: &str) -> Self {
        Self(hex::encode(Sha256::digest(access_key_id)))
    }
}

impl Holder {
    /// `identity` is who this machine is. Without an assumption the credentials are its own.
    pub fn of(identity: &str, assumption: Option<&Assumption>) -> Self {
        Self {
            identity: hex::encode(Sha256::digest(identity)),
            assumption: assumption.map(digest_of),
        }
    }
}

/// A record of an earlier release does not tell.
fn yes() -> bool {
    true
}

fn digest_of(assumption: &Assumption) -> String {
    let mut digest = Sha256::new();
    let mut say = |text: &str| {
        // With its length, so that no two lists of texts look alike.
        digest.update((text.len() as u64).to_be_bytes());
        digest.update(text);
    };
    for step in assumption.steps(&SessionName::default()) {
        say(step.role.as_str());
        say(step.session_name.as_str());
        say(step.external_id.map_or("", |id| id.as_str()));
        say(step.source_identity.map_or("", |identity| identity.as_str()));
        for (key, value) in step.tags {
            say(key);
            say(value);
            say(if step.transitive.contains(&key) { "transitive" } else { "" });
        }
        say(step.policy.map_or("", |policy| policy.as_str()));
        step.policy_arns.iter().for_each(|arn| say(arn.as_str()));
        say("");
    }
    hex::encode(digest.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "/run/rolekeeper/credentials";

    fn holder() -> Holder {
        Holder::of("mi-00000000000000001", None)
    }

    fn place() -> Delivered {
        let (path, profile) = (Path::new(PATH), ProfileName::default());
        Delivered::to("default", path, &profile, (None, None, 0o640), &holder())
    }

    fn knows(deliveries: &Deliveries, key: &str) -> bool {
        let left = deliveries.leftovers(|_, _| None);
        left.iter().any(|known| known.is_ours(&Secret::new(key.to_owned())))
    }

    #[test]
    fn the_key_before_is_known_until_the_next_one_has_arrived() {
        let mut deliveries = Deliveries::default();
        assert!(deliveries.announce(place(), &KeyDigest::of("ASIA1")));
        assert!(!deliveries.announce(place(), &KeyDigest::of("ASIA1")), "nothing new");
        assert!(deliveries.confirm(Path::new(PATH), &ProfileName::default()));
        assert!(!deliveries.confirm(Path::new(PATH), &ProfileName::default()), "the second");
        for key in 2..100 {
            assert!(deliveries.announce(place(), &KeyDigest::of(&format!("ASIA{key}"))));
        }
        assert!(knows(&deliveries, "ASIA1"), "the file could not be written since");
        assert!(knows(&deliveries, "ASIA99"));
        deliveries.confirm(Path::new(PATH), &ProfileName::default());
        assert!(!knows(&deliveries, "ASIA1") && knows(&deliveries, "ASIA99"));
        assert!(deliveries.forget(Path::new(PATH), "default"));
        assert!(!deliveries.forget(Path::new(PATH), "default"));
        assert_eq!(deliveries, Deliveries::default());
    }

    #[test]
    fn what_is_wanted_by_another_name_or_for_somebody_else_is_left_over() {
        let mut deliveries = Deliveries::default();
        deliveries.announce(place(), &KeyDigest::of("ASIA1"));
        let anew = Holder::of("mi-00000000000000002", None);
        let assumption = Assumption::of("arn:aws:iam::111122223333:role/backup".parse().unwrap());
        let (own, other) = (holder(), Holder::of("mi-00000000000000001", Some(&assumption)));
        assert_eq!(deliveries.leftovers(|_, _| Some(&own)), Vec::<&Delivered>::new());
        assert_eq!(deliveries.leftovers(|_, _| Some(&anew)).len(), 1);
        assert_eq!(deliveries.leftovers(|_, _| Some(&other)).len(), 1);
        let elsewhere = |path: &Path, _: &str| (path != Path::new(PATH)).then_some(&own);
        assert_eq!(deliveries.leftovers(elsewhere).len(), 1);
    }

    #[test]
    fn a_holder_is_told_by_all_that_decides_what_it_may_do() {
        let arn = |name: &str| format!("arn:aws:iam::111122223333:role/{name}").parse().unwrap();
        let plain = Assumption::of(arn("backup"));
        let policy = r#"{"Statement": []}"#.parse().ok();
        let arns = vec!["arn:aws:iam::aws:policy/ReadOnlyAccess".parse().unwrap()];
        let variants = [
            None,
            Some(plain.clone()),
            Some(Assumption::of(arn("other"))),
            Some(Assumption { policy, ..plain.clone() }),
            Some(Assumption { policy_arns: arns, ..plain.clone() }),
            Some(Assumption { session_name: "x1".parse().ok(), ..plain.clone() }),
            Some(Assumption { external_id: "x1".parse().ok(), ..plain.clone() }),
            Some(Assumption { source_identity: "x1".parse().ok(), ..plain }),
        ];
        let holders = variants.iter().flat_map(|assumption| {
            ["mi-1", "mi-2"].map(|identity| Holder::of(identity, assumption.as_ref()))
        });
        let holders = holders.collect::<Vec<_>>();
        for (at, holder) in holders.iter().enumerate() {
            assert_eq!(holders.iter().filter(|other| *other == holder).count(), 1, "{at}");
        }
    }
}
