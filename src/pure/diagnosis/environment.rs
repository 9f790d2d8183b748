//! Does the daemon go to AWS as this shell does?
//!
//! Variables name proxies and certificates, and the daemon has an environment of its own: what works
//! in a shell may fail there, and the reverse.

use super::{AS_ROOT, Finding};

/// Judges by the variables that the daemon has otherwise; `None` where its environment is not to be
/// seen.
pub fn judge(differing: Option<&[&str]>) -> Finding {
    match differing {
        None => Finding::skipped("needs root, to see the daemon's environment", AS_ROOT),
        Some([]) => Finding::ok("the daemon has proxy and certificates as this shell has"),
        Some(names) => Finding::warning(
            format!(
                "the daemon has {} otherwise than this shell: what was found of the service here may \
                 not hold for it",
                names.iter().map(|name| format!("${name}")).collect::<Vec<_>>().join(", ")
            ),
            "name them in the settings, which count for both: proxy and ca_bundle in [service]; then \
             systemctl restart rolekeeper",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pure::diagnosis::Verdict;

    #[test]
    fn a_variable_that_only_one_of_them_has_is_a_warning() {
        assert_eq!(judge(None).verdict, Verdict::Skipped);
        assert_eq!(judge(Some(&[])).verdict, Verdict::Ok);
        let finding = judge(Some(&["HTTPS_PROXY", "AWS_CA_BUNDLE"]));
        assert_eq!(finding.verdict, Verdict::Warning);
        assert!(finding.text.contains("has $HTTPS_PROXY, $AWS_CA_BUNDLE otherwise"));
    }
}
