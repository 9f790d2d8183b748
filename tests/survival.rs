//! What goes missing under a running daemon comes back, and what changes in its settings is taken:
//! the real program, with its sockets, directories and files removed, exchanged and changed.

#[allow(dead_code, reason = "each file of tests plays with a part of it")]
mod stage;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{FileTypeExt, symlink};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use rolekeeper::host::entropy::SystemEntropy;
use rolekeeper::lab::definitions::Definitions;
use rolekeeper::lab::faults::{Effect, Fault};
use rolekeeper::lab::operation::Operation::{
    RequestManagedInstanceRoleToken, UpdateInstanceInformation,
};
use rolekeeper::pure::advice::Exit;
use serde_json::Value;

use stage::{Daemon, NOBODY, Stage, is_root, mode, printed, refusal, value, wait_for};

/// Roles of the lab: machines register with `Rehearsal`, which may become `Backup`.
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

fn with_roles() -> Stage {
    let stage = Stage::set();
    let roles = Definitions::from_toml(ROLES).unwrap();
    stage.lab.with_service(|service| roles.apply(service, &SystemEntropy)).unwrap();
    stage
}

/// A `[[target]]` with the role `Backup`.
fn backup(stage: &Stage, path: &Path, more: &str) -> String {
    let role = "role_arn = \"arn:aws:iam::000000000000:role/Backup\"\n";
    stage.target("backup", path, &format!("{role}{more}"))
}

/// Reloads, and waits until that is done.
fn reload(stage: &Stage, daemon: &Daemon, more: &str) {
    let reloaded = || daemon.log().matches("settings reloaded").count();
    let before = reloaded();
    stage.settings(more);
    daemon.signal(Signal::SIGHUP);
    wait_for("a reload", || if reloaded() > before { Ok(()) } else { Err(daemon.log()) });
}

fn wait_until(what: &str, is: impl Fn() -> bool) {
    wait_for(what, || if is() { Ok(()) } else { Err("not yet".to_owned()) });
}

fn is_socket(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.file_type().is_socket())
}

/// A port that nobody has at this moment.
fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn listens(address: SocketAddr) -> bool {
    TcpStream::connect(address).is_ok()
}

fn endpoint(kind: &str, address: SocketAddr) -> String {
    format!("[endpoint.{kind}]\nlisten = \"{address}\"\n")
}

fn web(stage: &Stage) -> String {
    let token = stage.path("run/web.token");
    format!(
        "[[consumer]]\nname = \"web\"\nusers = [\"{NOBODY}\"]\ntoken_file = \"{}\"\n",
        token.display()
    )
}

#[test]
fn a_runtime_directory_that_is_removed_comes_back_with_all_that_was_in_it() {
    let stage = with_roles();
    let own = backup(&stage, &stage.path("run/own"), "");
    let address = free_port();
    let default = stage.target("default", &stage.credentials(), "");
    stage.settings(&(endpoint("container", address) + &web(&stage) + &default + &own));
    let (_, daemon) = stage.start_registered();
    let names = ["control.sock", "credentials.sock", "consumers.sock"];
    let files = ["credentials", "role-token", "web.token", "own"];
    let run = |name: &str| stage.path("run").join(name);
    wait_until("all files", || files.iter().all(|name| run(name).exists()));
    let before = fs::read(stage.credentials()).unwrap();
    let token = fs::read(run("web.token")).unwrap();

    fs::remove_dir_all(stage.path("run")).unwrap();
    for name in names {
        wait_until(name, || is_socket(&run(name)));
    }
    for name in files {
        wait_until(name, || run(name).exists());
    }
    assert_eq!(mode(&stage.path("run")), 0o755);
    assert_eq!(
        [mode(&run(names[0])), mode(&run(names[1])), mode(&run(names[2]))],
        [0o660, 0o660, 0o666]
    );
    assert_eq!(mode(&run("role-token")), 0o600);
    assert_eq!(fs::read(stage.credentials()).unwrap(), before, "nobody was asked for others");
    assert_ne!(fs::read(run("web.token")).unwrap(), token);
    assert_eq!(stage.requests(RequestManagedInstanceRoleToken), 1);
    stage.status_when("an answer", |status| status["state"] == "fresh");
    stage.succeed(&["credential-process"]);
    stage.succeed(&["refresh"]);
    assert!(!daemon.log().contains("panicked"), "{}", daemon.log());
}

#[test]
fn each_socket_that_is_removed_comes_back_by_itself() {
    let stage = Stage::set();
    let (_, daemon) = stage.start_registered();
    for name in ["control.sock", "consumers.sock", "credentials.sock"] {
        let path = stage.path("run").join(name);
        fs::remove_file(&path).unwrap();
        wait_until(name, || is_socket(&path));
    }
    stage.succeed(&["status"]);
    stage.succeed(&["credential-process"]);
    // Something that is no socket is in its place.
    fs::remove_file(stage.path("run/control.sock")).unwrap();
    fs::write(stage.path("run/control.sock"), "").unwrap();
    wait_until("the control socket", || is_socket(&stage.path("run/control.sock")));
    wait_until("all four in the log", || daemon.log().matches("it is there again").count() == 4);
}

