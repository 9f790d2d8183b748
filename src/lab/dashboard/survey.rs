//! Looks at the service once and notes what the dashboard shows: the first rows of each list, and
//! how many there are. What others wrote is bounded and made harmless to read.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use time::UtcDateTime;

use super::snapshot::{
    ActivationRow, FaultRow, LabClock, Life, NodeRow, NodeState, RequestRow, Shown, Snapshot, Tally,
    TokenRow,
};
use crate::lab::activations::Activation;
use crate::lab::faults::{Effect, Standing};
use crate::lab::ledger::{Entry, Outcome};
use crate::lab::nodes::Node;
use crate::lab::operation::Operation;
use crate::lab::service::Service;
use crate::lab::tokens::{Holder, IssuedToken};
use crate::pure::duration::display_duration;
use crate::pure::identity::InstanceId;

/// Rows of a list that are shown; of the rest, only the number.
const ROWS: usize = 50;

/// Rows of the requests: about what a screen holds.
const REQUEST_ROWS: usize = 25;

/// Seconds that the picture of requests looks back.
const PULSE: usize = 60;

/// Characters of a foreign text that are shown.
const LONGEST_TEXT: usize = 64;

/// What a node does by itself. What its role may not do elsewhere is no trouble of the node.
const OWN_OPERATIONS: [Operation; 3] = [
    Operation::RequestManagedInstanceRoleToken,
    Operation::UpdateManagedInstancePublicKey,
    Operation::UpdateInstanceInformation,
];

/// What keeps nodes from faring well.
struct Troubles<'a> {
    /// How each node's last own request ended, if badly.
    failures: BTreeMap<&'a InstanceId, String>,
    faults: &'a [Standing],
}

/// `now` is this machine's time.
pub fn survey(service: &mut Service, now: UtcDateTime) -> Snapshot {
    let ahead = service.clock_offset;
    let clock = LabClock { at: now.saturating_add(ahead), rate: 1.0, ahead };
    let faults = service.faults.list(now).to_vec();
    let troubles = Troubles {
        failures: failures(service.ledger.entries().rev()),
        faults: &faults,
    };
    let mut tally = Tally::default();
    service.ledger.entries().for_each(|entry| tally.count(&entry.outcome));
    Snapshot {
        clock,
        nodes: nodes(service, &troubles, clock.at),
        tokens: tokens(service, clock.at),
        activations: activations(service, clock.at),
        requests: Shown {
            rows: service.ledger.entries().rev().take(REQUEST_ROWS).map(request).collect(),
            total: tally.total(),
        },
        pulse: pulse(service.ledger.entries().rev(), now),
        tally,
        faults: Shown {
            rows: faults.iter().rev().take(ROWS).map(|standing| fault(standing, now)).collect(),
            total: faults.len(),
        },
    }
}

fn nodes(service: &Service, troubles: &Troubles<'_>, now: UtcDateTime) -> Shown<NodeRow> {
    let mut newest_tokens = BTreeMap::<&InstanceId, &IssuedToken>::new();
    for token in living(service, now) {
        if let Some(node) = token.node() {
            let newest = newest_tokens.entry(node).or_insert(token);
            if newest.expires_at < token.expires_at {
                *newest = token;
            }
        }
    }
    // Nodes in trouble come in before others, and then stand where they always stood.
    let found = first(service.nodes.iter().collect(), |node| {
        (!troubles.failures.contains_key(&node.id), Reverse(node.registered_at))
    });
    let mut rows = found.rows;
    rows.sort_by_key(|node| (Reverse(node.registered_at), &node.id));
    let row = |node: &Node| {
        let said = node.last_ping.as_ref().map(|ping| &ping.said);
        let name = node.name.as_deref().or(said.and_then(|said| said.computer_name.as_deref()));
        let life = newest_tokens
            .get(&node.id)
            .and_then(|token| Life::of(token.expires_at, service.token_lifetime, now));
        NodeRow {
            id: node.id.clone(),
            name: name.map(legible),
            platform: said.and_then(|said| platform(
                said.platform_name.as_deref(), said.platform_version.as_deref())),
            role: legible(node.role_name()),
            state: troubles.state(node, life.is_some()),
            online: node.ping_status(now) == "Online",
            pinged_at: node.last_ping.as_ref().map(|ping| ping.at),
            life,
            aimed_at: troubles.faults.iter().any(|it| it.fault.node.as_ref() == Some(&node.id)),
        }
    };
    Shown { rows: rows.into_iter().map(row).collect(), total: found.total }
}

fn tokens(service: &Service, now: UtcDateTime) -> Shown<TokenRow> {
    let found = first(living(service, now).collect(), |token| Reverse(token.expires_at));
    let row = |token: &IssuedToken| {
        let (holder, role) = match &token.holder {
            Holder::Node { node, role_name } => (node.as_str(), role_name),
            Holder::Session(session) => (session.name.as_str(), &session.role_name),
        };
        Some(TokenRow {
            access_key_id: token.access_key_id.clone(),
            holder: legible(holder),
            role: legible(role),
            life: Life::of(token.expires_at, service.token_lifetime, now)?,
        })
    };
    Shown { rows: found.rows.into_iter().filter_map(row).collect(), total: found.total }
}

