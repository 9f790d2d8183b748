//! A scenario file: its keys, their bounds, and the place of each mistake.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::time::Duration;

use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use toml::Spanned;

use super::expect::is_code;
use super::{Act, Expect, Hardware, MACHINE, NewMachine, Scenario, Step, USUAL_PATIENCE};
use crate::pure::duration::{display_duration, parse_duration};
use crate::pure::fingerprint::Attribute;

/// The largest file, in bytes.
pub const LARGEST: usize = 64 * 1024;

/// The most steps, acts of a step, and machines.
const MOST_STEPS: usize = 100;
const MOST_ACTS: usize = 20;
const MOST_MACHINES: usize = 8;

/// The longest texts, in characters.
const LONGEST_LINE: usize = 120;
const LONGEST_LESSON: usize = 2000;
const LONGEST_MESSAGE: usize = 500;

/// How long a step may wait.
const PATIENCE: [Duration; 2] = [Duration::from_millis(1), Duration::from_secs(10 * 60)];

/// How long credentials may live: as `AssumeRole`'s at most.
const LIFETIMES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(12 * 3600)];

/// How much time may pass in one act.
const PASSAGES: [Duration; 2] = [Duration::from_millis(1), Duration::from_secs(31 * 24 * 3600)];

/// How long role credentials live (AWS: one hour).
const USUAL_LIFETIME: Duration = Duration::from_secs(3600);

