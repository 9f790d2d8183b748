//! The real `rolekeeper` against a lab: from registration to deregistration, and what happens to a
//! daemon in between.

#[allow(dead_code, reason = "each file of tests plays with a part of it")]
mod stage;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;
use rolekeeper::lab::faults::{Effect, Fault};
use rolekeeper::lab::ledger::Outcome;
use rolekeeper::lab::operation::Operation::{
    self, DeregisterManagedInstance, RegisterManagedInstance, RequestManagedInstanceRoleToken,
    UpdateInstanceInformation, UpdateManagedInstancePublicKey,
};
use rolekeeper::pure::advice::Exit;
use serde_json::{Value, json};

use stage::{Daemon, Stage, allow, is_root, mode, moment, printed, refusal, value, wait_for};

const FOREIGN: &str = "# the operator's\n[other]\nregion = x\n";

fn fails(status: u16) -> Fault {
    Fault::always(Effect::Status { status, code: None }).on(RequestManagedInstanceRoleToken)
}

fn denies(code: &str) -> Fault {
    let effect = Effect::Status { status: 400, code: Some(code.to_owned()) };
    Fault::always(effect).on(RequestManagedInstanceRoleToken)
}

#[test]
fn a_registered_machine_gets_credentials_and_shows_how_it_is() {
    let stage = Stage::set();
    let (id, _daemon) = stage.start_registered();
    let credentials = fs::read_to_string(stage.credentials()).unwrap();
    assert_eq!(mode(&stage.credentials()), 0o640);
    let access_key_id = value(&credentials, "aws_access_key_id");

    let text = stage.succeed(&["status", "--json"]);
    let status: Value = serde_json::from_str(&text).unwrap();
    let shown = &status["credentials"];
    let [issued, next, expires] = ["issued_at", "next_refresh_at", "expires_at"].map(|name| {
        assert!(shown[name].as_str().unwrap().ends_with('Z'));
        moment(&shown[name])
    });
    assert!(issued < next && next < expires, "{status}");
    assert_eq!((expires - issued).whole_minutes(), 60);
    assert!((27..=30).contains(&(next - issued).whole_minutes()), "{status}");
    let expected = json!({
        "state": "fresh",
        "instance_id": id.as_str(),
        "region": stage::REGION,
        "version": env!("CARGO_PKG_VERSION"),
        "source": "hybrid",
        "role": null,
        "credentials": {
            "access_key_id_suffix": &access_key_id[access_key_id.len() - 4..],
            "issued_at": shown["issued_at"],
            "expires_at": shown["expires_at"],
            "next_refresh_at": shown["next_refresh_at"],
        },
        "fingerprint": {"verdict": "similar", "score": 100, "threshold": 40, "changed": [],
                        "unreadable": []},
        "targets": [{
            "name": "default",
            "path": stage.credentials(),
            "profile": "default",
            "written_at": shown["issued_at"],
            "withdrawn": false,
            "held_until": null,
            "error": null,
            "remedy": null,
            "warnings": [],
            "role_arn": null,
            "reload": null,
            "credentials": shown,
            "failure": null,
            "reload": null,
        }],
        "consumers": [],
        "endpoints": [],
        "health": null,
        "disabled": [],
        "settings": null,
        "failure": null,
        "warnings": [],
    });
    // A second may have passed between the answer and the writing.
    let mut written = status.clone();
    written["targets"][0]["written_at"] = shown["issued_at"].clone();
    assert_eq!(written, expected);
    assert!(moment(&status["targets"][0]["written_at"]) >= issued);
    for secret in ["aws_secret_access_key", "aws_session_token"] {
        assert!(!text.contains(&value(&credentials, secret)));
    }

    let page = stage.succeed(&["status"]);
    assert!(page.starts_with("state        fresh\n") && page.contains(id.as_str()), "{page}");
}

#[test]
fn refresh_replaces_the_credentials_and_waits_for_the_outcome() {
    let stage = Stage::set();
    let (_, _daemon) = stage.start_registered();
    let before = fs::read_to_string(stage.credentials()).unwrap();
    let said = stage.succeed(&["refresh"]);
    assert!(said.starts_with("credentials renewed, good until 20"), "{said}");
    let after = fs::read_to_string(stage.credentials()).unwrap();
    assert_ne!(value(&before, "aws_access_key_id"), value(&after, "aws_access_key_id"));
    assert_eq!(stage.requests(RequestManagedInstanceRoleToken), 2);
}

