//! `rolekeeper-lab` as it is typed: the real binary, real signals, a real file.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

const LAB: &str = env!("CARGO_BIN_EXE_rolekeeper-lab");

/// `rolekeeper-lab serve`, and what its env file says.
struct Served {
    process: Child,
    env_file: PathBuf,
    variables: Vec<(String, String)>,
    _directory: TempDir,
}

impl Served {
    fn start() -> Self {
        Self::start_with(&[])
    }

    fn start_with(options: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let env_file = directory.path().join("lab.env");
        let mut process = bare()
            .args(["serve", "--listen", "127.0.0.1:0", "--region", "eu-central-1", "--env-file"])
            .arg(&env_file)
            .args(options)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("rolekeeper-lab listens on http://127.0.0.1:"), "{line}");
        let variables = std::fs::read_to_string(&env_file)
            .unwrap()
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with("# "))
            .map(|line| line.strip_prefix("export ").and_then(|rest| rest.split_once('=')).unwrap())
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Self { process, env_file, variables, _directory: directory }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        bare().args(arguments).envs(self.variables.iter().cloned()).output().unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn address(&self) -> &str {
        let (_, url) = self.variables.iter().find(|(name, _)| name == "AWS_ENDPOINT_URL").unwrap();
        url.strip_prefix("http://").unwrap()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Whoever stopped it already has nothing left to kill.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The binary without any AWS variable of the machine that tests.
fn bare() -> Command {
    let mut command = Command::new(LAB);
    command.env_clear();
    command
}

/// One line that says what failed, one that says what to do, and the exit status.
fn assert_refused(output: &Output, status: i32, message: &str) {
    let error = String::from_utf8_lossy(&output.stderr);
    let lines = error.lines().collect::<Vec<_>>();
    assert_eq!(output.status.code(), Some(status), "{error}");
    assert_eq!(lines.len(), 2, "{error}");
    assert!(lines[0].contains(message) && lines[1].starts_with("try: "), "{error}");
}

#[test]
fn the_env_file_is_private_and_complete() {
    let served = Served::start();
    let mode = std::fs::metadata(&served.env_file).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    let names = served.variables.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>();
    assert_eq!(
        names,
        [
            "AWS_ENDPOINT_URL",
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_REGION",
            "AWS_DEFAULT_REGION"
        ]
    );
}

/// What is pasted to be the instance or the container stands in comments: sourced, the file leaves
/// its reader the administrator.
#[test]
fn the_ways_of_an_instance_and_a_container_stand_in_comments() {
    let served = Served::start();
    let text = std::fs::read_to_string(&served.env_file).unwrap();
    let endpoint = format!("http://{}", served.address());
    for line in [
        format!("# export AWS_EC2_METADATA_SERVICE_ENDPOINT={endpoint}/"),
        format!(
            "# export AWS_CONTAINER_CREDENTIALS_FULL_URI={endpoint}/latest/meta-data/container/\
             security-credentials"
        ),
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }
}

#[test]
fn the_containers_token_can_be_had_as_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    let served = Served::start_with(&["--container-token-file", file.to_str().unwrap()]);
    let token = std::fs::read_to_string(&file).unwrap();
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
    let text = std::fs::read_to_string(&served.env_file).unwrap();
    assert!(text.contains(&format!("# export AWS_CONTAINER_AUTHORIZATION_TOKEN={token}\n")));
}

#[test]
fn an_instance_takes_only_a_role_that_there_is() {
    let serve = |role: &str| {
        let arguments = ["serve", "--listen", "127.0.0.1:0", "--instance-role", role];
        bare().args(arguments).output().unwrap()
    };
    assert_refused(&serve("Absent"), 64, "the instance cannot have the role Absent");
}

#[test]
fn activations_come_with_a_command_to_paste() {
    let served = Served::start();
    let created = served.json(&["activation", "create", "--role", "Web", "--json"]);
    let id = created["ActivationId"].as_str().unwrap();
    assert_eq!((id.len(), created["ActivationCode"].as_str().unwrap().len()), (36, 20));
    let listed = served.json(&["activation", "list", "--json"]);
    assert_eq!(listed["ActivationList"][0]["ActivationId"], id);
    assert_eq!(listed["ActivationList"][0]["IamRole"], "Web");
    let words = served.run(&["activation", "create"]);
    let words = String::from_utf8(words.stdout).unwrap();
    assert!(
        words.contains(" | rolekeeper register --region eu-central-1 --activation-id "),
        "{words}"
    );
    assert!(words.contains(&format!("--endpoint-url http://{}\n", served.address())), "{words}");
}

