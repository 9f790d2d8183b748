//! `rolekeeper doctor` on machines that something is wrong with: the real binary, a real lab, real
//! files of several users.

#[allow(dead_code, reason = "each file of tests plays with a part of it")]
mod stage;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Output;
use std::thread;

use rolekeeper::lab::clock::LabClock;
use rolekeeper::pure::advice::Exit;
use serde_json::Value;

use stage::{Stage, allow};

/// What `doctor --json` said, and how it ended.
struct Diagnosis {
    checks: Vec<Value>,
    status: i32,
}

impl Diagnosis {
    fn of(output: &Output) -> Self {
        let checks = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
            panic!("{error}: {}", String::from_utf8_lossy(&output.stderr));
        });
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        Self { checks, status: output.status.code().unwrap() }
    }

    /// All checks of a name.
    fn all(&self, name: &str) -> Vec<&Value> {
        self.checks.iter().filter(|check| check["name"] == name).collect()
    }

    /// The only one.
    fn check(&self, name: &str) -> &Value {
        let all = self.all(name);
        let [check] = all[..] else { panic!("not one {name}: {:#?}", self.checks) };
        check
    }

    /// The one of a subject.
    fn about(&self, name: &str, subject: &str) -> &Value {
        let all = self.all(name);
        let found = all.iter().find(|check| check["subject"] == subject);
        found.unwrap_or_else(|| panic!("no {name} {subject}: {:#?}", self.checks))
    }

    fn with_verdict(&self, verdict: &str) -> Vec<String> {
        let those = self.checks.iter().filter(|check| check["verdict"] == verdict);
        those.map(|check| format!("{} {}", check["name"], check["finding"])).collect()
    }
}

fn doctor(stage: &Stage) -> Diagnosis {
    Diagnosis::of(&stage.run(&["doctor", "--json"]))
}

/// A check that has this verdict, and whose finding, remedy and evidence have these parts.
fn assert_found(check: &Value, verdict: &str, parts: &[&str]) {
    assert_eq!(check["verdict"], verdict, "{check:#}");
    let text = check.to_string();
    for part in parts {
        assert!(text.contains(part), "no {part} in {check:#}");
    }
}

/// A web server that has the same answer for everybody, until the test is over.
fn page(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            // Whoever only connects sends nothing, and hears nothing.
            if matches!(stream.read(&mut [0; 2048]), Ok(length) if length > 0) {
                let _ = stream.write_all(answer.as_bytes());
            }
        }
    });
    address.to_string()
}

const PORTAL: &str = "HTTP/1.1 200 OK\r\nServer: PortalBox\r\nContent-Type: text/html\r\n\
                      Content-Length: 44\r\nConnection: close\r\n\r\n\
                      <html><title>Welcome, guest</title>log in</>";

#[test]
fn on_a_machine_that_works_nothing_is_wrong() {
    let stage = Stage::set();
    let (_, _daemon) = stage.start_registered();
    let before = stage.vault();
    let diagnosis = doctor(&stage);
    assert_eq!(diagnosis.with_verdict("wrong"), [""; 0]);
    assert_eq!(diagnosis.with_verdict("warning"), [""; 0]);
    assert_eq!(diagnosis.status, Exit::Done as i32);
    assert_found(diagnosis.check("settings"), "ok", &["rolekeeper.toml"]);
    assert_found(diagnosis.check("vault"), "ok", &["2 records"]);
    assert_found(diagnosis.check("hardware"), "ok", &["100 % agree"]);
    let answered = ["answers as Systems Manager does", "HTTP 400, MissingAuthenticationToken"];
    assert_found(diagnosis.about("service", "Systems Manager"), "ok", &answered);
    assert_found(diagnosis.check("clock"), "ok", &["agrees"]);
    assert_eq!(stage.vault(), before, "nothing was changed");

    let page = stage.succeed(&["doctor"]);
    assert!(page.ends_with('\n') && page.contains("\nnothing is wrong"), "{page}");
}

#[test]
fn a_captive_page_is_not_taken_for_the_service_nor_for_its_clock() {
    let stage = Stage::set();
    stage.register();
    let settings = fs::read_to_string(stage.path("rolekeeper.toml")).unwrap();
    let address = page(PORTAL);
    let lab = stage.lab.address().to_string();
    fs::write(stage.path("rolekeeper.toml"), settings.replace(&lab, &address)).unwrap();
    let diagnosis = doctor(&stage);
    assert_eq!(diagnosis.status, Exit::Configuration as i32);
    let parts = ["is not Systems Manager", "captive portals", "Welcome, guest", "PortalBox"];
    assert_found(diagnosis.about("service", "Systems Manager"), "wrong", &parts);
    assert_found(diagnosis.check("clock"), "skipped", &["nobody has told the time"]);
}

#[test]
fn a_service_that_is_not_there_is_told_from_one_that_answers_badly() {
    let mut stage = Stage::set();
    stage.register();
    stage.drop_service();
    let diagnosis = doctor(&stage);
    let parts = ["no connection to 127.0.0.1:", "refused"];
    assert_found(diagnosis.about("service", "Systems Manager"), "wrong", &parts);
}

#[test]
fn a_clock_that_is_off_is_told_with_direction_and_amount() {
    let stage = Stage::set();
    stage.register();
    for (offset, verdict, parts) in [
        (70, "warning", ["is 1m", "behind the service's; from 5 min on"]),
        (7 * 60, "wrong", ["behind the service's", "S3 follows at 15 min"]),
        (3600, "wrong", ["behind the service's", "S3 as well"]),
        (-3600, "wrong", ["ahead of the service's", "S3 as well"]),
    ] {
        let offset = time::Duration::seconds(offset);
        stage.lab.with_service(|service| service.clock = LabClock::skewed(offset));
        let diagnosis = doctor(&stage);
        assert_found(diagnosis.check("clock"), verdict, &parts);
        let exit = if verdict == "warning" { Exit::TryAgain } else { Exit::Configuration };
        assert_eq!(diagnosis.status, exit as i32);
    }
}

#[test]
fn a_damaged_record_and_one_that_others_may_read_are_each_named() {
    let stage = Stage::set();
    stage.register();
    let key = stage.record("RegistrationKey");
    let text = fs::read_to_string(&key).unwrap();
    fs::write(&key, &text[..text.len() / 2]).unwrap();
    let fingerprint = stage.record("InstanceFingerprint");
    allow(&fingerprint, 0o644);
    fs::write(stage.record("RegistrationKey.replaced-20261122T000052Z"), "").unwrap();
    allow(&stage.record("RegistrationKey.replaced-20261122T000052Z"), 0o600);
    let output = stage.run(&["doctor", "--json"]);
    let diagnosis = Diagnosis::of(&output);
    let parts = ["the record is damaged", "restore", "kept aside: "];
    let both = diagnosis.all("vault");
    let of = |path: &std::path::Path| {
        let subject = path.display().to_string();
        *both.iter().find(|check| check["subject"] == subject.as_str()).unwrap()
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("kept aside: "), "{text}");
    assert_found(of(&key), "wrong", &parts[..2]);
    assert_found(of(&fingerprint), "wrong", &["mode 0644 lets other users in", "chmod 600 "]);
    assert!(!text.contains("privateKey") && !text.contains("MII"), "{text}");
    assert_eq!(stage::mode(&fingerprint), 0o644, "nothing was changed");
}
