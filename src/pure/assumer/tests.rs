use time::macros::utc_datetime;

use super::*;
use crate::pure::secret::Secret;

const START: UtcDateTime = utc_datetime!(2026-11-22 00:00);
const DELIVERED: Event = Event::Delivered { complete: true };

fn at(seconds: i64) -> UtcDateTime {
    START + time::Duration::seconds(seconds)
}

fn token(now: UtcDateTime, life: i64) -> Arc<RoleToken> {
    let text = || Some(Secret::new("x".to_owned()));
    let expires_at = now + time::Duration::seconds(life);
    let id = Some("ASIAEXAMPLE000000001".to_owned());
    Arc::new(RoleToken::new(id, text(), text(), now, Some(expires_at), false).unwrap())
}

fn base(now: UtcDateTime) -> Event {
    Event::Base(Base::Usable(token(now, 3600)))
}

/// Feeds events at one moment, with no jitter; the actions of the last.
fn feed(assumer: &mut Assumer, events: &[Event], now: UtcDateTime) -> Vec<Action> {
    let mut actions = Vec::new();
    for event in events {
        actions = assumer.handle(event.clone(), Jitter::NONE, now);
    }
    actions
}

fn fresh(life: i64) -> Assumer {
    let mut assumer = Assumer::new(Policy::default(), None, START);
    let assumed = Event::Assumed(token(START, life));
    feed(&mut assumer, &[Event::Deadline, base(START), assumed, DELIVERED], START);
    assumer
}

#[test]
fn a_file_that_somebody_else_changed_gets_what_it_held_and_nothing_that_has_ended() {
    let mut assumer = fresh(3600);
    let held = [Action::Publish(token(START, 3600))];
    assert_eq!(feed(&mut assumer, &[Event::FileChanged], at(1)), held);
    assert_eq!(feed(&mut assumer, &[DELIVERED, Event::FileChanged], at(3600)), []);
    let mut assumer = fresh(3600);
    feed(&mut assumer, &[Event::Base(Base::Mismatch), DELIVERED], at(1));
    assert_eq!(feed(&mut assumer, &[Event::FileChanged], at(2)), [Action::Withdraw]);
}

#[test]
fn credentials_of_the_same_assumption_are_written_at_once_and_renewed_in_time() {
    let earlier = |life| {
        Assumer::new(Policy::default(), None, at(1)).with_earlier(Some(token(START, life)), at(1))
    };
    let mut assumer = earlier(3601);
    let written = feed(&mut assumer, &[Event::Deadline], at(1));
    assert_eq!(written, [Action::Publish(token(START, 3601))]);
    assert_eq!(feed(&mut assumer, &[DELIVERED, base(at(1))], at(1)), [], "it is not due yet");
    assert_eq!(assumer.next_deadline(), at(1801));
    let mut assumer = earlier(1);
    assert_eq!(feed(&mut assumer, &[Event::Deadline], at(1)), []);
    assert!(assumer.token().is_none());
}

#[test]
fn nothing_that_has_ended_is_put_into_a_file_that_was_mended_too_late() {
    let policy = Policy { withdraw_expired: false, ..Policy::default() };
    let mut assumer = Assumer::new(policy, None, START);
    let unwritten = Event::Delivered { complete: false };
    let assumed = Event::Assumed(token(START, 60));
    feed(&mut assumer, &[base(START), assumed, unwritten], START);
    for event in [Event::Deadline, Event::FileChanged, Event::Nudged] {
        let actions = feed(&mut assumer, &[event], at(60));
        assert!(actions.iter().all(|it| matches!(it, Action::Assume(_))), "{actions:?}");
    }
}

#[test]
fn nobody_is_asked_before_there_is_a_base() {
    let mut assumer = Assumer::new(Policy::default(), None, START);
    assert_eq!(feed(&mut assumer, &[Event::Deadline, Event::Nudged], START), []);
    assert_eq!(feed(&mut assumer, &[Event::Base(Base::Gone)], START), []);
    assert_eq!(assumer.next_deadline(), UtcDateTime::MAX);
    let asked = feed(&mut assumer, &[base(START)], START);
    assert_eq!(asked, [Action::Assume(token(START, 3600))]);
    assert_eq!(feed(&mut assumer, &[base(START), Event::Deadline], START), []);
}

#[test]
fn credentials_are_renewed_after_half_of_their_life_and_30_minutes_at_most() {
    assert_eq!(fresh(900).next_deadline(), at(450));
    assert_eq!(fresh(3600).next_deadline(), at(1800));
    let mut assumer = fresh(3600);
    assert_eq!(feed(&mut assumer, &[Event::Deadline], at(1799)), []);
    let asked = feed(&mut assumer, &[Event::Deadline], at(1800));
    assert!(matches!(asked.as_slice(), [Action::Assume(_)]), "{asked:?}");
}

#[test]
fn a_renewed_base_is_used_when_the_time_has_come_and_not_before() {
    let mut assumer = fresh(3600);
    assert_eq!(feed(&mut assumer, &[base(at(1700))], at(1700)), []);
    let asked = feed(&mut assumer, &[Event::Deadline], at(1800));
    assert_eq!(asked, [Action::Assume(token(at(1700), 3600))]);
}

#[test]
fn credentials_stay_through_failures_and_are_withdrawn_at_their_end() {
    let mut assumer = fresh(3600);
    let mut now = at(1800);
    feed(&mut assumer, &[base(now)], now);
    while now < at(3600) {
        let failed = Event::Failed(FailureClass::Unreachable);
        assert_eq!(feed(&mut assumer, &[Event::Deadline, failed], now), []);
        assert!(assumer.token().is_some() && assumer.failures() > 0);
        now = assumer.next_deadline();
    }
    assert_eq!(now, at(3600));
    assert!(feed(&mut assumer, &[Event::Deadline], now).contains(&Action::Withdraw));
}