#[test]
fn faults_are_added_listed_and_cleared() {
    let served = Served::start();
    let add = ["fault", "add", "--operation", "DescribeActivations", "--status", "500"];
    assert!(served.run(&[&add[..], &["--count", "1", "--for", "1h"]].concat()).status.success());
    let listed = served.json(&["fault", "list", "--json"]);
    assert_eq!(listed["Faults"][0]["Operation"], "DescribeActivations");
    assert_refused(&served.run(&["activation", "list"]), 69, "InternalServerError");
    assert!(served.run(&["activation", "list"]).status.success());
    served.json(&["fault", "add", "--hang", "--json"]);
    served.json(&["fault", "add", "--reset", "--json"]);
    assert_eq!(served.json(&["fault", "clear", "2", "--json"])["Cleared"], 1);
    assert_refused(&served.run(&["fault", "clear", "2"]), 77, "No fault of that number stands");
    assert_eq!(served.json(&["fault", "clear", "--json"])["Cleared"], 1);
    assert_eq!(served.json(&["fault", "list", "--json"])["Faults"], serde_json::json!([]));
}

/// The examples of `fault add --help` but the one that shuts this test out.
#[test]
fn every_example_of_a_fault_does_what_it_says() {
    let served = Served::start();
    let help = served.run(&["fault", "add", "--help"]);
    let help = String::from_utf8(help.stdout).unwrap().replace("\\\n", " ");
    let examples = help
        .lines()
        .filter_map(|line| line.trim().strip_prefix("rolekeeper-lab "))
        .filter(|example| !example.contains("--refused-connection"))
        .collect::<Vec<_>>();
    assert_eq!(examples.len(), 15, "{help}");
    for example in &examples {
        let output = served.run(&example.split_whitespace().collect::<Vec<_>>());
        assert!(output.status.success(), "{example}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let listed = served.run(&["fault", "list"]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    for row in [
        "FAULT  HITS  LEFT  BEGINS  ENDS",
        "1      0     3     -       -",
        "RequestManagedInstanceRoleToken: status 500",
        "every request, 20 % of them: status 400 ThrottlingException",
        "every request of mi-0123456789abcdef0: no answer, ever",
        "UpdateManagedInstancePublicKey: half of the answer",
        "RequestManagedInstanceRoleToken: an answer without TokenExpirationDate",
        "every request: a Date that is off by -2h",
        "AssumeRole: an expiry that is off by +12h",
    ] {
        assert!(listed.contains(row), "no '{row}' in:\n{listed}");
    }
    assert_eq!(listed.lines().count(), 16, "{listed}");
}

#[test]
fn a_lab_that_refuses_connections_comes_back_by_itself() {
    let served = Served::start();
    served.json(&["fault", "add", "--refused-connection", "--for", "1s", "--json"]);
    while !served.run(&["fault", "list"]).status.success() {
        std::thread::yield_now();
    }
    assert_eq!(served.json(&["fault", "list", "--json"])["Faults"], serde_json::json!([]));
}

#[test]
fn nodes_are_listed_and_an_unknown_one_cannot_be_deregistered() {
    let served = Served::start();
    let listed = served.json(&["node", "list", "--json"]);
    assert_eq!(listed["InstanceInformationList"], serde_json::json!([]));
    let unknown = served.run(&["node", "deregister", "mi-0123456789abcdef0"]);
    assert_refused(&unknown, 77, "InvalidInstanceId");
}

#[test]
fn wrong_command_lines_say_what_to_do() {
    for (arguments, status, message) in [
        (&[][..], 64, "a command is missing"),
        (&["fault", "add"], 64, "required"),
        (&["fault", "add", "--status", "200"], 64, "400 to 599"),
        (&["fault", "add", "--hang", "--reset"], 64, "cannot be used with"),
        (&["fault", "add", "--hang", "--code", "A"], 64, "cannot be used with"),
        (&["fault", "add", "--html", "--code", "A"], 64, "cannot be used with"),
        (&["fault", "add", "--refused-connection"], 64, "say for how long"),
        (&["fault", "add", "--skewed-date", "2"], 64, "needs a unit"),
        (&["fault", "add", "--wrong-json", "--operation", "AssumeRole"], 64, "can do nothing to"),
        (&["fault", "add", "--hang", "--operation", "Send"], 64, "no operation 'Send'"),
        (&["serve", "--token-lifetime", "5"], 64, "needs a unit"),
        (&["serve", "--listen", "0.0.0.0:0"], 64, "other machines"),
        (&["serve", "--listen", "127.0.0.1:0", "--env-file", "/proc/none/x"], 73, "cannot write"),
        (&["serve", "--roles", "/proc/none/x"], 65, "cannot read /proc/none/x"),
        (&["serve", "--roles", "rustfmt.toml"], 65, "rustfmt.toml: line 2: unknown field"),
        (&["node", "list"], 64, "AWS_ENDPOINT_URL is not set"),
    ] {
        assert_refused(&bare().args(arguments).output().unwrap(), status, message);
    }
}

#[test]
fn credentials_of_another_start_are_refused() {
    let (old, new) = (Served::start(), Served::start());
    let url = format!("http://{}", new.address());
    let output = old.run(&["node", "list", "--endpoint-url", &url]);
    assert_refused(&output, 77, "UnrecognizedClientException");
    for (url, message) in [
        ("https://ssm.us-east-1.amazonaws.com", "AWS_CA_BUNDLE is not set"),
        ("ssm.us-east-1.amazonaws.com", "is no address of a lab"),
        ("ftp://127.0.0.1:4599", "is no address of a lab"),
    ] {
        assert_refused(&new.run(&["node", "list", "--endpoint-url", url]), 64, message);
    }
}

#[test]
fn only_loopback_is_listened_on_unasked() {
    for address in [
        "0.0.0.0:0",
        "[::]:0",
        "192.0.2.1:0",
        "[2001:db8::1]:0",
        "[::ffff:0.0.0.0]:0",
        "[fe80::1]:0",
    ] {
        let output = bare().args(["serve", "--listen", address]).output().unwrap();
        assert_refused(&output, 64, "can be reached from other machines");
        assert!(String::from_utf8_lossy(&output.stderr).contains("--i-know-this-is-a-lab"));
    }
    // A name could mean another address tomorrow.
    for address in ["localhost:0", "lab.example.net:4599", "127.0.0.1"] {
        let output = bare().args(["serve", "--listen", address]).output().unwrap();
        assert_refused(&output, 64, "--listen");
    }
}

#[test]
fn other_addresses_are_listened_on_when_asked_and_it_is_said() {
    for (address, shown, warned) in [
        ("0.0.0.0:0", "127.0.0.1:", true),
        ("127.0.0.2:0", "127.0.0.2:", false),
        ("[::ffff:127.0.0.1]:0", "[::ffff:127.0.0.1]:", false),
    ] {
        let mut command = bare();
        command.args(["serve", "--listen", address]);
        if warned {
            command.arg("--i-know-this-is-a-lab");
        }
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut next = || lines.next().unwrap().unwrap();
        let (first, second) = (next(), next());
        process.kill().unwrap();
        process.wait().unwrap();
        let expected = format!("rolekeeper-lab listens on http://{shown}");
        assert!(first.starts_with(&expected), "{first}");
        assert_eq!(second == "Other machines can reach it.", warned, "{second}");
    }
}

#[test]
fn signals_stop_it_although_a_client_is_waiting() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut served = Served::start();
        let mut waiting = TcpStream::connect(served.address()).unwrap();
        kill(Pid::from_raw(served.process.id().cast_signed()), signal).unwrap();
        assert_eq!(served.process.wait().unwrap().code(), Some(0));
        let mut rest = Vec::new();
        assert_eq!(waiting.read_to_end(&mut rest).unwrap_or(0), 0);
        assert_refused(&served.run(&["node", "list"]), 69, "no lab answers");
    }
}
