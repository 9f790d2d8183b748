//! Chance as an argument.

use std::time::Duration;

/// A fraction in `0.0..1.0`, drawn by whoever calls, so that decisions stay repeatable.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Jitter(f64);

impl Jitter {
    /// The lowest draw.
    pub const NONE: Jitter = Jitter(0.0);

    /// Any 64 random bits become a fraction: the upper 53 fill an `f64` mantissa exactly.
    pub fn from_bits(bits: u64) -> Self {
        Self((bits >> 11) as f64 / (1_u64 << 53) as f64)
    }

    /// This fraction of `span`.
    pub fn of(self, span: Duration) -> Duration {
        span.mul_f64(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_draw_stays_below_one_and_its_share_within_the_span() {
        assert_eq!(Jitter::from_bits(0), Jitter::NONE);
        assert!(Jitter::from_bits(u64::MAX) < Jitter(1.0));
        assert!(
            Jitter::from_bits(u64::MAX).of(Duration::from_secs(100)) <= Duration::from_secs(100)
        );
    }
}
