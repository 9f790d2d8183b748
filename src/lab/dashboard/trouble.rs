//! The faults that are one click away.

use std::time::Duration;

use crate::lab::faults::{Kind, Offset, Span, WireFault};

/// A fault that needs no more words than its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trouble {
    /// Its name in forms.
    pub key: &'static str,
    pub label: &'static str,
    kind: Kind,
    status: Option<u16>,
    code: Option<&'static str>,
    latency: Option<Duration>,
    by: Option<time::Duration>,
}

/// Whatever is asked is answered with 500.
pub const BROKEN: Trouble = Trouble {
    status: Some(500),
    ..Trouble::plain("broken", "500 Internal server error", Kind::Status)
};

/// As AWS throttles its JSON services.
pub const THROTTLED: Trouble = Trouble {
    status: Some(400),
    code: Some("ThrottlingException"),
    ..Trouble::plain("throttled", "400 ThrottlingException", Kind::Status)
};

pub const SLOW: Trouble = Trouble {
    latency: Some(Duration::from_secs(2)),
    ..Trouble::plain("slow", "The answer, 2 s late", Kind::Latency)
};

pub const RESET: Trouble = Trouble::plain("reset", "Connection reset", Kind::Reset);

pub const NEW_KEY: Trouble =
    Trouble::plain("new-key", "The node is asked for a new key", Kind::UpdateKeyPair);

impl Trouble {
    pub const ALL: [Trouble; 13] = [
        BROKEN,
        Trouble {
            status: Some(503),
            ..Trouble::plain("unavailable", "503 Service unavailable", Kind::Status)
        },
        THROTTLED,
        Trouble::plain("signature", "The signature is refused", Kind::SignatureRefusal),
        Trouble {
            status: Some(502),
            ..Trouble::plain("proxy", "502 and a web page, as from a proxy", Kind::Html)
        },
        SLOW,
        Trouble::plain("hang", "No answer, ever", Kind::Hang),
        RESET,
        Trouble::plain("refused", "Connections refused, for everybody", Kind::RefusedConnection),
        Trouble::plain("torn", "Half of the answer", Kind::TornBody),
        Trouble::plain("garbled", "An answer that cannot be parsed", Kind::WrongJson),
        Trouble {
            by: Some(time::Duration::hours(-2)),
            ..Trouble::plain("clock", "The service's clock 2 h behind", Kind::SkewedDate)
        },
        NEW_KEY,
    ];

    pub fn find(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|trouble| trouble.key == key)
    }

    /// On every request, until it is cleared.
    pub fn wire(self) -> WireFault {
        WireFault {
            status: self.status,
            code: self.code.map(str::to_owned),
            latency: self.latency.map(Span),
            by: self.by.map(Offset),
            ..WireFault::of(self.kind)
        }
    }

    const fn plain(key: &'static str, label: &'static str, kind: Kind) -> Self {
        Self { key, label, kind, status: None, code: None, latency: None, by: None }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use time::macros::utc_datetime;

    use super::*;

    #[test]
    fn each_makes_a_fault_and_has_a_name_of_its_own() {
        let minute = Some(Span(Duration::from_secs(60)));
        for trouble in Trouble::ALL {
            let wire = WireFault { lasting: minute, ..trouble.wire() };
            assert!(wire.decode(utc_datetime!(2026-11-22 00:00)).is_ok(), "{}", trouble.key);
            assert_eq!(Trouble::find(trouble.key), Some(trouble));
        }
        let keys = Trouble::ALL.map(|trouble| trouble.key);
        assert_eq!(BTreeSet::from(keys).len(), keys.len());
    }
}
