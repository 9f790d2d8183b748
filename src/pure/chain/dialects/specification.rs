//! What the SDKs for Java and Rust collect of a file: both follow AWS's specification of it.

use super::{Block, Refusal, open};
use crate::pure::chain::Kind;
use crate::pure::ini::dialects::{self, Java, LineReader, Rust, Said};

/// Java takes names as they are written.
pub(super) fn read_by_java(text: &str, kind: Kind) -> Result<Vec<Block<'_>>, Refusal> {
    match kind {
        Kind::Credentials => collect(text, Java::default(), str::to_owned),
        Kind::Config => collect(text, Java::of_config(), str::to_owned),
    }
}

pub(super) fn read_by_rust(text: &str) -> Result<Vec<Block<'_>>, Refusal> {
    collect(text, Rust::default(), str::to_ascii_lowercase)
}

fn collect(
    text: &str,
    mut reader: impl LineReader,
    folded: fn(&str) -> String,
) -> Result<Vec<Block<'_>>, Refusal> {
    let (mut blocks, mut section) = (Vec::new(), None::<&str>);
    for (line, number) in text.split('\n').zip(1..) {
        let line = line.strip_suffix('\r').unwrap_or(line);
        let said = reader.read(line).map_err(|why| Refusal { line: number, why })?;
        if let Said::Section(name) = said {
            section = Some(name);
        }
        let Some(block) = section.map(|name| open(&mut blocks, name)) else { continue };
        match said {
            Said::Key(name, value) => block.set(folded(name), value),
            Said::More => block.go_on(),
            Said::Nothing | Said::Section(_) => {}
        }
    }
    Ok(blocks)
}

/// `[A-Za-z0-9_\-/.%@:\+]+`
pub(in crate::pure::chain) fn is_identifier(text: &str) -> bool {
    text.chars().all(dialects::is_identifier)
}
