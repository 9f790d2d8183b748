//! `rolekeeper advise` about real processes: what they have in their environment and files, what is
//! said of it, and that what is advised is judged good afterwards. Several users take part where root
//! runs the tests.

#[allow(dead_code, reason = "each file of tests plays with a part of it")]
mod stage;

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use rolekeeper::pure::advice::Exit;
use rolekeeper::pure::chain::Sdk;
use serde_json::{Value, json};

use stage::{Daemon, NOBODY, Stage, is_root, printed, refusal};

const STALE: [(&str, &str); 3] = [
    ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
    ("AWS_SECRET_ACCESS_KEY", "hunter2hunter2"),
    ("AWS_SESSION_TOKEN", "hunter2hunter2"),
];

const KEYS: &str =
    "[default]\naws_access_key_id = ASIAIOSFODNN7EXAMPLE\naws_secret_access_key = hunter2hunter2\n";

/// Makes `sleep` with a mark behind it.
const COPY: &str = "rm -f $1 && cp $(command -v sleep) $1 && printf %s $2 >> $1";

/// A program that runs until the test is over.
struct Running(Child);

impl Running {
    fn start(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }

    /// With this environment and no other.
    fn with(environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new("sleep");
        command.arg("1000").env_clear().envs(environment.iter().copied());
        Self::start(command)
    }

    fn pid(&self) -> String {
        self.0.id().to_string()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn advise(stage: &Stage, program: &Running, more: &[&str]) -> Output {
    let pid = program.pid();
    let output = stage.run(&[&["advise", "--pid", &pid], more].concat());
    let all = [&output.stdout[..], &output.stderr].concat();
    let all = String::from_utf8(all).unwrap();
    assert!(!all.contains("hunter2") && !all.contains("IOSFODNN7"), "{all}");
    output
}

fn judged(stage: &Stage, program: &Running, more: &[&str]) -> (Value, Option<i32>) {
    let output = advise(stage, program, &[&["--json"], more].concat());
    let text = String::from_utf8(output.stdout).unwrap();
    let report = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    (report, output.status.code())
}

fn code(exit: Exit) -> Option<i32> {
    Some(exit as i32)
}

/// A port that nobody listens at.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A stage whose settings have both endpoints and two consumers with tokens; `web` is that user's.
struct Endpoints {
    stage: Stage,
    container: u16,
    metadata: u16,
    daemon: Daemon,
}

impl Endpoints {
    fn of(user: u32) -> Self {
        let stage = Stage::set();
        let (container, metadata) = (free_port(), free_port());
        let consumer = |name: &str, user| {
            let token = stage.path(&format!("{name}.token"));
            let token = token.display();
            format!(
                "[[consumer]]\nname = \"{name}\"\nusers = [\"{user}\"]\ntoken_file = \"{token}\"\n"
            )
        };
        stage.settings(&format!(
            "[endpoint.container]\nlisten = \"127.0.0.1:{container}\"\n\
             [endpoint.imds]\nlisten = \"127.0.0.1:{metadata}\"\n{}{}",
            consumer("web", user),
            consumer("batch", user)
        ));
        let (_, daemon) = stage.start_registered();
        for kind in ["container", "imds"] {
            stage.status_when(kind, |status| {
                let endpoints = status["endpoints"].as_array().cloned().unwrap_or_default();
                endpoints
                    .iter()
                    .any(|endpoint| endpoint["kind"] == kind && endpoint["error"] == Value::Null)
            });
        }
        Self { stage, container, metadata, daemon }
    }

    fn uri(&self, consumer: &str) -> String {
        format!("http://127.0.0.1:{}/credentials/{consumer}", self.container)
    }

    fn token_file(&self, consumer: &str) -> String {
        self.stage.path(&format!("{consumer}.token")).to_str().unwrap().to_owned()
    }

    /// What is said of a program with these two variables.
    fn judged(&self, uri: &str, token: (&str, &str)) -> (Value, Option<i32>) {
        let program = Running::with(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri), token]);
        judged(&self.stage, &program, &["--sdk", "boto3"])
    }
}

fn own_uid() -> u32 {
    nix::unistd::geteuid().as_raw()
}

/// The environment that a report advises, over another.
fn mended(report: &Value, environment: &[(&str, &str)]) -> Vec<(String, String)> {
    let remedy = &report["remedy"];
    if let Some(path) = remedy["file"]["path"].as_str() {
        fs::create_dir_all(Path::new(path).parent().unwrap()).unwrap();
        fs::write(path, remedy["file"]["content"].as_str().unwrap()).unwrap();
    }
    let unset = remedy["unset"].as_array().unwrap();
    let kept = environment.iter().filter(|(name, _)| !unset.iter().any(|unset| unset == name));
    let mut all = kept.map(|(name, value)| ((*name).into(), (*value).into())).collect::<Vec<_>>();
    for (name, value) in remedy["set"].as_object().unwrap() {
        all.retain(|(other, _): &(String, String)| other != name);
        all.push((name.clone(), value.as_str().unwrap().to_owned()));
    }
    all
}

#[test]
fn every_sdk_is_told_what_keeps_it_and_mended_by_what_is_printed() {
    let plain = Stage::set();
    let _daemon = plain.start_registered();
    let endpoints = Endpoints::of(own_uid());
    for stage in [&plain, &endpoints.stage] {
        let home = stage.path("home");
        fs::create_dir_all(home.join(".aws")).unwrap();
        fs::write(home.join(".aws/credentials"), KEYS).unwrap();
        let home = home.to_str().unwrap();
        let stale = [&STALE[..], &[("HOME", home), ("AWS_PROFILE", "gone")]].concat();
        let program = Running::with(&stale);
        for sdk in Sdk::ALL {
            let named = ["--sdk", sdk.name()];
            let (report, status) = judged(stage, &program, &named);
            assert_eq!(status, code(Exit::Configuration), "{sdk}: {report}");
            let advised = mended(&report, &stale);
            let advised = advised.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            let after = Running::with(&advised.collect::<Vec<_>>());
            let (report, status) = judged(stage, &after, &named);
            assert_eq!((&report["verdict"], status), (&json!("renewed"), Some(0)), "{report}");
            assert_eq!(report["remedy"], Value::Null);
        }
        // One for all, where the SDK is not known.
        let (report, status) = judged(stage, &program, &[]);
        assert_ne!(status, Some(0));
        let advised = mended(&report, &stale);
        let advised = advised.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let after = Running::with(&advised.collect::<Vec<_>>());
        assert_eq!(judged(stage, &after, &[]).1, Some(0));
    }
}

