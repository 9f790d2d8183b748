//! The rules of the house, held by a test: which part may name which, what the deciding layer must
//! not touch, where secrets leave their type, how long a file may get.
//!
//! The rules are the tables below. They cover the code that ships; `#[cfg(test)]` items are left
//! out. Sources are read as Rust tokens, so comments and strings do not count and macros do.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};

/// Each part of `src/` and what it may name besides itself. Whatever points elsewhere is a mistake,
/// or a change of the design: then change this table and ARCHITECTURE.md together.
const MAY_NAME: &[(&str, &[&[&str]])] = &[
    ("pure", &[]),
    // Leaves: one seam or one primitive each.
    ("connection", &[&["pure", "host"]]),
    ("host", &[&["pure"]]),
    ("keys", &[&["pure"]]),
    ("shelf", &[&["pure"]]),
    // Adapters: one outside world each. They never name one another.
    ("config", &[&["pure"], LEAVES]),
    ("control", &[&["pure"], LEAVES]),
    ("endpoints", &[&["pure"], LEAVES]),
    ("hardware", &[&["pure"], LEAVES]),
    ("sources", &[&["pure"], LEAVES]),
    ("programs", &[&["pure"], LEAVES]),
    ("ssm", &[&["pure"], LEAVES]),
    ("sts", &[&["pure"], LEAVES]),
    ("surroundings", &[&["pure"], LEAVES]),
    ("systemctl", &[&["pure"], LEAVES]),
    ("targets", &[&["pure"], LEAVES]),
    ("vault", &[&["pure"], LEAVES]),
    ("vending", &[&["pure"], LEAVES]),
    // Those who bring the adapters together.
    ("daemon", &[&["pure"], LEAVES, ADAPTERS]),
    ("cli", &[&["pure"], LEAVES, ADAPTERS, &["daemon"]]),
    // The rehearsal runs the real daemon in process. Nothing names the lab but its own binary.
    ("lab", &[&["pure"], LEAVES, ADAPTERS, &["daemon"]]),
    // The map, which declares the parts and uses none; then arguments, run, exit status.
    ("lib", &[]),
    ("main", &[&["pure", "cli"]]),
    ("bin/rolekeeper-lab", &[&["pure", "host", "lab"]]),
];

const LEAVES: &[&str] = &["connection", "host", "keys", "shelf"];

const ADAPTERS: &[&str] = &[
    "config",
    "control",
    "endpoints",
    "hardware",
    "sources",
    "programs",
    "ssm",
    "sts",
    "surroundings",
    "systemctl",
    "targets",
    "vault",
    "vending",
];

/// What `pure` must not name: clocks, files, sockets, the environment, processes, threads, chance,
/// logs, async.
const NOT_IN_PURE: &[&str] = &[
    "std::env",
    "std::fs",
    "std::net",
    "std::os",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "nix",
    "rsa::rand_core",
    "tokio",
    "tracing",
];

