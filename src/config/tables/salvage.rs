//! What can be read of a `[[target]]` or a `[[consumer]]` that cannot be used: above all whom it is for.

use std::path::PathBuf;
use std::str::FromStr;

use toml::de::DeValue;

use super::super::consumer::UnitName;
use super::super::role::ROLE_KEYS;
use super::super::value::{AbsolutePath, AccountName, OutletName};
use super::super::{DEFAULT_MODE, Origin};
use super::{DisabledTable, ServiceAccount, Whom};
use crate::pure::disabled::{Disabled, Kind};

/// What can be read of a table that cannot be used.
pub(in crate::config) fn salvage(
    kind: Kind,
    table: &DeValue<'_>,
    origin: Origin,
    place: String,
    (error, remedy): (String, String),
) -> DisabledTable {
    let text = |key: &str| table.get(key).map(|value| value.get_ref()).and_then(DeValue::as_str);
    // It goes into logs and pages of one line each.
    let error = error.replace(char::is_control, " ");
    let name = text("name").filter(|name| name.parse::<OutletName>().is_ok()).map(str::to_owned);
    let path = text("path").and_then(|path| path.parse::<AbsolutePath>().ok());
    DisabledTable {
        fault: Disabled { kind, name, place, error, remedy },
        whom: match kind {
            Kind::Target => file_readers(table),
            Kind::Consumer => whom(table),
        },
        path: path.map(|AbsolutePath(path)| path),
        origin,
    }
}

/// Keys of a consumer that do not say whom it is for, beside those of a role. Any other key may be a misspelt `users`.
const SAY_NO_ACCOUNT: [&str; 6] = ["name", "target", "token_file", "mode", "owner", "group"];

/// Everything in a consumer that may be the name of a user or of a group. With none of them readable,
/// nobody knows whom it was to serve.
fn whom(table: &DeValue<'_>) -> Whom {
    let mut whom = Whom::default();
    let Some(keys) = table.as_table() else { return Whom { incomplete: true, ..whom } };
    for (key, value) in keys {
        let read = match key.get_ref().as_ref() {
            // Units and programs only narrow. With one that is no such name the table counts as if it
            // named none: it is for more, and all of these are known.
            "units" => {
                whom.units = texts::<UnitName>(value.get_ref()).unwrap_or_default();
                Some(())
            }
            "executables" => {
                let paths = texts::<AbsolutePath>(value.get_ref()).unwrap_or_default();
                whom.executables = paths.into_iter().map(PathBuf::from).collect();
                Some(())
            }
            key if SAY_NO_ACCOUNT.contains(&key) || ROLE_KEYS.contains(&key) => Some(()),
            key => {
                let (mut names, complete) = names(value.get_ref());
                if key != "groups" {
                    whom.users.extend(names.iter().cloned());
                }
                if key != "users" {
                    whom.groups.append(&mut names);
                }
                complete.then_some(())
            }
        };
        whom.incomplete |= read.is_none();
    }
    whom.incomplete |= whom.users.is_empty() && whom.groups.is_empty();
    whom
}

/// Keys of a target that do not say whom its file is for, beside those of a role. Any other key may be a
/// misspelt one that does.
const SAY_NO_READER: [&str; 4] = ["name", "path", "profile", "reload"];

/// Whom a target's file was to be given to. A mode that cannot be read may be one for everyone.
fn file_readers(table: &DeValue<'_>) -> Whom {
    let Some(keys) = table.as_table() else { return Whom { incomplete: true, ..Whom::default() } };
    let (mut users, mut groups, mut incomplete) = (Vec::new(), Vec::new(), false);
    let mut mode = Some(DEFAULT_MODE);
    let mut misspelt_mode = 0;
    for (key, value) in keys {
        let value = value.get_ref();
        let (mut named, complete) = names(value);
        match key.get_ref().as_ref() {
            "mode" => mode = octal(value),
            "owner" => {
                users.append(&mut named);
                incomplete |= !complete;
            }
            "group" => {
                groups.append(&mut named);
                incomplete |= !complete;
            }
            key if SAY_NO_READER.contains(&key) || ROLE_KEYS.contains(&key) => {}
            _ => {
                misspelt_mode |= octal(value).unwrap_or(0);
                users.extend(named.iter().cloned());
                groups.append(&mut named);
                // No account has a text for its name that is not one.
                incomplete |= !complete && value.as_str().is_none();
            }
        }
    }
    let whom = readers(users, groups, mode.map(|mode| mode | misspelt_mode));
    Whom { incomplete, ..whom }
}

/// Who reads a file of this owner, this group and this mode, which are the service's where none is named.
/// The service's group is meant only where nobody is.
pub(super) fn readers(users: Vec<String>, groups: Vec<String>, mode: Option<u32>) -> Whom {
    let reads = |bit: u32| mode.is_none_or(|mode| mode & bit != 0);
    let service = match (users.is_empty(), groups.is_empty()) {
        (true, true) if reads(0o040) => Some(ServiceAccount::UserAndGroup),
        (true, _) => Some(ServiceAccount::User),
        (false, _) => None,
    };
    let groups = if reads(0o040) { groups } else { Vec::new() };
    Whom { users, groups, everyone: reads(0o004), service, ..Whom::default() }
}

/// The mode that somebody means who writes it as a text or as a number.
fn octal(value: &DeValue<'_>) -> Option<u32> {
    let digits = match value {
        DeValue::String(text) => text.as_ref(),
        DeValue::Integer(number) if matches!(number.radix(), 8 | 10) => number.as_str(),
        _ => return None,
    };
    let mode = u32::from_str_radix(digits.trim().trim_start_matches("0o"), 8).ok()?;
    (mode <= 0o7777).then_some(mode)
}

/// The names and numbers of accounts in a value of any shape, and whether there is nothing else.
fn names(value: &DeValue<'_>) -> (Vec<String>, bool) {
    match value {
        DeValue::String(text) if text.parse::<AccountName>().is_ok() => {
            (vec![text.to_string()], true)
        }
        DeValue::Integer(number) if number.radix() == 10 => (vec![number.to_string()], true),
        DeValue::Array(items) => {
            let read = items.iter().map(|item| names(item.get_ref())).collect::<Vec<_>>();
            let complete = read.iter().all(|(_, complete)| *complete);
            (read.into_iter().flat_map(|(names, _)| names).collect(), complete)
        }
        _ => (Vec::new(), false),
    }
}

/// The texts of an array that has nothing but such.
fn texts<T: FromStr>(value: &DeValue<'_>) -> Option<Vec<String>> {
    let texts = value.as_array()?.iter().map(|item| item.get_ref().as_str());
    texts.map(|text| text.filter(|text| text.parse::<T>().is_ok()).map(str::to_owned)).collect()
}
