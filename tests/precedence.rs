//! What counts when several say it: an option beats the settings, these the environment, and none of
//! them contradicts the registration.

#[allow(dead_code, reason = "each file of tests plays with a part of it")]
mod stage;

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Output};

use rolekeeper::lab::operation::Operation::{
    DeregisterManagedInstance, RegisterManagedInstance, RequestManagedInstanceRoleToken,
    UpdateManagedInstancePublicKey,
};
use rolekeeper::pure::advice::Exit;
use serde_json::Value;

use stage::{REGION, Stage, printed, refusal};

/// Every option of every command that stands for a key of the settings, and that key. What stands in
/// none of them has no key; a new option has to be placed in one of the two lists.
const WITH_A_SETTING: [(&str, &str); 4] = [
    ("doctor --endpoint-url", "[service] endpoint_url"),
    ("doctor --region", "[service] region"),
    ("register --endpoint-url", "[service] endpoint_url"),
    ("register --region", "[service] region"),
];

const WITHOUT_A_SETTING: &[&str] = &[
    "--config",
    "--quiet",
    "--runtime-dir",
    "--state-dir",
    "--verbose",
    "advise --json",
    "advise --pid",
    "advise --sdk",
    "advise --unit",
    "completions --dynamic",
    "config check --as-me",
    "config check --as-service",
    "credential-process --target",
    "deregister --local-only",
    "doctor --agent-directory",
    "doctor --home",
    "doctor --json",
    "doctor --metadata-address",
    "doctor --user",
    "exec --container-endpoint",
    "exec --target",
    "export --format",
    "export --target",
    "fingerprint diff --json",
    "fingerprint show --json",
    "register --activation-code",
    "register --activation-code-file",
    "register --activation-id",
    "register --ensure",
    "register --force",
    "register --similarity-threshold",
    "register --tag",
    "status --json",
    "status --local-time",
];

fn options(command: &clap::Command, path: &str, found: &mut Vec<String>) {
    for argument in command.get_arguments().filter(|it| !path.is_empty() || it.is_global_set()) {
        if let Some(long) = argument.get_long().filter(|long| !["help", "version"].contains(long)) {
            found.push(format!("{path} --{long}").trim_start().to_owned());
        }
    }
    for subcommand in command.get_subcommands() {
        let path = format!("{path} {}", subcommand.get_name());
        options(subcommand, path.trim_start(), found);
    }
}

#[test]
fn every_option_is_placed_with_or_without_a_setting() {
    let mut found = Vec::new();
    options(&rolekeeper::cli::description(), "", &mut found);
    found.sort_unstable();
    let with = WITH_A_SETTING.iter().map(|(option, _)| *option);
    let mut placed = with.chain(WITHOUT_A_SETTING.iter().copied()).collect::<Vec<_>>();
    placed.sort_unstable();
    assert_eq!(found, placed);
}

/// Settings that name a region and an endpoint, or leave them out.
fn write_settings(stage: &Stage, region: Option<&str>, endpoint_url: Option<&str>) {
    let line = |key: &str, value: Option<&str>| {
        value.map(|value| format!("{key} = \"{value}\"\n")).unwrap_or_default()
    };
    let (region, url) = (line("region", region), line("endpoint_url", endpoint_url));
    let text = format!("[service]\n{region}{url}timeout = \"1s\"\n[health]\nenabled = false\n");
    fs::write(stage.path("rolekeeper.toml"), text).unwrap();
}

