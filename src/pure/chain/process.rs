//! A `credential_process`: whose it is, and what it runs.

use std::path::Path;

use super::Sdk;

/// A `credential_process`. Its arguments may be secrets, and are not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its first word.
    pub program: String,
    pub runs: Runs,
    /// What it names with `--target`.
    pub target: Option<String>,
    /// What it names with `--runtime-dir`.
    pub runtime_dir: Option<String>,
}

/// What a command line comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runs {
    /// `rolekeeper credential-process`.
    Ours,
    /// Our program, with words for which it prints no credentials.
    OursInVain,
    /// Our program, and more that a shell or a further line makes of it.
    OursAndMore,
    Another,
}

/// Whether an option of ours wants a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wants {
    Nothing,
    Text,
    /// Which is not empty.
    Path,
}

/// Our options that may stand with `credential-process`; `cli` tests that they are those of the command
/// line. Those of every command may stand before it, too.
const OF_EVERY_COMMAND: [(&str, Wants); 5] = [
    ("config", Wants::Path),
    ("state-dir", Wants::Path),
    ("runtime-dir", Wants::Path),
    ("quiet", Wants::Nothing),
    ("verbose", Wants::Nothing),
];
const OF_CREDENTIAL_PROCESS: [(&str, Wants); 1] = [("target", Wants::Text)];

impl Process {
    /// botocore parts the line itself, the others hand it to a shell.
    pub(super) fn run_by(sdk: Sdk, command: &str, goes_on: bool, home: Option<&str>) -> Self {
        let by_shell = !matches!(sdk, Sdk::AwsCli | Sdk::Boto3);
        if by_shell && goes_on {
            // Another command then follows.
            let program = String::new();
            return Self { program, runs: Runs::Another, target: None, runtime_dir: None };
        }
        if !by_shell {
            return Self::of_words(&words(command, &BLANKS_OF_SHLEX).unwrap_or_default(), goes_on);
        }
        let at_home = |(prefix, quote): &(&str, &str)| {
            Some(format!("{quote}{}", command.strip_prefix(prefix)?))
        };
        let below = AT_HOME.iter().find_map(at_home);
        let (home, rest) = match (&below, home) {
            (Some(below), Some(home)) => (Some(home), below.as_str()),
            _ => (None, command),
        };
        let mut words = words(rest, &BLANKS_OF_SH).unwrap_or_default();
        if let (Some(home), Some(first)) = (home, words.first_mut()) {
            *first = format!("{home}/{first}");
        }
        Self::of_words(&words, !is_plain(rest))
    }

    /// Of a line that every SDK takes alike.
    pub fn of(command: &str) -> Self {
        Self::of_words(&words(command, &BLANKS_OF_SH).unwrap_or_default(), false)
    }

    fn of_words(words: &[String], and_more: bool) -> Self {
        let program = words.first().cloned().unwrap_or_default();
        let is_rolekeeper = Path::new(&program).file_name().is_some_and(|it| it == "rolekeeper");
        let taken = if is_rolekeeper { Options::of(&words[1..]) } else { None };
        let runs = match &taken {
            _ if !is_rolekeeper => Runs::Another,
            _ if and_more => Runs::OursAndMore,
            Some(_) => Runs::Ours,
            None => Runs::OursInVain,
        };
        let Options { target, runtime_dir } = taken.unwrap_or_default();
        Self { program, runs, target, runtime_dir }
    }

    pub fn is_ours(&self) -> bool {
        self.runs == Runs::Ours
    }
}

/// What the words behind our program's name say, where they are `credential-process` and known options.
#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    target: Option<String>,
    runtime_dir: Option<String>,
}

