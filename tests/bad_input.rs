//! What the real `rolekeeper` makes of input that is wrong: two lines, an exit status of its own,
//! and nothing lost.

#[allow(dead_code, reason = "each file of tests plays with a part of it")]
mod stage;

use std::fs;
use std::os::unix::fs::{chown, symlink};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use rolekeeper::host::clock::{Clock, SystemClock};
use rolekeeper::lab::clock::LabClock;
use rolekeeper::lab::faults::{Effect, Fault};
use rolekeeper::lab::operation::Operation::{
    RegisterManagedInstance, RequestManagedInstanceRoleToken,
};
use rolekeeper::pure::advice::Exit;
use serde_json::{Value, json};

use stage::{
    Activation, Daemon, NOBODY, REGION, Stage, allow, is_root, mode, moment, printed, refusal,
    two_lines, value,
};

const FOREIGN: &str = "# the operator's\n[other]\nregion = x\n";

/// What a service that is not itself may do, the class that this is, and what is said about it.
fn misbehaviours() -> [(Effect, &'static str, &'static str); 7] {
    [
        (Effect::Hang, "unreachable", "no answer in time"),
        (Effect::Html { status: 200 }, "bad-answer", "the answer is not JSON"),
        (Effect::Html { status: 403 }, "bad-answer", "HTTP status 403 without an error"),
        (Effect::TornBody, "bad-answer", "the answer broke off"),
        (Effect::WrongJson, "bad-answer", "the answer broke off"),
        (Effect::WrongShape, "bad-answer", "a member of the answer has the wrong type"),
        (Effect::Reset, "unreachable", "Connection reset"),
    ]
}

#[test]
fn an_activation_of_the_wrong_shape_is_refused_before_anybody_is_asked() {
    let stage = Stage::set();
    let good = stage.activation();
    let register = |region: &str, id: &str, code: &str| {
        let arguments =
            ["register", "--region", region, "--activation-id", id, "--activation-code", code];
        stage.refused(&arguments, Exit::Usage)
    };
    let (message, remedy) = register("Frankfurt", &good.id, &good.code);
    assert!(message.contains("region 'Frankfurt': expected a name such as eu-central-1"));
    assert_eq!(remedy, "rolekeeper register --help");
    let (message, _) = register(REGION, "1234", &good.code);
    assert!(message.contains("activation id '1234': expected a UUID"), "{message}");
    for code in ["short", "a code with blanks in its midst"] {
        let (message, remedy) = register(REGION, &good.id, code);
        assert!(message.starts_with("activation code: expected 20 to 250"), "{message}");
        assert!(!message.contains(code) && remedy.contains("create-activation"), "{message}");
    }
    let from = |file: &Path, exit| {
        let mut command = stage.command(&["register", "--region", REGION]);
        command.args(["--activation-id", &good.id, "--activation-code-file"]).arg(file);
        refusal(&command.output().unwrap(), exit)
    };
    let file = stage.path("code");
    let (message, _) = from(&file, Exit::BadData);
    assert!(message.starts_with(&format!("activation code file {}: ", file.display())));
    fs::write(&file, "").unwrap();
    let (message, _) = from(&file, Exit::Usage);
    assert!(message.ends_with("got 0"), "{message}");
    stage.refused(&["register", "--region", REGION], Exit::Usage);

    let wrong = fs::read_to_string(stage.path("rolekeeper.toml")).unwrap();
    let wrong = wrong.replace("[service]", "[service]\nregion = \"mars\"");
    fs::write(stage.path("rolekeeper.toml"), wrong).unwrap();
    let (message, _) = stage.refused(&["register"], Exit::Configuration);
    assert!(message.contains("rolekeeper.toml:2:10: region 'mars'"), "{message}");
    assert!(stage.lab.with_service(|service| service.ledger.entries().next().is_none()));
    assert!(!stage.path("state").exists(), "nothing was begun");
}

