//! Looks at the service once and notes what the dashboard shows: the first rows of each list, and
//! how many there are. What others wrote is bounded and made harmless to read.

use std::collections::BTreeMap;
use std::time::Duration;

use time::UtcDateTime;

use super::snapshot::{
    ActivationRow, FaultRow, Life, NodeRow, NodeState, RequestRow, Shown, Snapshot, Tally, Time,
    TokenRow,
};
use crate::lab::activations::Activation;
use crate::lab::faults::{Effect, Standing};
use crate::lab::ledger::{Entry, Outcome};
use crate::lab::nodes::{Information, Node};
use crate::lab::operation::Operation;
use crate::lab::service::Service;
use crate::lab::store::StoreError;
use crate::lab::tokens::{Holder, IssuedToken};
use crate::pure::identity::InstanceId;

/// Rows of a list that are shown; of the rest, only the number.
const ROWS: usize = 50;

/// Rows of the requests: about what a screen holds.
const REQUEST_ROWS: usize = 25;

/// Tokens that are looked at to find each node's newest.
const TOKENS: u32 = 500;

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

/// What tells how nodes fare.
struct Fortunes<'a> {
    /// How each node's last own request ended, if badly.
    failures: BTreeMap<&'a InstanceId, String>,
    faults: &'a [Standing],
    /// Each node's credentials that live longest.
    tokens: BTreeMap<&'a InstanceId, Life>,
    /// Whether there are no others alive.
    has_all_tokens: bool,
}

/// `now` is this machine's time.
///
/// # Errors
///
/// The store fails.
pub fn survey(service: &mut Service, now: UtcDateTime) -> Result<Snapshot, StoreError> {
    let at = service.clock.now(now);
    let clock = Time { at, rate: service.clock.rate(), ahead: at - now };
    let faults = service.faults.list(at).to_vec();
    let tokens = Shown {
        rows: service.tokens.alive_longest(TOKENS, at)?,
        total: service.tokens.count_alive(at)?,
    };
    let mut tally = Tally::default();
    service.ledger.entries().for_each(|entry| tally.count(&entry.outcome));
    let fortunes = Fortunes {
        failures: failures(service.ledger.entries().rev()),
        faults: &faults,
        tokens: newest(&tokens.rows, service.token_lifetime, at),
        has_all_tokens: tokens.rows.len() == tokens.total,
    };
    Ok(Snapshot {
        clock,
        nodes: nodes(service, &fortunes, at)?,
        activations: activations(service, at)?,
        requests: Shown {
            rows: service.ledger.entries().rev().take(REQUEST_ROWS).map(request).collect(),
            total: tally.total(),
        },
        pulse: pulse(service.ledger.entries().rev(), &clock),
        tally,
        faults: Shown {
            rows: faults.iter().rev().take(ROWS).map(|standing| fault(standing, at)).collect(),
            total: faults.len(),
        },
        tokens: Shown {
            rows: tokens.rows.iter().take(ROWS).filter_map(|it| token(it, service, at)).collect(),
            total: tokens.total,
        },
    })
}

/// The newest nodes; those in trouble come in first, and then stand where they always stood.
fn nodes(
    service: &Service,
    fortunes: &Fortunes<'_>,
    now: UtcDateTime,
) -> Result<Shown<NodeRow>, StoreError> {
    let total = service.nodes.count()?;
    let mut nodes = service.nodes.newest(ROWS as u32)?;
    if total > nodes.len() {
        let mut troubled = Vec::new();
        for id in fortunes.failures.keys().take(ROWS) {
            troubled.extend(service.nodes.get(id)?);
        }
        nodes.retain(|node| !fortunes.failures.contains_key(&node.id));
        nodes.truncate(ROWS - troubled.len());
        nodes.append(&mut troubled);
        nodes.sort_by(|a, b| (b.registered_at, &a.id).cmp(&(a.registered_at, &b.id)));
    }
    let mut rows = nodes.iter().map(|node| fortunes.row(node, now)).collect::<Vec<_>>();
    let mut bearers = BTreeMap::new();
    for row in &rows {
        *bearers.entry(row.name.clone()).or_insert(0) += 1;
    }
    for row in &mut rows {
        row.shares_name = bearers.get(&row.name).is_some_and(|count| *count > 1);
    }
    Ok(Shown { rows, total })
}

