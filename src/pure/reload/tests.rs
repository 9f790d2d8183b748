use proptest::prelude::*;

use super::*;

const PACE: Pace = Pace { min_interval: Duration::from_secs(600), jitter: Duration::from_secs(30) };

/// What is replaced has half an hour to live, as a rule.
const HALF_AN_HOUR: Duration = Duration::from_secs(1800);

/// When the machine of these tests has been up for a while.
const START: Duration = Duration::from_secs(1000);

/// In the middle of what can be drawn.
fn half() -> Jitter {
    Jitter::from_bits(1 << 63)
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn renewed(target: &str, left: Duration) -> Event {
    Event::Renewed { target: target.to_owned(), left }
}

/// A hook without a past.
fn new(pace: Pace) -> Hook {
    Hook::new(pace, Memory::default(), half(), START)
}

/// A hook that ran before.
fn ran(last: Duration) -> Hook {
    Hook::new(PACE, Memory { last: Some(last), ..Memory::default() }, half(), START)
}

/// A hook that waits since [`START`].
fn waiting() -> Hook {
    let mut hook = new(PACE);
    assert_eq!(hook.handle(renewed("a", HALF_AN_HOUR), half(), START), None);
    hook
}

/// Lets the time come that the hook waits for, and run.
fn run(hook: &mut Hook) -> Duration {
    let due = hook.next_run().expect("a wait");
    assert_eq!(hook.handle(Event::Deadline, half(), due - Duration::from_nanos(1)), None);
    assert_eq!(hook.handle(Event::Deadline, half(), due), Some(Action::Run));
    assert!(hook.is_running());
    assert_eq!(hook.next_run(), None);
    due
}

fn end(hook: &mut Hook, outcome: Outcome, now: Duration) {
    assert_eq!(hook.handle(Event::Ended(outcome), half(), now), None);
}

#[test]
fn without_news_nothing_runs() {
    let mut hook = new(PACE);
    for event in [
        Event::Deadline,
        Event::Mended,
        Event::Withdrawn { target: "a".to_owned() },
        Event::Accepted,
        Event::Ended(Outcome::Failed),
    ] {
        assert_eq!(hook.handle(event, half(), START), None);
        assert_eq!(hook.next_run(), None);
    }
}

#[test]
fn a_renewal_leads_to_one_run_after_its_jitter() {
    let mut hook = waiting();
    assert_eq!(run(&mut hook), START + seconds(15));
    end(&mut hook, Outcome::Done, START + seconds(16));
    assert_eq!(hook.next_run(), None);
}

#[test]
fn renewals_during_the_wait_are_one_with_it() {
    let mut hook = waiting();
    let due = hook.next_run();
    for target in ["b", "a", "c"] {
        let event = renewed(target, HALF_AN_HOUR);
        assert_eq!(hook.handle(event, half(), START + seconds(10)), None);
        assert_eq!(hook.next_run(), due, "nobody can put it off");
    }
    let told = run(&mut hook);
    end(&mut hook, Outcome::Done, told);
    assert_eq!(hook.next_run(), None);
}

#[test]
fn the_next_run_waits_for_the_interval() {
    let mut hook = waiting();
    let first = run(&mut hook);
    end(&mut hook, Outcome::Done, first);
    let event = renewed("a", HALF_AN_HOUR);
    assert_eq!(hook.handle(event, half(), first + seconds(5)), None);
    assert_eq!(run(&mut hook), first + PACE.min_interval);
}

#[test]
fn an_earlier_process_counts_too() {
    let mut hook = ran(START - seconds(20));
    let event = renewed("a", HALF_AN_HOUR);
    assert_eq!(hook.handle(event, half(), START), None);
    assert_eq!(run(&mut hook), START - seconds(20) + PACE.min_interval);
}

#[test]
fn what_an_earlier_process_did_not_tell_is_told() {
    let again = |hook: &Hook, now| Hook::new(PACE, hook.memory(), half(), now);
    // Waiting, running, and failed.
    let mut hook = waiting();
    let mut next = again(&hook, START + seconds(1));
    assert_eq!(run(&mut next), START + seconds(16));
    let first = run(&mut hook);
    let mut next = again(&hook, first);
    assert_eq!(run(&mut next), first + PACE.min_interval);
    end(&mut hook, Outcome::Failed, first);
    assert_eq!(run(&mut again(&hook, first)), first + seconds(15));
    let retried = run(&mut hook);
    end(&mut hook, Outcome::Done, retried);
    let mut next = again(&hook, retried);
    assert_eq!(next.next_run(), None, "all is told");
    // Of targets that the new settings do not name nothing is told.
    let mut hook = again(&waiting(), START);
    hook.serve(PACE, &BTreeSet::from(["b".to_owned()]));
    assert_eq!(hook.next_run(), None);
    // The pace goes on, too; unless the time is that of another boot.
    assert_eq!(next.handle(renewed("a", HALF_AN_HOUR), half(), retried), None);
    assert_eq!(next.next_run(), Some(retried + PACE.min_interval));
    let mut next = again(&next, START);
    assert_eq!(next.handle(renewed("a", HALF_AN_HOUR), half(), START), None);
    assert_eq!(next.next_run(), Some(START + seconds(15)));
}

#[test]
fn what_was_accepted_is_told_whatever_becomes_of_this_process() {
    let mut hook = waiting();
    let first = run(&mut hook);
    assert_eq!(hook.handle(Event::Accepted, half(), first), None);
    assert!(hook.is_running(), "one at a time");
    // A restart of the daemon while the service still restarts.
    let mut next = Hook::new(PACE, hook.memory(), half(), first + seconds(20));
    assert_eq!(next.next_run(), None);
    let event = renewed("a", HALF_AN_HOUR);
    assert_eq!(next.handle(event, half(), first + seconds(20)), None);
    assert_eq!(next.next_run(), Some(first + PACE.min_interval), "it counts for the pace");
    // A job that fails has told nothing.
    end(&mut hook, Outcome::Failed, first + seconds(30));
    assert_eq!(run(&mut hook), first + seconds(30) + seconds(45));
    assert_eq!(hook.failures(), 1);
    // What comes while a job is under way is told after it.
    assert_eq!(hook.handle(Event::Accepted, half(), first + seconds(75)), None);
    let event = renewed("b", HALF_AN_HOUR);
    assert_eq!(hook.handle(event, half(), first + seconds(80)), None);
    let next = Hook::new(PACE, hook.memory(), half(), first + seconds(90));
    assert!(next.next_run().is_some(), "b's news are told by the next process, too");
    end(&mut hook, Outcome::Done, first + seconds(100));
    assert_eq!(run(&mut hook), first + seconds(75) + PACE.min_interval);
}

#[test]
fn the_interval_yields_before_a_program_is_left_with_dead_credentials() {
    for (left, due) in [
        // Dies before the interval is over: a minute earlier.
        (seconds(500), START + seconds(440)),
        // Dead already, or there was nothing.
        (seconds(0), START + LEAST_GAP),
    ] {
        let mut hook = ran(START);
        assert_eq!(hook.handle(renewed("a", left), half(), START), None);
        // What is replaced next is young; the program still holds the old ones.
        assert_eq!(hook.handle(renewed("a", HALF_AN_HOUR), half(), START), None);
        assert_eq!(run(&mut hook), due);
    }
}

#[test]
fn news_during_a_run_lead_to_another_one() {
    let mut hook = waiting();
    let first = run(&mut hook);
    let event = renewed("a", HALF_AN_HOUR);
    assert_eq!(hook.handle(event, half(), first + seconds(1)), None);
    end(&mut hook, Outcome::Done, first + seconds(2));
    assert_eq!(run(&mut hook), first + PACE.min_interval);
}

#[test]
fn a_failure_is_tried_again_later_each_time_and_a_renewal_does_not_hasten_it() {
    let pace = Pace { min_interval: seconds(1), ..PACE };
    let mut hook = new(pace);
    let mut now = START;
    assert_eq!(hook.handle(renewed("a", HALF_AN_HOUR), Jitter::NONE, now), Some(Action::Run));
    for wait in [45, 90, 180, 360, 675, 675] {
        end(&mut hook, Outcome::Failed, now);
        assert_eq!(hook.handle(renewed("a", HALF_AN_HOUR), half(), now), None);
        let tried = run(&mut hook);
        assert_eq!(tried - now, seconds(wait));
        now = tried;
    }
    assert_eq!(hook.failures(), 6);
    end(&mut hook, Outcome::Done, now);
    assert_eq!((hook.failures(), hook.next_run()), (0, None));
}

#[test]
fn what_was_not_answered_may_be_under_way_and_is_not_begun_again_soon() {
    let mut hook = waiting();
    let first = run(&mut hook);
    end(&mut hook, Outcome::Unanswered, first + seconds(30));
    assert_eq!(run(&mut hook), first + seconds(30) + PACE.min_interval);
}

#[test]
fn what_was_mended_is_tried_soon_and_with_the_news_that_come_along() {
    let mut hook = waiting();
    let first = run(&mut hook);
    end(&mut hook, Outcome::Failed, first + seconds(2));
    assert_eq!(hook.handle(Event::Mended, half(), first + seconds(4)), None);
    let event = renewed("a", HALF_AN_HOUR);
    assert_eq!(hook.handle(event, half(), first + seconds(5)), None);
    assert_eq!(run(&mut hook), first + seconds(4) + MENDED);
    // What was told is not told again for it.
    end(&mut hook, Outcome::Done, first + seconds(8));
    assert_eq!(hook.handle(Event::Mended, half(), first + seconds(9)), None);
    assert_eq!(hook.next_run(), None);
}

#[test]
fn a_withdrawal_is_no_reason_to_run_and_ends_a_wait_that_is_for_it_alone() {
    let withdrawn = |target: &str| Event::Withdrawn { target: target.to_owned() };
    let mut hook = waiting();
    let event = renewed("b", HALF_AN_HOUR);
    assert_eq!(hook.handle(event, half(), START), None);
    assert_eq!(hook.handle(withdrawn("a"), half(), START), None);
    assert!(hook.next_run().is_some(), "b has news");
    assert_eq!(hook.handle(withdrawn("b"), half(), START), None);
    assert_eq!(hook.next_run(), None);

    let mut hook = waiting();
    let first = run(&mut hook);
    assert_eq!(hook.handle(withdrawn("a"), half(), first), None);
    end(&mut hook, Outcome::Failed, first);
    assert_eq!(hook.next_run(), None, "what failed is not worth repeating");
}

#[derive(Debug, Clone)]
enum Move {
    Renew { target: u8, left: u64 },
    Withdraw { target: u8 },
    Accept,
    End(Outcome),
    Mend,
    Wait(u64),
    WaitUntilDue,
}

fn moves() -> impl Strategy<Value = Vec<(Move, u64)>> {
    let outcome =
        prop_oneof![Just(Outcome::Done), Just(Outcome::Failed), Just(Outcome::Unanswered)];
    let one = prop_oneof![
        (0..3_u8, 0..4000_u64).prop_map(|(target, left)| Move::Renew { target, left }),
        (0..3_u8).prop_map(|target| Move::Withdraw { target }),
        Just(Move::Accept),
        outcome.prop_map(Move::End),
        Just(Move::Mend),
        (0..1000_u64).prop_map(Move::Wait),
        Just(Move::WaitUntilDue),
    ];
    prop::collection::vec((one, any::<u64>()), 1..80)
}

proptest! {
    #[test]
    fn whatever_happens_runs_stay_apart_and_follow_news(
        moves in moves(),
        min_interval in 1..2000_u64,
        jitter in 0..300_u64,
    ) {
        let pace = Pace { min_interval: seconds(min_interval), jitter: seconds(jitter) };
        let mut hook = new(pace);
        let mut now = START;
        // The last run, and the least time to the next.
        let (mut last_run, mut least) = (None::<Duration>, Duration::ZERO);
        // Targets whose news no run has begun with, and those of the run under way.
        let (mut news, mut told) = (BTreeSet::new(), BTreeSet::new());
        for (step, bits) in moves {
            let draw = Jitter::from_bits(bits);
            let event = match step {
                Move::Renew { target, left } => {
                    news.insert(target.to_string());
                    renewed(&target.to_string(), seconds(left))
                }
                Move::Withdraw { target } => {
                    news.remove(&target.to_string());
                    told.remove(&target.to_string());
                    Event::Withdrawn { target: target.to_string() }
                }
                Move::Accept => Event::Accepted,
                Move::End(outcome) => {
                    if hook.is_running() {
                        least = match outcome {
                            Outcome::Failed => FIRST_RETRY / 2,
                            _ => pace.min_interval.min(LEAST_GAP),
                        };
                    }
                    if hook.is_running() && outcome != Outcome::Done {
                        news.append(&mut told);
                    }
                    Event::Ended(outcome)
                }
                Move::Mend => {
                    if hook.failures() > 0 {
                        least = Duration::ZERO;
                    }
                    Event::Mended
                }
                Move::Wait(span) => {
                    now += seconds(span);
                    Event::Deadline
                }
                Move::WaitUntilDue => {
                    now = now.max(hook.next_run().unwrap_or(now));
                    Event::Deadline
                }
            };
            let ran_before = hook.is_running();
            let ended = matches!(event, Event::Ended(_));
            if hook.handle(event, draw, now).is_some() {
                prop_assert!(!ran_before || ended, "one at a time");
                prop_assert!(!news.is_empty(), "there is something to tell");
                prop_assert!(last_run.is_none_or(|last| now - last >= least), "apart");
                last_run = Some(now);
                told = std::mem::take(&mut news);
            }
            match hook.next_run() {
                // No wait is longer than the longest of its reasons.
                Some(due) => {
                    let longest = pace.min_interval.max(LONGEST_RETRY).max(pace.jitter);
                    prop_assert!(due > now && due <= now + longest);
                    prop_assert!(!news.is_empty());
                }
                None => prop_assert!(hook.is_running() || news.is_empty(), "news are told"),
            }
        }
    }
}