#[test]
fn a_wrong_code_leaves_the_identity_as_it_was() {
    let stage = Stage::set();
    stage.register();
    let before = stage.vault();
    let wrong = Activation { code: "x".repeat(20), ..stage.activation() };
    let output = stage.registration(&wrong).arg("--force").output().unwrap();
    let (message, remedy) = refusal(&output, Exit::Refused);
    assert!(message.contains("InvalidActivation"), "{message}");
    assert!(remedy.contains("describe-activations"), "{remedy}");
    assert_eq!(stage.vault(), before);
}

#[test]
fn an_unknown_setting_is_named_with_file_line_and_column() {
    let stage = Stage::set();
    stage.settings("[refresh]\n  intervall = \"5m\"\n");
    let file = stage.path("rolekeeper.toml").display().to_string();
    for command in [&["run"][..], &["config", "check"], &["register"]] {
        let (message, remedy) = stage.refused(command, Exit::Configuration);
        let expected = format!("{file}:7:3: unknown field `intervall`");
        assert!(message.starts_with(&expected), "{message}");
        assert_eq!(remedy, format!("mend that line, then `rolekeeper config check {file}`"));
    }
    fs::remove_file(&file).unwrap();
    let (message, _) = stage.refused(&["run"], Exit::Configuration);
    assert!(message.starts_with(&format!("{file}: No such file")), "{message}");
}

#[test]
fn settings_that_would_open_a_file_to_others_are_refused() {
    let stage = Stage::set();
    let file = stage.path("credentials");
    for (more, expected) in [
        (
            "mode = \"0666\"",
            ":9:8: target 'a': credentials are never executable and never writable",
        ),
        (
            "mode = \"0777\"",
            ":9:8: target 'a': credentials are never executable and never writable",
        ),
        ("mode = \"rw\"", ":9:8: target 'a': expected an octal mode"),
    ] {
        stage.settings(&stage.target("a", &file, more));
        let (message, _) = stage.refused(&["config", "check"], Exit::Configuration);
        assert!(message.contains(expected), "{message}");
    }
    let one = stage.target("a", &file, "");
    stage.settings(&(one + &stage.target("b", &file, "profile = \"b\"\nmode = \"0600\"")));
    let (message, _) = stage.refused(&["config", "check"], Exit::Configuration);
    assert!(message.contains(":10: target 'b': gives the same file another owner"), "{message}");
}

#[test]
fn a_file_that_is_open_to_others_is_narrowed_and_this_is_said() {
    let stage = Stage::set();
    fs::create_dir(stage.path("run")).unwrap();
    fs::write(stage.credentials(), FOREIGN).unwrap();
    allow(&stage.credentials(), 0o666);
    let (_, daemon) = stage.start_registered();
    assert_eq!(mode(&stage.credentials()), 0o640);
    assert!(fs::read_to_string(stage.credentials()).unwrap().starts_with(FOREIGN));
    let line = daemon.logged("WARN");
    assert!(line.contains(&stage.credentials().display().to_string()), "{line}");
    assert!(line.contains("mode 0666 and now has ") && line.contains("mode 0640"), "{line}");
}

/// What stands in the way of a target shows in the status, in the log, and as `refresh`'s error;
/// the credentials are held all the same, and get there once it is out of the way.
fn assert_target_refused(stage: &Stage, exit: Exit, expected: &str) -> (Daemon, String) {
    stage.register();
    let daemon = stage.start();
    let status = stage.status_when("an outcome", |status| status["state"] == "fresh");
    let error = status["targets"][0]["error"].as_str().unwrap().to_owned();
    assert!(error.contains(expected), "{error}");
    assert!(error.starts_with("credentials file "), "{error}");
    assert_eq!(status["targets"][0]["written_at"], Value::Null);
    let (message, remedy) = stage.refused(&["refresh"], exit);
    assert_eq!(message, error);
    let line = daemon.logged(&error);
    assert!(line.contains("ERROR") && line.contains(&format!("; try: {remedy}")), "{line}");
    (daemon, remedy)
}

