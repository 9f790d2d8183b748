//! botocore's `configloader.raw_config_parse`: Python's `configparser.RawConfigParser`, then nested
//! blocks.

use super::{Block, COMMENTS, Refusal, Value};

/// What every section has that does not set it itself.
const DEFAULTS: &str = "DEFAULT";

pub(super) fn read(text: &str) -> Result<Vec<Block<'_>>, Refusal> {
    if text.starts_with('\u{feff}') {
        return Err(Refusal { line: 1, why: "begins with a byte order mark" });
    }
    let mut reader = Reader::default();
    for (line, number) in text.split(['\n', '\r']).zip(1_usize..) {
        // A line end of two characters is one.
        let number = number - text_before(text, line).matches("\r\n").count();
        reader.read(line).map_err(|why| Refusal { line: number, why })?;
    }
    let defaults = reader.blocks.iter().position(|block| block.name == DEFAULTS);
    if let Some(defaults) = defaults.map(|at| reader.blocks.remove(at)) {
        for block in &mut reader.blocks {
            for (name, value) in &defaults.keys {
                if !block.keys.iter().any(|(other, _)| other == name) {
                    block.keys.push((name.clone(), *value));
                }
            }
        }
    }
    Ok(reader.blocks)
}

fn text_before<'a>(text: &'a str, line: &'a str) -> &'a str {
    &text[..line.as_ptr() as usize - text.as_ptr() as usize]
}

#[derive(Default)]
struct Reader<'a> {
    blocks: Vec<Block<'a>>,
    indent: usize,
    /// Whether an indented line goes on with the last key.
    open: bool,
    /// Whether that key has no value of its own.
    nested: bool,
}

impl<'a> Reader<'a> {
    fn read(&mut self, line: &'a str) -> Result<(), &'static str> {
        let text = line.trim_matches(is_blank);
        if text.is_empty() || text.starts_with(COMMENTS) {
            return Ok(());
        }
        let indent = line.chars().take_while(|&c| is_blank(c)).count();
        if self.open && indent > self.indent {
            if self.nested && !text.contains('=') {
                return Err("has no setting in a nested block");
            }
            if let Some(block) = self.blocks.last_mut() {
                block.go_on();
            }
            return Ok(());
        }
        self.indent = indent;
        let header = text.strip_prefix('[').and_then(|rest| Some(&rest[..rest.rfind(']')?]));
        if let Some(name) = header.filter(|name| !name.is_empty()) {
            self.open = false;
            let twice = self.blocks.iter().any(|block| block.name == name);
            if twice && name != DEFAULTS {
                return Err("opens a section for the second time");
            }
            self.blocks.push(Block { name: name.to_owned(), keys: Vec::new() });
            return Ok(());
        }
        let block = self.blocks.last_mut().ok_or("stands before the first section")?;
        let at = text.find(['=', ':']).filter(|at| *at > 0).ok_or("is neither section nor key")?;
        let name = text[..at].trim_end_matches(is_blank).to_lowercase();
        if block.keys.iter().any(|(other, _)| *other == name) {
            return Err("sets a key for the second time");
        }
        let value = text[at + 1..].trim_start_matches(is_blank);
        (self.open, self.nested) = (true, value.is_empty());
        block.keys.push((name, Value { text: value, goes_on: false }));
        Ok(())
    }
}

/// Python's `str.isspace`: Unicode's white space and the four separators of ASCII.
fn is_blank(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}
