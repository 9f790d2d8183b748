//! Scenarios as they are typed: the real binary, real daemons, real signatures.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::thread;

use serde_json::Value;

/// What scripts rely on.
const NAMES: [&str; 11] = [
    "activation-leaked-and-revoked",
    "clock-without-rtc",
    "clone",
    "deregistered-by-mistake",
    "dhcp-change",
    "docker-bridge",
    "os-upgrade",
    "outage-of-an-hour",
    "paused-machine",
    "rotation-interrupted",
    "throttled-region",
];

/// The program, with its files in `place` and nothing of the environment.
fn lab(place: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rolekeeper-lab"));
    command.args(arguments).current_dir(place).env_clear().env("TMPDIR", place);
    command.output().unwrap()
}

fn shown(name: &str) -> String {
    let place = tempfile::tempdir().unwrap();
    let output = lab(place.path(), &["scenario", "show", name]);
    assert_eq!(output.status.code(), Some(0));
    String::from_utf8(output.stdout).unwrap()
}

fn lines(output: &Output) -> Vec<Value> {
    let text = str::from_utf8(&output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// All at once: most of their time they wait.
#[test]
fn every_shipped_scenario_holds_and_its_report_says_so() {
    thread::scope(|scope| {
        for name in NAMES {
            scope.spawn(move || shipped_scenario_holds(name));
        }
    });
}

fn shipped_scenario_holds(name: &str) {
    let place = tempfile::tempdir().unwrap();
    let output = lab(place.path(), &["rehearse", name, "--json", "--report", "report.html"]);
    let lines = lines(&output);
    for line in &lines {
        assert_eq!(line["ok"], true, "{name}: {line}");
    }
    assert_eq!(output.status.code(), Some(0), "{name}");
    assert_eq!(str::from_utf8(&output.stderr), Ok(""), "{name}");
    let (summary, steps) = lines.split_last().unwrap();
    assert_eq!(summary["step"], "summary");
    assert!(steps.len() >= 3, "{name}");

    let report = place.path().join("report.html");
    let page = fs::read_to_string(&report).unwrap();
    assert_eq!(fs::metadata(&report).unwrap().permissions().mode() & 0o777, 0o644);
    assert!(page.contains(&format!("{} of {} expectations held", steps.len(), steps.len())));
    for line in steps {
        for condition in line["seen"].as_str().unwrap().split("; ") {
            assert!(page.contains(condition), "{name}: {condition}");
        }
    }
    assert!(page.contains("class=\"token\"") && page.contains("class=\"mark done\""), "{name}");
    fs::remove_file(report).unwrap();
    assert!(fs::read_dir(place.path()).unwrap().next().is_none(), "{name} left files");
}

/// For each: what the scenario says, what it is made to say, the step, and what is seen instead.
const WRONG: [(&str, &str, &str, &str, &str); 6] = [
    ("clone", "state = \"mismatch\"", "state = \"fresh\"", "2", "state mismatch"),
    ("clone", "score = 66", "score = 67", "5", "score 66 %"),
    ("docker-bridge", "changed = []", "changed = [\"ipaddress-info\"]", "1", "changed nothing"),
    ("deregistered-by-mistake", "nodes = 0", "nodes = 1", "2", "0 nodes"),
    (
        "activation-leaked-and-revoked",
        "refused = \"InvalidActivation\"",
        "refused = \"ActivationExpired\"",
        "4",
        "InvalidActivation",
    ),
    ("dhcp-change", "credentials = \"new\"", "credentials = \"same\"", "2", "credentials new"),
];

#[test]
fn a_wrong_expectation_fails_and_is_named_with_what_was_seen() {
    thread::scope(|scope| {
        for wrong in WRONG {
            scope.spawn(move || wrong_expectation_fails(wrong));
        }
    });
}

fn wrong_expectation_fails((name, right, wrong, step, seen): (&str, &str, &str, &str, &str)) {
    let text = shown(name);
    assert!(text.contains(right), "{name}");
    // Nobody has to wait for what is not to come.
    let text = text.replacen(right, wrong, 1).replace("\nexpect =", "\nwithin = \"5s\"\nexpect =");
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("mine.toml"), text).unwrap();
    let output = lab(place.path(), &["rehearse", "mine.toml", "--json", "--report", "r.html"]);
    assert_eq!(output.status.code(), Some(70), "{name}");
    let lines = lines(&output);
    let failed = lines.iter().find(|line| line["ok"] == false).unwrap();
    assert_eq!(failed["step"], step, "{name}: {failed}");
    assert!(failed["seen"].as_str().unwrap().contains(seen), "{name}: {failed}");
    assert_ne!(failed["expected"], failed["seen"]);
    let error = str::from_utf8(&output.stderr).unwrap();
    assert!(error.contains(" expectations did not hold: "), "{error}");
    assert!(error.contains(&format!(": {step}")), "{error}");
    let page = fs::read_to_string(place.path().join("r.html")).unwrap();
    assert!(page.contains("did not hold") && page.contains(seen), "{name}");
}

#[test]
fn the_list_and_the_files_agree() {
    let place = tempfile::tempdir().unwrap();
    let output = lab(place.path(), &["scenario", "list", "--json"]);
    let listed = lines(&output);
    let names = listed.iter().map(|line| line["Name"].as_str().unwrap());
    assert_eq!(names.collect::<Vec<_>>(), NAMES);
    let output = lab(place.path(), &["scenario", "list"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().count(), NAMES.len() + 1);
    assert!(text.lines().all(|line| line.len() <= 120), "{text}");
    for name in NAMES {
        let file = format!("{}/src/lab/scenarios/{name}.toml", env!("CARGO_MANIFEST_DIR"));
        assert_eq!(shown(name), fs::read_to_string(file).unwrap());
    }
}

#[test]
fn what_cannot_be_rehearsed_ends_in_a_remedy() {
    let place = tempfile::tempdir().unwrap();
    let step = "name = \"n\"\nsummary = \"s\"\nlearn = \"l\"\n[[step]]\ntitle = \"t\"\n";
    fs::write(place.path().join("bad.toml"), format!("{step}do = \"start\"\nwitin = \"1s\"\n"))
        .unwrap();
    for (arguments, status, error) in [
        (vec!["rehearse", "bad.toml"], 65, "bad.toml:7:1: unknown field `witin`"),
        (vec!["rehearse", "gone.toml"], 64, "cannot read gone.toml: No such file"),
        (vec!["rehearse", "clones"], 64, "there is no scenario 'clones'"),
        (vec!["scenario", "show", "clones"], 64, "there is no scenario 'clones'"),
    ] {
        let output = lab(place.path(), &arguments);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains(error), "{text}");
        assert!(text.lines().nth(1).unwrap().starts_with("try: "), "{text}");
        assert_eq!(text.lines().count(), 2, "{text}");
    }
}

#[test]
fn a_name_of_ones_own_is_escaped_in_the_report_and_in_the_directory_nothing_is_left() {
    let place = tempfile::tempdir().unwrap();
    let scenario = "name = \"<script>alert('&')</script>\"\nsummary = \"<b>\"\nlearn = \"</pre>\"\n\
                    [[step]]\ntitle = \"<i>nothing\"\nexpect = { nodes = 0 }\n";
    fs::write(place.path().join("mine.toml"), scenario).unwrap();
    let output = lab(place.path(), &["rehearse", "mine.toml", "--report", "report.html"]);
    assert_eq!(output.status.code(), Some(0));
    let page = fs::read_to_string(place.path().join("report.html")).unwrap();
    assert!(page.contains("<h1>&lt;script&gt;alert(&#39;&amp;&#39;)&lt;/script&gt;</h1>"));
    for raw in ["<script", "<b>", "<i>", "learn = \"</pre>"] {
        assert!(!page.contains(raw), "{raw}");
    }
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 2);
}

#[test]
fn a_report_that_cannot_be_written_says_where_it_was_to_be() {
    let place = tempfile::tempdir().unwrap();
    let scenario = "name = \"n\"\nsummary = \"s\"\nlearn = \"l\"\n\
                    [[step]]\ntitle = \"t\"\nexpect = { nodes = 0 }\n";
    fs::write(place.path().join("mine.toml"), scenario).unwrap();
    let output = lab(place.path(), &["rehearse", "mine.toml", "--report", "no/such/report.html"]);
    assert_eq!(output.status.code(), Some(73));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.starts_with("rolekeeper-lab: cannot write no/such/report.html: "), "{text}");
}