#[test]
fn a_directory_that_others_can_write_is_refused() {
    let stage = Stage::set();
    let directory = stage.path("shared");
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join("credentials"), FOREIGN).unwrap();
    allow(&directory, 0o777);
    let target = stage.target("a", &directory.join("credentials"), "");
    stage.settings(&format!("[targets]\ndefault = false\n{target}"));
    let expected = "is writable by more than its owner (mode 0777)";
    let (_daemon, remedy) = assert_target_refused(&stage, Exit::Refused, expected);
    assert_eq!(remedy, format!("chmod go-w {}", directory.display()));
    assert_eq!(fs::read_to_string(directory.join("credentials")).unwrap(), FOREIGN);
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
    allow(&directory, 0o755);
    stage.succeed(&["refresh"]);
    assert!(fs::read_to_string(directory.join("credentials")).unwrap().starts_with(FOREIGN));
}

#[test]
fn a_symlink_in_a_files_place_is_refused_and_its_aim_untouched() {
    let stage = Stage::set();
    fs::create_dir(stage.path("run")).unwrap();
    fs::write(stage.path("aim"), FOREIGN).unwrap();
    symlink(stage.path("aim"), stage.credentials()).unwrap();
    let expected = "there is a symlink in its place";
    let (_daemon, _) = assert_target_refused(&stage, Exit::Refused, expected);
    assert_eq!(fs::read_to_string(stage.path("aim")).unwrap(), FOREIGN);
    assert!(fs::symlink_metadata(stage.credentials()).unwrap().is_symlink());
    // Programs that ask the daemon have them all the same.
    stage.succeed(&["export"]);
}

#[test]
fn a_credentials_file_that_cannot_be_understood_keeps_every_byte() {
    for (text, exit, expected) in [
        ("[default]\nregion\n", Exit::BadData, "line 2 is neither a [section] nor a `key = value`"),
        ("[a]\nb = c\n[a]\n", Exit::BadData, "line 3 opens the section of line 1 a second time"),
        (
            "[default]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = x\n",
            Exit::BadData,
            "line 2 holds a user's own access key",
        ),
    ] {
        let stage = Stage::set();
        fs::create_dir(stage.path("run")).unwrap();
        fs::write(stage.credentials(), text).unwrap();
        allow(&stage.credentials(), 0o644);
        let (mut daemon, _) = assert_target_refused(&stage, exit, expected);
        assert_eq!(fs::read_to_string(stage.credentials()).unwrap(), text);
        assert_eq!(mode(&stage.credentials()), 0o644);
        daemon.stop();
        // Whether it holds ours cannot be told, unless they are the user's.
        let exit = if expected.contains("a user's own") { Exit::Done } else { exit };
        let output = stage.run(&["deregister", "--local-only"]);
        assert_eq!(output.status.code(), Some(exit as i32), "{text}");
        assert_eq!(fs::read_to_string(stage.credentials()).unwrap(), text);
    }
}

#[test]
fn a_vault_of_another_user_is_left_alone() {
    let stage = Stage::set();
    if !is_root() {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rolekeeper"));
        command.env_clear().args(["run", "--state-dir", "/", "--runtime-dir"]);
        let output = command.arg(stage.path("run")).output().unwrap();
        let (message, remedy) = refusal(&output, Exit::Refused);
        assert!(message.starts_with("/vault: cannot be written"), "{message}");
        assert!(remedy.contains("--state-dir"), "{remedy}");
        return;
    }
    stage.register();
    allow(&stage.path("state"), 0o755);
    let before = stage.vault();
    for command in [&["run"][..], &["fingerprint", "accept"], &["rotate-key"]] {
        let output = stage.command_of_nobody(command).output().unwrap();
        let (message, remedy) = refusal(&output, Exit::Refused);
        let vault = stage.path("state/vault").display().to_string();
        assert!(message.starts_with(&format!("{vault}: belongs to root (uid 0)")), "{message}");
        assert!(remedy.contains("the same with sudo -u root"), "{remedy}");
    }
    assert_eq!(stage.vault(), before);
}

