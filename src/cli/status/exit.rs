//! With which status `status` ends: 0 only when there are usable credentials and they are renewed.
//!
//! | what | status |
//! |---|---|
//! | not registered | 78 |
//! | hibernating, or another machine | 77 |
//! | the first answer is awaited | 75 |
//! | no usable credentials | 69 |
//! | a record of the vault is damaged or missing: the next start would fail | 65 |
//! | settings that are not in force, a target or a consumer that is disabled | 78 |
//! | a target's file or a consumer's token file was not written | 73 |
//! | a role of its own without usable credentials, an endpoint that does not listen | 69 |
//! | a renewal that failed, a service that was not told, a health report that was not taken | 75 |
//! | otherwise | 0 |
//!
//! The first row that fits counts. Without a daemon, 69 comes before all of them.

use crate::pure::advice::Exit;
use crate::shelf::{Credentials, Failure, Moment, RECORD, State, Status, Warning};

/// Judges what a daemon says of itself.
pub(super) fn exit(status: &Status, now: Moment) -> Exit {
    // The registered role's credentials are usable in these two states alone.
    match status.state {
        State::Unregistered => return Exit::Configuration,
        State::Hibernating | State::Mismatch => return Exit::Refused,
        State::Starting => return Exit::TryAgain,
        // No daemon says the last four of itself.
        State::Expired | State::Registered | State::Stopped | State::Damaged | State::Unknown => {
            return Exit::Unavailable;
        }
        State::Fresh | State::Stale => {}
    }
    if status.warnings.iter().any(|warning| warning.subject == RECORD) {
        return Exit::BadData;
    }
    let not_in_force =
        |warning: &Warning| ["identity", "service"].contains(&warning.subject.as_str());
    if status.settings.is_some()
        || !status.disabled.is_empty()
        || status.warnings.iter().any(not_in_force)
    {
        return Exit::Configuration;
    }
    let targets = status.targets.iter();
    let consumers = status.consumers.iter().map(|it| (&it.role_arn, &it.credentials, &it.failure));
    let roles = targets.clone().map(|it| (&it.role_arn, &it.credentials, &it.failure));
    let mut roles = roles.chain(consumers).filter(|(role, ..)| role.is_some());
    let unusable = |held: &Option<Credentials>| held.as_ref().is_none_or(|it| it.expires_at <= now);
    if targets.clone().any(|target| target.error.is_some())
        || status.warnings.iter().any(Warning::is_of_token_file)
    {
        Exit::CannotCreate
    } else if roles.clone().any(|(_, held, _)| unusable(held))
        || status.endpoints.iter().any(|endpoint| endpoint.error.is_some())
    {
        Exit::Unavailable
    } else if status.state == State::Stale
        || status.failure.is_some()
        || status.health.as_ref().is_some_and(|health| health.failure.is_some())
        || roles.any(|(_, _, failure): (_, _, &Option<Failure>)| failure.is_some())
        || targets.filter_map(|it| it.reload.as_ref()).any(|reload| reload.failure.is_some())
    {
        Exit::TryAgain
    } else {
        Exit::Done
    }
}

#[cfg(test)]
mod tests {
    use time::macros::utc_datetime;

    use super::*;
    use crate::pure::disabled::{Disabled, Kind};
    use crate::shelf::{
        ConsumerStatus, EndpointStatus, HealthStatus, ReloadStatus, SettingsTrouble, TargetStatus,
    };

    const NOW: Moment = Moment(utc_datetime!(2026-11-22 12:00));
    const LATER: Moment = Moment(utc_datetime!(2026-11-22 13:00));

    fn credentials(expires_at: Moment) -> Credentials {
        let (issued_at, next_refresh_at) = (NOW, LATER);
        Credentials { access_key_id_suffix: "0001".into(), issued_at, expires_at, next_refresh_at }
    }

    fn failure() -> Option<Failure> {
        let (class, message, remedy) = ("denied".into(), "no".into(), "yes".into());
        Some(Failure { class, message, remedy, attempts: 1, next_try_at: None })
    }

    fn target() -> TargetStatus {
        TargetStatus {
            name: "backup".into(),
            path: "/backup".into(),
            profile: "default".into(),
            written_at: Some(NOW),
            withdrawn: false,
            held_until: None,
            error: None,
            warnings: Vec::new(),
            remedy: None,
            role_arn: None,
            credentials: Some(credentials(LATER)),
            failure: None,
            reload: None,
        }
    }

