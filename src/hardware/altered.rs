//! Another machine, for rehearsals: a real one with some readings replaced.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Probe;
use crate::pure::fingerprint::{Attribute, Observation, Reading};

/// What `inner` sees, but for `changes`.
#[derive(Debug, Clone)]
pub struct AlteredProbe {
    pub inner: Arc<dyn Probe>,
    pub changes: BTreeMap<Attribute, Reading>,
}

impl AlteredProbe {
    /// A machine on which each of `attributes` has another value than on the machine that `inner`
    /// sees: the value that is called `name`.
    pub fn new(inner: Arc<dyn Probe>, name: &str, attributes: &[Attribute]) -> Self {
        let change = |&attribute| (attribute, Reading::of(attribute, name, name));
        Self { inner, changes: attributes.iter().map(change).collect() }
    }
}

impl Probe for AlteredProbe {
    fn observe(&self) -> Observation {
        self.changes.iter().fold(self.inner.observe(), |observation, (&attribute, reading)| {
            observation.with(attribute, reading.clone())
        })
    }
}