/// What a file holds that is no scenario, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{line}:{column}: {message}")]
pub struct MalformedScenario {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    pub message: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: Spanned<String>,
    summary: Spanned<String>,
    learn: Spanned<String>,
    #[serde(default)]
    lab: Lab,
    #[serde(default)]
    machine: Machine,
    #[serde(default)]
    step: Vec<Spanned<StepTable>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Lab {
    token_lifetime: Option<Spanned<Span>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Machine {
    clock_behind: Option<Span>,
    hardware: Option<Spanned<Hardware>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StepTable {
    title: Spanned<String>,
    on: Option<Spanned<String>>,
    #[serde(rename = "do")]
    acts: Option<Spanned<Acts>>,
    expect: Option<Spanned<Expect>>,
    within: Option<Spanned<Span>>,
}

/// A duration as people write it.
struct Span(Duration);

/// One act, or several in brackets, each with its place.
struct Acts(Vec<Spanned<Act>>);

/// A mistake and where it is.
type Mistake = (Option<Range<usize>>, String);

pub(super) fn read(text: &str) -> Result<Scenario, MalformedScenario> {
    scenario(text).map_err(|(span, message)| {
        let (line, column) = position(text, span.map_or(0, |span| span.start));
        // It may repeat what stands in the file, and is shown on a terminal.
        let message = message.chars().take(LONGEST_MESSAGE);
        let message = message.map(|c| if c.is_control() { ' ' } else { c }).collect();
        MalformedScenario { line, column, message }
    })
}

fn scenario(text: &str) -> Result<Scenario, Mistake> {
    if text.len() > LARGEST {
        return Err((None, format!("the file is larger than {} KiB", LARGEST / 1024)));
    }
    let file =
        toml::from_str::<File>(text).map_err(|error| (error.span(), error.message().to_owned()))?;
    check_text(&file.name, "name", LONGEST_LINE)?;
    check_text(&file.summary, "summary", LONGEST_LINE)?;
    check_text(&file.learn, "learn", LONGEST_LESSON)?;
    let token_lifetime = match file.lab.token_lifetime {
        Some(span) => within(span.get_ref().0, LIFETIMES, span.span())?,
        None => USUAL_LIFETIME,
    };
    let hardware = match file.machine.hardware {
        Some(hardware) => checked(&hardware)?.over(&Hardware::of(MACHINE)),
        None => Hardware::of(MACHINE),
    };
    match file.step.len() {
        0 => return Err((None, "there is no [[step]]".to_owned())),
        count if count > MOST_STEPS => {
            let span = file.step[MOST_STEPS].span();
            return Err((Some(span), format!("more than {MOST_STEPS} steps")));
        }
        _ => {}
    }
    let mut known = Known::default();
    let steps = file
        .step
        .into_iter()
        .map(|table| step(table, &mut known))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Scenario {
        name: file.name.into_inner(),
        summary: file.summary.into_inner(),
        learn: file.learn.into_inner().trim().to_owned(),
        token_lifetime,
        hardware,
        clock_behind: file.machine.clock_behind.map_or(Duration::ZERO, |Span(span)| span),
        steps,
    })
}

/// What has a name by then.
struct Known {
    machines: BTreeSet<String>,
    activations: BTreeSet<String>,
}

impl Default for Known {
    fn default() -> Self {
        Self { machines: BTreeSet::from([MACHINE.to_owned()]), activations: BTreeSet::new() }
    }
}

fn step(table: Spanned<StepTable>, known: &mut Known) -> Result<Step, Mistake> {
    let place = table.span();
    let table = table.into_inner();
    check_text(&table.title, "title", LONGEST_LINE)?;
    let acts = table.acts.map(placed).unwrap_or_default();
    if acts.len() > MOST_ACTS {
        return Err((Some(acts[MOST_ACTS].span()), format!("more than {MOST_ACTS} acts")));
    }
    for act in &acts {
        known.meet(act.get_ref()).map_err(|message| (Some(act.span()), message))?;
    }
    let on = match table.on {
        Some(on) if !known.machines.contains(on.get_ref()) => {
            let message = format!("there is no machine '{}' by then", excerpt(on.get_ref()));
            return Err((Some(on.span()), message));
        }
        Some(on) => on.into_inner(),
        None => MACHINE.to_owned(),
    };
    let acts = acts.into_iter().map(Spanned::into_inner).collect::<Vec<_>>();
    let expect = match table.expect {
        Some(expect) => {
            check_expect(expect.get_ref(), &acts)
                .map_err(|message| (Some(expect.span()), message))?;
            expect.into_inner()
        }
        None => Expect::default(),
    };
    if acts.is_empty() && expect.is_empty() {
        return Err((Some(place), "a step needs `do` or `expect`".to_owned()));
    }
    let within = match table.within {
        Some(span) => within(span.get_ref().0, PATIENCE, span.span())?,
        None => USUAL_PATIENCE,
    };
    Ok(Step { title: table.title.into_inner(), on, acts, expect, within })
}

/// An act without brackets stands where its key's value does.
fn placed(acts: Spanned<Acts>) -> Vec<Spanned<Act>> {
    let place = acts.span();
    let Acts(acts) = acts.into_inner();
    let within = |act: Spanned<Act>| match act.span().is_empty() {
        true => Spanned::new(place.clone(), act.into_inner()),
        false => act,
    };
    acts.into_iter().map(within).collect()
}

impl Known {
    /// Whether the act can be meant, and what has a name from then on.
    fn meet(&mut self, act: &Act) -> Result<(), String> {
        match act {
            Act::NewMachine(NewMachine { name, copy_of, hardware }) => {
                hardware.check()?;
                if let Some(other) = copy_of
                    && !self.machines.contains(other)
                {
                    return Err(format!("there is no machine '{}' by then", excerpt(other)));
                }
                // It becomes a directory's name.
                if !is_name(name) {
                    return Err(format!("'{}' is no name: a-z, 0-9 and '-'", excerpt(name)));
                }
                if self.machines.len() == MOST_MACHINES {
                    return Err(format!("more than {MOST_MACHINES} machines"));
                }
                if !self.machines.insert(name.clone()) {
                    return Err(format!("there is a machine '{name}' already"));
                }
            }
            Act::CreateActivation(activation) => {
                if !is_name(&activation.name) {
                    let name = excerpt(&activation.name);
                    return Err(format!("'{name}' is no name: a-z, 0-9 and '-'"));
                }
                if !(1..=1000).contains(&activation.machines) {
                    return Err("an activation admits 1 to 1000 machines".to_owned());
                }
                if !self.activations.insert(activation.name.clone()) {
                    return Err(format!("there is an activation '{}' already", activation.name));
                }
            }
            Act::RegisterWith(name) | Act::ExpireActivation(name) | Act::DeleteActivation(name)
                if !self.activations.contains(name) =>
            {
                return Err(format!("there is no activation '{}' by then", excerpt(name)));
            }
            Act::ChangeHardware(hardware) => hardware.check()?,
            Act::TimePasses(span) if !(PASSAGES[0]..=PASSAGES[1]).contains(span) => {
                return Err(bounds(PASSAGES));
            }
            Act::AddFault(fault) => {
                // Any moment does: what is checked does not depend on it.
                let fault = fault.clone().decode(time::UtcDateTime::UNIX_EPOCH);
                fault.map_err(|error| error.to_string())?;
            }
            _ => {}
        }
        Ok(())
    }
}

fn check_expect(expect: &Expect, acts: &[Act]) -> Result<(), String> {
    let commands = acts.iter().any(Act::is_command);
    if (expect.exit.is_some() || expect.refused.is_some()) && !commands {
        return Err("exit and refused are of a command, and this step does none: register, \
                    refresh, rotate-key, accept-fingerprint or set-threshold"
            .to_owned());
    }
    if expect.refused.as_deref().is_some_and(|code| !is_code(code)) {
        return Err("refused must be a code such as InvalidActivation".to_owned());
    }
    for name in expect.changed.iter().flatten() {
        Attribute::from_name(name).map_err(|error| error.to_string())?;
    }
    if let Some(spans) = &expect.asks_again_in {
        check_range(spans.at_least, spans.at_most, "asks_again_in")?;
    }
    if let Some(requests) = &expect.requests {
        check_range(requests.at_least, requests.at_most, "requests")?;
        if requests.outcome.as_deref().is_some_and(|outcome| !is_word(outcome)) {
            return Err("an outcome is done, a code, or the name of a fault".to_owned());
        }
    }
    Ok(())
}

fn check_range<T: PartialOrd>(least: Option<T>, most: Option<T>, name: &str) -> Result<(), String> {
    match (least, most) {
        (None, None) => Err(format!("{name} needs at_least or at_most")),
        (Some(least), Some(most)) if least > most => {
            Err(format!("{name}: at_least is more than at_most"))
        }
        _ => Ok(()),
    }
}

fn checked(hardware: &Spanned<Hardware>) -> Result<&Hardware, Mistake> {
    let found = hardware.get_ref().check();
    found.map_err(|message| (Some(hardware.span()), message)).map(|()| hardware.get_ref())
}

/// Texts are shown on terminals and pages: nothing in them may steer one.
fn check_text(text: &Spanned<String>, name: &str, longest: usize) -> Result<(), Mistake> {
    let (span, text) = (text.span(), text.get_ref());
    let lines = longest == LONGEST_LESSON;
    if text.trim().is_empty() || text.chars().count() > longest {
        Err((Some(span), format!("{name} must be 1 to {longest} characters")))
    } else if text.chars().any(|c| c.is_control() && !(lines && c == '\n')) {
        Err((Some(span), format!("{name} must have no control characters")))
    } else {
        Ok(())
    }
}

fn within(span: Duration, range: [Duration; 2], place: Range<usize>) -> Result<Duration, Mistake> {
    let fits = (range[0]..=range[1]).contains(&span);
    if fits { Ok(span) } else { Err((Some(place), bounds(range))) }
}

fn bounds([least, most]: [Duration; 2]) -> String {
    format!("expected {} to {}", display_duration(least), display_duration(most))
}

fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=30).contains(&text.len()) && text.bytes().all(plain)
}

