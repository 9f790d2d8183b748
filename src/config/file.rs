//! What stands in settings files: the keys and their types.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, Visitor};
use toml::Spanned;
use toml::de::{DeValue, ValueDeserializer};

use super::endpoint::{self, Endpoints};
use super::identity::{self, Identity};
use super::log::Log;
use super::merge::{Element, Merged, Sources};
use super::reload::{ReloadTable, Reloads};
use super::role::{Misplaced, table_with_role};
use super::tables::{Table, salvage};
use super::{
    ConfigError, OnExpiry, Origin, Setting, Settings, TargetSettings, consumer, without_account,
};
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
    proxy: Option<Spanned<Text<ProxyUrl>>>,
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

/// Reads the files' texts, in the order in which they count; one that is `alone` is checked alone. What
/// is wrong with a target or a consumer disables that one; policies are read by `policy`.
///
/// # Errors
///
/// What is wrong with the rest, which is everybody's.
pub(super) fn read(
    texts: &[(PathBuf, String)],
    alone: bool,
    policy: &mut Policies<'_>,
) -> Result<Settings, ConfigError> {
    let sources = Sources::of(texts);
    let mut settings = Settings::default();
    read_all(&mut settings, &sources, policy).map_err(|Misplaced { span, message, .. }| {
        let (path, line, column) = sources.place(&span);
        ConfigError::Invalid { path: path.to_owned(), line, column, message, alone }
    })?;
    settings.settle();
    Ok(settings)
}

fn read_all(
    settings: &mut Settings,
    sources: &Sources<'_>,
    policy: &mut Policies<'_>,
) -> Result<(), Misplaced> {
    let Merged { rest, targets, consumers } = Merged::of(sources)?;
    rest.get_ref().values().try_for_each(without_dates)?;
    let file = File::deserialize(toml::Deserializer::from(rest))?;
    let origin = |span: Range<usize>| sources.origin(&span);

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
        set(&mut settings.proxy, service.proxy, |Text(ProxyUrl(url))| Some(url), origin);
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
        endpoint::merge(settings, endpoints, origin)?;
    }
    if let Some(reload) = file.reload {
        let program = |Text(AbsolutePath(path))| Some(path);
        set(&mut settings.systemctl, reload.systemctl, program, origin);
    }
    if let Some(targets) = file.targets {
        set(&mut settings.default_target, targets.default, |default| default, origin);
    }
    for element in &targets {
        settings.targets.push(element_of(Kind::Target, element, sources, |table| {
            target_settings(read_table(table)?, element, sources, policy)
        }));
    }
    for element in &consumers {
        settings.consumers.push(element_of(Kind::Consumer, element, sources, |table| {
            consumer::settings(read_table(table)?, element, sources, policy)
        }));
    }
    Ok(())
}

