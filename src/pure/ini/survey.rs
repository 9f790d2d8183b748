//! Both shared files, section by section, for those who only look: nothing is edited, and what
//! programs disagree about is not looked for beyond what makes a whole file unusable.

use super::defect::Unusable;
use super::grammar::{self, Kind, folded};

/// A section, and what its lines set. The texts borrow from the file: they are secrets as it is.
#[derive(Clone, PartialEq, Eq)]
pub struct Surveyed<'a> {
    /// As it stands between the brackets.
    pub name: &'a str,
    /// Keys in lower case. Nested settings are left out.
    pub keys: Vec<(String, &'a str)>,
}

/// Reads a credentials file or a `config` file.
///
/// # Errors
///
/// The first line for which botocore refuses the whole file, or that hides where lines end.
pub fn survey(bytes: &[u8]) -> Result<Vec<Surveyed<'_>>, Unusable> {
    let text = grammar::text(bytes)?;
    let mut sections = Vec::<Surveyed<'_>>::new();
    for line in grammar::parse(text)? {
        match (line.kind, sections.last_mut()) {
            (Kind::Section { name, .. }, _) => sections.push(Surveyed { name, keys: Vec::new() }),
            (Kind::Key { name, value, .. }, Some(section)) => {
                section.keys.push((folded(name), value));
            }
            _ => {}
        }
    }
    Ok(sections)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_config_file_is_read_with_its_prefixes_and_without_nested_settings() {
        let text = b"[default]\nRegion = x\ns3 =\n  max_queue_size = 3\n[profile a]\nrole_arn: r\n";
        let sections = survey(text).unwrap();
        let read = sections.iter().map(|section| (section.name, section.keys.clone()));
        assert_eq!(
            read.collect::<Vec<_>>(),
            [
                ("default", vec![("region".to_owned(), "x"), ("s3".to_owned(), "")]),
                ("profile a", vec![("role_arn".to_owned(), "r")]),
            ]
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..200)) {
            let _ = survey(&bytes);
        }
    }
}