#[test]
fn the_page_shows_what_is_used_what_it_hides_and_what_to_do() {
    let stage = Stage::set();
    let home = stage.path("home");
    fs::create_dir_all(home.join(".aws")).unwrap();
    fs::write(home.join(".aws/credentials"), KEYS).unwrap();
    let program = Running::with(&[&STALE[..], &[("HOME", home.to_str().unwrap())]].concat());
    let output = advise(&stage, &program, &["--sdk", "boto3"]);
    let page = String::from_utf8(output.stdout.clone()).unwrap();
    for line in [
        "sdk          boto3 (botocore): named with --sdk",
        "profile      default",
        "environment  AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN",
        "used         keys, environment: AWS_ACCESS_KEY_ID (access key id ..MPLE, a user's own, \
         without an end)",
        "shadowed     keys, credentials file: [default] of ",
        "verdict      NOT RENEWED: keys in the environment stay as they are for as long as the \
         program runs",
        "unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN",
        "credential_process = ",
    ] {
        assert!(page.lines().any(|shown| shown.starts_with(line)), "no '{line}' in:\n{page}");
    }
    let (message, remedy) = refusal(&output, Exit::Configuration);
    assert!(message.starts_with("it will not see renewed credentials: keys in the"), "{message}");
    assert_eq!(remedy, "what is printed above");
}

#[test]
fn our_file_is_good_for_those_who_read_it_again() {
    let stage = Stage::set();
    let _daemon = stage.start_registered();
    let ours = stage.credentials();
    let program = Running::with(&[("AWS_SHARED_CREDENTIALS_FILE", ours.to_str().unwrap())]);
    let judged = |sdk: &str| {
        let (report, status) = judged(&stage, &program, &["--sdk", sdk]);
        (report["reason"].as_str().unwrap().to_owned(), status)
    };
    let (reason, status) = judged("boto3");
    assert_eq!(status, code(Exit::Configuration));
    assert!(reason.ends_with("but boto3 (botocore) reads it once in a process's life"), "{reason}");
    for (sdk, expected) in [("cpp", "again every 5 minutes"), ("aws-cli", "in each run")] {
        let (reason, status) = judged(sdk);
        assert_eq!(status, Some(0), "{reason}");
        assert!(reason.ends_with(expected), "{reason}");
    }
    // It depends on the SDK, and that is not known.
    let output = advise(&stage, &program, &[]);
    let page = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(page.contains("with         aws-cli, cpp: renewed\n"), "{page}");
    let (_, remedy) = refusal(&output, Exit::Unavailable);
    assert!(remedy.starts_with("name its SDK with --sdk"), "{remedy}");
    // By another name it is the same file.
    let link = stage.path("link");
    symlink(&ours, &link).unwrap();
    let program = Running::with(&[("AWS_SHARED_CREDENTIALS_FILE", link.to_str().unwrap())]);
    assert_eq!(advise(&stage, &program, &["--sdk", "cpp"]).status.code(), Some(0));
}

#[test]
fn what_is_advised_keeps_the_role_of_the_target_that_was_read() {
    let stage = Stage::set();
    let reports = stage.path("reports");
    stage.settings(&stage.target("reports", &reports, ""));
    let _daemon = stage.start_registered();
    stage::wait_for("the file", || fs::read(&reports).map_err(|error| error.to_string()));
    let program = Running::with(&[("AWS_SHARED_CREDENTIALS_FILE", reports.to_str().unwrap())]);
    let page = String::from_utf8(advise(&stage, &program, &["--sdk", "boto3"]).stdout).unwrap();
    assert!(page.contains("credential-process --target reports"), "{page}");
}

#[test]
fn an_sdk_is_recognised_by_the_mark_in_a_program() {
    let stage = Stage::set();
    for (mark, expected) in [
        ("github.com/aws/aws-sdk-go-v2/config", "go"),
        ("aws-sdk-cpp/1.11.0", "cpp"),
        ("/registry/src/aws-runtime-1.10.2/src/lib.rs", "rust"),
        ("aws-sdk-of-somebody-else", ""),
    ] {
        let path = stage.path("program");
        // By a process of its own, as the stage does with the binary.
        let mut copy = Command::new("sh");
        copy.args(["-c", COPY, "sh"]).arg(&path).arg(mark);
        assert!(copy.status().unwrap().success());
        let mut command = Command::new(&path);
        command.arg("1000").env_clear();
        let (report, _) = judged(&stage, &Running::start(command), &[]);
        let named = report["sdk"]["name"].as_str().unwrap_or_default();
        assert_eq!(named, expected, "{report}");
        assert_eq!(report["program"]["executable"], json!(path));
    }
}

#[test]
fn a_script_of_python_is_recognised_by_what_it_would_import() {
    let stage = Stage::set();
    let library = stage.path("library");
    fs::create_dir_all(library.join("botocore")).unwrap();
    let mut command = Command::new("python3");
    command.args(["-c", "import time; print(flush=True); time.sleep(1000)"]);
    command.env("PYTHONPATH", &library).env_remove("AWS_PROFILE");
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let stdout = child.stdout.take().unwrap();
    let program = Running(child);
    // A wrapper may stand before the interpreter: it runs once a line has come.
    BufReader::new(stdout).read_line(&mut String::new()).unwrap();
    let (report, _) = judged(&stage, &program, &[]);
    assert_eq!(report["sdk"]["name"], "boto3", "{report}");
    let evidence = report["sdk"]["evidence"].as_str().unwrap();
    assert!(evidence.contains(library.to_str().unwrap()), "{evidence}");
}

#[test]
fn without_a_program_the_callers_environment_is_looked_at() {
    let stage = Stage::set();
    let mut command = stage.command(&["advise", "--sdk", "ruby", "--json"]);
    let output = command.envs(STALE).output().unwrap();
    let report = serde_json::from_slice::<Value>(&output.stdout).unwrap();
    assert_eq!(report["program"]["pid"], Value::Null);
    assert_eq!(report["verdict"], "not-renewed");
    assert_eq!(output.status.code(), code(Exit::Configuration));
}

