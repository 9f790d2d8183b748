//! How much of the hardware must agree.

use std::fmt;
use std::str::FromStr;

use crate::pure::advice::{Advice, Exit};

/// Percent of the attributes that must agree: 1 to 100, or the check is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SimilarityThreshold {
    Disabled,
    Percent(u8),
}

/// Not a threshold. 0 is none: it would accept any machine of that machine-id without saying so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("similarity threshold '{0}': expected 1 to 100, or -1 to switch the check off")]
pub struct InvalidThreshold(String);

impl SimilarityThreshold {
    /// The number in the vault's record; -1 when the check is off.
    pub fn as_i64(self) -> i64 {
        match self {
            SimilarityThreshold::Disabled => -1,
            SimilarityThreshold::Percent(percent) => percent.into(),
        }
    }
}

/// 40, as in the reference agent.
impl Default for SimilarityThreshold {
    fn default() -> Self {
        SimilarityThreshold::Percent(40)
    }
}

impl TryFrom<i64> for SimilarityThreshold {
    type Error = InvalidThreshold;

    fn try_from(number: i64) -> Result<Self, InvalidThreshold> {
        match (number, u8::try_from(number)) {
            (-1, _) => Ok(SimilarityThreshold::Disabled),
            (_, Ok(percent @ 1..=100)) => Ok(SimilarityThreshold::Percent(percent)),
            _ => Err(InvalidThreshold(number.to_string())),
        }
    }
}

impl FromStr for SimilarityThreshold {
    type Err = InvalidThreshold;

    fn from_str(text: &str) -> Result<Self, InvalidThreshold> {
        let excerpt = || text.chars().take(20).flat_map(char::escape_default).collect();
        let number = text.parse::<i64>().map_err(|_| InvalidThreshold(excerpt()))?;
        Self::try_from(number)
    }
}

impl fmt::Display for SimilarityThreshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SimilarityThreshold::Disabled => f.write_str("off"),
            SimilarityThreshold::Percent(percent) => write!(f, "{percent} %"),
        }
    }
}

impl Advice for InvalidThreshold {
    fn remedy(&self) -> String {
        "rolekeeper fingerprint set-threshold 40".into()
    }

    fn exit(&self) -> Exit {
        Exit::Usage
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_default_is_40() {
        assert_eq!(SimilarityThreshold::default().as_i64(), 40);
    }

    #[test]
    fn neither_0_nor_101_nor_a_word_is_a_threshold() {
        for text in ["0", "-0", "101", "-2", "256", "296", "", "40 ", "40%", "off", "4e1"] {
            assert!(text.parse::<SimilarityThreshold>().is_err(), "{text:?}");
        }
        assert_eq!(
            "0".parse::<SimilarityThreshold>().unwrap_err().to_string(),
            "similarity threshold '0': expected 1 to 100, or -1 to switch the check off"
        );
    }

    proptest! {
        #[test]
        fn numbers_and_texts_are_taken_alike_and_come_back(number in -300_i64..300) {
            let threshold = SimilarityThreshold::try_from(number);
            prop_assert_eq!(number.to_string().parse::<SimilarityThreshold>(), threshold.clone());
            prop_assert_eq!(threshold.is_ok(), number == -1 || (1..=100).contains(&number));
            if let Ok(threshold) = threshold {
                prop_assert_eq!(threshold.as_i64(), number);
            }
        }
    }
}
