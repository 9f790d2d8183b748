//! The rehearsal as it is typed: the real binary, the whole tour.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// What scripts rely on.
const STEPS: [&str; 14] = [
    "activation-created",
    "registered",
    "credentials-written",
    "caller-identity",
    "refreshed",
    "outage",
    "recovered",
    "clone-refused",
    "restored",
    "address-change-accepted",
    "address-change-refused",
    "activation-refused",
    "key-rotated",
    "summary",
];

/// `rolekeeper-lab rehearse`, with its files in `place`, among the variables of somebody who works
/// with AWS through a proxy, and who has no home.
fn rehearse(place: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rolekeeper-lab"));
    command.arg("rehearse").env_clear().env("TMPDIR", place).envs([
        ("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "the operator's own"),
        ("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent/credentials"),
        ("AWS_PROFILE", "nobody"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
        ("HTTP_PROXY", "http://127.0.0.1:1"),
        ("http_proxy", "http://127.0.0.1:1"),
    ]);
    command
}

fn lines(output: &Output) -> Vec<Value> {
    let text = str::from_utf8(&output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn names(lines: &[Value]) -> Vec<&str> {
    lines.iter().map(|line| line["step"].as_str().unwrap()).collect()
}

fn is_empty(directory: &Path) -> bool {
    fs::read_dir(directory).unwrap().next().is_none()
}

#[test]
fn every_expectation_of_the_tour_holds() {
    let place = tempfile::tempdir().unwrap();
    let desk = tempfile::tempdir().unwrap();
    let report = desk.path().join("tour.html");
    let output =
        rehearse(place.path()).arg("--json").arg("--report").arg(&report).output().unwrap();
    let lines = lines(&output);
    for line in &lines {
        assert_eq!(line["ok"], true, "{line}");
        assert!(line["seen"].is_string() && line["expected"].is_string(), "{line}");
        assert!(line["took_ms"].is_u64(), "{line}");
        let at = line["at"].as_str().unwrap();
        let rfc3339 = &time::format_description::well_known::Rfc3339;
        assert!(time::UtcDateTime::parse(at, rfc3339).is_ok(), "{line}");
    }
    assert_eq!(names(&lines), STEPS);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(str::from_utf8(&output.stderr), Ok(""));
    assert!(is_empty(place.path()));

    let page = fs::read_to_string(report).unwrap();
    assert!(page.contains("13 of 13 expectations held"));
    for part in ["<h1>The whole tour</h1>", "connections refused", ">clone</text>", "mark refused"]
    {
        assert!(page.contains(part), "{part}");
    }
}

/// A directory in which anybody may replace files is no place for credentials: a daemon that would
/// not say so has failed, and here it is the rehearsal that must say so.
#[test]
fn an_expectation_that_does_not_hold_fails_the_rehearsal() {
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), Permissions::from_mode(0o777)).unwrap();
    let output = rehearse(place.path()).arg("--json").output().unwrap();
    let lines = lines(&output);
    assert_eq!(names(&lines), STEPS);
    let of = |step| lines.iter().find(|line| line["step"] == step).unwrap();
    let seen = of("credentials-written")["seen"].as_str().unwrap();
    assert!(seen.ends_with("is writable by more than its owner (mode 0777)"), "{seen}");
    assert_eq!(of("refreshed")["seen"], "not rehearsed, because of credentials-written");
    for (step, ok) in [
        ("registered", true),
        ("credentials-written", false),
        ("refreshed", false),
        ("clone-refused", true),
        ("restored", false),
        ("activation-refused", true),
        ("summary", false),
    ] {
        assert_eq!(of(step)["ok"], ok, "{}", of(step));
    }
    assert_eq!(output.status.code(), Some(70));
    let error = str::from_utf8(&output.stderr).unwrap();
    assert!(error.contains(" of 13 expectations did not hold: credentials-written,"), "{error}");
    assert_eq!(error.lines().count(), 2, "{error}");
    assert!(is_empty(place.path()));
}

#[test]
fn what_is_piped_is_ascii_and_ends_in_a_table() {
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), Permissions::from_mode(0o777)).unwrap();
    let output = rehearse(place.path()).output().unwrap();
    let text = str::from_utf8(&output.stdout).unwrap();
    assert!(text.bytes().all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte)), "{text}");
    for step in &STEPS[..13] {
        assert!(
            text.contains(&format!("\nok     {step} "))
                || text.contains(&format!("\nFAILED {step} ")),
            "{step}: {text}"
        );
    }
}

#[test]
fn an_interrupt_leaves_nothing_behind() {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let place = tempfile::tempdir().unwrap();
        let mut command = rehearse(place.path());
        let mut process =
            command.arg("--json").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut told = BufReader::new(process.stdout.take().unwrap()).lines();
        assert!(told.any(|line| line.unwrap().contains(r#""step":"caller-identity""#)));
        assert!(!is_empty(place.path()));
        kill(Pid::from_raw(process.id().cast_signed()), signal).unwrap();
        let output = process.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(75));
        let error = str::from_utf8(&output.stderr).unwrap();
        assert!(
            error.starts_with("rolekeeper-lab: the rehearsal was interrupted\ntry: "),
            "{error}"
        );
        assert!(is_empty(place.path()));
    }
}