#[test]
fn the_key_is_replaced_with_a_daemon_and_without_one() {
    let stage = Stage::set();
    let (id, mut daemon) = stage.start_registered();
    let key = || fs::read_to_string(stage.record("RegistrationKey")).unwrap();
    let changes = || stage.lab.with_service(|s| s.nodes.get(&id).unwrap().unwrap().key_changes);
    let first = key();
    assert_eq!(stage.succeed(&["rotate-key"]), "the RSA key was replaced\n");
    let second = key();
    assert_eq!(daemon.stop().code(), Some(0));
    assert_eq!(stage.succeed(&["rotate-key"]), "the RSA key was replaced\n");
    assert!(first != second && second != key() && changes() == 2);
    assert!(!stage.record("StagedKey").exists());
    let _daemon = stage.start();
    stage.status_when("credentials by the new key", |status| status["state"] == "fresh");
}

#[test]
fn the_service_may_ask_for_a_new_key() {
    let stage = Stage::set();
    let (id, daemon) = stage.start_registered();
    assert!(stage.lab.with_service(|service| service.nodes.ask_for_new_key(&id)).unwrap());
    stage.succeed(&["refresh"]);
    daemon.logged("the RSA key was replaced");
    assert_eq!(stage.requests(UpdateManagedInstancePublicKey), 1);
    stage.succeed(&["refresh"]);
    assert_eq!(stage.requests(UpdateManagedInstancePublicKey), 1);
    let refused = Outcome::Refused("InvalidSignatureException".into());
    let count = |outcome| {
        stage.lab.with_service(|s| s.ledger.count(RequestManagedInstanceRoleToken, outcome))
    };
    // The first, the wish, the proof, and the one by the new key.
    assert_eq!((count(&Outcome::Done), count(&refused)), (4, 0));
}

#[test]
fn credentials_are_exported_in_six_formats() {
    let stage = Stage::set();
    let (_, _daemon) = stage.start_registered();
    let file = fs::read_to_string(stage.credentials()).unwrap();
    let end = moment(&stage.status()["credentials"]["expires_at"]);
    let end = rolekeeper::shelf::Moment(end).to_string();
    let [id, secret, token] = ["aws_access_key_id", "aws_secret_access_key", "aws_session_token"]
        .map(|key| value(&file, key));
    let region = stage::REGION.to_owned();
    let process: Value = serde_json::from_str(&stage.succeed(&["export"])).unwrap();
    assert_eq!(
        process,
        json!({
            "Version": 1, "AccessKeyId": id, "SecretAccessKey": secret, "SessionToken": token,
            "Expiration": end,
        })
    );
    for (format, before, between, after) in [
        ("env", "export ", "=", ""),
        ("env-no-export", "", "=", ""),
        ("powershell", "$Env:", "=\"", "\""),
        ("windows-cmd", "set ", "=", ""),
        ("fish", "set -gx ", " \"", "\""),
    ] {
        let expected = [
            ("AWS_ACCESS_KEY_ID", &id),
            ("AWS_SECRET_ACCESS_KEY", &secret),
            ("AWS_SESSION_TOKEN", &token),
            ("AWS_CREDENTIAL_EXPIRATION", &end),
            ("AWS_REGION", &region),
            ("AWS_DEFAULT_REGION", &region),
        ]
        .map(|(name, value)| format!("{before}{name}{between}{value}{after}\n"))
        .concat();
        assert_eq!(stage.succeed(&["export", "--format", format]), expected);
    }
    let (message, remedy) = stage.refused(&["export", "--target", "x"], Exit::Usage);
    assert_eq!(message, "there are no credentials named 'x'");
    assert_eq!(remedy, "--target default");
}

#[test]
fn a_fingerprint_is_shown_compared_and_judged_without_a_daemon() {
    let stage = Stage::set();
    let shown: Value =
        serde_json::from_str(&stage.succeed(&["fingerprint", "show", "--json"])).unwrap();
    assert_eq!((&shown["fingerprint"], &shown["verdict"]), (&Value::Null, &Value::Null));
    assert_eq!(shown["attributes"].as_object().unwrap().len(), 9);
    let (message, _) = stage.refused(&["fingerprint", "diff"], Exit::Configuration);
    assert!(message.contains("there is no such record"), "{message}");

    stage.register();
    assert!(stage.succeed(&["fingerprint", "show"]).contains("similar"));
    let said = stage.succeed(&["fingerprint", "set-threshold", "75"]);
    assert_eq!(said, "the similarity threshold is now 75 %\n");
    stage.pretend_other_hardware();
    let output = stage.run(&["fingerprint", "diff", "--json"]);
    let (message, remedy) = refusal(&output, Exit::Refused);
    assert_eq!(message, "this is not the machine that registered");
    assert!(remedy.starts_with("rolekeeper fingerprint accept"), "{remedy}");
    let diff: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&diff["verdict"], &diff["threshold"]), (&json!("different"), &json!(75)));
    assert_eq!(diff["attributes"]["machine-id"]["then"], "another machine");
    stage.refused(&["rotate-key"], Exit::Refused);

    stage.succeed(&["fingerprint", "accept"]);
    assert!(stage.succeed(&["fingerprint", "diff"]).contains("similar"));
    let (message, _) = stage.refused(&["fingerprint", "set-threshold", "0"], Exit::Usage);
    assert!(message.contains("'0'"), "{message}");
}

