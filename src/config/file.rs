//! One settings file: its keys, their types, and the line each stands on.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, Visitor};
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::endpoint::{self, Endpoints};
use super::identity::{self, Identity};
use super::log::Log;
use super::reload::{ReloadTable, Reloads};
use super::role::{Misplaced, table_with_role};
use super::tables::{Table, position, salvage};
use super::{ConfigError, OnExpiry, Origin, Setting, Settings, TargetSettings, consumer};
use crate::pure::disabled::Kind;
use crate::pure::duration::parse_duration;
use crate::pure::identity::Region;
use crate::pure::ini::ProfileName;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    identity: Option<Identity>,
    service: Option<Service>,
    refresh: Option<Refresh>,
    health: Option<Health>,
    log: Option<Log>,
    endpoint: Option<Endpoints>,
    reload: Option<Reloads>,
    targets: Option<Targets>,
    // Taken out before, and named here for whoever misspells them.
    #[serde(rename = "target")]
    _target: Option<IgnoredAny>,
    #[serde(rename = "consumer")]
    _consumer: Option<IgnoredAny>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Service {
    region: Option<Spanned<Text<Region>>>,
    endpoint_url: Option<Spanned<Text<Url>>>,
    sts_endpoint_url: Option<Spanned<Text<Url>>>,
    fips: Option<Spanned<bool>>,
    dual_stack: Option<Spanned<bool>>,
    ca_bundle: Option<Spanned<Text<AbsolutePath>>>,
    proxy: Option<Spanned<Text<Url>>>,
    timeout: Option<Spanned<Text<Timeout>>>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Refresh {
    interval: Option<Spanned<Text<Interval>>>,
    on_expiry: Option<Spanned<Text<OnExpiry>>>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Health {
    enabled: Option<Spanned<bool>>,
    interval: Option<Spanned<Text<HealthInterval>>>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, expecting = "[targets] with `default`; a target is a [[target]]")]
struct Targets {
    default: Option<Spanned<bool>>,
}

table_with_role! {
    struct Target {
        name: Text<OutletName>,
        path: Text<AbsolutePath>,
        profile: Option<Text<ProfileName>>,
        owner: Option<Text<AccountName>>,
        group: Option<Text<AccountName>>,
        mode: Option<Text<FileMode>>,
        reload: Option<ReloadTable>,
    }
}

/// Reads `text` over what is set already. What is wrong with a target or a consumer disables that one
/// alone; policies are read by `policy`.
///
/// # Errors
///
/// What is wrong with the rest, which is everybody's.
pub(super) fn merge(
    settings: &mut Settings,
    path: &Path,
    text: &str,
    policy: &mut Policies<'_>,
) -> Result<(), ConfigError> {
    let invalid = |Misplaced { span, message, .. }: Misplaced| {
        let (line, column) = position(text, &span);
        ConfigError::Invalid { path: path.to_owned(), line, column, message }
    };
    let mut tables = DeTable::parse(text).map_err(|error| invalid(error.into()))?;
    let mut take = |key: &str| array(tables.get_mut().remove(key)).map_err(invalid);
    let (targets, consumers) = (take("target")?, take("consumer")?);
    let file = File::deserialize(toml::Deserializer::from(tables));
    let file = file.map_err(|error| invalid(error.into()))?;
    let origin =
        |span: Range<usize>| Origin::File { path: path.to_owned(), line: position(text, &span).0 };

    if let Some(identity) = file.identity {
        identity::merge(&mut settings.identity, identity, origin);
    }
    if let Some(service) = file.service {
        set(&mut settings.region, service.region, |Text(region)| Some(region), origin);
        set(&mut settings.endpoint_url, service.endpoint_url, |Text(Url(url))| Some(url), origin);
        let url = |Text(Url(url))| Some(url);
        set(&mut settings.sts_endpoint_url, service.sts_endpoint_url, url, origin);
        set(&mut settings.fips, service.fips, |fips| fips, origin);
        set(&mut settings.dual_stack, service.dual_stack, |dual_stack| dual_stack, origin);
        let bundle = |Text(AbsolutePath(path))| Some(path);
        set(&mut settings.ca_bundle, service.ca_bundle, bundle, origin);
        set(&mut settings.proxy, service.proxy, |Text(Url(url))| Some(url), origin);
        set(&mut settings.timeout, service.timeout, |Text(Bounded(time, ..))| time, origin);
    }
    if let Some(refresh) = file.refresh {
        set(&mut settings.interval, refresh.interval, |Text(Bounded(time, ..))| time, origin);
        set(&mut settings.on_expiry, refresh.on_expiry, |Text(on_expiry)| on_expiry, origin);
    }
    if let Some(health) = file.health {
        set(&mut settings.health, health.enabled, |enabled| enabled, origin);
        let interval = |Text(Bounded(time, ..))| time;
        set(&mut settings.health_interval, health.interval, interval, origin);
    }
    if let Some(log) = file.log {
        set(&mut settings.log_level, log.level, |Text(level)| level, origin);
    }
    if let Some(endpoints) = file.endpoint {
        endpoint::merge(settings, endpoints, origin);
        endpoint::check(settings).map_err(|message| invalid((0..0, message).into()))?;
    }
    if let Some(reload) = file.reload {
        let program = |Text(AbsolutePath(path))| Some(path);
        set(&mut settings.systemctl, reload.systemctl, program, origin);
    }
    if let Some(targets) = file.targets {
        set(&mut settings.default_target, targets.default, |default| default, origin);
    }
    let directory = path.parent().unwrap_or(Path::new("/"));
    let disabled = |kind, table: &Spanned<DeValue<'_>>, misplaced: Misplaced| {
        let (line, column) = position(text, &misplaced.span);
        let place = format!("{}:{line}:{column}", path.display());
        let remedy = misplaced.remedy.unwrap_or_else(|| MEND.to_owned());
        let why = (misplaced.message, remedy);
        salvage(kind, table.get_ref(), origin(table.span()), place, why)
    };
    for table in targets {
        let read = read_table(&table)
            .and_then(|target| target_settings(target, origin(table.span()), directory, policy))
            .map_or_else(|it| Table::disabled(disabled(Kind::Target, &table, it)), Table::Usable);
        settings.targets.insert(read, path);
    }
    for table in consumers {
        let span = table.span();
        let read = read_table(&table)
            .and_then(|it| consumer::settings(it, &span, origin(span.clone()), directory, policy))
            .map_or_else(|it| Table::disabled(disabled(Kind::Consumer, &table, it)), Table::Usable);
        settings.consumers.insert(read, path);
    }
    Ok(())
}

