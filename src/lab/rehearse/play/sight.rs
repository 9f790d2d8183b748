//! Looks at what a step expects, all of it at one moment.

use std::time::Duration;

use time::UtcDateTime;

use super::Outcome;
use super::company::Company;
use crate::keys::PublicKey;
use crate::lab::ledger::{Entry, Outcome as Ended};
use crate::lab::rehearse::Unmet;
use crate::lab::rehearse::program::{Use, try_credentials};
use crate::lab::rehearse::stage::Machine;
use crate::lab::scenario::{Call, Expect, Held, Key, Requests, Step, changed_words, nodes_words};
use crate::pure::duration::display_duration;
use crate::shelf::{Moment, Status};
use crate::targets::published;
use crate::vault::Vault;

/// How things were when the step began.
pub struct Before {
    credentials: Option<String>,
    key: Option<PublicKey>,
    began: UtcDateTime,
}

/// What was seen: each condition in words, and whether it held.
#[derive(Debug, Default)]
pub struct Sight {
    conditions: Vec<(bool, String)>,
    /// Something was seen that no waiting changes.
    is_final: bool,
}

impl Before {
    /// A machine that is still to come has neither credentials nor a key.
    pub fn look(company: &mut Company<'_>, step: &Step) -> Self {
        let machine = company.member(&step.on).ok().map(|member| member.machine.clone());
        let machine = machine.as_ref();
        Self {
            credentials: machine.and_then(|machine| held(machine).ok()?.map(|(suffix, _)| suffix)),
            key: machine.and_then(|machine| vault_key(machine).ok()),
            began: company.stage.now(),
        }
    }
}

impl Sight {
    pub fn holds(&self) -> bool {
        self.conditions.iter().all(|(held, _)| *held)
    }

    /// Whether looking again is in vain.
    pub fn is_hopeless(&self) -> bool {
        self.is_final
    }

    pub fn in_words(&self) -> String {
        let words = self.conditions.iter().map(|(_, words)| words.as_str()).collect::<Vec<_>>();
        if words.is_empty() { "done".to_owned() } else { words.join("; ") }
    }

    fn add(&mut self, held: bool, words: impl Into<String>) {
        self.conditions.push((held, words.into()));
    }
}

impl Company<'_> {
    /// Looks at everything that the step expects, cheap things first: another program is started
    /// only when all else holds.
    pub async fn look(
        &mut self,
        step: &Step,
        before: &Before,
        outcome: Option<&Outcome>,
    ) -> Result<Sight, Unmet> {
        let mut sight = Sight::default();
        let expect = &step.expect;
        see_outcome(expect, outcome, &mut sight);
        let now = self.stage.now();
        let member = self.member(&step.on)?;
        let machine = member.machine.clone();
        let status = member.daemon.as_ref().and_then(|daemon| daemon.status());
        see_status(expect, status.as_ref(), now, &mut sight);
        if let Some(wanted) = expect.key {
            let (held, words) = self.see_key(wanted, &machine, before)?;
            sight.add(held, words);
        }
        if let Some(wanted) = expect.nodes {
            let count = self.stage.lab.with_service(|service| service.nodes.count())?;
            sight.add(count == wanted, nodes_words(count));
        }
        if let Some(wanted) = expect.credentials {
            let (held, words) = see_credentials(wanted, &machine, before, now)?;
            sight.add(held, words);
        }
        if let Some(wanted) = &expect.call {
            let (held, words) = match sight.holds() {
                true => self.see_call(wanted, &machine).await?,
                false => (false, "call not tried".to_owned()),
            };
            sight.add(held, words);
        }
        // Last, so that the call counts.
        if let Some(wanted) = &expect.requests {
            let count = self.count(wanted, before.began);
            sight.add(wanted.allow(count), format!("{count} x {}", wanted.subject()));
        }
        Ok(sight)
    }

    fn see_key(
        &self,
        wanted: Key,
        machine: &Machine,
        before: &Before,
    ) -> Result<(bool, String), Unmet> {
        let vault = Vault::read_only(&machine.directories.state)?;
        let registration = vault.registration()?;
        let key = registration.signing_key.public_key();
        let seen = if vault.staged_key()?.is_some() {
            Key::Staged
        } else if before.key.as_ref() == Some(&key) {
            Key::Same
        } else {
            Key::New
        };
        let id = &registration.instance_id;
        let at_service = self
            .stage
            .lab
            .with_service(|service| service.nodes.get(id))?
            .map(|node| node.public_key);
        let agreed = seen == Key::Staged || at_service == Some(key);
        let words = match agreed {
            true => format!("key {}", seen.name()),
            false => format!("key {}, and the service holds another", seen.name()),
        };
        Ok((agreed && seen == wanted, words))
    }

    fn count(&self, wanted: &Requests, since: UtcDateTime) -> usize {
        self.stage.lab.with_service(|service| {
            let entries = service.ledger.entries().filter(|entry| {
                entry.at >= since
                    && entry.operation == Some(wanted.operation)
                    && wanted.outcome.as_deref().is_none_or(|outcome| outcome == ended(entry))
            });
            entries.count()
        })
    }

    async fn see_call(&self, wanted: &Call, machine: &Machine) -> Result<(bool, String), Unmet> {
        if held(machine)?.is_none() {
            return Ok((*wanted == Call::NoCredentials, format!("call {}", Call::NoCredentials)));
        }
        Ok(match try_credentials(self.stage, machine).await? {
            Use::Accepted(caller) => {
                let whom = caller.arn.split_once('/').map_or(caller.arn.as_str(), |(_, whom)| whom);
                (*wanted == Call::Accepted, format!("call accepted, as {whom}"))
            }
            Use::Refused(complaint) => {
                let code = complaint.split(':').next().unwrap_or_default();
                let held = matches!(wanted, Call::Refused(wanted) if wanted == code);
                (held, format!("call {}", if held { code } else { &complaint }))
            }
        })
    }
}

