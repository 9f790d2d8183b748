//! What must hold, a sentence each.

use std::collections::VecDeque;
use std::time::Duration;

use rolekeeper::pure::refresher::{AskAs, Condition};
use time::UtcDateTime;

use super::{BELIEVED, Watch};
use crate::weather::{DAY, HOUR, MINUTE, SECOND};
use crate::world::{LONGEST_ANSWER, LONGEST_HANG, World};

/// Nothing, or the way in which a rule is broken.
pub type Checked = Result<(), String>;

/// The three looks at a machine that is booting.
const BOOT_LOOKS: Duration = Duration::from_secs(10);

/// The longest wait but for hibernation's, and how soon a failed file is written again.
const LONGEST_WAIT: Duration = Duration::from_secs(240);

/// What anything takes that is done at once, with timers that look once a minute.
const AT_ONCE: Duration = Duration::from_secs(61);

/// Other hardware asks with a fingerprint of its own, the registered hardware with the registered.
pub fn strangers_are_those_of_other_hardware(watch: &Watch, ask_as: AskAs) -> Checked {
    ensure((ask_as == AskAs::Stranger) == watch.different, || {
        format!("asked as {ask_as:?}, different: {}", watch.different)
    })
}

/// A request follows a token after 90 to 100 % of half its life or of the interval (27 to 30 minutes
/// of an hour), a failure after its class's row, a denial after 10, 20, 40, 60 minutes and up to a
/// tenth, unless somebody or the hardware has given a reason. Suspend adds what it lasts.
pub fn the_pace_is_the_last_outcomes(watch: &Watch, world: &World) -> Checked {
    let Some(last) = watch.last.filter(|_| !watch.disturbed) else { return Ok(()) };
    let gap = world.elapsed - last.at;
    let slept = world.slept - last.slept;
    let late = if slept.is_zero() { Duration::ZERO } else { slept + AT_ONCE };
    let rounding = SECOND / 1000;
    ensure(gap + rounding >= last.least && gap <= last.most + late + rounding, || {
        format!("asked {gap:?} after {last:?}")
    })
}

/// Whatever happens, no more than 7 requests in a minute, 38 in an hour, 750 in a day; 8 more for
/// each time that somebody or the hardware gave a reason, for then the waits begin anew.
pub fn never_a_hot_loop(watch: &mut Watch, elapsed: Duration) -> Checked {
    for moments in [&mut watch.requests, &mut watch.nudges] {
        while moments.front().is_some_and(|moment| *moment + DAY < elapsed) {
            moments.pop_front();
        }
    }
    let within = |moments: &VecDeque<Duration>, span: Duration| {
        let recent = moments.iter().rev().take_while(|moment| **moment + span >= elapsed);
        recent.count()
    };
    for (span, most) in [(MINUTE, 7), (HOUR, 38), (DAY, 750)] {
        let requests = within(&watch.requests, span);
        let most = most + 8 * within(&watch.nudges, span);
        ensure(requests <= most, || format!("{requests} requests within {span:?}"))?;
    }
    Ok(())
}

/// The condition is what an onlooker would say.
pub fn the_condition_is_the_worlds(
    watch: &Watch,
    condition: Condition,
    now: UtcDateTime,
) -> Checked {
    let usable = watch.in_hand.is_some_and(|until| now < until);
    let renewed = watch.last.is_some_and(|last| last.renewed);
    let expected = match (watch.different, watch.denied, usable, renewed) {
        (true, ..) => Condition::Mismatch,
        (_, true, ..) => Condition::Hibernating,
        (_, _, false, _) => Condition::Expired,
        (_, _, true, true) => Condition::Fresh,
        (_, _, true, false) => Condition::Stale,
    };
    ensure(condition == expected, || format!("{condition:?} instead of {expected:?}"))
}

/// Nobody who was not denied is more than five minutes behind a service that is well again: the
/// longest wait is four, and a request that was under way hangs for one at most.
pub fn a_recovered_service_is_heard_within_five_minutes(
    condition: Condition,
    calm: Option<Duration>,
) -> Checked {
    let behind = matches!(condition, Condition::Stale | Condition::Expired);
    let most = LONGEST_WAIT + LONGEST_ANSWER + BOOT_LOOKS;
    ensure(!behind || calm.is_none_or(|calm| calm <= most), || {
        format!("{condition:?} although all has been well for {calm:?}")
    })
}

