//! The checks as a person reads them.

use std::fmt::Write;

use crate::host::terminal::{self, BAD, DOUBTFUL, GOOD};
use crate::pure::diagnosis::{Check, Verdict};

/// The columns before the text.
const INDENT: &str = "                       ";

/// One line a check; beneath what is not as it should be, what was seen and what to try.
pub(super) fn page(checks: &[Check]) -> String {
    let mut page = String::new();
    for Check { name, subject, finding } in checks {
        let subject = subject.as_ref().map(|subject| format!("{subject}: ")).unwrap_or_default();
        // Writing to a String cannot fail.
        let _ = writeln!(page, "{} {name:<13} {subject}{}", word(finding.verdict), finding.text);
        if matches!(finding.verdict, Verdict::Warning | Verdict::Wrong) {
            for evidence in &finding.evidence {
                let _ = writeln!(page, "{INDENT}{evidence}");
            }
            if let Some(remedy) = &finding.remedy {
                let _ = writeln!(page, "{INDENT}try: {remedy}");
            }
        }
    }
    page.push_str(&summary(checks));
    page
}

/// The verdict in its column; coloured, where a person reads it.
fn word(verdict: Verdict) -> String {
    let column = format!("{:<8}", verdict.word());
    let style = match verdict {
        Verdict::Ok => GOOD,
        Verdict::Warning => DOUBTFUL,
        Verdict::Wrong => BAD,
        Verdict::Skipped => return column,
    };
    terminal::styled(&column, style, &std::io::stdout())
}

fn summary(checks: &[Check]) -> String {
    let count = |verdict| checks.iter().filter(|check| check.finding.verdict == verdict).count();
    let plural = |count, one: &str, more: &str| match count {
        0 => None,
        1 => Some(format!("1 {one}")),
        count => Some(format!("{count} {more}")),
    };
    let wrong = plural(count(Verdict::Wrong), "thing is wrong", "things are wrong");
    let warnings = plural(count(Verdict::Warning), "warning", "warnings");
    let skipped = plural(count(Verdict::Skipped), "check skipped", "checks skipped");
    let nothing = wrong.is_none() && warnings.is_none();
    let parts = nothing.then(|| "nothing is wrong".to_owned()).into_iter();
    let parts = parts.chain(wrong).chain(warnings).chain(skipped).collect::<Vec<_>>();
    format!("\n{}\n", parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pure::diagnosis::Finding;

    #[test]
    fn what_is_well_takes_a_line_and_what_is_not_says_what_to_try() {
        let checks = [
            Check::new("clock", Finding::ok("agrees").seen("not shown")),
            Check::of(
                "target",
                "backup",
                Finding::wrong("is gone", "bring it back").seen("a hole"),
            ),
            Check::new("vault", Finding::skipped("needs root")),
        ];
        assert_eq!(
            page(&checks),
            "ok       clock         agrees\n\
             WRONG    target        backup: is gone\n\
             \x20                      a hole\n\
             \x20                      try: bring it back\n\
             skipped  vault         needs root\n\
             \n1 thing is wrong, 1 check skipped\n"
        );
        assert!(page(&checks[..1]).ends_with("\nnothing is wrong\n"));
    }
}