/// Every place where a secret leaves its type: file, calls of `expose`, what happens to the value.
/// The lab is left out: its secrets are made up, and open nothing.
const EXPOSURES: &[(&str, usize, &str)] = &[
    (
        "cli/exec/endpoint.rs",
        1,
        "a new endpoint's token goes to the process that hands it to its command",
    ),
    (
        "cli/export.rs",
        2,
        "the credentials are printed, or handed to a command: who asked wants them",
    ),
    ("daemon/held.rs", 2, "the role token goes into the next run's record, a file of mode 0600"),
    ("endpoints/mod.rs", 2, "a reply's body goes to the client on loopback that showed its token"),
    ("endpoints/token_file.rs", 1, "a bearer token goes into its consumer's file"),
    ("keys.rs", 1, "the private key's text is decoded from the vault's record"),
    ("pure/deliveries.rs", 1, "an access key id's digest is taken"),
    ("pure/identity.rs", 2, "an activation code's shape is checked; the one request borrows it"),
    ("pure/ini/mod.rs", 9, "a credentials file's text is read and written; all of it is secret"),
    (
        "pure/metadata/container.rs",
        3,
        "a token's digest is taken; credentials go into the one reply",
    ),
    ("pure/metadata/instance.rs", 3, "credentials and a session's token go into the one reply"),
    ("pure/metadata/session.rs", 1, "the endpoint's key keys the HMAC of its tokens"),
    ("pure/role_token.rs", 2, "the shape of both secrets is checked"),
    ("pure/signing.rs", 7, "the secret access key and what is derived from it key the HMAC chain"),
    ("sources/client.rs", 1, "a session's token or a container's goes into its header"),
    ("sources/container.rs", 1, "the shape of a container's token is checked"),
    ("sources/document.rs", 2, "an answer is parsed"),
    ("sources/instance_metadata.rs", 3, "an answer is parsed"),
    ("ssm/carrier.rs", 1, "a request's body is copied for the SDK, which sends it"),
    ("ssm/mod.rs", 2, "an answer is parsed"),
    ("ssm/signer.rs", 1, "the session token goes into its header, as SigV4 wants it"),
    ("ssm/wire.rs", 1, "the activation code goes into the one body that carries it"),
    ("sts/mod.rs", 2, "secret and session token go to the SDK's signer"),
    ("targets/existing.rs", 2, "the file that stands is compared, and its size is checked"),
    ("vending/protocol.rs", 2, "an answer's line, for a peer whom a rule allows; wiped when sent"),
    ("vending/server.rs", 1, "the line goes over the socket"),
    ("vault/ec2_key.rs", 1, "an EC2 instance's private key goes into its record, of mode 0600"),
    ("vault/records.rs", 1, "the private key goes into its record, a file of mode 0600"),
];

/// Who may name the system's own clock and chance: those who put a program together. Everybody else is
/// given a clock, and can be given another.
const SYSTEM: &[&str] = &["OsRng", "SystemClock", "SystemEntropy"];

const NAMES_THE_SYSTEM: &[(&str, &str)] = &[
    ("cli/", "each command is put together here"),
    ("daemon/mod.rs", "`Seams::system` is the daemon's"),
    ("host/", "they are made here"),
    ("keys.rs", "keys and salts come from the kernel alone; a leaf names no other"),
    ("lab/", "the rehearsal is put together here"),
];

/// The most lines a file may have, the tests at its end included. A file of tests alone is read one
/// test at a time, and may be longer.
const LONGEST: usize = 500;

/// Files that are longer, each with its reason.
const LONGER: &[(&str, &str)] =
    &[("pure/refresher.rs", "one state machine: its table of states is read in one piece")];

/// Names that say nothing about what is inside.
const VAGUE: &[&str] = &[
    "common", "handler", "handlers", "helper", "helpers", "manager", "misc", "types", "util",
    "utils",
];

#[test]
fn every_part_names_only_what_lies_below_it() {
    let mut strays = Vec::new();
    for source in sources() {
        let part = source.part();
        let Some((_, allowed)) = MAY_NAME.iter().find(|(name, _)| *name == part) else {
            panic!("src/{} belongs to no part: add '{part}' to MAY_NAME", source.path);
        };
        for (named, line) in source.parts_named() {
            if named != part && !allowed.iter().any(|layer| layer.contains(&named.as_str())) {
                strays.push(format!("src/{}:{line}: {part} names {named}", source.path));
            }
        }
    }
    assert!(strays.is_empty(), "arrows that point the wrong way:\n{}", strays.join("\n"));
}

#[test]
fn pure_decides_and_touches_nothing() {
    let mut strays = Vec::new();
    for source in sources().iter().filter(|source| source.part() == "pure") {
        for (path, line) in source.paths() {
            if let Some(what) = NOT_IN_PURE.iter().find(|what| overlap(&path, what)) {
                strays.push(format!(
                    "src/{}:{line}: `{path}` reaches {what}: take its value as an argument",
                    source.path
                ));
            }
        }
    }
    assert!(strays.is_empty(), "{}", strays.join("\n"));
}