#[test]
fn the_members_of_the_report_stay_as_they_are() {
    let stage = Stage::set();
    let (report, _) = judged(&stage, &Running::with(&STALE), &["--sdk", "java"]);
    let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let all = [
        "by_sdk",
        "chain",
        "credentials",
        "environment",
        "files",
        "profile",
        "program",
        "reason",
        "region",
        "remedy",
        "sdk",
        "shadowed",
        "verdict",
        "warnings",
    ];
    let mut found = names(&report);
    found.sort();
    assert_eq!(found, all);
    let mut remedy = names(&report["remedy"]);
    remedy.sort();
    assert_eq!(remedy, ["drop_in", "file", "notes", "set", "settings", "shell", "unset"]);
    let step = &report["chain"][0];
    assert_eq!(step["source"], "keys");
    assert_eq!(step["place"], "environment");
    assert_eq!(step["verdict"], "used");
}

#[test]
fn a_consumer_with_a_token_is_led_to_the_container_endpoint() {
    let endpoints = Endpoints::of(own_uid());
    let stage = &endpoints.stage;
    let (report, _) = judged(stage, &Running::with(&STALE), &["--sdk", "go"]);
    assert_eq!(report["remedy"]["set"]["AWS_CONTAINER_CREDENTIALS_FULL_URI"], Value::Null);
    let (report, _) = judged(stage, &Running::with(&STALE), &["--sdk", "php"]);
    let remedy = &report["remedy"];
    let uri = &remedy["set"]["AWS_CONTAINER_CREDENTIALS_FULL_URI"];
    assert_eq!(*uri, json!(endpoints.uri("web")));
    let token = &remedy["set"]["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"];
    assert_eq!(*token, json!(endpoints.token_file("web")));
    assert_eq!(remedy["file"], Value::Null);
}

#[test]
fn the_container_endpoint_is_good_with_the_consumers_current_token_alone() {
    const FILE: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";
    const TOKEN: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN";
    let endpoints = Endpoints::of(own_uid());
    let (web, batch) = (endpoints.token_file("web"), endpoints.token_file("batch"));
    let (report, status) = endpoints.judged(&endpoints.uri("web"), (FILE, &web));
    assert_eq!((&report["verdict"], status), (&json!("renewed"), Some(0)), "{report}");
    assert_eq!(report["credentials"]["name"], "web");
    assert!(report["credentials"]["expires_at"].is_string(), "{report}");

    let uri = endpoints.uri("web");
    let program = Running::with(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &uri), (FILE, &web)]);
    let page = printed(advise(&endpoints.stage, &program, &["--sdk", "boto3"]));
    assert!(page.contains("verdict      RENEWED: boto3"), "{page}");
    assert!(page.contains("\ngets         web, until 20"), "{page}");

    let copy = endpoints.stage.path("copy").to_str().unwrap().to_owned();
    fs::copy(&web, &copy).unwrap();
    let old = endpoints.stage.path("old").to_str().unwrap().to_owned();
    fs::write(&old, "0".repeat(64)).unwrap();
    let value = fs::read_to_string(&web).unwrap();
    let (web_uri, gone) = (endpoints.uri("web"), endpoints.uri("gone"));
    for (uri, token, verdict, why) in [
        (&web_uri, ("UNRELATED", "x"), "refused", "wants a token"),
        (&web_uri, (FILE, &*old), "refused", "is none that the container endpoint knows"),
        (&web_uri, (FILE, &*batch), "refused", "the token is consumer 'batch''s"),
        (&gone, (FILE, &*web), "refused", "the token is consumer 'web''s"),
        (&web_uri, (FILE, &*copy), "not-renewed", "is a copy of the consumer's token file"),
        (&web_uri, (TOKEN, &*value), "not-renewed", "holds the endpoint's token itself"),
    ] {
        let (report, status) = endpoints.judged(uri, token);
        let reason = report["reason"].as_str().unwrap();
        assert_eq!((&report["verdict"], status), (&json!(verdict), code(Exit::Configuration)));
        assert!(reason.contains(why), "{reason}");
        assert!(!report.to_string().contains(&value), "{report}");
        assert_ne!(report["remedy"], Value::Null, "{report}");
    }
}

#[test]
fn nothing_is_good_without_a_daemon_or_without_its_endpoint() {
    let Endpoints { stage, metadata, mut daemon, .. } = Endpoints::of(own_uid());
    let uri = format!("http://127.0.0.1:{metadata}/");
    let program = Running::with(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &uri)]);
    let named = ["--sdk", "java"];
    assert_eq!(judged(&stage, &program, &named).0["verdict"], "renewed");
    daemon.stop();
    let (report, status) = judged(&stage, &program, &named);
    assert_eq!((&report["verdict"], status), (&json!("untold"), code(Exit::Unavailable)));
    let output = advise(&stage, &program, &named);
    let (message, remedy) = refusal(&output, Exit::Unavailable);
    assert!(message.starts_with("it cannot be told what it will see: no daemon answers at"));
    assert!(remedy.starts_with("systemctl restart rolekeeper"), "{remedy}");
    // Somebody else listens there now.
    let _other = TcpListener::bind(("127.0.0.1", metadata)).unwrap();
    let _daemon = stage.start();
    stage.status_when("trouble", |status| status["endpoints"].to_string().contains("error\":\""));
    let (report, status) = judged(&stage, &program, &named);
    assert_eq!((&report["verdict"], status), (&json!("untold"), code(Exit::Unavailable)));
    assert!(report["reason"].as_str().unwrap().contains("does not listen"), "{report}");
}

/// A process of another user, which only root can start.
fn of_nobody(environment: &[(&str, &str)]) -> Running {
    let mut command = Command::new("sleep");
    command.arg("1000").env_clear().envs(environment.iter().copied());
    Running::start({
        command.uid(NOBODY).gid(NOBODY);
        command
    })
}

