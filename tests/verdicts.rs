//! What says that all is well has looked: `register --ensure`, `status`, `deregister` and `register
//! --force` on machines that are registered, and not as they should be.

#[allow(dead_code, reason = "each file of tests plays with a part of it")]
mod stage;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use rolekeeper::lab::faults::{Effect, Fault};
use rolekeeper::lab::operation::Operation::{
    DeregisterManagedInstance, RegisterManagedInstance, RequestManagedInstanceRoleToken,
    UpdateInstanceInformation, UpdateManagedInstancePublicKey,
};
use rolekeeper::pure::advice::Exit;
use serde_json::Value;

use stage::{Daemon, Stage, is_root, printed, refusal, wait_for};

fn fails(status: u16, code: Option<&str>) -> Fault {
    let effect = Effect::Status { status, code: code.map(str::to_owned) };
    Fault::always(effect).on(RequestManagedInstanceRoleToken)
}

fn ensure(stage: &Stage) -> Command {
    let mut command = stage.registration(&stage.activation());
    command.arg("--ensure");
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn ensure_asks_the_service_and_says_when_it_could_not() {
    let mut stage = Stage::set();
    let id = stage.register();
    let before = stage.vault();
    let verified = |stage: &Stage| {
        let asked = stage.requests(RequestManagedInstanceRoleToken);
        let output = ensure(stage).output().unwrap();
        let said = said(&output);
        assert_eq!(printed(output), format!("{id}\n"));
        assert!(said.contains(", verified with the service; nothing was changed"), "{said}");
        assert_eq!(stage.requests(RequestManagedInstanceRoleToken), asked + 1);
    };
    verified(&stage);
    assert_eq!(stage.vault(), before);

    let unverified = |stage: &Stage, reason: &str| {
        let output = ensure(stage).output().unwrap();
        let said = said(&output);
        assert_eq!(printed(output), format!("{id}\n"));
        assert!(said.contains("not verified with the service: Request"), "{said}");
        assert!(said.contains(reason) && !said.contains(", verified"), "{said}");
    };
    for (effect, reason) in [
        (Effect::Status { status: 500, code: None }, "InternalServerError"),
        (Effect::Html { status: 403 }, "403"),
        (Effect::Hang, "no answer in time"),
    ] {
        stage.fault(Fault::always(effect).on(RequestManagedInstanceRoleToken));
        unverified(&stage, reason);
        stage.clear_faults();
    }
    stage.drop_service();
    unverified(&stage, "Connection refused");
    stage.raise_service();

    // The daemon has the vault, and is not in the way.
    let _daemon = stage.start();
    stage.status_when("fresh credentials", |status| status["state"] == "fresh");
    verified(&stage);
    assert_eq!((stage.requests(RegisterManagedInstance), stage.vault()), (1, before));
}

#[test]
fn ensure_finds_each_thing_that_is_wrong_and_ends_differently() {
    let stage = Stage::set();
    let id = stage.register();
    let records = ["RegistrationKey", "InstanceFingerprint"].map(|name| stage.record(name));
    let [key, fingerprint] = &records;
    let whole = records.clone().map(|record| fs::read(record).unwrap());
    let spoil = |record: &PathBuf, from: &str, to: &str| {
        let text = fs::read_to_string(record).unwrap();
        assert!(text.contains(from), "no {from} in {text}");
        fs::write(record, text.replace(from, to)).unwrap();
    };
    let own: Value = serde_json::from_slice(&whole[1]).unwrap();
    let own = own["fingerprint"].as_str().unwrap();
    let strange = "01234567-89ab-4cde-8f01-23456789abcd";
    let staged = stage.record("StagedKey");
    // What is wrong, how it ends, what is said, and whether the service is asked.
    type Case<'a> = (&'a dyn Fn(), Exit, &'a str, usize);
    let cases: [Case; 7] = [
        (&|| fs::remove_file(fingerprint).unwrap(), Exit::NoInput, "there is no such record", 0),
        (&|| fs::write(fingerprint, "{").unwrap(), Exit::BadData, "the record is damaged", 0),
        (&|| fs::write(key, "").unwrap(), Exit::BadData, "the record is damaged", 0),
        (&|| fs::write(&staged, "?").unwrap(), Exit::BadData, "the record is damaged", 0),
        (&|| stage.pretend_other_hardware(), Exit::Refused, "not the machine that registered", 0),
        (&|| spoil(fingerprint, own, strange), Exit::Refused, "MachineFingerprintDoesNotMatch", 1),
        (
            &|| {
                stage.lab.with_service(|service| service.nodes.deregister(&id)).unwrap();
            },
            Exit::NoUser,
            "InvalidInstanceId",
            1,
        ),
    ];
    for (act, exit, expected, requests) in cases {
        act();
        let (vault, asked) = (stage.vault(), stage.requests(RequestManagedInstanceRoleToken));
        let output = ensure(&stage).output().unwrap();
        let (message, remedy) = refusal(&output, exit);
        assert!(message.contains(expected), "{message}");
        assert!(output.stdout.is_empty() && !remedy.is_empty());
        assert_eq!(stage.requests(RequestManagedInstanceRoleToken), asked + requests, "{message}");
        assert_eq!(stage.vault(), vault, "{message}");
        let _ = fs::remove_file(&staged);
        records.iter().zip(&whole).for_each(|(record, bytes)| fs::write(record, bytes).unwrap());
    }
    assert_eq!(stage.requests(RegisterManagedInstance), 1, "no activation was used");
}

#[test]
fn ensure_knows_the_key_of_a_rotation_that_is_under_way() {
    let stage = Stage::set();
    let id = stage.register();
    // The service takes the new key, and nobody hears of it.
    stage.fault(Fault::always(Effect::TornBody).on(UpdateManagedInstancePublicKey));
    stage.fault(fails(500, None));
    assert_eq!(stage.run(&["rotate-key"]).status.code(), Some(Exit::TryAgain as i32));
    assert!(stage.record("StagedKey").exists());
    stage.clear_faults();
    let before = stage.vault();
    let output = ensure(&stage).output().unwrap();
    assert!(said(&output).contains(", verified with the service"), "{}", said(&output));
    assert_eq!(printed(output), format!("{id}\n"));
    assert_eq!(stage.vault(), before);
}

#[test]
fn ensure_completes_a_registration_that_a_crash_interrupted() {
    let stage = Stage::set();
    let id = stage.register();
    // The service had answered, and neither record was in place.
    let records = ["RegistrationKey", "InstanceFingerprint"].map(|name| stage.record(name));
    let [key, fingerprint] = records.clone().map(|record| {
        let value: Value = serde_json::from_slice(&fs::read(&record).unwrap()).unwrap();
        fs::remove_file(&record).unwrap();
        value
    });
    let journal = serde_json::json!({
        "registrationKey": key,
        "instanceFingerprint": fingerprint,
        "acceptedDate": "",
    });
    fs::write(stage.record("PendingRegistration"), journal.to_string()).unwrap();
    let output = ensure(&stage).output().unwrap();
    assert!(said(&output).contains(", verified with the service"), "{}", said(&output));
    assert_eq!(printed(output), format!("{id}\n"));
    assert!(records.iter().all(|record| record.exists()));
    assert_eq!(stage.requests(RegisterManagedInstance), 1);
}

#[test]
fn the_unattended_registration_keeps_no_registered_machine_from_starting() {
    let example =
        concat!(env!("CARGO_MANIFEST_DIR"), "/systemd/examples/register-on-first-start.conf");
    let example = fs::read_to_string(example).unwrap();
    let mut lines = example.lines();
    let line = lines.find_map(|line| line.strip_prefix("ExecStartPre=/bin/sh -c '")).unwrap();
    let stage = Stage::set();
    let activation = stage.activation();
    fs::write(stage.path("activation"), &activation.code).unwrap();
    let line = line.trim_end_matches('\'').replace("/usr/bin/", "\"$BIN\"/");
    let line = line.replace("01234567-89ab-4cde-8f01-23456789abcd", &activation.id);
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_rolekeeper"));
    let start = || {
        let mut shell = Command::new("/bin/sh");
        shell.env_clear().env("BIN", binary.parent().unwrap()).args(["-c", &line]);
        shell.env("ROLEKEEPER_CONFIG", stage.path("rolekeeper.toml"));
        shell.env("STATE_DIRECTORY", stage.path("state"));
        shell.env("RUNTIME_DIRECTORY", stage.path("run"));
        shell.env("CREDENTIALS_DIRECTORY", stage.path("")).output().unwrap()
    };
    stage.fault(Fault::always(Effect::Reset).on(RegisterManagedInstance));
    let output = start();
    assert!(!output.status.success(), "it is to be tried again: {}", said(&output));
    stage.clear_faults();
    for expected in ["registered as mi-", ", verified with the service"] {
        let output = start();
        assert!(output.status.success() && said(&output).contains(expected), "{}", said(&output));
    }
    stage.pretend_other_hardware();
    let output = start();
    assert!(said(&output).contains("not the machine that registered"), "{}", said(&output));
    assert!(output.status.success(), "the daemon shows what is wrong");
}

/// Asserts that the state is this one, in both forms, and that the command ends so.
fn ends(stage: &Stage, state: &str, exit: Exit) -> Value {
    for arguments in [&["status"][..], &["status", "--json"]] {
        let output = stage.run(arguments);
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(exit as i32), "{text}");
        if let Ok(status) = serde_json::from_str::<Value>(&text) {
            assert_eq!(status["state"], state, "{text}");
            return status;
        }
        assert!(text.starts_with(&format!("state        {state}\n")), "{text}");
    }
    panic!("no JSON");
}

