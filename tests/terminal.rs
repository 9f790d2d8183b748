//! Both programs as a person has them: at a terminal, with colours and without, on a narrow and on a wide
//! one, interrupted, and with a reader that has gone away. Every command, as the programs' own
//! descriptions enumerate them: one that is new is tested without a word here.
//!
//! `ROLEKEEPER_PROGRAM` and `ROLEKEEPER_LAB_PROGRAM` name other builds of the programs, as of the release.

#[path = "terminal/exec.rs"]
mod exec;
#[path = "terminal/pty.rs"]
mod pty;
#[allow(dead_code, reason = "each file of tests plays with a part of it")]
mod stage;

use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};

use clap::CommandFactory;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rolekeeper::lab::cli::Arguments;
use rolekeeper::lab::faults::{Effect, Fault};
use rolekeeper::lab::operation::Operation;

use pty::{CTRL_C, Terminal, code, plain, program};
use stage::{Daemon, REGION, Stage, printed, wait_for};

const INTERRUPTED: i32 = 128 + Signal::SIGINT as i32;

/// How a command ends of itself when all is well, or as sysexits.h has it; never by a panic (101) or a
/// signal.
const ORDERLY: [i32; 10] = [0, 64, 65, 69, 70, 73, 74, 75, 77, 78];

/// Commands that go on until they are stopped: tested with Ctrl-C.
const ENDLESS: [&str; 2] = ["run", "serve"];

/// What is typed behind the commands that need more than their name, or with which they do more; and how
/// they end with it, where that is not 0. A command without a row is typed as it is, and may end in any
/// orderly way.
const ROLEKEEPER: &[(&str, &[&str], i32)] = &[
    ("refresh", &[], 0),
    ("fingerprint show", &[], 0),
    ("fingerprint diff", &[], 0),
    ("fingerprint accept", &[], 0),
    ("fingerprint set-threshold", &["50"], 0),
    ("rotate-key", &[], 0),
    ("credential-process", &[], 0),
    ("exec", &["--", "true"], 0),
    ("export", &["--format", "env"], 0),
    ("config check", &[], 0),
    ("config show", &[], 0),
    ("status", &[], 0),
    ("completions", &["bash"], 0),
    ("man", &[], 0),
    // The daemon has the vault.
    ("deregister", &[], 75),
];

const LAB: &[(&str, &[&str], i32)] = &[
    ("rehearse", &["dhcp-change"], 0),
    ("scenario list", &[], 0),
    ("scenario show", &["clone"], 0),
    ("activation create", &[], 0),
    ("activation list", &[], 0),
    ("activation expire", &["01234567-89ab-cdef-0123-456789abcdef"], 77),
    ("node list", &[], 0),
    ("node deregister", &["mi-0123456789abcdef0"], 77),
    ("fault add", &["--hang", "--node", "mi-0123456789abcdef0"], 0),
    ("fault list", &[], 0),
    ("fault clear", &[], 0),
    ("clock show", &[], 0),
    ("clock set", &["--forward", "1s"], 0),
    ("explain", &["/nonexistent"], 64),
    ("completions", &["bash"], 0),
    ("caller-identity", &[], 0),
];

/// Every command that can be run, by the words that are typed.
fn commands(description: &clap::Command) -> Vec<String> {
    fn walk(command: &clap::Command, words: &str, found: &mut Vec<String>) {
        for command in command.get_subcommands().filter(|command| command.get_name() != "help") {
            let words = format!("{words} {}", command.get_name());
            match command.has_subcommands() {
                true => walk(command, &words, found),
                false => found.push(words.trim_start().to_owned()),
            }
        }
    }
    let mut found = Vec::new();
    walk(description, "", &mut found);
    found
}

fn of_rolekeeper() -> Vec<String> {
    commands(&rolekeeper::cli::description())
}

fn of_lab() -> Vec<String> {
    commands(&Arguments::command())
}

