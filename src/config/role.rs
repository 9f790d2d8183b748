//! The keys by which a table asks for a role of its own.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;

use super::file::Policies;
use super::merge::Sources;
use super::value::Text;
use crate::pure::assumption::{
    Assumption, ExternalId, MOST_POLICY_ARNS, PolicyArn, RoleArn, RoleChain, SessionDuration,
    SessionName, SessionPolicy, SessionTags, SourceIdentity,
};

/// What is wrong, and where it stands.
pub(super) struct Misplaced {
    pub span: Range<usize>,
    pub message: String,
    /// Where mending the line does not help.
    pub remedy: Option<String>,
}

/// The keys of [`RoleKeys`].
pub(super) const ROLE_KEYS: [&str; 10] = [
    "role_arn",
    "role_chain",
    "session_name",
    "external_id",
    "source_identity",
    "tags",
    "transitive_tags",
    "duration",
    "session_policy",
    "session_policy_arns",
];

/// What a table says of its role.
pub(super) struct RoleKeys {
    pub role_arn: Option<Spanned<Text<RoleArn>>>,
    pub role_chain: Option<Spanned<Vec<Text<RoleArn>>>>,
    pub session_name: Option<Spanned<Text<SessionName>>>,
    pub external_id: Option<Spanned<Text<ExternalId>>>,
    pub source_identity: Option<Spanned<Text<SourceIdentity>>>,
    pub tags: Option<Spanned<BTreeMap<String, String>>>,
    pub transitive_tags: Option<Spanned<Vec<String>>>,
    pub duration: Option<Spanned<Text<SessionDuration>>>,
    pub session_policy: Option<Spanned<String>>,
    pub session_policy_arns: Option<Spanned<Vec<Text<PolicyArn>>>>,
}

