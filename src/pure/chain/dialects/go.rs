//! aws-sdk-go-v2, `config/internal/ini`: what it does not understand, it passes over.

use super::{BLANKS, Block, COMMENTS, open};

pub(super) fn read(text: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    // Of the section, and of the key in it.
    let (mut current, mut key) = (None::<String>, None::<String>);
    for line in text.split('\n') {
        if line.trim().is_empty() || line.trim_start_matches(BLANKS).starts_with(COMMENTS) {
            continue;
        }
        if let Some(name) = header(line) {
            open(&mut blocks, &name);
            (current, key) = (Some(name), None);
            continue;
        }
        let Some(name) = current.as_deref() else { continue };
        let block = open(&mut blocks, name);
        let indented = line.starts_with(BLANKS);
        let content = if indented { line.trim_start_matches(BLANKS) } else { before_comment(line) };
        let held = key.as_ref().and_then(|key| {
            block.keys.iter().find(|(name, _)| name == key).map(|(_, value)| *value)
        });
        match property(content) {
            Some((name, value)) => {
                // A nested one is set as any other where there is nothing that it could belong to.
                let orphaned = held.is_none_or(|held| !held.text.is_empty());
                if indented && !orphaned {
                    continue;
                }
                let value = if indented { before_comment(value).trim() } else { value };
                block.set(name.clone(), value);
                key = Some(name);
            }
            None if indented && held.is_some_and(|held| !held.text.is_empty()) => block.go_on(),
            None => {}
        }
    }
    blocks
}

fn header(line: &str) -> Option<String> {
    let text = line.split(COMMENTS).next()?.trim();
    let name = text.strip_prefix('[')?.strip_suffix(']')?.trim();
    match name.split_once(BLANKS) {
        Some((kind, name)) => Some(format!("{kind} {}", name.trim_start_matches(BLANKS))),
        None => Some(name.to_owned()),
    }
}

fn before_comment(line: &str) -> &str {
    let marks = [" #", " ;", "\t#", "\t;"];
    let cut = marks.iter().filter_map(|mark| line.find(mark)).min();
    line[..cut.unwrap_or(line.len())].trim_end_matches(BLANKS)
}

fn property(text: &str) -> Option<(String, &str)> {
    let at = text.find(['=', ':'])?;
    let (name, value) = (text[..at].trim().to_lowercase(), text[at + 1..].trim());
    let quoted = ['\'', '"']
        .iter()
        .find_map(|quote| value.strip_prefix(*quote).and_then(|rest| rest.strip_suffix(*quote)));
    Some((name, quoted.unwrap_or(value)))
}