/// `rolekeeper` on a stage, whichever build is tested.
fn rolekeeper(stage: &Stage, words: &[&str]) -> Command {
    let own = stage.command(words);
    let mut command =
        Command::new(&*program("ROLEKEEPER_PROGRAM", env!("CARGO_BIN_EXE_rolekeeper")));
    command.env_clear().args(own.get_args()).stdin(Stdio::null());
    command
}

/// `rolekeeper-lab`, the stage's lab in its environment.
fn lab(stage: &Stage, words: &[&str]) -> Command {
    let lab = &stage.lab;
    let mut command =
        Command::new(&*program("ROLEKEEPER_LAB_PROGRAM", env!("CARGO_BIN_EXE_rolekeeper-lab")));
    command.env_clear().stdin(Stdio::null()).args(words);
    command
        .env("AWS_ENDPOINT_URL", lab.endpoint_url())
        .env("AWS_ACCESS_KEY_ID", &lab.admin().access_key_id)
        .env("AWS_SECRET_ACCESS_KEY", lab.admin().secret_access_key.expose())
        .env("AWS_REGION", lab.region().as_str());
    command
}

/// Every command line of both programs that ends by itself, with the ways in which it may end.
fn all(stage: &Stage) -> Vec<(String, Command, Vec<i32>)> {
    let typed = |commands: Vec<String>,
                 rows: &[(&str, &[&str], i32)],
                 build: &dyn Fn(&[&str]) -> Command| {
        for (name, ..) in rows {
            assert!(commands.iter().any(|command| command == name), "there is no command {name}");
        }
        let ending = commands.into_iter().filter(|name| !ENDLESS.contains(&name.as_str()));
        let line = |name: String| {
            let row = rows.iter().find(|(of, ..)| *of == name);
            let more = row.map_or(&[][..], |(_, more, _)| more);
            let words = name.split(' ').chain(more.iter().copied()).collect::<Vec<_>>();
            let ends = row.map_or(ORDERLY.to_vec(), |(_, _, end)| vec![*end]);
            let command = build(&words);
            (name, command, ends)
        };
        ending.map(line).collect::<Vec<_>>()
    };
    let mut all = typed(of_rolekeeper(), ROLEKEEPER, &|words| rolekeeper(stage, words));
    all.extend(typed(of_lab(), LAB, &|words| lab(stage, words)));
    all
}

/// A stage with fresh credentials.
fn fresh() -> (Stage, Daemon) {
    let stage = Stage::set();
    let (_, daemon) = stage.start_registered();
    (stage, daemon)
}

fn assert_orderly(name: &str, ends: &[i32], ended: i32, text: &str) {
    assert!(ends.contains(&ended), "{name} ended with {ended}: {text}");
    for remark in ["panicked", "RUST_BACKTRACE", "[tracing-subscriber]", "crate feature"] {
        assert!(!text.contains(remark), "{name}: {text}");
    }
}

#[test]
fn every_command_works_at_a_terminal() {
    let (stage, _daemon) = fresh();
    for (name, mut command, ends) in all(&stage) {
        let words = command.get_args().map(ToOwned::to_owned).collect::<Vec<_>>();
        let (ended, screen) = Terminal::start(&command, 80).ended();
        assert_orderly(&name, &ends, code(ended), &screen);
        // Every one of them, also with all of the log on the same terminal.
        let is_rolekeeper = words.iter().any(|word| word == "--runtime-dir");
        if is_rolekeeper {
            let words = words.iter().map(|word| word.to_str().unwrap());
            command = rolekeeper(&stage, &[]);
            command.arg("-vv").args(words.skip(6));
            let (ended, screen) = Terminal::start(&command, 80).ended();
            assert_orderly(&name, &ends, code(ended), &screen);
        }
    }
}