#[test]
fn a_user_whom_no_rule_names_is_refused_and_served_by_what_is_printed() {
    if !is_root() {
        eprintln!("skipped: only root can start another user's program");
        return;
    }
    let endpoints = Endpoints::of(0);
    let stage = &endpoints.stage;
    let rolekeeper = stage.open_binary();
    let config = stage.path("config");
    let process = |more: &str| {
        let (program, run) = (rolekeeper.display(), stage.path("run"));
        let run = run.display();
        let line = format!("credential_process = {program} --runtime-dir {run} credential-process");
        fs::write(&config, format!("[default]\n{line}{more}\n")).unwrap();
    };
    let variables = [("AWS_CONFIG_FILE", config.to_str().unwrap())];
    let by_process = of_nobody(&variables);
    let uri = format!("http://127.0.0.1:{}/", endpoints.metadata);
    let by_metadata = of_nobody(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &uri)]);
    process("");
    for program in [&by_process, &by_metadata] {
        let (report, status) = judged(stage, program, &["--sdk", "go"]);
        assert_eq!((&report["verdict"], status), (&json!("refused"), code(Exit::Configuration)));
        let reason = report["reason"].as_str().unwrap();
        assert_eq!(reason, format!("user {NOBODY} may have no credentials here"));
        let settings = report["remedy"]["settings"]["content"].as_str().unwrap();
        assert!(settings.starts_with("[[consumer]]\n"), "{settings}");
    }
    // The very thing that it would run says the same.
    let mut real = stage.command_of_nobody(&["credential-process"]);
    assert_eq!(real.output().unwrap().status.code(), code(Exit::Refused));
    // Of what was only asked about, nothing is logged.
    endpoints.daemon.logged("credentials refused");
    let log = endpoints.daemon.log();
    let asked = log.lines().filter(|line| line.contains("credentials refused")).count();
    assert_eq!(asked, 1, "{log}");
    assert!(!log.contains("handed out"), "{log}");

    let settings = fs::read_to_string(stage.path("rolekeeper.toml")).unwrap();
    let consumer = format!("[[consumer]]\nname = \"nobody\"\nusers = [\"{NOBODY}\"]\n");
    fs::write(stage.path("rolekeeper.toml"), settings + &consumer).unwrap();
    endpoints.daemon.signal(nix::sys::signal::Signal::SIGHUP);
    stage::wait_for("the new rules", || {
        let (report, _) = judged(stage, &by_process, &["--sdk", "go"]);
        if report["verdict"] == "renewed" { Ok(()) } else { Err(report.to_string()) }
    });
    assert_eq!(judged(stage, &by_metadata, &["--sdk", "go"]).1, Some(0));
    // The command names what that user may not have.
    process(" --target web");
    let (report, _) = judged(stage, &by_process, &["--sdk", "go"]);
    assert_eq!(report["verdict"], "refused", "{report}");
}

/// A mistake in the settings is mended there: neither a drop-in nor one more rule helps.
#[test]
fn what_is_disabled_is_refused_and_nothing_else_is_advised() {
    let endpoints = Endpoints::of(if is_root() { NOBODY } else { own_uid() });
    let stage = &endpoints.stage;
    let rolekeeper = stage.open_binary();
    let config = stage.path("config");
    let (program, run) = (rolekeeper.display(), stage.path("run"));
    let command = format!("{program} --runtime-dir {} credential-process", run.display());
    let token = fs::read_to_string(endpoints.token_file("web")).unwrap();
    let uri = endpoints.uri("web");

    let path = stage.path("rolekeeper.toml");
    let settings = fs::read_to_string(&path).unwrap();
    let broken = settings.replace("users = ", "units = \"no list\"\nusers = ");
    fs::write(&path, broken).unwrap();
    let (message, _) = stage.refused(&["reload"], Exit::Configuration);
    assert!(message.contains("consumer 'web'"), "{message}");

    let refused = |program: &Running, name: &str| {
        let (report, status) = judged(stage, program, &["--sdk", "boto3"]);
        assert_eq!((&report["verdict"], status), (&json!("refused"), code(Exit::Configuration)));
        let reason = format!("'{name}' is disabled by a mistake in the settings");
        assert_eq!((&report["reason"], &report["remedy"]), (&json!(reason), &Value::Null));
        let output = advise(stage, program, &["--sdk", "boto3"]);
        let (_, remedy) = refusal(&output, Exit::Configuration);
        assert_eq!(remedy, "mend what `sudo rolekeeper status` says of it");
    };
    fs::write(&config, format!("[default]\ncredential_process = {command} --target web\n"))
        .unwrap();
    let variables = [("AWS_CONFIG_FILE", config.to_str().unwrap())];
    refused(&Running::with(&variables), "web");
    let (report, _) = endpoints.judged(&uri, ("AWS_CONTAINER_AUTHORIZATION_TOKEN", &token));
    assert_eq!(report["verdict"], "refused", "{report}");
    assert!(report["reason"].as_str().unwrap().contains("'web' is disabled"), "{report}");
    if !is_root() {
        return eprintln!("skipped in part: only root can start another user's program");
    }
    // It is named by a rule, and so gets nothing of those that come behind.
    fs::write(&config, format!("[default]\ncredential_process = {command}\n")).unwrap();
    refused(&of_nobody(&variables), "web");
    let metadata = format!("http://127.0.0.1:{}/", endpoints.metadata);
    refused(&of_nobody(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &metadata)]), "web");
    // Of what it uses instead, it is told what to do, and that this does not suffice.
    let (report, _) = judged(stage, &of_nobody(&STALE), &["--sdk", "boto3"]);
    assert_eq!(report["verdict"], "not-renewed", "{report}");
    assert_eq!(report["remedy"]["settings"], Value::Null, "{report}");
    assert!(report["remedy"]["notes"].to_string().contains("'web' is disabled"), "{report}");
}

#[test]
fn what_another_user_would_get_is_not_for_everybody_to_ask() {
    if !is_root() {
        eprintln!("skipped: only root can act as another user");
        return;
    }
    let stage = Stage::set();
    let _daemon = stage.start_registered();
    let asked = |uid: u32| {
        let line = json!({"command": "dry-run", "via": {"process": {"target": null}}, "program":
            {"uid": uid, "groups": [0], "pid": null, "unit": null, "executable": null}});
        let script = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); \
                      s.sendall(sys.argv[2].encode() + b'\\n'); print(s.recv(9999).decode())";
        let mut command = Command::new("/usr/bin/python3");
        command.args(["-c", script]).arg(stage.path("run/consumers.sock")).arg(line.to_string());
        printed(command.uid(NOBODY).gid(NOBODY).output().unwrap())
    };
    assert!(asked(0).contains("is for root and the service's group to ask"), "{}", asked(0));
    // Made-up groups open nothing.
    assert!(asked(NOBODY).contains("may have no credentials here"), "{}", asked(NOBODY));
}