impl Options {
    fn of(words: &[String]) -> Option<Self> {
        let mut options = Self::default();
        let mut is_named = false;
        // At each place once: before the command, and behind it.
        let mut seen = Vec::new();
        let mut words = words.iter().map(String::as_str);
        while let Some(word) = words.next() {
            if word == "credential-process" && !is_named {
                (is_named, seen) = (true, Vec::new());
            } else if word == "--" && is_named && words.len() == 0 {
                // The end of the options, and of the line.
                break;
            } else if let Some(long) = word.strip_prefix("--") {
                let (name, joined) = match long.split_once('=') {
                    Some((name, value)) => (name, Some(value)),
                    None => (long, None),
                };
                let own = OF_CREDENTIAL_PROCESS.iter().filter(|_| is_named);
                let known = OF_EVERY_COMMAND.iter().chain(own).find(|(known, _)| *known == name);
                let &(name, wants) = known?;
                if name != "verbose" && seen.contains(&name) {
                    return None;
                }
                seen.push(name);
                if wants == Wants::Nothing {
                    joined.is_none().then_some(())?;
                    continue;
                }
                let separate =
                    || words.next().filter(|word| *word == "-" || !word.starts_with('-'));
                let value = joined.or_else(separate)?;
                if wants == Wants::Path && value.is_empty() {
                    return None;
                }
                match name {
                    "target" => options.target = Some(value.to_owned()),
                    "runtime-dir" => options.runtime_dir = Some(value.to_owned()),
                    _ => {}
                }
            } else {
                let letters = word.strip_prefix('-').filter(|letters| !letters.is_empty())?;
                for letter in letters.chars() {
                    match letter {
                        'v' => {}
                        'q' if !seen.contains(&"quiet") => seen.push("quiet"),
                        _ => return None,
                    }
                }
            }
        }
        is_named.then_some(options)
    }
}

/// What a shell takes for the home directory in front of a program, and the quote that is then open.
const AT_HOME: [(&str, &str); 5] =
    [("~/", ""), ("$HOME/", ""), ("${HOME}/", ""), ("\"$HOME/", "\""), ("\"${HOME}/", "\"")];

/// What parts words: Python's `shlex.split`, and a shell (POSIX, "Shell Command Language", 2.3). Other
/// blanks of Unicode's are letters to both.
pub(super) const BLANKS_OF_SHLEX: [char; 4] = [' ', '\t', '\r', '\n'];
const BLANKS_OF_SH: [char; 3] = [' ', '\t', '\n'];

/// The words of a command line, as a shell parts them; none where a quote is left open. What a shell
/// would replace, a variable say, stays.
pub(super) fn words(line: &str, blanks: &[char]) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word = None::<String>;
    let mut letters = line.chars();
    let mut quote = None;
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (Some(open), _) if letter == open => quote = None,
            (Some('"'), '\\') => {
                let next = letters.next()?;
                if !matches!(next, '"' | '\\') {
                    word.get_or_insert_default().push('\\');
                }
                word.get_or_insert_default().push(next);
            }
            (None, '\\') => word.get_or_insert_default().push(letters.next()?),
            (Some(_), _) => word.get_or_insert_default().push(letter),
            (None, '"' | '\'') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, _) if blanks.contains(&letter) => words.extend(word.take()),
            (None, _) => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

