//! What the lab keeps in a file: the real programs, killed and started again, and the lab's time
//! from the command line.

#[allow(dead_code, reason = "each file of tests plays with a part of it")]
mod stage;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sdk_ssm::types::{ResourceTypeForTagging, Tag};
use aws_sdk_sts::config::retry::RetryConfig;
use aws_sdk_sts::config::{BehaviorVersion, Region};
use aws_sdk_sts::error::ProvideErrorMetadata;
use aws_smithy_async::time::StaticTimeSource;
use serde_json::Value;
use stage::{Daemon, moment, printed, value, wait_for};
use tempfile::TempDir;
use tokio::runtime;

const REGION: &str = "eu-central-1";

const ROLE_SETTING: &str = "/ssm/managed-instance/default-ec2-instance-management-role";

/// A place for a lab's file and for a machine's.
struct Place(TempDir);

/// `rolekeeper-lab serve` with a file, and what its env file says.
struct Kept {
    process: Child,
    variables: Vec<(String, String)>,
}

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Starts a lab on the file of this place.
    fn lab(&self, listen: &str, more: &[&str]) -> Kept {
        let mut process = self.serve(listen, more).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("rolekeeper-lab listens on "), "{line}");
        let variables = fs::read_to_string(self.path("lab.env")).unwrap();
        let variables = variables
            .lines()
            .filter_map(|line| line.strip_prefix("export ")?.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Kept { process, variables }
    }

    fn serve(&self, listen: &str, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rolekeeper-lab"));
        command.env_clear().args(["serve", "--listen", listen, "--data"]);
        command.arg(self.path("lab.db")).arg("--env-file").arg(self.path("lab.env")).args(more);
        if !more.contains(&"--region") {
            command.args(["--region", REGION]);
        }
        command
    }

    /// The production program with this place's directories.
    fn rolekeeper(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rolekeeper"));
        command.env_clear().args(arguments).stdin(Stdio::null());
        command.arg("--config").arg(self.path("rolekeeper.toml"));
        command.arg("--state-dir").arg(self.path("state"));
        command.arg("--runtime-dir").arg(self.path("run"));
        command
    }

    fn credentials(&self) -> Credentials {
        let file = fs::read_to_string(self.path("run/credentials")).unwrap();
        let value = |name| value(&file, name);
        Credentials::new(
            value("aws_access_key_id"),
            value("aws_secret_access_key"),
            Some(value("aws_session_token")),
            None,
            "test",
        )
    }
}

impl Kept {
    fn variable(&self, name: &str) -> &str {
        &self.variables.iter().find(|(known, _)| known == name).unwrap().1
    }

    fn address(&self) -> &str {
        self.variable("AWS_ENDPOINT_URL").strip_prefix("http://").unwrap()
    }

    /// A command of the lab's own program.
    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rolekeeper-lab"));
        command.env_clear().args(arguments).envs(self.variables.iter().cloned());
        command.output().unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&printed(self.run(arguments))).unwrap()
    }

    /// What a command says that must fail.
    fn refused(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    }

    fn admin(&self) -> Credentials {
        let id = self.variable("AWS_ACCESS_KEY_ID");
        Credentials::new(id, self.variable("AWS_SECRET_ACCESS_KEY"), None, None, "test")
    }

    fn ssm(&self) -> aws_sdk_ssm::Client {
        aws_sdk_ssm::Client::from_conf(
            aws_sdk_ssm::Config::builder()
                .behavior_version(aws_sdk_ssm::config::BehaviorVersion::latest())
                .region(aws_sdk_ssm::config::Region::new(REGION))
                .endpoint_url(self.variable("AWS_ENDPOINT_URL"))
                .credentials_provider(self.admin())
                .build(),
        )
    }

    /// Signs by the lab's time, as a client does that has heard of it.
    fn sts(&self, credentials: Credentials) -> aws_sdk_sts::Client {
        let now = self.json(&["clock", "show", "--json"]);
        let now = SystemTime::from(moment(&now["Now"]));
        aws_sdk_sts::Client::from_conf(
            aws_sdk_sts::Config::builder()
                .behavior_version(BehaviorVersion::latest())
                .region(Region::new(REGION))
                .endpoint_url(self.variable("AWS_ENDPOINT_URL"))
                .retry_config(RetryConfig::disabled())
                .credentials_provider(credentials)
                .time_source(StaticTimeSource::new(now))
                .build(),
        )
    }

    /// `kill -9`: nothing of it runs after this.
    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // Whoever killed it already has nothing left to kill.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn block_on<T>(asked: impl Future<Output = T>) -> T {
    runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(asked)
}

