//! Refused connections: when the lab leaves its port, and when it is back.

use std::future::pending;
use std::sync::Mutex;
use std::time::Duration;

use super::server::lock;
use super::service::Service;
use crate::host::clock::{Clock, SystemClock, pause};

/// The longest sleep before looking again, since the lab's time can be set.
const LOOK: Duration = Duration::from_secs(1);

/// Returns once nobody is to listen.
pub async fn begins(service: &Mutex<Service>) {
    until(service, true).await;
}

/// Returns once somebody is to listen again.
pub async fn ends(service: &Mutex<Service>) {
    until(service, false).await;
}

async fn until(service: &Mutex<Service>, away: bool) {
    let changed = lock(service).faults.changed();
    loop {
        let (absence, now, rate) = {
            let service = lock(service);
            let now = service.clock.now(SystemClock.now());
            (service.faults.absence(now), now, service.clock.rate())
        };
        let begun = absence.filter(|absence| absence.from.is_none_or(|from| from <= now));
        if begun.is_some() == away {
            return;
        }
        let turn = match begun {
            Some(absence) => absence.until,
            None => absence.and_then(|absence| absence.from),
        };
        let asleep = async {
            match turn {
                Some(turn) => {
                    let distance = Duration::try_from(turn - now).unwrap_or_default();
                    pause((distance / rate).min(LOOK)).await;
                }
                None => pending().await,
            }
        };
        tokio::select! {
            () = changed.notified() => {}
            () = asleep => {}
        }
    }
}
