//! The checks as a person reads them.

use std::fmt::Write;

use crate::host::terminal::{self, BAD, DOUBTFUL, GOOD};
use crate::pure::diagnosis::{AS_ROOT, Check, Verdict};

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
        Verdict::Inapplicable | Verdict::Skipped => return column,
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
    let nothing = wrong.is_none() && warnings.is_none();
    let nothing = nothing.then(|| match count(Verdict::Skipped) {
        0 => "nothing is wrong".to_owned(),
        // What was not looked at may be.
        _ => "nothing wrong found".to_owned(),
    });
    let parts = nothing.into_iter().chain(wrong).chain(warnings).chain(skipped(checks));
    let parts = parts.collect::<Vec<_>>();
    format!("\n{}\n", parts.join(", "))
}

/// How many were skipped, of those that apply here, and what to do about it.
fn skipped(checks: &[Check]) -> Option<String> {
    let skipped = checks.iter().filter(|check| check.finding.verdict == Verdict::Skipped);
    let apply = checks.iter().filter(|check| check.finding.verdict != Verdict::Inapplicable);
    let (count, all) = (skipped.clone().count(), apply.count());
    let (as_root, after): (Vec<_>, Vec<_>) =
        skipped.partition(|check| check.finding.remedy.as_deref() == Some(AS_ROOT));
    let remedy = match (as_root.is_empty(), after.is_empty()) {
        (true, true) => return None,
        (false, _) => "run as root",
        (true, false) => "mend what is wrong first",
    };
    Some(format!("{count} of {all} checks skipped: {remedy}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pure::diagnosis::{AFTER_THAT, Finding};

    #[test]
    fn what_is_well_takes_a_line_and_what_is_not_says_what_to_try() {
        let checks = [
            Check::new("clock", Finding::ok("agrees").seen("not shown")),
            Check::of(
                "target",
                "backup",
                Finding::wrong("is gone", "bring it back").seen("a hole"),
            ),
            Check::new("vault", Finding::skipped("needs root", AS_ROOT)),
        ];
        assert_eq!(
            page(&checks),
            "ok       clock         agrees\n\
             WRONG    target        backup: is gone\n\
             \x20                      a hole\n\
             \x20                      try: bring it back\n\
             skipped  vault         needs root\n\
             \n1 thing is wrong, 1 of 3 checks skipped: run as root\n"
        );
        let rest = |checks: &[Check]| page(checks).lines().last().unwrap().to_owned();
        assert_eq!(rest(&checks[2..]), "nothing wrong found, 1 of 1 checks skipped: run as root");
        let others = [
            Check::new("settings", Finding::wrong("x", "y")),
            Check::new("service", Finding::skipped("needs settings", AFTER_THAT)),
            Check::new("vault", Finding::inapplicable("there is none")),
        ];
        let expected = "1 thing is wrong, 1 of 2 checks skipped: mend what is wrong first";
        assert_eq!(rest(&others), expected);
        assert!(page(&checks[..1]).ends_with("\nnothing is wrong\n"));
    }
}