#[test]
fn status_ends_as_the_machine_is() {
    let mut stage = Stage::set();
    ends(&stage, "unregistered", Exit::Unavailable);
    let mut daemon = stage.start();
    daemon.logged("not registered");
    ends(&stage, "unregistered", Exit::Configuration);
    stage.register();
    ends(&stage, "fresh", Exit::Done);

    stage.fault(fails(500, None));
    stage.run(&["refresh"]);
    ends(&stage, "stale", Exit::TryAgain);
    stage.clear_faults();
    stage.fault(fails(400, Some("AccessDeniedException")));
    stage.run(&["refresh"]);
    ends(&stage, "hibernating", Exit::Refused);
    stage.clear_faults();
    stage.succeed(&["refresh"]);

    fs::remove_file(stage.credentials()).unwrap();
    fs::create_dir(stage.credentials()).unwrap();
    stage.run(&["refresh"]);
    let status = ends(&stage, "fresh", Exit::CannotCreate);
    assert!(!status["targets"][0]["error"].is_null(), "{status}");
    fs::remove_dir(stage.credentials()).unwrap();
    stage.succeed(&["refresh"]);
    ends(&stage, "fresh", Exit::Done);

    daemon.stop();
    // Programs can use what is in the file, and nobody renews it.
    ends(&stage, "stopped", Exit::Unavailable);
    fs::remove_file(stage.credentials()).unwrap();
    fs::remove_file(stage.path("run/role-token")).unwrap();
    stage.drop_service();
    let mut daemon = stage.start();
    stage.status_when("a failure", |status| !status["failure"].is_null());
    ends(&stage, "expired", Exit::Unavailable);
    daemon.stop();
    stage.raise_service();

    stage.pretend_other_hardware();
    let _daemon = stage.start();
    stage.status_when("other hardware", |status| status["state"] == "mismatch");
    ends(&stage, "mismatch", Exit::Refused);
}