#[test]
fn another_machine_hibernates_until_the_operator_accepts_it() {
    let stage = Stage::set();
    let (_, mut daemon) = stage.start_registered();
    daemon.stop();
    stage.pretend_other_hardware();
    let registration = fs::read(stage.record("RegistrationKey")).unwrap();
    let daemon = stage.start();
    let status = stage.status_when("a refusal", |status| !status["failure"].is_null());
    assert_eq!((&status["state"], &status["credentials"]), (&json!("mismatch"), &Value::Null));
    assert_eq!(status["fingerprint"]["verdict"], "different");
    assert!(status["fingerprint"]["changed"].to_string().contains("machine-id"), "{status}");
    assert!(
        status["failure"]["message"].to_string().contains("MachineFingerprintDoesNotMatch"),
        "{status}"
    );
    assert!(!fs::read_to_string(stage.credentials()).unwrap().contains("aws_"));
    assert_eq!(fs::read(stage.record("RegistrationKey")).unwrap(), registration);
    assert!(stage.record("SubstituteFingerprint").exists());
    daemon.logged("credentials withdrawn");
    stage.refused(&["rotate-key"], Exit::Refused);
    stage.refused(&["refresh"], Exit::Refused);

    let said = stage.succeed(&["fingerprint", "accept"]);
    assert_eq!(said, "this machine's hardware is now the registered one\n");
    let status = stage.status();
    assert_eq!((&status["state"], &status["failure"]), (&json!("fresh"), &Value::Null));
    assert_eq!(stage.succeed(&["fingerprint", "set-threshold", "-1"]).lines().count(), 1);
    assert_eq!(stage.status()["fingerprint"]["verdict"], "disabled");
}

#[test]
fn a_reload_takes_over_a_changed_list_of_targets() {
    let stage = Stage::set();
    fs::create_dir(stage.path("targets")).unwrap();
    let [one, two, three] = ["one", "two", "three"].map(|name| stage.path("targets").join(name));
    let stays = stage.target("one", &one, "");
    fs::write(&two, FOREIGN).unwrap();
    stage.settings(&(stays.clone() + &stage.target("two", &two, "")));
    let (_, daemon) = stage.start_registered();
    assert!(fs::read_to_string(&two).unwrap().contains("aws_access_key_id"));

    // The service cannot help: what is held is delivered all the same.
    stage.fault(fails(500));
    stage.settings(&(stays + &stage.target("three", &three, "profile = \"app\"\nmode = \"0600\"")));
    daemon.signal(Signal::SIGHUP);
    let status = stage.status_when("the new target", |status| {
        status["targets"][2]["name"] == "three" && !status["failure"].is_null()
    });
    assert_eq!(status["state"], "stale");
    assert_eq!(status["targets"].as_array().unwrap().len(), 3);
    let credentials = fs::read_to_string(&three).unwrap();
    assert!(credentials.starts_with("[app]\n") && mode(&three) == 0o600);
    assert_eq!(
        value(&credentials, "aws_access_key_id"),
        value(&fs::read_to_string(&one).unwrap(), "aws_access_key_id")
    );
    assert_eq!(fs::read_to_string(&two).unwrap(), FOREIGN, "no target any more");

    // Settings that cannot be used change nothing.
    fs::write(stage.path("rolekeeper.toml"), "[servcie]\n").unwrap();
    daemon.signal(Signal::SIGHUP);
    let line = daemon.logged("the settings stay as they were");
    assert!(line.contains("rolekeeper.toml:1:2: unknown field `servcie`"), "{line}");
    stage.settings("");
    assert_eq!(stage.status()["targets"].as_array().unwrap().len(), 3);
}

#[test]
fn a_stop_is_prompt_and_leaves_the_file() {
    let stage = Stage::set();
    let (_, mut daemon) = stage.start_registered();
    let before = fs::read(stage.credentials()).unwrap();
    assert_eq!(daemon.stop().code(), Some(0));
    assert_eq!(fs::read(stage.credentials()).unwrap(), before);
    assert!(!stage.path("run/control.sock").exists());
    daemon.logged("stopping");
    let (_, remedy) = stage.refused(&["refresh"], Exit::Unavailable);
    assert!(remedy.starts_with("systemctl restart rolekeeper"), "{remedy}");
    let output = stage.run(&["status", "--json"]);
    refusal(&output, Exit::Unavailable);
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(status["failure"]["class"], "no-daemon");
    assert_eq!(status["state"], "stopped", "they are valid, and nobody renews them");
    assert_eq!(status["targets"][0]["path"], json!(stage.credentials()));
}