#[test]
fn a_missing_an_unreadable_and_a_damaged_record_are_three_things() {
    let stage = Stage::set();
    stage.register();
    let path = stage.record("InstanceFingerprint");
    let shown = path.display().to_string();
    let diff = |exit| {
        // Root reads everything, so another user has to try.
        if is_root() {
            let owned = |path: &Path| chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
            owned(&stage.path("state"));
            owned(&stage.path("state/vault"));
            stage.vault().iter().for_each(|(name, _)| owned(&stage.record(name)));
            refusal(&stage.command_of_nobody(&["fingerprint", "diff"]).output().unwrap(), exit)
        } else {
            stage.refused(&["fingerprint", "diff"], exit)
        }
    };
    allow(&path, 0o000);
    let (message, remedy) = diff(Exit::Refused);
    assert!(message.starts_with(&format!("{shown}: cannot be read: Permission denied")));
    assert!(remedy.contains(&format!("ls -l {shown}")), "{remedy}");
    allow(&path, 0o600);

    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let (message, remedy) = diff(Exit::BadData);
    assert!(message.starts_with(&format!("{shown}: the record is damaged: it is not a JSON")));
    assert!(remedy.starts_with(&format!("restore {shown} from a backup")), "{remedy}");

    fs::remove_file(&path).unwrap();
    let (message, remedy) = diff(Exit::Configuration);
    assert_eq!(message, format!("{shown}: there is no such record"));
    assert!(remedy.starts_with("restore it from a backup"), "{remedy}");
}

#[test]
fn a_damaged_registration_stops_everything_and_is_kept_aside_by_the_next_one() {
    let stage = Stage::set();
    stage.register();
    let path = stage.record("RegistrationKey");
    fs::write(&path, "{\"instanceID\":\"mi-").unwrap();
    let damaged = stage.vault();
    let spare = stage.activation();
    for (command, exit) in [
        (&["run"][..], Exit::BadData),
        (&["rotate-key"], Exit::BadData),
        (&["deregister"], Exit::BadData),
        (&["status"], Exit::Unavailable),
    ] {
        let (message, remedy) = stage.refused(command, exit);
        assert!(message.contains("RegistrationKey: the record is damaged"), "{message}");
        assert!(remedy.contains("--force"), "{remedy}");
    }
    for option in ["--ensure", "--similarity-threshold=40"] {
        let output = stage.registration(&spare).arg(option).output().unwrap();
        refusal(&output, Exit::BadData);
    }
    assert_eq!((stage.vault(), stage.requests(RegisterManagedInstance)), (damaged, 1));

    printed(stage.registration(&spare).arg("--force").output().unwrap());
    let kept = stage.vault();
    let kept = kept.iter().find(|(name, _)| name.starts_with("RegistrationKey.damaged-"));
    assert_eq!(kept.unwrap().1, b"{\"instanceID\":\"mi-");
    let _daemon = stage.start();
    stage.status_when("credentials", |status| status["state"] == "fresh");
}

#[test]
fn a_missing_fingerprint_stops_the_daemon_before_it_asks() {
    let stage = Stage::set();
    stage.register();
    fs::remove_file(stage.record("InstanceFingerprint")).unwrap();
    let mut daemon = stage.start();
    assert_eq!(daemon.ended().code(), Some(Exit::Configuration as i32));
    let error = daemon.logged("rolekeeper: ");
    assert!(error.ends_with("InstanceFingerprint: there is no such record"), "{error}");
    daemon.logged("try: restore it from a backup");
    assert_eq!(stage.requests(RequestManagedInstanceRoleToken), 0);
}