/// Settings by which the first answer is a minute away, when the service hangs.
fn be_patient(stage: &Stage) {
    let file = stage.path("rolekeeper.toml");
    let settings = fs::read_to_string(&file).unwrap();
    fs::write(&file, settings.replace("timeout = \"1s\"", "timeout = \"20s\"")).unwrap();
}

#[test]
fn each_state_without_a_daemon_or_an_answer_has_its_word_and_its_remedy() {
    let stage = Stage::set();
    let hangs = Fault::always(Effect::Hang).on(RequestManagedInstanceRoleToken);
    // The state without a daemon, and both lines that say why there is no more to tell.
    let told = |state: &str| {
        let output = stage.run(&["status"]);
        let page = String::from_utf8_lossy(&output.stdout).into_owned();
        let (message, remedy) = refusal(&output, Exit::Unavailable);
        let status = ends(&stage, state, Exit::Unavailable);
        assert_eq!(status["failure"]["class"], "no-daemon", "{status}");
        assert_eq!(status["failure"]["remedy"], remedy.as_str(), "{status}");
        assert!(message.starts_with("no daemon answers at "), "{message}");
        (page, message, remedy)
    };
    let starts = "systemctl restart rolekeeper";

    let (page, message, remedy) = told("unregistered");
    assert!(page.contains("not registered") && message.ends_with("is not registered"), "{page}");
    let expected = "--activation-code-file FILE; then systemctl start rolekeeper";
    assert!(remedy.starts_with("rolekeeper register ") && remedy.ends_with(expected), "{remedy}");
    assert!(!remedy.contains("backup"), "{remedy}");

    let id = stage.register();
    let (page, _, remedy) = told("registered");
    assert!(page.contains(id.as_str()) && remedy.starts_with(starts), "{page}{remedy}");

    be_patient(&stage);
    stage.fault(hangs.clone());
    let mut daemon = stage.start();
    stage.status_when("the first request", |status| status["state"] == "starting");
    ends(&stage, "starting", Exit::TryAgain);
    let said = "there are no usable credentials now: starting";
    assert_eq!(stage.refused(&["credential-process"], Exit::TryAgain).0, said);
    stage.clear_faults();
    daemon.stop();
    told("registered");

    let mut daemon = stage.start();
    stage.status_when("credentials", |status| status["state"] == "fresh");
    daemon.stop();
    let (page, _, remedy) = told("stopped");
    assert!(page.contains("holds an earlier run's") && remedy.starts_with(starts), "{page}");

    let held = fs::read_to_string(stage.credentials()).unwrap();
    let (before, after) = held.split_once("# rolekeeper: expires ").unwrap();
    let (_, after) = after.split_once('\n').unwrap();
    let ended = format!("{before}# rolekeeper: expires 2026-01-01T00:00:00Z\n{after}");
    fs::write(stage.credentials(), ended).unwrap();
    told("expired");

    let fingerprint = stage.record("InstanceFingerprint");
    let whole = fs::read(&fingerprint).unwrap();
    fs::remove_file(&fingerprint).unwrap();
    let (page, message, remedy) = told("damaged");
    assert!(page.contains(id.as_str()) && message.contains("no such record"), "{page}{message}");
    assert!(remedy.starts_with("restore it from a backup"), "{remedy}");
    fs::write(&fingerprint, "{").unwrap();
    let (page, message, remedy) = told("damaged");
    assert!(page.contains(id.as_str()) && message.contains("the record is damaged"), "{message}");
    assert!(remedy.starts_with(&format!("restore {}", fingerprint.display())), "{remedy}");
    fs::write(&fingerprint, whole).unwrap();
    let registration = stage.record("RegistrationKey");
    let key = fs::read(&registration).unwrap();
    fs::write(&registration, "{").unwrap();
    let (page, message, _) = told("damaged");
    assert!(page.contains("instance     not known") && message.contains("damaged"), "{page}");
    fs::write(&registration, key).unwrap();

    if is_root() {
        let output = stage.command_of_nobody(&["status"]).output().unwrap();
        let page = String::from_utf8_lossy(&output.stdout).into_owned();
        let (message, remedy) = refusal(&output, Exit::Unavailable);
        assert!(page.starts_with("state        unknown\ninstance     not known\n"), "{page}");
        assert!(message.contains("cannot be read"), "{message}");
        assert!(remedy.starts_with("the same with sudo"), "{remedy}");
        let daemon = stage.start();
        stage.status_when("a daemon", |_| true);
        let output = stage.command_of_nobody(&["status"]).output().unwrap();
        refusal(&output, Exit::Refused);
        drop(daemon);
        fs::remove_file(stage.path("run/control.sock")).unwrap();
    } else {
        eprintln!("another user's look is skipped: it needs root, which can be several users");
    }

    stage.settings("[identity]\nsource = \"instance-metadata\"\n");
    fs::remove_file(stage.credentials()).unwrap();
    let (page, ..) = told("stopped");
    assert!(!page.contains("\ninstance "), "{page}");
}