/// `println!` and its kind panic where the reader has gone away; `cli::print` and `terminal::say` do not.
#[test]
fn nothing_is_printed_by_a_macro_that_panics() {
    const MACROS: [&str; 5] = ["dbg", "eprint", "eprintln", "print", "println"];
    let mut strays = Vec::new();
    for source in sources() {
        for (at, token) in source.tokens.iter().enumerate() {
            if MACROS.contains(&token.text.as_str()) && source.text_at(at + 1) == "!" {
                strays.push(format!("src/{}:{}: {}!", source.path, token.line, token.text));
            }
        }
    }
    assert!(strays.is_empty(), "{}", strays.join("\n"));
}

#[test]
fn the_systems_clock_and_chance_are_handed_down() {
    let is_listed =
        |path: &str| NAMES_THE_SYSTEM.iter().any(|(prefix, _)| path.starts_with(prefix));
    let mut strays = Vec::new();
    for source in sources().iter().filter(|source| !is_listed(&source.path)) {
        for token in source.tokens.iter().filter(|token| SYSTEM.contains(&token.text.as_str())) {
            let (path, line, text) = (&source.path, token.line, &token.text);
            strays.push(format!("src/{path}:{line}: `{text}`: take it as an argument"));
        }
    }
    assert!(strays.is_empty(), "{}", strays.join("\n"));
}

#[test]
fn every_exit_of_a_secret_is_listed() {
    let found = sources()
        .iter()
        .filter(|source| source.part() != "lab")
        .map(|source| (source.path.clone(), source.exposures()))
        .filter(|(_, count)| *count > 0)
        .collect::<BTreeMap<_, _>>();
    let listed = EXPOSURES.iter().map(|(path, count, _)| ((*path).to_owned(), *count)).collect();
    if found != listed {
        let reason = |path: &str| {
            EXPOSURES.iter().find(|row| row.0 == path).map_or("WHAT HAPPENS TO IT?", |row| row.2)
        };
        let rows = found
            .iter()
            .map(|(path, count)| format!("    ({path:?}, {count}, {:?}),\n", reason(path)))
            .collect::<String>();
        panic!(
            "`expose` is called where EXPOSURES does not say so, or no longer where it does.\n\
             If each call is needed, and its value is wiped or never copied, the table becomes:\n\
             {rows}"
        );
    }
}

#[test]
fn every_table_row_has_its_reason() {
    assert!(
        EXPOSURES
            .iter()
            .all(|(_, _, reason)| reason.len() > 10 && *reason != "WHAT HAPPENS TO IT?")
    );
    assert!(LONGER.iter().all(|(_, reason)| reason.len() > 10));
}