#[test]
fn a_clock_two_hours_off_is_noticed_and_corrected() {
    for hours in [2, -2] {
        let stage = Stage::set();
        let offset = time::Duration::hours(hours);
        stage.lab.with_service(|service| service.clock = LabClock::skewed(offset));
        let (_, mut daemon) = stage.start_registered();
        let status = stage.status();
        let now = SystemClock.now() + offset;
        let [issued, next, expires] = ["issued_at", "next_refresh_at", "expires_at"]
            .map(|name| moment(&status["credentials"][name]));
        assert!((now - issued).abs() < time::Duration::MINUTE, "{status}");
        assert!(issued < next && next < expires, "{status}");
        assert!((expires - issued - time::Duration::HOUR).abs() < time::Duration::MINUTE);
        let written = moment(&status["targets"][0]["written_at"]);
        assert!((now - written).abs() < time::Duration::MINUTE, "{status}");
        let exported: Value = serde_json::from_str(&stage.succeed(&["export"])).unwrap();
        assert_eq!(moment(&exported["Expiration"]), expires);

        // The next run knows nothing of the skew yet, and must not take the credentials for dead.
        daemon.stop();
        let daemon = stage.start();
        stage.status_when("credentials again", |status| !status["credentials"].is_null());
        assert!(!daemon.log().contains("withdrawn"), "{}", daemon.log());
    }
}

#[test]
fn a_key_is_replaced_although_the_clock_is_two_hours_off() {
    for hours in [2, -2] {
        let stage = Stage::set();
        stage.register();
        let offset = time::Duration::hours(hours);
        stage.lab.with_service(|service| service.clock = LabClock::skewed(offset));
        assert_eq!(stage.succeed(&["rotate-key"]), "the RSA key was replaced\n");
    }
}

#[test]
fn a_registration_at_an_odd_endpoint_fails_in_two_lines_and_loses_nothing() {
    let mut stage = Stage::set();
    stage.register();
    let identity = |stage: &Stage| {
        let mut vault = stage.vault();
        // What was asked and not answered is written down beside the identity.
        vault.retain(|(name, _)| !name.starts_with("PendingRegistration"));
        vault
    };
    let before = identity(&stage);
    let url = stage.lab.endpoint_url();
    for (effect, _, expected) in misbehaviours() {
        stage.fault(Fault::always(effect.clone()));
        let output = stage.registration(&stage.activation()).arg("--force").output().unwrap();
        let (message, remedy) = refusal(&output, Exit::Unavailable);
        assert!(message.starts_with(&format!("RegisterManagedInstance at {url}: ")), "{message}");
        assert!(message.contains(expected), "{effect:?}: {message}");
        assert!(remedy.contains("if an instance appears"), "{remedy}");
        assert!(!remedy.contains("the daemon"), "{remedy}");
        assert_eq!(identity(&stage), before, "{effect:?}");
        stage.clear_faults();
    }
    stage.drop_service();
    let output = stage.registration(&stage.activation()).arg("--force").output().unwrap();
    let (message, _) = refusal(&output, Exit::Unavailable);
    assert!(message.contains("Connection refused"), "{message}");
    assert_eq!(identity(&stage), before);
    stage.raise_service();
    printed(stage.registration(&stage.activation()).arg("--force").output().unwrap());
}

#[test]
fn an_odd_endpoint_is_named_in_the_status_and_the_credentials_stay() {
    let stage = Stage::set();
    let (_, daemon) = stage.start_registered();
    let before = fs::read(stage.credentials()).unwrap();
    for (effect, class, expected) in misbehaviours() {
        stage.fault(Fault::always(effect.clone()).on(RequestManagedInstanceRoleToken));
        let (message, remedy) = stage.refused(&["refresh"], Exit::Unavailable);
        assert!(message.contains(expected), "{effect:?}: {message}");
        let status = stage.status();
        let failure = &status["failure"];
        assert_eq!((&status["state"], &failure["class"]), (&json!("stale"), &json!(class)));
        assert_eq!((&failure["message"], &failure["remedy"]), (&json!(message), &json!(remedy)));
        assert!(failure["attempts"].as_u64().unwrap() >= 1, "{status}");
        let next = moment(&failure["next_try_at"]) - SystemClock.now();
        assert!(next < time::Duration::minutes(5), "{status}");
        let line = daemon.logged(expected);
        assert!(line.contains("WARN") && line.contains(&format!("; try: {remedy}")), "{line}");
        assert_eq!(fs::read(stage.credentials()).unwrap(), before);
        stage.clear_faults();
    }
    stage.succeed(&["refresh"]);
    assert_eq!(stage.status()["failure"], Value::Null);
}

