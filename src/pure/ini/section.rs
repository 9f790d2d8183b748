//! Our profile within a document: where it is, which lines in it are ours, and whether every
//! program finds the same there.

use super::defect::{Defect, Unusable};
use super::grammar::{Kind, Line, folded, key_name, section_name};
use super::{
    ACCESS_KEY_ID, Before, EXPIRES, Overridden, ProfileName, SECRET_ACCESS_KEY, SESSION_TOKEN,
};
use crate::pure::role_token::is_long_term;
use crate::pure::secret::Secret;

/// The older name of the session token. botocore still looks for it first.
const SECURITY_TOKEN: &str = "aws_security_token";

/// Settings of a profile that come before its keys: in the order of every SDK but the one for C++
/// (`role_arn`), or of some (`pure::chain::sdk`).
const COMES_BEFORE_KEYS: [&str; 7] = [
    "role_arn",
    "web_identity_token_file",
    "credential_process",
    "sso_session",
    "sso_start_url",
    "sso_account_id",
    "login_session",
];

/// The section of our profile. Lines are counted from 1.
pub(super) struct Section<'a> {
    header: usize,
    /// The last line before the next section.
    last: usize,
    keys: Vec<(usize, String, &'a str)>,
    /// Our comment's lines, and the time that the first names.
    comments: Vec<(usize, &'a str)>,
    /// What comes before keys.
    overriding: Vec<Overridden>,
    source_profile: Option<&'a str>,
    /// Lines with brackets, which C++ programs take for another section.
    bracketed: Vec<usize>,
}

impl<'a> Section<'a> {
    /// Finds `profile`, and refuses what would make it mean different things to different programs.
    pub fn find(lines: &[Line<'a>], profile: &ProfileName) -> Result<Option<Self>, Unusable> {
        for line in lines {
            let looks_like_ours = match line.kind {
                Kind::Section { name, .. } => {
                    is_variant(name, profile) || (name == profile.as_str() && line.indented)
                }
                Kind::Continuation(text) => section_name(text).is_some_and(|name| {
                    name.trim() == profile.as_str() || is_variant(name, profile)
                }),
                _ => false,
            };
            if looks_like_ours {
                return Err(Unusable::at(line.number, Defect::ProfileVariant));
            }
        }
        let is_ours =
            |kind: &Kind| matches!(kind, Kind::Section { name, .. } if *name == profile.as_str());
        let Some(header) = lines.iter().position(|line| is_ours(&line.kind)) else {
            return Ok(None);
        };
        let inside = lines[header + 1..]
            .iter()
            .take_while(|line| !matches!(line.kind, Kind::Section { .. }))
            .collect::<Vec<_>>();
        // Under keys of ours, an indented header would be glued to the last of them.
        let next = lines.get(header + 1 + inside.len()).filter(|line| line.indented);
        if let Some(line) = next {
            return Err(Unusable::at(line.number, Defect::Indented));
        }
        let mut section = Self {
            header: header + 1,
            last: header + 1 + inside.len(),
            keys: Vec::new(),
            comments: Vec::new(),
            overriding: Vec::new(),
            source_profile: None,
            bracketed: Vec::new(),
        };
        let mut above = Above::Header;
        for line in inside {
            above =
                section.take(line, above).map_err(|defect| Unusable::at(line.number, defect))?;
        }
        let place = section.place_of_keys();
        if let Some(line) = section.bracketed.iter().find(|line| **line <= place) {
            return Err(Unusable::at(*line, Defect::Brackets));
        }
        Ok(Some(section))
    }

    /// Whether the line is one of ours.
    pub fn owns(&self, line: &Line<'_>) -> bool {
        self.numbers().any(|number| number == line.number)
    }

    /// Whether the keys are ours: our comment says so, and they are temporary. Otherwise somebody
    /// else wrote them.
    pub fn is_ours(&self) -> bool {
        !self.comments.is_empty() && self.long_term_key().is_none()
    }

    /// The line of an access key id that is a user's own: AWS does not show its secret twice, so
    /// overwritten it would be lost.
    pub fn long_term_key(&self) -> Option<usize> {
        let (number, ..) = self
            .keys
            .iter()
            .find(|(_, name, value)| name == ACCESS_KEY_ID && is_long_term(value))?;
        Some(*number)
    }

    /// How many lines of the document stand before our keys. Never in the midst of a nested block:
    /// only a key of ours or the header can be there.
    pub fn place_of_keys(&self) -> usize {
        self.keys.first().map_or(self.header, |(number, ..)| number - 1)
    }

    /// The value of one of our keys, unless it is empty.
    pub fn value(&self, key: &str) -> Option<Secret<String>> {
        let (.., value) = self.keys.iter().find(|(_, name, _)| name == key)?;
        Some(*value).filter(|value| !value.is_empty()).map(|value| Secret::new(value.to_owned()))
    }

    /// The time that our comment names.
    pub fn expires(&self) -> Option<&'a str> {
        self.comments.first().map(|(_, said)| said.split(' ').next().unwrap_or_default())
    }

    /// What our comment says of what stood there before us.
    pub fn before(&self) -> Option<Before> {
        self.comments.first().map(|(_, said)| Before::of_words(said.split(' ').skip(1)))
    }

    /// What makes programs pass the keys over. A role whose source is this profile itself is assumed
    /// with them.
    pub fn overridden(&self, profile: &ProfileName) -> Option<Overridden> {
        let ours = self.source_profile == Some(profile.as_str());
        self.overriding.iter().find(|it| !(ours && it.key == "role_arn")).copied()
    }

    /// Whether nothing but a bare header and blank lines would be left without our lines.
    pub fn would_go(&self, lines: &[Line<'_>]) -> bool {
        let header = &lines[self.header - 1];
        let mut rest = lines[self.header..self.last].iter();
        matches!(header.kind, Kind::Section { comment: "", .. })
            && rest.all(|line| line.kind == Kind::Blank || self.owns(line))
    }

    /// The numbers of the lines that go when our keys do.
    pub fn lines_that_go(&self, lines: &[Line<'_>]) -> Vec<usize> {
        let mut gone = self.numbers().collect::<Vec<_>>();
        let made = !self.before().is_some_and(|before| before.section);
        if made && self.would_go(lines) {
            gone.push(self.header);
            // The blank line that set the section apart stands after it or before it, as the file's
            // habit was.
            let around = [Some(self.last), self.header.checked_sub(1)];
            let blank = |&number: &usize| number > 0 && lines[number - 1].whole == "\n";
            gone.extend(around.into_iter().flatten().find(blank));
        }
        gone
    }

    fn numbers(&self) -> impl Iterator<Item = usize> {
        let keys = self.keys.iter().map(|(number, ..)| *number);
        keys.chain(self.comments.iter().map(|(number, _)| *number))
    }

    /// Notes a line of the section. `above` says what an indented line would be glued to.
    fn take(&mut self, line: &Line<'a>, above: Above) -> Result<Above, Defect> {
        let setting = matches!(line.kind, Kind::Key { .. } | Kind::Continuation(_));
        if setting && line.whole.contains('[') && line.whole.contains(']') {
            self.bracketed.push(line.number);
        }
        match line.kind {
            Kind::Key { .. } if line.indented => Err(Defect::Indented),
            Kind::Key { separator, .. } if separator != '=' => Err(Defect::Colon),
            Kind::Key { name, value, .. } => {
                let name = folded(name);
                if name == SECURITY_TOKEN {
                    Err(Defect::SecurityToken)
                } else if is_our_key(&name) {
                    self.keys.push((line.number, name, value));
                    Ok(Above::OurKey)
                } else {
                    let known = COMES_BEFORE_KEYS.into_iter().find(|key| *key == name);
                    if let Some(key) = known.filter(|_| !value.is_empty()) {
                        self.overriding.push(Overridden { line: line.number, key });
                    }
                    if name == "source_profile" {
                        self.source_profile = Some(value);
                    }
                    Ok(Above::OtherKey)
                }
            }
            // Some programs glue any indented line, a comment too, to the value above it.
            Kind::Comment(_) | Kind::Continuation(_)
                if line.indented && above != Above::OtherKey =>
            {
                Err(Defect::Indented)
            }
            Kind::Continuation(text) => {
                let name = key_name(text).map(folded).unwrap_or_default();
                if is_our_key(&name) || name == SECURITY_TOKEN {
                    Err(Defect::NestedName)
                } else if text.starts_with('[') {
                    Err(Defect::Indented)
                } else {
                    Ok(above)
                }
            }
            Kind::Comment(text) => {
                if let Some(at) = text.strip_prefix(EXPIRES).filter(|_| !line.indented) {
                    self.comments.push((line.number, at));
                }
                Ok(above)
            }
            Kind::Blank | Kind::Section { .. } => Ok(above),
        }
    }
}

/// The last line at the first column, comments and blank lines aside.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Above {
    Header,
    OurKey,
    OtherKey,
}

fn is_our_key(folded: &str) -> bool {
    [ACCESS_KEY_ID, SECRET_ACCESS_KEY, SESSION_TOKEN].contains(&folded)
}

/// Whether only some programs take `name` for our profile: they trim it, or drop a leading
/// `profile`, which belongs to the other file, `~/.aws/config`.
fn is_variant(name: &str, profile: &ProfileName) -> bool {
    let trimmed = name.trim();
    let bare = trimmed
        .strip_prefix("profile")
        .filter(|rest| rest.starts_with(char::is_whitespace))
        .map_or(trimmed, |rest| rest.trim().trim_matches(['"', '\'']));
    name != profile.as_str() && bare == profile.as_str()
}
