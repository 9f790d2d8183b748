//! Buckets to look into: names and sizes of objects, without the objects.

use std::collections::BTreeMap;

use serde::Deserialize;
use time::{UtcDateTime, macros::utc_datetime};

/// When everything here was made, as S3 shows it: nothing here is ever written.
pub const MADE_AT: UtcDateTime = utc_datetime!(2026-01-01 00:00);

/// The bucket that is there without any definition.
pub const DEFAULT_BUCKET: &str = "rolekeeper-lab";

/// The longest key of an object (S3 user guide, "naming objects").
const LONGEST_KEY: usize = 1024;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    pub name: String,
    /// Sizes in bytes, by key.
    pub objects: BTreeMap<String, u64>,
}

/// All of them, by name.
#[derive(Debug, Clone)]
pub struct Buckets(BTreeMap<String, Bucket>);

/// A bucket as a file or a rehearsal describes it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BucketDefinition {
    pub name: String,
    #[serde(default)]
    pub objects: BTreeMap<String, u64>,
}

/// A definition that makes no bucket.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MalformedBucket {
    #[error("a bucket's name must be 3 to 63 of a-z 0-9 . -, and '{0}' is not")]
    Name(String),
    #[error("bucket {0}: an object's key must have 1 to {LONGEST_KEY} bytes, none of them control")]
    Key(String),
}

/// A part of a bucket's keys, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    pub objects: Vec<(String, u64)>,
    pub common_prefixes: Vec<String>,
    /// The last key or common prefix that is given, if there are more.
    pub more_after: Option<String>,
}

/// What part of the keys is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    pub prefix: &'a str,
    /// Keys with it behind the prefix are given as one; empty for none.
    pub delimiter: &'a str,
    /// Only what sorts behind it; empty for all.
    pub after: &'a str,
    pub most: usize,
}

impl Buckets {
    pub fn get(&self, name: &str) -> Option<&Bucket> {
        self.0.get(name)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Bucket> {
        self.0.values()
    }

    /// Adds a bucket, or replaces the one of that name.
    pub fn insert(&mut self, bucket: Bucket) {
        self.0.insert(bucket.name.clone(), bucket);
    }
}

impl Default for Buckets {
    fn default() -> Self {
        let objects = [("hello.txt", 13), ("logs/first.log", 4096), ("logs/second.log", 512)];
        let bucket = Bucket {
            name: DEFAULT_BUCKET.to_owned(),
            objects: objects.map(|(key, size)| (key.to_owned(), size)).into(),
        };
        Self([(bucket.name.clone(), bucket)].into())
    }
}

impl Bucket {
    /// `arn:aws:s3:::name`
    pub fn arn(name: &str) -> String {
        format!("arn:aws:s3:::{name}")
    }

    /// The first of the keys that are wanted.
    pub fn list(&self, wanted: Wanted<'_>) -> Listing {
        let mut listing = Listing::default();
        let mut last = String::new();
        for (key, size) in &self.objects {
            let Some(rest) = key.strip_prefix(wanted.prefix) else { continue };
            let common = Some(wanted.delimiter)
                .filter(|delimiter| !delimiter.is_empty())
                .and_then(|delimiter| Some(rest.find(delimiter)? + delimiter.len()))
                .map(|end| &key[..wanted.prefix.len() + end]);
            let name = common.unwrap_or(key);
            let given = !last.is_empty() && name == last;
            if given || name <= wanted.after {
                continue;
            }
            if listing.objects.len() + listing.common_prefixes.len() == wanted.most {
                listing.more_after = Some(last).filter(|last| !last.is_empty());
                break;
            }
            match common {
                Some(prefix) => listing.common_prefixes.push(prefix.to_owned()),
                None => listing.objects.push((key.clone(), *size)),
            }
            last = name.to_owned();
        }
        listing
    }
}

impl BucketDefinition {
    /// The bucket that is described.
    pub fn bucket(self) -> Result<Bucket, MalformedBucket> {
        let name = self.name;
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let inner = name.bytes().all(|byte| plain(byte) || b".-".contains(&byte));
        let ends = [name.bytes().next(), name.bytes().next_back()];
        let ends = ends.into_iter().all(|end| end.is_some_and(plain));
        if !((3..=63).contains(&name.len()) && inner && ends) {
            let shown = name.chars().take(63).map(|c| if c.is_control() { ' ' } else { c });
            return Err(MalformedBucket::Name(shown.collect()));
        }
        let is_key = |key: &String| {
            (1..=LONGEST_KEY).contains(&key.len()) && !key.contains(char::is_control)
        };
        if !self.objects.keys().all(is_key) {
            return Err(MalformedBucket::Key(name));
        }
        Ok(Bucket { name, objects: self.objects })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: Wanted<'static> = Wanted { prefix: "", delimiter: "", after: "", most: 1000 };

    fn bucket(keys: &[&str]) -> Bucket {
        let objects = keys.iter().map(|key| ((*key).to_owned(), 1)).collect();
        Bucket { name: "test".to_owned(), objects }
    }

    #[test]
    fn a_delimiter_makes_folders() {
        let bucket = bucket(&["a.txt", "logs/1", "logs/2", "logs/old/3", "z"]);
        let top = bucket.list(Wanted { delimiter: "/", ..ALL });
        assert_eq!(top.objects, [("a.txt".to_owned(), 1), ("z".to_owned(), 1)]);
        assert_eq!(top.common_prefixes, ["logs/"]);
        let below = bucket.list(Wanted { delimiter: "/", prefix: "logs/", ..ALL });
        assert_eq!(below.objects.len(), 2);
        assert_eq!(below.common_prefixes, ["logs/old/"]);
    }

    #[test]
    fn odd_buckets_are_refused() {
        let defined = |name: &str, key: &str| {
            let objects = [(key.to_owned(), 1)].into();
            BucketDefinition { name: name.to_owned(), objects }.bucket()
        };
        assert!(defined("backups", "a b/é").is_ok());
        for name in ["ab", "Backups", "-backups", "back_ups", "backups."] {
            assert_eq!(defined(name, "x"), Err(MalformedBucket::Name(name.to_owned())));
        }
        for key in ["", "a\nb", &"x".repeat(1025)] {
            assert_eq!(defined("backups", key), Err(MalformedBucket::Key("backups".to_owned())));
        }
    }

    proptest! {
        #[test]
        fn pages_give_everything_once(
            keys in prop::collection::btree_set("[ab/]{1,4}", 0..20),
            prefix in "[a/]{0,2}",
            delimiter in "/?",
            most in 1_usize..5,
        ) {
            let keys = keys.iter().map(String::as_str).collect::<Vec<_>>();
            let bucket = bucket(&keys);
            let wanted = Wanted { prefix: &prefix, delimiter: &delimiter, ..ALL };
            let whole = bucket.list(wanted);
            prop_assert_eq!(&whole.more_after, &None);
            let (mut paged, mut after) = (Listing::default(), String::new());
            loop {
                let page = bucket.list(Wanted { after: &after, most, ..wanted });
                prop_assert!(page.objects.len() + page.common_prefixes.len() <= most);
                paged.objects.extend(page.objects);
                paged.common_prefixes.extend(page.common_prefixes);
                let Some(more_after) = page.more_after else { break };
                prop_assert!(more_after > after);
                after = more_after;
            }
            prop_assert_eq!(paged, whole);
        }
    }
}