#[test]
fn files_stay_short_enough_to_read() {
    let long = sources()
        .into_iter()
        .filter(|source| source.lines > LONGEST && !source.is_tests())
        .map(|source| source.path)
        .collect::<BTreeSet<_>>();
    let listed = LONGER.iter().map(|(path, _)| (*path).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(
        long, listed,
        "files of more than {LONGEST} lines (left) and those LONGER excuses (right): split the file \
         along its nouns, or list it with a reason; take a row out when its file got shorter"
    );
}

#[test]
fn no_module_has_a_name_that_says_nothing() {
    for source in sources() {
        let words = source.path.trim_end_matches(".rs").split('/').map(str::to_owned);
        for word in words.chain(source.inline_modules()) {
            assert!(!VAGUE.contains(&word.as_str()), "src/{}: '{word}' says nothing", source.path);
        }
    }
}

#[test]
fn a_stray_import_is_seen_however_it_is_written() {
    let source = Source::new(
        "vault/record.rs",
        "use crate::{pure::{ini, secret::Secret}, targets as t};\n\
         use super::super::ssm::Client;\n\
         fn f() { assert!(crate::control::ask()); super::lock(); super::super::hardware::look() }\n\
         // crate::daemon\n\
         #[cfg(test)]\n\
         mod tests { use crate::lab::Service; }\n\
         const TEXT: &str = \"crate::cli\";\n",
    );
    let named = source.parts_named().into_iter().map(|(part, _)| part).collect::<BTreeSet<_>>();
    assert_eq!(named, ["control", "hardware", "pure", "ssm", "targets"].map(str::to_owned).into());
}

#[test]
fn a_clock_in_pure_is_seen_however_it_is_written() {
    for text in [
        "use std::time::{Duration, SystemTime};",
        "use std::time;",
        "use std::time::*;",
        "fn f() -> bool { matches!(std::fs::read(p), Ok(_)) }",
        "use tokio as runtime;",
    ] {
        let paths = Source::new("pure/x.rs", text).paths();
        assert!(
            paths.iter().any(|(path, _)| NOT_IN_PURE.iter().any(|what| overlap(path, what))),
            "{text}"
        );
    }
    let paths =
        Source::new("pure/x.rs", "use std::time::Duration; let tokio_like = a.tokio();").paths();
    assert!(!paths.iter().any(|(path, _)| NOT_IN_PURE.iter().any(|what| overlap(path, what))));
}

#[test]
fn an_exit_of_a_secret_is_seen_however_it_is_written() {
    let source = Source::new(
        "x.rs",
        "impl S { pub fn expose(&self) {} }\n\
         fn f() { println!(\"{}\", s.expose()); t.as_ref().map(Secret::expose); }\n\
         #[cfg(test)] mod tests { fn g() { s.expose(); } }\n",
    );
    assert_eq!(source.exposures(), 2);
}

/// One file of `src/`.
struct Source {
    /// Below `src/`.
    path: String,
    lines: usize,
    /// The file's tokens in order, delimiters included, without `#[cfg(test)]` items; none of a file
    /// of tests.
    tokens: Vec<Token>,
}

struct Token {
    text: String,
    line: usize,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        let stream = text.parse::<TokenStream>().unwrap_or_else(|e| panic!("src/{path}: {e}"));
        let mut tokens = Vec::new();
        flatten(stream, &mut tokens);
        let mut source = Self {
            path: path.to_owned(),
            lines: text.lines().count(),
            tokens: without_tests(tokens),
        };
        if source.is_tests() {
            source.tokens.clear();
        }
        source
    }

    /// Whether the whole file is a module that its parent declares as `#[cfg(test)] mod tests;`.
    fn is_tests(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.contains("/tests/")
    }

    fn is_crate_root(&self) -> bool {
        ["lib.rs", "main.rs"].contains(&self.path.as_str()) || self.path.starts_with("bin/")
    }

    /// The first folder or the file's own name; `bin/…` for a binary, `lib` for the map.
    fn part(&self) -> &str {
        match self.path.split_once('/') {
            Some((folder, _)) if folder != "bin" => folder,
            _ => self.path.trim_end_matches(".rs"),
        }
    }

    /// How many `super` lead from the file's module to the crate's root.
    fn depth(&self) -> usize {
        let path = self.path.trim_end_matches(".rs").trim_end_matches("/mod");
        if self.is_crate_root() { 0 } else { path.split('/').count() }
    }

    /// The parts of this crate that the file names, with the line.
    fn parts_named(&self) -> Vec<(String, usize)> {
        let root = if self.part() == "main" || self.part().starts_with("bin/") {
            "rolekeeper".to_owned()
        } else {
            "crate".to_owned()
        };
        let climb = vec!["super"; self.depth().max(1)].join("::");
        self.paths()
            .into_iter()
            .filter_map(|(path, line)| {
                let below = strip_path(&path, &root).or_else(|| strip_path(&path, &climb))?;
                let part = below.split("::").next()?;
                Some((part.to_owned(), line))
            })
            .collect()
    }

    /// Every path that the file spells out, groups of `use` taken apart.
    fn paths(&self) -> Vec<(String, usize)> {
        let mut paths = Vec::new();
        let mut at = 0;
        while at < self.tokens.len() {
            let starts = is_word(self.text_at(at)) && !["::", "."].contains(&self.text_before(at));
            at = if starts { self.walk(at, String::new(), &mut paths) } else { at + 1 };
        }
        paths
    }

    /// Reads one path from `at` on, `prefix` being what stands before its group. Answers where it
    /// ends.
    fn walk(&self, at: usize, prefix: String, paths: &mut Vec<(String, usize)>) -> usize {
        let line = self.tokens[at].line;
        let mut path = join(&prefix, self.text_at(at));
        let mut at = at + 1;
        while self.text_at(at) == "::" {
            if self.text_at(at + 1) == "{" {
                at += 2;
                while at < self.tokens.len() && self.text_at(at) != "}" {
                    at = match self.text_at(at) {
                        "as" => at + 2,
                        word if is_word(word) => self.walk(at, path.clone(), paths),
                        _ => at + 1,
                    };
                }
                return at + 1;
            }
            if !is_word(self.text_at(at + 1)) {
                break;
            }
            path = join(&path, self.text_at(at + 1));
            at += 2;
        }
        paths.push((path, line));
        at
    }

    /// Uses of `expose`, its definitions not counted.
    fn exposures(&self) -> usize {
        (0..self.tokens.len())
            .filter(|&at| self.text_at(at) == "expose" && self.text_before(at) != "fn")
            .count()
    }

    fn inline_modules(&self) -> Vec<String> {
        (1..self.tokens.len())
            .filter(|&at| self.text_before(at) == "mod")
            .map(|at| self.text_at(at).to_owned())
            .collect()
    }

    fn text_at(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |token| &token.text)
    }

    fn text_before(&self, at: usize) -> &str {
        at.checked_sub(1).map_or("", |before| self.text_at(before))
    }
}

