//! @smithy/core, `parseIni.ts`: all it refuses are names that would reach into its own objects.

use super::Dialect;

pub(super) struct JavaScript;

impl Dialect for JavaScript {
    fn takes(&mut self, line: &str) -> bool {
        let section = before_comment(line).trim().strip_prefix('[');
        let name = section.and_then(|rest| rest.strip_suffix(']'));
        !name.is_some_and(|name| ["__proto__", "profile __proto__"].contains(&name))
    }
}

/// Up to a comment at the line's start or behind a blank.
fn before_comment(line: &str) -> &str {
    let mut signs = line.match_indices(super::is_comment).map(|(at, _)| at);
    let is_comment = |at: &usize| *at == 0 || line[..*at].ends_with(char::is_whitespace);
    &line[..signs.find(is_comment).unwrap_or(line.len())]
}
