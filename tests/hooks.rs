//! Services that are told of new credentials: the real `rolekeeper` against the lab, and a program in
//! systemctl's place that writes down what it is asked.

#[allow(dead_code, reason = "each file of tests plays with a part of it")]
mod stage;

use std::fs;
use std::io::Write;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rolekeeper::host::entropy::SystemEntropy;
use rolekeeper::lab::definitions::Definitions;
use rolekeeper::lab::service::Service;
use rolekeeper::pure::advice::Exit;
use serde_json::Value;

use stage::{Stage, allow, wait_for};

/// A pace at which nobody has to wait.
const AT_ONCE: &str = "min_interval = \"1s\", jitter = \"0s\"";

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

/// Each run is a line of `asked`, but for those that look: they get what `state-UNIT` holds. One for a unit
/// whose name stands in a file's is refused by `refuse-UNIT`, which holds what is printed, and waits for a
/// pipe `hold-UNIT`.
const SYSTEMCTL: &str = r#"#!/bin/sh
HERE=${0%/*}
for UNIT; do :; done
if [ "$3" = show ]; then
    [ ! -e "$HERE/state-$UNIT" ] || while read -r line; do echo "$line"; done < "$HERE/state-$UNIT"
    exit 0
fi
echo "$*" >> "$HERE/asked"
echo $$ > "$HERE/pid-$UNIT"
[ ! -p "$HERE/hold-$UNIT" ] || read -r released < "$HERE/hold-$UNIT"
[ ! -e "$HERE/refuse-$UNIT" ] || { while read -r line; do echo "$line" >&2; done < "$HERE/refuse-$UNIT"; exit 1; }
"#;

/// The other service's targets and files, on a stage.
struct Told(Stage);

impl Told {
    fn set() -> Self {
        let stage = Stage::set();
        let apply = |service: &mut Service| {
            Definitions::from_toml(ROLES).unwrap().apply(service, &SystemEntropy)
        };
        stage.lab.with_service(apply).unwrap();
        for directory in ["targets", "bin"] {
            fs::create_dir(stage.path(directory)).unwrap();
        }
        fs::write(stage.path("bin/text"), SYSTEMCTL).unwrap();
        allow(&stage.path("bin/text"), 0o755);
        // By a process of its own: what another thread starts meanwhile would inherit the file that is
        // being written, and keep it from being run.
        let mut copy = Command::new("cp");
        let copied = copy.arg(stage.path("bin/text")).arg(stage.path("bin/systemctl")).status();
        assert!(copied.unwrap().success());
        Self(stage)
    }

    /// A `[[target]]` whose service is told.
    fn target(&self, name: &str, reload: &str, more: &str) -> String {
        let path = self.0.path("targets").join(name);
        self.0.target(name, &path, &format!("reload = {{ {reload} }}\n{more}"))
    }

    fn settings(&self, targets: &str) {
        let program = self.0.path("bin/systemctl");
        self.0.settings(&format!("{targets}[reload]\nsystemctl = \"{}\"\n", program.display()));
    }

    /// What systemctl was asked so far, line by line.
    fn asked(&self) -> Vec<String> {
        let asked = fs::read_to_string(self.0.path("bin/asked")).unwrap_or_default();
        asked.lines().map(str::to_owned).collect()
    }

    fn asked_when(&self, what: &str, is: impl Fn(&[String]) -> bool) -> Vec<String> {
        wait_for(what, || {
            let asked = self.asked();
            if is(&asked) { Ok(asked) } else { Err(asked.join("\n")) }
        })
    }

    /// From now on systemctl waits for [`Told::release`] with this unit.
    fn hold(&self, unit: &str) {
        let pipe = self.0.path("bin").join(format!("hold-{unit}"));
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    }

    fn release(&self, unit: &str) {
        let pipe = self.0.path("bin").join(format!("hold-{unit}"));
        // Opens once there is somebody to hear it. The next one is to find no pipe.
        let mut released = fs::OpenOptions::new().write(true).open(&pipe).unwrap();
        fs::remove_file(&pipe).unwrap();
        released.write_all(b"go\n").unwrap();
    }

    fn refuse(&self, unit: &str, words: &str) {
        fs::write(self.0.path("bin").join(format!("refuse-{unit}")), words).unwrap();
    }

    /// What systemd says of this unit from now on.
    fn state(&self, unit: &str, lines: &str) {
        let state = self.0.path("bin").join(format!("state-{unit}"));
        // At no moment half of it.
        let part = state.with_extension("part");
        fs::write(&part, lines).unwrap();
        fs::rename(part, state).unwrap();
    }

    fn accept(&self, unit: &str) {
        fs::remove_file(self.0.path("bin").join(format!("refuse-{unit}"))).unwrap();
    }
}

/// What is shown of a target's service.
fn shown<'a>(status: &'a Value, target: &str) -> &'a Value {
    let targets = status["targets"].as_array().map(Vec::as_slice).unwrap_or_default();
    targets.iter().find(|shown| shown["name"] == target).map_or(&Value::Null, |it| &it["reload"])
}

const RELOAD: &str = "--no-ask-password --no-pager try-reload-or-restart --no-block --";

#[test]
fn a_renewal_reloads_one_service_and_signals_another() {
    let told = Told::set();
    let one = told.target("one", &format!("unit = \"one.service\", {AT_ONCE}"), "");
    let reload = format!("unit = \"two@2.service\", signal = \"SIGUSR1\", {AT_ONCE}");
    told.settings(&(one + &told.target("two", &reload, "")));
    let (_, daemon) = told.0.start_registered();
    let mut asked = told.asked_when("two runs", |asked| asked.len() == 2);
    asked.sort();
    let signal = "--no-ask-password --no-pager kill --kill-whom=main --signal=SIGUSR1 --";
    assert_eq!(asked, [format!("{signal} two@2.service"), format!("{RELOAD} one.service")]);
    daemon.logged("told of new credentials: reloaded");
    daemon.logged("told of new credentials: signalled");

    // Others than before, so they are told once more.
    told.0.succeed(&["refresh"]);
    told.asked_when("two runs more", |asked| asked.len() == 4);
    let status = told.0.status_when("both told", |status| {
        let done = |target: &str| shown(status, target)["next_run_at"].is_null();
        done("one") && done("two") && shown(status, "two")["last_outcome"] == "signalled"
    });
    assert_eq!(shown(&status, "one")["unit"], "one.service");
    assert_eq!(shown(&status, "one")["last_outcome"], "reloaded");
    assert!(shown(&status, "one")["last_run_at"].is_string());
    assert_eq!(shown(&status, "two")["signal"], "SIGUSR1");
    let page = told.0.status_page();
    assert!(page.contains("  tells      one.service, reloaded 20"), "{page}");
    assert!(page.contains("  tells      two@2.service by SIGUSR1, signalled 20"), "{page}");
}

#[test]
fn targets_of_either_kind_share_a_service_which_is_told_once() {
    let told = Told::set();
    let reload = format!("unit = \"shared.service\", {AT_ONCE}");
    let role = "role_arn = \"arn:aws:iam::000000000000:role/Backup\"";
    let own = told.target("own", &reload, role);
    told.settings(&(told.target("registered", &reload, "") + &own));
    told.hold("shared.service");
    let (_, _daemon) = told.0.start_registered();
    told.asked_when("a first run", |asked| asked.len() == 1);
    told.0.status_when("the role's credentials", |status| {
        status["targets"][2]["credentials"].is_object()
    });
    // Both have new credentials, twice, while the first run is under way.
    told.0.succeed(&["refresh"]);
    told.0.succeed(&["refresh"]);
    told.release("shared.service");
    let asked = told.asked_when("a second run", |asked| asked.len() > 1);
    assert_eq!(asked, vec![format!("{RELOAD} shared.service"); 2]);
    let status = told.0.status_when("nothing left to tell", |status| {
        let reload = shown(status, "own");
        reload["last_outcome"] == "reloaded" && reload["next_run_at"].is_null()
    });
    assert_eq!(shown(&status, "own"), shown(&status, "registered"));
}

#[test]
fn a_role_of_its_own_tells_its_own_service() {
    let told = Told::set();
    let role = "role_arn = \"arn:aws:iam::000000000000:role/Backup\"";
    let own = told.target("own", &format!("unit = \"own.service\", {AT_ONCE}"), role);
    told.settings(&(own + &told.0.target("plain", &told.0.path("targets/plain"), "")));
    let (_, _daemon) = told.0.start_registered();
    let asked = told.asked_when("a run", |asked| !asked.is_empty());
    assert_eq!(asked, [format!("{RELOAD} own.service")]);
    let status =
        told.0.status_when("it told", |status| shown(status, "own")["last_outcome"] == "reloaded");
    assert!(shown(&status, "plain").is_null());
}

#[test]
fn a_refusal_shows_with_its_remedy_and_is_tried_again_when_settings_are_read_again() {
    let told = Told::set();
    told.settings(&told.target("one", &format!("unit = \"one.service\", {AT_ONCE}"), ""));
    told.refuse(
        "one.service",
        "Failed to reload-or-try-restart one.service: Interactive authentication required.\n\
         See system logs and 'systemctl status one.service' for details.\x1b[2J\n",
    );
    let (_, daemon) = told.0.start_registered();
    let status =
        told.0.status_when("a failure", |status| !shown(status, "one")["failure"].is_null());
    let reload = shown(&status, "one");
    assert_eq!(reload["last_outcome"], "failed");
    assert_eq!(reload["failure"]["class"], "denied");
    assert_eq!(reload["failure"]["attempts"], 1);
    assert!(reload["failure"]["next_try_at"].is_string());
    let remedy = reload["failure"]["remedy"].as_str().unwrap();
    assert!(remedy.contains("'reload-or-try-restart' of one.service"), "{remedy}");
    let logged = daemon.logged("See system logs");
    assert!(logged.contains("details.\\u{1b}[2J"), "{logged}");
    let page = told.0.status_page();
    assert!(page.contains("  failure    denied: one.service was not reloaded:"), "{page}");
    assert!(page.contains("written 20"), "the credentials are delivered all the same: {page}");
    assert_eq!(told.0.status()["state"], "fresh");

    told.accept("one.service");
    daemon.signal(Signal::SIGHUP);
    told.0.status_when("no failure", |status| {
        let reload = shown(status, "one");
        reload["last_outcome"] == "reloaded" && reload["failure"].is_null()
    });
}

#[test]
fn a_service_that_takes_long_to_restart_is_restarted_once() {
    let mut told = Told::set();
    told.settings(&told.target("one", &format!("unit = \"one.service\", {AT_ONCE}"), ""));
    told.state("one.service", "LoadState=loaded\nActiveState=deactivating\nJob=7\n");
    let (_, mut daemon) = told.0.start_registered();
    told.0.status_when("a job", |status| shown(status, "one")["last_outcome"] == "reloading");
    let page = told.0.status_page();
    assert!(page.contains("  tells      one.service, reloading 20"), "{page}");
    // The next daemon does not tell it again, though it still restarts.
    assert!(daemon.stop().success());
    told.0.drop_service();
    let daemon = told.0.start();
    daemon.logged("class=");
    assert!(shown(&told.0.status(), "one")["next_run_at"].is_null());
    assert_eq!(told.asked(), [format!("{RELOAD} one.service")]);
}

#[test]
fn what_comes_while_a_service_restarts_is_told_after_it() {
    let told = Told::set();
    told.settings(&told.target("one", &format!("unit = \"one.service\", {AT_ONCE}"), ""));
    told.state("one.service", "LoadState=loaded\nActiveState=deactivating\nJob=7\n");
    let (_, daemon) = told.0.start_registered();
    told.0.status_when("a job", |status| shown(status, "one")["last_outcome"] == "reloading");
    told.0.succeed(&["refresh"]);
    told.0.succeed(&["refresh"]);
    assert_eq!(told.asked().len(), 1, "one at a time");
    told.state("one.service", "LoadState=loaded\nActiveState=active\nResult=success\n");
    told.asked_when("another run", |asked| asked.len() == 2);
    told.0.status_when("all told", |status| {
        let reload = shown(status, "one");
        reload["last_outcome"] == "reloaded" && reload["next_run_at"].is_null()
    });
    daemon.logged("told of new credentials: reloaded");
    assert_eq!(told.asked().len(), 2);
}

#[test]
fn a_job_that_fails_shows_as_a_failure() {
    let told = Told::set();
    told.settings(&told.target("one", &format!("unit = \"one.service\", {AT_ONCE}"), ""));
    told.state("one.service", "LoadState=loaded\nActiveState=activating\nJob=7\n");
    let (_, _daemon) = told.0.start_registered();
    told.0.status_when("a job", |status| shown(status, "one")["last_outcome"] == "reloading");
    told.state("one.service", "LoadState=loaded\nActiveState=failed\nResult=exit-code\n");
    let status =
        told.0.status_when("a failure", |status| !shown(status, "one")["failure"].is_null());
    let reload = shown(&status, "one");
    assert_eq!(reload["last_outcome"], "failed");
    assert!(reload["failure"]["next_try_at"].is_string());
    let message = reload["failure"]["message"].as_str().unwrap();
    let expected = "one.service was not reloaded: its job ended with ActiveState=failed, \
                    Result=exit-code";
    assert_eq!(message, expected);
    let remedy = reload["failure"]["remedy"].as_str().unwrap();
    assert!(remedy.contains("systemctl status one.service"), "{remedy}");
}

#[test]
fn a_service_that_hangs_keeps_nobody_else_waiting_and_goes_with_the_daemon() {
    let told = Told::set();
    let hangs = told.target("hangs", &format!("unit = \"hangs.service\", {AT_ONCE}"), "");
    told.settings(
        &(hangs + &told.target("runs", &format!("unit = \"runs.service\", {AT_ONCE}"), "")),
    );
    told.hold("hangs.service");
    let (_, mut daemon) = told.0.start_registered();
    told.asked_when("both", |asked| asked.len() == 2);
    for _ in 0..2 {
        let before = told.asked().len();
        told.0.succeed(&["refresh"]);
        let asked = told.asked_when("the other one again", |asked| asked.len() > before);
        assert_eq!(asked.last().unwrap(), &format!("{RELOAD} runs.service"));
    }
    let hangs = |asked: &[String]| asked.iter().filter(|line| line.contains("hangs")).count();
    assert_eq!(hangs(&told.asked()), 1);

    let pid = fs::read_to_string(told.0.path("bin/pid-hangs.service")).unwrap();
    let pid = Pid::from_raw(pid.trim().parse().unwrap());
    assert!(kill(pid, None).is_ok());
    assert!(daemon.stop().success());
    wait_for("the end of what hangs", || {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // Nobody may be there to reap it.
        if stat.is_empty() || stat.contains(") Z ") { Ok(()) } else { Err(stat) }
    });
}

#[test]
fn what_a_restart_interrupted_is_told_by_the_next_run() {
    let mut told = Told::set();
    told.settings(&told.target("one", &format!("unit = \"one.service\", {AT_ONCE}"), ""));
    told.hold("one.service");
    let (_, mut daemon) = told.0.start_registered();
    told.asked_when("a run", |asked| asked.len() == 1);
    assert!(daemon.stop().success());
    fs::remove_file(told.0.path("bin/hold-one.service")).unwrap();
    let before = fs::read(told.0.path("targets/one")).unwrap();
    told.0.drop_service();
    let daemon = told.0.start();
    told.asked_when("another run", |asked| asked.len() == 2);
    let status =
        told.0.status_when("it told", |status| shown(status, "one")["last_outcome"] == "reloaded");
    assert!(shown(&status, "one")["next_run_at"].is_null());
    assert_eq!(fs::read(told.0.path("targets/one")).unwrap(), before, "nothing new came");

    // And what was told is not told again.
    drop(daemon);
    let daemon = told.0.start();
    daemon.logged("class=");
    let status = told.0.status();
    assert!(shown(&status, "one")["last_outcome"].is_null(), "{status}");
    assert!(shown(&status, "one")["next_run_at"].is_null(), "{status}");
    assert_eq!(told.asked().len(), 2);
}

#[test]
fn a_service_that_the_settings_name_no_more_is_not_told() {
    let told = Told::set();
    told.settings(&told.target("one", &format!("unit = \"one.service\", {AT_ONCE}"), ""));
    let (_, daemon) = told.0.start_registered();
    told.asked_when("a run", |asked| asked.len() == 1);
    told.settings(&told.target("one", &format!("unit = \"two.service\", {AT_ONCE}"), ""));
    daemon.signal(Signal::SIGHUP);
    let asked = told.asked_when("the other unit", |asked| {
        asked.last().is_some_and(|line| line.contains("two.service"))
    });
    let last_of_one = asked.iter().rposition(|line| line.contains("one.service"));
    told.0.succeed(&["refresh"]);
    let asked = told.asked_when("another run", |now| now.len() > asked.len());
    assert_eq!(asked.iter().rposition(|line| line.contains("one.service")), last_of_one);
}

#[test]
fn settings_that_name_no_service_are_refused() {
    let told = Told::set();
    told.settings(&told.target("one", "unit = \"legacy\"", ""));
    let (message, _) = told.0.refused(&["config", "check"], Exit::Configuration);
    assert!(message.contains("expected a service's whole name"), "{message}");
    assert!(message.contains("rolekeeper.toml:9:19:"), "{message}");
}
