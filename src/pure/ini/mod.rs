//! A shared credentials file as a lossless document: one profile changes, every other byte stays.
//!
//! The grammar has no owner. We read as botocore does, the strictest in most things; where any SDK
//! refuses a whole file (`dialects`), so do we, and name it; where they disagree about *our*
//! profile, we leave the file alone and say on which line. A document is therefore either understood
//! by everyone or not touched, and what is written is the part of the grammar that all of them share.
//!
//! Ours are four lines of the profile: three keys, and above them a comment that tells when they
//! end, and what a withdrawal must leave behind. Everything else in it, `region` or a nested `s3 =`
//! block, belongs to the operator.
//!
//! ```ini
//! [default]
//! # rolekeeper: expires 2026-11-22T01:00:00Z
//! aws_access_key_id = ASIA...
//! aws_secret_access_key = ...
//! aws_session_token = ...
//! ```

mod defect;
pub(super) mod dialects;
mod grammar;
mod profile_name;
mod reader;
mod section;
mod survey;

pub use defect::{Defect, Unusable};
pub use dialects::Refusal;
pub use profile_name::{MalformedProfile, ProfileName};
pub use reader::{Reader, Readers};
pub use survey::{Surveyed, survey};

use std::fmt::Write;

use time::UtcDateTime;
use time::format_description::well_known::Rfc3339;

use self::grammar::{Kind, Line};
use self::section::Section;
use super::role_token::RoleToken;
use super::secret::Secret;

const ACCESS_KEY_ID: &str = "aws_access_key_id";
const SECRET_ACCESS_KEY: &str = "aws_secret_access_key";
const SESSION_TOKEN: &str = "aws_session_token";

/// Our comment begins so, at the start of its line. No SDK reads it; people and monitoring do.
const EXPIRES: &str = "# rolekeeper: expires ";

/// What our comment ends in where the profile's section stood there before us, empty: it stays.
const KEEP_SECTION: &str = "keep-section";

/// What our comment ends in where the file's last line had no line end before us.
const NO_LINE_END: &str = "no-line-end";

/// A credentials file that every SDK accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    text: Secret<String>,
}

/// What programs find in our profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    pub access_key_id: Secret<String>,
    pub secret_access_key: Secret<String>,
    pub session_token: Secret<String>,
    /// From our comment; `None` when somebody else wrote the keys.
    pub expires_at: Option<UtcDateTime>,
    /// What makes programs pass our keys over.
    pub overridden: Option<Overridden>,
}

/// A setting of our profile that comes before keys in the order of most SDKs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overridden {
    /// Counted from 1.
    pub line: usize,
    pub key: &'static str,
}

/// Where each SDK gives a credentials file up, botocore first; empty where all read it.
pub fn refusals(text: &str) -> Vec<Refusal> {
    let botocore = grammar::parse(text).err().filter(|error| error.defect.is_refused_by_botocore());
    let botocore = botocore.map(|error| Refusal { reader: Reader::Botocore, line: error.line });
    botocore.into_iter().chain(dialects::refusals(text)).collect()
}

impl Document {
    /// The document of a file that does not exist yet.
    pub fn empty() -> Self {
        Self { text: Secret::new(String::new()) }
    }

    /// Takes a file's content as it is.
    ///
    /// # Errors
    ///
    /// The first line for which an SDK, or a line that hides where lines end, makes the whole file
    /// unusable. The message names lines and never what stands on them.
    pub fn parse(bytes: &[u8]) -> Result<Self, Unusable> {
        let text = grammar::text(bytes)?;
        judge(text)?;
        Ok(Self { text: Secret::new(text.to_owned()) })
    }

    /// The same for taking our keys out, which must not wait until every SDK reads the file.
    ///
    /// # Errors
    ///
    /// The first line that botocore refuses, or that hides where lines end.
    pub fn parse_to_withdraw(bytes: &[u8]) -> Result<Self, Unusable> {
        let text = grammar::text(bytes)?;
        grammar::parse(text)?;
        Ok(Self { text: Secret::new(text.to_owned()) })
    }

