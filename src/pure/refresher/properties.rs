//! Any events in any order, at any moments: no panic, and nothing that was not due.

use proptest::prelude::*;

use super::*;
use crate::pure::secret::Secret;

/// Moments within a year, and now and then the ends of the calendar.
fn moment() -> impl Strategy<Value = UtcDateTime> {
    let start = time::macros::utc_datetime!(2026-11-22 00:00);
    prop_oneof![
        20 => (0..365 * 86_400_i64).prop_map(move |s| start + time::Duration::seconds(s)),
        20 => (0..7200_i64).prop_map(move |s| start + time::Duration::seconds(s)),
        1 => Just(UtcDateTime::MIN),
        1 => Just(UtcDateTime::MAX),
    ]
}

/// Without a doubt, mostly.
fn estimate() -> impl Strategy<Value = TimeEstimate> {
    (moment(), prop_oneof![3 => Just(0), 1 => 6..100_000_i64]).prop_map(|(now, ahead)| {
        let latest = now.saturating_add(time::Duration::seconds(ahead));
        TimeEstimate { now, latest, wall_differs: ahead > 0 }
    })
}

fn class() -> impl Strategy<Value = FailureClass> {
    prop::sample::select(vec![
        FailureClass::BadAnswer,
        FailureClass::ClockSkew,
        FailureClass::Denied,
        FailureClass::Local,
        FailureClass::ServiceFault,
        FailureClass::Throttled,
        FailureClass::Unreachable,
    ])
}

fn token() -> impl Strategy<Value = Arc<RoleToken>> {
    (moment(), any::<bool>()).prop_map(|(expires_at, update_key_pair)| {
        let text = || Some(Secret::new("x".to_owned()));
        let id = Some("ASIAEXAMPLE000000001".to_owned());
        let issued_at = UtcDateTime::UNIX_EPOCH;
        let expires_at = Some(expires_at);
        Arc::new(
            RoleToken::new(id, text(), text(), issued_at, expires_at, update_key_pair).unwrap(),
        )
    })
}

fn event() -> impl Strategy<Value = Event> {
    let verdict = prop::sample::select(vec![Verdict::Similar, Verdict::Different]);
    prop_oneof![
        1 => Just(Event::ClockSet),
        4 => Just(Event::Deadline),
        2 => any::<bool>().prop_map(|complete| Event::Delivered { complete }),
        2 => class().prop_map(Event::Failed),
        3 => (verdict, any::<bool>())
            .prop_map(|(verdict, settled)| Event::Hardware { verdict, settled }),
        1 => Just(Event::Nudged),
        1 => Just(Event::Retargeted),
        3 => token().prop_map(Event::Token),
        1 => Just(Event::Unjudged),
    ]
}

fn policy() -> impl Strategy<Value = Policy> {
    let interval = prop_oneof![Just(Duration::ZERO), Just(Duration::MAX), any::<Duration>()];
    (interval, any::<bool>())
        .prop_map(|(interval, withdraw_expired)| Policy { interval, withdraw_expired })
}

fn jitter() -> impl Strategy<Value = Jitter> {
    any::<u64>().prop_map(Jitter::from_bits)
}

fn refresher() -> impl Strategy<Value = Refresher> {
    (policy(), prop::option::of(moment()), prop::option::of(token()), moment()).prop_map(
        |(policy, published, earlier, now)| {
            Refresher::new(policy, published, now).with_earlier(earlier)
        },
    )
}

/// What an event may lead to.
fn allowed(event: &Event, action: &Action) -> bool {
    match action {
        Action::ProbeHardware => {
            matches!(event, Event::ClockSet | Event::Deadline | Event::Nudged)
        }
        Action::RequestToken(_) => matches!(event, Event::Hardware { .. } | Event::Unjudged),
        Action::Publish(_) => !matches!(event, Event::Delivered { .. } | Event::Failed(_)),
        Action::Withdraw => !matches!(event, Event::Delivered { .. } | Event::Failed(_)),
        Action::RotateKey => matches!(event, Event::Token(token) if token.update_key_pair),
    }
}

