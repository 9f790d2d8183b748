//! A `[[consumer]]`: who may have credentials without a file of its own.

use std::path::PathBuf;

use super::file::Policies;
use super::merge::{Element, Sources};
use super::own_files::is_same;
use super::role::{Misplaced, table_with_role};
use super::tables::{CHANGE_ONE, Clash};
use super::value::{AbsolutePath, AccountName, FileMode, OutletName, Text};
use super::{DEFAULT_MODE, KeyOrigins, Origin, Tables, TargetSettings};
use crate::pure::assumption::Assumption;

/// A `[[consumer]]`. Names of users and groups are not looked up yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerSettings {
    pub name: String,
    /// The target whose credentials it gets; the registered role's when there is none.
    pub target: Option<String>,
    pub users: Vec<String>,
    pub groups: Vec<String>,
    /// Narrows: in one of these units of the service manager.
    pub units: Vec<String>,
    /// Narrows: running one of these programs.
    pub executables: Vec<PathBuf>,
    /// A role of its own, instead of the registered one.
    pub assumption: Option<Assumption>,
    /// For the container endpoint.
    pub token_file: Option<TokenFileSettings>,
    /// Where it begins.
    pub origin: Origin,
    pub keys: KeyOrigins,
}

/// Where a consumer finds its token for the container endpoint. Names are not looked up yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenFileSettings {
    pub path: PathBuf,
    pub owner: Option<String>,
    pub group: Option<String>,
    /// Permission bits.
    pub mode: u32,
}

table_with_role! {
    pub(super) struct Consumer {
        name: Text<OutletName>,
        target: Option<Text<OutletName>>,
        #[serde(default)]
        users: Vec<Text<AccountName>>,
        #[serde(default)]
        groups: Vec<Text<AccountName>>,
        #[serde(default)]
        units: Vec<Text<UnitName>>,
        #[serde(default)]
        executables: Vec<Text<AbsolutePath>>,
        token_file: Option<Text<AbsolutePath>>,
        owner: Option<Text<AccountName>>,
        group: Option<Text<AccountName>>,
        mode: Option<Text<FileMode>>,
    }
}

/// A consumer's settings.
///
/// # Errors
///
/// What is wrong, and where.
pub(super) fn settings(
    consumer: Consumer,
    element: &Element<'_>,
    sources: &Sources<'_>,
    policy: &mut Policies<'_>,
) -> Result<ConsumerSettings, Misplaced> {
    let access_alone = consumer.token_file.is_none()
        && (consumer.owner.is_some() || consumer.group.is_some() || consumer.mode.is_some());
    let consumer = consumer_settings(consumer, element, sources, policy)?;
    let wrong =
        |keys: &[&str], message: &str| Err((element.last_of(keys), message.to_owned()).into());
    if consumer.users.is_empty() && consumer.groups.is_empty() {
        let message = "names neither users nor groups; units and executables only narrow them";
        return wrong(&["users", "groups"], message);
    }
    if access_alone {
        return wrong(
            &["owner", "group", "mode"],
            "gives an owner, group or mode to a token_file that it does not name; who may ask \
             stands in users and groups",
        );
    }
    if consumer.target.is_some() && consumer.assumption.is_some() {
        return wrong(
            &["target", "role_arn", "role_chain"],
            "has a role of its own and a target's credentials: leave one out",
        );
    }
    Ok(consumer)
}

/// What a consumer cannot be beside the targets and the consumers before it. Both are asked for by
/// name, so a name is one or the other; and a file holds one thing.
pub(super) fn clash(
    consumer: &ConsumerSettings,
    before: &Tables<ConsumerSettings>,
    targets: &Tables<TargetSettings>,
) -> Option<Clash> {
    let usable = targets.iter().find(|target| target.name == consumer.name);
    // Once it is mended, it is one of them.
    let is_named = |name: &Option<String>| name.as_ref() == Some(&consumer.name);
    let disabled = || targets.disabled().find(|target| is_named(&target.fault.name));
    let named = usable.map(|it| &it.origin).or_else(|| disabled().map(|it| &it.origin));
    if let Some(origin) = named {
        let message = format!("that is the name of a target, too ({origin})");
        return Some(Clash { keys: &["name"], message, remedy: CHANGE_ONE });
    }
    let path = consumer.token_file.as_ref().map(|file| &file.path)?;
    let shares = |other: &&ConsumerSettings| {
        other.token_file.as_ref().is_some_and(|file| is_same(&file.path, path))
    };
    let other = before.iter().find(shares).map(|other| &other.origin);
    let target = targets.iter().find(|target| is_same(&target.path, path));
    let origin = other.or(target.map(|target| &target.origin))?;
    let message = format!("its token_file is another's file already ({origin})");
    Some(Clash { keys: &["token_file"], message, remedy: CHANGE_ONE })
}

fn consumer_settings(
    mut consumer: Consumer,
    element: &Element<'_>,
    sources: &Sources<'_>,
    policy: &mut Policies<'_>,
) -> Result<ConsumerSettings, Misplaced> {
    let accounts = |names: Vec<Text<AccountName>>| {
        names.into_iter().map(|Text(AccountName(name))| name).collect()
    };
    let assumption = consumer.take_role_keys().assumption(sources, policy)?;
    let account = |name: Option<Text<AccountName>>| name.map(|Text(AccountName(name))| name);
    let token_file = consumer.token_file.map(|Text(AbsolutePath(path))| TokenFileSettings {
        path,
        owner: account(consumer.owner),
        group: account(consumer.group),
        mode: consumer.mode.map_or(DEFAULT_MODE, |Text(FileMode(mode))| mode),
    });
    Ok(ConsumerSettings {
        assumption,
        name: consumer.name.0.0,
        target: consumer.target.map(|Text(OutletName(name))| name),
        users: accounts(consumer.users),
        groups: accounts(consumer.groups),
        units: consumer.units.into_iter().map(|Text(UnitName(unit))| unit).collect(),
        executables: consumer
            .executables
            .into_iter()
            .map(|Text(AbsolutePath(path))| path)
            .collect(),
        token_file,
        origin: sources.origin(&element.table.span()),
        keys: element.key_origins(sources),
    })
}

