//! Lines as botocore reads them: Python's configparser, and the nested blocks that botocore adds.
//!
//! Two rules are ours, because they decide where a section ends: no carriage return within a line,
//! and nothing after `]` but a comment set off by a blank.

use std::collections::HashMap;

use super::defect::{Defect, Unusable};

/// One line of a document.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// Counted from 1.
    pub number: usize,
    /// With its line end, if it has one.
    pub whole: &'a str,
    pub indented: bool,
    pub kind: Kind<'a>,
}

/// What a line says. All texts are without the blanks around them.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    Blank,
    /// From its `#` or `;` on.
    Comment(&'a str),
    /// `name` is as written, with blanks inside the brackets; `comment` may be empty.
    Section {
        name: &'a str,
        comment: &'a str,
    },
    Key {
        name: &'a str,
        separator: char,
        value: &'a str,
    },
    /// An indented line that belongs to the key above it.
    Continuation(&'a str),
}

/// Reads a whole text.
pub(super) fn parse(text: &str) -> Result<Vec<Line<'_>>, Unusable> {
    if text.starts_with('\u{feff}') {
        return Err(Unusable { line: 1, defect: Defect::ByteOrderMark });
    }
    let mut reader = Reader::default();
    let numbered = text.split_inclusive('\n').zip(1..);
    numbered.map(|(whole, number)| reader.read(whole, number)).collect()
}

/// The name that a text would have as a section, if it looks like one.
pub(super) fn section_name(text: &str) -> Option<&str> {
    text.strip_prefix('[')?.split(']').next()
}

/// The key that a text would set, if it looks as if it did.
pub(super) fn key_name(text: &str) -> Option<&str> {
    text.split_once(['=', ':']).map(|(name, _)| name.trim_end_matches(is_blank))
}

/// Keys are compared in lower case.
pub(super) fn folded(name: &str) -> String {
    name.to_lowercase()
}

/// What is remembered from line to line.
#[derive(Default)]
struct Reader<'a> {
    sections: HashMap<&'a str, usize>,
    /// Of the current section; `None` before the first.
    keys: Option<HashMap<String, usize>>,
    /// The key that an indented line would continue.
    open: Option<OpenKey>,
}

struct OpenKey {
    indent: usize,
    /// Without a value of its own: what follows is a block of nested settings.
    nested: bool,
}

impl<'a> Reader<'a> {
    fn read(&mut self, whole: &'a str, line: usize) -> Result<Line<'a>, Unusable> {
        let ended = whole.strip_suffix('\n').unwrap_or(whole);
        let content = ended.strip_suffix('\r').unwrap_or(ended);
        let text = content.trim_matches(is_blank);
        let indent = content.chars().take_while(|&c| is_blank(c)).count();
        let kind = if content.contains('\r') || (content.len() < ended.len() && ended == whole) {
            Err(Defect::BareCarriageReturn)
        } else if text.is_empty() {
            Ok(Kind::Blank)
        } else if text.starts_with(['#', ';']) {
            Ok(Kind::Comment(text))
        } else if let Some(open) = self.open.as_ref().filter(|open| indent > open.indent) {
            read_continuation(text, open.nested)
        } else if text.starts_with('[') {
            self.read_section(text, line)
        } else {
            self.read_key(text, line, indent)
        };
        let kind = kind.map_err(|defect| Unusable { line, defect })?;
        Ok(Line { number: line, whole, indented: indent > 0, kind })
    }

    fn read_section(&mut self, text: &'a str, line: usize) -> Result<Kind<'a>, Defect> {
        let (name, rest) = text[1..].split_once(']').ok_or(Defect::UnclearSection)?;
        let comment = rest.trim_start_matches(is_blank);
        let set_off = rest.is_empty() || comment.len() < rest.len();
        if name.is_empty() || !set_off || comment.contains(']') {
            return Err(Defect::UnclearSection);
        }
        if !comment.is_empty() && !comment.starts_with(['#', ';']) {
            return Err(Defect::UnclearSection);
        }
        if name == "DEFAULT" {
            return Err(Defect::DefaultSection);
        }
        if let Some(first) = self.sections.insert(name, line) {
            return Err(Defect::DuplicateSection { first });
        }
        self.keys = Some(HashMap::new());
        self.open = None;
        Ok(Kind::Section { name, comment })
    }

    fn read_key(&mut self, text: &'a str, line: usize, indent: usize) -> Result<Kind<'a>, Defect> {
        let keys = self.keys.as_mut().ok_or(Defect::OutsideSection)?;
        let name = key_name(text).filter(|name| !name.is_empty()).ok_or(Defect::NotAKey)?;
        if let Some(first) = keys.insert(folded(name), line) {
            return Err(Defect::DuplicateKey { first });
        }
        let rest = text[name.len()..].trim_start_matches(is_blank);
        let separator = rest.chars().next().ok_or(Defect::NotAKey)?;
        let value = rest[separator.len_utf8()..].trim_start_matches(is_blank);
        self.open = Some(OpenKey { indent, nested: value.is_empty() });
        Ok(Kind::Key { name, separator, value })
    }
}

/// Nested settings must be settings, or botocore refuses the file.
fn read_continuation(text: &str, nested: bool) -> Result<Kind<'_>, Defect> {
    let mut settings = text.split(breaks_nested).map(|s| s.trim_matches(is_blank));
    if nested && settings.any(|setting| !setting.is_empty() && !setting.contains('=')) {
        Err(Defect::NestedNotAKey)
    } else {
        Ok(Kind::Continuation(text))
    }
}

/// Python's `str.isspace`: Unicode's white space and the four separators of ASCII.
fn is_blank(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

/// Where Python's `str.splitlines` parts a line that the file's own line ends have not.
fn breaks_nested(c: char) -> bool {
    matches!(c, '\x0b' | '\x0c' | '\x1c'..='\x1e' | '\u{85}' | '\u{2028}' | '\u{2029}')
}