/// Reads a policy's file.
pub(super) type Policies<'a> = dyn FnMut(&Path) -> Result<String, String> + 'a;

/// What helps against most mistakes.
const MEND: &str = "mend that line, then rolekeeper reload";

/// The elements of `[[target]]` or `[[consumer]]`, unread.
fn array(value: Option<Spanned<DeValue<'_>>>) -> Result<Vec<Spanned<DeValue<'_>>>, Misplaced> {
    let Some(value) = value else { return Ok(Vec::new()) };
    let span = value.span();
    match value.into_inner() {
        DeValue::Array(tables) => Ok(tables.into_iter().collect()),
        _ => Err((span, "expected [[target]] and [[consumer]], in double brackets".into()).into()),
    }
}

fn read_table<'de, T: Deserialize<'de>>(table: &Spanned<DeValue<'de>>) -> Result<T, Misplaced> {
    T::deserialize(ValueDeserializer::from(table.clone())).map_err(|error| {
        let whole = table.span();
        let misplaced = Misplaced::from(error);
        if misplaced.span.is_empty() { Misplaced { span: whole, ..misplaced } } else { misplaced }
    })
}

pub(super) fn set<T, U>(
    setting: &mut Setting<T>,
    read: Option<Spanned<U>>,
    value: impl FnOnce(U) -> T,
    origin: impl Fn(Range<usize>) -> Origin,
) {
    if let Some(read) = read {
        let origin = origin(read.span());
        *setting = Setting { value: value(read.into_inner()), origin };
    }
}

fn target_settings(
    mut target: Target,
    origin: Origin,
    directory: &Path,
    policy: &mut Policies<'_>,
) -> Result<TargetSettings, Misplaced> {
    let account = |name: Option<Text<AccountName>>| name.map(|Text(AccountName(name))| name);
    Ok(TargetSettings {
        assumption: target.take_role_keys().assumption(directory, policy)?,
        name: target.name.0.0,
        path: target.path.0.0,
        profile: target.profile.map_or_else(ProfileName::default, |Text(name)| name),
        owner: account(target.owner),
        group: account(target.group),
        mode: target.mode.map_or(super::DEFAULT_MODE, |Text(FileMode(mode))| mode),
        reload: target.reload.map(Into::into),
        origin,
    })
}

/// A TOML string that is parsed where it stands, so that the error has its place.
pub(super) struct Text<T>(pub(super) T);

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Parse<T>(PhantomData<T>);

        impl<T: FromStr<Err: fmt::Display>> Visitor<'_> for Parse<T> {
            type Value = Text<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Text<T>, E> {
                text.parse().map(Text).map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Parse(PhantomData))
    }
}

