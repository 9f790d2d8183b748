//! What goes wrong, for whom, how often and when. Decides only; [`super::service`] does it to a
//! request, [`super::server`] to a connection.
//!
//! ```text
//! wire ──decode──> Fault ──add──> Faults ──verdict──> Effect ──> service, altered, server
//! ```

pub mod altered;
mod effect;
mod wire;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use time::UtcDateTime;
use tokio::sync::Notify;

use super::operation::Operation;
use crate::pure::identity::InstanceId;
use crate::pure::jitter::Jitter;

pub use effect::Effect;
pub use wire::{Kind, MalformedFault, Offset, Span, WireFault};

/// Faults that may stand at once.
const CAPACITY: usize = 1000;

/// A fault as it was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// `None` is any operation of AWS; the lab's own control is disturbed by refused connections
    /// only.
    pub operation: Option<Operation>,
    /// `None` is any caller.
    pub node: Option<InstanceId>,
    pub effect: Effect,
    /// How many requests it meets; `None` is all.
    pub count: Option<u32>,
    /// When it begins, by the lab's clock; `None` is at once.
    pub from: Option<UtcDateTime>,
    /// Until when, by the lab's clock; `None` is until it is cleared.
    pub until: Option<UtcDateTime>,
    /// The share of requests that it meets, 0 to 1.
    pub probability: f64,
}

/// A fault that stands, with what it has done so far.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    pub id: u64,
    pub fault: Fault,
    pub hits: u32,
}

/// All that stand. The oldest that fits decides.
#[derive(Debug, Default)]
pub struct Faults {
    standing: Vec<Standing>,
    last_id: u64,
    changed: Arc<Notify>,
}

/// When nobody listens: from the first moment, or at once, to the second, or until it is cleared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Absence {
    pub from: Option<UtcDateTime>,
    pub until: Option<UtcDateTime>,
}

/// There are a thousand already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{CAPACITY} faults stand already")]
pub struct TooManyFaults;

impl Fault {
    /// This effect on every request, until it is cleared.
    pub fn always(effect: Effect) -> Self {
        let (operation, node, count, from, until) = (None, None, None, None, None);
        Self { operation, node, effect, count, from, until, probability: 1.0 }
    }

    /// The same for one operation only.
    pub fn on(self, operation: Operation) -> Self {
        Self { operation: Some(operation), ..self }
    }

    /// The same for so many requests only.
    pub fn times(self, count: u32) -> Self {
        Self { count: Some(count), ..self }
    }

    /// Whether a request such as this can meet it. Counts and chance are not asked.
    pub fn meets(
        &self,
        operation: Option<Operation>,
        node: Option<&InstanceId>,
        now: UtcDateTime,
    ) -> bool {
        (self.operation.is_none() || self.operation == operation)
            && (self.node.is_none() || self.node.as_ref() == node)
            && self.from.is_none_or(|from| from <= now)
            && self.effect.fits(operation)
            && (node.is_some() || !self.effect.needs_node())
            // Whoever is here has been connected.
            && self.effect != Effect::RefusedConnection
    }
}

/// Whom it meets, and what it does: `CreateActivation: no answer, ever`.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.operation {
            Some(operation) => write!(f, "{operation}")?,
            None => f.write_str("every request")?,
        }
        if let Some(node) = &self.node {
            write!(f, " of {node}")?;
        }
        if self.probability < 1.0 {
            write!(f, ", {} % of them", (self.probability * 1000.0).round() / 10.0)?;
        }
        write!(f, ": {}", self.effect)
    }
}

impl Standing {
    /// How many more requests it meets; `None` is all.
    pub fn left(&self) -> Option<u32> {
        self.fault.count.map(|count| count.saturating_sub(self.hits))
    }

    fn is_over(&self, now: UtcDateTime) -> bool {
        self.left() == Some(0) || self.fault.until.is_some_and(|until| until <= now)
    }
}

impl Faults {
    /// Adds one; the answer is its number.
    pub fn add(&mut self, fault: Fault) -> Result<u64, TooManyFaults> {
        if self.standing.len() >= CAPACITY {
            return Err(TooManyFaults);
        }
        self.last_id += 1;
        self.standing.push(Standing { id: self.last_id, fault, hits: 0 });
        self.changed.notify_one();
        Ok(self.last_id)
    }

