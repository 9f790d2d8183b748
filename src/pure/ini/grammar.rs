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

impl Line<'_> {
    /// Whether it has a line end.
    pub fn is_ended(&self) -> bool {
        self.whole.ends_with('\n')
    }

    /// Why others refuse a line that botocore takes.
    pub fn refused_for(&self) -> Defect {
        match self.kind {
            Kind::Comment(_) => Defect::IndentedComment,
            Kind::Key { .. } | Kind::Section { .. } if self.indented => Defect::ContinuesNothing,
            Kind::Section { .. } => Defect::ForbiddenSection,
            Kind::Key { separator: ':', .. } => Defect::Colon,
            Kind::Key { .. } => Defect::NotAKey,
            Kind::Blank => Defect::OddBlanks,
            Kind::Continuation(text) if text.starts_with('=') => Defect::NestedNameless,
            Kind::Continuation(text) if text.contains('=') => Defect::NestedUnderUnknown,
            Kind::Continuation(_) => Defect::SecondLine,
        }
    }
}

/// The text that the bytes are.
pub(super) fn text(bytes: &[u8]) -> Result<&str, Unusable> {
    str::from_utf8(bytes).map_err(|error| {
        let line = 1 + bytes[..error.valid_up_to()].iter().filter(|&&b| b == b'\n').count();
        match bytes {
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Unusable::at(1, Defect::Utf16),
            _ => Unusable::at(line, Defect::NotUtf8),
        }
    })
}

/// Reads a whole text.
pub(super) fn parse(text: &str) -> Result<Vec<Line<'_>>, Unusable> {
    if text.starts_with('\u{feff}') {
        return Err(Unusable::at(1, Defect::ByteOrderMark));
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
        let kind = if content.contains('\0') {
            Err(Defect::Nul)
        } else if is_conflict_marker(content) {
            Err(Defect::ConflictMarker)
        } else if content.contains('\r') || (content.len() < ended.len() && ended == whole) {
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
        let torn = ended == whole && !text.contains(['=', ':', '[', ']']);
        let kind = kind.map_err(|defect| match defect {
            Defect::NotAKey | Defect::NestedNotAKey if torn => Defect::Torn,
            defect => defect,
        });
        let kind = kind.map_err(|defect| Unusable::at(line, defect))?;
        Ok(Line { number: line, whole, indented: indent > 0, kind })
    }

    fn read_section(&mut self, text: &'a str, line: usize) -> Result<Kind<'a>, Defect> {
        let (name, rest) = text[1..].split_once(']').ok_or(Defect::UnclearSection)?;
        let comment = rest.trim_start_matches(is_blank);
        let set_off = rest.is_empty() || comment.len() < rest.len();
        let is_comment = comment.is_empty() || comment.starts_with(['#', ';']);
        if name.is_empty() || !is_comment || comment.contains(']') {
            return Err(Defect::UnclearSection);
        }
        if !set_off {
            return Err(Defect::AdjacentComment);
        }
        if comment == "#" {
            return Err(Defect::EmptyComment);
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

/// What git and diff3 leave where two versions of a file meet.
fn is_conflict_marker(line: &str) -> bool {
    let marks = |mark: &str| line.strip_prefix(mark).is_some_and(|rest| rest.trim_start() != rest);
    line == "=======" || ["<<<<<<<", "|||||||", ">>>>>>>"].into_iter().any(marks)
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
