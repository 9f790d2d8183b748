//! Credentials for programs, by the real daemon and the real commands: who gets what, and what becomes
//! of a program that runs with them. Several users take part where root runs the tests.

#[allow(dead_code, reason = "each file of tests plays with a part of it")]
mod stage;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rolekeeper::lab::faults::{Effect, Fault};
use rolekeeper::lab::operation::Operation::RequestManagedInstanceRoleToken;
use rolekeeper::pure::advice::Exit;
use rolekeeper::shelf::Moment;
use serde_json::Value;

use stage::{
    Daemon, NOBODY, REGION, Stage, is_root, moment, printed, refusal, two_lines, value, wait_for,
};

/// A second user and a group that own nothing, by number: the account database need not know them.
const SOMEBODY: u32 = 64_998;
const A_GROUP: u32 = 64_997;

const ASK: &[u8] = b"{\"command\":\"credentials\"}\n";

/// The sockets by the names that programs rely on: the group's and everybody's.
const SOCKETS: [&str; 2] = ["run/credentials.sock", "run/consumers.sock"];

#[test]
fn credential_process_prints_what_the_file_holds_and_not_a_word_more() {
    let stage = Stage::set();
    let (_, daemon) = stage.start_registered();
    let output = stage.run(&["credential-process"]);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let file = fs::read_to_string(stage.credentials()).unwrap();
    let [id, secret, token] = ["aws_access_key_id", "aws_secret_access_key", "aws_session_token"]
        .map(|key| value(&file, key));
    let end = Moment(moment(&stage.status()["credentials"]["expires_at"])).to_string();
    let expected = format!(
        "{{\"Version\":1,\"AccessKeyId\":\"{id}\",\"SecretAccessKey\":\"{secret}\",\
         \"SessionToken\":\"{token}\",\"Expiration\":\"{end}\"}}\n"
    );
    assert_eq!(printed(output), expected);
    assert_eq!(stage.succeed(&["credential-process", "--target", "default"]), expected);
    assert_eq!(stage.requests(RequestManagedInstanceRoleToken), 1, "nobody was asked");

    let line = daemon.logged("credentials handed out");
    for part in ["name=\"default\"", "uid=", "pid=", &format!("access_key=..{}", &id[16..])] {
        assert!(line.contains(part), "no {part} in: {line}");
    }
    let log = daemon.log();
    assert!(![&id, &secret, &token].into_iter().any(|secret| log.contains(secret)), "{log}");
}

#[test]
fn without_a_daemon_or_credentials_the_caller_is_told_to_come_again() {
    let stage = Stage::set();
    let commands = [&["credential-process"][..], &["export"], &["exec", "--", "true"]];
    for command in commands {
        let (message, remedy) = stage.refused(command, Exit::TryAgain);
        let socket = stage.path(SOCKETS[0]).display().to_string();
        assert_eq!(message, format!("no daemon answers at {socket}"));
        assert!(remedy.starts_with("systemctl restart rolekeeper"), "{remedy}");
    }
    let daemon = stage.start();
    stage.status_when("a daemon", |_| true);
    for command in commands {
        let (message, remedy) = stage.refused(command, Exit::TryAgain);
        assert_eq!(message, "there are no usable credentials now: unregistered");
        assert!(remedy.starts_with("rolekeeper status"), "{remedy}");
    }
    drop(daemon);
    // Killed, it left its sockets behind.
    assert!(SOCKETS.iter().all(|socket| stage.path(socket).exists()));
    stage.refused(&["credential-process"], Exit::TryAgain);
    stage.start_registered();
}

#[test]
fn credentials_that_have_ended_are_not_handed_out() {
    let stage = Stage::set();
    stage.settings("[refresh]\non_expiry = \"keep\"\n");
    stage.lab.with_service(|service| service.token_lifetime = Duration::from_secs(7));
    let (_, _daemon) = stage.start_registered();
    let fails = Effect::Status { status: 500, code: None };
    stage.fault(Fault::always(fails).on(RequestManagedInstanceRoleToken));
    stage.status_when("the end", |status| status["state"] == "expired");
    let (message, _) = stage.refused(&["credential-process"], Exit::TryAgain);
    assert_eq!(message, "there are no usable credentials now: expired");
}