#[test]
fn a_record_that_is_damaged_under_the_daemon_is_told_before_the_next_start_fails() {
    let stage = Stage::set();
    let (_, _daemon) = stage.start_registered();
    let fingerprint = stage.record("InstanceFingerprint");
    let whole = fs::read(&fingerprint).unwrap();
    let is_warned = |status: &Value| status["warnings"][0]["subject"] == "record";
    for damage in [&|| fs::write(&fingerprint, "{").unwrap(), &|| {
        fs::remove_file(&fingerprint).unwrap();
    }] as [&dyn Fn(); 2]
    {
        damage();
        stage.status_when("a warning", is_warned);
        let status = ends(&stage, "fresh", Exit::BadData);
        let said = status["warnings"][0]["message"].as_str().unwrap();
        assert!(said.contains("the next start would fail"), "{said}");
        fs::write(&fingerprint, &whole).unwrap();
        stage.status_when("no warning", |status| status["warnings"][0].is_null());
        ends(&stage, "fresh", Exit::Done);
    }
}

#[test]
fn a_health_report_that_is_refused_shows_with_its_remedy_until_one_is_taken() {
    let stage = Stage::set();
    let health = |more: &str| {
        let file = stage.path("rolekeeper.toml");
        let settings = fs::read_to_string(&file).unwrap();
        let (settings, _) = settings.split_once("[health]").unwrap();
        fs::write(&file, format!("{settings}[health]\n{more}\n")).unwrap();
    };
    let check = || {
        let arguments = ["doctor", "--json", "--metadata-address", "127.0.0.1:9"];
        let checks: Value = serde_json::from_slice(&stage.run(&arguments).stdout).unwrap();
        let found = checks.as_array().unwrap().iter().find(|check| check["name"] == "health");
        found.unwrap().clone()
    };
    let (_, daemon) = stage.start_registered();
    assert!(stage.status()["health"].is_null() && !stage.status_page().contains("health"));
    assert_eq!(check()["verdict"], "inapplicable");

    let denied = Effect::Status { status: 400, code: Some("AccessDeniedException".to_owned()) };
    stage.fault(Fault::always(denied).on(UpdateInstanceInformation));
    health("interval = \"1h\"");
    stage.succeed(&["reload"]);
    stage.status_when("a refusal", |status| !status["health"]["failure"].is_null());
    let status = ends(&stage, "fresh", Exit::TryAgain);
    let failure = &status["health"]["failure"];
    assert_eq!(
        (failure["class"].as_str(), failure["attempts"].as_u64()),
        (Some("denied"), Some(1))
    );
    let remedy = failure["remedy"].as_str().unwrap();
    assert!(remedy.starts_with("allow the role ssm:UpdateInstanceInformation"), "{remedy}");
    let page = stage.status_page();
    let line = "\nhealth       NOT REPORTED\n  failure    denied: UpdateInstanceInformation at ";
    assert!(page.contains(line) && page.contains(&format!("\n  try        {remedy}\n")), "{page}");
    daemon.logged("this machine as lost");
    let finding = check();
    assert_eq!((&finding["verdict"], &finding["remedy"]), (&"warning".into(), &remedy.into()));

    stage.clear_faults();
    health("interval = \"30m\"");
    stage.succeed(&["reload"]);
    stage.status_when("a report", |status| !status["health"]["reported_at"].is_null());
    let status = ends(&stage, "fresh", Exit::Done);
    assert!(status["health"]["failure"].is_null(), "{status}");
    assert!(stage.status_page().contains("\nhealth       reported "), "{}", stage.status_page());
    assert_eq!(check()["verdict"], "ok");
    health("enabled = false");
    stage.succeed(&["reload"]);
    assert!(stage.status()["health"].is_null());
}