proptest! {
    #[test]
    fn any_story_is_survived_and_looking_early_or_twice_does_nothing(
        mut refresher in refresher(),
        story in prop::collection::vec((event(), jitter(), estimate(), policy()), 0..60),
    ) {
        for (event, jitter, time, policy) in story {
            let now = time.now;
            if jitter < Jitter::from_bits(u64::MAX / 10) {
                refresher.set_policy(policy);
            }
            let actions = refresher.handle(event.clone(), jitter, time);
            for action in &actions {
                prop_assert!(allowed(&event, action), "{event:?} led to {action:?}");
            }
            let published = actions.iter().any(|action| matches!(action, Action::Publish(_)));
            let mismatch = refresher.condition(now) == Condition::Mismatch;
            prop_assert!(!(mismatch && (published || refresher.token().is_some())));

            refresher.handle(Event::Deadline, jitter, time);
            prop_assert_eq!(refresher.handle(Event::Deadline, jitter, time), []);
            if time.is_doubted() {
                continue;
            }
            let early = now.max(refresher.next_deadline().saturating_sub(time::Duration::NANOSECOND));
            prop_assert_eq!(refresher.handle(Event::Deadline, jitter, early), []);
        }
    }

    /// Whatever happens, and however often somebody asks.
    #[test]
    fn the_service_is_asked_at_most_once_a_second_and_a_nudge_is_kept(
        answers in prop::collection::vec((event(), jitter(), 0..3000_i64), 1..60),
    ) {
        let mut now = time::macros::utc_datetime!(2026-11-22 00:00);
        let mut refresher = Refresher::new(Policy::default(), None, now);
        let mut last = None::<UtcDateTime>;
        for (answer, jitter, milliseconds) in answers {
            now += time::Duration::milliseconds(milliseconds);
            let mut actions = refresher.handle(Event::Nudged, jitter, now);
            // Kept, where it was too early.
            let next = refresher.next_deadline();
            prop_assert!(!actions.is_empty() || next <= now + REQUEST_INTERVAL, "{next}");
            while let Some(action) = actions.pop() {
                let event = match action {
                    Action::ProbeHardware => match &answer {
                        Event::Hardware { .. } => answer.clone(),
                        _ => Event::Unjudged,
                    },
                    Action::RequestToken(_) => {
                        let since = last.map(|last| now - last);
                        prop_assert!(since.is_none_or(|since| since >= REQUEST_INTERVAL), "{since:?}");
                        last = Some(now);
                        match &answer {
                            Event::Token(_) | Event::Failed(_) => answer.clone(),
                            _ => Event::Failed(FailureClass::Unreachable),
                        }
                    }
                    Action::Publish(_) | Action::Withdraw => Event::Delivered { complete: true },
                    Action::RotateKey => continue,
                };
                actions.extend(refresher.handle(event, jitter, now));
            }
        }
    }

    #[test]
    fn what_is_answered_at_one_moment_leaves_nothing_due_at_that_moment(
        mut refresher in refresher(),
        answers in prop::collection::vec((event(), jitter()), 40),
        now in moment(),
    ) {
        prop_assume!(now < UtcDateTime::MAX);
        let mut answers = answers.into_iter();
        let mut actions = refresher.handle(Event::Nudged, Jitter::NONE, now);
        while let (Some(action), Some((answer, jitter))) = (actions.pop(), answers.next()) {
            let event = match (action, answer) {
                (Action::ProbeHardware, event @ (Event::Hardware { .. } | Event::Unjudged)) => event,
                (Action::ProbeHardware, _) => {
                    Event::Hardware { verdict: Verdict::Similar, settled: true }
                }
                (Action::RequestToken(_), event @ (Event::Token(_) | Event::Failed(_))) => event,
                (Action::RequestToken(_), _) => Event::Failed(FailureClass::Unreachable),
                (Action::Publish(_) | Action::Withdraw, event @ Event::Delivered { .. }) => event,
                (Action::Publish(_) | Action::Withdraw, _) => Event::Delivered { complete: true },
                (Action::RotateKey, _) => continue,
            };
            actions.extend(refresher.handle(event, jitter, now));
            if actions.is_empty() {
                actions = refresher.handle(Event::Deadline, jitter, now);
            }
        }
        prop_assert!(refresher.next_deadline() > now, "{refresher:?}");
    }

    #[test]
    fn failures_are_counted_to_the_end_and_no_further(class in class(), jitter in jitter()) {
        let now = UtcDateTime::UNIX_EPOCH;
        let mut refresher = Refresher::new(Policy::default(), None, now);
        refresher.standing = Standing::Denied;
        refresher.failures = u32::MAX;
        refresher.handle(Event::Failed(class), jitter, now);
        prop_assert_eq!(refresher.failures(), u32::MAX);
        prop_assert!(refresher.next_deadline() >= now + time::Duration::HOUR);
    }
}