#[test]
fn every_help_fits_the_terminal_and_no_example_is_torn() {
    let stage = Stage::set();
    let examples = |description: &clap::Command, name: &str| {
        let mut command = description;
        for word in name.split(' ') {
            command = command.find_subcommand(word).unwrap_or(command);
        }
        let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        after.lines().filter(|line| line.starts_with("  ")).map(str::to_owned).collect::<Vec<_>>()
    };
    let (ours, labs) = (rolekeeper::cli::description(), Arguments::command());
    let all = [
        (vec![String::new()], &ours, &rolekeeper as &dyn Fn(&Stage, &[&str]) -> Command),
        (of_rolekeeper(), &ours, &rolekeeper),
        (vec![String::new()], &labs, &lab),
        (of_lab(), &labs, &lab),
    ];
    let mut faults = Vec::new();
    for (names, description, build) in all {
        for name in names {
            let examples = examples(description, &name);
            let words = name.split(' ').filter(|word| !word.is_empty()).chain(["--help"]);
            let command = build(&stage, &words.collect::<Vec<_>>());
            let mut fault = |what: &str| faults.push(format!("{name} --help: {what}"));
            if examples.is_empty() {
                fault("shows no example");
            }
            for columns in [80, 132] {
                let (ended, screen) = Terminal::start(&command, columns).ended();
                assert_orderly(&name, &[0], code(ended), &screen);
                if !screen.contains("\x1b[") {
                    fault("has no colours");
                }
                let text = plain(&screen);
                let is_wide = |line: &&str| line.chars().count() > columns.into();
                text.lines().filter(is_wide).for_each(|line| fault(&format!("too wide: {line}")));
                let is_torn = |example: &&String| !text.lines().any(|it| it == example.trim_end());
                let torn = examples.iter().filter(is_torn);
                torn.for_each(|example| fault(&format!("torn at {columns} columns: {example}")));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn there_are_colours_at_a_terminal_and_nowhere_else() {
    let (stage, daemon) = fresh();
    let log = daemon.log();
    assert!(log.contains("INFO") && !log.contains('\x1b'), "{log}");
    let refused = ["config", "check", "/nonexistent"];
    for words in [&["status"][..], &["--help"], &["status", "--help"], &["doctor"], &refused] {
        let mut command = rolekeeper(&stage, words);
        let coloured = |command: &Command| {
            let (_, screen) = Terminal::start(command, 80).ended();
            screen.contains("\x1b[")
        };
        assert!(coloured(&command), "{words:?} has no colours");
        command.env("NO_COLOR", "1");
        assert!(!coloured(&command), "{words:?} has colours in spite of NO_COLOR");
        command.env("NO_COLOR", "").env("TERM", "dumb");
        assert!(!coloured(&command), "{words:?} has colours at a terminal that has none");
        for (variable, coloured) in [("TERM", false), ("CLICOLOR_FORCE", true)] {
            let mut command = rolekeeper(&stage, words);
            let output = command.env("TERM", "xterm").env(variable, "xterm").output().unwrap();
            let text = [output.stdout, output.stderr].concat();
            assert_eq!(text.contains(&b'\x1b'), coloured, "{words:?} in a pipe with {variable}");
        }
    }
}

#[test]
fn the_log_is_coloured_at_a_terminal_and_leaves_its_dates_to_the_journal() {
    let stage = Stage::set();
    let mut terminal = Terminal::start(&rolekeeper(&stage, &["run"]), 80);
    terminal.shows("not registered");
    assert!(terminal.screen().contains("\x1b["), "{}", terminal.screen());
    terminal.types(CTRL_C);
    let (ended, screen) = terminal.ended();
    assert_orderly("run", &[0], code(ended), &screen);

    let path = stage.path("stderr");
    let lines_of = |journal: &dyn Fn(&File) -> String| {
        let stderr = File::create(&path).unwrap();
        let mut command = rolekeeper(&stage, &["run"]);
        command.env("JOURNAL_STREAM", journal(&stderr)).env("TERM", "xterm");
        let mut child = command.stderr(stderr).spawn().unwrap();
        let log = wait_for("a line of the log", || {
            let log = fs::read_to_string(&path).unwrap();
            if log.ends_with('\n') { Ok(log) } else { Err(log) }
        });
        kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0));
        log
    };
    let own = |stderr: &File| {
        let own = stderr.metadata().unwrap();
        format!("{}:{}", own.dev(), own.ino())
    };
    // A date begins with its century.
    assert!(!lines_of(&own).starts_with("20"), "the journal has dates of its own");
    // A program that was started by a service, and whose standard error is a file.
    assert!(lines_of(&|_| "8:1".to_owned()).starts_with("20"), "a file has no dates of its own");
}

#[test]
fn a_reader_that_has_gone_away_is_no_error_and_no_panic() {
    let (stage, _daemon) = fresh();
    for (name, mut command, ends) in all(&stage) {
        if name == "rehearse" {
            // It goes on for seconds; its report is asked once, below.
            continue;
        }
        let gone = || std::io::pipe().unwrap().1;
        let child = command.stdout(gone()).stderr(Stdio::piped()).spawn().unwrap();
        let output = child.wait_with_output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_orderly(&format!("{name} | true"), &ends, code(output.status), &error);

        let child = command.stdout(Stdio::piped()).stderr(gone()).spawn().unwrap();
        let output = child.wait_with_output().unwrap();
        assert_orderly(&format!("{name} 2>&1 >file | true"), &ends, code(output.status), "");

        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let child = command.stdout(Stdio::piped()).stderr(full).spawn().unwrap();
        let output = child.wait_with_output().unwrap();
        assert_orderly(&format!("{name} 2>/dev/full"), &ends, code(output.status), "");

        for closing in
            ["exec \"$0\" \"$@\" 2>&-", "exec \"$0\" \"$@\" >&-", "exec \"$0\" \"$@\" <&-"]
        {
            let mut shell = Command::new("sh");
            shell.arg("-c").arg(closing).arg(command.get_program()).args(command.get_args());
            shell.env_clear().envs(command.get_envs().filter_map(|(n, v)| Some((n, v?))));
            let output = shell.stdin(Stdio::null()).output().unwrap();
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_orderly(&format!("{name}: {closing}"), &ends, code(output.status), &error);
        }
    }
}

#[test]
fn the_daemon_and_the_lab_go_on_when_nobody_reads_what_they_write() {
    let stage = Stage::set();
    stage.register();
    let gone = || std::io::pipe().unwrap().1;
    let mut daemon = rolekeeper(&stage, &["-vv", "run"]);
    let mut daemon = daemon.stdout(gone()).stderr(gone()).spawn().unwrap();
    stage.status_when("fresh credentials", |status| status["state"] == "fresh");
    kill(Pid::from_raw(daemon.id().cast_signed()), Signal::SIGTERM).unwrap();
    assert_eq!(daemon.wait().unwrap().code(), Some(0));

    let file = stage.path("lab.env");
    let mut serve = lab(&stage, &["serve", "--listen", "127.0.0.1:0", "--env-file"]);
    let mut serve = serve.arg(&file).stdout(gone()).stderr(gone()).spawn().unwrap();
    wait_for("the lab's variables", || if file.exists() { Ok(()) } else { Err(String::new()) });
    kill(Pid::from_raw(serve.id().cast_signed()), Signal::SIGTERM).unwrap();
    assert_eq!(serve.wait().unwrap().code(), Some(0));

    let mut rehearse = lab(&stage, &["rehearse", "--verbose", "dhcp-change"]);
    let rehearse = rehearse.stdout(gone()).stderr(gone()).status().unwrap();
    assert_eq!(code(rehearse), 0);
}

/// `| head -1`, as it is typed.
#[test]
fn the_head_of_a_list_ends_quietly() {
    let stage = Stage::set();
    for command in [rolekeeper(&stage, &["config", "show"]), lab(&stage, &["scenario", "list"])] {
        let mut shell = Command::new("bash");
        let line = "\"$0\" \"$@\" | head -1; exit ${PIPESTATUS[0]}";
        shell.arg("-c").arg(line).arg(command.get_program()).args(command.get_args());
        let output = shell.output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(output.stdout.iter().filter(|byte| **byte == b'\n').count(), 1);
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    }
}

#[test]
fn ctrl_c_ends_every_command_that_waits() {
    let (stage, _daemon) = fresh();
    let interrupted = |name: &str, command: &Command, shown: &str, ends: i32| {
        let mut terminal = Terminal::start(command, 80);
        terminal.shows(shown);
        terminal.types(CTRL_C);
        let (ended, screen) = terminal.ended();
        assert_orderly(name, &[ends], code(ended), &screen);
        plain(&screen)
    };
    let ready = ["sh", "-c", "echo the command runs; exec sleep 60"];
    let exec = rolekeeper(&stage, &[&["exec", "--"][..], &ready].concat());
    interrupted("exec", &exec, "the command runs", INTERRUPTED);
    let exec = rolekeeper(&stage, &[&["exec", "--container-endpoint", "--"][..], &ready].concat());
    interrupted("exec --container-endpoint", &exec, "the command runs", INTERRUPTED);

    let serve = lab(&stage, &["serve", "--listen", "127.0.0.1:0"]);
    interrupted("serve", &serve, "Stop with Ctrl-C", 0);
    let screen = interrupted("rehearse", &lab(&stage, &["rehearse"]), "lab at", 75);
    assert!(screen.contains("\nrolekeeper-lab: the rehearsal was interrupted\n"), "{screen}");

    stage.fault(Fault::always(Effect::Hang));
    let refresh = rolekeeper(&stage, &["refresh"]);
    interrupted("refresh", &refresh, "waiting for the daemon", INTERRUPTED);
}

/// The settings of a service that may take its time.
fn patient_settings(stage: &Stage) {
    let url = stage.lab.endpoint_url();
    let text = format!("[service]\nendpoint_url = \"{url}\"\ntimeout = \"20s\"\n");
    fs::write(stage.path("rolekeeper.toml"), text).unwrap();
}

#[test]
fn a_registration_says_what_it_waits_for_and_what_became_of_it_when_it_is_interrupted() {
    let stage = Stage::set();
    patient_settings(&stage);
    stage.fault(Fault::always(Effect::Hang));
    let activation = stage.activation();
    let words = ["register", "--region", REGION, "--activation-id", &activation.id];
    let words = [&words[..], &["--activation-code", &activation.code]].concat();
    let mut terminal = Terminal::start(&rolekeeper(&stage, &words), 132);
    terminal.shows("making an RSA key");
    let asking = format!("asking {} for an instance id", stage.lab.endpoint_url());
    terminal.shows(&format!("\n{asking}\r\n"));
    terminal.shows(&format!("\nstill {asking}: "));
    terminal.shows("s of at most 1m\r\n");
    assert_eq!(stage.requests(Operation::RegisterManagedInstance), 1);
    terminal.types(CTRL_C);
    let (ended, screen) = terminal.ended();
    assert_eq!(code(ended), INTERRUPTED, "{screen}");
    let screen = plain(&screen);
    assert!(screen.contains("rolekeeper: interrupted while the service was asked"), "{screen}");

    stage.clear_faults();
    assert!(printed(rolekeeper(&stage, &words).output().unwrap()).starts_with("mi-"));
}

/// Ten seconds of silence are enough for whoever reads the log of a script; what is quick says nothing.
#[test]
fn a_script_hears_of_what_lasts_on_standard_error_alone() {
    let stage = Stage::set();
    patient_settings(&stage);
    stage.fault(Fault::always(Effect::Hang));
    let registration = |more: &[&str]| {
        let own = stage.registration(&stage.activation());
        let mut command = rolekeeper(&stage, &[]);
        command.args(own.get_args().skip(6)).args(more);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let other = stage.path("other").display().to_string();
    let (mut talks, mut is_quiet) =
        (registration(&[]), registration(&["--quiet", "--state-dir", &other]));
    let mut line = [0; 6];
    talks.stderr.take().unwrap().read_exact(&mut line).unwrap();
    assert_eq!(&line, b"still ");
    for child in [&mut talks, &mut is_quiet] {
        kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).unwrap();
    }
    let output = is_quiet.wait_with_output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.starts_with("rolekeeper: "), "{error}");
    assert!(output.stdout.is_empty());
    assert!(talks.wait_with_output().unwrap().stdout.is_empty());
}

#[test]
fn the_activation_code_is_asked_for_and_not_shown() {
    let stage = Stage::set();
    let activation = stage.activation();
    let words = ["register", "--region", REGION, "--activation-id", &activation.id];
    let from_stdin = [&words[..], &["--activation-code-file", "-"]].concat();
    const CTRL_BACKSLASH: &str = "\x1c";
    const QUIT: i32 = 128 + Signal::SIGQUIT as i32;
    for (words, key, end) in [
        (&words[..], CTRL_C, INTERRUPTED),
        (&from_stdin, CTRL_C, INTERRUPTED),
        (&words, CTRL_BACKSLASH, QUIT),
    ] {
        let command = rolekeeper(&stage, words);
        let mut terminal = Terminal::start(&command, 80);
        terminal.shows("Activation code: ");
        assert!(!terminal.echoes());
        terminal.types("half of a code");
        terminal.types(key);
        let (ended, screen) = terminal.ended();
        assert_eq!(code(ended), end, "{screen}");
        assert!(plain(&screen).contains("interrupted; nothing was changed"), "{screen}");
        assert!(!screen.contains("half"), "{screen}");
    }

    let mut terminal = Terminal::start(&rolekeeper(&stage, &words), 80);
    terminal.shows("Activation code: ");
    terminal.types(&format!("{}\n", activation.code));
    let (ended, screen) = terminal.ended();
    assert_eq!(code(ended), 0, "{screen}");
    assert!(screen.contains("\nregistered as mi-"), "{screen}");
    assert!(!screen.contains(&activation.code), "{screen}");

    // Without a terminal nobody is asked.
    let output = rolekeeper(&stage, &words).output().unwrap();
    assert_eq!(output.status.code(), Some(64));
}

#[test]
fn a_command_without_dashes_is_told_where_they_go() {
    let stage = Stage::set();
    for (words, message, line) in [
        (
            "exec aws s3 ls",
            "-- is missing before the command 'aws'",
            "rolekeeper exec -- aws s3 ls",
        ),
        (
            "exec --target backup aws --region x",
            "-- is missing before the command 'aws'",
            "rolekeeper exec --target backup -- aws --region x",
        ),
        (
            "exec --traget backup -- aws",
            "exec has no option '--traget'",
            "rolekeeper exec --target backup -- aws",
        ),
        (
            "exec --traget=backup -- aws",
            "exec has no option '--traget'",
            "rolekeeper exec --target=backup -- aws",
        ),
        (
            "exec --zzz -- aws",
            "exec has no option '--zzz'; the command's own stand behind --",
            "rolekeeper exec --help",
        ),
        ("statsu", "unrecognized subcommand 'statsu'; did you mean 'status'?", "rolekeeper --help"),
    ] {
        let program = program("ROLEKEEPER_PROGRAM", env!("CARGO_BIN_EXE_rolekeeper"));
        let mut command = Command::new(&*program);
        let output = command.env_clear().args(words.split(' ')).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(error, format!("rolekeeper: {message}\ntry: {line}\n"), "{words}");
        assert_eq!(output.status.code(), Some(64));
    }
    drop(stage);
}

#[test]
fn times_are_told_from_now_and_in_the_local_zone_when_it_is_asked_for() {
    let (stage, _daemon) = fresh();
    let page = stage.succeed(&["status"]);
    let expires = page.lines().find(|line| line.starts_with("expires ")).unwrap();
    assert!(expires.contains("Z (in ") && !expires.contains(" s)"), "{expires}");
    assert!(page.contains("Z (now)") || page.contains(" ago)"), "{page}");
    let mut local = rolekeeper(&stage, &["status", "--local-time"]);
    let local = printed(local.env("TZ", "IST-5:30").output().unwrap());
    let expires = local.lines().find(|line| line.starts_with("expires ")).unwrap();
    assert!(expires.contains("+05:30 (in "), "{expires}");
}

/// What a shell offers, asked as the shell does it: by the program's own script.
fn offered(stage: &Stage, program: &Path, words: &[&str]) -> Vec<String> {
    let name = program.file_name().unwrap().to_str().unwrap();
    let function = format!("_clap_complete_{}", name.replace('-', "_"));
    let script = format!(
        "source <({name} completions --dynamic bash)\nCOMP_WORDS=({name} \"$@\")\n\
         COMP_CWORD=$#\n{function} {name} \"${{@: -1}}\"\nprintf '%s\\n' \"${{COMPREPLY[@]}}\""
    );
    let mut shell = Command::new("bash");
    shell.args(["-c", &script, "bash"]).args(words).env_clear();
    let directory = program.parent().unwrap().display();
    shell.env("PATH", format!("{directory}:/usr/bin:/bin"));
    shell.env("ROLEKEEPER_CONFIG", stage.path("rolekeeper.toml"));
    let output = shell.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    // Bash parts them by a vertical tab, and leaves the program's descriptions out.
    let text = String::from_utf8(output.stdout).unwrap();
    text.split(['\n', '\u{b}']).map(|word| word.trim().to_owned()).collect()
}

#[test]
fn a_shell_offers_what_only_this_machine_knows() {
    let stage = Stage::set();
    let more = stage.target("backup", &stage.path("backup"), "")
        + "[[consumer]]\nname = \"web\"\nusers = [\"root\"]\n";
    stage.settings(&more);
    let ours = program("ROLEKEEPER_PROGRAM", env!("CARGO_BIN_EXE_rolekeeper"));
    let labs = program("ROLEKEEPER_LAB_PROGRAM", env!("CARGO_BIN_EXE_rolekeeper-lab"));
    for (program, words, offers) in [
        (&ours, &["exec", "--target", ""][..], &["backup", "default", "web"][..]),
        (&ours, &["export", "--target", "b"], &["backup"]),
        (&ours, &["advise", "--sdk", ""], &["boto3", "java", "rust"]),
        (&ours, &["doctor", "--user", "roo"], &["root"]),
        (&ours, &["fingerprint", ""], &["accept", "diff", "set-threshold", "show"]),
        (&ours, &["regi"], &["register"]),
        (&labs, &["rehearse", ""], &["clone", "outage-of-an-hour"]),
        (&labs, &["scenario", "show", "outage"], &["outage-of-an-hour"]),
        (&labs, &["fault", "add", "--operation", "Request"], &["RequestManagedInstanceRoleToken"]),
        (&labs, &["fault", "add", "--torn"], &["--torn-body"]),
    ] {
        let offered = offered(&stage, program, words);
        for offer in offers {
            assert!(offered.iter().any(|word| word == offer), "{words:?}: {offered:?}");
        }
    }
    // A variable that somebody else set is none of a daemon's business.
    let mut command = rolekeeper(&stage, &["config", "check"]);
    assert!(printed(command.env("COMPLETE", "bash").output().unwrap()).ends_with(": ok\n"));
}