/// Every file of `src/`.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.sort();
    files
        .iter()
        .map(|file| {
            let path = file.strip_prefix(&root).unwrap().to_str().unwrap();
            Source::new(path, &fs::read_to_string(file).unwrap())
        })
        .collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// `::` becomes one token.
fn flatten(stream: TokenStream, tokens: &mut Vec<Token>) {
    let mut half_path_separator = false;
    for tree in stream {
        let line = tree.span().start().line;
        let token = |text: String| Token { text, line };
        if let TokenTree::Punct(punct) = &tree
            && punct.as_char() == ':'
        {
            if half_path_separator {
                tokens.push(token("::".into()));
                half_path_separator = false;
            } else if punct.spacing() == proc_macro2::Spacing::Joint {
                half_path_separator = true;
            } else {
                tokens.push(token(":".into()));
            }
            continue;
        }
        match tree {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    proc_macro2::Delimiter::Parenthesis => ("(", ")"),
                    proc_macro2::Delimiter::Brace => ("{", "}"),
                    proc_macro2::Delimiter::Bracket => ("[", "]"),
                    proc_macro2::Delimiter::None => ("", ""),
                };
                tokens.push(token(open.into()));
                flatten(group.stream(), tokens);
                tokens.push(token(close.into()));
            }
            other => tokens.push(token(other.to_string())),
        }
    }
}

/// Drops `#[cfg(test)]` and the item behind it: up to its `;`, or its closing brace.
fn without_tests(tokens: Vec<Token>) -> Vec<Token> {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::new();
    let mut rest = tokens.into_iter().peekable();
    let mut window = Vec::<Token>::new();
    while let Some(token) = rest.next() {
        window.push(token);
        if window.iter().zip(MARK).any(|(token, mark)| token.text != mark) {
            kept.append(&mut window);
        } else if window.len() == MARK.len() {
            window.clear();
            let mut depth = 0_usize;
            for skipped in rest.by_ref() {
                match skipped.text.as_str() {
                    "(" | "[" | "{" => depth += 1,
                    ")" | "]" | "}" => depth -= 1,
                    _ => {}
                }
                if depth == 0 && ["}", ";"].contains(&skipped.text.as_str()) {
                    break;
                }
            }
        }
    }
    kept.append(&mut window);
    kept
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

fn join(prefix: &str, word: &str) -> String {
    if prefix.is_empty() { word.to_owned() } else { format!("{prefix}::{word}") }
}

fn strip_path<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    path.strip_prefix(prefix)?.strip_prefix("::")
}

/// Whether `path` lies in `what`, or is a module that was named whole and holds it.
fn overlap(path: &str, what: &str) -> bool {
    path == what
        || strip_path(path, what).is_some()
        || (path.contains("::") && strip_path(what, path).is_some())
}