#[test]
fn a_credentials_file_that_somebody_else_removes_or_spoils_is_written_again() {
    let stage = Stage::set();
    let (_, daemon) = stage.start_registered();
    let before = fs::read_to_string(stage.credentials()).unwrap();
    let is_back = || fs::read_to_string(stage.credentials()).is_ok_and(|now| now == before);
    fs::remove_file(stage.credentials()).unwrap();
    wait_until("the file", is_back);
    daemon.logged("was removed by somebody else");

    // Another program put an old copy back, wide open.
    fs::write(stage.path("run/copy"), before.replace("aws_secret_access_key = ", "x = ")).unwrap();
    stage::allow(&stage.path("run/copy"), 0o644);
    fs::rename(stage.path("run/copy"), stage.credentials()).unwrap();
    let secret = value(&before, "aws_secret_access_key");
    wait_until("the key", || {
        let now = fs::read_to_string(stage.credentials()).unwrap();
        now.contains(&format!("aws_secret_access_key = {secret}"))
            && mode(&stage.credentials()) == 0o640
    });
    assert_eq!(stage.requests(RequestManagedInstanceRoleToken), 1);
}

#[test]
fn a_reload_opens_closes_and_moves_endpoints_and_leaves_the_others_alone() {
    let stage = Stage::set();
    let (container, imds, moved) = (free_port(), free_port(), free_port());
    let rules = web(&stage);
    stage.settings(&(endpoint("container", container) + &rules));
    let (_, daemon) = stage.start_registered();
    let token_file = stage.path("run/web.token");
    wait_until("the container endpoint", || listens(container) && token_file.exists());
    let token = fs::read(&token_file).unwrap();
    let since = |kind: &str| {
        let status = stage.status();
        let endpoints = status["endpoints"].as_array().unwrap().clone();
        endpoints.into_iter().find(|endpoint| endpoint["kind"] == kind)
    };
    let before = since("container").unwrap();

    // One is opened.
    reload(&stage, &daemon, &(endpoint("container", container) + &endpoint("imds", imds) + &rules));
    wait_until("the IMDS endpoint", || listens(imds));
    assert_eq!(since("container").unwrap(), before);
    assert_eq!(fs::read(&token_file).unwrap(), token, "its token goes on");

    // One is moved.
    reload(
        &stage,
        &daemon,
        &(endpoint("container", container) + &endpoint("imds", moved) + &rules),
    );
    wait_until("the move", || listens(moved) && !listens(imds));
    assert_eq!(since("imds").unwrap()["address"], moved.to_string());
    assert_eq!(since("container").unwrap(), before);

    // One is moved to where somebody else is: that shows, and ends when they leave.
    let occupant = TcpListener::bind(imds).unwrap();
    reload(&stage, &daemon, &(endpoint("container", container) + &endpoint("imds", imds) + &rules));
    let status = stage
        .status_when("the trouble", |status| status["endpoints"][1]["error"].as_str().is_some());
    assert_eq!(status["endpoints"][1]["address"], imds.to_string());
    assert!(!listens(moved));
    drop(occupant);
    stage.status_when("the endpoint", |status| status["endpoints"][1]["error"] == Value::Null);

    // One is closed, and what it alone needs goes.
    reload(&stage, &daemon, &(endpoint("imds", imds) + &rules));
    wait_until("the end", || !listens(container) && !token_file.exists());
    assert_eq!(since("container"), None);
    assert!(listens(imds));
    assert!(!daemon.log().contains("from the next start"), "{}", daemon.log());
}

