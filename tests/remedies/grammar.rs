//! Remedies about a credentials file that is left alone: each does to the line what it says, and then the
//! file is written, with what else stood there.

use std::fs;
use std::path::Path;

use crate::world::World;

/// A file, the remedy that it gets, and that remedy done by hand.
type Case = (&'static str, &'static [u8], &'static str, fn(&str) -> String);

/// Line `number` as `change` has it; none takes it away.
fn line(text: &str, number: usize, change: fn(&str) -> Option<String>) -> String {
    let lines = text.lines().enumerate();
    let lines =
        lines.filter_map(
            |(at, line)| {
                if at + 1 == number { change(line) } else { Some(line.to_owned()) }
            },
        );
    lines.map(|line| line + "\n").collect()
}

/// To the first column.
fn unindent(text: &str, number: usize) -> String {
    line(text, number, |line| Some(line.trim_start().to_owned()))
}

fn remove(text: &str, number: usize) -> String {
    line(text, number, |_| None)
}

const CASES: &[Case] = &[
    (
        "outside",
        b"region = x\n[other]\noutput = json\n",
        "move line 1 under the [section] it belongs to, or remove it",
        |text| format!("{}region = x\n", remove(text, 1)),
    ),
    (
        "twice",
        b"[other]\nregion = x\n[other]\noutput = json\n",
        "merge the sections of lines 1 and 3 into one",
        |text| remove(text, 3),
    ),
    ("key-twice", b"[other]\nregion = x\nregion = y\n", "remove line 2 or line 3", |text| {
        remove(text, 3)
    }),
    ("no-key", b"[other]\nregion\n", "write line 2 as `key = value`, or remove it", |text| {
        line(text, 2, |line| Some(format!("{line} = x")))
    }),
    (
        "mark",
        b"\xef\xbb\xbf[other]\nregion = x\n",
        "save the file as UTF-8 without a byte order mark",
        |text| text.trim_start_matches('\u{feff}').to_owned(),
    ),
    (
        "default",
        b"[DEFAULT]\nregion = x\n",
        "rename the section of line 1 to [default], or remove it",
        |text| line(text, 1, |_| Some("[default]".to_owned())),
    ),
    (
        "torn",
        b"[other]\nregion = x\noutput",
        "complete line 3 as `key = value`, or remove it",
        |text| format!("{text} = json\n"),
    ),
    (
        "merge",
        b"[a]\nb = c\n<<<<<<< HEAD\nd = e\n=======\nd = f\n>>>>>>> theirs\n",
        "settle the merge, and remove its <<<, === and >>> lines",
        |_| "[a]\nb = c\nd = e\n".to_owned(),
    ),
    ("nul", &[0; 538], "restore the file, or move it away; then rolekeeper refresh", |_| {
        "[other]\nregion = x\n".to_owned()
    }),
    (
        "latin-1",
        b"[other]\nregion = \xff\n",
        "re-encode the file as UTF-8, from line 2 on, or move it away",
        str::to_owned,
    ),
    (
        "nameless",
        b"[other]\ns3 =\n  = v\n",
        "write line 3 as `key = value`, or remove it",
        |text| remove(text, 3),
    ),
    (
        "continues",
        b"[other]\n  region = x\n",
        "move line 2 to the first column, or remove it",
        |text| unindent(text, 2),
    ),
    (
        "comment",
        b"[default]\n  # c\n",
        "move the comment of line 2 to the first column, or remove it",
        |text| unindent(text, 2),
    ),
    (
        "second",
        b"[other]\na = b\n  c d\n",
        "write the value that line 3 continues on one line, or remove it",
        |_| "[other]\na = b c d\n".to_owned(),
    ),
    (
        "unknown",
        b"[other]\na = b\n\n  c = d\n",
        "give what line 4 is nested in a name of letters, digits and _ - . / % @ : + alone, or \
         remove it",
        |text| remove(text, 4),
    ),
    ("blanks", b"[other]\na = b\n\x0b\n", "remove line 3, or leave it empty", |text| {
        remove(text, 3)
    }),
    ("forbidden", b"[__proto__]\n", "rename the section of line 1", |text| {
        text.replace("__proto__", "other")
    }),
    (
        "brackets",
        b"[default]\nb = c\n  d = [e]\naws_session_token = x\n",
        "move line 3, with what it is nested in, to the end of its section",
        |_| "[default]\naws_session_token = x\nb = c\n  d = [e]\n".to_owned(),
    ),
    ("return", b"[other]\rb = c\n", "end all lines in LF, or all in CRLF", |text| {
        text.replace('\r', "\n")
    }),
    (
        "unclear",
        b"[default] x\n",
        "write line 1 as [name] alone, or as [name], a blank, and a # comment",
        |text| text.replace("] x", "] # x"),
    ),
    (
        "variant",
        b"[profile default]\n",
        "write line 1 as [name], without blanks or `profile`, or remove it",
        |text| text.replace("profile ", ""),
    ),
    (
        "indented",
        b"[default]\naws_session_token = x\n  y = z\n",
        "move line 3 to the first column, or remove it",
        |text| unindent(text, 3),
    ),
    ("colon", b"[other]\nregion : x\n", "write line 2 as `key = value`", |text| {
        text.replace(" : ", " = ")
    }),
    ("nested", b"[default]\ns3 =\n  aws_session_token = x\n", "remove line 3", |text| {
        remove(text, 3)
    }),
    ("security", b"[default]\naws_security_token = x\n", "remove line 2", |text| remove(text, 2)),
    (
        "own-key",
        b"[default]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = x\n",
        "give the target a `profile` of its own, or remove that key from this one",
        |text| remove(&remove(text, 3), 2),
    ),
];

#[test]
fn a_credentials_file_is_written_after_what_was_said_of_its_line_is_done() {
    let mut world = World::new();
    let directory = world.stage.path("files");
    fs::create_dir(&directory).unwrap();
    let file = |name: &str| directory.join(name);
    let targets = CASES.iter().map(|(name, ..)| world.stage.target(name, &file(name), ""));
    world.stage.settings(&targets.collect::<String>());
    for (name, text, ..) in CASES {
        fs::write(file(name), text).unwrap();
    }
    world.stage.register();
    world.start();
    let before = world.rights();
    let status = world.stage.status_when("outcomes", |status| status["state"] == "fresh");
    for (name, text, remedy, follow) in CASES {
        let targets = status["targets"].as_array().unwrap();
        let target = targets.iter().find(|target| target["name"] == *name).unwrap();
        assert_eq!(target["remedy"], *remedy, "{name}: {target:#}");
        assert_eq!(fs::read(file(name)).unwrap(), *text, "{name}: it is left alone");
        fs::write(file(name), follow(&String::from_utf8_lossy(text))).unwrap();
    }
    world.stage.succeed(&["refresh"]);
    for (name, ..) in CASES {
        assert!(holds_ours(&file(name)), "{name}");
    }
    crate::world::assert_not_widened(&before, &world.rights(), &["some mode", "reads"]);
}

fn holds_ours(path: &Path) -> bool {
    fs::read_to_string(path).unwrap().contains("aws_session_token")
}
