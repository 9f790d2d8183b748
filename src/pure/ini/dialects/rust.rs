//! aws-runtime 1.10, `env_config/parse.rs`.

use super::{BLANKS, LineReader, Said, before_any_comment, is_comment, is_identifier, why};

#[derive(Default)]
pub(in crate::pure) struct Rust {
    inside: bool,
    /// The property above, and whether it has no value of its own.
    property: Option<bool>,
}

impl LineReader for Rust {
    fn read<'a>(&mut self, line: &'a str) -> Result<Said<'a>, &'static str> {
        if line.trim_matches(BLANKS).is_empty() || line.starts_with(is_comment) {
            return Ok(Said::Nothing);
        }
        if line.starts_with('[') {
            let header = before_any_comment(line).trim_matches(BLANKS);
            let name = header.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
            *self = Self { inside: true, property: None };
            return Ok(Said::Section(name.ok_or(why::UNCLOSED)?));
        }
        if !self.inside {
            return Err(why::NO_SECTION);
        }
        if line.starts_with(BLANKS) {
            return match self.property {
                None => Err(why::NOTHING_ABOVE),
                Some(true) if setting(line).is_none() => Err(why::NO_SETTING),
                Some(_) => Ok(Said::More),
            };
        }
        let (name, value) = setting(line).ok_or(why::NO_KEY)?;
        self.property = Some(value.is_empty());
        // It is read, and dropped later.
        let is_one = name.chars().all(is_identifier);
        Ok(Said::Key(if is_one { name } else { "" }, value))
    }
}

/// What a line sets.
fn setting(line: &str) -> Option<(&str, &str)> {
    let (name, value) = prepared(line).split_once('=')?;
    let (name, value) = (name.trim_matches(BLANKS), value.trim_matches(BLANKS));
    (!name.is_empty()).then_some((name, value))
}

/// Without blanks around it and without a comment, before which any blank of Unicode's will do.
fn prepared(line: &str) -> &str {
    let line = line.trim_matches(BLANKS);
    let set_off = |at: &usize| line[..*at].ends_with(char::is_whitespace);
    let comment = line.match_indices(is_comment).map(|(at, _)| at).find(set_off);
    // At the line's start, there was a blank that has been taken away; it does not count.
    line[..comment.unwrap_or(line.len())].trim_matches(BLANKS)
}