#[test]
fn the_end_of_the_base_takes_nothing_away() {
    let mut assumer = fresh(3600);
    assert_eq!(feed(&mut assumer, &[Event::Base(Base::Gone)], at(1800)), []);
    assert_eq!(assumer.next_deadline(), at(3600));
    assert_eq!(feed(&mut assumer, &[Event::Deadline], at(3600)), [Action::Withdraw]);
}

#[test]
fn a_base_that_has_ended_is_not_asked_with() {
    let mut assumer = Assumer::new(Policy::default(), None, START);
    let ended = Event::Base(Base::Usable(token(START, 60)));
    assert_eq!(feed(&mut assumer, &[ended], at(60)), []);
    assert!(assumer.lacks_base());
    assert_eq!(assumer.next_deadline(), UtcDateTime::MAX);
}

#[test]
fn another_machine_withdraws_at_once_and_asks_nobody() {
    let mismatch = Event::Base(Base::Mismatch);
    let mut assumer = fresh(3600);
    assert_eq!(feed(&mut assumer, std::slice::from_ref(&mismatch), at(60)), [Action::Withdraw]);
    assert!(assumer.token().is_none());
    let more = [DELIVERED, mismatch, Event::Nudged, Event::Deadline];
    assert_eq!(feed(&mut assumer, &more, at(7200)), []);
    let asked = feed(&mut assumer, &[base(at(7200))], at(7200));
    assert!(matches!(asked.as_slice(), [Action::Assume(_)]), "{asked:?}");
}

#[test]
fn another_machine_withdraws_what_an_earlier_run_left() {
    let mut assumer = Assumer::new(Policy::default(), Some(at(3600)), START);
    let mismatch = Event::Base(Base::Mismatch);
    assert_eq!(feed(&mut assumer, &[Event::Deadline, mismatch], START), [Action::Withdraw]);
}

#[test]
fn an_answer_that_comes_after_the_machine_was_found_to_be_another_is_not_used() {
    let mut assumer = fresh(3600);
    feed(&mut assumer, &[Event::Deadline], at(1800));
    assert!(assumer.is_assuming());
    feed(&mut assumer, &[Event::Base(Base::Mismatch)], at(1801));
    let late = Event::Assumed(token(at(1802), 3600));
    assert_eq!(feed(&mut assumer, &[late], at(1802)), []);
    assert!(assumer.token().is_none() && !assumer.is_assuming());
}

#[test]
fn credentials_of_an_earlier_run_wait_for_a_clock_that_was_tried() {
    let mut assumer = Assumer::new(Policy::default(), Some(at(-100)), START);
    assert_eq!(feed(&mut assumer, &[Event::Deadline], START), []);
    assert_eq!(feed(&mut assumer, &[Event::Base(Base::Gone)], START), [Action::Withdraw]);
}

#[test]
fn a_denial_is_repeated_at_hibernations_pace_and_a_nudge_asks_at_once() {
    let mut assumer = fresh(3600);
    let (failed, denied) =
        (Event::Failed(FailureClass::Unreachable), Event::Failed(FailureClass::Denied));
    feed(&mut assumer, &[Event::Deadline, failed], at(1800));
    let later = assumer.next_request();
    feed(&mut assumer, &[Event::Deadline, denied], later);
    assert_eq!(assumer.next_request(), later + time::Duration::minutes(10));
    let asked = feed(&mut assumer, &[Event::Nudged], later);
    assert!(matches!(asked.as_slice(), [Action::Assume(_)]), "{asked:?}");
}

#[test]
fn credentials_that_are_dead_on_arrival_are_a_failure_with_a_wait() {
    let mut assumer = Assumer::new(Policy::default(), None, START);
    let dead = Event::Assumed(token(START, 5));
    assert_eq!(feed(&mut assumer, &[base(START), dead], START), []);
    assert!(assumer.next_deadline() > at(1) && assumer.token().is_none());
}

#[test]
fn a_target_that_fails_is_written_again_without_asking_sts() {
    let mut assumer = fresh(3600);
    feed(&mut assumer, &[Event::Nudged, Event::Assumed(token(at(60), 3600))], at(60));
    feed(&mut assumer, &[Event::Delivered { complete: false }], at(60));
    let due = assumer.next_deadline();
    assert!(due > at(60) && due <= at(70));
    let actions = feed(&mut assumer, &[Event::Deadline], due);
    assert!(matches!(actions.as_slice(), [Action::Publish(_)]), "{actions:?}");
}

#[test]
fn in_doubt_nobody_is_asked_with_a_base_that_may_have_ended() {
    let mut assumer = fresh(900);
    let (now, latest) = (at(450), at(450 + 7200));
    let doubted = TimeEstimate { now, latest, wall_differs: true };
    assert_eq!(assumer.handle(Event::Deadline, Jitter::NONE, doubted), []);
    assert!(assumer.next_deadline() > now, "and it is not looked at without rest");
    // The service was heard: the clock was wrong.
    let due = assumer.next_deadline();
    let asked = feed(&mut assumer, &[Event::Deadline], due);
    assert!(matches!(asked.as_slice(), [Action::Assume(_)]), "{asked:?}");
}

#[test]
fn what_may_have_ended_leaves_the_file_once_there_is_no_base_to_tell() {
    let mut assumer = fresh(3600);
    let doubted = TimeEstimate { now: at(60), latest: at(7260), wall_differs: true };
    assert_eq!(assumer.handle(Event::Deadline, Jitter::NONE, doubted), []);
    let gone = assumer.handle(Event::Base(Base::Gone), Jitter::NONE, doubted);
    assert_eq!(gone, [Action::Withdraw]);
}
