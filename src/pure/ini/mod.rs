//! A shared credentials file as a lossless document: one profile changes, every other byte stays.
//!
//! The grammar has no owner. Where the SDKs agree, we read as they do; where botocore, the strictest
//! of them, refuses a whole file, so do we; where they disagree about *our* profile, we leave the
//! file alone and say on which line. A document is therefore either understood by everyone or not
//! touched, and what is written is the part of the grammar that all of them share.
//!
//! Ours are four lines of the profile: three keys, and above them a comment that tells when they
//! end. Everything else in it, `region` or a nested `s3 =` block, belongs to the operator.
//!
//! ```ini
//! [default]
//! # rolekeeper: expires 2026-11-22T01:00:00Z
//! aws_access_key_id = ASIA...
//! aws_secret_access_key = ...
//! aws_session_token = ...
//! ```

mod defect;
mod grammar;
mod profile_name;
mod section;
mod survey;

pub use defect::{Defect, Unusable};
pub use profile_name::{MalformedProfile, ProfileName};
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

/// A credentials file that botocore accepts.
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
    /// The first line for which botocore, or a line that hides where lines end, makes the whole
    /// file unusable. The message names lines and never what stands on them.
    pub fn parse(bytes: &[u8]) -> Result<Self, Unusable> {
        let text = str::from_utf8(bytes).map_err(|error| {
            let line = 1 + bytes[..error.valid_up_to()].iter().filter(|&&b| b == b'\n').count();
            Unusable { line, defect: Defect::NotUtf8 }
        })?;
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
            return Err(Unusable { line, defect: Defect::LongTermKey });
        }
        let block = block(token);
        // Large enough at once: a string that grew would leave its old halves in memory.
        let mut new =
            String::with_capacity(text.len() + block.expose().len() + profile.as_str().len() + 8);
        if let Some(section) = section {
            let place = section.place_of_keys();
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
    /// A section that holds nothing else but blank lines goes with them, and so does the blank line
    /// that set it apart: after [`Document::set_profile`] on a file without the profile, the old
    /// bytes are back. Any other section stays, without keys.
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
            })
        }))
    }
}

/// Our four lines, in their one form.
fn block(token: &RoleToken) -> Secret<String> {
    let keys = [
        (ACCESS_KEY_ID, token.access_key_id.as_str()),
        (SECRET_ACCESS_KEY, token.secret_access_key.expose()),
        (SESSION_TOKEN, token.session_token.expose()),
    ];
    let room = keys.iter().map(|(key, value)| key.len() + value.len() + 4).sum::<usize>();
    let mut block = String::with_capacity(room + EXPIRES.len() + 40);
    let at = token.expires_at;
    let (date, hour, minute, second) = (at.date(), at.hour(), at.minute(), at.second());
    block.push_str(EXPIRES);
    // Whole seconds, rounded down: nobody shall believe in the credentials for longer than AWS.
    let _ = writeln!(block, "{date}T{hour:02}:{minute:02}:{second:02}Z");
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