#[test]
fn after_a_good_restart_the_status_is_good_before_the_first_answer() {
    let stage = Stage::set();
    let (_, mut daemon) = stage.start_registered();
    let until = stage.status()["credentials"]["expires_at"].clone();
    daemon.stop();
    // The first answer is a minute away.
    be_patient(&stage);
    stage.fault(Fault::always(Effect::Hang).on(RequestManagedInstanceRoleToken));
    let _daemon = stage.start();
    stage.status_when("what the run before held", |status| !status["credentials"].is_null());
    let status = ends(&stage, "fresh", Exit::Done);
    let target = &status["targets"][0];
    assert_eq!((&target["held_until"], &target["written_at"]), (&until, &Value::Null));
    let line = format!("holds an earlier run's, good until {}", until.as_str().unwrap());
    assert!(stage.status_page().contains(&line), "{}", stage.status_page());
}

#[test]
fn what_is_left_at_the_service_is_said_with_the_command_that_removes_it() {
    let stage = Stage::set();
    let first = stage.register();
    let command = |id: &str| {
        let url = stage.lab.endpoint_url();
        format!(
            "aws ssm deregister-managed-instance --region {} --instance-id {id} \
             --endpoint-url {url}",
            stage::REGION
        )
    };
    let listed = |id: &rolekeeper::pure::identity::InstanceId| {
        stage.lab.with_service(|service| service.nodes.get(id).unwrap().is_some())
    };
    let output = stage.registration(&stage.activation()).arg("--force").output().unwrap();
    let text = said(&output);
    let second = printed(output).trim_end().parse().unwrap();
    assert!(text.contains(&format!("the service may still list {first}, which this machine was")));
    assert!(text.contains(&command(first.as_str())) && listed(&first), "{text}");

    // An id that cannot be read cannot be said, and that is said.
    fs::write(stage.record("RegistrationKey"), "?").unwrap();
    let output = stage.registration(&stage.activation()).arg("--force").output().unwrap();
    assert!(said(&output).contains("its id is not known here"), "{}", said(&output));
    let third = printed(output).trim_end().to_owned();

    let output = stage.run(&["deregister", "--local-only"]);
    let text = said(&output);
    let expected = format!("{third} is out of use here, and the service still lists it\n");
    assert_eq!(printed(output), expected);
    assert!(text.contains(&command(&third)), "{text}");
    assert!(listed(&second) && listed(&third.parse().unwrap()));
    assert_eq!(stage.requests(DeregisterManagedInstance), 0);
}

