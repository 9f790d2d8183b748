//! Why a credentials file is left alone.

use super::reader::Readers;
use crate::pure::advice::{Advice, Exit};

/// A line for which the file cannot be edited. Neither form shows what stands on it: a torn line
/// may be half of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {line} {defect}{}", in_brackets(refused_by))]
pub struct Unusable {
    /// Counted from 1.
    pub line: usize,
    pub defect: Defect,
    /// Whose programs refuse the whole file at that line; nobody's where they read it, and differ.
    pub refused_by: Readers,
}

fn in_brackets(refused_by: &Readers) -> String {
    if refused_by.is_empty() { String::new() } else { format!(" (refused by {refused_by})") }
}

/// What is wrong with the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Defect {
    // These are no text, or a damaged one.
    #[error("is not UTF-8")]
    NotUtf8,
    #[error("is UTF-16, as Windows' Notepad may write it")]
    Utf16,
    #[error("holds a NUL byte, as a power failure leaves them")]
    Nul,
    #[error("is the conflict marker of a merge")]
    ConflictMarker,
    #[error("breaks off at the end of the file")]
    Torn,

    // For these, botocore (boto3, the AWS CLI) refuses the whole file.
    #[error("begins with a byte order mark")]
    ByteOrderMark,
    #[error("comes before the first [section]")]
    OutsideSection,
    #[error("opens the section of line {first} a second time")]
    DuplicateSection { first: usize },
    #[error("sets the key of line {first} a second time")]
    DuplicateKey { first: usize },
    #[error("is neither a [section] nor a `key = value`")]
    NotAKey,
    #[error("is nested and not a `key = value`")]
    NestedNotAKey,

    // For these, others do.
    #[error("is indented and continues no key")]
    ContinuesNothing,
    #[error("is nested and has no name before its =")]
    NestedNameless,
    #[error("is an indented comment, which programs read as a setting")]
    IndentedComment,
    #[error("continues a value, which not every program can")]
    SecondLine,
    #[error("is nested under a name that programs pass over")]
    NestedUnderUnknown,
    #[error("holds blanks that are neither spaces nor tabs")]
    OddBlanks,
    #[error("opens a [section] of a name that is not allowed")]
    ForbiddenSection,

    // For these, programs disagree about what the file says.
    #[error("has a carriage return in its middle")]
    BareCarriageReturn,
    #[error("is not a plain [section] line")]
    UnclearSection,
    #[error(
        "has a comment right behind its ], for which JavaScript programs overlook the [section]"
    )]
    AdjacentComment,
    #[error("has an empty comment behind its ], for which Ruby programs overlook the [section]")]
    EmptyComment,
    #[error("holds [ and ], at which C++ programs stop reading the profile, above our keys")]
    Brackets,
    #[error("opens [DEFAULT], which Python programs spread over all profiles")]
    DefaultSection,
    #[error("names our profile in a form that only some programs take for it")]
    ProfileVariant,
    #[error("is indented, which programs read in different ways here")]
    Indented,
    #[error("separates key and value by a colon, which only some programs read")]
    Colon,
    #[error("is nested and named like one of our keys, which some programs take for it")]
    NestedName,
    #[error("sets aws_security_token, which botocore prefers to our session token")]
    SecurityToken,

    // Here nobody disagrees, and it is not ours to overwrite.
    #[error("holds a user's own access key (AKIA...), which would be lost")]
    LongTermKey,
}

impl Unusable {
    pub(super) fn at(line: usize, defect: Defect) -> Self {
        Self { line, defect, refused_by: Readers::NONE }
    }
}

impl Defect {
    /// Whether botocore refuses the file.
    pub(super) fn is_refused_by_botocore(self) -> bool {
        matches!(
            self,
            Self::NotUtf8
                | Self::Utf16
                | Self::ConflictMarker
                | Self::Torn
                | Self::ByteOrderMark
                | Self::OutsideSection
                | Self::DuplicateSection { .. }
                | Self::DuplicateKey { .. }
                | Self::NotAKey
                | Self::NestedNotAKey
        )
    }
}

impl Advice for Unusable {
    fn remedy(&self) -> String {
        let line = self.line;
        match self.defect {
            Defect::NotUtf8 => {
                format!("re-encode the file as UTF-8, from line {line} on, or move it away")
            }
            Defect::Utf16 => "save the file as UTF-8 without a byte order mark".into(),
            Defect::Nul => "restore the file, or move it away; then rolekeeper refresh".into(),
            Defect::ConflictMarker => {
                "settle the merge, and remove its <<<, === and >>> lines".into()
            }
            Defect::Torn => format!("complete line {line} as `key = value`, or remove it"),
            Defect::ByteOrderMark => "save the file as UTF-8 without a byte order mark".into(),
            Defect::OutsideSection => {
                format!("move line {line} under the [section] it belongs to, or remove it")
            }
            Defect::DuplicateSection { first } => {
                format!("merge the sections of lines {first} and {line} into one")
            }
            Defect::DuplicateKey { first } => format!("remove line {first} or line {line}"),
            Defect::NotAKey | Defect::NestedNotAKey | Defect::NestedNameless => {
                format!("write line {line} as `key = value`, or remove it")
            }
            Defect::ContinuesNothing => {
                format!("move line {line} to the first column, or remove it")
            }
            Defect::IndentedComment => {
                format!("move the comment of line {line} to the first column, or remove it")
            }
            Defect::SecondLine => {
                format!("write the value that line {line} continues on one line, or remove it")
            }
            Defect::NestedUnderUnknown => format!(
                "give what line {line} is nested in a name of letters, digits and _ - . / % @ : + \
                 alone, or remove it"
            ),
            Defect::OddBlanks => format!("remove line {line}, or leave it empty"),
            Defect::ForbiddenSection => format!("rename the section of line {line}"),
            Defect::BareCarriageReturn => "end all lines in LF, or all in CRLF".into(),
            Defect::UnclearSection | Defect::AdjacentComment | Defect::EmptyComment => {
                format!("write line {line} as [name] alone, or as [name], a blank, and a # comment")
            }
            Defect::DefaultSection => {
                format!("rename the section of line {line} to [default], or remove it")
            }
            Defect::ProfileVariant => {
                format!("write line {line} as [name], without blanks or `profile`, or remove it")
            }
            Defect::Indented => format!("move line {line} to the first column, or remove it"),
            Defect::Brackets => {
                format!("move line {line}, with what it is nested in, to the end of its section")
            }
            Defect::Colon => format!("write line {line} as `key = value`"),
            Defect::NestedName | Defect::SecurityToken => format!("remove line {line}"),
            Defect::LongTermKey => {
                "give the target a `profile` of its own, or remove that key from this one".into()
            }
        }
    }

    fn exit(&self) -> Exit {
        Exit::BadData
    }
}