fn is_word(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
    (1..=100).contains(&text.len()) && text.bytes().all(plain)
}

fn excerpt(text: &str) -> String {
    text.chars().take(40).flat_map(char::escape_default).collect()
}

/// Line and column, both from 1; columns count characters.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

/// A duration as people write it: `30s`, `1h30m`.
pub(super) fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    Span::deserialize(from).map(|Span(span)| span)
}

pub(super) fn some_duration<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<Duration>, D::Error> {
    duration(from).map(Some)
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Parse;

        impl Visitor<'_> for Parse {
            type Value = Span;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as \"30s\"")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Span, E> {
                parse_duration(text).map(Span).map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Parse)
    }
}

impl<'de> Deserialize<'de> for Acts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;

        impl<'de> Visitor<'de> for OneOrMany {
            type Value = Acts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an act, or several in brackets")
            }

            fn visit_str<E: Error>(self, word: &str) -> Result<Acts, E> {
                Act::deserialize(StrDeserializer::new(word)).map(one)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Acts, A::Error> {
                Act::deserialize(MapAccessDeserializer::new(map)).map(one)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Acts, A::Error> {
                let mut acts = Vec::new();
                while let Some(act) = seq.next_element::<Spanned<Act>>()? {
                    acts.push(act);
                }
                Ok(Acts(acts))
            }
        }

        fn one(act: Act) -> Acts {
            Acts(vec![Spanned::new(0..0, act)])
        }

        deserializer.deserialize_any(OneOrMany)
    }
}

#[cfg(test)]
mod tests;
