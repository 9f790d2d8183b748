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
    moment().prop_map(|expires_at| {
        let text = || Some(Secret::new("x".to_owned()));
        let id = Some("ASIAEXAMPLE000000001".to_owned());
        let issued_at = UtcDateTime::UNIX_EPOCH;
        let token = RoleToken::new(id, text(), text(), issued_at, Some(expires_at), false);
        Arc::new(token.unwrap())
    })
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => Just(Event::Deadline),
        3 => token().prop_map(Event::Assumed),
        3 => token().prop_map(|token| Event::Base(Base::Usable(token))),
        1 => Just(Event::Base(Base::Gone)),
        1 => Just(Event::Base(Base::Mismatch)),
        2 => any::<bool>().prop_map(|complete| Event::Delivered { complete }),
        2 => class().prop_map(Event::Failed),
        1 => Just(Event::Nudged),
        1 => Just(Event::FileChanged),
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

fn assumer() -> impl Strategy<Value = Assumer> {
    (policy(), prop::option::of(moment()), moment())
        .prop_map(|(policy, published, now)| Assumer::new(policy, published, now))
}

/// What an event may lead to.
fn allowed(event: &Event, action: &Action) -> bool {
    match action {
        Action::Assume(_) => matches!(event, Event::Base(_) | Event::Deadline | Event::Nudged),
        Action::Publish(_) => !matches!(event, Event::Delivered { .. } | Event::Failed(_)),
        Action::Withdraw => {
            !matches!(event, Event::Assumed(_) | Event::Delivered { .. } | Event::Failed(_))
        }
    }
}

proptest! {
    #[test]
    fn any_story_is_survived_and_looking_early_or_twice_does_nothing(
        mut assumer in assumer(),
        story in prop::collection::vec((event(), jitter(), moment()), 0..60),
    ) {
        let mut is_other_machine = false;
        for (event, jitter, now) in story {
            let was_assuming = assumer.is_assuming();
            if let Event::Base(base) = &event {
                is_other_machine = *base == Base::Mismatch;
            }
            let actions = assumer.handle(event.clone(), jitter, now);
            for action in &actions {
                prop_assert!(allowed(&event, action), "{event:?} led to {action:?}");
                prop_assert!(!is_other_machine || *action == Action::Withdraw, "{action:?}");
                if let Action::Assume(base) = action {
                    prop_assert!(base.is_usable(now) && !was_assuming);
                }
            }
            prop_assert!(!is_other_machine || assumer.token().is_none());

            assumer.handle(Event::Deadline, jitter, now);
            prop_assert_eq!(assumer.handle(Event::Deadline, jitter, now), []);
            let early = now.max(assumer.next_deadline().saturating_sub(time::Duration::NANOSECOND));
            prop_assert_eq!(assumer.handle(Event::Deadline, jitter, early), []);
        }
    }

    #[test]
    fn what_is_answered_at_one_moment_leaves_nothing_due_at_that_moment(
        mut assumer in assumer(),
        base in token(),
        answers in prop::collection::vec((event(), jitter()), 40),
        now in moment(),
    ) {
        prop_assume!(now < UtcDateTime::MAX);
        let mut answers = answers.into_iter();
        let base = Event::Base(Base::Usable(base));
        let mut actions = assumer.handle(base, Jitter::NONE, now);
        while let (Some(action), Some((answer, jitter))) = (actions.pop(), answers.next()) {
            let event = match (action, answer) {
                (Action::Assume(_), event @ (Event::Assumed(_) | Event::Failed(_))) => event,
                (Action::Assume(_), _) => Event::Failed(FailureClass::Unreachable),
                (Action::Publish(_) | Action::Withdraw, event @ Event::Delivered { .. }) => event,
                (Action::Publish(_) | Action::Withdraw, _) => Event::Delivered { complete: true },
            };
            actions.extend(assumer.handle(event, jitter, now));
            if actions.is_empty() {
                actions = assumer.handle(Event::Deadline, jitter, now);
            }
        }
        prop_assert!(assumer.next_deadline() > now, "{assumer:?}");
    }

    #[test]
    fn a_refresh_never_waits_for_more_than_half_of_a_life(
        life in 6..50_000_i64,
        jitter in jitter(),
    ) {
        let now = UtcDateTime::UNIX_EPOCH;
        let until = |seconds| {
            let text = || Some(Secret::new("x".to_owned()));
            let id = Some("ASIAEXAMPLE000000001".to_owned());
            let end = Some(now + time::Duration::seconds(seconds));
            Arc::new(RoleToken::new(id, text(), text(), now, end, false).unwrap())
        };
        let mut assumer = Assumer::new(Policy::default(), None, now);
        assumer.handle(Event::Base(Base::Usable(until(100_000))), jitter, now);
        assumer.handle(Event::Assumed(until(life)), jitter, now);
        prop_assert!(assumer.next_request() - now <= time::Duration::seconds(life) / 2);
    }
}