    /// Those that can still meet a request.
    pub fn list(&mut self, now: UtcDateTime) -> &[Standing] {
        self.standing.retain(|standing| !standing.is_over(now));
        &self.standing
    }

    /// Removes all; the answer is how many there were.
    pub fn clear(&mut self) -> usize {
        self.changed.notify_one();
        self.standing.drain(..).count()
    }

    /// Removes one. False when there is none of that number.
    pub fn remove(&mut self, id: u64) -> bool {
        self.changed.notify_one();
        let before = self.standing.len();
        self.standing.retain(|standing| standing.id != id);
        self.standing.len() < before
    }

    /// Wakes the one who waits for an absence whenever a fault comes or goes.
    pub fn changed(&self) -> Arc<Notify> {
        self.changed.clone()
    }

    /// The first time, from `now` on, that nobody listens.
    pub fn absence(&self, now: UtcDateTime) -> Option<Absence> {
        self.standing
            .iter()
            .filter(|one| one.fault.effect == Effect::RefusedConnection && !one.is_over(now))
            .map(|one| Absence { from: one.fault.from, until: one.fault.until })
            .min_by_key(|absence| absence.from)
    }

    /// What happens to this request, if anything, and counts it. `jitter` decides for faults with a
    /// probability.
    pub fn verdict(
        &mut self,
        operation: Option<Operation>,
        node: Option<&InstanceId>,
        jitter: Jitter,
        now: UtcDateTime,
    ) -> Option<Effect> {
        let chance = jitter.of(Duration::from_secs(1)).as_secs_f64();
        self.standing.retain(|standing| !standing.is_over(now));
        let standing = self.standing.iter_mut().find(|standing| {
            standing.fault.meets(operation, node, now) && chance < standing.fault.probability
        })?;
        standing.hits += 1;
        Some(standing.fault.effect.clone())
    }
}

#[cfg(test)]
mod tests {
    use time::macros::utc_datetime;

    use super::*;

    const NOW: UtcDateTime = utc_datetime!(2026-11-22 00:00);
    const TOKEN: Option<Operation> = Some(Operation::RequestManagedInstanceRoleToken);

    fn faults(fault: Fault) -> Faults {
        let mut faults = Faults::default();
        faults.add(fault).unwrap();
        faults
    }

    #[test]
    fn a_counted_fault_runs_out() {
        let mut faults = faults(Fault::always(Effect::Hang).times(2));
        let mut verdict = || faults.verdict(TOKEN, None, Jitter::NONE, NOW);
        assert_eq!(verdict(), Some(Effect::Hang));
        assert_eq!(verdict(), Some(Effect::Hang));
        assert_eq!(verdict(), None);
        assert!(faults.list(NOW).is_empty());
    }

    #[test]
    fn a_timed_fault_ends_by_the_clock() {
        let until = NOW + Duration::from_secs(30);
        let mut faults = faults(Fault { until: Some(until), ..Fault::always(Effect::Reset) });
        let before = until - Duration::from_millis(1);
        assert_eq!(faults.verdict(TOKEN, None, Jitter::NONE, before), Some(Effect::Reset));
        assert_eq!(faults.verdict(TOKEN, None, Jitter::NONE, until), None);
    }

    #[test]
    fn a_fault_can_begin_later() {
        let from = NOW + Duration::from_secs(30);
        let mut faults = faults(Fault { from: Some(from), ..Fault::always(Effect::Reset) });
        let before = from - Duration::from_millis(1);
        assert_eq!(faults.verdict(TOKEN, None, Jitter::NONE, before), None);
        assert_eq!(faults.list(before).len(), 1);
        assert_eq!(faults.verdict(TOKEN, None, Jitter::NONE, from), Some(Effect::Reset));
    }

    #[test]
    fn an_effect_that_can_do_nothing_waits_for_its_request() {
        let node = "mi-0123456789abcdef0".parse::<InstanceId>().unwrap();
        for (effect, operation, asks) in [
            (Effect::UpdateKeyPair, TOKEN, Some(&node)),
            (Effect::Deregistration, Some(Operation::UpdateInstanceInformation), Some(&node)),
            (Effect::SkewedExpiry(time::Duration::HOUR), Some(Operation::AssumeRole), None),
            (Effect::WrongJson, Some(Operation::CreateActivation), None),
            (Effect::WrongShape, Some(Operation::ContainerCredentials), None),
        ] {
            let mut faults = faults(Fault::always(effect.clone()).times(1));
            let mut verdict = |operation, node| faults.verdict(operation, node, Jitter::NONE, NOW);
            assert_eq!(verdict(Some(Operation::GetCallerIdentity), None), None, "{effect:?}");
            assert_eq!(verdict(None, None), None, "{effect:?}");
            assert_eq!(verdict(operation, asks), Some(effect));
        }
    }

