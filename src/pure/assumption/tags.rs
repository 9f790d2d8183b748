//! Session tags, and which of them go on along the chain.

use std::collections::BTreeMap;

use unicode_general_category::{GeneralCategory, get_general_category};

/// Tags by key, each with whether later roles of the chain inherit it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionTags(BTreeMap<String, Tag>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Tag {
    value: String,
    is_transitive: bool,
}

/// Tags that the service would refuse.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MalformedTags {
    #[error(
        "tag '{0}': a key has 1 to 128 letters, digits, blanks and _.:/=+-@, and no 'aws:' in front"
    )]
    Key(String),
    #[error("tag '{0}': a value has at most 256 letters, digits, blanks and _.:/=+-@")]
    Value(String),
    #[error(
        "tags '{0}' and '{1}' differ in upper and lower case alone, which STS does not tell apart"
    )]
    Twice(String, String),
    #[error("{0} tags, and a session has at most {MOST_TAGS}")]
    TooMany(usize),
    #[error("transitive tag '{0}' is not one of the tags")]
    Unknown(String),
}

/// The most tags of a session.
const MOST_TAGS: usize = 50;

impl SessionTags {
    /// Checks keys and values; no tag is transitive yet.
    ///
    /// # Errors
    ///
    /// The first tag that the service would refuse.
    pub fn new(tags: BTreeMap<String, String>) -> Result<Self, MalformedTags> {
        if tags.len() > MOST_TAGS {
            return Err(MalformedTags::TooMany(tags.len()));
        }
        let mut lower = BTreeMap::new();
        for (key, value) in &tags {
            let fits =
                (1..=128).contains(&key.chars().count()) && key.chars().all(is_tag_character);
            if !fits || key.to_lowercase().starts_with("aws:") {
                return Err(MalformedTags::Key(excerpt(key)));
            }
            if value.chars().count() > 256 || !value.chars().all(is_tag_character) {
                return Err(MalformedTags::Value(excerpt(key)));
            }
            if let Some(earlier) = lower.insert(key.to_lowercase(), key) {
                return Err(MalformedTags::Twice(excerpt(earlier), excerpt(key)));
            }
        }
        let tag = |(key, value)| (key, Tag { value, is_transitive: false });
        Ok(Self(tags.into_iter().map(tag).collect()))
    }

    /// The same, with these keys passed on along the chain. They are the tags' in upper or lower case,
    /// which STS does not tell apart (IAM User Guide, "Passing session tags in AWS STS").
    ///
    /// # Errors
    ///
    /// A key that no tag has.
    pub fn with_transitive(mut self, keys: &[String]) -> Result<Self, MalformedTags> {
        for key in keys {
            let mut tags = self.0.iter_mut();
            let tag = tags.find(|(own, _)| own.to_lowercase() == key.to_lowercase());
            let (_, tag) = tag.ok_or_else(|| MalformedTags::Unknown(excerpt(key)))?;
            tag.is_transitive = true;
        }
        Ok(self)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Key, value, and whether it is transitive, in the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, bool)> + Clone {
        self.0.iter().map(|(key, tag)| (key.as_str(), tag.value.as_str(), tag.is_transitive))
    }
}

/// `[\p{L}\p{Z}\p{N}_.:/=+\-@]` (STS API reference, `Tag`). Rust's own `is_alphabetic` takes marks and
/// symbols, too.
fn is_tag_character(c: char) -> bool {
    use GeneralCategory as Is;
    "_.:/=+-@".contains(c)
        || matches!(
            get_general_category(c),
            Is::UppercaseLetter
                | Is::LowercaseLetter
                | Is::TitlecaseLetter
                | Is::ModifierLetter
                | Is::OtherLetter
                | Is::DecimalNumber
                | Is::LetterNumber
                | Is::OtherNumber
                | Is::SpaceSeparator
                | Is::LineSeparator
                | Is::ParagraphSeparator
        )
}

fn excerpt(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(80).collect()
}