/// A target or a consumer, disabled where it cannot be read.
fn element_of<T>(
    kind: Kind,
    element: &Element<'_>,
    sources: &Sources<'_>,
    settings: impl FnOnce(&Spanned<DeValue<'_>>) -> Result<T, Misplaced>,
) -> Table<T> {
    let table = &element.table;
    let read = match element.is_second {
        false => without_dates(table).and_then(|()| settings(table)),
        // Of two the first one counts.
        true => Err(Misplaced {
            span: table.span(),
            message: "stands twice in this file".to_owned(),
            remedy: Some(
                "give one of them another name, or remove it; then rolekeeper reload".to_owned(),
            ),
        }),
    };
    read.map_or_else(
        |Misplaced { span, message, remedy }| {
            let (path, line, column) = sources.place(&span);
            let place = format!("{}:{line}:{column}", path.display());
            let why = (message, remedy.unwrap_or_else(|| MEND.to_owned()));
            let origin = sources.origin(&table.span());
            Table::disabled(salvage(kind, table.get_ref(), origin, place, why))
        },
        Table::Usable,
    )
}

/// No setting is a date, and what is read in its place would not say so.
fn without_dates(value: &Spanned<DeValue<'_>>) -> Result<(), Misplaced> {
    match value.get_ref() {
        DeValue::Datetime(date) => {
            Err((value.span(), format!("{date} is a date here: expected a text in quotes")).into())
        }
        DeValue::Table(table) => table.values().try_for_each(without_dates),
        DeValue::Array(items) => items.iter().try_for_each(without_dates),
        _ => Ok(()),
    }
}

/// Reads a policy's file.
pub(super) type Policies<'a> = dyn FnMut(&Path) -> Result<String, String> + 'a;

/// What helps against most mistakes.
const MEND: &str = "mend that line, then rolekeeper reload";

fn read_table<'de, T: Deserialize<'de>>(
    table: &Spanned<DeValue<'de>>,
) -> Result<T, Misplaced> {
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
    element: &Element<'_>,
    sources: &Sources<'_>,
    policy: &mut Policies<'_>,
) -> Result<TargetSettings, Misplaced> {
    let account = |name: Option<Text<AccountName>>| name.map(|Text(AccountName(name))| name);
    Ok(TargetSettings {
        assumption: target.take_role_keys().assumption(sources, policy)?,
        name: target.name.0.0,
        path: target.path.0.0,
        profile: target.profile.map_or_else(ProfileName::default, |Text(name)| name),
        owner: account(target.owner),
        group: account(target.group),
        mode: target.mode.map_or(super::DEFAULT_MODE, |Text(FileMode(mode))| mode),
        reload: target.reload.map(Into::into),
        origin: sources.origin(&element.table.span()),
        keys: element.key_origins(sources),
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
                text.parse().map(Text).map_err(|error| match text {
                    "" => E::custom(format_args!("{error}; {NOTHING_TAKEN_BACK}")),
                    _ => E::custom(error),
                })
            }
        }

        deserializer.deserialize_str(Parse(PhantomData))
    }
}

/// What an empty value means, for whoever writes one by itself.
const NOTHING_TAKEN_BACK: &str =
    "an empty value takes back what an earlier file sets, and none sets this";

/// Without an account: it would be shown with the URL, and no request uses it.
pub(super) struct Url(pub(super) String);

impl FromStr for Url {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let ProxyUrl(url) = text
            .parse()
            .map_err(|_| "expected a URL such as https://example.com or http://127.0.0.1:4599")?;
        match without_account(&url) == url {
            true => Ok(Self(url)),
            false => Err("expected a URL without an account in front of its host"),
        }
    }
}

/// A URL that may say by which account.
pub(super) struct ProxyUrl(pub(super) String);

impl FromStr for ProxyUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let uri = text.parse::<http::Uri>().ok();
        let usable = uri.is_some_and(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https"))
                && uri.host().is_some_and(|host| !host.is_empty())
        });
        if usable {
            Ok(Self(text.to_owned()))
        } else {
            Err("expected a URL such as http://proxy.example.net:3128")
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
        if matches!(text, "." | "..") {
            // It is a part of a URL, in which these are steps.
            Err("'.' and '..' are no names")
        } else if (1..=64).contains(&text.len()) && text.bytes().all(plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err("expected a name of 1 to 64 letters, digits, '-', '_' and '.'")
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

/// Credentials live for an hour, so that 5 minutes gain nothing; and a thousand machines of one account are
/// 3 requests a second then, but 33 with the "30s" of somebody who meant "30m". Longer than a day misses
/// every expiry.
type Interval = Bounded<300, 86_400>;

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
        let own = files.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned()));
        let texts = own.collect::<Vec<_>>();
        super::read(&texts, false, &mut |_| Err("no such file".to_owned()))
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
            ("[refresh]\ninterval = \"0s\"", "expected 5m to 1d"),
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
    fn a_later_file_moves_a_target_and_one_file_may_not_name_it_twice() {
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