pub(super) struct Url(pub(super) String);

impl FromStr for Url {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let uri = text.parse::<http::Uri>().ok();
        let usable = uri.is_some_and(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some()
        });
        if usable {
            Ok(Self(text.to_owned()))
        } else {
            Err("expected a URL such as https://example.com or http://127.0.0.1:4599")
        }
    }
}

pub(super) struct AbsolutePath(pub(super) PathBuf);

impl FromStr for AbsolutePath {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let path = PathBuf::from(text);
        let plain = path.is_absolute() && path.file_name().is_some() && !text.contains("/../");
        if plain { Ok(Self(path)) } else { Err("expected an absolute path of a file") }
    }
}

pub(super) struct OutletName(pub(super) String);

impl FromStr for OutletName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if (1..=64).contains(&text.len()) && text.bytes().all(plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err("expected a name of letters, digits, '-', '_' and '.'")
        }
    }
}

pub(super) struct AccountName(pub(super) String);

impl FromStr for AccountName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let plain = |b: u8| b.is_ascii_graphic() && !matches!(b, b':' | b'/' | b',');
        if !text.is_empty() && text.bytes().all(plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err("expected the name or the number of a user or group")
        }
    }
}

pub(super) struct FileMode(pub(super) u32);

impl FromStr for FileMode {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let octal = text.len() <= 4 && text.bytes().all(|b| b.is_ascii_digit());
        let mode = u32::from_str_radix(text, 8).ok().filter(|_| octal);
        let mode = mode.ok_or("expected an octal mode such as \"0640\"")?;
        if mode & 0o600 != 0o600 {
            Err("the owner must be able to read and write the file: expected 0600, 0640 or 0644")
        } else if mode & !0o644 != 0 {
            Err("credentials are never executable and never writable by others than the owner: \
                 expected 0600, 0640 or 0644")
        } else {
            Ok(Self(mode))
        }
    }
}

impl FromStr for OnExpiry {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        match text {
            "keep" => Ok(Self::Keep),
            "withdraw" => Ok(Self::Withdraw),
            _ => Err("expected \"withdraw\" or \"keep\""),
        }
    }
}

/// A duration within bounds, in seconds.
pub(super) struct Bounded<const LEAST: u64, const MOST: u64>(pub(super) Duration);

/// Shorter than a second is a hot loop; longer than a day misses every expiry.
type Interval = Bounded<1, 86_400>;

/// The service shows a node as lost after about an hour without a ping.
type HealthInterval = Bounded<60, 3_600>;

/// With three attempts in a minute, a recovered service is heard within five minutes.
type Timeout = Bounded<1, 20>;