#[test]
fn a_reload_takes_the_service_and_the_health_reports_and_says_what_it_cannot_take() {
    let stage = Stage::set_over_tls();
    let bundle = stage.path("tls/ca.pem");
    let settings = |service: &str, more: &str| {
        let text = format!("[service]\ntimeout = \"1s\"\n{service}\n{more}");
        fs::write(stage.path("rolekeeper.toml"), text).unwrap();
    };
    let trusts = format!("ca_bundle = \"{}\"\n", bundle.display());
    let lab = format!("endpoint_url = \"{}\"\n{trusts}", stage.lab.endpoint_url());
    let silent = "[health]\nenabled = false\n";
    settings(&lab, silent);
    let (_, daemon) = stage.start_registered();
    let hup = || {
        let reloaded = || daemon.log().matches("settings reloaded").count();
        let before = reloaded();
        daemon.signal(Signal::SIGHUP);
        wait_for("a reload", || if reloaded() > before { Ok(()) } else { Err(daemon.log()) });
    };
    assert_eq!(stage.requests(UpdateInstanceInformation), 0);
    settings(&lab, "[health]\nenabled = true\ninterval = \"1m\"\n");
    hup();
    wait_until("a health report", || stage.requests(UpdateInstanceInformation) == 1);

    // Nobody listens there.
    settings(&format!("endpoint_url = \"https://{}\"\n{trusts}", free_port()), silent);
    hup();
    let status = stage.status_when("the new endpoint", |status| !status["failure"].is_null());
    assert_eq!(status["failure"]["class"], "unreachable");
    settings(&lab, silent);
    hup();
    stage.status_when("the old endpoint", |status| status["state"] == "fresh");

    // The certificates go: what runs goes on, says so, and takes those that come.
    let away = stage.path("tls/away.pem");
    fs::rename(&bundle, &away).unwrap();
    let status = stage.status_when("a warning", |status| !status["warnings"][0].is_null());
    assert_eq!(status["warnings"][0]["subject"], "service");
    assert!(status["warnings"][0]["message"].as_str().unwrap().contains("ca.pem"), "{status}");
    let output = stage.run(&["status"]);
    assert_eq!(output.status.code(), Some(Exit::Configuration as i32));
    let page = String::from_utf8(output.stdout).unwrap();
    assert!(page.contains("warning") && page.contains("AWS is reached as before"), "{page}");
    stage.succeed(&["refresh"]);
    fs::rename(&away, &bundle).unwrap();
    stage.status_when("no warning", |status| status["warnings"][0].is_null());
    stage.succeed(&["refresh"]);

    // Another source would be another role under the same names.
    settings(&lab, &format!("{silent}[identity]\nsource = \"environment\"\n"));
    hup();
    let status = stage.status_when("a warning", |status| !status["warnings"][0].is_null());
    assert_eq!(status["warnings"][0]["subject"], "identity");
    let remedy = status["warnings"][0]["remedy"].as_str().unwrap();
    assert!(remedy.contains("restart"), "{remedy}");
    settings(&lab, silent);
    hup();
    stage.status_when("no warning", |status| status["warnings"][0].is_null());
}

#[test]
fn keys_of_a_target_that_was_removed_while_the_daemon_was_down_are_withdrawn_and_no_others() {
    let stage = with_roles();
    let path = |name: &str| stage.path("targets").join(name);
    let holds = |name: &str| {
        fs::read_to_string(path(name)).unwrap_or_default().contains("aws_access_key_id")
    };
    fs::create_dir(path("")).unwrap();
    fs::write(path("shared"), "[mine]\nregion = eu-central-1\n").unwrap();
    let default = stage.target("default", &stage.credentials(), "");
    let all = ["gone", "moved", "taken"].map(|name| stage.target(name, &path(name), ""));
    let profile =
        |name: &str| stage.target("shared", &path("shared"), &format!("profile = \"{name}\""));
    let backup = backup(&stage, &path("backup"), "");
    let before = default.clone() + &all.concat() + &profile("old") + &backup;
    stage.settings(&before);
    let (_, mut daemon) = stage.start_registered();
    wait_until("all files", || {
        ["gone", "moved", "taken", "shared", "backup"].iter().all(|it| holds(it))
    });
    daemon.stop();
    let record = fs::read_to_string(stage.path("state/deliveries.json")).unwrap();
    assert_eq!(mode(&stage.path("state/deliveries.json")), 0o600);
    let held = fs::read_to_string(path("gone")).unwrap();
    for key in ["aws_access_key_id", "aws_secret_access_key", "aws_session_token"] {
        assert!(!record.contains(&value(&held, key)), "{key} is in {record}");
    }
    // Another program has put its own there, as if it were us.
    let other = held.replace(&value(&held, "aws_access_key_id"), "ASIAOTHERPROGRAM0001");
    fs::write(path("taken"), &other).unwrap();

    stage.settings(
        &(default.clone() + &stage.target("moved", &path("elsewhere"), "") + &profile("new")),
    );
    let mut daemon = stage.start();
    stage.status_when("fresh credentials", |status| status["state"] == "fresh");
    for name in ["gone", "moved", "backup"] {
        assert_eq!(fs::read_to_string(path(name)).unwrap(), "", "{name}");
    }
    assert_eq!(fs::read_to_string(path("taken")).unwrap(), other);
    wait_until("the new target's file", || holds("elsewhere"));
    wait_until("the new profile", || {
        fs::read_to_string(path("shared")).is_ok_and(|text| text.contains("[new]"))
    });
    let shared = fs::read_to_string(path("shared")).unwrap();
    assert!(shared.starts_with("[mine]\nregion = eu-central-1\n"), "{shared}");
    assert!(shared.contains("[new]") && !shared.contains("[old]"), "{shared}");
    assert_eq!(daemon.log().matches("keys of an earlier run were withdrawn").count(), 4);
    daemon.stop();

    // Without the record nothing is known, and that is no error.
    fs::remove_file(stage.path("state/deliveries.json")).unwrap();
    stage.settings(&default);
    let mut daemon = stage.start();
    stage.status_when("fresh credentials", |status| status["state"] == "fresh");
    assert!(holds("elsewhere"));
    daemon.stop();
    fs::write(stage.path("state/deliveries.json"), "nonsense").unwrap();
    let daemon = stage.start();
    stage.status_when("fresh credentials", |status| status["state"] == "fresh");
    daemon.logged("it is not known what earlier runs wrote where");
}

