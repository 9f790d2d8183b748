//! Which AWS SDK refuses a credentials file, and at which line. One file for each parser, which
//! follows that parser's source line by line: those for Java, JavaScript and Rust tell what they read,
//! too, for `pure::chain`; the others as far as they decide between taking and refusing.
//! `tests/clients/files.py` and `tests/clients/chain_fuzz.py` hold them against the parsers themselves.

mod c;
mod cpp;
mod java;
mod javascript;
mod ruby;
mod rust;

pub(in crate::pure) use java::Java;
pub(in crate::pure) use javascript::JavaScript;
pub(in crate::pure) use rust::Rust;

use super::reader::Reader;

/// Where a parser gives a file up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    pub reader: Reader,
    /// Counted from 1.
    pub line: usize,
}

/// A parser on its way through a file.
trait Dialect {
    /// Reads one line, without its line end; false when the file is given up there.
    fn takes(&mut self, line: &str) -> bool;
}

/// A parser that tells what it reads.
pub(in crate::pure) trait LineReader {
    /// Reads one line, without its line end.
    ///
    /// # Errors
    ///
    /// Why the file is given up there.
    fn read<'a>(&mut self, line: &'a str) -> Result<Said<'a>, &'static str>;
}

/// What a line says to an SDK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pure) enum Said<'a> {
    Nothing,
    /// What stands between the brackets.
    Section(&'a str),
    /// A name and a value; the name is empty where it is none.
    Key(&'a str, &'a str),
    /// The last key goes on.
    More,
}

impl<R: LineReader> Dialect for R {
    fn takes(&mut self, line: &str) -> bool {
        self.read(line).is_ok()
    }
}

/// Why the SDKs for Java and Rust give a file up.
mod why {
    pub(super) const NO_SECTION: &str = "stands before the first section";
    pub(super) const UNCLOSED: &str = "opens a section that it does not close";
    pub(super) const NO_KEY: &str = "sets no key";
    pub(super) const NOTHING_ABOVE: &str = "goes on with a key where there is none";
    pub(super) const NO_SETTING: &str = "has no setting in a nested block";
}

/// Everybody but botocore, whose grammar is `super::grammar`.
pub(super) fn refusals(text: &str) -> impl Iterator<Item = Refusal> {
    let refused = |reader, dialect: &mut dyn Dialect| {
        let line = text.split('\n').position(|line| {
            // A carriage return before the line end belongs to it, for everybody.
            !dialect.takes(line.strip_suffix('\r').unwrap_or(line))
        })?;
        Some(Refusal { reader, line: line + 1 })
    };
    let refusals = [
        refused(Reader::C, &mut c::C::default()),
        refused(Reader::Cpp, &mut cpp::Cpp::default()),
        refused(Reader::Java, &mut Java::default()),
        refused(Reader::JavaScript, &mut JavaScript),
        refused(Reader::Ruby, &mut ruby::Ruby::default()),
        refused(Reader::Rust, &mut Rust::default()),
    ];
    refusals.into_iter().flatten()
}

/// Blanks as AWS's specification of the files has them.
const BLANKS: [char; 2] = [' ', '\t'];

fn is_comment(c: char) -> bool {
    matches!(c, '#' | ';')
}

/// Up to a comment that a blank sets off.
fn before_comment(line: &str) -> &str {
    let set_off = |at: &usize| line[..*at].ends_with(BLANKS);
    let at = line.match_indices(is_comment).map(|(at, _)| at).find(set_off);
    &line[..at.map_or(line.len(), |at| at - 1)]
}

/// Up to the first sign of a comment.
fn before_any_comment(line: &str) -> &str {
    line.split(is_comment).next().unwrap_or_default()
}

/// `[A-Za-z0-9_\-/.%@:\+]`, a letter of an identifier by AWS's specification.
pub(in crate::pure) fn is_identifier(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_-/.%@:+".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who refuses the text, and at which line.
    fn refused(text: &str) -> Vec<(Reader, usize)> {
        refusals(text).map(|Refusal { reader, line }| (reader, line)).collect()
    }

    #[test]
    fn what_everybody_reads_is_refused_by_nobody() {
        for text in [
            "",
            "\n \t\n# c\n; c\n",
            "[a]\nb = c\n",
            "[a] # c\nb = c # d\n[d] ; e\n",
            "[a]\nempty =\nb=c=d\n",
            "[a]\ns3 =\n  max_queue_size = 3\n\tb = c\nregion = x\n",
            "[a]\r\ns3 =\r\n  b = c\r\n\r\n[d]\r\n",
            "[profile x]\nregion = y\n[sso-session z]\nsso_region = x\n[a b]\nc = d\n",
            "[a]\nb:c = d\n",
            "[\u{e4}]\nb = \u{f6}\n",
            "[a]\nb = [c]\nd = ]e[\n",
            "[a]\nb =\n  # c = d\n",
        ] {
            assert_eq!(refused(text), [], "{text:?}");
        }
    }

    #[test]
    fn each_refusal_has_its_line_and_its_parsers() {
        use Reader::{C, Cpp, Java, JavaScript, Ruby, Rust};
        for (text, line, readers) in [
            ("[a]\n  b = c\n", 2, &[C, Java, Ruby, Rust][..]),
            ("[a]\n  # c\n", 2, &[C, Java, Rust]),
            ("[a]\nb =\n  = c\n", 3, &[C, Java, Rust]),
            ("[a]\nb =\n  # c\n", 3, &[C, Java, Rust]),
            ("[a]\nb : c\n", 2, &[Cpp, Java, Rust]),
            ("[a]\nb:c\n", 2, &[C, Cpp, Java, Rust]),
            ("[a]\nb = c\n  word\n", 3, &[Cpp]),
            ("[a]\nb = c\n\n  d = e\n", 4, &[Ruby]),
            (" [a]\nb = c\n", 1, &[C, Java, Rust]),
            ("[profile x]\ns3 =\n  b = c\n", 3, &[C]),
            ("[a]\nb c = d\n  e\n", 3, &[C, Cpp]),
            ("[__proto__]\n", 1, &[JavaScript]),
            ("[a]\n\u{b}\nb = c\n", 2, &[Java, Rust]),
            ("b = c\n", 1, &[C, Cpp, Java, Rust]),
            ("[ab\n", 1, &[C, Cpp, Java, Rust]),
        ] {
            let want = readers.iter().map(|reader| (*reader, line)).collect::<Vec<_>>();
            assert_eq!(refused(text), want, "{text:?}");
        }
    }
}
