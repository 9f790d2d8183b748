//! What the log says at each level, and what it never says: the real `rolekeeper` against the lab.

#[allow(dead_code, reason = "each file of tests plays with a part of it")]
mod stage;

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Output};

use nix::sys::signal::Signal;
use rolekeeper::host::entropy::SystemEntropy;
use rolekeeper::lab::definitions::Definitions;
use rolekeeper::lab::service::Service;
use serde_json::Value;

use stage::{Daemon, NOBODY, Stage, value, wait_for};

/// A role that the registered one may assume.
const ROLES: &str = r#"
[[role]]
name = "Rehearsal"
trust_policy = '''{"Statement": {"Effect": "Allow", "Action": "sts:AssumeRole",
    "Principal": {"Service": "ssm.amazonaws.com"}}}'''
policy = '''{"Statement": {"Effect": "Allow", "Action": "sts:*", "Resource": "*"}}'''

[[role]]
name = "Backup"
trust_policy = '''{"Statement": {"Effect": "Allow", "Action": "sts:*",
    "Principal": {"AWS": "arn:aws:iam::000000000000:role/Rehearsal"}}}'''
"#;

/// Log lines and all else that was said, and what must not be in them.
#[derive(Default)]
struct Heard {
    said: String,
    secrets: BTreeSet<String>,
}

impl Heard {
    fn hear(&mut self, output: &Output) {
        self.said.push_str(&String::from_utf8_lossy(&output.stderr));
    }

    /// The secrets of a credentials file.
    fn keep_from(&mut self, file: &str) {
        for key in ["aws_secret_access_key", "aws_session_token"] {
            self.secrets.insert(value(file, key));
        }
    }
}

