//! The two shared files, as far as they say where credentials come from.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::dialects::{self, Block, Refusal};
use super::environment::AccessKey;
use super::process::{BLANKS_OF_SHLEX, Process, words};
use super::{Environment, Habits, Sdk};
use crate::pure::ini::{Surveyed, Unusable, survey};

/// `~/.aws/credentials` or `~/.aws/config`, or what stands in for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedFile {
    /// As the program names it; none where it has no home directory to look in.
    pub path: Option<PathBuf>,
    pub content: Content,
}

/// What was found at the path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    Absent,
    /// There is a directory, over which this SDK fails.
    Directory,
    /// It is there, and the program may not read it, or it is no regular file. In words.
    Unreadable(String),
    /// Programs refuse it whole, or disagree about it.
    Unusable(Unusable),
    /// This SDK refuses it whole.
    Refused(Refusal),
    Sections(Vec<Section>),
}

/// What a profile sets. No secret is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Section {
    /// Without its prefix.
    pub name: String,
    pub header: Header,
    pub access_key: Option<AccessKey>,
    pub secret_access_key: bool,
    pub session_token: bool,
    pub process: Option<Process>,
    pub role: bool,
    pub source_profile: Option<String>,
    pub credential_source: Option<String>,
    pub web_identity_token_file: Option<String>,
    pub single_sign_on: bool,
    pub login_session: bool,
    pub metadata_endpoint: Option<String>,
    pub region: Option<String>,
    /// Keys that are there and set to nothing.
    pub blank: BTreeSet<&'static str>,
    /// The file that the access key stands in.
    pub keys_path: Option<PathBuf>,
}

/// The keys that lead to credentials, and to a region.
const KEYS: [&str; 15] = [
    "aws_access_key_id",
    "aws_secret_access_key",
    "aws_session_token",
    "aws_security_token",
    "credential_process",
    "role_arn",
    "source_profile",
    "credential_source",
    "web_identity_token_file",
    "sso_start_url",
    "sso_session",
    "sso_account_id",
    "login_session",
    "ec2_metadata_service_endpoint",
    "region",
];

/// The shortest `RoleArn` that STS takes, in bytes (its API reference, `AssumeRole`).
const SHORTEST_ROLE: usize = 20;

/// How a section was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Header {
    /// `[NAME]` of a credentials file.
    #[default]
    Name,
    /// `[profile NAME]` of a config file.
    Profile,
    /// `[default]` of a config file.
    Default,
}

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Credentials,
    Config,
}

/// Where a program looks for both.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Paths {
    pub credentials: Option<PathBuf>,
    pub config: Option<PathBuf>,
}

impl Paths {
    /// As `environment` has it; `account_home` is what the account database knows of the user.
    pub fn of(environment: &Environment, habits: &Habits, account_home: Option<&Path>) -> Self {
        let home = environment.text("HOME").map(PathBuf::from);
        let account = account_home.filter(|_| habits.home_of_the_account).map(Path::to_owned);
        let home = home.or(account);
        let path = |variable: &str, usual: &str| match environment.text(variable) {
            Some(path) => {
                let expanded = environment.expanded(variable).filter(|_| habits.paths.variables);
                let path = expanded.unwrap_or(path);
                match path.strip_prefix("~/").filter(|_| habits.paths.tilde) {
                    // More slashes make no other root of it.
                    Some(below) => {
                        home.as_ref().map(|home| home.join(below.trim_start_matches('/')))
                    }
                    None => Some(PathBuf::from(path)),
                }
            }
            // Taken literally, it leads nowhere.
            None if habits.paths.blank_is_one && environment.is_blank(variable) => {
                Some(PathBuf::new())
            }
            None => home.as_ref().map(|home| home.join(usual)),
        };
        Self {
            credentials: path("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials"),
            config: path("AWS_CONFIG_FILE", ".aws/config"),
        }
    }
}

impl SharedFile {
    pub fn absent(path: Option<PathBuf>) -> Self {
        Self { path, content: Content::Absent }
    }

    /// A file's bytes, read as botocore reads them.
    pub fn of_bytes(path: PathBuf, kind: Kind, bytes: &[u8]) -> Self {
        let content = match survey(bytes) {
            Ok(sections) => {
                let sections = sections.iter().filter_map(|section| Section::of(section, kind));
                let with_path = |section: Section| Section {
                    keys_path: section.access_key.is_some().then(|| path.clone()),
                    ..section
                };
                Content::Sections(sections.map(with_path).collect())
            }
            Err(unusable) => Content::Unusable(unusable),
        };
        Self { path: Some(path), content }
    }