#[test]
fn a_deregistration_that_leaves_credentials_behind_is_no_success() {
    let stage = Stage::set();
    let (_, mut daemon) = stage.start_registered();
    daemon.stop();
    fs::write(stage.credentials(), "[default\naws_access_key_id = broken\n").unwrap();
    let output = stage.run(&["deregister", "--local-only"]);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(Exit::BadData as i32), "{text}");
    let left = "rolekeeper: credentials may be left in a file: ".to_owned();
    assert!(text.contains(&left) && text.contains("\ntry: "), "{text}");
    assert!(text.ends_with("; then rolekeeper deregister --local-only\n"), "{text}");
    assert!(!stage.record("RegistrationKey").exists());
}

/// What the settings name no more, or name wrongly, was written all the same.
#[test]
fn a_deregistration_empties_every_file_that_was_written() {
    let stage = Stage::set();
    let [gone, typo] = ["gone", "typo"].map(|name| stage.path(name));
    let target = |name, more| stage.target(name, &stage.path(name), more);
    stage.settings(&(target("gone", "") + &target("typo", "")));
    let (_, mut daemon) = stage.start_registered();
    let holds = |path| fs::read_to_string(path).is_ok_and(|text| text.contains("aws_secret"));
    wait_for("both files", || {
        if holds(&gone) && holds(&typo) { Ok(()) } else { Err("none".to_owned()) }
    });
    daemon.stop();
    stage.settings(&target("typo", "modde = \"0600\""));
    // A file that cannot be edited is told, and tried again.
    let held = fs::read_to_string(&typo).unwrap();
    fs::write(&typo, held.clone() + "[broken\n").unwrap();
    let output = stage.run(&["deregister", "--local-only"]);
    assert_eq!(output.status.code(), Some(Exit::BadData as i32), "{}", said(&output));
    assert!(!holds(&gone) && holds(&typo));
    fs::write(&typo, held).unwrap();
    let again = stage.succeed(&["deregister", "--local-only"]);
    assert_eq!(again, "credentials that were left in files are withdrawn\n");
    assert!(!holds(&typo));
    stage.refused(&["deregister", "--local-only"], Exit::Configuration);
}