#[test]
fn a_file_that_stays_the_old_one_is_not_renewed() {
    let stage = Stage::set();
    let (_, daemon) = stage.start_registered();
    let ours = stage.credentials();
    let linked = stage.path("linked");
    fs::hard_link(&ours, &linked).unwrap();
    let of = |file: &Path| {
        let program = Running::with(&[("AWS_SHARED_CREDENTIALS_FILE", file.to_str().unwrap())]);
        let (report, status) = judged(&stage, &program, &["--sdk", "cpp"]);
        (report["reason"].as_str().unwrap().to_owned(), status)
    };
    let (reason, status) = of(&linked);
    assert!(reason.starts_with("a hard link to the file of our target"), "{reason}");
    assert_eq!(status, code(Exit::Configuration));

    // In a namespace of its own: the file is mounted, its directory, and another in its place.
    let (file, directory) = (stage.path("file"), stage.path("directory"));
    fs::write(&file, "").unwrap();
    fs::create_dir(&directory).unwrap();
    let inside = |script: &str, read: &Path| {
        let mut command = Command::new("unshare");
        if !is_root() {
            command.arg("--map-root-user");
        }
        let script = format!("{script} && echo ready && exec sleep 1000");
        command.args(["--mount", "sh", "-c", &script, "sh"]);
        command.args([&ours, &file, &directory, &stage.path("run")]);
        command.env("AWS_SHARED_CREDENTIALS_FILE", read).stdin(Stdio::null());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        let program = Running(child);
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        program
    };
    let mounted = inside("mount --bind $1 $2", &file);
    let whole = inside("mount --bind $4 $3", &directory.join("credentials"));
    fs::write(stage.path("other"), KEYS).unwrap();
    let replaced = inside("mount --bind $(dirname $2)/other $1", &ours);
    let said = |program: &Running| {
        let (report, status) = judged(&stage, program, &["--sdk", "cpp"]);
        (report["reason"].as_str().unwrap().to_owned(), status)
    };
    let told = "the file of our target 'default' itself is mounted there, and stays as it was";
    let check = || {
        let (reason, status) = said(&mounted);
        assert!(reason.starts_with(told), "{reason}");
        assert_eq!(status, code(Exit::Configuration));
        assert_eq!(said(&whole).1, Some(0), "{}", said(&whole).0);
    };
    check();
    // The kernel takes that mount away when the file below it is replaced.
    assert_eq!(said(&replaced).0, "these keys are not ours");
    // After a renewal, too; a file with two names would not be renewed.
    fs::remove_file(&linked).unwrap();
    let before = fs::read(&ours).unwrap();
    stage.succeed(&["refresh"]);
    assert_ne!(fs::read(&ours).unwrap(), before, "{}", daemon.log());
    check();
}

/// `sleep` in namespaces of its own, after a script has run there with these arguments.
fn apart(
    kinds: &[&str],
    script: &str,
    arguments: &[&Path],
    environment: &[(&str, &str)],
) -> Running {
    let mut command = Command::new("unshare");
    if !is_root() {
        command.arg("--map-root-user");
    }
    let script = format!("{script} && echo ready && exec sleep 1000");
    command.args(kinds).args(["sh", "-c", &script, "sh"]).args(arguments);
    command.envs(environment.iter().copied());
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let stdout = child.stdout.take().unwrap();
    let program = Running(child);
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    program
}

#[test]
fn our_endpoints_are_not_on_the_loopback_of_another_network() {
    let endpoints = Endpoints::of(own_uid());
    let stage = &endpoints.stage;
    let home = stage.path("home");
    let home = ("HOME", home.to_str().unwrap());
    let metadata = format!("http://127.0.0.1:{}/", endpoints.metadata);
    let (uri, token) = (endpoints.uri("web"), endpoints.token_file("web"));
    let by_metadata = [home, ("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata.as_str())];
    let by_container = [
        home,
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri.as_str()),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token.as_str()),
    ];
    for variables in [&by_metadata[..], &by_container] {
        let same = apart(&["--mount"], "true", &[], variables);
        assert_eq!(judged(stage, &same, &["--sdk", "boto3"]).1, Some(0));
        let other = apart(&["--net"], "true", &[], variables);
        let (report, status) = judged(stage, &other, &["--sdk", "boto3"]);
        assert_eq!(
            (&report["verdict"], status),
            (&json!("not-renewed"), code(Exit::Configuration)),
            "{report}"
        );
        assert!(report["reason"].as_str().unwrap().contains("network of its own"), "{report}");
        // A socket is a file, and needs no network.
        let remedy = &report["remedy"];
        let content = remedy["file"]["content"].as_str().unwrap_or_else(|| panic!("{report}"));
        assert!(content.contains(" credential-process"), "{report}");
        let advised = mended(&report, variables);
        let advised = advised.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let after = apart(&["--net"], "true", &[], &advised.collect::<Vec<_>>());
        assert_eq!(judged(stage, &after, &["--sdk", "boto3"]).1, Some(0));
    }
}

#[test]
fn a_proxy_keeps_botocore_from_our_metadata_endpoint() {
    let endpoints = Endpoints::of(own_uid());
    let stage = &endpoints.stage;
    let metadata = format!("http://127.0.0.1:{}/", endpoints.metadata);
    let variables = [
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata.as_str()),
        ("HTTP_PROXY", "http://user:hunter2@127.0.0.1:1"),
        ("NO_PROXY", "example.com"),
    ];
    let program = Running::with(&variables);
    assert_eq!(judged(stage, &program, &["--sdk", "go"]).1, Some(0));
    let (report, status) = judged(stage, &program, &["--sdk", "boto3"]);
    assert_eq!((&report["verdict"], status), (&json!("not-renewed"), code(Exit::Configuration)));
    assert_eq!(report["remedy"]["set"], json!({"NO_PROXY": "example.com,127.0.0.1"}), "{report}");
    let advised = mended(&report, &variables);
    let advised = advised.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let after = Running::with(&advised.collect::<Vec<_>>());
    assert_eq!(judged(stage, &after, &["--sdk", "boto3"]).1, Some(0));
    // botocore asks no proxy for a container's endpoint.
    let (uri, token) = (endpoints.uri("web"), endpoints.token_file("web"));
    let program = Running::with(&[
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri.as_str()),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token.as_str()),
        variables[1],
    ]);
    assert_eq!(judged(stage, &program, &["--sdk", "boto3"]).1, Some(0));
}