    #[test]
    fn refused_connections_are_an_absence_and_meet_no_request() {
        let at = |seconds| Some(NOW + Duration::from_secs(seconds));
        let away = |from, until| Fault { from, until, ..Fault::always(Effect::RefusedConnection) };
        let mut faults = faults(away(at(60), at(90)));
        faults.add(away(at(30), at(40))).unwrap();
        assert_eq!(faults.verdict(TOKEN, None, Jitter::NONE, NOW), None);
        let absence = |from, until| Some(Absence { from, until });
        assert_eq!(faults.absence(NOW), absence(at(30), at(40)));
        assert_eq!(faults.absence(at(40).unwrap()), absence(at(60), at(90)));
        assert_eq!(faults.absence(at(90).unwrap()), None);
        faults.add(away(None, None)).unwrap();
        assert_eq!(faults.absence(NOW), absence(None, None));
    }

    #[test]
    fn one_fault_can_be_removed() {
        let mut faults = faults(Fault::always(Effect::Hang));
        faults.add(Fault::always(Effect::Reset)).unwrap();
        assert!(faults.remove(1));
        assert!(!faults.remove(1));
        assert_eq!(faults.verdict(None, None, Jitter::NONE, NOW), Some(Effect::Reset));
    }

    #[test]
    fn a_fault_is_told_in_words() {
        let effect = Effect::Status { status: 400, code: Some("ThrottlingException".into()) };
        let fault = Fault { probability: 0.2, ..Fault::always(effect) };
        assert_eq!(
            fault.to_string(),
            "every request, 20 % of them: status 400 ThrottlingException"
        );
        let fault = Fault {
            node: Some("mi-0123456789abcdef0".parse().unwrap()),
            ..Fault::always(Effect::SkewedExpiry(time::Duration::hours(-2)))
                .on(Operation::RequestManagedInstanceRoleToken)
        };
        assert_eq!(
            fault.to_string(),
            "RequestManagedInstanceRoleToken of mi-0123456789abcdef0: an expiry that is off by -2h"
        );
    }

    #[test]
    fn a_fault_meets_its_operation_and_its_node_only() {
        let id = |text: &str| text.parse::<InstanceId>().unwrap();
        let (mine, other) = (id("mi-0123456789abcdef0"), id("mi-0123456789abcdef1"));
        let mut faults = faults(Fault {
            node: Some(mine.clone()),
            ..Fault::always(Effect::Hang).on(Operation::RequestManagedInstanceRoleToken)
        });
        let mut meets =
            |operation, node| faults.verdict(operation, node, Jitter::NONE, NOW).is_some();
        assert!(meets(TOKEN, Some(&mine)));
        assert!(!meets(TOKEN, Some(&other)));
        assert!(!meets(TOKEN, None));
        assert!(!meets(Some(Operation::CreateActivation), Some(&mine)));
        assert!(!meets(None, Some(&mine)));
    }

    #[test]
    fn chance_decides_for_a_probability() {
        let mut faults = faults(Fault { probability: 0.5, ..Fault::always(Effect::Hang) });
        let mut meets = |bits| faults.verdict(None, None, Jitter::from_bits(bits), NOW).is_some();
        assert!(meets(0));
        assert!(meets(u64::MAX / 4));
        assert!(!meets(u64::MAX / 4 * 3));
    }

    #[test]
    fn the_oldest_fault_that_fits_decides() {
        let mut faults = faults(Fault::always(Effect::Hang).times(1));
        faults.add(Fault::always(Effect::Reset)).unwrap();
        assert_eq!(faults.verdict(None, None, Jitter::NONE, NOW), Some(Effect::Hang));
        assert_eq!(faults.verdict(None, None, Jitter::NONE, NOW), Some(Effect::Reset));
        assert_eq!(faults.clear(), 1);
    }
}
