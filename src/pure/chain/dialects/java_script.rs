//! aws-sdk-js-v3, `parseIni` of `@smithy/core/config`. Keys are as written.

use super::{Block, COMMENTS, Refusal, open};

pub(super) fn read(text: &str) -> Result<Vec<Block<'_>>, Refusal> {
    let mut blocks = Vec::new();
    let (mut section, mut sub_section) = (None::<&str>, false);
    for (line, number) in text.split('\n').zip(1..) {
        let content = before_comment(line).trim();
        if let Some(name) = content.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            if ["__proto__", "profile __proto__"].contains(&name) {
                return Err(Refusal { line: number, why: "has a name that it refuses" });
            }
            (section, sub_section) = (Some(name), false);
            continue;
        }
        let Some(section) = section else { continue };
        let Some((name, value)) = content.split_once('=').filter(|(name, _)| !name.is_empty())
        else {
            continue;
        };
        let (name, value) = (name.trim(), value.trim());
        if value.is_empty() {
            sub_section = true;
            continue;
        }
        sub_section &= line.starts_with(char::is_whitespace);
        // A section is there as soon as it sets anything.
        let block = open(&mut blocks, section);
        if !sub_section {
            block.set(name.to_owned(), value);
        }
    }
    Ok(blocks)
}

/// Up to a comment at the line's start, or one that a blank sets off.
fn before_comment(line: &str) -> &str {
    let set_off = |at: &usize| line[..*at].chars().next_back().is_none_or(char::is_whitespace);
    let at = line.match_indices(COMMENTS).map(|(at, _)| at).find(set_off);
    &line[..at.unwrap_or(line.len())]
}
