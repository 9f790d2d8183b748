//! What ships beside the binary agrees with it: the unit, its user, its directories, the example
//! settings. What systemd itself thinks of the unit is asked by `.ci/run`, and looked at under a real
//! one by `tests/unit-in-nspawn.sh`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use rolekeeper::config::{DEFAULT_RELOAD_INTERVAL, DEFAULT_RELOAD_JITTER, Settings};
use rolekeeper::pure::advice::Exit;
use rolekeeper::pure::assumption::SessionDuration;
use rolekeeper::pure::reload::Pace;

const EXAMPLE_SETTINGS: &str = "packaging/rolekeeper.toml";

const EXAMPLE_SETTINGS_NAME: &str = "rolekeeper.toml";

#[test]
fn a_restart_is_tried_after_those_failures_that_it_can_mend() {
    let unit = unit();
    let never = unit.value("RestartPreventExitStatus").split(' ').collect::<BTreeSet<_>>();
    for exit in [
        Exit::Done,
        Exit::Usage,
        Exit::BadData,
        Exit::NoInput,
        Exit::NoUser,
        Exit::Unavailable,
        Exit::Bug,
        Exit::CannotCreate,
        Exit::TryAgain,
        Exit::Refused,
        Exit::Configuration,
    ] {
        // A new variant has to be placed here before this compiles.
        let permanent = match exit {
            Exit::Usage
            | Exit::BadData
            | Exit::NoInput
            | Exit::NoUser
            | Exit::Refused
            | Exit::Configuration => true,
            Exit::Done | Exit::Unavailable | Exit::Bug | Exit::CannotCreate | Exit::TryAgain => {
                false
            }
        };
        assert_eq!(never.contains((exit as u8).to_string().as_str()), permanent, "{exit:?}");
    }
    assert_eq!(unit.value("Restart"), "on-failure");
    // It waits for the outcome, and its status is that of systemctl.
    assert_eq!(unit.value("ExecReload"), "/usr/bin/rolekeeper reload");
}

#[test]
fn the_service_is_told_apart_by_name_alike_everywhere() {
    let unit = unit();
    let user = unit.value("User");
    assert_eq!(unit.value("Group"), user);

    let sysusers = words("systemd/rolekeeper.sysusers.conf");
    assert_eq!(sysusers.len(), 1);
    assert_eq!(sysusers[0][..2], ["u", user]);

    let state = format!("/var/lib/{}", unit.value("StateDirectory"));
    assert_eq!(sysusers[0].last().unwrap(), &state);

    let tmpfiles = words("systemd/rolekeeper.tmpfiles.conf");
    let made = |path: &str, mode: &str, owner: &str| {
        tmpfiles.iter().any(|line| line[..5] == ["d", path, mode, owner, owner])
    };
    assert!(made(&state, unit.value("StateDirectoryMode"), user));
    let settings = format!("/etc/{}", unit.value("ConfigurationDirectory"));
    assert!(made(&settings, unit.value("ConfigurationDirectoryMode"), "root"));
    assert!(made(&format!("{settings}/conf.d"), "0755", "root"));
}

#[test]
fn the_vault_is_closed_and_the_way_to_the_credentials_file_is_open() {
    let unit = unit();
    assert_eq!(unit.value("StateDirectoryMode"), "0700");
    assert_eq!(unit.value("RuntimeDirectoryMode"), "0755");
    assert_eq!(unit.value("RuntimeDirectoryPreserve"), "yes");
    assert_eq!(unit.value("UMask"), "0077");
    assert_eq!(unit.value("LimitCORE"), "0");
}

#[test]
fn the_sandbox_leaves_what_the_daemon_looks_at() {
    let unit = unit();
    // sysinfo then answers zero without an error, and the machine is no longer itself.
    assert!(!unit.has("ProcSubset"));
    // The host name is one of the attributes; a private one would not follow a change.
    assert!(!unit.has("ProtectHostname"));
    // Owners would show as nobody, and so would the peers of the control socket.
    assert!(!unit.has("PrivateUsers"));
    let families = unit.value("RestrictAddressFamilies").split(' ').collect::<BTreeSet<_>>();
    assert_eq!(families, ["AF_INET", "AF_INET6", "AF_NETLINK", "AF_UNIX"].into());
}

#[test]
fn no_capability_is_held_unless_an_example_grants_it() {
    let unit = unit();
    assert_eq!(unit.value("CapabilityBoundingSet"), "");
    assert_eq!(unit.value("AmbientCapabilities"), "");
    let example = Unit::read("systemd/examples/targets-of-other-users.conf");
    assert_eq!(example.value("CapabilityBoundingSet"), example.value("AmbientCapabilities"));
}

#[test]
fn an_optional_credential_cannot_stop_the_service() {
    // With a path behind the name, systemd refuses to start the unit once the file is gone.
    assert_eq!(unit().value("LoadCredentialEncrypted"), "activation");
}

