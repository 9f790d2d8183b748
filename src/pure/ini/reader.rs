//! Whose programs read a credentials file.

use std::fmt;

/// A parser of credentials files whose refusals are known from its source.
///
/// Not among them are the AWS SDK for Go v2, whose parser passes over what it does not understand, the
/// one for PHP, which leaves the file to PHP's own `parse_ini_string`, and the one for .NET, whose
/// releases differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reader {
    /// boto3 and the AWS CLI.
    Botocore,
    /// aws-c-sdkutils, beneath the AWS Common Runtime.
    C,
    Cpp,
    /// Version 2.
    Java,
    /// Version 3.
    JavaScript,
    Ruby,
    Rust,
}

/// A set of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Readers(u8);

impl Reader {
    pub const ALL: [Self; 7] =
        [Self::Botocore, Self::C, Self::Cpp, Self::Java, Self::JavaScript, Self::Ruby, Self::Rust];

    /// As it is called in a sentence.
    pub fn title(self) -> &'static str {
        match self {
            Self::Botocore => "boto3 and the AWS CLI",
            Self::C => "the AWS SDK for C (CRT)",
            Self::Cpp => "the AWS SDK for C++",
            Self::Java => "the AWS SDK for Java v2",
            Self::JavaScript => "the AWS SDK for JavaScript v3",
            Self::Ruby => "the AWS SDK for Ruby",
            Self::Rust => "the AWS SDK for Rust",
        }
    }
}

impl Readers {
    pub const NONE: Self = Self(0);

    #[must_use]
    pub fn with(self, reader: Reader) -> Self {
        Self(self.0 | 1 << reader as u8)
    }

    pub fn contains(self, reader: Reader) -> bool {
        self.with(reader) == self
    }

    pub fn is_empty(self) -> bool {
        self == Self::NONE
    }

    pub fn iter(self) -> impl Iterator<Item = Reader> {
        Reader::ALL.into_iter().filter(move |reader| self.contains(*reader))
    }
}

impl FromIterator<Reader> for Readers {
    fn from_iter<I: IntoIterator<Item = Reader>>(readers: I) -> Self {
        readers.into_iter().fold(Self::NONE, Self::with)
    }
}

impl fmt::Display for Readers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, reader) in self.iter().enumerate() {
            f.write_str(if place == 0 { "" } else { ", " })?;
            f.write_str(reader.title())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_in_and_names_it() {
        for reader in Reader::ALL {
            assert!(!Readers::NONE.contains(reader));
            let one = Readers::NONE.with(reader);
            assert_eq!(one.iter().collect::<Vec<_>>(), [reader]);
            assert_eq!(one.to_string(), reader.title());
        }
        let two = [Reader::Rust, Reader::C].into_iter().collect::<Readers>();
        assert_eq!(two.to_string(), "the AWS SDK for C (CRT), the AWS SDK for Rust");
    }
}