#[test]
fn a_stop_does_not_wait_for_a_service_that_hangs() {
    let stage = Stage::set();
    stage.register();
    stage.fault(Fault::always(Effect::Hang));
    let mut daemon = stage.start();
    wait_for("request", || {
        let requests = stage.requests(RequestManagedInstanceRoleToken);
        if requests > 0 { Ok(()) } else { Err(daemon.log()) }
    });
    assert_eq!(daemon.stop().code(), Some(0));
}

#[test]
fn a_machine_is_deregistered_by_an_administrator_or_by_its_own_role() {
    for by_administrator in [true, false] {
        let stage = Stage::set();
        let (id, mut daemon) = stage.start_registered();
        let (message, _) = stage.refused(&["deregister"], Exit::TryAgain);
        assert!(message.contains("is using the vault"), "{message}");
        daemon.stop();
        let mut command = stage.command(&["deregister"]);
        if by_administrator {
            let admin = stage.lab.admin();
            command.env("AWS_ACCESS_KEY_ID", &admin.access_key_id);
            command.env("AWS_SECRET_ACCESS_KEY", admin.secret_access_key.expose());
        }
        assert_eq!(printed(command.output().unwrap()), format!("{id} is deregistered\n"));
        assert!(stage.lab.with_service(|service| service.nodes.get(&id).unwrap().is_none()));
        assert_eq!(stage.requests(DeregisterManagedInstance), 1);
        assert_eq!(fs::read(stage.credentials()).unwrap(), b"");
        assert!(!stage.record("RegistrationKey").exists());
        let kept = stage.vault().into_iter().filter(|(name, _)| name.contains(".retired-"));
        assert_eq!(kept.count(), 2, "the registration and the fingerprint are kept aside");
        stage.refused(&["deregister"], Exit::Configuration);
    }
}

#[test]
fn a_deregistration_that_the_service_refuses_changes_nothing_here() {
    let stage = Stage::set();
    let (_, mut daemon) = stage.start_registered();
    daemon.stop();
    let before = (stage.vault(), fs::read(stage.credentials()).unwrap());
    let mut command = stage.command(&["deregister"]);
    command.env("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE").env("AWS_SECRET_ACCESS_KEY", "wrong");
    let (message, remedy) = refusal(&command.output().unwrap(), Exit::Refused);
    assert!(message.contains("UnrecognizedClientException"), "{message}");
    assert!(remedy.contains("administrator"), "{remedy}");
    assert_eq!((stage.vault(), fs::read(stage.credentials()).unwrap()), before);
}

#[test]
fn ensure_keeps_an_identity_and_force_replaces_it() {
    let stage = Stage::set();
    let first = stage.register();
    let before = stage.vault();
    let spare = stage.activation();
    let output = stage.registration(&spare).arg("--ensure").output().unwrap();
    assert_eq!(printed(output), format!("{first}\n"));
    let output = stage.registration(&spare).output().unwrap();
    let (message, remedy) = refusal(&output, Exit::CannotCreate);
    assert!(message.ends_with(first.as_str()) && remedy.contains("--force"), "{message}");
    assert_eq!((stage.requests(RegisterManagedInstance), stage.vault()), (1, before.clone()));

    let output = stage.registration(&spare).arg("--force").output().unwrap();
    let second = printed(output);
    assert_ne!(second.trim_end(), first.as_str());
    assert_eq!(stage.status()["instance_id"], second.trim_end());
    for (name, bytes) in before {
        let kept = format!("{name}.replaced-");
        let kept = stage.vault().into_iter().find(|(name, _)| name.starts_with(&kept));
        assert_eq!(kept.unwrap().1, bytes, "the old {name} is kept aside as it was");
    }
}

