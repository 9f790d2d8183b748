//! aws-sdk-ruby, `ini_parser.rb`. It refuses nothing by intention, and fails with `NoMethodError` at a
//! nested setting below a line that is neither a setting nor a name without a value.

use super::Dialect;

#[derive(Default)]
pub(super) struct Ruby {
    in_section: bool,
    /// Whether the line above was a setting.
    above: bool,
    /// Whether a name without a value is open.
    open: bool,
}

impl Dialect for Ruby {
    fn takes(&mut self, line: &str) -> bool {
        let line = before_comment(line);
        if is_section(line) {
            self.in_section = true;
            return true;
        }
        if !self.in_section {
            return true;
        }
        let (name, value) = line.split_once('=').unwrap_or_default();
        let named = !name.is_empty();
        let (setting, nested) = (named && !value.trim().is_empty(), name.starts_with(is_space));
        let failed = setting && nested && !self.open && !self.above;
        if setting && !nested {
            self.open = false;
        } else if named && !setting {
            self.open = true;
        }
        self.above = setting;
        !failed
    }
}

/// `[name]`, and behind it nothing but a comment.
fn is_section(line: &str) -> bool {
    let Some((name, rest)) = line.strip_prefix('[').and_then(|rest| rest.split_once(']')) else {
        return false;
    };
    let rest = rest.trim_start_matches(is_space);
    let comment = rest.strip_prefix('#').is_some_and(|comment| !comment.is_empty());
    !name.is_empty() && !name.contains('[') && (rest.is_empty() || comment)
}

/// Up to a semicolon behind a blank. `#` begins a comment of its own line only, by not being a name.
fn before_comment(line: &str) -> &str {
    let set_off = |at: &usize| line[..*at].ends_with(is_space);
    let at = line.match_indices(';').map(|(at, _)| at).find(set_off);
    &line[..at.map_or(line.len(), |at| at - 1)]
}

/// `\s` of Ruby's regular expressions.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n' | '\x0b' | '\x0c')
}