/// `register` with an activation, and with nothing else.
fn register(stage: &Stage, more: &[&str]) -> Command {
    let activation = stage.activation();
    let mut command = stage.command(&["register", "--activation-id", &activation.id]);
    command.args(["--activation-code", &activation.code]).args(more);
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn an_option_beats_its_setting() {
    // For each of them: what the settings say that is wrong, and the option that is right.
    let stage = Stage::set();
    let url = stage.lab.endpoint_url();
    let nobody = "http://127.0.0.1:9";
    let mut cases = BTreeMap::new();
    let (wrong, right) = ((None, Some(nobody)), vec!["--region", REGION, "--endpoint-url", &url]);
    cases.insert("register --endpoint-url", (wrong, right));
    let (wrong, right) = ((Some("us-east-1"), Some(url.as_str())), vec!["--region", REGION]);
    cases.insert("register --region", (wrong, right));
    let tested = cases.keys().copied().collect::<Vec<_>>();
    assert_eq!(tested, WITH_A_SETTING[2..].iter().map(|(option, _)| *option).collect::<Vec<_>>());

    // Nobody is reached: whom it would ask is what it says.
    write_settings(&stage, Some("us-east-1"), None);
    let mut doctor = stage.command(&["doctor", "--json", "--metadata-address", "127.0.0.1:9"]);
    doctor.args(["--region", REGION]).env("HTTPS_PROXY", nobody);
    let report = String::from_utf8(doctor.output().unwrap().stdout).unwrap();
    assert!(report.contains(REGION) && !report.contains("us-east-1"), "{report}");

    // Before a registration, the endpoint that only a command line names.
    write_settings(&stage, None, Some("https://ssm.eu-central-1.invalid"));
    let mut doctor = stage.command(&["doctor", "--json", "--metadata-address", "127.0.0.1:9"]);
    doctor.args(["--region", REGION, "--endpoint-url", &url]);
    let report = String::from_utf8(doctor.output().unwrap().stdout).unwrap();
    assert!(report.contains(&format!("answers at {url}")), "{report}");
    assert!(!report.contains(".invalid"), "{report}");

    for (option, ((region, endpoint_url), right)) in cases {
        write_settings(&stage, region, endpoint_url);
        let output = register(&stage, &[&right[..], &["--force"]].concat()).output().unwrap();
        assert!(
            said(&output).contains(&format!(" in {REGION}, by ")),
            "{option}: {}",
            said(&output)
        );
        printed(output);
        let record = fs::read(stage.record("RegistrationKey")).unwrap();
        let record: Value = serde_json::from_slice(&record).unwrap();
        assert_eq!(record["region"], REGION, "{option}");
    }
    assert_eq!(stage.requests(RegisterManagedInstance), 2);
}

#[test]
fn an_option_is_checked_as_its_setting_is_and_before_a_key_is_made() {
    let stage = Stage::set();
    let expected = "expected a URL such as https://example.com";
    for url in ["", "foo", "localhost:4599", "ftp://example.com", "https://"] {
        let output =
            register(&stage, &["--region", REGION, "--endpoint-url", url]).output().unwrap();
        let (message, _) = refusal(&output, Exit::Usage);
        // clap has its own words for an empty value.
        assert!(message.contains(expected) || url.is_empty(), "{message}");
        assert!(message.contains("--endpoint-url"), "{message}");
        let (message, _) = stage.refused(&["doctor", "--endpoint-url", url], Exit::Usage);
        assert!(message.contains(expected) || url.is_empty(), "{message}");
        write_settings(&stage, None, Some(url));
        let (message, _) = stage.refused(&["config", "check"], Exit::Configuration);
        assert!(message.contains(expected), "{message}");
    }
    // One that would be shown with its account is refused, and the account is not shown.
    let account = "http://token:secret@127.0.0.1:9";
    let output =
        register(&stage, &["--region", REGION, "--endpoint-url", account]).output().unwrap();
    let (message, _) = refusal(&output, Exit::Usage);
    assert!(message.contains("without an account"), "{message}");
    assert!(!message.contains("token:") && !message.contains("secret"), "{message}");
    write_settings(&stage, None, Some(account));
    let (message, _) = stage.refused(&["config", "check"], Exit::Configuration);
    assert!(message.contains("without an account") && !message.contains("secret"), "{message}");
    stage.settings("");
    for region in ["", "Frankfurt"] {
        let output = register(&stage, &["--region", region]).output().unwrap();
        refusal(&output, Exit::Usage);
    }
    assert!(!stage.path("state").exists(), "nothing was made");
}

#[test]
fn a_region_of_the_environment_is_taken_as_the_aws_cli_takes_it() {
    let stage = Stage::set();
    let variables = |command: &mut Command, first: &str, second: &str| {
        command.env("AWS_REGION", first).env("AWS_DEFAULT_REGION", second);
    };
    let (message, _) = refusal(&register(&stage, &[]).output().unwrap(), Exit::Usage);
    assert_eq!(message, "--region is required");

    let mut command = register(&stage, &[]);
    variables(&mut command, "Frankfurt", REGION);
    let (message, remedy) = refusal(&command.output().unwrap(), Exit::Configuration);
    assert!(message.starts_with("$AWS_REGION: region 'Frankfurt'"), "{message}");
    assert!(remedy.contains("AWS_REGION"), "{remedy}");

    // An option, then the settings, then AWS_REGION, then AWS_DEFAULT_REGION. An empty one is none.
    let url = stage.lab.endpoint_url();
    for (option, setting, first, second) in [
        (Some(REGION), Some("us-east-1"), "us-east-2", "us-west-1"),
        (None, Some(REGION), "us-east-2", "us-west-1"),
        (None, None, REGION, "us-west-1"),
        (None, None, "", REGION),
    ] {
        write_settings(&stage, setting, Some(&url));
        let option = option.map(|region| vec!["--region", region]).unwrap_or_default();
        let mut command = register(&stage, &[&option[..], &["--force"]].concat());
        variables(&mut command, first, second);
        let output = command.output().unwrap();
        assert!(said(&output).contains(&format!(" in {REGION}, by ")), "{}", said(&output));
        printed(output);
    }
}

#[test]
fn what_contradicts_the_registration_is_an_error_before_a_request() {
    let stage = Stage::set();
    stage.register();
    let requests = || {
        [
            RegisterManagedInstance,
            RequestManagedInstanceRoleToken,
            UpdateManagedInstancePublicKey,
            DeregisterManagedInstance,
        ]
        .map(|operation| stage.requests(operation))
    };
    let before = (requests(), stage.vault());
    let record = stage.record("RegistrationKey").display().to_string();
    let contradicts = |command: &mut Command, place: &str| {
        let (message, remedy) = refusal(&command.output().unwrap(), Exit::Configuration);
        assert!(message.starts_with(&format!("{place} says region us-east-1, and ")), "{message}");
        assert!(message.contains(&record) && message.ends_with(REGION), "{message}");
        assert!(remedy.contains(place.trim_start_matches('$')), "{remedy}");
        assert_eq!((requests(), stage.vault()), before, "{message}");
    };
    contradicts(&mut register(&stage, &["--ensure", "--region", "us-east-1"]), "--region");
    let mut command = register(&stage, &["--ensure"]);
    contradicts(command.env("AWS_REGION", "us-east-1"), "$AWS_REGION");

    write_settings(&stage, Some("us-east-1"), Some(&stage.lab.endpoint_url()));
    let place = format!("{}:2", stage.path("rolekeeper.toml").display());
    contradicts(&mut register(&stage, &["--ensure"]), &place);
    for command in [&["run"][..], &["rotate-key"], &["deregister"], &["config", "check"]] {
        contradicts(&mut stage.command(command), &place);
    }
    let output = stage.command(&["doctor", "--json", "--metadata-address", "127.0.0.1:9"]).output();
    let checks: Vec<Value> = serde_json::from_slice(&output.unwrap().stdout).unwrap();
    let registration = checks.iter().find(|check| check["name"] == "registration").unwrap();
    assert_eq!(registration["verdict"], "wrong", "{registration}");
    assert!(registration["finding"].as_str().unwrap().starts_with(&place), "{registration}");
    // What is for this machine alone is done all the same.
    assert!(stage.run(&["deregister", "--local-only"]).status.success());
}

/// Every command that ends by itself, without a daemon.
const COMMANDS: [&[&str]; 14] = [
    &["status"],
    &["status", "--json"],
    &["refresh"],
    &["reload"],
    &["fingerprint", "show"],
    &["rotate-key"],
    &["credential-process"],
    &["export"],
    &["exec", "--", "/bin/true"],
    &["config", "check", "--as-me"],
    &["config", "show"],
    &["deregister", "--local-only"],
    &["completions", "bash"],
    &["register", "--activation-id", "x"],
];

/// The variables that tell these commands where something is, or who listens.
const VARIABLES: [&str; 16] = [
    "ROLEKEEPER_CONFIG",
    "AWS_CA_BUNDLE",
    "RUNTIME_DIRECTORY",
    "STATE_DIRECTORY",
    "CREDENTIALS_DIRECTORY",
    "JOURNAL_STREAM",
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "HTTPS_PROXY",
    "NO_PROXY",
    "TZ",
    "COMPLETE",
    "COLUMNS",
];

/// What another service leaves to its children: its directories, its journal, its watchdog.
const INHERITED: [(&str, &str); 7] = [
    ("RUNTIME_DIRECTORY", "/run/other:/run/another"),
    ("STATE_DIRECTORY", "/var/lib/other"),
    ("CREDENTIALS_DIRECTORY", "/run/credentials/other.service"),
    ("JOURNAL_STREAM", "8:12345"),
    ("NOTIFY_SOCKET", "/run/nobody/listens/here"),
    ("WATCHDOG_USEC", "1"),
    ("WATCHDOG_PID", "1"),
];

#[test]
fn a_variable_that_is_empty_or_another_services_is_as_good_as_none() {
    let stage = Stage::set();
    let environments =
        [VARIABLES.iter().map(|name| (*name, "")).collect::<Vec<_>>(), INHERITED.to_vec()];
    for arguments in COMMANDS {
        let without = stage.run(arguments);
        for environment in &environments {
            let mut command = stage.command(arguments);
            let output = command.envs(environment.iter().copied()).output().unwrap();
            assert_eq!(output, without, "{arguments:?} with {environment:?}");
        }
    }
    // Without options, the settings are looked for in the usual place.
    let bare = |environment: &[(&str, &str)]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rolekeeper"));
        command.env_clear().envs(environment.iter().copied()).args(["config", "show"]);
        command.output().unwrap()
    };
    assert_eq!(bare(&[("ROLEKEEPER_CONFIG", "")]), bare(&[]));
    assert_ne!(bare(&[("ROLEKEEPER_CONFIG", "/missing")]), bare(&[]));
    let (message, _) = refusal(&bare(&[("ROLEKEEPER_CONFIG", "/missing")]), Exit::Configuration);
    assert!(message.contains("/missing"), "{message}");
}