#[test]
fn an_unregistered_daemon_answers_and_a_registration_wakes_it() {
    let stage = Stage::set();
    let daemon = stage.start();
    daemon.logged("not registered");
    let status = stage.status();
    assert_eq!((&status["state"], &status["instance_id"]), (&json!("unregistered"), &Value::Null));
    let (message, remedy) = stage.refused(&["refresh"], Exit::Unavailable);
    assert_eq!(message, "this machine is not registered");
    assert!(remedy.starts_with("rolekeeper register"), "{remedy}");

    let output = stage.registration(&stage.activation()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let id = printed(output);
    assert!(said.contains("the daemon: credentials renewed, good until"), "{said}");
    let status = stage.status();
    assert_eq!(
        (&status["state"], &status["instance_id"]),
        (&json!("fresh"), &json!(id.trim_end()))
    );
    assert!(stage.credentials().exists());
}

#[test]
fn a_second_daemon_is_refused_by_name() {
    let stage = Stage::set();
    let (_, _daemon) = stage.start_registered();
    let run_in = |state: &str, runtime: &str| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_rolekeeper"));
        command.env_clear().arg("run").arg("--config").arg(stage.path("rolekeeper.toml"));
        command.arg("--state-dir").arg(stage.path(state));
        command.arg("--runtime-dir").arg(stage.path(runtime));
        command.output().unwrap()
    };
    let (message, remedy) = refusal(&run_in("state", "elsewhere"), Exit::TryAgain);
    let lock = stage.record("lock").display().to_string();
    assert!(message.starts_with(&format!("{lock}: process ")), "{message}");
    assert!(remedy.contains("rolekeeper status"), "{remedy}");
    let (message, remedy) = refusal(&run_in("elsewhere", "run"), Exit::TryAgain);
    let socket = stage.path("run/control.sock").display().to_string();
    assert_eq!(message, format!("{socket}: another daemon answers here"));
    assert!(remedy.contains("--runtime-dir"), "{remedy}");
    assert_eq!(stage.status()["state"], "fresh");
}

/// What systemd would be told.
struct ServiceManager(UnixDatagram);

impl ServiceManager {
    fn listen(stage: &Stage) -> Self {
        let socket = UnixDatagram::bind(stage.path("notify")).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        Self(socket)
    }

    /// The next message that has a line with this beginning.
    fn hears(&self, beginning: &str) -> String {
        wait_for(beginning, || {
            let mut buffer = [0; 4096];
            let length = self.0.recv(&mut buffer).unwrap();
            let heard = String::from_utf8(buffer[..length].to_vec()).unwrap();
            let said = heard.lines().any(|line| line.starts_with(beginning));
            if said { Ok(heard) } else { Err(heard) }
        })
    }
}

#[test]
fn the_service_manager_is_told() {
    let stage = Stage::set();
    stage.register();
    let manager = ServiceManager::listen(&stage);
    let mut command = stage.command(&["run"]);
    command.env("NOTIFY_SOCKET", stage.path("notify")).env("WATCHDOG_USEC", "200000");
    let mut daemon = Daemon::start(command);
    let ready = manager.hears("READY=1");
    assert!(stage.credentials().exists(), "ready comes after the credentials");
    assert!(ready.contains("STATUS=fresh: mi-") && ready.contains("credentials until"), "{ready}");
    // Twice: it is not a single cry.
    manager.hears("WATCHDOG=1");
    manager.hears("WATCHDOG=1");
    stage.fault(denies("AccessDeniedException"));
    stage.refused(&["refresh"], Exit::Refused);
    let line = manager.hears("STATUS=hibernating");
    assert!(line.contains("AccessDeniedException") && line.contains("next try"), "{line}");
    daemon.signal(Signal::SIGTERM);
    manager.hears("STOPPING=1");
    assert_eq!(daemon.ended().code(), Some(0));
}

#[test]
fn a_first_outcome_that_is_bad_is_an_outcome_too() {
    let stage = Stage::set();
    stage.register();
    stage.fault(fails(500));
    let manager = ServiceManager::listen(&stage);
    let mut command = stage.command(&["run"]);
    command.env("NOTIFY_SOCKET", stage.path("notify"));
    let _daemon = Daemon::start(command);
    let heard = manager.hears("READY=1");
    assert!(heard.contains("STATUS=expired: mi-") && heard.contains("next try"), "{heard}");
}

#[test]
fn an_outage_leaves_the_credentials_and_ends_by_itself() {
    let mut stage = Stage::set();
    // Renewed after 5 s, usable for 10: there is an outage to be seen in between.
    stage.lab.with_service(|service| service.token_lifetime = Duration::from_secs(10));
    let (_, _daemon) = stage.start_registered();
    stage.drop_service();
    let status = stage.status_when("an outage", |status| status["state"] == "stale");
    assert_eq!(status["failure"]["class"], "unreachable");
    let message = status["failure"]["message"].as_str().unwrap();
    assert!(message.starts_with("RequestManagedInstanceRoleToken at http://127.0.0.1:"));
    let during = fs::read_to_string(stage.credentials()).unwrap();
    assert!(during.contains("aws_access_key_id"), "{during}");
    stage.lab.with_service(|service| service.token_lifetime = Duration::from_secs(3600));
    stage.raise_service();
    let status = stage.status_when("recovery", |status| status["state"] == "fresh");
    assert_eq!(status["failure"], Value::Null);
    assert_ne!(fs::read_to_string(stage.credentials()).unwrap(), during);
}

