//! aws-sdk-js-v3, `parseIni` of `@smithy/core/config`. Keys are as written.

use super::{Block, Refusal, open};
use crate::pure::ini::dialects::{JavaScript, LineReader, Said};

pub(super) fn read(text: &str) -> Result<Vec<Block<'_>>, Refusal> {
    let mut blocks = Vec::new();
    let (mut section, mut sub_section) = (None::<&str>, false);
    for (line, number) in text.split('\n').zip(1..) {
        let said = JavaScript.read(line).map_err(|why| Refusal { line: number, why })?;
        match (said, section) {
            (Said::Section(name), _) => (section, sub_section) = (Some(name), false),
            (Said::Key(_, ""), Some(_)) => sub_section = true,
            (Said::Key(name, value), Some(section)) => {
                sub_section &= line.starts_with(char::is_whitespace);
                // A section is there as soon as it sets anything.
                let block = open(&mut blocks, section);
                if !sub_section {
                    block.set(name.to_owned(), value);
                }
            }
            _ => {}
        }
    }
    Ok(blocks)
}