    /// The file's content. It holds everybody's secrets, not only ours.
    pub fn as_bytes(&self) -> &[u8] {
        self.text.expose().as_bytes()
    }

    /// Puts a role token into `profile`. Doing so twice changes nothing the second time.
    ///
    /// The four lines stand where the first of our keys stood, else right under the section's
    /// header, else in a new section at the end of the file. They end in LF, also in a file of
    /// CRLF lines, which every reader takes. Nothing else changes, but that a last line without a
    /// line end gets one when something has to follow it.
    ///
    /// # Errors
    ///
    /// A line that makes programs disagree about what `profile` holds, or a user's own access key.
    pub fn set_profile(
        &mut self,
        profile: &ProfileName,
        token: &RoleToken,
    ) -> Result<(), Unusable> {
        let text = self.text.expose();
        let lines = grammar::parse(text)?;
        let section = Section::find(&lines, profile)?;
        if let Some(line) = section.as_ref().and_then(Section::long_term_key) {
            return Err(Unusable::at(line, Defect::LongTermKey));
        }
        let place = section.as_ref().map_or(lines.len(), Section::place_of_keys);
        let before = section.as_ref().and_then(Section::before);
        let before = before.unwrap_or_else(|| Before::of(&lines, place, section.as_ref()));
        let block = block(token, before);
        // Large enough at once: a string that grew would leave its old halves in memory.
        let mut new =
            String::with_capacity(text.len() + block.expose().len() + profile.as_str().len() + 8);
        if let Some(section) = section {
            push_lines(&mut new, lines[..place].iter().filter(|line| !section.owns(line)));
            end_line(&mut new);
            new.push_str(block.expose());
            push_lines(&mut new, lines[place..].iter().filter(|line| !section.owns(line)));
        } else {
            // The file's own habit is kept: sections that end in a blank line, or begin after one.
            let ends_blank = lines.last().is_some_and(|line| line.kind == Kind::Blank);
            new.push_str(text);
            end_line(&mut new);
            if !ends_blank && !lines.is_empty() {
                new.push('\n');
            }
            new.extend(["[", profile.as_str(), "]\n", block.expose()]);
            if ends_blank {
                new.push('\n');
            }
        }
        self.text = Secret::new(new);
        Ok(())
    }

    /// Takes our four lines out of `profile`. Without our comment, or with a user's own access key,
    /// the keys are somebody else's, and stay.
    ///
    /// A section that we made goes with them if it holds nothing else but blank lines, and so does
    /// the blank line that set it apart. Any other section stays, without keys. Where
    /// [`Document::set_profile`] only added lines, the old bytes are back.
    ///
    /// # Errors
    ///
    /// A line that makes programs disagree about what `profile` holds.
    pub fn withdraw_profile(&mut self, profile: &ProfileName) -> Result<(), Unusable> {
        let text = self.text.expose();
        let lines = grammar::parse(text)?;
        let Some(section) = Section::find(&lines, profile)?.filter(Section::is_ours) else {
            return Ok(());
        };
        let gone = section.lines_that_go(&lines);
        let mut new = String::with_capacity(text.len());
        push_lines(&mut new, lines.iter().filter(|line| !gone.contains(&line.number)));
        let at_the_end = lines.last().is_some_and(|line| gone.contains(&line.number));
        if at_the_end && section.before().is_some_and(|before| before.unended) {
            new.truncate(new.strip_suffix('\n').unwrap_or(&new).len());
        }
        self.text = Secret::new(new);
        Ok(())
    }

