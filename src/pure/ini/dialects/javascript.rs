//! @smithy/core, `parseIni.ts`: all it refuses are names that would reach into its own objects.

use super::{LineReader, Said};

/// Whether lines below a key without a value are that key's is for who collects them.
pub(in crate::pure) struct JavaScript;

impl LineReader for JavaScript {
    fn read<'a>(&mut self, line: &'a str) -> Result<Said<'a>, &'static str> {
        let content = before_comment(line).trim();
        if let Some(name) = content.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            return match name {
                "__proto__" | "profile __proto__" => Err("has a name that it refuses"),
                _ => Ok(Said::Section(name)),
            };
        }
        Ok(match content.split_once('=') {
            Some((name, value)) if !name.is_empty() => Said::Key(name.trim(), value.trim()),
            _ => Said::Nothing,
        })
    }
}

/// Up to a comment at the line's start or behind a blank.
fn before_comment(line: &str) -> &str {
    let mut signs = line.match_indices(super::is_comment).map(|(at, _)| at);
    let is_comment = |at: &usize| *at == 0 || line[..*at].ends_with(char::is_whitespace);
    &line[..signs.find(is_comment).unwrap_or(line.len())]
}
