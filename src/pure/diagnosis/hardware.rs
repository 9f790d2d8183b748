//! Is this still the machine that registered, and by how much?

use super::Finding;
use crate::pure::fingerprint::{Rule, Similarity, SimilarityThreshold, Verdict};

/// Before it is too late: the daemon still takes this machine for the registered one.
const NEAR: &str = "rolekeeper fingerprint diff; if each change was made on purpose: rolekeeper \
                    fingerprint accept";

/// Judges the comparison, and what one more change would make of it.
pub fn judge(similarity: &Similarity) -> Finding {
    let changed = similarity.changed();
    let unreadable = similarity.unreadable();
    let names = |list: &[_]| list.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let mut seen = Vec::new();
    if !changed.is_empty() {
        seen.push(format!("changed: {}", names(&changed)));
    }
    if !unreadable.is_empty() {
        seen.push(format!("not readable: {}", names(&unreadable)));
    }
    let finding = match (similarity.verdict, similarity.threshold) {
        (Verdict::Disabled, _) | (_, SimilarityThreshold::Disabled) => Finding::warning(
            "the hardware check is off: a copy of the disk on another machine would go on using \
             this identity",
            "rolekeeper fingerprint set-threshold 40",
        ),
        (Verdict::Different, _) => {
            Finding::wrong(similarity.to_string(), similarity.first_remedy())
        }
        (Verdict::Similar, SimilarityThreshold::Percent(needed)) => {
            let score = similarity.score;
            match after_one_more(similarity) {
                Some(next) if next < needed => Finding::warning(
                    format!(
                        "{score} % of the hardware agrees, {needed} % are needed: one more changed \
                         attribute leaves {next} %, and the credentials end{}",
                        if similarity.rule == Rule::SameAddress {
                            " should the IP address change, too"
                        } else {
                            ""
                        }
                    ),
                    NEAR,
                ),
                _ => Finding::ok(format!("{score} % agree, {needed} % are needed")),
            }
        }
    };
    finding.all_seen(seen)
}

/// The score when one attribute more is not what it was.
fn after_one_more(similarity: &Similarity) -> Option<u8> {
    let agreeing = similarity.agreeing().checked_sub(1)?;
    (agreeing * 100).checked_div(similarity.compared())?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pure::diagnosis;
    use crate::pure::fingerprint::{Agreement, Attribute, Contribution};

    /// Nine attributes, so many of which are not what they were.
    fn similarity(changed: usize, needed: u8, rule: Rule) -> Similarity {
        let contributions = Attribute::ALL.into_iter().rev().enumerate().map(|(n, attribute)| {
            let agreement = if n < changed { Agreement::Changed } else { Agreement::Same };
            Contribution { attribute, agreement }
        });
        let score = u8::try_from((9 - changed) * 100 / 9).unwrap();
        Similarity {
            verdict: if score >= needed { Verdict::Similar } else { Verdict::Different },
            rule,
            score,
            threshold: SimilarityThreshold::Percent(needed),
            contributions: contributions.collect(),
        }
    }

    #[test]
    fn a_score_that_one_more_change_would_tip_is_a_warning() {
        use diagnosis::Verdict as V;
        // 9 attributes: 55 % with 5, 44 % with 4, 33 % with 3 that agree.
        for (changed, needed, verdict) in [
            (0, 40, V::Ok),
            (4, 40, V::Ok),
            (5, 40, V::Warning),
            (6, 40, V::Wrong),
            (0, 100, V::Warning),
            (1, 80, V::Warning),
            (8, 1, V::Warning),
        ] {
            let finding = judge(&similarity(changed, needed, Rule::Share));
            assert_eq!(finding.verdict, verdict, "{changed} {needed}: {finding:?}");
            assert_eq!(finding.evidence.len(), usize::from(changed > 0), "{finding:?}");
        }
    }

    #[test]
    fn the_address_that_holds_it_up_is_told() {
        let finding = judge(&similarity(5, 40, Rule::SameAddress));
        assert!(finding.text.ends_with("should the IP address change, too"), "{}", finding.text);
    }

    #[test]
    fn a_check_that_is_off_is_a_warning() {
        let off = Similarity {
            verdict: Verdict::Disabled,
            threshold: SimilarityThreshold::Disabled,
            ..similarity(3, 1, Rule::CheckDisabled)
        };
        let finding = judge(&off);
        assert_eq!(finding.verdict, diagnosis::Verdict::Warning);
        assert!(finding.text.contains("is off") && finding.evidence[0].starts_with("changed: "));
    }
}