    /// A file's bytes, read as an SDK reads them in a process of that home directory.
    pub fn read_by(sdk: Sdk, path: PathBuf, kind: Kind, bytes: &[u8], home: Option<&str>) -> Self {
        let Ok(text) = str::from_utf8(bytes) else { return Self::of_bytes(path, kind, bytes) };
        let content = match dialects::read(sdk, text, kind) {
            Ok(blocks) => {
                let mut sections = Vec::<Section>::new();
                for block in &blocks {
                    let Some(section) = Section::read_by(sdk, block, kind, &path, home) else {
                        continue;
                    };
                    let same = |other: &Section| {
                        other.name == section.name && other.header == section.header
                    };
                    // botocore takes the last of those that come to one name (`build_profile_map`).
                    let is_botocore = matches!(sdk, Sdk::AwsCli | Sdk::Boto3);
                    match sections.iter_mut().position(|other| same(other)) {
                        Some(at) if is_botocore => {
                            sections.remove(at);
                            sections.push(section);
                        }
                        Some(at) => sections[at].overlay(&section),
                        None => sections.push(section),
                    }
                }
                Content::Sections(sections)
            }
            Err(refusal) => Content::Refused(refusal),
        };
        Self { path: Some(path), content }
    }

    /// The profile of that name, as an SDK of these habits finds it.
    pub fn profile(&self, name: &str, habits: &Habits) -> Option<&Section> {
        let Content::Sections(sections) = &self.content else { return None };
        let named = |header: Header| {
            sections.iter().find(|section| section.name == name && section.header == header)
        };
        if habits.last_default && name == "default" {
            let either = |section: &&Section| section.name == name;
            return sections.iter().rev().find(either);
        }
        // `[profile default]` comes before `[default]` where both stand.
        let default = || named(Header::Default).filter(|_| habits.bare_default);
        named(Header::Name).or_else(|| named(Header::Profile)).or_else(default)
    }
}

impl Section {
    fn read_by(
        sdk: Sdk,
        block: &Block<'_>,
        kind: Kind,
        path: &Path,
        home: Option<&str>,
    ) -> Option<Self> {
        let (name, header) = profile_name(sdk, &block.name, kind)?;
        let mut section = Self { name, header, ..Self::default() };
        for (key, value) in &block.keys {
            let Some(known) = KEYS.into_iter().find(|known| known == key) else { continue };
            // What is too short to be a role's is none to STS.
            let is_none = known == "role_arn" && value.text.len() < SHORTEST_ROLE;
            if value.text.is_empty() || is_none {
                section.blank.insert(known);
                continue;
            }
            match known {
                "credential_process" => {
                    section.process = Some(Process::run_by(sdk, value.text, value.goes_on, home));
                }
                // What it comes to then is nobody's access key.
                "aws_access_key_id" if value.goes_on => {
                    section.access_key = Some(AccessKey::of(""));
                }
                // What it names then is not there.
                _ if value.goes_on => section.set(known, &format!("{}\n", value.text)),
                _ => section.set(known, value.text),
            }
        }
        section.keys_path = section.access_key.is_some().then(|| path.to_owned());
        Some(section)
    }

    /// Whether the key is there, be it set to nothing.
    pub fn has(&self, key: &str) -> bool {
        self.blank.contains(key)
            || match key {
                "aws_access_key_id" => self.access_key.is_some(),
                "aws_secret_access_key" => self.secret_access_key,
                "credential_process" => self.process.is_some(),
                "role_arn" => self.role,
                "source_profile" => self.source_profile.is_some(),
                "credential_source" => self.credential_source.is_some(),
                "web_identity_token_file" => self.web_identity_token_file.is_some(),
                "region" => self.region.is_some(),
                _ => false,
            }
    }

