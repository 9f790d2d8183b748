//! Chance that repeats itself: the same seed, the same year.

use std::time::Duration;

use rolekeeper::pure::jitter::Jitter;

/// SplitMix64 (Steele, Lea, Flood 2014): 64 good bits from any seed, 0 included.
#[derive(Debug)]
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn jitter(&mut self) -> Jitter {
        Jitter::from_bits(self.bits())
    }

    /// True once in `n` times.
    pub fn once_in(&mut self, n: u64) -> bool {
        self.bits().is_multiple_of(n)
    }

    pub fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[(self.bits() % choices.len() as u64) as usize]
    }

    /// Any number of milliseconds between the two.
    pub fn between(&mut self, least: Duration, most: Duration) -> Duration {
        let milliseconds = self.jitter().of(most - least).as_millis() as u64;
        least + Duration::from_millis(milliseconds)
    }

    /// A span whose order of magnitude is as likely as any other: seconds as often as days.
    pub fn magnitude(&mut self, least: Duration, most: Duration) -> Duration {
        let mut ceiling = least * 2;
        while ceiling < most && !self.once_in(8) {
            ceiling *= 2;
        }
        self.between(least, ceiling.min(most))
    }
}
