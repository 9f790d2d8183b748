//! A machine on which a remedy is carried out to the letter: its commands are taken from its text and
//! given to a shell that finds the real program, and in sudo's, systemctl's and aws's places ones that do
//! the same here.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::stage::{Daemon, NOBODY, Stage, allow, is_root, wait_for};

/// A user who is named nowhere, by number.
pub const SOMEBODY: u32 = 64_998;

/// What may stand at the beginning of a command in a remedy.
const PROGRAMS: [&str; 14] = [
    "aws",
    "chmod",
    "chown",
    "cp",
    "install",
    "journalctl",
    "mkdir",
    "mv",
    "rm",
    "rolekeeper",
    "setfacl",
    "ss",
    "sudo",
    "systemctl",
];

/// What ends a command in a sentence.
const ENDS: [&str; 15] = [
    "; then ",
    ", then ",
    "; ",
    ", which ",
    ", by which ",
    ", so that ",
    ", or ",
    " or ",
    ", if ",
    ", and ",
    ": ",
    ", on ",
    ", to ",
    ", set ",
    "`",
];

pub struct World {
    pub stage: Stage,
    pub daemon: Option<Daemon>,
}

impl World {
    /// A machine that is not registered, and no daemon.
    pub fn new() -> Self {
        Self::of(Stage::set())
    }

    pub fn of(stage: Stage) -> Self {
        let world = Self { stage, daemon: None };
        let path = |name: &str| world.stage.path(name).display().to_string();
        let rolekeeper = format!(
            "case $1 in doctor) shift; set -- doctor --metadata-address 127.0.0.1:9 \
             --agent-directory {0}/agent \"$@\";; esac\n\
             exec {binary} --config {0}/rolekeeper.toml --state-dir {0}/state --runtime-dir {0}/run \
             \"$@\"",
            path(""),
            binary = env!("CARGO_BIN_EXE_rolekeeper"),
        );
        let log = |name: &str| format!("echo \"$@\" >> {}", path(name));
        fs::create_dir(world.stage.path("bin")).unwrap();
        for (name, script) in [
            ("rolekeeper", rolekeeper.as_str()),
            ("sudo", "if [ \"$1\" = -u ]; then shift 2; fi\nexec \"$@\""),
            ("systemctl", &log("systemctl.log")),
            ("journalctl", "true"),
            ("aws", &log("aws.log")),
        ] {
            let program = world.stage.path("bin").join(name);
            fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
            allow(&program, 0o755);
        }
        world
    }

    /// With a registration, the daemon and its first credentials.
    pub fn working() -> Self {
        let mut world = Self::new();
        world.stage.register();
        world.start();
        world.when_fresh();
        world
    }

    pub fn start(&mut self) {
        self.daemon = None;
        self.daemon = Some(self.stage.start());
        self.stage.status_when("a daemon", |_| true);
    }

    pub fn when_fresh(&self) {
        self.stage.status_when("fresh credentials", |status| status["state"] == "fresh");
    }

    /// Reads the settings anew, as `systemctl reload` has it.
    pub fn reload(&self) {
        let daemon = self.daemon.as_ref().unwrap();
        let before = daemon.log().matches("settings reloaded").count();
        daemon.signal(Signal::SIGHUP);
        wait_for("a reload", || {
            let log = daemon.log();
            (log.matches("settings reloaded").count() > before).then_some(()).ok_or(log)
        });
    }

    /// Runs the commands of a remedy, one after the other; each must succeed. What the service manager
    /// was asked is done, too.
    pub fn carry_out(&mut self, remedy: &str) -> Vec<String> {
        let commands = commands(remedy);
        assert!(!commands.is_empty(), "nothing to run in: {remedy}");
        for command in &commands {
            let output = self.run(command);
            assert!(output.status.success(), "{command}: {output:?}");
            self.obey_systemctl();
        }
        commands
    }

    /// Runs one command in a shell, in a world where the unit's drop-ins and examples lie here.
    pub fn run(&self, command: &str) -> Output {
        let units = self.stage.path("units").display().to_string();
        let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/systemd/examples");
        let command = command
            .replace("/etc/systemd/system", &units)
            .replace("/usr/share/doc/rolekeeper/examples", examples);
        let programs = self.stage.path("bin").display().to_string();
        let mut shell = Command::new("sh");
        shell.args(["-ec", &command]).env_clear();
        shell.env("PATH", format!("{programs}:/usr/bin:/bin:/usr/sbin")).output().unwrap()
    }

    /// Does what systemctl was asked since.
    fn obey_systemctl(&mut self) {
        let log = self.stage.path("systemctl.log");
        let asked = fs::read_to_string(&log).unwrap_or_default();
        fs::write(&log, "").unwrap();
        for line in asked.lines() {
            match line {
                "restart rolekeeper" | "start rolekeeper" => self.start(),
                "stop rolekeeper" => self.daemon = None,
                "reload rolekeeper" => self.reload(),
                "daemon-reload" => {}
                line if line.starts_with("status ") || line.starts_with("list-") => {}
                other => panic!("nobody does this here: systemctl {other}"),
            }
        }
    }