    /// The same, with what another sets in the place of its own.
    pub fn overlay(&mut self, other: &Self) {
        for key in KEYS.into_iter().filter(|key| other.has(key)) {
            self.unset(key);
            self.blank.remove(key);
        }
        self.blank.extend(&other.blank);
        if other.access_key.is_some() {
            self.access_key.clone_from(&other.access_key);
            self.keys_path.clone_from(&other.keys_path);
        }
        let take = |own: &mut Option<String>, other: &Option<String>| {
            if other.is_some() {
                own.clone_from(other);
            }
        };
        take(&mut self.source_profile, &other.source_profile);
        take(&mut self.credential_source, &other.credential_source);
        take(&mut self.web_identity_token_file, &other.web_identity_token_file);
        take(&mut self.metadata_endpoint, &other.metadata_endpoint);
        take(&mut self.region, &other.region);
        if other.process.is_some() {
            self.process.clone_from(&other.process);
        }
        self.role |= other.role;
        self.secret_access_key |= other.secret_access_key;
        self.session_token |= other.session_token;
        self.single_sign_on |= other.single_sign_on;
        self.login_session |= other.login_session;
    }

    fn unset(&mut self, key: &str) {
        match key {
            "aws_access_key_id" => self.access_key = None,
            "aws_secret_access_key" => self.secret_access_key = false,
            "credential_process" => self.process = None,
            "role_arn" => self.role = false,
            "source_profile" => self.source_profile = None,
            "credential_source" => self.credential_source = None,
            "web_identity_token_file" => self.web_identity_token_file = None,
            "ec2_metadata_service_endpoint" => self.metadata_endpoint = None,
            "region" => self.region = None,
            _ => {}
        }
    }

    fn of(surveyed: &Surveyed<'_>, kind: Kind) -> Option<Self> {
        let (name, header) = match (kind, surveyed.name.split_once([' ', '\t'])) {
            (Kind::Config, Some(("profile", name))) => {
                (name.trim().trim_matches('"'), Header::Profile)
            }
            (Kind::Config, None) if surveyed.name == "default" => ("default", Header::Default),
            (Kind::Config, _) => return None,
            (Kind::Credentials, _) => (surveyed.name, Header::Name),
        };
        let mut section = Self { name: name.to_owned(), header, ..Self::default() };
        for (key, value) in surveyed.keys.iter().filter(|(_, value)| !value.is_empty()) {
            section.set(key, value);
        }
        Some(section)
    }

    fn set(&mut self, key: &str, value: &str) {
        let text = || Some(value.to_owned());
        match key {
            "aws_access_key_id" => self.access_key = Some(AccessKey::of(value)),
            "aws_secret_access_key" => self.secret_access_key = true,
            "aws_session_token" | "aws_security_token" => self.session_token = true,
            "credential_process" => self.process = Some(Process::of(value)),
            "role_arn" => self.role = true,
            "source_profile" => self.source_profile = text(),
            "credential_source" => self.credential_source = text(),
            "web_identity_token_file" => self.web_identity_token_file = text(),
            "sso_start_url" | "sso_session" | "sso_account_id" => self.single_sign_on = true,
            "login_session" => self.login_session = true,
            "ec2_metadata_service_endpoint" => self.metadata_endpoint = text(),
            "region" => self.region = text(),
            _ => {}
        }
    }
}