/// Registers this machine with a new activation for two; the activation's id and the node's.
fn register(place: &Place, lab: &Kept) -> (String, String) {
    let url = lab.variable("AWS_ENDPOINT_URL");
    let settings = format!(
        "[service]\nendpoint_url = \"{url}\"\ntimeout = \"1s\"\n[health]\nenabled = true\n"
    );
    fs::write(place.path("rolekeeper.toml"), settings).unwrap();
    let made = lab.json(&["activation", "create", "--limit", "2", "--json"]);
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    let (id, code) = (text("ActivationId"), text("ActivationCode"));
    let mut command = place.rolekeeper(&["register", "--region", REGION]);
    command.args(["--activation-id", &id, "--activation-code", &code]);
    let node = printed(command.output().unwrap());
    (id, node.trim_end().to_owned())
}

fn run_daemon(place: &Place) -> Daemon {
    let daemon = Daemon::start(place.rolekeeper(&["run"]));
    wait_for("credentials", || {
        if place.path("run/credentials").exists() { Ok(()) } else { Err(daemon.log()) }
    });
    daemon
}

fn nodes(lab: &Kept) -> Vec<Value> {
    let listed = lab.json(&["node", "list", "--json"]);
    listed["InstanceInformationList"].as_array().unwrap().clone()
}

#[test]
fn a_lab_that_was_killed_goes_on_with_all_that_it_had_answered() {
    let place = Place::new();
    let lab = place.lab("127.0.0.1:0", &[]);
    let (activation, node) = register(&place, &lab);
    let _daemon = run_daemon(&place);
    wait_for("a ping", || {
        let nodes = nodes(&lab);
        if nodes[0]["PingStatus"] == "Online" { Ok(()) } else { Err(format!("{nodes:?}")) }
    });
    block_on(async {
        let ssm = lab.ssm();
        let (key, kind) = (Tag::builder().key("OS"), ResourceTypeForTagging::ManagedInstance);
        let tag = key.value("Debian").build().unwrap();
        ssm.add_tags_to_resource()
            .resource_type(kind)
            .resource_id(&node)
            .tags(tag)
            .send()
            .await
            .unwrap();
        let setting = ssm.update_service_setting().setting_id(ROLE_SETTING);
        setting.setting_value("service-role/Hosts").send().await.unwrap();
    });
    let before = (lab.admin(), nodes(&lab), lab.json(&["activation", "list", "--json"]));
    let held = place.credentials();
    let address = lab.address().to_owned();
    let arn = |lab: &Kept| {
        let sts = lab.sts(held.clone());
        block_on(sts.get_caller_identity().send()).unwrap().arn().unwrap().to_owned()
    };
    let caller = arn(&lab);
    lab.kill();

    let lab = place.lab(&address, &[]);
    assert_eq!((lab.admin(), arn(&lab)), (before.0, caller));
    assert_eq!(nodes(&lab), before.1);
    let activations = lab.json(&["activation", "list", "--json"]);
    assert_eq!(activations, before.2);
    assert_eq!(activations["ActivationList"][0]["ActivationId"], activation.as_str());
    assert_eq!(activations["ActivationList"][0]["RegistrationsCount"], 1);
    block_on(async {
        let ssm = lab.ssm();
        let kind = ResourceTypeForTagging::ManagedInstance;
        let tags = ssm.list_tags_for_resource().resource_type(kind).resource_id(&node).send().await;
        assert_eq!(tags.unwrap().tag_list()[0].value(), "Debian");
        let setting = ssm.get_service_setting().setting_id(ROLE_SETTING).send().await.unwrap();
        let setting = setting.service_setting.unwrap();
        assert_eq!(setting.setting_value(), Some("service-role/Hosts"));
    });
    // The daemon never stopped, and its key is known still.
    printed(place.rolekeeper(&["refresh"]).output().unwrap());
    assert_ne!(place.credentials(), held);
    let mode = fs::metadata(place.path("lab.db")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
}

#[test]
fn a_file_that_cannot_be_used_is_refused_in_two_lines() {
    let place = Place::new();
    let _lab = place.lab("127.0.0.1:0", &[]);
    let refused = |place: &Place, more: &[&str], status: i32| {
        let output = place.serve("127.0.0.1:0", more).output().unwrap();
        assert_eq!(output.status.code(), Some(status), "{output:?}");
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.lines().count() == 2 && error.contains("\ntry: "), "{error}");
        error
    };
    let error = refused(&place, &[], 75);
    assert!(error.contains("lab.db is in use by another lab"), "{error}");
    let other = Place::new();
    other.lab("127.0.0.1:0", &[]).kill();
    let error = refused(&other, &["--region", "eu-west-1"], 64);
    assert!(error.contains("belongs to a lab in eu-central-1, not in eu-west-1"), "{error}");
    fs::write(other.path("lab.db"), "# Changelog\n".repeat(100)).unwrap();
    assert!(refused(&other, &[], 65).contains("is not a lab's data file"));
    fs::remove_file(other.path("lab.db")).unwrap();
    fs::create_dir(other.path("lab.db")).unwrap();
    assert!(refused(&other, &[], 73).contains("cannot open "));
}