fn see_outcome(expect: &Expect, outcome: Option<&Outcome>, sight: &mut Sight) {
    let message = outcome.map_or("", |outcome| outcome.message.as_str());
    if let Some(wanted) = expect.exit {
        match outcome.and_then(|outcome| outcome.exit) {
            Some(exit) if exit == wanted => sight.add(true, format!("exit {exit}")),
            Some(exit) => sight.add(false, format!("exit {exit}: {message}")),
            None => sight.add(false, format!("no exit: {message}")),
        }
    }
    if let Some(wanted) = &expect.refused {
        let failed = outcome.is_some_and(|outcome| outcome.exit != Some(0));
        match failed && message.contains(wanted.as_str()) {
            true => sight.add(true, format!("refused with {wanted}")),
            false => sight.add(false, format!("not refused with it: {message}")),
        }
    }
    // A command has one outcome.
    sight.is_final = !sight.holds();
}

fn see_status(expect: &Expect, status: Option<&Status>, now: UtcDateTime, sight: &mut Sight) {
    let asked = expect.state.is_some()
        || expect.failure.is_some()
        || expect.hardware.is_some()
        || expect.score.is_some()
        || expect.changed.is_some()
        || expect.asks_again_in.is_some();
    let Some(status) = status else {
        if asked {
            sight.add(false, "no daemon runs there");
        }
        return;
    };
    if let Some(wanted) = expect.state {
        sight.add(status.state == wanted, format!("state {}", status.state.name()));
    }
    if let Some(wanted) = expect.failure {
        let class = status.failure.as_ref().map_or("none", |failure| failure.class.as_str());
        sight.add(class == wanted.name(), format!("failure {class}"));
    }
    if expect.hardware.is_some() || expect.score.is_some() || expect.changed.is_some() {
        match &status.fingerprint {
            None => sight.add(false, "no look at the hardware yet"),
            Some(seen) => {
                if let Some(wanted) = expect.hardware {
                    sight.add(seen.verdict == wanted.name(), format!("hardware {}", seen.verdict));
                }
                if let Some(wanted) = expect.score {
                    sight.add(seen.score == wanted, format!("score {} %", seen.score));
                }
                if let Some(wanted) = &expect.changed {
                    let mut wanted = wanted.clone();
                    wanted.sort();
                    sight.add(seen.changed == wanted, changed_words(&seen.changed));
                }
            }
        }
    }
    if let Some(wanted) = &expect.asks_again_in {
        let failing = status.failure.as_ref().and_then(|failure| failure.next_try_at);
        let renewing = status.credentials.as_ref().map(|credentials| credentials.next_refresh_at);
        match failing.or(renewing) {
            None => sight.add(false, "no next request"),
            Some(Moment(at)) => {
                let span = Duration::try_from(at - now).unwrap_or(Duration::ZERO);
                let whole = Duration::from_secs(span.as_secs());
                sight.add(
                    wanted.contain(span),
                    format!("asks again in {}", display_duration(whole)),
                );
            }
        }
    }
}

fn see_credentials(
    wanted: Held,
    machine: &Machine,
    before: &Before,
    now: UtcDateTime,
) -> Result<(bool, String), Unmet> {
    let Some((suffix, expires_at)) = held(machine)? else {
        return Ok((wanted == Held::None, "credentials none".to_owned()));
    };
    let live = expires_at.is_none_or(|end| end > now);
    let same = before.credentials.as_ref() == Some(&suffix);
    let seen = match (live, same) {
        (false, _) => Held::Dead,
        (true, true) => Held::Same,
        (true, false) => Held::New,
    };
    let holds = seen == wanted || (live && wanted == Held::Live);
    Ok((holds, format!("credentials {} (...{suffix})", seen.name())))
}

/// The last four characters of the access key id in the file, and when it ends.
fn held(machine: &Machine) -> Result<Option<(String, Option<UtcDateTime>)>, Unmet> {
    Ok(published(&machine.target())?.map(|published| {
        let id = published.access_key_id.expose();
        let suffix = id.get(id.len().saturating_sub(4)..).unwrap_or_default();
        (suffix.to_owned(), published.expires_at)
    }))
}

fn vault_key(machine: &Machine) -> Result<PublicKey, Unmet> {
    let vault = Vault::read_only(&machine.directories.state)?;
    Ok(vault.registration()?.signing_key.public_key())
}

fn ended(entry: &Entry) -> &str {
    match &entry.outcome {
        Ended::Done => "done",
        Ended::Refused(code) => code,
        Ended::Disturbed(effect) => effect,
    }
}