/// The profile that a section's name stands for, if any.
fn profile_name(sdk: Sdk, name: &str, kind: Kind) -> Option<(String, Header)> {
    let trimmed = match sdk {
        Sdk::Java | Sdk::Rust => name.trim_matches([' ', '\t']),
        _ => name,
    };
    let plain = |name: &str, header| Some((name.to_owned(), header));
    let (prefix, rest) = match trimmed.split_once([' ', '\t']) {
        Some((prefix, rest)) => (Some(prefix), rest),
        None => (None, trimmed),
    };
    let is_valid =
        |name: &str| !matches!(sdk, Sdk::Java | Sdk::Rust) || dialects::is_identifier(name);
    match (kind, prefix) {
        (Kind::Credentials, _) => {
            let dropped = match sdk {
                Sdk::Go => name.starts_with("profile "),
                Sdk::Java | Sdk::Rust => prefix.is_some() || !is_valid(trimmed),
                Sdk::JavaScript => prefix.is_some(),
                _ => false,
            };
            (!dropped).then(|| (trimmed.to_owned(), Header::Name))
        }
        (Kind::Config, None) if trimmed == "default" => plain("default", Header::Default),
        (Kind::Config, None) => None,
        (Kind::Config, Some("profile")) => match sdk {
            Sdk::Go => plain(rest, Header::Profile),
            Sdk::JavaScript => {
                let bare = ['"', '\'']
                    .iter()
                    .find_map(|quote| rest.strip_prefix(*quote)?.strip_suffix(*quote));
                let bare = bare.unwrap_or(rest);
                let known = |c: char| c.is_ascii_alphanumeric() || "_-@+.%:/".contains(c);
                (!bare.is_empty() && bare.chars().all(known))
                    .then(|| (bare.to_owned(), Header::Profile))
            }
            Sdk::Java | Sdk::Rust => {
                let rest = rest.trim_matches([' ', '\t']);
                is_valid(rest).then(|| (rest.to_owned(), Header::Profile))
            }
            _ => match &words(trimmed, &BLANKS_OF_SHLEX)?[..] {
                [_, name] => plain(name, Header::Profile),
                _ => None,
            },
        },
        (Kind::Config, Some(_)) => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::pure::chain::Sdk;

    fn config(text: &str) -> SharedFile {
        SharedFile::of_bytes("/c".into(), Kind::Config, text.as_bytes())
    }

    #[test]
    fn files_are_where_the_environment_says_and_else_at_home() {
        let habits = Sdk::Boto3.habits();
        let pairs = [("HOME", "/home/a"), ("AWS_CONFIG_FILE", "~/c")];
        let paths = Paths::of(&Environment::of_pairs(pairs), &habits, None);
        assert_eq!(paths.credentials, Some("/home/a/.aws/credentials".into()));
        assert_eq!(paths.config, Some("/home/a/c".into()));

        let nothing = Environment::default();
        let home = Some(Path::new("/root"));
        let of = |sdk: Sdk| Paths::of(&nothing, &sdk.habits(), home).credentials;
        assert_eq!(of(Sdk::Boto3), Some("/root/.aws/credentials".into()));
        assert_eq!(of(Sdk::Rust), None);
    }

    #[test]
    fn botocore_alone_puts_variables_into_a_path() {
        for (path, expected) in [
            ("$HOME/c", "/h/c"),
            ("${HOME}/c", "/h/c"),
            ("$PLACE/$X/c", "/srv/$X/c"),
            ("/a/${PLACE}c", "/a//srvc"),
            ("/a/$PLACEc", "/a/$PLACEc"),
            ("$TILDE/c", "/h/c"),
            ("$AWS_SESSION_TOKEN/c", "$AWS_SESSION_TOKEN/c"),
            ("/a/$", "/a/$"),
            ("${HOME", "${HOME"),
            ("~//c", "/h/c"),
        ] {
            let pairs = [
                ("AWS_CONFIG_FILE", path),
                ("HOME", "/h"),
                ("PLACE", "/srv"),
                ("TILDE", "~"),
                ("AWS_SESSION_TOKEN", "hunter2"),
            ];
            let environment = Environment::of_pairs(pairs);
            let of = |sdk: Sdk| Paths::of(&environment, &sdk.habits(), None).config;
            assert_eq!(of(Sdk::Boto3), Some(expected.into()), "{path}");
            let literally = if path.starts_with('~') { expected } else { path };
            assert_eq!(of(Sdk::JavaScript), Some(literally.into()), "{path}");
            assert_eq!(of(Sdk::Go), Some(path.into()), "{path}");
        }
    }

    #[test]
    fn profiles_of_the_config_file_have_a_prefix() {
        let file = config("[default]\nrole_arn = r\n[profile a]\nregion = x\n[b]\nregion = x\n");
        let habits = Sdk::Boto3.habits();
        assert!(file.profile("default", &habits).is_some_and(|section| section.role));
        assert!(file.profile("a", &habits).is_some());
        assert_eq!(file.profile("b", &habits), None);
        assert_eq!(file.profile("default", &Sdk::Php.habits()), None);
    }

    proptest! {
        #[test]
        fn no_value_of_a_secret_is_kept(secret in "[a-z0-9]{12,40}", more in "[ -~]{0,30}") {
            let text = format!(
                "[default]\naws_access_key_id = {secret}\naws_secret_access_key = {secret}\n\
                 aws_session_token = {secret}\ncredential_process = x --key {secret}\nz = {more}\n"
            );
            for kind in [Kind::Credentials, Kind::Config] {
                let file = SharedFile::of_bytes("/c".into(), kind, text.as_bytes());
                let debug = format!("{file:?}");
                prop_assert!(!debug.contains(&secret), "{}", debug);
            }
        }

        #[test]
        fn any_bytes_are_read(bytes in vec(any::<u8>(), 0..200)) {
            let file = SharedFile::of_bytes("/c".into(), Kind::Config, &bytes);
            file.profile("default", &Sdk::Php.habits());
        }
    }
}
