//! What stands in settings files: the keys and their types.

use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::de::{Deserialize, IgnoredAny};
use toml::Spanned;
use toml::de::{DeValue, ValueDeserializer};

use super::endpoint::{self, Endpoints};
use super::identity::{self, Identity};
use super::log::Log;
use super::merge::{Element, Merged, Sources};
use super::reload::{ReloadTable, Reloads};
use super::role::{Misplaced, table_with_role};
use super::tables::{Table, salvage};
use super::value::{AbsolutePath, AccountName, Bounded, FileMode, OutletName, ProxyUrl, Text, Url};
use super::{ConfigError, OnExpiry, Origin, Setting, Settings, TargetSettings, consumer};
use crate::pure::disabled::Kind;
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
        |misplaced| {
            let (path, line, column) = sources.place(&misplaced.span);
            let place = format!("{}:{line}:{column}", path.display());
            let remedy = misplaced.remedy.unwrap_or_else(|| MEND.to_owned());
            let (origin, why) = (sources.origin(&table.span()), (misplaced.message, remedy));
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

/// Credentials live for an hour, so that 5 minutes gain nothing; and a thousand machines of one account are
/// 3 requests a second then, but 33 with the "30s" of somebody who meant "30m". Longer than a day misses
/// every expiry.
type Interval = Bounded<300, 86_400>;

/// The service shows a node as lost after about an hour without a ping.
type HealthInterval = Bounded<60, 3_600>;

/// With three attempts in a minute, a recovered service is heard within five minutes.
type Timeout = Bounded<1, 20>;

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

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
