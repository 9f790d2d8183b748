//! Does the daemon listen where its settings say?

use super::{AS_ROOT, Finding};

/// Who listens at an endpoint's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    pub address: String,
    /// Where the settings name it.
    pub origin: String,
    /// The user; none when nobody listens.
    pub uid: Option<u32>,
    /// The daemon's user, where one runs.
    pub daemon: Option<u32>,
}

/// Judges who listens. A port of loopback is anybody's who takes it first.
pub fn judge(listener: &Listener) -> Finding {
    let Listener { address, origin, uid, daemon } = listener;
    match (uid, daemon) {
        (Some(uid), Some(daemon)) if uid == daemon => Finding::ok(format!("listens at {address}")),
        (Some(uid), Some(daemon)) => Finding::wrong(
            format!(
                "{address} ({origin}) was taken by uid {uid}, and the daemon is uid {daemon}: programs \
                 that ask there show their tokens to a stranger"
            ),
            format!("ss -ltnp | grep {address}; stop it, then systemctl restart rolekeeper"),
        ),
        (None, Some(_)) => Finding::wrong(
            format!("{origin} names {address}, and nobody listens there"),
            "systemctl restart rolekeeper, which takes it; journalctl -u rolekeeper says what was in the way",
        ),
        (_, None) => Finding::skipped("needs a daemon that this user may see", AS_ROOT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pure::diagnosis::Verdict;

    #[test]
    fn the_daemon_a_stranger_and_nobody_are_told_apart() {
        for (uid, daemon, verdict, text) in [
            (Some(990), Some(990), Verdict::Ok, "listens at 127.0.0.1:1338"),
            (Some(1000), Some(990), Verdict::Wrong, "was taken by uid 1000"),
            (None, Some(990), Verdict::Wrong, "/etc/x.toml:7 names 127.0.0.1:1338"),
            (Some(990), None, Verdict::Skipped, "needs a daemon"),
        ] {
            let (address, origin) = ("127.0.0.1:1338".into(), "/etc/x.toml:7".into());
            let finding = judge(&Listener { address, origin, uid, daemon });
            assert_eq!(finding.verdict, verdict);
            assert!(finding.text.contains(text), "{finding:?}");
        }
    }
}