pub(super) struct UnitName(String);

impl std::str::FromStr for UnitName {
    type Err = &'static str;

    /// As systemd.unit(5) has it.
    fn from_str(text: &str) -> Result<Self, &'static str> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b":-_.\\@".contains(&b);
        let kinds = [".service", ".scope", ".socket", ".mount", ".swap"];
        let whole =
            kinds.iter().any(|kind| text.strip_suffix(kind).is_some_and(|name| !name.is_empty()));
        if whole && text.len() <= 255 && text.bytes().all(plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err("expected a unit's whole name, such as backup.service")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::file::tests::{read, read_all};
    use super::*;

    #[test]
    fn a_consumer_is_read_with_its_place() {
        let text = "[[consumer]]\nname = \"a\"\ntarget = \"t\"\nusers = [\"backup\", \"34\"]\n\
                    units = [\"backup@x.service\"]\nexecutables = [\"/usr/bin/restic\"]\n\
                    token_file = \"/run/t\"\ngroup = \"backup\"\n";
        let settings = read(text).unwrap();
        let keys = settings.consumers[0].keys.clone();
        assert_eq!(keys.of("users").to_string(), "/etc/x.toml:4");
        assert_eq!(
            settings.consumers.iter().cloned().collect::<Vec<_>>(),
            [ConsumerSettings {
                name: "a".into(),
                target: Some("t".into()),
                users: vec!["backup".into(), "34".into()],
                groups: vec![],
                units: vec!["backup@x.service".into()],
                executables: vec!["/usr/bin/restic".into()],
                assumption: None,
                token_file: Some(TokenFileSettings {
                    path: "/run/t".into(),
                    owner: None,
                    group: Some("backup".into()),
                    mode: 0o640,
                }),
                origin: Origin::File { path: "/etc/x.toml".into(), line: 1 },
                keys,
            }]
        );
    }

    #[test]
    fn what_would_open_a_door_by_mistake_is_refused() {
        let consumer = |more: &str| format!("[[consumer]]\nname = \"a\"\n{more}\n");
        for (text, expected) in [
            (consumer(""), ":1:1: names neither users nor groups"),
            (consumer("units = [\"a.service\"]"), "names neither users nor groups"),
            (consumer("users = [\"a\"]\nunits = [\"backup\"]"), ":4:10: expected a unit's whole"),
            (consumer("users = [\"a\"]\nunits = [\".service\"]"), "expected a unit's whole"),
            (consumer("users = [\"a\"]\nexecutables = [\"restic\"]"), "expected an absolute path"),
            (consumer("users = \"a\""), ":3:9: invalid type"),
            (consumer("users = [\"a\"]\nduration = \"1h\""), ":4:12: duration is of no use"),
            (
                consumer(
                    "users = [\"a\"]\ntarget = \"b\"\nrole_arn = \"arn:aws:iam::111122223333:role/b\"",
                ),
                ":5:12: has a role of its own and a target's",
            ),
            (consumer("users = [\"a:b\"]"), "expected the name or the number of a user"),
            (consumer("users = [\"a\"]\nuids = [1]"), ":4:1: unknown field `uids`"),
            (consumer("users = [\"a\"]\nmode = \"0600\""), "a token_file that it does not name"),
            (consumer("users = [\"a\"]\ntoken_file = \"t\""), ":4:14: expected an absolute path"),
            (
                consumer("users = [\"a\"]\ntoken_file = \"/c\"")
                    + "[[target]]\nname = \"b\"\npath = \"/c\"\n",
                ":1: its token_file is another's file already (/etc/x.toml:5)",
            ),
            (
                consumer("users = [\"a\"]\ntoken_file = \"/c\"")
                    + &consumer("users = [\"b\"]\ntoken_file = \"/c\"")
                        .replace("= \"a\"", "= \"b\""),
                ":5: its token_file is another's file already (/etc/x.toml:1)",
            ),
            (consumer("users = [\"a\"]").repeat(2), ":4:1: stands twice"),
            (
                consumer("users = [\"a\"]") + "[[target]]\nname = \"a\"\npath = \"/c\"\n",
                ":1: that is the name of a target, too (/etc/x.toml:4)",
            ),
        ] {
            let error = read(&text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn a_disabled_target_has_its_name_still() {
        let text =
            "[[target]]\nname = \"a\"\npath = \"c\"\n[[consumer]]\nname = \"a\"\nusers = [\"x\"]\n";
        let settings = read_all(&[("/etc/x.toml", text)]).unwrap();
        let faults = settings.disabled().map(|it| it.error.as_str()).collect::<Vec<_>>();
        assert_eq!(faults[1], "that is the name of a target, too (/etc/x.toml:1)");
    }

    #[test]
    fn a_later_file_names_other_users() {
        let consumer = |user: &str| format!("[[consumer]]\nname = \"a\"\nusers = [\"{user}\"]\n");
        let (one, two) = (consumer("one"), consumer("two"));
        let settings = read_all(&[("/1.toml", &one), ("/2.toml", &two)]).unwrap();
        assert_eq!(settings.consumers.len(), 1);
        assert_eq!(settings.consumers[0].users, ["two"]);
    }
}