#[test]
fn a_token_that_ends_at_once_is_a_failure_that_shows() {
    let stage = Stage::set();
    stage.register();
    stage.lab.with_service(|service| service.token_lifetime = Duration::from_secs(1));
    let _daemon = stage.start();
    let status = stage.status_when("a failure", |status| !status["failure"].is_null());
    assert_eq!((&status["state"], &status["credentials"]), (&json!("expired"), &Value::Null));
    assert_eq!(status["failure"]["class"], "bad-answer");
    assert!(status["failure"]["message"].as_str().unwrap().contains("before it could be used"));
    assert!(!stage.credentials().exists());
    stage.lab.with_service(|service| service.token_lifetime = Duration::from_secs(3600));
    stage.succeed(&["refresh"]);
}

#[test]
fn a_disk_without_room_keeps_the_identity_and_spends_no_activation() {
    let stage = Stage::set();
    stage.register();
    let before = stage.vault();
    let full = |command: &Command| {
        // No file may grow beyond a block, and the process shall live to be told so.
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", "trap '' XFSZ; ulimit -f 1; exec \"$0\" \"$@\""]);
        shell.env_clear().arg(command.get_program()).args(command.get_args());
        shell
    };
    let mut command = stage.registration(&stage.activation());
    command.arg("--force");
    let (message, remedy) = refusal(&full(&command).output().unwrap(), Exit::CannotCreate);
    assert!(message.contains("PendingRegistration: cannot be written"), "{message}");
    assert!(remedy.contains("has room"), "{remedy}");
    assert_eq!((stage.vault(), stage.requests(RegisterManagedInstance)), (before, 1));

    fs::create_dir(stage.path("run")).unwrap();
    fs::write(stage.credentials(), FOREIGN).unwrap();
    let daemon = Daemon::start(full(&stage.command(&["run"])));
    let status = stage.status_when("an outcome", |status| status["state"] == "fresh");
    let error = status["targets"][0]["error"].as_str().unwrap();
    assert!(error.contains("cannot write it: File too large"), "{error}");
    assert!(daemon.logged(error).contains("; try: check the disk"), "{}", daemon.log());
    assert_eq!(fs::read_to_string(stage.credentials()).unwrap(), FOREIGN);
}

#[test]
fn a_reload_with_a_mistake_in_a_target_disables_that_one() {
    let stage = Stage::set();
    let (_, daemon) = stage.start_registered();
    stage.settings(&stage.target("a", &stage.path("a"), "owner = \"no-such-user\""));
    daemon.signal(Signal::SIGHUP);
    let line = daemon.logged("no-such-user");
    assert!(line.contains("its file is not written; try: create the user"), "{line}");
    let status = stage.status_when("a reload", |status| status["disabled"][0]["name"] == "a");
    assert_eq!(
        (&status["state"], &status["targets"][0]["name"]),
        (&json!("fresh"), &json!("default"))
    );
    assert_eq!(
        value(&fs::read_to_string(stage.credentials()).unwrap(), "aws_access_key_id").len(),
        20
    );
}

#[test]
fn a_command_line_that_is_wrong_gets_two_lines() {
    let stage = Stage::set();
    for arguments in [
        &["regsiter"][..],
        &["register", "--tag", "x"],
        &["register", "--tag", "aws:x=y"],
        &["register", "--tag", "x=y&z"],
        &["register", "--similarity-threshold", "101"],
        &["export", "--format", "xml"],
        &["fingerprint", "set-threshold", "many"],
        &["status", "now"],
    ] {
        let (_, remedy) = stage.refused(arguments, Exit::Usage);
        assert!(remedy.starts_with("rolekeeper") && remedy.ends_with("--help"), "{remedy}");
    }
    let bare = Command::new(env!("CARGO_BIN_EXE_rolekeeper")).env_clear().output().unwrap();
    assert_eq!(bare.status.code(), Some(Exit::Usage as i32));
    two_lines(&String::from_utf8_lossy(&bare.stderr));
}
