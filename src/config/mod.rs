//! The operator's settings: typed, with units, each with its origin.
//!
//! `/etc/rolekeeper/rolekeeper.toml`, then `/etc/rolekeeper/conf.d/*.toml` in the order of their
//! names. They are merged key by key before anything is judged, tables of one name too: a later file's
//! value wins, and an empty one takes an earlier file's back. An unknown key is an error with file, line
//! and column: a setting that does nothing is a trap.
//!
//! A mistake in a `[[target]]` or a `[[consumer]]` disables that one, and the others are read. Every
//! other mistake is one of the file's.

mod clash;
mod consumer;
mod endpoint;
mod error;
mod file;
mod files;
mod identity;
mod log;
mod merge;
mod origin;
mod own_files;
mod reload;
mod role;
mod show;
mod tables;
mod value;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use consumer::{ConsumerSettings, TokenFileSettings};
pub use error::ConfigError;
pub use files::SettingsFiles;
pub use identity::IdentitySettings;
pub use log::LogLevel;
pub use origin::{KeyOrigins, Origin};
pub use own_files::OwnFiles;
pub use show::without_account;
use tables::{CHANGE_ONE, Clash};
pub use tables::{DisabledTable, ServiceAccount, Table, Tables, Whom};

use crate::pure::assumption::Assumption;
use crate::pure::disabled::Disabled;
use crate::pure::identity::Region;
use crate::pure::ini::ProfileName;
use crate::pure::reload::Reload;

/// Where the settings are looked for without `--config`.
pub const DEFAULT_FILE: &str = "/etc/rolekeeper/rolekeeper.toml";

/// Files in here are read after the main one.
pub const DEFAULT_DIRECTORY: &str = "/etc/rolekeeper/conf.d";

/// The name of the target that is there without any settings.
pub const DEFAULT_TARGET: &str = "default";

/// How often at most, and as a rule, credentials are renewed: half of a token's hour.
pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(30 * 60);

/// How often health is reported; the reference agent's `Ssm.HealthFrequencyMinutes`.
pub const DEFAULT_HEALTH_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// How long one attempt of a request may take; with three attempts a minute in all.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(20);

/// A credentials file's mode unless a target says otherwise: the owner writes, the group reads.
pub const DEFAULT_MODE: u32 = 0o640;

/// How often at most a service is told of new credentials. They are renewed less often; but an
/// operator may ask for new ones at any time.
pub const DEFAULT_RELOAD_INTERVAL: Duration = Duration::from_secs(10 * 60);

/// Over how much the services of a fleet are spread, which get new credentials at about one time.
pub const DEFAULT_RELOAD_JITTER: Duration = Duration::from_secs(30);

/// A URL as `endpoint_url` takes it, for options that stand for that key.
///
/// # Errors
///
/// What a URL looks like.
pub fn parse_endpoint_url(text: &str) -> Result<String, &'static str> {
    text.parse().map(|value::Url(url)| url)
}

/// A value, and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting<T> {
    pub value: T,
    pub origin: Origin,
}

/// What happens to credentials in the files once they are dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnExpiry {
    Keep,
    Withdraw,
}

/// The effective settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The files that were read, and what they said.
    pub files: SettingsFiles,
    pub identity: IdentitySettings,
    /// From the registration when absent, or as the source says.
    pub region: Setting<Option<Region>>,
    pub endpoint_url: Setting<Option<String>>,
    /// The same for STS alone.
    pub sts_endpoint_url: Setting<Option<String>>,
    pub fips: Setting<bool>,
    pub dual_stack: Setting<bool>,
    pub ca_bundle: Setting<Option<PathBuf>>,
    pub proxy: Setting<Option<String>>,
    pub timeout: Setting<Duration>,
    pub interval: Setting<Duration>,
    pub on_expiry: Setting<OnExpiry>,
    pub log_level: Setting<LogLevel>,
    pub health: Setting<bool>,
    pub health_interval: Setting<Duration>,
    /// On loopback, as the other one; off when absent.
    pub container_listen: Setting<Option<SocketAddr>>,
    pub imds_listen: Setting<Option<SocketAddr>>,
    /// Looked for in the usual places when absent.
    pub systemctl: Setting<Option<PathBuf>>,
    /// Whether there is the default target, too. One of that name takes its place.
    pub default_target: Setting<bool>,
    pub targets: Tables<TargetSettings>,
    pub consumers: Tables<ConsumerSettings>,
}

/// A `[[target]]`. Names of users and groups are not looked up yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetSettings {
    pub name: String,
    pub path: PathBuf,
    pub profile: ProfileName,
    pub owner: Option<String>,
    pub group: Option<String>,
    /// Permission bits.
    pub mode: u32,
    /// A role of its own, instead of the registered one.
    pub assumption: Option<Assumption>,
    /// The service that is told when the credentials are new.
    pub reload: Option<Reload>,
    /// Where it begins.
    pub origin: Origin,
    pub keys: KeyOrigins,
}

