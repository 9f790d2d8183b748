//! aws-runtime 1.10, `env_config/parse.rs`.

use super::{BLANKS, Dialect, before_any_comment, is_comment};

#[derive(Default)]
pub(super) struct Rust {
    inside: bool,
    /// The property above, and whether it has no value of its own.
    property: Option<bool>,
}

impl Dialect for Rust {
    fn takes(&mut self, line: &str) -> bool {
        if line.trim_matches(BLANKS).is_empty() || line.starts_with(is_comment) {
            true
        } else if line.starts_with('[') {
            *self = Self { inside: true, property: None };
            before_any_comment(line).trim_matches(BLANKS).ends_with(']')
        } else if line.starts_with(BLANKS) {
            self.property.is_some_and(|empty| !empty || value(line).is_some())
        } else {
            self.property = value(line).map(str::is_empty);
            self.inside && self.property.is_some()
        }
    }
}

/// The value of a line that sets a property.
fn value(line: &str) -> Option<&str> {
    let (name, value) = prepared(line).split_once('=')?;
    (!name.trim_matches(BLANKS).is_empty()).then(|| value.trim_matches(BLANKS))
}

/// Without blanks around it and without a comment, before which any blank of Unicode's will do.
fn prepared(line: &str) -> &str {
    let line = line.trim_matches(BLANKS);
    let set_off = |at: &usize| line[..*at].ends_with(char::is_whitespace);
    let comment = line.match_indices(is_comment).map(|(at, _)| at).find(set_off);
    // At the line's start, there was a blank that has been taken away; it does not count.
    line[..comment.unwrap_or(line.len())].trim_matches(BLANKS)
}
