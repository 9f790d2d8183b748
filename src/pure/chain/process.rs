//! A `credential_process`: whose it is, and what it runs.

use std::path::Path;

use super::Sdk;

/// A `credential_process`. Its arguments may be secrets, and are not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its first word.
    pub program: String,
    /// Whether it is `rolekeeper credential-process`.
    pub ours: bool,
    /// What it names with `--target`.
    pub target: Option<String>,
    /// What it names with `--runtime-dir`.
    pub runtime_dir: Option<String>,
}

impl Process {
    /// botocore parts the line itself, the others hand it to a shell.
    pub(super) fn run_by(sdk: Sdk, command: &str, goes_on: bool, home: Option<&str>) -> Self {
        let by_shell = !matches!(sdk, Sdk::AwsCli | Sdk::Boto3);
        if by_shell && goes_on {
            // Another command then follows.
            return Self { program: String::new(), ours: false, target: None, runtime_dir: None };
        }
        let mut words = words(command).unwrap_or_default();
        if let Some(first) = words.first_mut().filter(|_| by_shell) {
            let quoted = command.starts_with(['\'', '"', '\\']);
            let below = ["~/", "$HOME/", "${HOME}/"].iter().find_map(|v| first.strip_prefix(v));
            if let (Some(below), Some(home), false) = (below, home, quoted) {
                *first = format!("{home}/{below}");
            }
        }
        let words = words.iter().map(String::as_str).collect::<Vec<_>>();
        Self::of_words(&words)
    }

    pub(super) fn of(command: &str) -> Self {
        Self::of_words(&command.split_whitespace().collect::<Vec<_>>())
    }

    fn of_words(words: &[&str]) -> Self {
        let plain = |word: &&str| word.trim_matches(['"', '\'']).to_owned();
        let program = words.first().map(plain).unwrap_or_default();
        let name = Path::new(&program).file_name();
        let ours =
            name.is_some_and(|name| name == "rolekeeper") && words.contains(&"credential-process");
        let option = |name: &str| {
            let separate = words.iter().position(|word| *word == name);
            let separate = separate.and_then(|at| words.get(at + 1));
            let joined = words.iter().find_map(|w| w.strip_prefix(name)?.strip_prefix('='));
            separate.copied().or(joined).map(|word| plain(&word)).filter(|_| ours)
        };
        let (target, runtime_dir) = (option("--target"), option("--runtime-dir"));
        Self { program, ours, target, runtime_dir }
    }
}

/// The words of a command line, as a shell parts them; none where a quote is left open. What a shell
/// would replace, a variable say, stays.
pub(super) fn words(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word = None::<String>;
    let mut letters = line.chars();
    let mut quote = None;
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (Some(open), _) if letter == open => quote = None,
            (Some('"'), '\\') | (None, '\\') => word.get_or_insert_default().push(letters.next()?),
            (Some(_), _) => word.get_or_insert_default().push(letter),
            (None, '"' | '\'') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, _) if letter.is_whitespace() => words.extend(word.take()),
            (None, _) => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_program_and_its_arguments_are_not_kept() {
        let process = Process::of("/opt/get --password hunter2");
        assert!(!format!("{process:?}").contains("hunter2"));
        let process = |command: &str| Process::of(command);
        assert!(process("/usr/bin/rolekeeper credential-process").ours);
        assert!(process("\"/usr/bin/rolekeeper\" --runtime-dir /r credential-process").ours);
        assert!(!process("/usr/bin/rolekeeper export").ours);
        assert!(!process("/usr/bin/vault credential-process").ours);
        let named = process("rolekeeper credential-process --target web");
        assert_eq!(named.target.as_deref(), Some("web"));
    }

    #[test]
    fn a_command_line_is_parted_as_a_shell_parts_it() {
        let parted = |line| words(line).map(|words| words.join("|"));
        assert_eq!(parted(r#"'/a b/c' "d \"e" f\ g ''"#).as_deref(), Some(r#"/a b/c|d "e|f g|"#));
        assert_eq!(parted("'open"), None);
    }
}