#[test]
fn the_example_settings_change_nothing_as_they_are() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(EXAMPLE_SETTINGS);
    let shipped = Settings::load(Some(&path)).unwrap();
    let files = shipped.files.clone();
    assert_eq!(files.paths().collect::<Vec<_>>(), [path]);
    let default = Settings { files, ..Settings::default() };
    assert_eq!(
        (shipped.show(Path::new("/d")), shipped.disabled().count()),
        (default.show(Path::new("/d")), 0)
    );
}

#[test]
fn a_default_that_the_example_settings_show_is_the_default() {
    let settings = all_switched_on();
    let default = Settings::default();
    assert_eq!(settings.fips.value, default.fips.value);
    assert_eq!(settings.dual_stack.value, default.dual_stack.value);
    assert_eq!(settings.timeout.value, default.timeout.value);
    assert_eq!(settings.interval.value, default.interval.value);
    assert_eq!(settings.on_expiry.value, default.on_expiry.value);
    assert_eq!(settings.health.value, default.health.value);
    assert_eq!(settings.health_interval.value, default.health_interval.value);
    let paces = settings.targets.iter().filter_map(|target| target.reload.as_ref());
    let default = Pace { min_interval: DEFAULT_RELOAD_INTERVAL, jitter: DEFAULT_RELOAD_JITTER };
    assert_eq!(paces.map(|reload| reload.pace).collect::<Vec<_>>(), [default; 2]);
}

/// Each service of the example settings may be told by the example rule, in its one way.
#[test]
fn the_example_rule_allows_what_the_example_settings_want() {
    let rule = read("systemd/examples/50-rolekeeper.rules");
    assert!(rule.contains(&format!("subject.user === \"{}\"", unit().value("User"))));
    let allowed = rule.lines().filter_map(|line| {
        let (unit, verb) = line.trim().trim_end_matches(',').split_once(": ")?;
        unit.contains(".service\"").then(|| (unit.replace('"', ""), verb.replace('"', "")))
    });
    let wanted = all_switched_on();
    let wanted = wanted.targets.iter().filter_map(|target| {
        let reload = target.reload.as_ref()?;
        let verb = if reload.signal.is_some() { "kill" } else { "reload-or-try-restart" };
        Some((reload.unit.to_string(), verb.to_owned()))
    });
    assert_eq!(allowed.collect::<BTreeSet<_>>(), wanted.collect());
}

#[test]
fn the_example_settings_leave_none_out() {
    let switched_on = all_switched_on().show(Path::new("/d"));
    // Every line has an origin behind it: for each key there is one that is not the built-in one.
    let key = |line: &str| line.split_once(" = ").map(|(key, _)| key.to_owned());
    let (given, built_in) = switched_on
        .lines()
        .filter(|line| key(line).is_some())
        .partition::<Vec<_>, _>(|line| line.contains(EXAMPLE_SETTINGS_NAME));
    let given = given.into_iter().filter_map(key).collect::<BTreeSet<_>>();
    for line in built_in {
        assert!(given.contains(&key(line).unwrap()), "not in the example: {line}");
    }
    assert!(!switched_on.lines().any(|line| line.starts_with('#')), "{switched_on}");
    let targets = all_switched_on().targets;
    assert_eq!(targets.len(), 6);
    assert_eq!(targets[2].assumption.as_ref().unwrap().duration, SessionDuration::default());
    let consumers = all_switched_on().consumers;
    assert_eq!((consumers.len(), consumers[1].assumption.is_some()), (2, true));
}

/// The example with every setting in force: prose has a blank behind its mark, settings have none.
fn all_switched_on() -> Settings {
    let text = read(EXAMPLE_SETTINGS);
    let switched_on = text.lines().map(|line| match line.strip_prefix('#') {
        Some(setting) if !setting.starts_with(' ') => setting,
        _ => line,
    });
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(EXAMPLE_SETTINGS_NAME);
    fs::write(&path, switched_on.collect::<Vec<_>>().join("\n")).unwrap();
    let settings = Settings::load(Some(&path)).unwrap();
    assert_eq!(settings.disabled().next(), None);
    settings
}

/// A unit or a drop-in: its assignments in order.
struct Unit(Vec<(String, String)>);

impl Unit {
    fn read(path: &str) -> Self {
        let assignments = lines(path)
            .into_iter()
            .filter(|line| !line.starts_with('['))
            .map(|line| {
                let (key, value) = line.split_once('=').unwrap_or_else(|| panic!("{path}: {line}"));
                (key.to_owned(), value.to_owned())
            })
            .collect();
        Self(assignments)
    }

    /// The value of a key that stands exactly once.
    fn value(&self, key: &str) -> &str {
        let mut values = self.0.iter().filter(|(name, _)| name == key);
        let (_, value) = values.next().unwrap_or_else(|| panic!("no {key}="));
        assert!(values.next().is_none(), "{key}= twice");
        value
    }

    fn has(&self, key: &str) -> bool {
        self.0.iter().any(|(name, _)| name == key)
    }
}

fn unit() -> Unit {
    Unit::read("systemd/rolekeeper.service")
}

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The lines of a file that are neither empty nor comments.
fn lines(path: &str) -> Vec<String> {
    read(path)
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with(['#', ';']))
        .map(str::to_owned)
        .collect()
}

fn words(path: &str) -> Vec<Vec<String>> {
    lines(path).iter().map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
}
