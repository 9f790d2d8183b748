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