fn activations(service: &Service, now: UtcDateTime) -> Result<Shown<ActivationRow>, StoreError> {
    let row = |activation: Activation| {
        let whole = Duration::try_from(activation.expires_at - activation.created_at);
        ActivationRow {
            name: activation.default_instance_name.as_deref().map(legible),
            role: legible(&activation.iam_role),
            registrations: activation.registrations,
            limit: activation.limit,
            life: Life::of(activation.expires_at, whole.unwrap_or_default(), now),
            id: activation.id,
        }
    };
    let newest = service.activations.newest(ROWS as u32)?;
    Ok(Shown { rows: newest.into_iter().map(row).collect(), total: service.activations.count()? })
}

fn token(token: &IssuedToken, service: &Service, now: UtcDateTime) -> Option<TokenRow> {
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
}

/// Each node's life that ends last. `tokens` come in that order.
fn newest(
    tokens: &[IssuedToken],
    whole: Duration,
    now: UtcDateTime,
) -> BTreeMap<&InstanceId, Life> {
    let mut newest = BTreeMap::new();
    for token in tokens {
        if let (Some(node), Some(life)) = (token.node(), Life::of(token.expires_at, whole, now)) {
            newest.entry(node).or_insert(life);
        }
    }
    newest
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
        effect: fault.effect.to_string(),
        operation: fault.operation,
        node: fault.node.clone(),
        hits: standing.hits,
        count: fault.count,
        begins_in: fault.from.and_then(|from| Duration::try_from(from - now).ok()),
        left: fault.until.and_then(|until| Duration::try_from(until - now).ok()),
        probability: fault.probability,
    }
}

/// Requests by this machine's seconds, the newest last. `entries` come newest first.
fn pulse<'a>(entries: impl Iterator<Item = &'a Entry>, clock: &Time) -> Vec<Tally> {
    let mut seconds = vec![Tally::default(); PULSE];
    let second = |at: UtcDateTime| at.unix_timestamp().div_euclid(i64::from(clock.rate));
    for entry in entries {
        // A clock that was set back makes a request one of the future.
        let age = usize::try_from(second(clock.at) - second(entry.at)).unwrap_or(0);
        if age >= PULSE {
            break;
        }
        seconds[PULSE - 1 - age].count(&entry.outcome);
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

impl Fortunes<'_> {
    fn row(&self, node: &Node, now: UtcDateTime) -> NodeRow {
        let said = node.last_ping.as_ref().map(|ping| &ping.said);
        let name = node.name.as_deref().or(said.and_then(|said| said.computer_name.as_deref()));
        NodeRow {
            id: node.id.clone(),
            name: name.map(legible),
            shares_name: false,
            platform: said.and_then(platform),
            role: legible(node.role_name()),
            state: self.state(&node.id, now),
            online: node.ping_status(now) == "Online",
            pinged_at: node.last_ping.as_ref().map(|ping| ping.at),
            life: self.tokens.get(&node.id).copied(),
            aimed_at: self.faults.iter().any(|it| it.fault.node.as_ref() == Some(&node.id)),
        }
    }

    fn state(&self, node: &InstanceId, now: UtcDateTime) -> NodeState {
        let meets = |standing: &&Standing| {
            let fault = &standing.fault;
            let begun = fault.from.is_none_or(|from| from <= now);
            OWN_OPERATIONS.into_iter().any(|own| fault.meets(Some(own), Some(node), now))
                || (fault.effect == Effect::RefusedConnection && begun)
        };
        let fault = self.faults.iter().find(meets).map(|one| one.fault.effect.to_string());
        if let Some(why) = self.failures.get(node) {
            NodeState::Failing(fault.unwrap_or_else(|| why.clone()))
        } else if let Some(fault) = fault {
            NodeState::Faulted(fault)
        } else if self.tokens.contains_key(node) {
            NodeState::Fresh
        } else if self.has_all_tokens {
            NodeState::Bare
        } else {
            NodeState::Quiet
        }
    }
}

fn platform(said: &Information) -> Option<String> {
    let words = [&said.platform_name, &said.platform_version].into_iter().flatten();
    let text = words.map(String::as_str).collect::<Vec<_>>().join(" ");
    Some(legible(text.trim())).filter(|text| !text.is_empty())
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