impl Settings {
    /// Reads the given file alone, or the default places, which may be empty.
    ///
    /// # Errors
    ///
    /// The first thing wrong, with file, line and column, unless it is one target's or consumer's.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        Self::of(SettingsFiles::read(file)?)
    }

    /// The settings that these files made when they were read.
    ///
    /// # Errors
    ///
    /// As [`Settings::load`].
    pub fn of(mut files: SettingsFiles) -> Result<Self, ConfigError> {
        let texts = files.texts().to_vec();
        let settings = file::read(&texts, files.is_alone(), &mut |path| files.policy(path))?;
        Ok(Self { files, ..settings })
    }

    /// What is wrong with single targets and consumers.
    pub fn disabled(&self) -> impl Iterator<Item = &Disabled> {
        self.targets.disabled().chain(self.consumers.disabled()).map(|table| &table.fault)
    }

    /// The target that is there beside those of the files, where its file is `path`: unless it is
    /// switched off, or another has its name or its place. It shares a file in its owner's way.
    pub fn default_target(&self, path: &Path) -> Option<TargetSettings> {
        let named = |table: &Table<TargetSettings>| match table {
            Table::Usable(target) => target.name == DEFAULT_TARGET,
            Table::Disabled(disabled) => disabled.fault.name.as_deref() == Some(DEFAULT_TARGET),
        };
        if !self.default_target.value || self.targets.in_order().iter().any(named) {
            return None;
        }
        let default = TargetSettings {
            name: DEFAULT_TARGET.to_owned(),
            path: path.to_owned(),
            profile: ProfileName::default(),
            owner: None,
            group: None,
            mode: DEFAULT_MODE,
            assumption: None,
            reload: None,
            origin: self.default_target.origin.clone(),
            keys: KeyOrigins::default(),
        };
        // One that is disabled may be meant to take its place: its readers must not get this one's keys.
        if self.targets.disabled().any(|it| it.path.as_deref() == Some(path)) {
            return None;
        }
        let mut beside = self.targets.iter().filter(|target| target.path == path);
        match beside.clone().next() {
            _ if beside.any(|target| target.profile == default.profile) => None,
            None => Some(default),
            Some(TargetSettings { owner, group, mode, .. }) => {
                let (owner, group) = (owner.clone(), group.clone());
                Some(TargetSettings { owner, group, mode: *mode, ..default })
            }
        }
    }

    /// Of two that clash, the later one is disabled.
    fn settle(&mut self) {
        self.targets.settle(clash::clash);
        let targets = &self.targets;
        let default_stands = self.default_target.value;
        self.consumers.settle(|consumer, before| {
            // In no table, and yet asked for by its name.
            let takes_its_name = default_stands && consumer.name == DEFAULT_TARGET;
            let message = "that is the name of the default target, too".to_owned();
            let own = Clash { keys: &["name"], message, remedy: CHANGE_ONE };
            takes_its_name.then_some(own).or_else(|| consumer::clash(consumer, before, targets))
        });
    }

    /// Takes what `--endpoint-url` says, which beats the files.
    #[must_use]
    pub fn with_endpoint_url(mut self, url: Option<String>) -> Self {
        if url.is_some() {
            self.endpoint_url = Setting { value: url, origin: Origin::Flag("--endpoint-url") };
        }
        self
    }

    /// Takes what `--region` says, which beats the files.
    #[must_use]
    pub fn with_region(mut self, region: Option<Region>) -> Self {
        if region.is_some() {
            self.region = Setting { value: region, origin: Origin::Flag("--region") };
        }
        self
    }

    /// Trusts these certificates, unless a file names others.
    #[must_use]
    pub fn with_ca_bundle(mut self, variable: &'static str, value: Option<String>) -> Self {
        if self.ca_bundle.value.is_none() && value.is_some() {
            let origin = Origin::Environment(variable);
            self.ca_bundle = Setting { value: value.map(PathBuf::from), origin };
        }
        self
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            files: SettingsFiles::default(),
            identity: IdentitySettings::default(),
            region: default(None),
            endpoint_url: default(None),
            sts_endpoint_url: default(None),
            fips: default(false),
            dual_stack: default(false),
            ca_bundle: default(None),
            proxy: default(None),
            timeout: default(DEFAULT_TIMEOUT),
            interval: default(DEFAULT_INTERVAL),
            on_expiry: default(OnExpiry::Withdraw),
            log_level: default(LogLevel::Info),
            health: default(true),
            health_interval: default(DEFAULT_HEALTH_INTERVAL),
            container_listen: default(None),
            imds_listen: default(None),
            systemctl: default(None),
            default_target: default(true),
            targets: Tables::default(),
            consumers: Tables::default(),
        }
    }
}

fn default<T>(value: T) -> Setting<T> {
    Setting { value, origin: Origin::Default }
}