#[test]
fn our_process_is_good_where_the_program_sees_the_daemons_sockets_alone() {
    let stage = Stage::set();
    let _daemon = stage.start_registered();
    let (empty, other, config) = (stage.path("empty"), stage.path("other"), stage.path("config"));
    fs::create_dir(&empty).unwrap();
    fs::create_dir(&other).unwrap();
    let run = stage.path("run");
    let rolekeeper = stage.open_binary();
    let looks_at = |directory: &Path| {
        let (program, directory) = (rolekeeper.display(), directory.display());
        let line = format!("{program} --runtime-dir {directory} credential-process");
        fs::write(&config, format!("[default]\ncredential_process = {line}\n")).unwrap();
    };
    let variables = [("AWS_CONFIG_FILE", config.to_str().unwrap())];
    let hidden = apart(&["--mount"], "mount --bind $1 $2", &[&empty, &run], &variables);
    let elsewhere = apart(&["--mount"], "mount --bind $1 $2", &[&run, &other], &variables);
    looks_at(&run);
    let output = advise(&stage, &hidden, &["--sdk", "boto3"]);
    let (message, remedy) = refusal(&output, Exit::Configuration);
    assert!(message.contains("the daemon's sockets are not in"), "{message}");
    assert!(remedy.starts_with("mount ") && remedy.contains("the directory, not"), "{remedy}");
    assert_eq!(judged(&stage, &elsewhere, &["--sdk", "boto3"]).1, Some(0));
    looks_at(&other);
    let (report, status) = judged(&stage, &elsewhere, &["--sdk", "boto3"]);
    assert_eq!((&report["verdict"], status), (&json!("renewed"), Some(0)), "{report}");
    assert_eq!(judged(&stage, &hidden, &["--sdk", "go"]).0["verdict"], "not-renewed");
}

#[test]
fn a_process_is_ours_only_with_words_that_our_program_takes() {
    let stage = Stage::set();
    let _daemon = stage.start_registered();
    let config = stage.path("config");
    let (program, run) = (stage.open_binary(), stage.path("run"));
    let (program, run) = (program.display(), run.display());
    let variables = [("AWS_CONFIG_FILE", config.to_str().unwrap())];
    let program_of_test = Running::with(&variables);
    for (more, by_boto3, by_go) in [
        ("", "renewed", "renewed"),
        (" --nonsense", "nothing", "nothing"),
        (" --consumer nope", "nothing", "nothing"),
        (" --help", "nothing", "nothing"),
        (" -V", "nothing", "nothing"),
        // Go takes the rest for a comment of the file.
        (" # x", "nothing", "renewed"),
        (" | cat", "nothing", "untold"),
        (" >/dev/null", "nothing", "untold"),
        (" && true", "nothing", "untold"),
    ] {
        let line = format!("{program} --runtime-dir {run} credential-process{more}");
        fs::write(&config, format!("[default]\ncredential_process = {line}\n")).unwrap();
        for (sdk, expected) in [("boto3", by_boto3), ("go", by_go)] {
            let (report, _) = judged(&stage, &program_of_test, &["--sdk", sdk]);
            assert_eq!(report["verdict"], expected, "{more}, {sdk}: {report}");
        }
    }
}

#[test]
fn nothing_is_to_be_pasted_that_acts_on_a_terminal() {
    let stage = Stage::set();
    for home in ["/h\u{1b}]0;x\u{7}\u{1b}[2K\rverdict", "/h\nreboot", "/h\u{9b}2J", "/h\u{7f}"] {
        let program = Running::with(&[("HOME", home), ("AWS_PROFILE", "nope")]);
        let output = advise(&stage, &program, &["--sdk", "go"]);
        let all = [&output.stdout[..], &output.stderr].concat();
        let all = String::from_utf8(all).unwrap();
        assert!(!all.contains(|c: char| c.is_control() && c != '\n'), "{all:?}");
        assert!(!all.contains("export ") && all.contains("there is nothing to paste"), "{all}");
        let json = advise(&stage, &program, &["--sdk", "go", "--json"]).stdout;
        let json = String::from_utf8(json).unwrap();
        assert!(!json.trim_end().contains(char::is_control), "{json:?}");
        let report = serde_json::from_str::<Value>(&json).unwrap();
        assert_eq!(
            (&report["remedy"]["shell"], &report["remedy"]["file"]),
            (&json!(""), &Value::Null)
        );
    }
}