    /// What programs find in `profile`; `None` unless all three keys have a value.
    ///
    /// # Errors
    ///
    /// As [`Document::withdraw_profile`].
    pub fn read_profile(&self, profile: &ProfileName) -> Result<Option<Published>, Unusable> {
        let lines = grammar::parse(self.text.expose())?;
        Ok(Section::find(&lines, profile)?.and_then(|section| {
            Some(Published {
                access_key_id: section.value(ACCESS_KEY_ID)?,
                secret_access_key: section.value(SECRET_ACCESS_KEY)?,
                session_token: section.value(SESSION_TOKEN)?,
                expires_at: section.expires().and_then(|at| UtcDateTime::parse(at, &Rfc3339).ok()),
                overridden: section.overridden(profile),
            })
        }))
    }
}

/// Refuses what any SDK refuses, at the first line that one does.
fn judge(text: &str) -> Result<(), Unusable> {
    let lines = grammar::parse(text);
    let refusals = dialects::refusals(text).collect::<Vec<_>>();
    let first = refusals.iter().map(|refusal| refusal.line).min();
    let (line, defect) = match (lines, first) {
        (Err(error), first) if first.is_none_or(|first| error.line <= first) => {
            (error.line, error.defect)
        }
        (_, None) => return Ok(()),
        // What stands above a defect is well-formed.
        (_, Some(line)) => {
            let above = text.split_inclusive('\n').take(line).map(str::len).sum();
            let lines = grammar::parse(&text[..above])?;
            (line, lines.last().map_or(Defect::NotAKey, Line::refused_for))
        }
    };
    let there = refusals.iter().filter(|refusal| refusal.line == line);
    let botocore = defect.is_refused_by_botocore().then_some(Reader::Botocore);
    let refused_by = botocore.into_iter().chain(there.map(|refusal| refusal.reader)).collect();
    Err(Unusable { line, defect, refused_by })
}

/// What stood there before us, as far as a withdrawal could not tell any more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Before {
    /// An empty section.
    section: bool,
    /// A last line without a line end, which ours needed.
    unended: bool,
}

impl Before {
    fn of(lines: &[Line<'_>], place: usize, section: Option<&Section<'_>>) -> Self {
        let unended = place == lines.len() && lines.last().is_some_and(|line| !line.is_ended());
        Self { section: section.is_some_and(|section| section.would_go(lines)), unended }
    }

    /// From the words of our comment, behind the time.
    fn of_words<'w>(words: impl Iterator<Item = &'w str>) -> Self {
        words.fold(Self::default(), |before, word| Self {
            section: before.section || word == KEEP_SECTION,
            unended: before.unended || word == NO_LINE_END,
        })
    }

    fn words(self) -> impl Iterator<Item = &'static str> {
        let words = [(self.section, KEEP_SECTION), (self.unended, NO_LINE_END)];
        words.into_iter().filter_map(|(said, word)| said.then_some(word))
    }
}

/// Our four lines, in their one form.
fn block(token: &RoleToken, before: Before) -> Secret<String> {
    let keys = [
        (ACCESS_KEY_ID, token.access_key_id.as_str()),
        (SECRET_ACCESS_KEY, token.secret_access_key.expose()),
        (SESSION_TOKEN, token.session_token.expose()),
    ];
    let room = keys.iter().map(|(key, value)| key.len() + value.len() + 4).sum::<usize>();
    let mut block = String::with_capacity(room + EXPIRES.len() + 70);
    let at = token.expires_at;
    let (date, hour, minute, second) = (at.date(), at.hour(), at.minute(), at.second());
    block.push_str(EXPIRES);
    // Whole seconds, rounded down: nobody shall believe in the credentials for longer than AWS.
    let _ = write!(block, "{date}T{hour:02}:{minute:02}:{second:02}Z");
    before.words().for_each(|word| block.extend([" ", word]));
    block.push('\n');
    for (key, value) in keys {
        block.extend([key, " = ", value, "\n"]);
    }
    Secret::new(block)
}

fn push_lines<'l, 'a: 'l>(text: &mut String, lines: impl Iterator<Item = &'l Line<'a>>) {
    lines.for_each(|line| text.push_str(line.whole));
}

fn end_line(text: &mut String) {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
}

#[cfg(test)]
mod tests;