/// Whether a shell runs the words of the line as they are, and does nothing else: POSIX, "Shell Command
/// Language", 2.2 and 2.3.
fn is_plain(line: &str) -> bool {
    let mut quote = None;
    let mut begins = true;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (Some(open), _) if letter == open => quote = None,
            (Some('"'), '$' | '`') => return false,
            (Some('"'), '\\') if matches!(letters.next(), Some('$' | '`')) => return false,
            (None, '\\') => _ = letters.next(),
            (None, '"' | '\'') => quote = Some(letter),
            (None, '#' | '~') if begins => return false,
            (None, _) if "|&;<>()$`*?[]{}\n".contains(letter) => return false,
            _ => {}
        }
        begins = quote.is_none() && BLANKS_OF_SH.contains(&letter);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_program_and_its_arguments_are_not_kept() {
        let process = Process::of("/opt/get --password hunter2");
        assert!(!format!("{process:?}").contains("hunter2"));
        let process = |command: &str| Process::of(command);
        let runs = |command: &str| process(command).runs;
        assert_eq!(runs("/usr/bin/rolekeeper credential-process"), Runs::Ours);
        let quoted = "\"/usr/bin/rolekeeper\" --runtime-dir /r credential-process";
        assert_eq!(runs(quoted), Runs::Ours);
        assert_eq!(runs("/usr/bin/rolekeeper export"), Runs::OursInVain);
        assert_eq!(runs("/usr/bin/vault credential-process"), Runs::Another);
        let named = process("rolekeeper credential-process --target web");
        assert_eq!(named.target.as_deref(), Some("web"));
    }

    #[test]
    fn a_line_is_ours_only_where_nothing_else_comes_of_it() {
        use Runs::{Ours, OursAndMore, OursInVain};
        for (more, by_botocore, by_shell) in [
            ("", Ours, Ours),
            (" --target 'a b' -qvv", Ours, Ours),
            (" --config=/gone --verbose --verbose", Ours, Ours),
            (" --nonsense", OursInVain, OursInVain),
            (" --consumer nope", OursInVain, OursInVain),
            (" web", OursInVain, OursInVain),
            (" --help", OursInVain, OursInVain),
            (" -V", OursInVain, OursInVain),
            (" --state-dir=", OursInVain, OursInVain),
            (" --target", OursInVain, OursInVain),
            (" --target a --target b", OursInVain, OursInVain),
            (" # x", OursInVain, OursAndMore),
            (" | cat", OursInVain, OursAndMore),
            (" >/dev/null", OursInVain, OursAndMore),
            (" && true", OursInVain, OursAndMore),
            (" ; true", OursInVain, OursAndMore),
            (" --target $X", Ours, OursAndMore),
            (" --target \"$X\"", Ours, OursAndMore),
            (" --target `id`", Ours, OursAndMore),
            (" --target '$X'", Ours, Ours),
        ] {
            let command = format!("/usr/bin/rolekeeper credential-process{more}");
            let runs = |sdk| Process::run_by(sdk, &command, false, Some("/h")).runs;
            assert_eq!(runs(Sdk::Boto3), by_botocore, "{more}");
            for sdk in [Sdk::Go, Sdk::Java, Sdk::JavaScript, Sdk::Rust, Sdk::Ruby] {
                assert_eq!(runs(sdk), by_shell, "{sdk}: {more}");
            }
        }
        let at_home = "$HOME/rolekeeper credential-process";
        assert_eq!(Process::run_by(Sdk::Go, at_home, false, Some("/h")).runs, Ours);
        assert_eq!(Process::run_by(Sdk::Go, at_home, false, None).runs, OursAndMore);
        let quoted = "\"$HOME/my bin/rolekeeper\" credential-process";
        let process = Process::run_by(Sdk::Go, quoted, false, Some("/h"));
        assert_eq!((process.program.as_str(), process.runs), ("/h/my bin/rolekeeper", Ours));
        let goes_on = "rolekeeper credential-process";
        assert_eq!(Process::run_by(Sdk::Boto3, goes_on, true, None).runs, OursAndMore);
    }

    #[test]
    fn a_command_line_is_parted_as_a_shell_parts_it() {
        let parted = |line| words(line, &BLANKS_OF_SHLEX).map(|words| words.join("|"));
        assert_eq!(parted(r#"'/a b/c' "d \"e" f\ g ''"#).as_deref(), Some(r#"/a b/c|d "e|f g|"#));
        assert_eq!(parted("'open"), None);
        assert_eq!(parted("/a\u{a0}b c\rd").as_deref(), Some("/a\u{a0}b|c|d"));
        assert_eq!(words("c\rd", &BLANKS_OF_SH).unwrap(), ["c\rd"]);
    }
}