/// A stage where only root and root's group are served.
fn several_users() -> (Stage, Daemon) {
    let stage = Stage::set();
    let (_, daemon) = stage.start_registered();
    (stage, daemon)
}

fn reload(stage: &Stage, daemon: &Daemon, settings: &str) {
    let before = daemon.log().matches("settings reloaded").count();
    stage.settings(settings);
    daemon.signal(Signal::SIGHUP);
    wait_for("a reload", || {
        let log = daemon.log();
        (log.matches("settings reloaded").count() > before).then_some(()).ok_or(log)
    });
}

fn ask_as(stage: &Stage, uid: u32, gid: u32) -> Output {
    stage.command_of(uid, gid, &["credential-process"]).output().unwrap()
}

#[test]
fn whom_nobody_named_gets_nothing_and_hears_no_names() {
    if !is_root() {
        return only_the_owner();
    }
    let (stage, daemon) = several_users();
    let (message, remedy) = refusal(&ask_as(&stage, NOBODY, NOBODY), Exit::Refused);
    assert!(message.starts_with(&format!("user {NOBODY}")), "{message}");
    assert!(message.ends_with(" may have no credentials here"), "{message}");
    assert!(remedy.starts_with("name the user in a [[consumer]]"), "{remedy}");
    let by_name = |name: &str| {
        let asked = ["credential-process", "--target", name];
        let output = stage.command_of_nobody(&asked).output().unwrap();
        refusal(&output, Exit::Refused).0.replace(name, "NAME")
    };
    assert_eq!(by_name("default"), by_name("missing"));
    let line = daemon.logged("credentials refused");
    assert!(line.contains("WARN") && line.contains(&format!("uid={NOBODY}")), "{line}");
    for command in [&["export"][..], &["exec", "--", "true"]] {
        refusal(&stage.command_of_nobody(command).output().unwrap(), Exit::Refused);
    }
}

/// What can be seen without root: the owner is served, by both doors.
fn only_the_owner() {
    let (stage, _daemon) = several_users();
    for socket in SOCKETS {
        assert!(said(&stage, socket, ASK).contains("\"access_key_id\""));
    }
}

#[test]
fn members_of_the_files_group_are_served_through_the_groups_door() {
    if !is_root() {
        return only_the_owner();
    }
    let (stage, daemon) = several_users();
    assert_eq!(stage::mode(&stage.path(SOCKETS[0])), 0o660);
    assert_eq!(stage::mode(&stage.path(SOCKETS[1])), 0o666);
    printed(ask_as(&stage, NOBODY, 0));
    let line = daemon.logged("allowed_as=\"group\"");
    assert!(line.contains(&format!("uid={NOBODY}")), "{line}");
}

#[test]
fn each_user_gets_what_a_rule_gives_it_and_a_reload_changes_the_rules() {
    if !is_root() {
        return only_the_owner();
    }
    let (stage, daemon) = several_users();
    let rules = format!(
        "[[consumer]]\nname = \"backup\"\nusers = [\"{NOBODY}\"]\n\
         [[consumer]]\nname = \"web\"\ngroups = [\"{A_GROUP}\"]\n"
    );
    reload(&stage, &daemon, &rules);
    printed(ask_as(&stage, NOBODY, NOBODY));
    assert!(daemon.logged("name=\"backup\"").contains(&format!("uid={NOBODY}")));
    let other = ["credential-process", "--target", "web"];
    let output = stage.command_of_nobody(&other).output().unwrap();
    let (message, remedy) = refusal(&output, Exit::Refused);
    assert!(message.starts_with(&format!("user {NOBODY}")), "{message}");
    assert!(message.ends_with(" may not have credentials named 'web'"), "{message}");
    assert_eq!(remedy, "--target backup");

    // As its first group, and as one of several.
    printed(ask_as(&stage, SOMEBODY, A_GROUP));
    refusal(&ask_as(&stage, SOMEBODY, SOMEBODY), Exit::Refused);
    let mut in_group = Command::new("setpriv");
    let uid = SOMEBODY.to_string();
    in_group.args(["--reuid", &uid, "--regid", &uid, "--groups", &format!("4,{A_GROUP}")]);
    in_group.arg(stage.open_binary()).args(stage.command(&["credential-process"]).get_args());
    printed(in_group.output().unwrap());

    reload(&stage, &daemon, "");
    refusal(&ask_as(&stage, NOBODY, NOBODY), Exit::Refused);
}