#[test]
fn the_whole_log_has_each_request_and_each_decision_and_no_secret() {
    let stage = Stage::set();
    let apply = |service: &mut Service| {
        Definitions::from_toml(ROLES).unwrap().apply(service, &SystemEntropy)
    };
    stage.lab.with_service(apply).unwrap();
    let (backup, token_file) = (stage.path("backup"), stage.path("web.token"));
    let role = "role_arn = \"arn:aws:iam::000000000000:role/Backup\"";
    stage.settings(&format!(
        "{}[endpoint.container]\nlisten = \"127.0.0.1:0\"\n[[consumer]]\nname = \"web\"\n\
         users = [\"{NOBODY}\"]\n\
         token_file = \"{}\"\n",
        stage.target("backup", &backup, role),
        token_file.display()
    ));
    let mut heard = Heard::default();
    let loud = |words: &[&str]| {
        let mut command = stage.command(words);
        command.arg("-vv");
        command
    };

    let activation = stage.activation();
    heard.secrets.insert(activation.code.clone());
    let mut register = stage.registration(&activation);
    heard.hear(&register.arg("-vv").output().unwrap());
    assert!(heard.said.contains("request RegisterManagedInstance"), "{}", heard.said);
    let mut daemon = Daemon::start(loud(&["run"]));
    stage.status_when("both roles", |status| {
        status["state"] == "fresh" && status["targets"][1]["credentials"].is_object()
    });
    let note = |heard: &mut Heard| {
        heard.keep_from(&fs::read_to_string(stage.credentials()).unwrap());
        heard.keep_from(&fs::read_to_string(&backup).unwrap());
        let token = wait_for("a consumer's token", || {
            fs::read_to_string(&token_file).map_err(|error| error.to_string())
        });
        heard.secrets.insert(token.trim().to_owned());
        let record = fs::read_to_string(stage.record("RegistrationKey")).unwrap();
        let record: Value = serde_json::from_str(&record).unwrap();
        let key = record["privateKey"].as_str().expect("a private key").to_owned();
        heard.secrets.insert(key);
    };
    note(&mut heard);
    heard.hear(&loud(&["refresh"]).output().unwrap());
    heard.hear(&loud(&["rotate-key"]).output().unwrap());
    note(&mut heard);
    for words in [&["export"][..], &["credential-process"], &["status"], &["doctor"]] {
        heard.hear(&loud(words).output().unwrap());
    }
    let mut exec = stage.command(&["-vv", "exec", "--container-endpoint", "--"]);
    let output = exec.args(["sh", "-c", "echo $AWS_CONTAINER_AUTHORIZATION_TOKEN"]).output();
    let output = output.unwrap();
    heard.secrets.insert(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    heard.hear(&output);
    daemon.signal(Signal::SIGHUP);
    daemon.logged("settings reloaded");
    assert!(daemon.stop().success());

    let log = daemon.log();
    let host = stage.lab.endpoint_url().split_once("//").unwrap().1.to_owned();
    for operation in ["RequestManagedInstanceRoleToken", "AssumeRole"] {
        let request = format!("request {operation}");
        let is_answered = |line: &&str| line.contains(&request) && line.contains("status=200");
        let line = log.lines().find(is_answered);
        let line = line.unwrap_or_else(|| panic!("no {operation}: {log}"));
        let host = format!("host={host:?}");
        for part in ["DEBUG", &host, "attempt=", "request_id=", "duration_ms="] {
            assert!(line.contains(part), "{part}: {line}");
        }
    }
    for decision in [
        "token: publish name=\"registered role\"",
        "credentials to assume with: assume name=\"backup\"",
        "the rule allows it: ",
    ] {
        assert!(log.contains(decision), "{decision}: {log}");
    }
    heard.said.push_str(&log);
    assert!(heard.secrets.len() >= 10, "{}", heard.secrets.len());
    for secret in &heard.secrets {
        assert!(secret.len() > 15, "that is none: {secret}");
        // Not even a part of one that would do.
        for part in [&secret[..16], &secret[secret.len() - 16..]] {
            assert!(!heard.said.contains(part), "{part} is in the log");
        }
    }
}

#[test]
fn a_reload_takes_the_level_and_the_command_line_beats_it() {
    let stage = Stage::set();
    let (_, daemon) = stage.start_registered();
    let reloaded = |daemon: &Daemon, level: &str| {
        let count = || daemon.log().matches("settings reloaded").count();
        let before = count();
        stage.settings(&format!("[log]\nlevel = \"{level}\"\n"));
        stage.succeed(&["reload"]);
        // Whatever was logged before that has come by then.
        wait_for("a reload", || if count() > before { Ok(()) } else { Err(daemon.log()) });
    };
    let requests =
        |daemon: &Daemon| daemon.log().matches("request RequestManagedInstanceRoleToken").count();
    let shown = stage.succeed(&["config", "show"]);
    assert!(shown.contains("[log]\nlevel = \"info\""), "{shown}");
    reloaded(&daemon, "info");
    assert!(!daemon.log().contains("DEBUG"), "{}", daemon.log());
    reloaded(&daemon, "debug");
    stage.succeed(&["refresh"]);
    daemon.logged("request RequestManagedInstanceRoleToken");
    reloaded(&daemon, "info");
    let before = requests(&daemon);
    stage.succeed(&["refresh"]);
    reloaded(&daemon, "info");
    assert_eq!(requests(&daemon), before, "{}", daemon.log());

    drop(daemon);
    let daemon = Daemon::start(stage.command(&["-v", "run"]));
    stage.status_when("fresh credentials", |status| status["state"] == "fresh");
    reloaded(&daemon, "error");
    let before = requests(&daemon);
    stage.succeed(&["refresh"]);
    wait_for("a request", || if requests(&daemon) > before { Ok(()) } else { Err(daemon.log()) });
}

#[test]
fn a_proxy_that_refuses_is_named_without_its_password() {
    let stage = Stage::set();
    let (_, _daemon) = stage.start_registered();
    let proxy = "http://someone:hidden-word@127.0.0.1:9";
    let settings = |proxy: &str| {
        format!(
            "[service]\nendpoint_url = \"http://ssm.example\"\ntimeout = \"1s\"\n{proxy}\
             [health]\nenabled = false\n"
        )
    };
    let expected = "(through the proxy http://127.0.0.1:9)";
    fs::write(stage.path("rolekeeper.toml"), settings(&format!("proxy = \"{proxy}\"\n"))).unwrap();
    stage.run(&["reload"]);
    let status =
        stage.status_when("a failure", |status| status["failure"]["class"] == "unreachable");
    let message = status["failure"]["message"].as_str().unwrap();
    assert!(message.ends_with(expected), "{message}");
    let page = stage.status_page();
    assert!(page.contains(expected) && !page.contains("hidden-word"), "{page}");

    // The environment's, in the answer of a command.
    fs::write(stage.path("rolekeeper.toml"), settings("")).unwrap();
    let other = Stage::set();
    fs::write(other.path("rolekeeper.toml"), settings("")).unwrap();
    let mut register: Command = other.registration(&other.activation());
    let output = register.env("HTTP_PROXY", proxy).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(expected) && !said.contains("hidden-word"), "{said}");
}
