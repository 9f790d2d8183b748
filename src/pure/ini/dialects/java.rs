//! aws-sdk-java-v2, `ProfileFileReader`.

use super::{BLANKS, Dialect, before_any_comment, before_comment, is_comment, is_identifier};

#[derive(Default)]
pub(super) struct Java {
    /// What the line stands in.
    section: Place,
    property: Place,
    /// Whether nested lines must be settings.
    nested: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Place {
    #[default]
    None,
    Known,
    /// Its name is not an identifier, and so it is passed over.
    Ignored,
}

impl Dialect for Java {
    fn takes(&mut self, line: &str) -> bool {
        if line.trim_matches(BLANKS).is_empty() || line.starts_with(is_comment) {
            true
        } else if line.starts_with('[') {
            self.open(trimmed(before_any_comment(line)))
        } else if self.section == Place::Ignored {
            true
        } else if line.starts_with(BLANKS) {
            match self.property {
                Place::None => false,
                Place::Ignored => true,
                Place::Known => !self.nested || setting(trimmed(line)).is_some(),
            }
        } else {
            self.set(trimmed(before_comment(line)))
        }
    }
}

impl Java {
    fn open(&mut self, header: &str) -> bool {
        let Some(name) = header.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) else {
            return false;
        };
        if trimmed(name).chars().all(is_identifier) {
            *self = Self { section: Place::Known, ..Self::default() };
        } else {
            self.section = Place::Ignored;
        }
        true
    }

    fn set(&mut self, line: &str) -> bool {
        let Some((name, value)) = setting(line).filter(|_| self.section == Place::Known) else {
            return false;
        };
        if name.chars().all(is_identifier) {
            (self.property, self.nested) = (Place::Known, value.is_empty());
        } else {
            self.property = Place::Ignored;
        }
        true
    }
}

fn setting(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once('=')?;
    let (name, value) = (trimmed(name), trimmed(value));
    (!name.is_empty()).then_some((name, value))
}

/// Java's `String.trim`.
fn trimmed(text: &str) -> &str {
    text.trim_matches(|c| c <= ' ')
}