#[test]
fn a_targets_owner_and_group_get_by_socket_what_the_file_gives_them() {
    if !is_root() {
        return only_the_owner();
    }
    let (stage, daemon) = several_users();
    let file = stage.path("backup/credentials");
    fs::create_dir(stage.path("backup")).unwrap();
    let target = stage.target(
        "backup",
        &file,
        &format!("owner = \"{NOBODY}\"\ngroup = \"{A_GROUP}\"\nmode = \"0640\""),
    );
    reload(&stage, &daemon, &target);
    printed(ask_as(&stage, NOBODY, NOBODY));
    printed(ask_as(&stage, SOMEBODY, A_GROUP));
    refusal(&ask_as(&stage, SOMEBODY, SOMEBODY), Exit::Refused);
    reload(&stage, &daemon, &target.replace("0640", "0600"));
    refusal(&ask_as(&stage, SOMEBODY, A_GROUP), Exit::Refused);
}

#[test]
fn a_program_narrows_who_is_served() {
    if !is_root() {
        return only_the_owner();
    }
    let (stage, daemon) = several_users();
    let binary = stage.open_binary();
    let rule = format!(
        "[[consumer]]\nname = \"backup\"\nusers = [\"{NOBODY}\"]\nexecutables = [\"{}\"]\n",
        binary.display()
    );
    reload(&stage, &daemon, &rule);
    printed(ask_as(&stage, NOBODY, NOBODY));
    // By a link to it, as most programs are named; and where that leads elsewhere by now.
    let link = stage.path("link");
    std::os::unix::fs::symlink(&binary, &link).unwrap();
    let by_link = rule.replace(&binary.display().to_string(), &link.display().to_string());
    reload(&stage, &daemon, &by_link);
    printed(ask_as(&stage, NOBODY, NOBODY));
    assert!(!daemon.log().contains("there is no program"), "{}", daemon.log());
    fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink("/bin/sh", &link).unwrap();
    refusal(&ask_as(&stage, NOBODY, NOBODY), Exit::Refused);
    // One that is missing is told.
    fs::remove_file(&link).unwrap();
    reload(&stage, &daemon, &by_link);
    let missing = format!("consumer 'backup': there is no program {}", link.display());
    let warning = stage.status()["warnings"][0].clone();
    assert_eq!(warning["subject"], "executables");
    assert!(warning["message"].as_str().unwrap().ends_with(&missing), "{warning}");
    let check = stage.run(&["config", "check", "--as-me"]);
    assert!(text(&check.stderr).contains(&missing) && check.status.success(), "{check:?}");
    reload(&stage, &daemon, &rule.replace("executables = [\"", "executables = [\"/not"));
    let (message, remedy) = refusal(&ask_as(&stage, NOBODY, NOBODY), Exit::Refused);
    assert_eq!(message, format!("'backup' is for other programs than '{}'", binary.display()));
    assert!(remedy.starts_with("widen that [[consumer]]"), "{remedy}");
}

#[test]
fn a_consumer_whom_this_machine_does_not_know_takes_nothing_from_others() {
    let (stage, daemon) = several_users();
    stage.settings("[[consumer]]\nname = \"a\"\nusers = [\"no-such-user\"]\n");
    daemon.signal(Signal::SIGHUP);
    let line = daemon.logged("no-such-user");
    assert!(line.contains("consumer 'a': there is no user 'no-such-user'"), "{line}");
    stage.succeed(&["credential-process"]);
    let (message, _) = stage.refused(&["config", "check"], Exit::Configuration);
    assert!(message.contains("rolekeeper.toml:6: consumer 'a'"), "{message}");
    stage.settings("[[consumer]]\nname = \"a\"\ntarget = \"x\"\nusers = [\"0\"]\n");
    let (message, remedy) = stage.refused(&["config", "check"], Exit::Configuration);
    assert!(message.contains("consumer 'a': there is no target 'x'"), "{message}");
    assert!(remedy.starts_with("name a [[target]]"), "{remedy}");
}