#[test]
fn credentials_and_activations_die_by_the_labs_clock() {
    let place = Place::new();
    let lab = place.lab("127.0.0.1:0", &[]);
    let (_, node) = register(&place, &lab);
    let mut daemon = run_daemon(&place);
    wait_for("a ping", || {
        let nodes = nodes(&lab);
        if nodes[0]["PingStatus"] == "Online" { Ok(()) } else { Err(format!("{nodes:?}")) }
    });
    // A daemon that has stopped neither pings nor asks for new credentials.
    daemon.stop();
    // Their caller, or why they have none.
    let caller = |lab: &Kept| {
        let asked = block_on(lab.sts(place.credentials()).get_caller_identity().send());
        asked.map_or_else(
            |error| error.code().unwrap().to_owned(),
            |caller| caller.arn().unwrap().to_owned(),
        )
    };
    assert!(caller(&lab).ends_with(&node));

    let said = printed(lab.run(&["clock", "set", "--forward", "59m"]));
    assert!(said.ends_with("in the lab; its clock runs as fast as this machine's.\n"), "{said}");
    assert_eq!(nodes(&lab)[0]["PingStatus"], "ConnectionLost");
    assert!(caller(&lab).ends_with(&node));
    printed(lab.run(&["clock", "set", "--forward", "2m"]));
    assert_eq!(caller(&lab), "ExpiredToken");

    // A month of an activation within the time that a command takes, at a million times the pace.
    let asked = ["activation", "create", "--expires-in", "30d", "--limit", "2", "--json"];
    let long = lab.json(&asked)["ActivationId"].as_str().unwrap().to_owned();
    let state = |lab: &Kept| {
        let list = lab.json(&["activation", "list", "--json"]);
        let all = list["ActivationList"].as_array().unwrap().clone();
        all.into_iter().find(|one| one["ActivationId"] == long.as_str()).unwrap()["Expired"].clone()
    };
    assert_eq!(state(&lab), false);
    assert_eq!(lab.json(&["clock", "set", "--rate", "1000000", "--json"])["Rate"], 1_000_000);
    wait_for("the activation's end", || {
        let state = state(&lab);
        if state == true { Ok(()) } else { Err(state.to_string()) }
    });
    printed(lab.run(&["clock", "set", "--rate", "1"]));
}

#[test]
fn the_labs_time_goes_forward_only_and_outlives_the_lab() {
    let place = Place::new();
    let lab = place.lab("127.0.0.1:0", &["--rate", "60"]);
    let error = lab.refused(&["clock", "set", "--to", "2020-01-01T00:00:00Z"]);
    assert!(error.contains("its time only goes forward"), "{error}");
    assert!(lab.refused(&["clock", "set"]).contains("try: "));
    let set = lab.json(&["clock", "set", "--to", "2150-12-24T18:00:00Z", "--json"]);
    assert!(set["Now"].as_str().unwrap().starts_with("2150-12-24T18:"), "{set}");
    lab.kill();
    let lab = place.lab("127.0.0.1:0", &[]);
    let shown = lab.json(&["clock", "show", "--json"]);
    assert!(shown["Now"].as_str() >= set["Now"].as_str(), "{shown}");
    assert_eq!(shown["Rate"], 60);
}

#[test]
fn an_activation_can_be_ended_before_its_time() {
    let place = Place::new();
    let lab = place.lab("127.0.0.1:0", &[]);
    let made = lab.json(&["activation", "create", "--json"]);
    let id = made["ActivationId"].as_str().unwrap();
    assert_eq!(printed(lab.run(&["activation", "expire", id])), format!("{id} has expired.\n"));
    assert!(printed(lab.run(&["activation", "list"])).contains(" expired\n"));
    let error = lab.refused(&["activation", "expire", "01234567-89ab-cdef-0123-456789abcdef"]);
    assert!(error.contains("InvalidActivation") && error.contains("activation list"), "{error}");
}