impl<const LEAST: u64, const MOST: u64> FromStr for Bounded<LEAST, MOST> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let duration = parse_duration(text).map_err(|error| error.to_string())?;
        let (least, most) = (Duration::from_secs(LEAST), Duration::from_secs(MOST));
        if (least..=most).contains(&duration) {
            Ok(Self(duration))
        } else {
            let show = crate::pure::duration::display_duration;
            Err(format!("expected {} to {}", show(least), show(most)))
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Settings of a file's text, or the first thing that is wrong, and where.
    pub(in crate::config) fn read(text: &str) -> Result<Settings, String> {
        let settings = read_all(&[("/etc/x.toml", text)]).map_err(|error| error.to_string())?;
        let first = settings.disabled().next();
        let wrong = first.map(|disabled| format!("{}: {}", disabled.place, disabled.error));
        wrong.map_or(Ok(settings), Err)
    }

    /// Settings of these files' texts, whatever is disabled.
    pub(in crate::config) fn read_all(files: &[(&str, &str)]) -> Result<Settings, ConfigError> {
        let mut settings = Settings::default();
        for (path, text) in files {
            merge(&mut settings, Path::new(path), text, &mut |_| Err("no such file".to_owned()))?;
        }
        settings.settle();
        Ok(settings)
    }

    #[test]
    fn values_carry_the_line_they_stand_on() {
        let text = "[service]\nregion = \"eu-central-1\"\n\n[refresh]\ninterval = \"10m\"\n";
        let settings = read(text).unwrap();
        assert_eq!(settings.region.value.unwrap().as_str(), "eu-central-1");
        assert_eq!(settings.region.origin.to_string(), "/etc/x.toml:2");
        assert_eq!(settings.interval.value, Duration::from_secs(600));
        assert_eq!(settings.interval.origin.to_string(), "/etc/x.toml:5");
        assert_eq!(settings.fips.origin, Origin::Default);
    }

    #[test]
    fn an_unknown_key_is_named_with_its_place() {
        let error = read("[service]\nregion = \"eu-central-1\"\n  regoin = \"x\"\n").unwrap_err();
        assert!(error.starts_with("/etc/x.toml:3:3: unknown field `regoin`"), "{error}");
    }

    #[test]
    fn values_of_the_wrong_shape_say_what_was_expected() {
        for (text, expected) in [
            ("[service]\nregion = \"Frankfurt\"", ":2:10: region 'Frankfurt'"),
            ("[service]\nregion = 7", ":2:10: invalid type"),
            ("[service]\nendpoint_url = \"localhost:4599\"", "expected a URL"),
            ("[refresh]\ninterval = \"soon\"", "expected a number and a unit"),
            ("[refresh]\ninterval = \"0s\"", "expected 1s to 1d"),
            ("[[target]]\nname = \"a\"\npath = \"credentials\"", "absolute path"),
            ("[[target]]\nname = \"a\"\npath = \"/c\"\nmode = \"0666\"", "never writable"),
            ("[[target]]\nname = \"a\"\npath = \"/c\"\nmode = \"0750\"", "never executable"),
            ("[[target]]\nname = \"a\"\npath = \"/c\"\nprofile = \"a b\"", "profile 'a b'"),
            ("[[target]]\npath = \"/c\"", "missing field `name`"),
            ("[service", "/etc/x.toml:1:"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn a_later_file_replaces_a_target_and_one_file_may_not() {
        let target = |path: &str| format!("[[target]]\nname = \"a\"\npath = \"{path}\"\n");
        let (one, two) = (target("/one"), target("/two"));
        let settings = read_all(&[("/1.toml", &one), ("/2.toml", &two)]).unwrap();
        assert_eq!(settings.targets.len(), 1);
        assert_eq!(settings.targets[0].path, Path::new("/two"));
        let twice = target("/one") + &target("/two");
        assert!(read(&twice).unwrap_err().contains("stands twice"));
    }

    #[test]
    fn targets_may_share_a_file_but_neither_profile_nor_opinion() {
        let target = |name: &str, more: &str| {
            format!("[[target]]\nname = \"{name}\"\npath = \"/c\"\n{more}\n")
        };
        let first = target("a", "");
        assert!(read(&(first.clone() + &target("b", "profile = \"b\""))).is_ok());
        for (second, expected) in [
            (target("b", ""), "/etc/x.toml:5: writes the same profile"),
            (target("b", "profile = \"b\"\nmode = \"0600\""), "than target 'a' (/etc/x.toml:1)"),
            (target("b", "profile = \"b\"\nowner = \"root\""), "another owner"),
        ] {
            let error = read(&(first.clone() + &second)).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