#[test]
fn credentials_of_an_earlier_run_stay_while_they_are_valid() {
    let stage = Stage::set();
    let (_, mut daemon) = stage.start_registered();
    let before = fs::read(stage.credentials()).unwrap();
    daemon.stop();
    stage.fault(fails(500));
    let _daemon = stage.start();
    let status = stage.status_when("a failure", |status| !status["failure"].is_null());
    assert_eq!(
        (&status["state"], &status["failure"]["class"]),
        (&json!("stale"), &json!("service-fault"))
    );
    assert_eq!(fs::read(stage.credentials()).unwrap(), before);
}

/// A stage whose daemon has had credentials, and is to start again while the service is out.
fn stopped_in_an_outage() -> Stage {
    let stage = Stage::set();
    let (_, mut daemon) = stage.start_registered();
    assert_eq!(daemon.stop().code(), Some(0));
    assert_eq!(mode(&stage.path(HELD)), 0o600);
    stage.fault(fails(500));
    stage
}

/// What a run leaves to the next one.
const HELD: &str = "run/role-token";

#[test]
fn a_restart_in_an_outage_takes_nothing_from_the_programs_that_ask() {
    let stage = stopped_in_an_outage();
    let daemon = stage.start();
    let status = stage.status_when("a failure", |status| !status["failure"].is_null());
    assert_eq!(status["state"], "stale");
    let process: Value = serde_json::from_str(&stage.succeed(&["credential-process"])).unwrap();
    let file = fs::read_to_string(stage.credentials()).unwrap();
    assert_eq!(process["AccessKeyId"], value(&file, "aws_access_key_id"));
    assert_eq!(process["SessionToken"], value(&file, "aws_session_token"));
    stage.clear_faults();
    stage.succeed(&["refresh"]);
    let renewed = fs::read_to_string(stage.credentials()).unwrap();
    assert_ne!(value(&renewed, "aws_access_key_id"), value(&file, "aws_access_key_id"));
    let held = fs::read_to_string(stage.path(HELD)).unwrap();
    assert!(held.contains(&value(&renewed, "aws_session_token")));
    assert!(!daemon.log().contains(&value(&renewed, "aws_session_token")));
}

#[test]
fn what_a_run_held_is_for_the_same_machine_and_registration_alone() {
    let nothing = |stage: &Stage, state: &str| {
        let daemon = stage.start();
        stage.status_when("a failure", |status| !status["failure"].is_null());
        let (message, _) = stage.refused(&["credential-process"], Exit::TryAgain);
        assert_eq!(message, format!("there are no usable credentials now: {state}"));
        daemon
    };
    let stage = stopped_in_an_outage();
    stage.pretend_other_hardware();
    nothing(&stage, "mismatch");
    assert!(!stage.path(HELD).exists());

    let stage = stopped_in_an_outage();
    let mut again = stage.registration(&stage.activation());
    printed(again.arg("--force").output().unwrap());
    // The other registration may have had a role that may do more.
    nothing(&stage, "expired");
    assert!(!fs::read_to_string(stage.credentials()).unwrap().contains("aws_"));

    for (spoil, said) in [
        (&|path: &Path| allow(path, 0o640), "is not for this user alone"),
        (&|path: &Path| fs::write(path, "{}").unwrap(), "is no record of a role token"),
        (
            &|path: &Path| fs::hard_link(path, path.with_extension("2")).unwrap(),
            "is no file of its own",
        ),
    ] as [(&dyn Fn(&Path), &str); 3]
    {
        let stage = stopped_in_an_outage();
        spoil(&stage.path(HELD));
        let daemon = nothing(&stage, "stale");
        assert!(daemon.log().contains(said), "{}", daemon.log());
    }
}

#[test]
fn dead_credentials_are_withdrawn_and_the_rest_of_the_file_stays() {
    let stage = Stage::set();
    fs::create_dir(stage.path("run")).unwrap();
    fs::write(stage.credentials(), FOREIGN).unwrap();
    stage.lab.with_service(|service| service.token_lifetime = Duration::from_secs(7));
    let (_, daemon) = stage.start_registered();
    let held = fs::read_to_string(stage.credentials()).unwrap();
    assert!(held.starts_with(FOREIGN) && held.contains("aws_session_token"), "{held}");
    stage.fault(fails(500));
    let status = stage.status_when("the end", |status| status["state"] == "expired");
    assert_eq!(status["credentials"], Value::Null);
    daemon.logged("credentials withdrawn");
    assert_eq!(fs::read_to_string(stage.credentials()).unwrap(), FOREIGN);
    let (message, _) = stage.refused(&["export"], Exit::TryAgain);
    assert_eq!(message, "there are no usable credentials now: expired");
}