/// A table of the settings that may ask for a role of its own: the given keys, those of [`RoleKeys`],
/// and no other. (serde's `flatten` knows neither unknown keys nor where a value stands.)
macro_rules! table_with_role {
    ($vis:vis struct $name:ident { $($(#[$meta:meta])* $key:ident: $type:ty,)* }) => {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        $vis struct $name {
            $($(#[$meta])* $key: $type,)*
            role_arn: Option<toml::Spanned<Text<$crate::pure::assumption::RoleArn>>>,
            role_chain: Option<toml::Spanned<Vec<Text<$crate::pure::assumption::RoleArn>>>>,
            session_name: Option<toml::Spanned<Text<$crate::pure::assumption::SessionName>>>,
            external_id: Option<toml::Spanned<Text<$crate::pure::assumption::ExternalId>>>,
            source_identity: Option<toml::Spanned<Text<$crate::pure::assumption::SourceIdentity>>>,
            tags: Option<toml::Spanned<std::collections::BTreeMap<String, String>>>,
            transitive_tags: Option<toml::Spanned<Vec<String>>>,
            duration: Option<toml::Spanned<Text<$crate::pure::assumption::SessionDuration>>>,
            session_policy: Option<toml::Spanned<String>>,
            session_policy_arns: Option<toml::Spanned<Vec<Text<$crate::pure::assumption::PolicyArn>>>>,
        }

        impl $name {
            /// What it says of its role; the table keeps the rest.
            fn take_role_keys(&mut self) -> $crate::config::role::RoleKeys {
                $crate::config::role::RoleKeys {
                    role_arn: self.role_arn.take(),
                    role_chain: self.role_chain.take(),
                    session_name: self.session_name.take(),
                    external_id: self.external_id.take(),
                    source_identity: self.source_identity.take(),
                    tags: self.tags.take(),
                    transitive_tags: self.transitive_tags.take(),
                    duration: self.duration.take(),
                    session_policy: self.session_policy.take(),
                    session_policy_arns: self.session_policy_arns.take(),
                }
            }
        }
    };
}
pub(super) use table_with_role;

impl RoleKeys {
    /// What is to be assumed, if anything is. A policy's file is looked for from the directory on of the
    /// settings file that names it.
    pub fn assumption(
        mut self,
        sources: &Sources<'_>,
        policy: &mut Policies<'_>,
    ) -> Result<Option<Assumption>, Misplaced> {
        let Some(chain) = self.take_chain()? else {
            return match self.first_key() {
                None => Ok(None),
                Some((key, span)) => {
                    let message = format!("{key} is of no use without role_arn or role_chain");
                    Err((span, message).into())
                }
            };
        };
        Ok(Some(Assumption {
            chain,
            session_name: self.session_name.map(text),
            external_id: self.external_id.map(text),
            source_identity: self.source_identity.map(text),
            tags: tags(self.tags, self.transitive_tags)?,
            duration: self.duration.map(text).unwrap_or_default(),
            policy: self
                .session_policy
                .map(|written| read_policy(written, sources, policy))
                .transpose()?,
            policy_arns: self.session_policy_arns.map_or(Ok(Vec::new()), policy_arns)?,
        }))
    }

    fn take_chain(&mut self) -> Result<Option<RoleChain>, Misplaced> {
        let (role, chain) = (self.role_arn.take(), self.role_chain.take());
        let (span, roles) = match (role, chain) {
            (None, None) => return Ok(None),
            (Some(role), None) => (role.span(), vec![role.into_inner()]),
            (None, Some(chain)) => (chain.span(), chain.into_inner()),
            (Some(role), Some(chain)) => {
                let message = "role_arn and role_chain exclude one another: the role of a chain is \
                               its last; an empty one takes that of an earlier file back";
                let (role, chain) = (role.span(), chain.span());
                let later = if role.start > chain.start { role } else { chain };
                return Err((later, message.to_owned()).into());
            }
        };
        let roles = roles.into_iter().map(|Text(role)| role).collect::<Vec<_>>();
        RoleChain::try_from(roles).map(Some).map_err(|error| (span, error.to_string()).into())
    }

    fn first_key(&self) -> Option<(&'static str, Range<usize>)> {
        fn span<T>(key: &Option<Spanned<T>>) -> Option<Range<usize>> {
            key.as_ref().map(Spanned::span)
        }
        let keys = [
            ("session_name", span(&self.session_name)),
            ("external_id", span(&self.external_id)),
            ("source_identity", span(&self.source_identity)),
            ("tags", span(&self.tags)),
            ("transitive_tags", span(&self.transitive_tags)),
            ("duration", span(&self.duration)),
            ("session_policy", span(&self.session_policy)),
            ("session_policy_arns", span(&self.session_policy_arns)),
        ];
        keys.into_iter().find_map(|(key, span)| Some((key, span?)))
    }
}

fn text<T>(key: Spanned<Text<T>>) -> T {
    key.into_inner().0
}

fn tags(
    tags: Option<Spanned<BTreeMap<String, String>>>,
    transitive: Option<Spanned<Vec<String>>>,
) -> Result<SessionTags, Misplaced> {
    let checked = match tags {
        None => SessionTags::default(),
        Some(tags) => {
            let span = tags.span();
            let checked = SessionTags::new(tags.into_inner());
            checked.map_err(|error| (span, error.to_string()))?
        }
    };
    let Some(transitive) = transitive else { return Ok(checked) };
    let span = transitive.span();
    checked.with_transitive(transitive.get_ref()).map_err(|error| (span, error.to_string()).into())
}

fn policy_arns(arns: Spanned<Vec<Text<PolicyArn>>>) -> Result<Vec<PolicyArn>, Misplaced> {
    match arns.get_ref().len() {
        count if count > MOST_POLICY_ARNS => {
            let message = format!("{count} policies, and a session has at most {MOST_POLICY_ARNS}");
            Err((arns.span(), message).into())
        }
        _ => Ok(arns.into_inner().into_iter().map(|Text(arn)| arn).collect()),
    }
}

/// A policy that stands there, or the path of a file that holds one.
fn read_policy(
    policy: Spanned<String>,
    sources: &Sources<'_>,
    read: &mut Policies<'_>,
) -> Result<SessionPolicy, Misplaced> {
    let (span, written) = (policy.span(), policy.into_inner());
    if written.trim_start().starts_with(['{', '[']) {
        let policy = written.parse::<SessionPolicy>();
        return policy.map_err(|error| (span, format!("session_policy: {error}")).into());
    }
    let path = sources.directory(&span).join(&written);
    let shown = path.display();
    let misplaced = |reason: String, remedy: String| Misplaced {
        span: span.clone(),
        message: format!("session_policy {shown}: {reason}"),
        remedy: Some(remedy),
    };
    let text = read(&path).map_err(|reason| {
        let remedy =
            format!("let the service's user read a policy in {shown}, then rolekeeper reload");
        misplaced(reason, remedy)
    })?;
    let parsed = text.parse::<SessionPolicy>();
    parsed.map_err(|error| {
        let remedy = format!("mend the policy in {shown}, then rolekeeper reload");
        misplaced(error.to_string(), remedy)
    })
}

impl From<(Range<usize>, String)> for Misplaced {
    fn from((span, message): (Range<usize>, String)) -> Self {
        Self { span, message, remedy: None }
    }
}

impl From<toml::de::Error> for Misplaced {
    fn from(error: toml::de::Error) -> Self {
        (error.span().unwrap_or_default(), error.message().replace('\n', " ")).into()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::Settings;
    use crate::pure::assumption::Assumption;

    const ROLE: &str = "arn:aws:iam::111122223333:role/backup";
    const POLICY: &str = r#"{"Statement":{"Effect":"Allow","Action":"s3:Get*","Resource":"*"}}"#;

    fn read_in(directory: &Path, keys: &str) -> Result<Option<Assumption>, String> {
        let file = directory.join("x.toml");
        let text = format!("[[target]]\nname = \"a\"\npath = \"/c\"\n{keys}\n");
        std::fs::write(&file, text).unwrap();
        let settings = Settings::load(Some(&file)).unwrap();
        match settings.disabled().next() {
            None => Ok(settings.targets[0].assumption.clone()),
            Some(disabled) => Err(format!("{}: {}", disabled.place, disabled.error)),
        }
    }

    fn read(keys: &str) -> Result<Option<Assumption>, String> {
        read_in(tempfile::tempdir().unwrap().path(), keys)
    }

    #[test]
    fn a_target_without_a_role_has_the_registered_one() {
        assert_eq!(read(""), Ok(None));
        let assumption = read(&format!("role_arn = \"{ROLE}\"")).unwrap().unwrap();
        assert_eq!(assumption, Assumption::of(ROLE.parse().unwrap()));
    }

    #[test]
    fn mistakes_have_their_place() {
        let with_role = |keys: &str| format!("role_arn = \"{ROLE}\"\n{keys}");
        let many = format!("[{}]", ["\"arn:aws:iam::aws:policy/x\""; 11].join(", "));
        for (keys, expected) in [
            ("role_arn = \"backup\"".to_owned(), "x.toml:4:12: role 'backup': expected an ARN"),
            ("role_chain = []".to_owned(), "x.toml:4:14: expected at least one role"),
            (format!("role_chain = [\"{ROLE}\", 7]"), "x.toml:4:56: invalid type"),
            (with_role("role_chain = []"), "x.toml:5:14: role_arn and role_chain exclude"),
            ("duration = \"1h\"".to_owned(), "x.toml:4:12: duration is of no use without role_arn"),
            (with_role("duration = \"2h\""), "x.toml:5:12: AWS gives a role that is assumed from"),
            (with_role("session_name = \"a b\""), "x.toml:5:16: session name 'a b': expected 2 to"),
            (with_role("tags = { \"aws:x\" = \"y\" }"), "x.toml:5:8: tag 'aws:x': a key has"),
            (with_role("tags = { x = 7 }"), "x.toml:5:14: invalid type"),
            (with_role("transitive_tags = [\"x\"]"), "x.toml:5:19: transitive tag 'x' is not one"),
            (
                with_role("session_policy = '{\"Statement\":'"),
                "session_policy: the policy is not JSON",
            ),
            (with_role("session_policy = \"none.json\""), "none.json: No such file"),
            (with_role("session_policy = \"/dev/null\""), "/dev/null: this is not a file"),
            (with_role(&format!("session_policy_arns = {many}")), "x.toml:5:23: 11 policies"),
            (with_role("rolearn = \"x\""), "x.toml:5:1: unknown field `rolearn`"),
        ] {
            let error = read(&keys).unwrap_err();
            assert!(error.contains(expected), "{keys}: {error}");
        }
    }

    #[test]
    fn a_policy_stands_there_or_in_a_file_beside_the_settings() {
        let directory = tempfile::tempdir().unwrap();
        let read = |policy: &str| {
            let keys = format!("role_arn = \"{ROLE}\"\nsession_policy = '{policy}'");
            read_in(directory.path(), &keys).map(|assumption| assumption.unwrap().policy.unwrap())
        };
        std::fs::create_dir(directory.path().join("policies")).unwrap();
        let file = directory.path().join("policies/backup.json");
        std::fs::write(&file, POLICY).unwrap();
        assert_eq!(read(POLICY), read("policies/backup.json"));
        assert_eq!(read("policies/backup.json"), read(file.to_str().unwrap()));
        std::fs::write(&file, "{\n  \"Statement\": oops\n}").unwrap();
        let error = read("policies/backup.json").unwrap_err();
        assert!(error.contains("x.toml:5:18: session_policy "), "{error}");
        assert!(
            error.ends_with("policies/backup.json: the policy is not JSON (line 2, column 16)"),
            "{error}"
        );
        std::fs::write(&file, " ".repeat(70_000)).unwrap();
        let error = read("policies/backup.json").unwrap_err();
        assert!(error.ends_with("larger than 65536 bytes"), "{error}");
    }
}