/// What `register` does not record, `fingerprint accept` does not either, with a daemon and without one.
#[test]
fn a_machine_whose_machine_id_cannot_be_read_is_not_accepted() {
    if !is_root() {
        eprintln!(
            "a_machine_whose_machine_id: skipped, because only root puts another in its place"
        );
        return;
    }
    let stage = Stage::set();
    stage.register();
    let before = fs::read(stage.record("InstanceFingerprint")).unwrap();
    let other = stage.path("machine-id");
    fs::write(&other, "uninitialized\n").unwrap();
    let apart = |arguments: &[&str]| {
        let mount = format!("mount --bind {} /etc/machine-id || exit 99", other.display());
        let command = stage.command(arguments);
        let mut apart = Command::new("unshare");
        apart.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        apart.args(["--mount", "sh", "-ec", &format!("{mount}; exec \"$0\" \"$@\"")]);
        apart.arg(command.get_program()).args(command.get_args());
        apart
    };
    let output = apart(&["fingerprint", "accept"]).output().unwrap();
    if matches!(output.status.code(), Some(1 | 99)) {
        eprintln!("skipped: this machine lets nobody mount, not even root");
        return;
    }
    let is_refused = |output: &Output| {
        let (message, remedy) = refusal(output, Exit::BadData);
        assert!(message.starts_with("this machine has no usable machine-id: "), "{message}");
        assert_eq!(remedy, "systemd-machine-id-setup");
        assert_eq!(fs::read(stage.record("InstanceFingerprint")).unwrap(), before);
    };
    is_refused(&output);
    let _daemon = Daemon::start(apart(&["run"]));
    stage.status_when("a look at the hardware", |status| !status["fingerprint"].is_null());
    is_refused(&stage.run(&["fingerprint", "accept"]));
}

#[test]
fn whoever_may_not_read_a_file_is_not_told_to_open_it() {
    let stage = Stage::set();
    let (_, mut daemon) = stage.start_registered();
    daemon.stop();
    if !is_root() {
        eprintln!("another user's look is skipped: it needs root, which can be several users");
        return;
    }
    let output = stage.command_of_nobody(&["status"]).output().unwrap();
    let page = String::from_utf8(output.stdout).unwrap();
    assert!(page.contains("this user may not see what it holds"), "{page}");
    assert!(page.contains("sudo rolekeeper status") && !page.contains("setfacl"), "{page}");
    assert!(!page.contains("NOT WRITTEN"), "{page}");
}
