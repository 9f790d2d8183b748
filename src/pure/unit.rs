//! Names that systemd knows: a service of its own, and a signal. Parsed when the settings are read, so
//! that nothing else reaches a command line.

use std::fmt;
use std::str::FromStr;

/// The longest name of a unit; systemd's `UNIT_NAME_MAX` counts the end of the string, too.
const LONGEST_NAME: usize = 255;

/// What a name may hold beside letters and digits (systemd.unit(5)). The `@` divides.
const MARKS: &[u8] = b":-_.\\@";

/// Signals by name, without those of real time (signal(7)).
const SIGNALS: [&str; 30] = [
    "ABRT", "ALRM", "BUS", "CHLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "KILL", "PIPE",
    "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP", "TTIN", "TTOU",
    "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU",
];

/// The kernel does these two by itself.
const NEVER_CAUGHT: [&str; 2] = ["KILL", "STOP"];

/// Signals of real time: `RTMIN+0` to `RTMIN+30`, and the same from `RTMAX` down (the C library keeps
/// two for itself).
const REAL_TIME: u8 = 30;

/// A service's whole name: `legacy.service`, `worker@2.service`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceName(String);

/// A signal that a program can catch: `SIGHUP`, `SIGRTMIN+3`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SignalName(String);

/// A text that is no service's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MalformedService {
    #[error("expected a service's whole name, such as legacy.service")]
    Shape,
    #[error("a template has to be given an instance, as in worker@2.service")]
    Template,
}

/// A text that is no signal's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MalformedSignal {
    #[error("expected a signal's name, such as SIGHUP or SIGRTMIN+1")]
    Unknown,
    #[error("no program can catch this signal")]
    NeverCaught,
}

impl ServiceName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl SignalName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ServiceName {
    type Err = MalformedService;

    fn from_str(text: &str) -> Result<Self, MalformedService> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || MARKS.contains(&b);
        let whole = text.len() <= LONGEST_NAME && text.bytes().all(plain);
        let name = text.strip_suffix(".service").filter(|_| whole).unwrap_or_default();
        match name.split_once('@') {
            None if name.is_empty() => Err(MalformedService::Shape),
            Some(("", _)) => Err(MalformedService::Shape),
            Some((_, "")) => Err(MalformedService::Template),
            _ => Ok(Self(text.to_owned())),
        }
    }
}

impl FromStr for SignalName {
    type Err = MalformedSignal;

    fn from_str(text: &str) -> Result<Self, MalformedSignal> {
        let name = text.strip_prefix("SIG").ok_or(MalformedSignal::Unknown)?;
        if NEVER_CAUGHT.contains(&name) {
            Err(MalformedSignal::NeverCaught)
        } else if SIGNALS.contains(&name) || is_real_time(name) {
            Ok(Self(text.to_owned()))
        } else {
            Err(MalformedSignal::Unknown)
        }
    }
}

fn is_real_time(name: &str) -> bool {
    let distance = match name {
        "RTMIN" | "RTMAX" => return true,
        _ => name.strip_prefix("RTMIN+").or_else(|| name.strip_prefix("RTMAX-")),
    };
    distance.is_some_and(|text| {
        let number = text.parse::<u8>().ok().filter(|number| *number <= REAL_TIME);
        // One spelling: neither +3 nor 03.
        number.is_some_and(|number| number.to_string() == text)
    })
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for SignalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn services_are_named_whole() {
        for name in ["legacy.service", "a@b.service", "a@b@c.service", "a.b-c:d_e\\x2d.service"] {
            assert_eq!(name.parse::<ServiceName>().unwrap().as_str(), name);
        }
        for name in
            ["", "legacy", ".service", "@b.service", "legacy.timer", "a b.service", "é.service"]
        {
            assert_eq!(name.parse::<ServiceName>(), Err(MalformedService::Shape), "{name}");
        }
        assert_eq!("a@.service".parse::<ServiceName>(), Err(MalformedService::Template));
        let longest = format!("{}.service", "a".repeat(LONGEST_NAME - ".service".len()));
        assert!(longest.parse::<ServiceName>().is_ok());
        assert!(format!("a{longest}").parse::<ServiceName>().is_err());
    }

    #[test]
    fn signals_are_those_that_a_program_can_catch() {
        for name in ["SIGHUP", "SIGUSR1", "SIGRTMIN", "SIGRTMIN+30", "SIGRTMAX-1"] {
            assert_eq!(name.parse::<SignalName>().unwrap().as_str(), name);
        }
        for name in ["", "HUP", "1", "SIG", "sighup", "SIGRTMIN+31", "SIGRTMIN+03", "SIGRTMIN-1"] {
            assert_eq!(name.parse::<SignalName>(), Err(MalformedSignal::Unknown), "{name}");
        }
        for name in ["SIGKILL", "SIGSTOP"] {
            assert_eq!(name.parse::<SignalName>(), Err(MalformedSignal::NeverCaught));
        }
    }

    proptest! {
        #[test]
        fn whatever_is_taken_is_one_plain_word(text in "\\PC{0,20}(\\.service)?") {
            if let Ok(name) = text.parse::<ServiceName>() {
                // No pattern, no path, no second argument.
                prop_assert!(!name.as_str().contains(['*', '?', '[', '/', ' ', '\n', '\0']));
                prop_assert!(name.as_str().is_ascii());
            }
            if let Ok(name) = format!("SIG{text}").parse::<SignalName>() {
                prop_assert!(name.as_str().is_ascii());
            }
        }
    }
}
