//! The faults that are one click away.

use crate::lab::control::WireFault;

/// A fault that needs no more words than its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trouble {
    /// Its name in forms.
    pub key: &'static str,
    pub label: &'static str,
    effect: &'static str,
    status: Option<u16>,
    code: Option<&'static str>,
    latency_millis: Option<u64>,
}

/// Whatever is asked is answered with 500.
pub const BROKEN: Trouble = Trouble::status("broken", "500 Internal server error", 500);

/// As AWS throttles its JSON services.
pub const THROTTLED: Trouble = Trouble {
    code: Some("ThrottlingException"),
    ..Trouble::status("throttled", "400 ThrottlingException", 400)
};

pub const SLOW: Trouble =
    Trouble { latency_millis: Some(2000), ..Trouble::plain("slow", "2 s late", "latency") };

pub const RESET: Trouble = Trouble::plain("reset", "Connection reset", "reset");

impl Trouble {
    pub const ALL: [Trouble; 8] = [
        BROKEN,
        Trouble::status("unavailable", "503 Service unavailable", 503),
        THROTTLED,
        Trouble {
            status: Some(502),
            ..Trouble::plain("proxy", "502 and a page, as from a proxy", "html")
        },
        SLOW,
        Trouble::plain("hang", "No answer at all", "hang"),
        RESET,
        Trouble::plain("torn", "Half of the answer", "torn-body"),
    ];

    pub fn find(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|trouble| trouble.key == key)
    }

    /// On every request, until it is cleared.
    pub fn wire(self) -> WireFault {
        WireFault {
            effect: self.effect.to_owned(),
            status: self.status,
            code: self.code.map(str::to_owned),
            latency_millis: self.latency_millis,
            ..WireFault::default()
        }
    }

    const fn plain(key: &'static str, label: &'static str, effect: &'static str) -> Self {
        Self { key, label, effect, status: None, code: None, latency_millis: None }
    }

    const fn status(key: &'static str, label: &'static str, status: u16) -> Self {
        Self { status: Some(status), ..Self::plain(key, label, "status") }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use time::macros::utc_datetime;

    use super::*;

    #[test]
    fn each_makes_a_fault_and_has_a_name_of_its_own() {
        for trouble in Trouble::ALL {
            let fault = trouble.wire().decode(utc_datetime!(2026-11-22 00:00)).unwrap();
            assert_eq!(fault.effect.name(), trouble.effect);
            assert_eq!(Trouble::find(trouble.key), Some(trouble));
        }
        let keys = Trouble::ALL.map(|trouble| trouble.key);
        assert_eq!(BTreeSet::from(keys).len(), keys.len());
    }
}