/// What the daemon says to these bytes, after which nothing more comes.
fn said(stage: &Stage, socket: &str, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(stage.path(socket)).unwrap();
    stream.write_all(bytes).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    // One that has heard enough may hang up on the rest.
    let _ = stream.read_to_string(&mut answer);
    answer
}

#[test]
fn hostile_lines_get_one_short_answer_and_no_credentials() {
    let (stage, mut daemon) = several_users();
    let long = format!("{{\"command\":\"credentials\",\"target\":\"{}\"}}\n", "x".repeat(300));
    let flood = vec![b'{'; 1 << 20];
    for socket in SOCKETS {
        for bytes in [
            &b"\n"[..],
            b"{}\n",
            b"status\n",
            b"{\"command\":\"status\"}\n",
            b"{\"command\":\"credentials\",\"uid\":0}\n",
            b"{\"command\":\"credentials\",\"target\":{}}\n",
            b"\xff\xfe\0\n",
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            long.as_bytes(),
            // Cut by its sender.
            b"{\"command\":\"cred",
        ] {
            let answer = said(&stage, socket, bytes);
            let answer: Value = serde_json::from_str(&answer).unwrap();
            assert_eq!(answer["refused"]["exit"], Exit::Usage as u8, "{answer}");
        }
        assert_eq!(said(&stage, socket, b""), "");
        assert!(!said_to_flood(&stage, socket, &flood).contains("access_key_id"));
        let injected = b"{\"command\":\"credentials\",\"target\":\"a\\nERROR forged\\u001b[2J\"}\n";
        let answer: Value = serde_json::from_str(&said(&stage, socket, injected)).unwrap();
        assert!(answer["refused"]["message"].is_string());
    }
    stage.succeed(&["credential-process"]);
    let log = daemon.log();
    assert!(!log.contains("\nERROR forged") && !log.contains('\u{1b}'), "{log}");
    assert_eq!(daemon.stop().code(), Some(0));
}

fn said_to_flood(stage: &Stage, socket: &str, flood: &[u8]) -> String {
    let mut stream = UnixStream::connect(stage.path(socket)).unwrap();
    // The daemon reads a line's worth and answers; the rest meets a closed connection.
    let _ = stream.write_all(flood);
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

#[test]
fn one_user_who_holds_many_connections_keeps_nobody_else_waiting() {
    let (stage, daemon) = several_users();
    if is_root() {
        let rule = format!("[[consumer]]\nname = \"backup\"\nusers = [\"{NOBODY}\"]\n");
        reload(&stage, &daemon, &rule);
    }
    let held =
        (0..200).map(|_| UnixStream::connect(stage.path(SOCKETS[1])).unwrap()).collect::<Vec<_>>();
    // Beyond its share a user hears so at once.
    let mut answer = String::new();
    BufReader::new(held.last().unwrap()).read_line(&mut answer).unwrap();
    assert!(answer.contains("this user has too many connections"), "{answer}");
    if is_root() {
        printed(ask_as(&stage, NOBODY, NOBODY));
    }
    drop(held);
    wait_for("the user's turn again", || {
        let output = stage.run(&["credential-process"]);
        if output.status.success() { Ok(()) } else { Err(two_lines(&text(&output.stderr)).0) }
    });
}

#[test]
fn who_is_slow_to_ask_is_left_alone_and_keeps_nobody_waiting() {
    let (stage, daemon) = several_users();
    for socket in SOCKETS {
        let mut slow = UnixStream::connect(stage.path(socket)).unwrap();
        slow.write_all(&ASK[..9]).unwrap();
        assert!(said(&stage, socket, ASK).contains("access_key_id"));
        let mut answer = String::new();
        slow.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "", "nobody waits for the rest");
    }
    assert!(!daemon.log().contains("panicked"), "{}", daemon.log());
}