/// Once all has been well for five minutes, the files that can be written hold a usable token.
pub fn files_hold_a_usable_token_when_nothing_stands_in_the_way(
    condition: Condition,
    calm: Option<Duration>,
    world: &mut World,
) -> Checked {
    let most = LONGEST_WAIT + LONGEST_ANSWER + BOOT_LOOKS;
    if matches!(condition, Condition::Hibernating | Condition::Mismatch)
        || calm.is_none_or(|calm| calm <= most)
    {
        return Ok(());
    }
    for index in 0..world.files.len() {
        let writable = world.weather.targets[index].clear_since(world.elapsed);
        if writable.is_some_and(|since| world.elapsed - since > most) {
            let usable = world.files[index].is_some_and(|until| until > world.now);
            ensure(usable, || format!("file {index} holds nothing usable"))?;
        }
    }
    Ok(())
}

/// A service that no longer denies us is asked again after its longest step at the latest.
pub fn a_pardon_is_noticed_within_66_minutes(
    condition: Condition,
    calm: Option<Duration>,
) -> Checked {
    let most = MINUTE * 66 + AT_ONCE + LONGEST_HANG + LONGEST_ANSWER;
    ensure(condition != Condition::Hibernating || calm.is_none_or(|calm| calm <= most), || {
        format!("still hibernating after {calm:?}")
    })
}

/// The registered hardware is noticed a minute after it is back, or as soon as the request under
/// way is answered.
pub fn the_old_hardware_is_noticed_within_about_a_minute(
    condition: Condition,
    watch: &Watch,
    world: &mut World,
) -> Checked {
    let since = watch.same_hardware_since(world);
    let since = since.map(|since| since.max(watch.awake_since(world)).max(watch.clock_moved_at));
    let most = AT_ONCE + LONGEST_HANG + LONGEST_ANSWER;
    let noticed = condition != Condition::Mismatch;
    ensure(noticed || since.is_none_or(|since| world.elapsed - since <= most), || {
        "the old hardware is back and not noticed".to_owned()
    })
}

/// On other hardware the files are empty, as soon as they can be written.
pub fn nothing_of_ours_stays_on_other_hardware(
    condition: Condition,
    watch: &Watch,
    world: &mut World,
) -> Checked {
    if condition != Condition::Mismatch {
        return Ok(());
    }
    for index in 0..world.files.len() {
        let writable = world.weather.targets[index].clear_since(world.elapsed);
        let awake = watch.awake_since(world);
        let most = LONGEST_WAIT + LONGEST_HANG + AT_ONCE;
        let must = writable.is_some_and(|since| {
            since.is_zero() || world.elapsed - since.max(awake).max(watch.clock_moved_at) > most
        });
        ensure(!must || world.files[index].is_none(), || format!("file {index} is not empty"))?;
    }
    Ok(())
}

/// Credentials that have ended leave a file within a minute and a request's time, when the daemon
/// can know the time and the file can be written. The operator may wish otherwise.
pub fn what_has_ended_leaves_the_files(
    watch: &Watch,
    now: UtcDateTime,
    world: &mut World,
) -> Checked {
    if !watch.policy.withdraw_expired || now < world.now - BELIEVED {
        return Ok(());
    }
    for index in 0..world.files.len() {
        let Some(writable) = world.weather.targets[index].clear_since(world.elapsed) else {
            continue;
        };
        let Some(until) = world.files[index] else { continue };
        let until = watch.left.map_or(until, |left| left.max(until));
        let ended = Duration::try_from(world.now - until).unwrap_or(Duration::ZERO);
        let free = watch.awake_since(world).max(watch.clock_moved_at).max(watch.reloaded_at);
        let retried = if writable.is_zero() { Duration::ZERO } else { LONGEST_WAIT };
        let possible =
            ended.min(world.elapsed - free).min((world.elapsed - writable).saturating_sub(retried));
        let most = AT_ONCE + BOOT_LOOKS + LONGEST_HANG;
        ensure(possible <= most, || format!("file {index} holds what ended {ended:?} ago"))?;
    }
    Ok(())
}

/// That it holds, or what happened instead.
pub fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(otherwise()) }
}
