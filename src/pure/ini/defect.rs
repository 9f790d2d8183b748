//! Why a credentials file is left alone.

use crate::pure::advice::{Advice, Exit};

/// A line for which the file cannot be edited. Neither form shows what stands on it: a torn line
/// may be half of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {line} {defect}")]
pub struct Unusable {
    /// Counted from 1.
    pub line: usize,
    pub defect: Defect,
}

/// What is wrong with the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Defect {
    // For these, botocore (boto3, the AWS CLI) refuses the whole file.
    #[error("is not UTF-8")]
    NotUtf8,
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

    // For these, programs disagree about what the file says.
    #[error("has a carriage return in its middle")]
    BareCarriageReturn,
    #[error("is not a plain [section] line")]
    UnclearSection,
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

impl Advice for Unusable {
    fn remedy(&self) -> String {
        let line = self.line;
        match self.defect {
            Defect::NotUtf8 => format!("re-encode the file as UTF-8; line {line} is not"),
            Defect::ByteOrderMark => "save the file as UTF-8 without a byte order mark".into(),
            Defect::OutsideSection => {
                format!("move line {line} under the [section] it belongs to, or remove it")
            }
            Defect::DuplicateSection { first } => {
                format!("merge the sections of lines {first} and {line} into one")
            }
            Defect::DuplicateKey { first } => format!("remove line {first} or line {line}"),
            Defect::NotAKey | Defect::NestedNotAKey => {
                format!("write line {line} as `key = value`, or remove it")
            }
            Defect::BareCarriageReturn => "end all lines in LF, or all in CRLF".into(),
            Defect::UnclearSection => {
                format!("write line {line} as [name] alone, or as [name], a blank, and a # comment")
            }
            Defect::DefaultSection => {
                format!("rename the section of line {line} to [default], or remove it")
            }
            Defect::ProfileVariant => {
                format!("write line {line} as [name], without blanks or `profile`, or remove it")
            }
            Defect::Indented => format!("move line {line} to the first column, or remove it"),
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