#[test]
fn a_key_that_was_announced_and_never_arrived_does_not_hide_the_one_that_is_there() {
    let stage = Stage::set();
    let directory = stage.path("targets");
    fs::create_dir(&directory).unwrap();
    let file = directory.join("file");
    let default = stage.target("default", &stage.credentials(), "");
    stage.settings(&(default.clone() + &stage.target("file", &file, "")));
    let (_, daemon) = stage.start_registered();
    let before = fs::read_to_string(&file).unwrap();
    // Others could write there: it is not touched.
    stage::allow(&directory, 0o777);
    for _ in 0..3 {
        stage.refused(&["refresh"], Exit::Refused);
    }
    daemon.signal(Signal::SIGKILL);
    drop(daemon);
    assert_eq!(fs::read_to_string(&file).unwrap(), before);
    stage.settings(&default);
    // It cannot be withdrawn yet: that shows, and is tried again.
    let _daemon = stage.start();
    let status = stage.status_when("a warning", |status| !status["warnings"][0].is_null());
    assert_eq!(status["warnings"][0]["subject"], "leftovers");
    assert_eq!(fs::read_to_string(&file).unwrap(), before);
    stage::allow(&directory, 0o755);
    stage.status_when("no warning", |status| status["warnings"][0].is_null());
    assert_eq!(fs::read_to_string(&file).unwrap(), "");
}

