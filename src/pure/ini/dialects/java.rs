//! aws-sdk-java-v2, `ProfileFileReader`.

use super::{
    BLANKS, LineReader, Said, before_any_comment, before_comment, is_comment, is_identifier, why,
};

/// Sections of a config file that it reads, by what stands before their names.
const KINDS: [&str; 3] = ["profile", "sso-session", "services"];

/// Of a credentials file, unless it is said to be of a config file.
#[derive(Default)]
pub(in crate::pure) struct Java {
    of_config: bool,
    /// Whether `[profile default]` came: a `[default]` behind it is passed over.
    has_default: bool,
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

impl LineReader for Java {
    fn read<'a>(&mut self, line: &'a str) -> Result<Said<'a>, &'static str> {
        if line.trim_matches(BLANKS).is_empty() || line.starts_with(is_comment) {
            return Ok(Said::Nothing);
        }
        if line.starts_with('[') {
            return self.open(trimmed(before_any_comment(line)));
        }
        match self.section {
            Place::None => Err(why::NO_SECTION),
            Place::Ignored => Ok(Said::Nothing),
            Place::Known if line.starts_with(BLANKS) => match self.property {
                Place::None => Err(why::NOTHING_ABOVE),
                Place::Ignored => Ok(Said::Nothing),
                Place::Known if self.nested && setting(trimmed(line)).is_none() => {
                    Err(why::NO_SETTING)
                }
                Place::Known => Ok(Said::More),
            },
            Place::Known => self.set(trimmed(before_comment(line))),
        }
    }
}

impl Java {
    pub(in crate::pure) fn of_config() -> Self {
        Self { of_config: true, ..Self::default() }
    }

    fn open<'a>(&mut self, header: &'a str) -> Result<Said<'a>, &'static str> {
        let name = header.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let name = name.ok_or(why::UNCLOSED)?;
        let is_known = self.knows(trimmed(name));
        let section = if is_known { Place::Known } else { Place::Ignored };
        let default = trimmed(name).split_once(BLANKS);
        let is_default =
            default.is_some_and(|(kind, name)| kind == "profile" && trimmed(name) == "default");
        let has_default = self.has_default || (self.of_config && is_default);
        *self = Self { of_config: self.of_config, has_default, section, ..Self::default() };
        Ok(Said::Section(name))
    }

    fn knows(&self, name: &str) -> bool {
        let bare = match name.split_once(BLANKS).filter(|_| self.of_config) {
            Some((kind, name)) if KINDS.contains(&kind) => trimmed(name),
            None if !self.of_config || (name == "default" && !self.has_default) => name,
            _ => return false,
        };
        bare.chars().all(is_identifier)
    }

    fn set<'a>(&mut self, line: &'a str) -> Result<Said<'a>, &'static str> {
        let (name, value) = setting(line).ok_or(why::NO_KEY)?;
        if !name.chars().all(is_identifier) {
            self.property = Place::Ignored;
            return Ok(Said::Nothing);
        }
        (self.property, self.nested) = (Place::Known, value.is_empty());
        Ok(Said::Key(name, value))
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