    fn fresh() -> Status {
        let state = State::Fresh;
        let credentials = Some(credentials(LATER));
        Status { state, credentials, targets: vec![target()], ..Status::unregistered() }
    }

    fn with_target(change: impl FnOnce(&mut TargetStatus)) -> Status {
        let mut status = fresh();
        change(&mut status.targets[0]);
        status
    }

    fn role() -> Option<String> {
        Some("arn:aws:iam::111122223333:role/backup".into())
    }

    #[test]
    fn each_state_has_its_status_and_only_a_good_one_has_0() {
        let state = |state| Status { state, ..fresh() };
        let consumer = |held: Option<Moment>, failure| Status {
            consumers: vec![ConsumerStatus {
                name: "nightly".into(),
                role_arn: role(),
                credentials: held.map(credentials),
                failure,
            }],
            ..fresh()
        };
        let endpoint = |error: Option<&str>| Status {
            endpoints: vec![EndpointStatus {
                kind: "imds".into(),
                address: "127.0.0.1:1".into(),
                since: NOW,
                error: error.map(str::to_owned),
                remedy: None,
            }],
            ..fresh()
        };
        let told = |failure| {
            with_target(|target| {
                target.reload = Some(Box::new(ReloadStatus {
                    unit: "nginx.service".into(),
                    signal: None,
                    last_run_at: None,
                    last_outcome: None,
                    next_run_at: None,
                    failure,
                }));
            })
        };
        let unwritten = with_target(|target| target.error = Some("denied".into()));
        let unassumed = with_target(|target| {
            (target.role_arn, target.credentials, target.failure) = (role(), None, failure());
        });
        let assumed_before =
            with_target(|target| (target.role_arn, target.failure) = (role(), failure()));
        let warned = |subject: &str| Status {
            warnings: vec![Warning {
                subject: subject.into(),
                message: String::new(),
                remedy: String::new(),
            }],
            ..fresh()
        };
        let health = |failure| {
            let (reported_at, next_report_at) = (Some(NOW), Some(LATER));
            Status {
                health: Some(HealthStatus { reported_at, next_report_at, failure }),
                ..fresh()
            }
        };
        let text = String::new;
        let (place, error, remedy) = (text(), text(), text());
        let disabled = Disabled { kind: Kind::Target, name: None, place, error, remedy };
        let disabled = Status { disabled: vec![disabled], ..fresh() };
        let trouble = SettingsTrouble { error: text(), remedy: text() };
        let trouble = Status { settings: Some(trouble), ..fresh() };
        for (what, status, expected) in [
            ("fresh", fresh(), Exit::Done),
            ("a target is disabled", disabled, Exit::Configuration),
            ("settings are not in force", trouble, Exit::Configuration),
            ("a part of them is not", warned("service"), Exit::Configuration),
            (
                "a token file is not written",
                warned(&Warning::token_file("web")),
                Exit::CannotCreate,
            ),
            ("the vault cannot be written", warned("vault"), Exit::Done),
            ("endpoint listens", endpoint(None), Exit::Done),
            ("role is assumed", consumer(Some(LATER), None), Exit::Done),
            ("service is told", told(None), Exit::Done),
            ("a record is damaged", warned(RECORD), Exit::BadData),
            ("health is told", health(None), Exit::Done),
            ("health is not told", health(failure()), Exit::TryAgain),
            ("starting", state(State::Starting), Exit::TryAgain),
            ("unregistered", Status::unregistered(), Exit::Configuration),
            ("hibernating", state(State::Hibernating), Exit::Refused),
            ("mismatch", state(State::Mismatch), Exit::Refused),
            ("expired", state(State::Expired), Exit::Unavailable),
            ("unwritten", unwritten, Exit::CannotCreate),
            ("unassumed", unassumed, Exit::Unavailable),
            ("not assumed yet", consumer(None, None), Exit::Unavailable),
            ("assumed role has ended", consumer(Some(NOW), failure()), Exit::Unavailable),
            ("endpoint does not listen", endpoint(Some("taken")), Exit::Unavailable),
            ("stale", state(State::Stale), Exit::TryAgain),
            ("failing", Status { failure: failure(), ..fresh() }, Exit::TryAgain),
            ("assumed before", assumed_before, Exit::TryAgain),
            ("consumer assumed before", consumer(Some(LATER), failure()), Exit::TryAgain),
            ("service is not told", told(failure()), Exit::TryAgain),
        ] {
            assert_eq!(exit(&status, NOW), expected, "{what}");
        }
    }
}