#[test]
fn strange_files_are_neither_waited_for_nor_followed() {
    let stage = Stage::set();
    let at = |name: &str| stage.path(name);
    nix::unistd::mkfifo(&at("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    symlink(at("loop"), at("loop")).unwrap();
    fs::create_dir(at("directory")).unwrap();
    fs::write(at("long"), vec![b'#'; 2 << 20]).unwrap();
    fs::write(at("bytes"), (0..=255).cycle().take(4096).collect::<Vec<u8>>()).unwrap();
    let zero = PathBuf::from("/dev/zero");
    let strange = ["pipe", "loop", "directory", "long", "bytes"].map(at);
    for path in strange.iter().chain([&zero]) {
        let path = path.to_str().unwrap();
        for variable in ["AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"] {
            let program = Running::with(&[(variable, path)]);
            let (report, status) = judged(&stage, &program, &["--sdk", "boto3"]);
            assert_eq!(status, code(Exit::Configuration), "{path}: {report}");
            let states = report["files"].as_array().unwrap().iter().map(|file| &file["state"]);
            let told = states.filter(|state| *state != "absent" && *state != "read").count();
            assert_eq!(told, 1, "{path}: {report}");
        }
    }
}

#[test]
fn a_strangers_words_do_not_leave_their_line() {
    let stage = Stage::set();
    let escape = "\u{1b}[2J\nverdict      RENEWED";
    let program = Running::with(&[
        ("AWS_PROFILE", escape),
        ("AWS_CONFIG_FILE", escape),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", escape),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", escape),
        ("AWS_ROLE_ARN", "x"),
    ]);
    for sdk in Sdk::ALL {
        let output = advise(&stage, &program, &["--sdk", sdk.name()]);
        let all = [&output.stdout[..], &output.stderr].concat();
        assert!(!all.contains(&0x1b), "{sdk}");
        let page = String::from_utf8(output.stdout).unwrap();
        assert_eq!(page.lines().filter(|line| line.starts_with("verdict")).count(), 1, "{page}");
    }
}

#[test]
fn what_is_not_there_is_said_with_its_remedy() {
    let stage = Stage::set();
    let (message, remedy) =
        stage.refused(&["advise", "--pid", &i32::MAX.to_string()], Exit::Unavailable);
    assert_eq!(message, format!("there is no process {}", i32::MAX));
    assert!(remedy.starts_with("name a process that runs"), "{remedy}");
    stage.refused(&["advise", "--pid", "0"], Exit::Usage);
    stage.refused(&["advise", "--pid", "1", "--unit", "a"], Exit::Usage);
    let (message, _) = stage.refused(&["advise", "--sdk", "perl"], Exit::Usage);
    assert!(message.contains("expected one of aws-cli, boto3"), "{message}");
}

#[test]
fn another_users_program_is_for_root_to_look_at() {
    let stage = Stage::set();
    let program = Running::with(&STALE);
    // Without root, root's first process is another user's.
    let (pid, output) = if is_root() {
        let pid = program.pid();
        let mut command = stage.command_of_nobody(&["advise", "--pid", &pid]);
        (pid, command.output().unwrap())
    } else {
        ("1".to_owned(), stage.run(&["advise", "--pid", "1"]))
    };
    let (message, remedy) = refusal(&output, Exit::Refused);
    assert_eq!(message, format!("process {pid} is another user's"));
    assert_eq!(remedy, format!("sudo rolekeeper advise --pid {pid}"));
}

#[test]
fn a_program_of_another_user_is_read_with_that_users_rights() {
    let stage = Stage::set();
    let file = stage.path("credentials");
    fs::write(&file, KEYS).unwrap();
    let mut command = Command::new("sleep");
    command.arg("1000").env_clear().env("AWS_SHARED_CREDENTIALS_FILE", &file);
    let user = if is_root() { NOBODY } else { own_uid() };
    command.uid(user).gid(user);
    let program = Running::start(command);
    let state = |mode| {
        fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        let (report, _) = judged(&stage, &program, &["--sdk", "boto3"]);
        let state = report["files"][0]["state"].as_str().unwrap().to_owned();
        (state, report)
    };
    assert_eq!(state(0o644).0, "read");
    if !is_root() {
        // One's own program, and a file that is closed to oneself.
        let (closed, report) = state(0o000);
        assert!(closed.contains("Permission denied"), "{closed}");
        assert_eq!(report["verdict"], "nothing");
        return;
    }
    let (closed, report) = state(0o600);
    assert!(closed.ends_with("may not read it"), "{closed}");
    assert_eq!(report["verdict"], "nothing");
    // Nobody lets that user ask, so a table for it is part of the remedy.
    let settings = report["remedy"]["settings"]["content"].as_str().unwrap();
    let user = report["program"]["user"].as_str().unwrap();
    assert!(settings.starts_with("[[consumer]]\n"), "{settings}");
    assert!(settings.contains(&format!("users = [\"{user}\"]")), "{settings}");
    stage.settings(&settings.replace(user, &NOBODY.to_string()));
    let (_, report) = state(0o600);
    assert_eq!(report["remedy"]["settings"], Value::Null);
}

#[test]
fn a_program_in_a_mount_namespace_of_its_own_is_read_from_inside() {
    let stage = Stage::set();
    let (inside, outside) = (stage.path("inside"), stage.path("outside"));
    for directory in [&inside, &outside] {
        fs::create_dir(directory).unwrap();
    }
    fs::write(inside.join("credentials"), KEYS).unwrap();
    let script = "mount --bind \"$1\" \"$2\" && echo ready && exec sleep 1000";
    let mut command = Command::new("unshare");
    if !is_root() {
        command.arg("--map-root-user");
    }
    command.args(["--mount", "sh", "-c", script, "sh"]).arg(&inside).arg(&outside);
    command.env("AWS_SHARED_CREDENTIALS_FILE", outside.join("credentials"));
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let stdout = child.stdout.take().unwrap();
    let program = Running(child);
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    let (report, _) = judged(&stage, &program, &["--sdk", "boto3"]);
    assert_eq!(report["program"]["own_namespace"], true);
    assert_eq!(report["verdict"], "not-renewed", "{report}");
    assert!(!outside.join("credentials").exists());
    let page = String::from_utf8(advise(&stage, &program, &[]).stdout).unwrap();
    assert!(page.contains("a container or a sandbox"), "{page}");
}

/// Units that do not run. The answers of `systemctl` and the accounts are the test's, in a mount namespace
/// of its own.
struct AtRest<'a> {
    stage: &'a Stage,
    passwd: PathBuf,
}

impl<'a> AtRest<'a> {
    const SYSTEMCTL: &'static str = "/usr/bin/systemctl";

    /// With a user `late`, who has that home directory. None where that cannot be.
    fn of(stage: &'a Stage, home: &Path) -> Option<Self> {
        if !is_root() || !Path::new(Self::SYSTEMCTL).exists() {
            let place = Self::SYSTEMCTL;
            eprintln!("skipped: only root can put another program in the place of {place}");
            return None;
        }
        let passwd = stage.path("passwd");
        let accounts =
            format!("root:x:0:0::/:/bin/sh\nlate:x:64993:64993::{}:/bin/sh\n", home.display());
        fs::write(&passwd, accounts).unwrap();
        Some(Self { stage, passwd })
    }

    /// The report on a unit of which `systemctl show` prints that.
    fn looked_at(&self, unit: &str, sdk: &str) -> Value {
        let (text, systemctl) = (self.stage.path("systemctl.text"), self.stage.path("systemctl"));
        let shown = format!("Id=late.service\nLoadState=loaded\nMainPID=0\n{unit}");
        let script = "#!/bin/sh\n[ \"$4\" != Environment ] || exec echo Environment=MANAGED=yes\n";
        fs::write(&text, format!("{script}cat <<'END'\n{shown}\nEND\n")).unwrap();
        fs::set_permissions(&text, Permissions::from_mode(0o755)).unwrap();
        // By a process of its own: what another thread starts meanwhile would inherit the file that is
        // being written, and keep it from being run.
        assert!(
            Command::new("cp")
                .args(["-p".as_ref(), text.as_os_str(), systemctl.as_os_str()])
                .status()
                .unwrap()
                .success()
        );
        let advise = self.stage.command(&["advise", "--unit", "late", "--sdk", sdk, "--json"]);
        let network = self.stage.path("network");
        fs::write(&network, "").unwrap();
        let script = "mount --bind /proc/self/ns/net \"$1\" && mount --bind \"$2\" /etc/passwd && \
                      mount --bind \"$3\" \"$4\" && shift 4 && exec \"$@\"";
        let mut apart = Command::new("unshare");
        apart.args(["--mount", "sh", "-c", script, "sh"]).args([
            &network,
            &self.passwd,
            &systemctl,
        ]);
        apart.arg(Self::SYSTEMCTL).arg(advise.get_program()).args(advise.get_args());
        let output = apart.env_remove("HOME").output().unwrap();
        let report = serde_json::from_slice::<Value>(&output.stdout);
        report.unwrap_or_else(|error| panic!("{error}: {output:?}"))
    }
}

