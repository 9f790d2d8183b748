//! aws-c-sdkutils, `aws_profile.c`: what it calls fatal. What it calls recoverable makes it pass over
//! a section or a property, and then whatever is nested below that is fatal.

use super::{Dialect, before_any_comment, is_comment};

/// `s_is_whitespace`.
const BLANKS: [char; 4] = ['\t', '\n', '\r', ' '];

#[derive(Default)]
pub(super) struct C {
    any_section: bool,
    in_section: bool,
    /// The property above, and whether it has no value of its own.
    property: Option<bool>,
}

impl Dialect for C {
    fn takes(&mut self, line: &str) -> bool {
        let line = line.trim_end_matches('\r');
        if line.trim_start_matches(BLANKS).is_empty() || line.starts_with(is_comment) {
            true
        } else if let Some(header) = before_any_comment(line).strip_prefix('[') {
            *self = Self { any_section: true, ..Self::default() };
            self.open(header.trim_end_matches(BLANKS))
        } else if line.starts_with(BLANKS) {
            self.nest(line.trim_matches(BLANKS))
        } else {
            self.property = None;
            self.set(before_comment(line).trim_end_matches(BLANKS))
        }
    }
}

impl C {
    fn open(&mut self, header: &str) -> bool {
        let name = header.trim_start_matches(BLANKS);
        let prefixed = ["profile", "sso-session", "services"]
            .iter()
            .any(|prefix| name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(BLANKS)));
        let rest = name.trim_start_matches(is_identifier);
        if prefixed || rest.len() == name.len() {
            return true;
        }
        let rest = rest.trim_start_matches(BLANKS);
        self.in_section = rest.starts_with(']');
        rest.contains(']')
    }

    fn nest(&self, line: &str) -> bool {
        match self.property {
            None => false,
            Some(false) => true,
            Some(true) => line.find('=').is_some_and(|at| at > 0),
        }
    }

    fn set(&mut self, line: &str) -> bool {
        let (name, value) = line.split_once('=').map_or((line, None), |(n, v)| (n, Some(v)));
        if name.is_empty() {
            return false;
        }
        if !name.trim_end_matches(BLANKS).trim_matches(is_identifier).is_empty() {
            return true;
        }
        let Some(value) = value else { return false };
        if self.in_section {
            self.property = Some(value.trim_start_matches(BLANKS).is_empty());
        }
        self.any_section
    }
}

/// Up to a comment that a blank sets off.
fn before_comment(line: &str) -> &str {
    let set_off = |at: &usize| line[..*at].ends_with(BLANKS);
    let at = line.match_indices(is_comment).map(|(at, _)| at).find(set_off);
    &line[..at.map_or(line.len(), |at| at - 1)]
}

/// A backslash, too, for old times' sake.
fn is_identifier(c: char) -> bool {
    super::is_identifier(c) || c == '\\'
}
