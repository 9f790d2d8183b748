//! Chance: the only place that draws it.

use rsa::rand_core::{OsRng, RngCore};

use crate::pure::jitter::Jitter;

/// A source of random bytes, fit for keys.
pub trait Entropy: std::fmt::Debug + Send + Sync {
    fn fill(&self, bytes: &mut [u8]);

    /// A fraction in `0..1` to spread a delay by.
    fn jitter(&self) -> Jitter {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        Jitter::from_bits(u64::from_ne_bytes(bytes))
    }
}

/// The kernel's generator (`getrandom`).
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        OsRng.fill_bytes(bytes);
    }
}