#[test]
fn who_leaves_before_the_answer_disturbs_nobody() {
    let (stage, daemon) = several_users();
    for _ in 0..50 {
        let mut stream = UnixStream::connect(stage.path(SOCKETS[1])).unwrap();
        stream.write_all(ASK).unwrap();
        drop(stream);
        drop(UnixStream::connect(stage.path(SOCKETS[0])).unwrap());
    }
    stage.succeed(&["credential-process"]);
    assert!(!daemon.log().contains("panicked"), "{}", daemon.log());
}

#[test]
fn refusals_fill_the_log_only_so_far() {
    if !is_root() {
        return only_the_owner();
    }
    let (stage, daemon) = several_users();
    let mut many = Command::new("sh");
    let ask = stage.command_of_nobody(&["credential-process"]);
    let words = ask.get_args().map(|word| format!("'{}'", word.display())).collect::<Vec<_>>();
    let line = format!("'{}' {} 2>/dev/null", ask.get_program().display(), words.join(" "));
    many.arg("-c").arg(format!("for i in $(seq 40); do {line}; done; exit 0"));
    std::os::unix::process::CommandExt::uid(&mut many, NOBODY);
    std::os::unix::process::CommandExt::gid(&mut many, NOBODY);
    assert!(many.status().unwrap().success());
    // What is logged comes through a pipe.
    let refused = || daemon.log().matches("credentials refused").count();
    wait_for("the refusals", || if refused() >= 20 { Ok(()) } else { Err(daemon.log()) });
    stage.succeed(&["status"]);
    assert_eq!(refused(), 20, "{}", daemon.log());
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn exec_runs_a_command_with_credentials_and_nothing_that_leads_elsewhere() {
    let (stage, _daemon) = several_users();
    let mut command = stage.command(&["exec"]);
    for name in ["AWS_PROFILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_ROLE_ARN", "AWS_SECURITY_TOKEN"]
    {
        command.env(name, "elsewhere");
    }
    command.env("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE").env("AWS_REGION", "mars-1");
    let output = printed(command.args(["--", "/usr/bin/env"]).output().unwrap());
    let exported = stage.succeed(&["export", "--format", "env-no-export"]);
    let exported = exported.lines().filter(|line| !line.contains("_REGION=")).collect::<Vec<_>>();
    let mut found = output.lines().collect::<Vec<_>>();
    let mut expected = exported
        .into_iter()
        .chain(["AWS_REGION=mars-1", "AWS_DEFAULT_REGION=mars-1"])
        .collect::<Vec<_>>();
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
}

/// The SDKs know one variable or the other; what somebody has chosen stays.
#[test]
fn exec_and_export_name_the_daemons_region_where_none_is_chosen() {
    let (stage, _daemon) = several_users();
    let home = stage.path("home");
    fs::create_dir_all(home.join(".aws")).unwrap();
    let both = format!("AWS_DEFAULT_REGION={REGION}\nAWS_REGION={REGION}\n");
    let regions = |words: &[&str], variables: &[(&str, &str)]| {
        let mut command = stage.command(words);
        command.env("HOME", &home).envs(variables.iter().copied());
        let printed = printed(command.output().unwrap());
        let mut lines = printed.lines().filter(|it| it.contains("_REGION=")).collect::<Vec<_>>();
        lines.sort_unstable();
        lines.iter().map(|line| format!("{line}\n")).collect::<String>()
    };
    let exec = ["exec", "--", "/usr/bin/env"];
    let endpoint = ["exec", "--container-endpoint", "--", "/usr/bin/env"];
    let export = ["export", "--format", "env-no-export"];
    let config = |text: &str| fs::write(home.join(".aws/config"), text).unwrap();
    for words in [&exec[..], &endpoint, &export] {
        config("");
        assert_eq!(regions(words, &[]), both, "{words:?}");
        // What is chosen for some SDKs is for all.
        let lines = ["AWS_DEFAULT_REGION=mars-1\n", "AWS_REGION=mars-1\n"];
        for (chosen, line) in [("AWS_DEFAULT_REGION", lines[1]), ("AWS_REGION", lines[0])] {
            let expected = if words == export { line.to_owned() } else { lines.concat() };
            assert_eq!(regions(words, &[(chosen, "mars-1")]), expected, "{words:?}");
        }
        assert_eq!(regions(words, &[("AWS_REGION", "")]), both, "{words:?}: empty is not chosen");
        config("[default]\nregion = mars-1\n[profile other]\noutput = json\n");
        assert_eq!(regions(words, &[]), "", "{words:?}: the file's would not be seen");
        let elsewhere = [("AWS_CONFIG_FILE", "/nonexistent")];
        assert_eq!(regions(words, &elsewhere), both, "{words:?}");
        // `exec` takes the profile's name out of the environment.
        let expected = if words == export { both.as_str() } else { "" };
        assert_eq!(regions(words, &[("AWS_PROFILE", "other")]), expected, "{words:?}");
    }
    assert!(!stage.succeed(&["export"]).contains("egion"), "credential_process has no such member");
    let fish = stage.succeed(&["export", "--format", "fish"]);
    assert!(fish.contains(&format!("set -gx AWS_REGION \"{REGION}\"\n")), "{fish}");
}

fn exec(stage: &Stage, options: &[&str], script: &str) -> Command {
    let mut words = vec!["exec"];
    words.extend(options);
    let mut command = stage.command(&words);
    command.args(["--", "/bin/sh", "-c", script]);
    command
}

#[test]
fn exec_ends_as_its_command_does() {
    let (stage, _daemon) = several_users();
    for options in [&[][..], &["--container-endpoint"]] {
        let status = exec(&stage, options, "exit 7").status().unwrap();
        assert_eq!(status.code(), Some(7), "{options:?}");
        let status = exec(&stage, options, "kill -TERM $$").status().unwrap();
        // As a shell sees it, both are 143.
        let shell = status.code().or(status.signal().map(|signal| 128 + signal));
        assert_eq!(shell, Some(143), "{options:?}");

        let mut child = exec(&stage, options, "cat; cat >&2 /dev/null; ulimit -c")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(b"by standard input\n").unwrap();
        let printed = printed(child.wait_with_output().unwrap());
        let limit = Command::new("sh").args(["-c", "ulimit -c"]).output().unwrap();
        assert_eq!(printed, format!("by standard input\n{}", text(&limit.stdout)));

        for (program, exit) in [("/no/such/program", 127), ("/etc/passwd", 126)] {
            let mut words = vec!["exec"];
            words.extend(options);
            let output = stage.command(&words).args(["--", program]).output().unwrap();
            assert_eq!(output.status.code(), Some(exit), "{program}");
            let (message, _) = two_lines(&text(&output.stderr));
            assert!(message.starts_with(&format!("{program}: ")), "{message}");
        }
    }
    stage.refused(&["exec"], Exit::Usage);
    stage.refused(&["exec", "--target", "x", "--", "true"], Exit::Usage);
}

/// A command under `exec --container-endpoint`, and what it was handed.
struct Handed {
    child: Child,
    output: BufReader<ChildStdout>,
    address: String,
    path: String,
    token: String,
}

fn hand_over(stage: &Stage, script: &str) -> Handed {
    let tell = "echo $AWS_CONTAINER_CREDENTIALS_FULL_URI $AWS_CONTAINER_AUTHORIZATION_TOKEN \
                $AWS_SHARED_CREDENTIALS_FILE $AWS_ACCESS_KEY_ID";
    let own = exec(stage, &["--container-endpoint"], &format!("{tell}; {script}"));
    // No shell can trap what is ignored when it starts, and a test may be started so.
    let mut command = Command::new("/usr/bin/env");
    command.env_clear().args(["--default-signal=HUP,INT,TERM,USR1"]);
    let mut child = command
        .arg(own.get_program())
        .args(own.get_args())
        .env("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    let words = line.split_whitespace().collect::<Vec<_>>();
    let [url, token, "/dev/null"] = words[..] else { panic!("{line}") };
    let (address, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    Handed { address: address.into(), path: format!("/{path}"), token: token.into(), child, output }
}

fn get(handed: &Handed, path: &str, headers: &str) -> (u16, String) {
    let address = &handed.address;
    let head = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    send(handed, &format!("{head}{headers}\r\n"))
}

/// The status and the body of the answer to these bytes, after which nothing more comes.
fn send(handed: &Handed, bytes: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(&handed.address).unwrap();
    stream.write_all(bytes.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
}

#[test]
fn a_container_endpoint_lives_as_long_as_its_command() {
    let (stage, mut daemon) = several_users();
    let mut handed = hand_over(&stage, "read line; exit 3");
    let token = format!("Authorization: {}\r\n", handed.token);
    let (status, body) = get(&handed, &handed.path, &token);
    assert_eq!(status, 200, "{body}");
    let body: Value = serde_json::from_str(&body).unwrap();
    let file = fs::read_to_string(stage.credentials()).unwrap();
    assert_eq!(body["AccessKeyId"], value(&file, "aws_access_key_id"));
    assert_eq!(body["Token"], value(&file, "aws_session_token"));

    // A renewal shows.
    stage.succeed(&["refresh"]);
    let file = fs::read_to_string(stage.credentials()).unwrap();
    let (_, body) = get(&handed, &handed.path, &token);
    assert!(body.contains(&value(&file, "aws_access_key_id")), "{body}");

    assert_eq!(get(&handed, &handed.path, "").0, 401);
    assert_eq!(get(&handed, &handed.path, "Authorization: wrong\r\n").0, 403);
    assert_eq!(get(&handed, "/other", &token).0, 404);
    assert_eq!(get(&handed, &handed.path, &format!("{token}Origin: http://evil\r\n")).0, 403);
    assert_eq!(get(&handed, &handed.path, &format!("{token}X-Forwarded-For: ::1\r\n")).0, 403);
    assert_eq!(get(&handed, &handed.path, &format!("{token}Host: evil.example\r\n")).0, 400);
    let address = &handed.address;
    let head = format!("HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{token}\r\n");
    let posted = format!("POST {} {head}", handed.path);
    assert_eq!(send(&handed, &posted).0, 405);
    assert_eq!(send(&handed, "no HTTP at all\r\n\r\n").0, 400);
    let many = format!("{token}{}", "X: y\r\n".repeat(40));
    assert_eq!(get(&handed, &handed.path, &many).0, 431);
    let large = format!("{token}X-Large: {}\r\n", "x".repeat(20_000));
    assert_eq!(get(&handed, &handed.path, &large).0, 431);

    daemon.stop();
    assert_eq!(get(&handed, &handed.path, &token).0, 503);
    handed.child.stdin.take().unwrap().write_all(b"\n").unwrap();
    assert_eq!(handed.child.wait().unwrap().code(), Some(3));
    wait_for("the endpoint's end with its command", || match TcpStream::connect(&handed.address) {
        Ok(_) => Err("it answers".to_owned()),
        Err(_) => Ok(()),
    });
}

#[test]
fn a_token_opens_the_endpoint_to_the_commands_own_user_and_root_alone() {
    if !is_root() {
        return only_the_owner();
    }
    let (stage, daemon) = several_users();
    let rule = format!("[[consumer]]\nname = \"a\"\nusers = [\"{NOBODY}\"]\n");
    reload(&stage, &daemon, &rule);
    let tell =
        "echo $AWS_CONTAINER_CREDENTIALS_FULL_URI $AWS_CONTAINER_AUTHORIZATION_TOKEN; read x";
    let words = ["exec", "--container-endpoint", "--", "/bin/sh", "-c", tell];
    let mut command = stage.command_of_nobody(&words);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let (url, token) = line.trim().split_once(' ').unwrap();
    for (uid, status) in [(SOMEBODY, "403"), (NOBODY, "200"), (0, "200")] {
        let uid = uid.to_string();
        let mut curl = Command::new("setpriv");
        curl.args(["--reuid", &uid, "--regid", &uid, "--clear-groups", "curl", "-s"]);
        curl.args(["-w", "%{http_code}", "-H", &format!("Authorization: {token}"), url]);
        let answer = printed(curl.output().unwrap());
        assert!(answer.ends_with(status), "{uid}: {answer}");
        assert_eq!(answer.contains("AccessKeyId"), status == "200", "{uid}: {answer}");
    }
    drop(child.stdin.take());
    child.wait().unwrap();
}

#[test]
fn signals_reach_the_command_behind_a_container_endpoint() {
    let (stage, _daemon) = several_users();
    for (signal, name, number) in [
        (Signal::SIGTERM, "TERM", 15),
        (Signal::SIGHUP, "HUP", 1),
        (Signal::SIGINT, "INT", 2),
        (Signal::SIGUSR1, "USR1", 10),
    ] {
        let script =
            // A minute at most, and it fails.
            format!("trap 'exit 40' {name}; echo ready; for i in $(seq 6000); do read x || sleep 0.01; done");
        let mut handed = hand_over(&stage, &script);
        let mut ready = String::new();
        handed.output.read_line(&mut ready).unwrap();
        let pid = Pid::from_raw(handed.child.id().cast_signed());
        drop(handed.child.stdin.take());
        kill(pid, signal).unwrap();
        assert_eq!(handed.child.wait().unwrap().code(), Some(40), "{name}");

        let mut handed = hand_over(&stage, "exec sleep 60");
        let pid = Pid::from_raw(handed.child.id().cast_signed());
        kill(pid, signal).unwrap();
        assert_eq!(handed.child.wait().unwrap().signal(), Some(number), "{name}");
    }
}

/// A daemon whose requests take a while.
fn busy() -> (Stage, Daemon) {
    let stage = Stage::set();
    let settings = fs::read_to_string(stage.path("rolekeeper.toml")).unwrap();
    fs::write(stage.path("rolekeeper.toml"), settings.replace("\"1s\"", "\"20s\"")).unwrap();
    let (_, daemon) = stage.start_registered();
    let late = Effect::Latency(Duration::from_secs(2));
    stage.fault(Fault::always(late).on(RequestManagedInstanceRoleToken));
    (stage, daemon)
}

/// Says this to the daemon as an operator.
fn order(stage: &Stage, line: &str) -> UnixStream {
    let mut stream = UnixStream::connect(stage.path("run/control.sock")).unwrap();
    stream.write_all(line.as_bytes()).unwrap();
    stream
}

fn answered(mut stream: UnixStream) -> String {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

const REFRESH: &str = "{\"command\":\"refresh\"}\n";

#[test]
fn many_who_want_the_same_at_once_are_one_request_or_two_and_all_are_answered() {
    let (stage, daemon) = busy();
    let before = stage.requests(RequestManagedInstanceRoleToken);
    let asked = (0..15).map(|_| order(&stage, REFRESH)).collect::<Vec<_>>();
    for asked in asked {
        let answer = answered(asked);
        assert!(answer.starts_with("{\"done\":\"credentials renewed"), "{answer}");
    }
    let requests = stage.requests(RequestManagedInstanceRoleToken) - before;
    assert!((1..=2).contains(&requests), "{requests} requests: {}", daemon.log());
    // One after the other, each is a request.
    stage.clear_faults();
    for _ in 0..2 {
        stage.succeed(&["refresh"]);
    }
    assert_eq!(stage.requests(RequestManagedInstanceRoleToken), before + requests + 2);
}

#[test]
fn what_nobody_waits_for_any_more_is_not_done_and_holds_no_place() {
    let (stage, _daemon) = busy();
    let threshold = || stage.succeed(&["fingerprint", "show"]);
    let before = threshold();
    let first = order(&stage, REFRESH);
    // More than there are places: whoever leaves gives theirs up.
    for _ in 0..40 {
        drop(order(&stage, "{\"command\":\"set-threshold\",\"threshold\":77}\n"));
    }
    // Who has only said all there is to say waits for the answer.
    let half_closed = order(&stage, REFRESH);
    half_closed.shutdown(Shutdown::Write).unwrap();
    let status = answered(order(&stage, "{\"command\":\"status\"}\n"));
    assert!(status.starts_with("{\"status\":"), "{status}");
    for asked in [first, half_closed] {
        let answer = answered(asked);
        assert!(answer.starts_with("{\"done\":\"credentials renewed"), "{answer}");
    }
    assert_eq!(threshold(), before);
}
