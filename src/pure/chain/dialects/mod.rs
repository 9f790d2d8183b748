//! How each SDK reads the two shared files: which sections and which keys it finds in a text. What a
//! line says to those for Java, JavaScript and Rust, and where they give a file up, is in
//! `pure::ini::dialects`. `tests/clients/chain_fuzz.py` holds what comes of it against the SDKs
//! themselves.

mod botocore;
mod go;
mod java_script;
mod specification;

pub(in crate::pure::chain) use specification::is_identifier;

use super::{Kind, Sdk};

/// A section as it stands in a file; those of one name are one, where the SDK takes them together.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Block<'a> {
    /// What stands between the brackets.
    pub name: String,
    /// In lower case where the SDK does not care.
    pub keys: Vec<(String, Value<'a>)>,
}

/// What a key is set to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Value<'a> {
    /// On the key's own line.
    pub text: &'a str,
    /// Whether more lines belong to it.
    pub goes_on: bool,
}

/// Where an SDK gives a file up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Counted from 1.
    pub line: usize,
    pub why: &'static str,
}

/// Reads a text as an SDK does.
///
/// # Errors
///
/// The line for which that SDK gives the whole file up.
pub(super) fn read(sdk: Sdk, text: &str, kind: Kind) -> Result<Vec<Block<'_>>, Refusal> {
    match sdk {
        Sdk::AwsCli | Sdk::Boto3 => botocore::read(text),
        Sdk::Go => Ok(go::read(text)),
        Sdk::JavaScript => java_script::read(text),
        Sdk::Java => specification::read_by_java(text, kind),
        Sdk::Rust => specification::read_by_rust(text),
        // Not measured; what these read differently is not known here.
        Sdk::Cpp | Sdk::DotNet | Sdk::Php | Sdk::Ruby => botocore::read(text),
    }
}

/// Blanks as AWS's specification of the files has them.
const BLANKS: [char; 2] = [' ', '\t'];

const COMMENTS: [char; 2] = ['#', ';'];

impl<'a> Block<'a> {
    fn set(&mut self, name: String, text: &'a str) {
        self.keys.retain(|(other, _)| *other != name);
        self.keys.push((name, Value { text, goes_on: false }));
    }

    /// Another line of the key that was set last.
    fn go_on(&mut self) {
        if let Some((_, value)) = self.keys.last_mut() {
            value.goes_on = true;
        }
    }
}

/// The section of that name, and a new one where there is none.
fn open<'b, 'a>(blocks: &'b mut Vec<Block<'a>>, name: &str) -> &'b mut Block<'a> {
    let at = blocks.iter().position(|block| block.name == name).unwrap_or_else(|| {
        blocks.push(Block { name: name.to_owned(), keys: Vec::new() });
        blocks.len() - 1
    });
    &mut blocks[at]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    fn keys(sdk: Sdk, text: &str) -> Result<Vec<(String, String)>, usize> {
        let blocks = read(sdk, text, Kind::Credentials).map_err(|refusal| refusal.line)?;
        let all = blocks.into_iter().flat_map(|block| {
            let name = block.name;
            block.keys.into_iter().map(move |(key, value)| {
                let more = if value.goes_on { "+" } else { "" };
                (name.clone(), format!("{key}={}{more}", value.text))
            })
        });
        Ok(all.collect())
    }

    fn pairs(pairs: &[(&str, &str)]) -> Result<Vec<(String, String)>, usize> {
        Ok(pairs.iter().map(|(name, key)| ((*name).to_owned(), (*key).to_owned())).collect())
    }

    #[test]
    fn a_comment_behind_a_section_or_a_value_is_read_in_many_ways() {
        let text = "[a]; note\nb = c # d\n";
        assert_eq!(keys(Sdk::Boto3, text), pairs(&[("a", "b=c # d")]));
        for sdk in [Sdk::Go, Sdk::Java, Sdk::Rust] {
            assert_eq!(keys(sdk, text), pairs(&[("a", "b=c")]), "{sdk}");
        }
        // Only a blank makes it a comment.
        assert_eq!(keys(Sdk::JavaScript, text), pairs(&[]));
        assert_eq!(keys(Sdk::JavaScript, "[a] ; note\nb = c # d\n"), pairs(&[("a", "b=c")]));
    }

    #[test]
    fn what_one_refuses_others_read() {
        for (text, boto3, go, rust) in [
            ("[a]\nb = c\nb = d\n", Err(3), pairs(&[("a", "b=d")]), pairs(&[("a", "b=d")])),
            ("[a]\n  b = c\n", pairs(&[("a", "b=c")]), pairs(&[("a", "b=c")]), Err(2)),
            ("[a]\nb : c\n", pairs(&[("a", "b=c")]), pairs(&[("a", "b=c")]), Err(2)),
            (
                "[a]\nB = 'c'\n",
                pairs(&[("a", "b='c'")]),
                pairs(&[("a", "b=c")]),
                pairs(&[("a", "b='c'")]),
            ),
            ("x\n[a]\nb = c\n", Err(1), pairs(&[("a", "b=c")]), Err(1)),
            (
                "[a]\nb = c\n  d\n",
                pairs(&[("a", "b=c+")]),
                pairs(&[("a", "b=c+")]),
                pairs(&[("a", "b=c+")]),
            ),
        ] {
            assert_eq!(keys(Sdk::Boto3, text), boto3, "{text}");
            assert_eq!(keys(Sdk::Go, text), go, "{text}");
            assert_eq!(keys(Sdk::Rust, text), rust, "{text}");
        }
    }

    /// What the editor of files goes by is what is said to a person.
    #[test]
    fn a_nested_comment_is_a_setting_to_those_who_take_it_for_one() {
        let text = "[a]\nb =\n  # c = d\n";
        let expected = pairs(&[("a", "b=+")]);
        assert_eq!(keys(Sdk::Rust, text), expected);
        assert_eq!(keys(Sdk::Java, text), expected);
        // Any blank of Unicode's sets a comment off.
        assert_eq!(keys(Sdk::Rust, "[a]\nb = c\u{a0}# d\n"), pairs(&[("a", "b=c\u{a0}")]));
        // Java takes control characters for blanks.
        assert_eq!(keys(Sdk::Java, "[a]\nb = c\u{1}\n"), pairs(&[("a", "b=c")]));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(?s)([\\[\\]=:#; \t\n\ra-c]|.){0,60}",
            sdk in select(&Sdk::ALL[..])) {
            let lines = text.lines().count() + text.matches('\r').count() + 1;
            if let Err(refusal) = read(sdk, &text, Kind::Config) {
                prop_assert!((1..=lines).contains(&refusal.line));
            }
        }
    }
}
