//! The two shared files, as far as they say where credentials come from.

use std::path::{Path, PathBuf};

use super::environment::AccessKey;
use super::{Environment, Habits};
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
    /// It is there, and the program may not read it, or it is no regular file. In words.
    Unreadable(String),
    /// Programs refuse it whole, or disagree about it.
    Unusable(Unusable),
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
}

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

/// A `credential_process`. Its arguments may be secrets, and are not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its first word.
    pub program: String,
    /// Whether it is `rolekeeper credential-process`.
    pub ours: bool,
    /// What it names with `--target`.
    pub target: Option<String>,
    /// What it names with `--runtime-dir`.
    pub runtime_dir: Option<String>,
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
            Some(path) => match path.strip_prefix("~/") {
                Some(below) => home.as_ref().map(|home| home.join(below)),
                None => Some(PathBuf::from(path)),
            },
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
            Ok(sections) => Content::Sections(
                sections.iter().filter_map(|section| Section::of(section, kind)).collect(),
            ),
            Err(unusable) => Content::Unusable(unusable),
        };
        Self { path: Some(path), content }
    }

    /// The profile of that name, as an SDK of these habits finds it.
    pub fn profile(&self, name: &str, habits: &Habits) -> Option<&Section> {
        let Content::Sections(sections) = &self.content else { return None };
        let named = |header: Header| {
            sections.iter().find(|section| section.name == name && section.header == header)
        };
        // `[profile default]` comes before `[default]` where both stand.
        let default = || named(Header::Default).filter(|_| habits.bare_default);
        named(Header::Name).or_else(|| named(Header::Profile)).or_else(default)
    }
}

impl Section {
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
            _ => {}
        }
    }
}

impl Process {
    fn of(command: &str) -> Self {
        let words = command.split_whitespace().collect::<Vec<_>>();
        let plain = |word: &&str| word.trim_matches(['"', '\'']).to_owned();
        let program = words.first().map(plain).unwrap_or_default();
        let name = Path::new(&program).file_name();
        let ours =
            name.is_some_and(|name| name == "rolekeeper") && words.contains(&"credential-process");
        let option = |name: &str| {
            let separate = words.iter().position(|word| *word == name);
            let separate = separate.and_then(|at| words.get(at + 1));
            let joined = words.iter().find_map(|w| w.strip_prefix(name)?.strip_prefix('='));
            separate.copied().or(joined).map(|word| plain(&word)).filter(|_| ours)
        };
        let (target, runtime_dir) = (option("--target"), option("--runtime-dir"));
        Self { program, ours, target, runtime_dir }
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
    fn profiles_of_the_config_file_have_a_prefix() {
        let file = config("[default]\nrole_arn = r\n[profile a]\nregion = x\n[b]\nregion = x\n");
        let habits = Sdk::Boto3.habits();
        assert!(file.profile("default", &habits).is_some_and(|section| section.role));
        assert!(file.profile("a", &habits).is_some());
        assert_eq!(file.profile("b", &habits), None);
        assert_eq!(file.profile("default", &Sdk::Php.habits()), None);
    }

    #[test]
    fn a_process_is_known_by_its_program_and_its_arguments_are_not_kept() {
        let file = config("[default]\ncredential_process = /opt/get --password hunter2\n");
        assert!(!format!("{file:?}").contains("hunter2"));
        let process = |command: &str| Process::of(command);
        assert!(process("/usr/bin/rolekeeper credential-process").ours);
        assert!(process("\"/usr/bin/rolekeeper\" --runtime-dir /r credential-process").ours);
        assert!(!process("/usr/bin/rolekeeper export").ours);
        assert!(!process("/usr/bin/vault credential-process").ours);
        let named = process("rolekeeper credential-process --target web");
        assert_eq!(named.target.as_deref(), Some("web"));
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
