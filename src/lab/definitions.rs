//! What `serve --roles FILE` reads: roles, and buckets for their policies to be about.
//!
//! ```toml
//! [[role]]
//! name = "Backup"
//! longest_session = "2h"
//! trust_policy = '''{ "Statement": { "Effect": "Allow", "Action": "sts:AssumeRole",
//!     "Principal": { "AWS": "arn:aws:iam::000000000000:role/SSMServiceRole" } } }'''
//! policy = '''{ "Statement": { "Effect": "Allow", "Action": "s3:*", "Resource": "*" } }'''
//!
//! [[bucket]]
//! name = "backups"
//! objects = { "2026/11/21.tar" = 1048576 }
//! ```
//!
//! The same in JSON has lists `role` and `bucket`, and policies as they are.

use serde::Deserialize;

use super::buckets::{BucketDefinition, MalformedBucket};
use super::roles::{MalformedRole, RoleDefinition};
use super::service::Service;
use crate::host::entropy::Entropy;

/// Roles and buckets, not yet checked.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Definitions {
    role: Vec<RoleDefinition>,
    bucket: Vec<BucketDefinition>,
}

/// Definitions that the lab does not take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MalformedDefinitions {
    #[error("{0}")]
    Json(String),
    #[error("line {line}: {message}")]
    Toml { line: usize, message: String },
    #[error(transparent)]
    Role(#[from] MalformedRole),
    #[error(transparent)]
    Bucket(#[from] MalformedBucket),
    #[error("role {0} stands twice")]
    Twice(String),
}

impl Definitions {
    pub fn from_toml(text: &str) -> Result<Self, MalformedDefinitions> {
        toml::from_str(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            let before = text.get(..start).unwrap_or_default();
            MalformedDefinitions::Toml {
                line: before.matches('\n').count() + 1,
                message: error.message().replace('\n', " "),
            }
        })
    }

    pub fn from_json(text: &str) -> Result<Self, MalformedDefinitions> {
        serde_json::from_str(text)
            .map_err(|error| MalformedDefinitions::Json(error.to_string().replace('\n', " ")))
    }

    /// Gives the service all of it, or nothing. Roles and buckets of the same name are replaced.
    pub fn apply(
        self,
        service: &mut Service,
        entropy: &dyn Entropy,
    ) -> Result<(), MalformedDefinitions> {
        let roles = self.role.into_iter().map(|role| role.role(entropy));
        let roles = roles.collect::<Result<Vec<_>, _>>()?;
        let mut names = roles.iter().map(|role| role.name.as_str()).collect::<Vec<_>>();
        names.sort_unstable();
        if let Some(two) = names.windows(2).find(|two| two[0] == two[1]) {
            return Err(MalformedDefinitions::Twice(two[0].to_owned()));
        }
        let buckets = self.bucket.into_iter().map(BucketDefinition::bucket);
        let buckets = buckets.collect::<Result<Vec<_>, _>>()?;
        roles.into_iter().for_each(|role| service.roles.insert(role));
        buckets.into_iter().for_each(|bucket| service.buckets.insert(bucket));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::host::entropy::SystemEntropy;

    const TOML: &str = r#"
[[role]]
name = "Backup"
longest_session = "2h"
trust_policy = '{"Statement": {"Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRole"}}'
policy = '{"Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}}'

[[bucket]]
name = "backups"
objects = { "2026/11/21.tar" = 1048576 }
"#;

    const JSON: &str = r#"{
        "role": [{
            "name": "Backup", "longest_session": "2h",
            "trust_policy":
                {"Statement": {"Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRole"}},
            "policy": {"Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}}
        }],
        "bucket": [{ "name": "backups", "objects": { "2026/11/21.tar": 1048576 } }]
    }"#;

    fn service() -> Service {
        let region = "us-east-1".parse().unwrap();
        Service::new(region, Duration::from_secs(3600), &SystemEntropy)
    }

    #[test]
    fn both_notations_say_the_same() {
        let [toml, json] =
            [Definitions::from_toml(TOML), Definitions::from_json(JSON)].map(|read| {
                let mut service = service();
                read.unwrap().apply(&mut service, &SystemEntropy).unwrap();
                let role = service.roles.get("Backup").unwrap().clone();
                let objects = service.buckets.get("backups").unwrap().objects.clone();
                (role.trust, role.policy, role.longest_session, objects)
            });
        assert_eq!(toml, json);
        assert_eq!(toml.2, Duration::from_secs(7200));
    }

    #[test]
    fn what_is_wrong_is_named_and_nothing_is_taken() {
        for (text, message) in [
            ("\n[[rolle]]", "line 2: unknown field `rolle`"),
            ("[[role]]\nname = 'x'", "line 1: missing field `trust_policy`"),
            (&TOML.replace("s3:*", "s3"), "role Backup: policy: statement 1 has the Action 's3'"),
            (&TOML.replace("\"backups\"", "\"B\""), "a bucket's name must"),
            (&format!("{TOML}{TOML}"), "role Backup stands twice"),
        ] {
            let mut service = service();
            let error = Definitions::from_toml(text)
                .and_then(|definitions| definitions.apply(&mut service, &SystemEntropy))
                .unwrap_err()
                .to_string();
            assert!(error.starts_with(message) && error.lines().count() == 1, "{error}");
            assert!(service.roles.get("Backup").is_none());
        }
        let error = Definitions::from_json("{").unwrap_err().to_string();
        assert!(error.contains("line 1 column 1"), "{error}");
        let error = Definitions::from_json("{\"a\\nb\": 1}").unwrap_err().to_string();
        assert_eq!(error.lines().count(), 1, "{error}");
    }

    /// A byte of a good file changed, or a piece of it left out or said twice.
    fn altered(text: &str, at: usize, length: usize, instead: &str) -> String {
        let characters = text.chars().collect::<Vec<_>>();
        let at = at % characters.len();
        let (before, rest) = characters.split_at(at);
        let after = &rest[length.min(rest.len())..];
        before.iter().copied().chain(instead.chars()).chain(after.iter().copied()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_text_panics_and_what_is_refused_says_why_in_one_line(
            at in any::<usize>(),
            length in 0_usize..80,
            instead in prop_oneof![
                Just(String::new()), "\\PC{0,3}",
                "(\\[|\\]|\"|'|=|\n|\\{|\\}|,|:|\\*){1,3}", Just(TOML.to_owned()),
            ],
        ) {
            let read = [
                Definitions::from_toml(&altered(TOML, at, length, &instead)),
                Definitions::from_json(&altered(JSON, at, length, &instead)),
            ];
            for read in read {
                let mut service = service();
                let applied = read.and_then(|read| read.apply(&mut service, &SystemEntropy));
                if let Err(error) = applied {
                    prop_assert_eq!(error.to_string().lines().count(), 1, "{}", error);
                    prop_assert!(service.roles.get("Backup").is_none());
                }
            }
        }
    }
}
