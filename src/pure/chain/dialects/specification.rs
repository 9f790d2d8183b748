//! What the SDKs for Java and Rust read: aws-sdk-java-v2's `ProfileFileReader`, and aws-runtime's
//! `env_config/parse.rs`, which follows it.

use super::{BLANKS, Block, COMMENTS, Refusal, open};
use crate::pure::chain::Kind;

/// Sections of a config file that Java reads, by what stands before their names.
const KINDS: [&str; 3] = ["profile", "sso-session", "services"];

pub(super) fn read_by_java(text: &str, kind: Kind) -> Result<Vec<Block<'_>>, Refusal> {
    read(text, Some(kind))
}

pub(super) fn read_by_rust(text: &str) -> Result<Vec<Block<'_>>, Refusal> {
    read(text, None)
}

fn read(text: &str, java: Option<Kind>) -> Result<Vec<Block<'_>>, Refusal> {
    let mut reader = Reader { java, ..Reader::default() };
    for (line, number) in text.split('\n').zip(1..) {
        let line = line.strip_suffix('\r').unwrap_or(line);
        reader.read(line).map_err(|why| Refusal { line: number, why })?;
    }
    Ok(reader.blocks)
}

#[derive(Default)]
struct Reader<'a> {
    /// The file's kind, where it is Java's reader.
    java: Option<Kind>,
    blocks: Vec<Block<'a>>,
    section: Option<String>,
    /// Java passes a section over whose name is none, and all that is in it.
    ignored: bool,
    property: Property,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Property {
    #[default]
    None,
    /// With lines that must be settings.
    Nested,
    Plain,
    /// Java passes one over whose name is none.
    Ignored,
}

impl<'a> Reader<'a> {
    fn read(&mut self, line: &'a str) -> Result<(), &'static str> {
        if line.trim_matches(BLANKS).is_empty() || line.starts_with(COMMENTS) {
            return Ok(());
        }
        if line.starts_with('[') {
            return self.open(line);
        }
        if self.java.is_some() && self.ignored {
            return Ok(());
        }
        let block = match &self.section {
            Some(name) => open(&mut self.blocks, name),
            None => return Err("stands before the first section"),
        };
        if line.starts_with(BLANKS) {
            match self.property {
                Property::None => return Err("goes on with a key where there is none"),
                Property::Nested if setting(line, self.java.is_none()).is_none() => {
                    return Err("has no setting in a nested block");
                }
                Property::Ignored => {}
                Property::Nested | Property::Plain => block.go_on(),
            }
            return Ok(());
        }
        let (name, value) = setting(line, true).ok_or("sets no key")?;
        if is_identifier(name) {
            self.property = if value.is_empty() { Property::Nested } else { Property::Plain };
            // Java takes names as they are written.
            let name = match self.java {
                Some(_) => name.to_owned(),
                None => name.to_ascii_lowercase(),
            };
            block.set(name, value);
        } else if self.java.is_some() {
            self.property = Property::Ignored;
        } else {
            // It is read, and dropped later.
            self.property = if value.is_empty() { Property::Nested } else { Property::Plain };
            block.set(String::new(), value);
        }
        Ok(())
    }

    fn open(&mut self, line: &str) -> Result<(), &'static str> {
        let text = line.split(COMMENTS).next().unwrap_or_default().trim_matches(BLANKS);
        let name = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let name = name.ok_or("opens a section that it does not close")?;
        (self.section, self.property) = (Some(name.to_owned()), Property::None);
        let bare = name.trim_matches(BLANKS);
        let (prefix, rest) = bare.split_once(BLANKS).unwrap_or(("", bare));
        let is_one = match self.java {
            Some(Kind::Config) => bare == "default" || KINDS.contains(&prefix),
            _ => prefix.is_empty(),
        };
        self.ignored = !is_one || !is_identifier(rest.trim_matches(BLANKS));
        open(&mut self.blocks, name);
        Ok(())
    }
}

/// A comment is one where a blank sets it off.
fn setting(line: &str, has_comments: bool) -> Option<(&str, &str)> {
    let set_off = |at: &usize| line[..*at].ends_with(BLANKS);
    let at = line.match_indices(COMMENTS).map(|(at, _)| at).find(|at| has_comments && set_off(at));
    let (name, value) = line[..at.unwrap_or(line.len())].split_once('=')?;
    let (name, value) = (name.trim_matches(BLANKS), value.trim_matches(BLANKS));
    (!name.is_empty()).then_some((name, value))
}

/// `[A-Za-z0-9_\-/.%@:\+]+`
pub(in crate::pure::chain) fn is_identifier(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || "_-/.%@:+".contains(c))
}