fn living(service: &Service, now: UtcDateTime) -> impl Iterator<Item = &IssuedToken> {
    service.tokens.iter().filter(move |token| token.expires_at > now)
}

fn activations(service: &Service, now: UtcDateTime) -> Shown<ActivationRow> {
    let found =
        first(service.activations.iter().collect(), |activation| Reverse(activation.created_at));
    let row = |activation: &Activation| {
        let whole = Duration::try_from(activation.expires_at - activation.created_at);
        ActivationRow {
            id: activation.id.clone(),
            name: activation.default_instance_name.as_deref().map(legible),
            role: legible(&activation.iam_role),
            registrations: activation.registrations,
            limit: activation.limit,
            life: Life::of(activation.expires_at, whole.unwrap_or_default(), now),
        }
    };
    Shown { rows: found.rows.into_iter().map(row).collect(), total: found.total }
}

fn request(entry: &Entry) -> RequestRow {
    RequestRow {
        at: entry.at,
        operation: entry.operation,
        node: entry.node.clone(),
        outcome: entry.outcome.clone(),
    }
}

fn fault(standing: &Standing, now: UtcDateTime) -> FaultRow {
    let fault = &standing.fault;
    FaultRow {
        id: standing.id,
        effect: effect(&fault.effect),
        operation: fault.operation,
        node: fault.node.clone(),
        hits: standing.hits,
        count: fault.count,
        left: fault.until.and_then(|until| Duration::try_from(until - now).ok()),
        probability: fault.probability,
    }
}

/// Requests by the second, the newest last. `entries` come newest first.
fn pulse<'a>(entries: impl Iterator<Item = &'a Entry>, now: UtcDateTime) -> Vec<Tally> {
    let mut seconds = vec![Tally::default(); PULSE];
    for entry in entries {
        let age = now.unix_timestamp() - entry.at.unix_timestamp();
        match usize::try_from(age) {
            Ok(age) if age >= PULSE => break,
            Ok(age) => seconds[PULSE - 1 - age].count(&entry.outcome),
            // This machine's clock was set back meanwhile.
            Err(_) => {}
        }
    }
    seconds
}

/// Nodes whose last own request ended badly, and how. `entries` come newest first.
fn failures<'a>(entries: impl Iterator<Item = &'a Entry>) -> BTreeMap<&'a InstanceId, String> {
    let mut last = BTreeMap::new();
    for entry in entries {
        if entry.operation.is_some_and(|operation| OWN_OPERATIONS.contains(&operation))
            && let Some(node) = &entry.node
        {
            last.entry(node).or_insert(&entry.outcome);
        }
    }
    let failed = |(node, outcome): (_, &Outcome)| match outcome {
        Outcome::Done => None,
        Outcome::Refused(code) => Some((node, legible(code))),
        Outcome::Disturbed(effect) => Some((node, format!("fault: {effect}"))),
    };
    last.into_iter().filter_map(failed).collect()
}

impl Troubles<'_> {
    fn state(&self, node: &Node, has_credentials: bool) -> NodeState {
        let meets = |standing: &&Standing| {
            let fault = &standing.fault;
            fault.node.as_ref().is_none_or(|aim| *aim == node.id)
                && fault.operation.is_none_or(|operation| OWN_OPERATIONS.contains(&operation))
        };
        if let Some(why) = self.failures.get(&node.id) {
            NodeState::Failing(why.clone())
        } else if let Some(standing) = self.faults.iter().find(meets) {
            NodeState::Faulted(effect(&standing.fault.effect))
        } else if has_credentials {
            NodeState::Fresh
        } else {
            NodeState::Bare
        }
    }
}

/// The first of a list by `key`, in order.
fn first<T, K: Ord>(mut all: Vec<T>, key: impl Fn(&T) -> K) -> Shown<T> {
    let total = all.len();
    if total > ROWS {
        all.select_nth_unstable_by_key(ROWS, &key);
        all.truncate(ROWS);
    }
    all.sort_by_key(key);
    Shown { rows: all, total }
}

fn platform(name: Option<&str>, version: Option<&str>) -> Option<String> {
    let words = [name, version].into_iter().flatten().filter(|word| !word.is_empty());
    let text = words.collect::<Vec<_>>().join(" ");
    Some(legible(&text)).filter(|text| !text.is_empty())
}

/// `status 400 ThrottlingException`, `latency 2s`, `hang`.
fn effect(effect: &Effect) -> String {
    let name = effect.name();
    match effect {
        Effect::Status { status, code: None } | Effect::Html { status } => {
            format!("{name} {status}")
        }
        Effect::Status { status, code: Some(code) } => format!("{name} {status} {}", legible(code)),
        Effect::Latency(latency) => format!("{name} {}", display_duration(*latency)),
        Effect::Hang | Effect::Reset | Effect::TornBody => name.to_owned(),
    }
}

/// A text from outside: its beginning, without what moves other text about.
fn legible(text: &str) -> String {
    let mut shown = text
        .chars()
        .take(LONGEST_TEXT)
        .map(|c| if c.is_control() || is_direction(c) { '\u{fffd}' } else { c })
        .collect::<String>();
    if text.chars().nth(LONGEST_TEXT).is_some() {
        shown.push('…');
    }
    shown
}

/// Marks that turn the reading direction, and separators of lines (Unicode 16, `Bidi_Control`,
/// `Zl`, `Zp`).
fn is_direction(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