#[test]
fn keys_of_another_role_are_withdrawn_at_the_start_and_those_of_the_same_stay() {
    let mut stage = with_roles();
    let directory = stage.path("targets");
    fs::create_dir(&directory).unwrap();
    let file = directory.join("file");
    let default = stage.target("default", &stage.credentials(), "");
    let wide = default.clone() + &backup(&stage, &file, "");
    fs::write(stage.path("policy.json"), r#"{"Statement": []}"#).unwrap();
    let narrow = default + &backup(&stage, &file, "session_policy = \"policy.json\"\n");
    stage.settings(&wide);
    let (_, mut daemon) = stage.start_registered();
    let held = || fs::read_to_string(&file).unwrap_or_default();
    wait_until("the role", || held().contains("aws_access_key_id"));
    let before = held();
    let own = fs::read_to_string(stage.credentials()).unwrap();
    daemon.stop();
    stage.drop_service();
    let mut daemon = stage.start();
    daemon.logged("unreachable");
    assert_eq!(held(), before, "it is the same role still");
    daemon.stop();
    stage.settings(&narrow);
    let daemon = stage.start();
    daemon.logged("unreachable");
    assert_eq!(held(), "", "what it held may do more");
    assert_eq!(fs::read_to_string(stage.credentials()).unwrap(), own);
}

/// What the service manager was told, until it is told this.
fn heard(manager: &UnixDatagram, text: &str) -> String {
    let mut heard = String::new();
    manager.set_nonblocking(true).unwrap();
    wait_for(text, || {
        let mut buffer = [0; 4096];
        while let Ok(length) = manager.recv(&mut buffer) {
            heard.push_str(&String::from_utf8_lossy(&buffer[..length]));
            if heard.contains(text) {
                return Ok(());
            }
        }
        Err(heard.clone())
    });
    heard
}

#[test]
fn what_a_start_takes_back_is_in_every_file_before_it_is_ready() {
    let mut stage = Stage::set();
    let path = |name: &str| stage.path("targets").join(name);
    let key = |path: &Path| {
        let text = fs::read_to_string(path).unwrap_or_default();
        text.contains("aws_").then(|| value(&text, "aws_access_key_id"))
    };
    for directory in ["", "closed"] {
        fs::create_dir(path(directory)).unwrap();
    }
    let default = stage.target("default", &stage.credentials(), "");
    let closed = stage.target("closed", &path("closed/file"), "");
    let settings = default + &stage.target("deleted", &path("deleted"), "") + &closed;
    stage.settings(&settings);
    // Others could write there.
    stage::allow(&path("closed"), 0o777);
    let (_, mut daemon) = stage.start_registered();
    let own = key(&stage.credentials());
    assert!(own.is_some() && key(&path("closed/file")).is_none());
    daemon.stop();

    fs::remove_file(path("deleted")).unwrap();
    stage::allow(&path("closed"), 0o755);
    stage.settings(&(settings + &stage.target("added", &path("added"), "")));
    let files = ["deleted", "closed/file", "added"].map(path);
    let late = path("late");
    stage.drop_service();
    let manager = UnixDatagram::bind(stage.path("notify")).unwrap();
    let mut command = stage.command(&["run"]);
    command.env("NOTIFY_SOCKET", stage.path("notify"));
    let daemon = Daemon::start(command);
    heard(&manager, "READY=1");
    for file in &files {
        assert_eq!(key(file), own, "{}", file.display());
    }
    daemon.logged("unreachable");
    let log = daemon.log();
    assert!(log.contains("credentials delivered") && !log.contains("credentials renewed"), "{log}");

    // What goes wrong meanwhile is put right by a refresh, though the service does not answer.
    fs::create_dir(&late).unwrap();
    stage::allow(&late, 0o777);
    let file = late.join("file");
    let text = fs::read_to_string(stage.path("rolekeeper.toml")).unwrap();
    let text = text + &stage.target("late", &file, "");
    fs::write(stage.path("rolekeeper.toml"), text).unwrap();
    stage.run(&["reload"]);
    assert_eq!(key(&file), None);
    stage::allow(&late, 0o755);
    stage.refused(&["refresh"], Exit::Unavailable);
    assert_eq!(key(&file), own);
}

#[test]
fn a_file_that_is_mended_too_late_gets_no_credentials_that_have_ended() {
    let mut stage = Stage::set();
    let directory = stage.path("targets");
    let file = directory.join("file");
    fs::create_dir(&directory).unwrap();
    stage::allow(&directory, 0o777);
    let keep = "[refresh]\non_expiry = \"keep\"\n";
    let default = stage.target("default", &stage.credentials(), "");
    stage.settings(&(keep.to_owned() + &default + &stage.target("file", &file, "")));
    stage.lab.with_service(|service| service.token_lifetime = Duration::from_secs(9));
    let (_, daemon) = stage.start_registered();
    stage.drop_service();
    stage.status_when("the end", |status| status["state"] == "expired");
    let held = fs::read_to_string(stage.credentials()).unwrap();
    assert!(held.contains("aws_access_key_id"), "{held}");
    stage::allow(&directory, 0o755);
    stage.refused(&["refresh"], Exit::Unavailable);
    daemon.signal(Signal::SIGHUP);
    daemon.logged("settings reloaded");
    stage.refused(&["refresh"], Exit::Unavailable);
    assert!(!file.exists(), "{}", fs::read_to_string(&file).unwrap());
    assert_eq!(fs::read_to_string(stage.credentials()).unwrap(), held);
    stage.raise_service();
    stage.succeed(&["refresh"]);
    assert!(fs::read_to_string(&file).unwrap().contains("aws_access_key_id"));
}

#[test]
fn a_file_that_is_wanted_by_another_path_keeps_what_it_holds() {
    let mut stage = with_roles();
    let (real, link) = (stage.path("real"), stage.path("link"));
    fs::create_dir(&real).unwrap();
    symlink(&real, &link).unwrap();
    let settings = |directory: &Path| {
        stage.target("default", &directory.join("own"), "")
            + &backup(&stage, &directory.join("backup"), "")
    };
    let held = || ["own", "backup"].map(|it| fs::read_to_string(real.join(it)).unwrap_or_default());
    let (by_name, by_link) = (settings(&real), settings(&link));
    stage.settings(&by_name);
    let (_, mut daemon) = stage.start_registered();
    wait_until("both files", || held().iter().all(|text| text.contains("aws_access_key_id")));
    let before = held();
    stage.drop_service();
    // Of a running daemon, and of one that starts; there and back.
    reload(&stage, &daemon, &by_link);
    assert_eq!(held(), before);
    for settings in [&by_name, &by_link] {
        daemon.stop();
        stage.settings(settings);
        daemon = stage.start();
        daemon.logged("unreachable");
        assert_eq!(held(), before);
        assert!(!daemon.log().contains("withdrawn"), "{}", daemon.log());
    }
    // They are known as ours all the same.
    stage.settings(&stage.target("default", &stage.credentials(), ""));
    daemon.stop();
    let daemon = stage.start();
    daemon.logged("unreachable");
    assert_eq!(held(), ["", ""]);
}

#[test]
fn a_token_file_that_is_wanted_by_another_path_is_there_all_the_time() {
    let stage = Stage::set();
    let (real, link) = (stage.path("real"), stage.path("link"));
    fs::create_dir(&real).unwrap();
    symlink(&real, &link).unwrap();
    let address = free_port();
    let listen = endpoint("container", address);
    let settings = |directory: &Path| {
        let (own, wanted) = (stage.path("run/web.token"), directory.join("web.token"));
        let web = web(&stage).replace(&own.display().to_string(), &wanted.display().to_string());
        listen.clone() + &web
    };
    stage.settings(&settings(&real));
    let (_, _daemon) = stage.start_registered();
    let token = || fs::read_to_string(real.join("web.token")).unwrap_or_default();
    wait_until("a token", || !token().is_empty());
    let is_honoured = |token: &str| {
        let mut stream = TcpStream::connect(address).unwrap();
        let head = format!(
            "GET /credentials/web HTTP/1.1\r\nHost: {address}\r\nAuthorization: {token}\r\n\
             Connection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.starts_with("HTTP/1.1 200 ")
    };
    for directory in [&link, &real] {
        let before = token();
        stage.settings(&settings(directory));
        stage.succeed(&["reload"]);
        assert_eq!(token().len(), 64, "{}", directory.display());
        assert!(is_honoured(&before) && is_honoured(&token()), "who has read it a moment ago");
    }
    stage.settings(&listen);
    stage.succeed(&["reload"]);
    assert!(!real.join("web.token").exists());
}

#[test]
fn a_start_without_its_certificates_goes_on_with_what_is_held_until_they_are_back() {
    let stage = Stage::set_over_tls();
    let roles = Definitions::from_toml(ROLES).unwrap();
    stage.lab.with_service(|service| roles.apply(service, &SystemEntropy)).unwrap();
    fs::create_dir(stage.path("targets")).unwrap();
    let (bundle, away) = (stage.path("tls/ca.pem"), stage.path("tls/away.pem"));
    let text = format!(
        "[service]\ntimeout = \"1s\"\nendpoint_url = \"{}\"\nca_bundle = \"{}\"\n\
         [health]\nenabled = false\n{}",
        stage.lab.endpoint_url(),
        bundle.display(),
        backup(&stage, &stage.path("targets/backup"), ""),
    );
    fs::write(stage.path("rolekeeper.toml"), &text).unwrap();
    let (_, mut daemon) = stage.start_registered();
    let copy = stage.path("state/settings.json");
    wait_until("a copy of the settings", || copy.exists());
    daemon.stop();
    let before = fs::read_to_string(stage.credentials()).unwrap();
    let asked = stage.requests(RequestManagedInstanceRoleToken);
    fs::rename(&bundle, &away).unwrap();

    for lost in ["gone", "empty"] {
        if lost == "empty" {
            fs::write(&bundle, "").unwrap();
        }
        let mut daemon = stage.start();
        let status = stage.status_when("what is held", |status| status["state"] == "stale");
        let warning = &status["warnings"][0];
        assert_eq!(warning["subject"], "service");
        let message = warning["message"].as_str().unwrap();
        assert!(message.starts_with("AWS is out of reach: "), "{message}");
        assert!(message.contains("ca.pem"), "{message}");
        let failure = status["failure"]["message"].as_str().unwrap();
        assert!(failure.contains("ca.pem"), "{failure}");
        assert_eq!(stage.run(&["status"]).status.code(), Some(Exit::Configuration as i32));
        stage.succeed(&["credential-process"]);
        assert_eq!(fs::read_to_string(stage.credentials()).unwrap(), before);
        if lost == "gone" {
            daemon.stop();
            continue;
        }
        assert_eq!(stage.requests(RequestManagedInstanceRoleToken), asked);
        fs::rename(&away, &bundle).unwrap();
        let status = stage.status_when("new credentials", |status| {
            let target = status["targets"].as_array().and_then(|targets| targets.last());
            status["state"] == "fresh" && target.is_some_and(|it| !it["credentials"].is_null())
        });
        assert!(status["warnings"][0].is_null() && status["settings"].is_null(), "{status}");
        daemon.stop();
    }
    // Of settings that were never good nothing is believed.
    fs::remove_file(&copy).unwrap();
    fs::remove_file(&bundle).unwrap();
    let (message, _) = stage.refused(&["run"], Exit::Configuration);
    assert!(message.contains("ca.pem"), "{message}");
}

#[test]
fn of_two_edits_while_the_daemon_is_busy_the_newer_is_in_force() {
    let stage = Stage::set();
    let (_, daemon) = stage.start_registered();
    fs::create_dir(stage.path("targets")).unwrap();
    let asked = stage.requests(RequestManagedInstanceRoleToken);
    stage.fault(Fault::always(Effect::Hang).on(RequestManagedInstanceRoleToken));
    let mut refresh = stage.command(&["refresh"]).stderr(Stdio::null()).spawn().unwrap();
    wait_until("a request", || stage.requests(RequestManagedInstanceRoleToken) > asked);
    for name in ["older", "newer"] {
        stage.settings(&stage.target(name, &stage.path("targets").join(name), ""));
        daemon.signal(Signal::SIGHUP);
    }
    let names = |status: &Value| {
        let targets = status["targets"].as_array().cloned().unwrap_or_default();
        targets.iter().map(|it| it["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    stage.status_when("the newer settings", |status| names(status) == ["default", "newer"]);
    stage.clear_faults();
    refresh.wait().unwrap();
    stage.status_when("fresh credentials", |status| status["state"] == "fresh");
    assert_eq!(names(&stage.status()), ["default", "newer"]);
}

#[test]
fn a_machine_that_is_not_registered_tells_what_is_wrong_and_goes_on_once_it_is() {
    let stage = Stage::set();
    let daemon = stage.start();
    stage.status_when("a daemon", |status| status["state"] == "unregistered");
    let good = stage.path("good.toml");
    fs::copy(stage.path("rolekeeper.toml"), &good).unwrap();
    fs::write(stage.path("rolekeeper.toml"), "[service").unwrap();
    daemon.signal(Signal::SIGHUP);
    daemon.logged("the settings stay as they were");
    stage.status_when("the trouble", |status| !status["settings"].is_null());
    let (message, _) = stage.refused(&["reload"], Exit::Configuration);
    assert!(message.contains("rolekeeper.toml:1"), "{message}");
    let activation = stage.activation();
    let mut register = Command::new(env!("CARGO_BIN_EXE_rolekeeper"));
    register.env_clear().arg("--config").arg(&good).arg("--state-dir").arg(stage.path("state"));
    register.arg("--runtime-dir").arg(stage.path("run")).args([
        "register",
        "--region",
        stage::REGION,
    ]);
    register.args(["--activation-id", &activation.id, "--activation-code", &activation.code]);
    printed(register.output().unwrap());
    let status = stage.status_when("fresh credentials", |status| status["state"] == "fresh");
    assert!(!status["settings"].is_null(), "{status}");
    assert!(daemon.log().contains("credentials renewed"));
}

#[test]
fn a_reload_ends_as_the_status_does_with_what_could_not_be_put_in_force() {
    let stage = Stage::set();
    let directory = stage.path("targets");
    fs::create_dir(&directory).unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let (taken, free) = (taken.local_addr().map(|at| (taken, at)).unwrap(), free_port());
    let (_, _daemon) = stage.start_registered();
    let target = stage.target("file", &directory.join("file"), "");
    let lost = web(&stage).replace("run/web.token", "missing/web.token");
    stage::allow(&directory, 0o777);
    for (what, settings, exit) in [
        ("endpoint", endpoint("imds", taken.1), Exit::Unavailable),
        ("target 'file'", target.clone(), Exit::CannotCreate),
        ("token_file web", endpoint("container", free) + &lost, Exit::CannotCreate),
        ("target 'file'", endpoint("imds", taken.1) + &target, Exit::CannotCreate),
    ] {
        stage.settings(&settings);
        let (message, _) = stage.refused(&["reload"], exit);
        assert!(message.starts_with("the settings are in force, but "), "{message}");
        assert!(message.contains(what), "{message}");
        assert_eq!(stage.run(&["status"]).status.code(), Some(exit as i32), "{what}");
    }
    stage::allow(&directory, 0o755);
    let all = endpoint("container", free) + &web(&stage) + &target;
    stage.settings(&all);
    assert_eq!(stage.succeed(&["reload"]), "settings reloaded\n");
    assert!(listens(free) && stage.path("run/web.token").exists());
    assert!(directory.join("file").exists());
    stage.settings("");
    stage.succeed(&["reload"]);
    assert!(!listens(free) && !stage.path("run/web.token").exists());
}

/// A daemon in a mount namespace of its own, where `prepare` has been done to its state directory.
fn start_apart(stage: &Stage, prepare: &str) -> Daemon {
    let run = stage.command(&["run"]);
    let mut command = Command::new("unshare");
    let script = format!("S=$1; shift; set -e; {prepare}; exec \"$@\"");
    command.args(["--mount", "sh", "-c", &script, "sh"]).arg(stage.path("state"));
    command.arg(run.get_program()).args(run.get_args());
    Daemon::start(command)
}

/// A command in the daemon's mount namespace.
fn beside(daemon: &Daemon, command: &Command) -> Output {
    let mut beside = Command::new("nsenter");
    beside.args(["--mount", "--target", &daemon.pid().to_string()]);
    beside.arg(command.get_program()).args(command.get_args()).output().unwrap()
}

/// The state directory read-only, or full, until that is mended.
const UNWRITABLE: [(&str, &str, &str, &str); 2] = [
    (
        "rm -f $S/vault/lock; mount --bind $S $S; mount -o remount,bind,ro $S",
        "mount -o remount,bind,rw $S",
        "Read-only file system",
        "ReadWritePaths=",
    ),
    (
        "cp -a $S $S.copy; mount -t tmpfs -o size=256k,mode=700 tmpfs $S; cp -a $S.copy/. $S; \
         head -c 1M /dev/zero > $S/full || true",
        "rm $S/full",
        "No space left on device",
        "free some space",
    ),
];

#[test]
fn a_vault_that_cannot_be_written_is_read_and_written_again_as_soon_as_it_can() {
    if !is_root() {
        eprintln!("skipped: only root mounts a state directory read-only");
        return;
    }
    for (prepare, mend, trouble, remedy) in UNWRITABLE {
        let stage = Stage::set();
        stage.register();
        let before = stage.vault();
        let daemon = start_apart(&stage, prepare);
        let status = stage.status_when("credentials", |status| status["state"] == "fresh");
        assert_eq!(status["warnings"][0]["subject"], "vault", "{status}");
        let message = status["warnings"][0]["message"].as_str().unwrap();
        assert!(message.contains(trouble), "{message}");
        assert!(status["warnings"][0]["remedy"].as_str().unwrap().contains(remedy), "{status}");
        stage.succeed(&["refresh"]);
        let told = daemon.log().matches("credentials are renewed, but nothing is written").count();
        assert_eq!(told, 1, "{}", daemon.log());

        // What has to write says so, with a daemon and without one.
        for arguments in [&["rotate-key"][..], &["fingerprint", "set-threshold", "50"]] {
            let (message, advised) = stage.refused(arguments, Exit::CannotCreate);
            assert!(message.contains(trouble) && advised.contains(remedy), "{message}; {advised}");
        }
        if trouble.starts_with("Read-only") {
            let alone = stage_elsewhere(&stage, &["rotate-key"]);
            refusal(&beside(&daemon, &alone), Exit::CannotCreate);
        }
        let doctor = beside(&daemon, &stage.command(&["doctor"]));
        let page = String::from_utf8_lossy(&doctor.stdout).into_owned();
        assert!(page.contains(trouble) && page.contains(remedy), "{page}");
        assert_eq!(stage.vault(), before);

        let mut mended = Command::new("sh");
        mended.args(["-c", &mend.replace("$S", &stage.path("state").display().to_string())]);
        printed(beside(&daemon, &mended));
        stage.status_when("no warning", |status| status["warnings"][0].is_null());
        stage.succeed(&["rotate-key"]);
        stage.succeed(&["refresh"]);
    }
}

/// The same without the daemon's sockets.
fn stage_elsewhere(stage: &Stage, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rolekeeper"));
    command.arg("--config").arg(stage.path("rolekeeper.toml"));
    command.arg("--state-dir").arg(stage.path("state"));
    command.arg("--runtime-dir").arg(stage.path("nowhere")).args(arguments);
    command
}

#[test]
fn another_machine_is_told_apart_though_nothing_can_be_written_down() {
    if !is_root() {
        eprintln!("skipped: only root mounts a state directory read-only");
        return;
    }
    let stage = Stage::set();
    stage.register();
    stage.pretend_other_hardware();
    let _daemon = start_apart(&stage, UNWRITABLE[0].0);
    stage.status_when("another machine", |status| status["state"] == "mismatch");
    wait_until("a stranger's request", || stage.requests(RequestManagedInstanceRoleToken) > 0);
    assert!(!stage.record("SubstituteFingerprint").exists());
    assert!(!stage.credentials().exists());
}

#[test]
fn a_vault_that_is_taken_away_is_taken_back_and_never_exchanged() {
    let stage = Stage::set();
    let (_, _daemon) = stage.start_registered();
    let (vault, away) = (stage.path("state/vault"), stage.path("state/away"));
    let warned = |text: &str| {
        stage.status_when(text, |status| {
            status["warnings"][0]["message"].as_str().is_some_and(|said| said.contains(text))
        })
    };
    fs::rename(&vault, &away).unwrap();
    warned("there is no such record");
    stage.succeed(&["refresh"]);
    stage.refused(&["rotate-key"], Exit::Configuration);
    assert!(!vault.exists(), "nothing is made in its place");

    // Another machine's is put there.
    let other = Stage::set();
    other.register();
    fs::rename(other.path("state/vault"), &vault).unwrap();
    let status = warned("has another registration now");
    assert!(status["warnings"][0]["remedy"].as_str().unwrap().contains("restart"), "{status}");
    stage.succeed(&["refresh"]);
    fs::remove_dir_all(&vault).unwrap();
    fs::rename(&away, &vault).unwrap();
    stage.status_when("no warning", |status| status["warnings"][0].is_null());
    stage.succeed(&["rotate-key"]);
    // Closed by mistake: the daemon opens what is its own.
    stage::allow(&vault, 0o500);
    stage.succeed(&["refresh"]);
    wait_until("its mode", || mode(&vault) == 0o700 || is_root());
    stage.succeed(&["rotate-key"]);
}

/// What only the service manager can make: in the unit's sandbox all around the runtime directory is
/// read-only.
#[test]
fn a_runtime_directory_that_only_the_service_manager_can_make_is_asked_of_it() {
    if !is_root() {
        eprintln!("skipped: only root mounts a runtime directory's surroundings read-only");
        return;
    }
    let stage = Stage::set();
    stage.register();
    let surroundings = stage.path("around");
    fs::create_dir(&surroundings).unwrap();
    let manager = UnixDatagram::bind(stage.path("notify")).unwrap();
    let script = format!("mount --bind {0} {0}; exec \"$@\"", surroundings.display());
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script, "sh"]).arg(env!("CARGO_BIN_EXE_rolekeeper"));
    command.arg("run").arg("--config").arg(stage.path("rolekeeper.toml"));
    command.arg("--state-dir").arg(stage.path("state"));
    command.arg("--runtime-dir").arg(surroundings.join("run"));
    command.env("NOTIFY_SOCKET", stage.path("notify"));
    let mut daemon = Daemon::start(command);
    wait_until("credentials", || surroundings.join("run/credentials").exists());
    // Once more if the daemon was writing there, or had put it right already.
    let remove = format!(
        "for i in $(seq 100); do \
           rm -rf {0}/run && mount -o remount,bind,ro {0} && [ ! -e {0}/run ] && exit 0; \
           mount -o remount,bind,rw {0}; sleep 0.1; done; exit 1",
        surroundings.display()
    );
    let mut gone = Command::new("sh");
    gone.args(["-c", &remove]);
    printed(beside(&daemon, &gone));
    // An error that systemd answers with a new start.
    assert_eq!(daemon.ended().code(), Some(Exit::CannotCreate as i32), "{}", daemon.log());
    let log = daemon.log();
    assert!(log.contains("the runtime directory was removed, and cannot be made"), "{log}");
    heard(&manager, "; runtime: the runtime directory was removed");
}