    /// What `doctor` says of one thing; of a user, too, where one is given.
    pub fn finding(&self, name: &str, subject: Option<&str>, user: Option<u32>) -> Value {
        let agent = self.stage.path("agent").display().to_string();
        let user = user.map(|uid| uid.to_string());
        let mut arguments =
            vec!["doctor", "--json", "--metadata-address", "127.0.0.1:9", "--agent-directory"];
        arguments.push(&agent);
        arguments.extend(user.iter().flat_map(|user| ["--user", user]));
        let output = self.stage.command(&arguments).output().unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        // A list, or an object that has it.
        let checks = report.as_array().or_else(|| report["checks"].as_array()).unwrap().clone();
        let is_it = |check: &&Value| {
            check["name"] == name && subject.is_none_or(|subject| check["subject"] == subject)
        };
        checks.iter().find(is_it).unwrap_or_else(|| panic!("no {name} in {checks:#?}")).clone()
    }

    /// A finding that is not as it should be, its remedy carried out, and that it is fine then.
    pub fn mend(&mut self, name: &str, subject: Option<&str>, user: Option<u32>) -> String {
        let finding = self.finding(name, subject, user);
        let remedy = finding["remedy"].as_str().unwrap_or_else(|| panic!("{finding:#}")).to_owned();
        self.carry_out(&remedy);
        let after = self.finding(name, subject, user);
        assert_eq!(after["verdict"], "ok", "after {remedy}: {after:#}");
        remedy
    }

    /// What others may read or have, in words. As root, two users try it.
    pub fn rights(&self) -> BTreeSet<String> {
        let mut rights = BTreeSet::new();
        let directory = self.stage.path("");
        let ours = ["bin", "units", "systemctl.log", "aws.log", "rolekeeper"];
        let is_ours = |path: &str| {
            let rest = path.strip_prefix(directory.to_str().unwrap()).unwrap_or(path);
            ours.contains(&rest.trim_start_matches('/').split('/').next().unwrap())
        };
        let mut note = |who: &str, test: &[&str], command: &mut Command| {
            let found = command.arg(&directory).args(["-type", "f"]).args(test).output().unwrap();
            let found = String::from_utf8_lossy(&found.stdout).into_owned();
            // What is being written is in its place in a moment.
            let is_new = |path: &str| path.ends_with(".rolekeeper-new");
            let found = found.lines().filter(|path| !is_ours(path) && !is_new(path));
            rights.extend(found.map(|path| format!("{who} reads {path}")));
        };
        note("some mode", &["-perm", "/044"], &mut Command::new("find"));
        if !is_root() {
            return rights;
        }
        for uid in [NOBODY, SOMEBODY] {
            use std::os::unix::process::CommandExt;
            let mut find = Command::new("find");
            note(&format!("user {uid}"), &["-readable"], find.uid(uid).gid(uid));
        }
        let registered = key_of(&fs::read(self.stage.credentials()).unwrap_or_default());
        for uid in [NOBODY, SOMEBODY] {
            for question in [
                &["credential-process"][..],
                &["credential-process", "--target", "default"],
                &["status", "--json"],
                &["refresh"],
            ] {
                let output = self.stage.command_of(uid, uid, question).output().unwrap();
                if output.status.success() {
                    let key = key_of(&output.stdout);
                    let whose =
                        if key.is_some() && key == registered { ": registered" } else { "" };
                    rights.insert(format!("user {uid} may {}{whose}", question.join(" ")));
                }
            }
        }
        rights
    }
}

/// The commands of a remedy, as they stand in its sentence.
pub fn commands(remedy: &str) -> Vec<String> {
    let mut text = remedy.to_owned();
    for end in ENDS {
        text = text.replace(end, "\n");
    }
    let is_command =
        |line: &&str| line.split_whitespace().next().is_some_and(|first| PROGRAMS.contains(&first));
    text.lines().map(str::trim).filter(is_command).map(str::to_owned).collect()
}

/// Nobody may do what they could not do before, but for what has one of these words.
pub fn assert_not_widened(before: &BTreeSet<String>, after: &BTreeSet<String>, but: &[&str]) {
    let wider = after.difference(before).filter(|it| !but.iter().any(|word| it.contains(word)));
    assert_eq!(wider.collect::<Vec<_>>(), [""; 0]);
}

/// The access key id in an output or a file.
fn key_of(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let at = text.find("ASIA")?;
    text.get(at..at + 20).map(str::to_owned)
}

/// Puts `new` in `old`'s place in a file, where it must be.
pub fn edit(path: &Path, old: &str, new: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(old), "no {old} in {text}");
    fs::write(path, text.replace(old, new)).unwrap();
}