#[test]
fn dead_credentials_stay_when_the_operator_wants_them_to() {
    let stage = Stage::set();
    stage.settings("[refresh]\non_expiry = \"keep\"\n");
    stage.lab.with_service(|service| service.token_lifetime = Duration::from_secs(7));
    let (_, _daemon) = stage.start_registered();
    stage.fault(fails(500));
    stage.status_when("the end", |status| status["state"] == "expired");
    let held = fs::read_to_string(stage.credentials()).unwrap();
    assert!(held.contains("aws_session_token"), "{held}");
    let (message, _) = stage.refused(&["export"], Exit::TryAgain);
    assert_eq!(message, "there are no usable credentials now: expired");
}

#[test]
fn a_token_waits_in_memory_until_its_target_can_be_written() {
    let stage = Stage::set();
    let (_, daemon) = stage.start_registered();
    let before = fs::read_to_string(stage.credentials()).unwrap();
    // Others could put something in the file's place.
    allow(&stage.path("run"), 0o777);
    let (message, remedy) = stage.refused(&["refresh"], Exit::Refused);
    assert!(message.contains("is writable by more than its owner (mode 0777)"), "{message}");
    assert_eq!(remedy, format!("chmod go-w {}", stage.path("run").display()));
    let status = stage.status();
    assert_eq!(status["state"], "fresh");
    assert_eq!(status["targets"][0]["error"], message);
    assert!(daemon.logged(&message).contains(&format!("try: {remedy}")));
    assert_eq!(fs::read_to_string(stage.credentials()).unwrap(), before);

    let requests = stage.requests(RequestManagedInstanceRoleToken);
    allow(&stage.path("run"), 0o755);
    let status = stage.status_when("a delivery", |status| status["targets"][0]["error"].is_null());
    let after = fs::read_to_string(stage.credentials()).unwrap();
    let access_key_id = value(&after, "aws_access_key_id");
    assert_ne!(access_key_id, value(&before, "aws_access_key_id"));
    let suffix = status["credentials"]["access_key_id_suffix"].as_str().unwrap();
    assert!(access_key_id.ends_with(suffix));
    assert_eq!(stage.requests(RequestManagedInstanceRoleToken), requests, "nobody was asked");
}

#[test]
fn a_node_that_the_service_forgot_hibernates_until_it_is_woken() {
    let stage = Stage::set();
    let (id, _daemon) = stage.start_registered();
    let before = fs::read(stage.credentials()).unwrap();
    let node = stage.lab.with_service(|service| {
        let node = service.nodes.get(&id).unwrap().unwrap();
        service.nodes.deregister(&id).unwrap();
        node
    });
    let (message, remedy) = stage.refused(&["refresh"], Exit::Refused);
    assert!(message.contains("InvalidInstanceId"), "{message}");
    assert!(remedy.contains("rolekeeper register --force"), "{remedy}");
    let status = stage.status();
    assert_eq!(
        (&status["state"], &status["failure"]["class"]),
        (&json!("hibernating"), &json!("denied"))
    );
    let wait =
        moment(&status["failure"]["next_try_at"]) - moment(&status["credentials"]["issued_at"]);
    assert!((10..=12).contains(&wait.whole_minutes()), "{status}");
    assert_eq!(fs::read(stage.credentials()).unwrap(), before, "they are valid still");

    stage.lab.with_service(|service| service.nodes.insert(&node)).unwrap();
    stage.succeed(&["refresh"]);
    let status = stage.status();
    assert_eq!((&status["state"], &status["instance_id"]), (&json!("fresh"), &json!(id.as_str())));
}

#[test]
fn the_running_daemon_keeps_registrations_out_of_its_vault() {
    let stage = Stage::set();
    let (_, _daemon) = stage.start_registered();
    let before = stage.vault();
    let output = stage.registration(&stage.activation()).arg("--force").output().unwrap();
    let (message, _) = refusal(&output, Exit::TryAgain);
    assert!(message.contains("is using the vault"), "{message}");
    assert_eq!((stage.requests(RegisterManagedInstance), stage.vault()), (1, before));
}