/// The daemon in its usual place, asked from another service's environment.
#[test]
fn another_services_directories_keep_nobody_from_the_daemon() {
    if !stage::is_root() {
        return eprintln!("skipped: only root can put a daemon in /run/rolekeeper");
    }
    let stage = Stage::set();
    let (id, _daemon) = stage.start_registered();
    let ask = |environment: &[(&str, &str)], arguments: &[&str]| {
        let script = "mount -t tmpfs none /run && mkdir -p /run/rolekeeper /run/other && \
                      mount --bind \"$1\" /run/rolekeeper && shift && exec \"$@\"";
        let mut apart = Command::new("unshare");
        apart.env_clear().env("PATH", "/usr/bin:/bin:/usr/sbin").envs(environment.iter().copied());
        apart.args(["-m", "sh", "-c", script, "sh"]).arg(stage.path("run"));
        apart.arg(env!("CARGO_BIN_EXE_rolekeeper")).arg("--config");
        apart.arg(stage.path("rolekeeper.toml")).args(arguments).output().unwrap()
    };
    let other = [("RUNTIME_DIRECTORY", "/run/other"), ("STATE_DIRECTORY", "/var/lib/other")];
    for environment in [&other[..], &[("RUNTIME_DIRECTORY", ""), ("STATE_DIRECTORY", "")], &[]] {
        let status = ask(environment, &["status", "--json"]);
        let status: Value = serde_json::from_str(&printed(status)).unwrap();
        assert_eq!(status["instance_id"], id.to_string());
        printed(ask(environment, &["refresh"]));
        printed(ask(environment, &["credential-process"]));
        let advice = ask(environment, &["advise", "--json"]);
        let advice = String::from_utf8_lossy(&advice.stdout).into_owned();
        assert!(advice.contains("rolekeeper credential-process"), "{advice}");
        assert!(!advice.contains("--runtime-dir") && !advice.contains("/run/other"), "{advice}");
    }
    // An option is meant.
    let elsewhere = ask(&[], &["--runtime-dir", "/run/other", "credential-process"]);
    let (message, _) = refusal(&elsewhere, Exit::TryAgain);
    assert!(message.contains("/run/other"), "{message}");
}
