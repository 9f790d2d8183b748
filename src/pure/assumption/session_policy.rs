//! A session policy: what the session may do at most, whatever its role may.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, IgnoredAny};

/// A JSON document without the blanks between its tokens: the service counts them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionPolicy(String);

/// A text that the service would refuse as a policy. It is not repeated: it may be long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MalformedSessionPolicy {
    #[error("character {0:?} is not one of a policy: it goes up to U+00FF")]
    Character(char),
    #[error("the policy is not JSON (line {line}, column {column})")]
    Json { line: usize, column: usize },
    #[error("the policy is JSON, but not an object with a Statement")]
    NoStatement,
    #[error(
        "the policy has {0} characters without blanks, and STS takes {LONGEST_SESSION_POLICY}: \
         shorten it, or name managed policies in session_policy_arns"
    )]
    TooLong(usize),
}

/// The most characters of a session policy (STS API reference, `AssumeRole`).
pub const LONGEST_SESSION_POLICY: usize = 2048;

impl SessionPolicy {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SessionPolicy {
    type Err = MalformedSessionPolicy;

    fn from_str(text: &str) -> Result<Self, MalformedSessionPolicy> {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Document {
            statement: IgnoredAny,
        }
        let mut reader = serde_json::Deserializer::from_str(text);
        let whole = IgnoredAny::deserialize(&mut reader).and_then(|_| reader.end());
        whole.map_err(|error| MalformedSessionPolicy::Json {
            line: error.line(),
            column: error.column(),
        })?;
        let document = serde_json::from_str::<Document>(text);
        // serde takes an array for a structure, too.
        let is_object = text.trim_start().starts_with('{');
        let Some(Document { statement: IgnoredAny }) = document.ok().filter(|_| is_object) else {
            return Err(MalformedSessionPolicy::NoStatement);
        };
        let compact = without_blanks(text);
        if let Some(odd) = compact.chars().find(|c| !('\u{20}'..='\u{ff}').contains(c)) {
            return Err(MalformedSessionPolicy::Character(odd));
        }
        match compact.chars().count() {
            length if length > LONGEST_SESSION_POLICY => {
                Err(MalformedSessionPolicy::TooLong(length))
            }
            _ => Ok(Self(compact)),
        }
    }
}

impl fmt::Display for SessionPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Of a text that is JSON, so that a quotation mark opens a string and one that is not escaped ends
/// it.
fn without_blanks(json: &str) -> String {
    let (mut in_string, mut escaped) = (false, false);
    json.chars()
        .filter(|c| {
            let blank = !in_string && c.is_ascii_whitespace();
            if *c == '"' && !escaped {
                in_string = !in_string;
            }
            escaped = in_string && *c == '\\' && !escaped;
            !blank
        })
        .collect()
}