#[test]
fn commands_are_taken_from_root_and_the_daemons_user_alone() {
    let stage = Stage::set();
    let (_, _daemon) = stage.start_registered();
    let socket = stage.path("run/control.sock");
    assert_eq!(mode(&socket), 0o660);
    assert_eq!(fs::metadata(&socket).unwrap().uid(), nix::unistd::geteuid().as_raw());
    stage.succeed(&["refresh"]);
    if !is_root() {
        // Nobody else to be: that the own user is let in is all that can be seen.
        return;
    }
    let as_nobody = |command| stage.command_of_nobody(&[command]).output().unwrap();
    let (message, remedy) = refusal(&as_nobody("refresh"), Exit::Refused);
    assert!(message.ends_with("may not be asked by this user"), "{message}");
    assert!(remedy.starts_with("the same with sudo"), "{remedy}");

    // A group may be let near: it sees, and does not command.
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).unwrap();
    let requests = stage.requests(RequestManagedInstanceRoleToken);
    for command in ["refresh", "rotate-key"] {
        let (message, _) = refusal(&as_nobody(command), Exit::Refused);
        assert_eq!(message, "this is for root and for the daemon's user alone");
    }
    assert_eq!(stage.requests(RequestManagedInstanceRoleToken), requests);
    assert!(printed(as_nobody("status")).starts_with("state        fresh"));
}

#[test]
fn health_is_reported_with_the_roles_credentials() {
    let stage = Stage::set();
    let id = stage.register();
    let settings = fs::read_to_string(stage.path("rolekeeper.toml")).unwrap();
    let settings = settings.replace("enabled = false", "enabled = true");
    fs::write(stage.path("rolekeeper.toml"), settings).unwrap();
    let _daemon = stage.start();
    wait_for("ping", || {
        let done = |operation: Operation| {
            stage.lab.with_service(|service| service.ledger.count(operation, &Outcome::Done))
        };
        if done(UpdateInstanceInformation) > 0 { Ok(()) } else { Err(stage.status().to_string()) }
    });
    let ping = stage.lab.with_service(|s| s.nodes.get(&id).unwrap().unwrap().last_ping.unwrap());
    assert_eq!(ping.said.agent_name.as_deref(), Some("amazon-ssm-agent"));
    assert_eq!(ping.said.agent_status.as_deref(), Some("Active"));
    // Also of a machine that has nothing but loopback.
    let address = ping.said.ip_address.unwrap_or_default();
    assert!(address.parse::<std::net::IpAddr>().is_ok(), "'{address}'");
}

#[test]
fn a_daemon_that_cannot_start_says_so_in_two_lines() {
    let stage = Stage::set();
    stage.settings("[refresh]\ninterval = \"0s\"\n");
    let (message, remedy) = stage.refused(&["run"], Exit::Configuration);
    assert!(message.contains("rolekeeper.toml:7:12: expected 5m to 1d"), "{message}");
    assert!(remedy.starts_with("mend that line"), "{remedy}");
}

#[test]
fn every_command_shows_an_example_in_its_help() {
    let stage = Stage::set();
    for command in [
        "register",
        "run",
        "status",
        "refresh",
        "reload",
        "rotate-key",
        "fingerprint",
        "fingerprint show",
        "fingerprint diff",
        "fingerprint accept",
        "fingerprint set-threshold",
        "credential-process",
        "export",
        "exec",
        "config",
        "config check",
        "config show",
        "deregister",
        "completions",
        "man",
    ] {
        let mut arguments = command.split(' ').collect::<Vec<_>>();
        arguments.push("--help");
        let help = stage.succeed(&arguments);
        assert!(help.contains("Example"), "{command}:\n{help}");
        assert!(help.contains(&format!("rolekeeper {command}")), "{command}:\n{help}");
    }
}

#[test]
fn settings_are_checked_and_shown_with_their_origin() {
    let stage = Stage::set();
    let file = stage.path("rolekeeper.toml").display().to_string();
    assert_eq!(stage.succeed(&["config", "check"]), format!("{file}: ok\n"));
    let shown = stage.succeed(&["config", "show"]);
    let line = shown.lines().find(|line| line.starts_with("timeout")).unwrap();
    assert!(
        line.starts_with("timeout = \"1s\"") && line.ends_with(&format!("# {file}:3")),
        "{line}"
    );
    // Where things are may be said before the command, too.
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_rolekeeper"));
    let run = stage.path("run").display().to_string();
    let places = ["--config", &file, "--runtime-dir", &run, "config", "show"];
    assert_eq!(printed(command.env_clear().args(places).output().unwrap()), shown);
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_rolekeeper"));
    let from_environment = command.env_clear().env("ROLEKEEPER_CONFIG", &file);
    assert_eq!(
        printed(from_environment.args(["--runtime-dir", &run, "config", "show"]).output().unwrap()),
        shown
    );
}
