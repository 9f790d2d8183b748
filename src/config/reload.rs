//! What a target says of the service that is told when its credentials are new, and where `systemctl`
//! is.

use serde::Deserialize;
use toml::Spanned;

use super::value::{AbsolutePath, Bounded, Text};
use super::{DEFAULT_RELOAD_INTERVAL, DEFAULT_RELOAD_JITTER};
use crate::pure::reload::{Pace, Reload};
use crate::pure::unit::{ServiceName, SignalName};

/// `[reload]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Reloads {
    pub(super) systemctl: Option<Spanned<Text<AbsolutePath>>>,
}

/// A target's `reload = { … }`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReloadTable {
    unit: Text<ServiceName>,
    signal: Option<Text<SignalName>>,
    min_interval: Option<Text<MinInterval>>,
    jitter: Option<Text<Jitter>>,
}

/// Credentials live for an hour: a longer interval would always have to yield.
type MinInterval = Bounded<1, 3_600>;

/// Of the half hour that credentials last after their renewal, enough is left.
type Jitter = Bounded<0, 600>;

impl From<ReloadTable> for Reload {
    fn from(table: ReloadTable) -> Self {
        Self {
            unit: table.unit.0,
            signal: table.signal.map(|Text(signal)| signal),
            pace: Pace {
                min_interval: table
                    .min_interval
                    .map_or(DEFAULT_RELOAD_INTERVAL, |Text(Bounded(time))| time),
                jitter: table.jitter.map_or(DEFAULT_RELOAD_JITTER, |Text(Bounded(time))| time),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::super::file::tests::read;
    use super::*;

    fn target(name: &str, reload: &str) -> String {
        format!("[[target]]\nname = \"{name}\"\npath = \"/{name}\"\nreload = {reload}\n")
    }

    #[test]
    fn a_service_is_reloaded_or_signalled_at_a_pace() {
        let text = target("a", "{ unit = \"a.service\" }")
            + &target(
                "b",
                "{ unit = \"b@1.service\", signal = \"SIGHUP\", min_interval = \"1m\", jitter = \"0s\" }",
            )
            + "[reload]\nsystemctl = \"/opt/systemctl\"\n";
        let settings = read(&text).unwrap();
        let [Some(a), Some(b)] = [0, 1].map(|index| settings.targets[index].reload.clone()) else {
            panic!("{settings:?}");
        };
        assert_eq!((a.unit.as_str(), a.signal), ("a.service", None));
        assert_eq!(a.pace.min_interval, DEFAULT_RELOAD_INTERVAL);
        assert_eq!(a.pace.jitter, DEFAULT_RELOAD_JITTER);
        assert_eq!((b.unit.as_str(), b.signal.unwrap().as_str()), ("b@1.service", "SIGHUP"));
        assert_eq!(b.pace.min_interval, Duration::from_secs(60));
        assert_eq!(b.pace.jitter, Duration::ZERO);
        assert_eq!(settings.systemctl.value.as_deref(), Some(Path::new("/opt/systemctl")));
        assert_eq!(settings.systemctl.origin.to_string(), "/etc/x.toml:10");
    }

    #[test]
    fn what_systemd_would_refuse_is_refused_with_its_place() {
        for (reload, expected) in [
            ("{ unit = \"legacy\" }", ":4:19: expected a service's whole name"),
            ("{ unit = \"a@.service\" }", ":4:19: a template has to be given an instance"),
            ("{ unit = \"*.service\" }", ":4:19: expected a service's whole name"),
            ("{ unit = \"a.service\", signal = \"HUP\" }", ":4:41: expected a signal's name"),
            ("{ unit = \"a.service\", signal = \"SIGKILL\" }", "no program can catch this signal"),
            ("{ unit = \"a.service\", min_interval = \"0s\" }", "expected 1s to 1h"),
            ("{ unit = \"a.service\", jitter = \"11m\" }", ":4:41: expected 0s to 10m"),
            ("{ unit = \"a.service\", interval = \"1m\" }", ":4:32: unknown field `interval`"),
            ("{ signal = \"SIGHUP\" }", "missing field `unit`"),
            ("\"a.service\"", ":4:10: invalid type"),
        ] {
            let error = read(&target("a", reload)).unwrap_err();
            assert!(error.contains(expected), "{reload}: {error}");
        }
        let error = read("[reload]\nsystemctl = \"systemctl\"\n").unwrap_err();
        assert!(error.contains(":2:13: expected an absolute path"), "{error}");
    }

    #[test]
    fn targets_may_share_a_service_with_one_opinion() {
        let first = target("a", "{ unit = \"a.service\" }");
        assert!(read(&(first.clone() + &target("b", "{ unit = \"a.service\" }"))).is_ok());
        let other = target("b", "{ unit = \"a.service\", signal = \"SIGHUP\" }");
        let error = read(&(first + &other)).unwrap_err();
        assert!(
            error.starts_with("/etc/x.toml:5: wants a.service told with another")
                && error.ends_with("than target 'a' (/etc/x.toml:1)"),
            "{error}"
        );
    }
}