/// What systemd makes of groups, of files of variables and of its own variables.
#[test]
fn a_unit_at_rest_has_what_systemd_would_give_it() {
    let stage = Stage::set();
    let home = stage.path("home");
    fs::create_dir_all(home.join(".aws")).unwrap();
    let Some(units) = AtRest::of(&stage, &home) else { return };
    let credentials = home.join(".aws/credentials");
    fs::write(&credentials, KEYS).unwrap();
    for path in [stage.path(""), home.clone(), home.join(".aws")] {
        fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    }
    fs::set_permissions(&credentials, Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::chown(&credentials, None, Some(64_994)).unwrap();
    for (unit, expected) in [
        ("User=late\n", "nothing"),
        ("User=late\nGroup=64994\n", "not-renewed"),
        ("User=late\nSupplementaryGroups=64995 64994\n", "not-renewed"),
    ] {
        let report = units.looked_at(unit, "go");
        assert_eq!(report["verdict"], expected, "{unit} {report}");
    }
    let (file, other) = (stage.path("environment"), stage.path("my \"own\" file"));
    fs::write(&other, KEYS).unwrap();
    let text = format!(
        "PLACE={}\nAWS_SHARED_CREDENTIALS_FILE=$PLACE/my \"own\" file  \n",
        other.parent().unwrap().display()
    );
    fs::write(&file, text).unwrap();
    let unit = format!("EnvironmentFiles={} (ignore_errors=no)\n", file.display());
    let report = units.looked_at(&unit, "boto3");
    assert_eq!(report["files"][0]["path"], json!(other), "{report}");
    assert_eq!(report["files"][0]["state"], "read", "{report}");
    let unit = "Environment=\"AWS_CONFIG_FILE=/srv/$MANAGED\"\n";
    assert_eq!(units.looked_at(unit, "boto3")["files"][1]["path"], "/srv/yes");
    assert_eq!(units.looked_at(unit, "java")["files"][1]["path"], "/srv/$MANAGED");
}

#[test]
fn a_unit_at_rest_is_in_the_network_that_it_will_be_in() {
    let endpoints = Endpoints::of(own_uid());
    let home = endpoints.stage.path("home");
    let Some(units) = AtRest::of(&endpoints.stage, &home) else { return };
    let ours = endpoints.stage.path("network");
    let joins = format!("NetworkNamespacePath={}\n", ours.display());
    for (network, expected) in [
        ("", "renewed"),
        ("PrivateNetwork=no\n", "renewed"),
        ("PrivateNetwork=yes\n", "not-renewed"),
        (joins.as_str(), "renewed"),
        ("NetworkNamespacePath=/nonexistent/netns\n", "untold"),
        ("NetworkNamespacePath=/etc/passwd\n", "not-renewed"),
    ] {
        let metadata = endpoints.metadata;
        let endpoint = format!("AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:{metadata}/");
        let unit = format!("{network}Environment=HOME={} {endpoint}\n", home.display());
        let report = units.looked_at(&unit, "java");
        assert_eq!(report["verdict"], expected, "{network} {report}");
        // Of a loopback that is another the endpoint says no region, and what is advised has the daemon's.
        let is_there = expected != "not-renewed";
        assert_eq!(report["region"].is_string(), is_there, "{network} {report}");
        let content = report["remedy"]["file"]["content"].as_str().unwrap_or_default();
        assert!(is_there || content.contains("\nregion = eu-central-1\n"), "{report}");
        assert_eq!(report["warnings"], json!([]), "{report}");
    }
}

#[test]
fn a_program_without_a_region_is_warned_of() {
    let endpoints = Endpoints::of(own_uid());
    let stage = &endpoints.stage;
    let (uri, token) = (endpoints.uri("web"), endpoints.token_file("web"));
    let with = |region: &[(&str, &str)], sdk: &str| {
        let mut variables = vec![
            ("HOME", "/nonexistent"),
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri.as_str()),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token.as_str()),
        ];
        variables.extend(region);
        let (report, status) = judged(stage, &Running::with(&variables), &["--sdk", sdk]);
        // It is a warning, and no more.
        assert_eq!(status, Some(0), "{report}");
        (report["region"].clone(), report["warnings"][0].clone())
    };
    let warned = |sdk: &str, name: &str| {
        let title = sdk.parse::<Sdk>().unwrap().title();
        let text = format!("{title} finds no region, without which most calls fail: set {name}");
        (Value::Null, json!(text))
    };
    let region = [("AWS_REGION", "eu-west-1")];
    assert_eq!(with(&[], "go"), warned("go", "AWS_REGION"));
    assert_eq!(with(&region, "go"), (json!("eu-west-1, by AWS_REGION"), Value::Null));
    // botocore does not know that variable.
    assert_eq!(with(&region, "boto3"), warned("boto3", "AWS_DEFAULT_REGION"));
    let page = advise(stage, &Running::with(&[("HOME", "/nonexistent")]), &["--sdk", "go"]);
    let page = String::from_utf8(page.stdout).unwrap();
    assert!(!page.contains("warning"), "no credentials come before no region: {page}");
}

/// systemd hands the account's home directory to a unit with `User=`.
#[test]
fn a_unit_at_rest_looks_into_the_home_directory_of_its_user() {
    let stage = Stage::set();
    let home = stage.path("home");
    let Some(units) = AtRest::of(&stage, &home) else { return };
    fs::create_dir_all(home.join(".aws")).unwrap();
    fs::write(home.join(".aws/credentials"), KEYS).unwrap();
    let looked_at = |unit: &str| units.looked_at(unit, "rust");
    let at = |report: &Value| report["files"][0]["path"].clone();
    let report = looked_at("User=late\n");
    assert_eq!(report["verdict"], "not-renewed", "{report}");
    assert_eq!(at(&report), json!(home.join(".aws/credentials")));
    // The unit's own word goes before.
    let report = looked_at("User=late\nEnvironment=HOME=/srv/late\n");
    assert_eq!(at(&report), "/srv/late/.aws/credentials");
    // Without a user there is no such variable, and this SDK asks nobody else.
    assert_eq!(at(&looked_at("")), Value::Null);
}

#[test]
fn the_help_tells_the_exit_statuses() {
    let help = printed(Stage::set().run(&["advise", "--help"]));
    for part in ["Exit status: 0 when the program sees our renewals; 78", "69", "77", "Examples:"] {
        assert!(help.contains(part), "no {part} in:\n{help}");
    }
}
