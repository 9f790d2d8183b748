//! Credentials from elsewhere than a registration, by the real `rolekeeper`: an EC2 instance with and
//! without a profile, a container, an environment. All of it is the lab's.

#[allow(dead_code, reason = "each file of tests plays with a part of it")]
mod stage;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use rolekeeper::host::clock::{Clock, SystemClock};
use rolekeeper::host::entropy::SystemEntropy;
use rolekeeper::keys::SigningKey;
use rolekeeper::lab::definitions::Definitions;
use rolekeeper::lab::ec2_instance::{CONTAINER_PATH, INSTANCE_ID};
use rolekeeper::lab::faults::{Effect, Fault};
use rolekeeper::lab::operation::Operation::{
    ContainerCredentials, InstanceMetadata, RegisterManagedInstance,
    RequestManagedInstanceRoleToken, UpdateInstanceInformation,
};
use rolekeeper::lab::roles::{DEFAULT_ROLE, HOST_ROLE};
use rolekeeper::lab::service::Service;
use rolekeeper::lab::tokens::{Holder, Session};
use rolekeeper::pure::advice::Exit;
use rolekeeper::pure::secret::Secret;
use rolekeeper::shelf::Moment;
use serde_json::{Value, json};

use stage::{Daemon, REGION, Stage, mode, moment, value, wait_for};

/// `Managed` may report to Systems Manager, which the lab's default role may not, and may become
/// `Backup`; `Elsewhere` is for no instance.
const ROLES: &str = r#"
[[role]]
name = "Managed"
trust_policy = '''{"Statement": {"Effect": "Allow", "Action": "sts:AssumeRole",
    "Principal": {"Service": ["ec2.amazonaws.com", "ecs-tasks.amazonaws.com"]}}}'''
policy = '''{"Statement": {"Effect": "Allow", "Resource": "*",
    "Action": ["ssm:UpdateInstanceInformation", "sts:AssumeRole"]}}'''

[[role]]
name = "Backup"
trust_policy = '''{"Statement": {"Effect": "Allow", "Action": "sts:*",
    "Principal": {"AWS": "arn:aws:iam::000000000000:role/Managed"}}}'''

[[role]]
name = "Elsewhere"
trust_policy = '''{"Statement": {"Effect": "Allow", "Action": "sts:AssumeRole",
    "Principal": {"Service": "lambda.amazonaws.com"}}}'''
"#;

const SETTING: &str = "/ssm/managed-instance/default-ec2-instance-management-role";

/// With the roles, and settings of this source.
fn set(role: Option<&str>, source: &str, more: &str) -> Stage {
    let stage = Stage::set();
    let definitions = Definitions::from_toml(ROLES).unwrap();
    stage.lab.with_service(|service| definitions.apply(service, &SystemEntropy)).unwrap();
    has_role(&stage, role);
    write_settings(&stage, source, more);
    stage
}

/// The instance's and the container's role from now on.
fn has_role(stage: &Stage, role: Option<&str>) {
    stage.lab.with_service(|service| service.instance.set_role(role.map(str::to_owned)));
}

/// The settings of this source, with the health ping.
fn write_settings(stage: &Stage, source: &str, more: &str) {
    let (url, token) = (stage.lab.endpoint_url(), stage.path("container.token"));
    let token = token.display();
    let identity = match source {
        "instance-metadata" => format!("metadata_endpoint_url = \"{url}\"\n"),
        "container" => format!(
            "container_credentials_url = \"{url}{CONTAINER_PATH}\"\n\
             container_token_file = \"{token}\"\n"
        ),
        _ => String::new(),
    };
    let text = format!(
        "[identity]\nsource = \"{source}\"\n{identity}\
         [service]\nendpoint_url = \"{url}\"\ntimeout = \"1s\"\n{more}"
    );
    fs::write(stage.path("rolekeeper.toml"), text).unwrap();
}

/// Default Host Management is switched on in the account.
fn manage_hosts(stage: &Stage) {
    let asked = json!({"SettingId": SETTING, "SettingValue": format!("service-role/{HOST_ROLE}")});
    let asked = serde_json::from_value(asked).unwrap();
    let region = REGION.parse().unwrap();
    let update = |service: &mut Service| {
        service.settings.update(asked, &region, "a test", SystemClock.now())
    };
    stage.lab.with_service(update).unwrap();
}

/// Gives the container the token that its endpoint wants.
fn write_container_token(stage: &Stage) -> String {
    let token = stage.lab.with_service(|service| service.instance.container_token().clone());
    let token = token.expose().clone();
    fs::write(stage.path("container.token"), &token).unwrap();
    token
}

fn fresh(stage: &Stage) -> Value {
    stage.status_when("fresh credentials", |status| status["state"] == "fresh")
}

/// Waits for a failure of this class.
fn failed(stage: &Stage, class: &str) -> Value {
    stage.status_when(class, |status| status["failure"]["class"] == class)
}

fn message(status: &Value) -> &str {
    status["failure"]["message"].as_str().unwrap()
}

fn remedy(status: &Value) -> &str {
    status["failure"]["remedy"].as_str().unwrap()
}

/// Whose credentials the default target holds, as the lab knows them: the role and the session.
fn holder(stage: &Stage) -> (String, String) {
    let id = value(&fs::read_to_string(stage.credentials()).unwrap(), "aws_access_key_id");
    holder_of(stage, &id)
}

fn holder_of(stage: &Stage, id: &str) -> (String, String) {
    let issued = stage.lab.with_service(|service| service.tokens.get(id).unwrap()).unwrap();
    let Holder::Session(Session { role_name, name, .. }) = issued.holder else { panic!("{id}") };
    (role_name, name)
}

#[test]
fn an_instance_profile_feeds_the_file_the_programs_and_our_own_endpoint() {
    let more = "[endpoint.imds]\nlisten = \"127.0.0.1:0\"\n\
                [[target]]\nname = \"default\"\npath = \"PATH\"\n\
                [[target]]\nname = \"backup\"\npath = \"BACKUP\"\n\
                role_arn = \"arn:aws:iam::000000000000:role/Backup\"\n";
    let stage = set(Some("Managed"), "instance-metadata", "");
    let more = more.replace("PATH", &stage.credentials().display().to_string());
    let more = more.replace("BACKUP", &stage.path("backup").display().to_string());
    write_settings(&stage, "instance-metadata", &more);
    let daemon = stage.start();
    let status = fresh(&stage);
    assert_eq!(status["source"], "instance-metadata");
    assert_eq!(status["instance_id"], INSTANCE_ID);
    assert_eq!(status["region"], REGION);
    assert_eq!(status["fingerprint"], Value::Null);
    let role = json!({
        "granted_by": "instance profile", "name": "Managed", "arn": null,
        "account_id": "000000000000"
    });
    assert_eq!(status["role"], role);
    assert_eq!(holder(&stage), ("Managed".to_owned(), INSTANCE_ID.to_owned()));
    assert_eq!(mode(&stage.credentials()), 0o640);
    assert!(!stage.path("state/vault").exists(), "nothing is to be remembered");

    let page = stage.status_page();
    let line = "source       instance-metadata: instance profile Managed, account 000000000000\n";
    assert!(page.contains(line), "{page}");

    let file = fs::read_to_string(stage.credentials()).unwrap();
    let id = value(&file, "aws_access_key_id");
    let answer = stage.succeed(&["credential-process", "--target", "default"]);
    assert!(answer.contains(&format!("\"AccessKeyId\":\"{id}\"")), "{answer}");

    let line = daemon.logged("listens endpoint=\"imds\"");
    let address = line.split_once("address=").unwrap().1.parse().unwrap();
    let document = metadata(address, "/latest/meta-data/iam/security-credentials/default");
    assert!(document.contains(&id), "{document}");
    assert_eq!(metadata(address, "/latest/meta-data/instance-id"), INSTANCE_ID);

    // A role of its own is assumed from the profile's, in a session of the instance's name.
    let backup = wait_for("the role of the target", || {
        let file = fs::read_to_string(stage.path("backup")).unwrap_or_default();
        if file.contains("aws_access_key_id") { Ok(file) } else { Err(file) }
    });
    let backup = holder_of(&stage, &value(&backup, "aws_access_key_id"));
    assert_eq!(backup, ("Backup".to_owned(), INSTANCE_ID.to_owned()));

    assert_eq!(stage.requests(RequestManagedInstanceRoleToken), 0);
    let log = daemon.log();
    let secret = value(&file, "aws_secret_access_key");
    assert!(!log.contains(&secret) && !log.contains("SessionToken"), "{log}");
}

#[test]
fn without_a_profile_the_accounts_role_comes_by_two_signatures() {
    let stage = set(None, "instance-metadata", "");
    manage_hosts(&stage);
    let mut daemon = stage.start();
    let status = fresh(&stage);
    assert_eq!(status["role"]["granted_by"], "default host management");
    assert_eq!(status["instance_id"], INSTANCE_ID);
    assert_eq!(holder(&stage), (HOST_ROLE.to_owned(), INSTANCE_ID.to_owned()));

    let record = stage.record("EC2RegistrationKey");
    let kept = fs::read_to_string(&record).unwrap();
    assert_eq!(mode(&record), 0o600);
    let key = stage.lab.with_service(|service| service.hosts.key(INSTANCE_ID).unwrap()).unwrap();
    let private = serde_json::from_str::<Value>(&kept).unwrap()["privateKey"].clone();
    let private = private.as_str().unwrap().to_owned();
    let private = SigningKey::decode(&Secret::new(private)).unwrap();
    assert_eq!(private.public_key(), key);

    // The next start has the key, and registers nothing.
    daemon.stop();
    let daemon = stage.start();
    daemon.logged("credentials renewed");
    assert_eq!(stage.requests(RegisterManagedInstance), 1);
    assert_eq!(fs::read_to_string(&record).unwrap(), kept);
    let seen = |service: &mut Service| {
        service.hosts.get(INSTANCE_ID).unwrap().unwrap().last_ping.is_some()
    };
    wait_for("the health report", || {
        if stage.lab.with_service(seen) { Ok(()) } else { Err("no ping".to_owned()) }
    });
}

#[test]
fn a_role_that_may_not_report_gives_way_unless_there_is_nothing_to_report() {
    let stage = set(Some(DEFAULT_ROLE), "instance-metadata", "");
    let mut daemon = stage.start();
    let status = failed(&stage, "denied");
    let text = message(&status);
    for part in [
        "the role SSMServiceRole may not report to Systems Manager (UpdateInstanceInformation at",
        "AccessDeniedException",
        "Default Host Management: RequestManagedInstanceRoleToken at",
        "not configured for account",
    ] {
        assert!(text.contains(part), "no {part} in: {text}");
    }
    assert!(remedy(&status).contains("AmazonSSMManagedInstanceCore"), "{status}");
    assert!(remedy(&status).contains("[health]"), "{status}");
    assert!(!stage.credentials().exists());

    manage_hosts(&stage);
    stage.succeed(&["refresh"]);
    assert_eq!(holder(&stage).0, HOST_ROLE);
    // An attached role comes first again.
    has_role(&stage, Some("Managed"));
    stage.succeed(&["refresh"]);
    assert_eq!(holder(&stage).0, "Managed");
    assert_eq!(fresh(&stage)["role"]["name"], "Managed");

    daemon.stop();
    has_role(&stage, Some(DEFAULT_ROLE));
    write_settings(&stage, "instance-metadata", "[health]\nenabled = false\n");
    let pings = stage.requests(UpdateInstanceInformation);
    let daemon = stage.start();
    daemon.logged("credentials renewed");
    assert_eq!(holder(&stage).0, DEFAULT_ROLE);
    assert_eq!(stage.requests(UpdateInstanceInformation), pings);
}

#[test]
fn a_restart_while_systems_manager_is_away_goes_on_with_the_role_that_it_has_heard() {
    let stage = set(Some("Managed"), "instance-metadata", "");
    let away = || {
        let effect = Effect::Status { status: 500, code: None };
        for operation in [UpdateInstanceInformation, RequestManagedInstanceRoleToken] {
            stage.fault(Fault::always(effect.clone()).on(operation));
        }
    };
    // Nothing is known of a role that was never heard.
    away();
    let mut daemon = stage.start();
    failed(&stage, "service-fault");
    assert!(!stage.credentials().exists());
    stage.clear_faults();
    stage.succeed(&["refresh"]);
    let record = stage.path("state/instance-profile.json");
    assert_eq!(mode(&record), 0o600);
    daemon.stop();
    fs::remove_file(stage.credentials()).unwrap();

    away();
    let mut daemon = stage.start();
    let status = fresh(&stage);
    assert_eq!(status["role"]["name"], "Managed");
    assert_eq!(holder(&stage).0, "Managed");
    daemon.logged("Systems Manager has heard the role Managed before");
    daemon.stop();

    // Another role, and one that gave way to the account's, are not taken unheard.
    has_role(&stage, Some(DEFAULT_ROLE));
    let mut daemon = stage.start();
    failed(&stage, "service-fault");
    daemon.stop();
    stage.clear_faults();
    manage_hosts(&stage);
    let mut daemon = stage.start();
    fresh(&stage);
    assert_eq!(holder(&stage).0, HOST_ROLE);
    daemon.stop();
    assert!(!record.exists());
    has_role(&stage, Some("Managed"));
    away();
    let _daemon = stage.start();
    failed(&stage, "service-fault");
    assert_eq!(holder(&stage).0, HOST_ROLE, "valid still");
}

#[test]
fn what_neither_ec2_nor_systems_manager_gives_is_said_with_its_remedy() {
    let stage = set(Some("Elsewhere"), "instance-metadata", "");
    let mut daemon = stage.start();
    let status = failed(&stage, "denied");
    assert!(message(&status).contains("EC2 does not give the profile's role"), "{status}");
    assert!(remedy(&status).contains("ec2.amazonaws.com"), "{status}");
    daemon.stop();

    has_role(&stage, None);
    let _daemon = stage.start();
    let status = failed(&stage, "denied");
    assert!(message(&status).starts_with("the instance has no profile; "), "{status}");
    assert!(remedy(&status).contains("Modify IAM role"), "{status}");
}

#[test]
fn a_key_that_another_agent_registered_is_no_use_and_the_remedy_names_the_agent() {
    let stage = set(None, "instance-metadata", "");
    manage_hosts(&stage);
    let (other, now) = (SigningKey::generate().unwrap().public_key(), SystemClock.now());
    stage.lab.with_service(|service| service.hosts.register(INSTANCE_ID, &other, now)).unwrap();
    let _daemon = stage.start();
    let status = failed(&stage, "denied");
    assert!(message(&status).contains("InvalidSignatureException"), "{status}");
    assert!(remedy(&status).contains("amazon-ssm-agent"), "{status}");
}

#[test]
fn a_service_that_forgot_the_instance_hears_of_its_key_again() {
    let stage = set(None, "instance-metadata", "");
    manage_hosts(&stage);
    let mut daemon = stage.start();
    fresh(&stage);
    daemon.stop();
    let kept = fs::read(stage.record("EC2RegistrationKey")).unwrap();

    let other = set(None, "instance-metadata", "");
    manage_hosts(&other);
    fs::create_dir_all(other.path("state/vault")).unwrap();
    fs::write(other.record("EC2RegistrationKey"), kept).unwrap();
    for directory in ["state", "state/vault"] {
        stage::allow(&other.path(directory), 0o700);
    }
    let _daemon = other.start();
    fresh(&other);
    assert_eq!(holder(&other).0, HOST_ROLE);
    assert_eq!(other.requests(RegisterManagedInstance), 1);
}

#[test]
fn a_metadata_service_that_is_away_off_or_odd_is_told_apart_and_comes_back() {
    let mut stage = set(Some("Managed"), "instance-metadata", "");
    stage.drop_service();
    let daemon = stage.start();
    let status = failed(&stage, "unreachable");
    assert!(message(&status).contains("the instance's identity document at"), "{status}");
    assert!(remedy(&status).contains("--http-put-response-hop-limit 2"), "{status}");
    assert_eq!((&status["state"], &status["instance_id"]), (&json!("expired"), &Value::Null));
    stage.raise_service();
    stage.succeed(&["refresh"]);
    fresh(&stage);
    drop(daemon);

    for (effect, class, text) in [
        (Effect::Status { status: 403, code: None }, "denied", "switched off"),
        (Effect::Status { status: 404, code: None }, "bad-answer", "no session is to be had"),
        (Effect::Status { status: 503, code: None }, "service-fault", "503"),
        (Effect::Status { status: 429, code: None }, "throttled", "429"),
        (Effect::Hang, "unreachable", "no answer in time"),
        (Effect::TornBody, "bad-answer", "broke off"),
    ] {
        let shown = format!("{effect:?}");
        stage.fault(Fault::always(effect).on(InstanceMetadata));
        let mut daemon = stage.start();
        let status = failed(&stage, class);
        assert!(message(&status).contains(text), "{shown}: {status}");
        stage.clear_faults();
        daemon.stop();
    }
}

#[test]
fn a_container_shows_its_token_and_a_wrong_one_is_mended_while_it_runs() {
    let stage = set(Some("Managed"), "container", "");
    // What a registered machine held is nothing for a container.
    fs::create_dir(stage.path("run")).unwrap();
    fs::write(stage.path("run/role-token"), "{}").unwrap();
    let daemon = stage.start();
    let status = failed(&stage, "local");
    assert!(message(&status).contains("container.token: No such file"), "{status}");

    fs::write(stage.path("container.token"), "wrong\n").unwrap();
    let (text, advice) = stage.refused(&["refresh"], Exit::Refused);
    assert!(text.contains("the token was refused: HTTP status 403"), "{text}");
    assert!(advice.contains("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"), "{advice}");
    assert!(!text.contains(CONTAINER_PATH), "a path is as good as a key: {text}");

    let token = write_container_token(&stage);
    stage.succeed(&["refresh"]);
    let status = fresh(&stage);
    assert_eq!(holder(&stage).0, "Managed");
    assert_eq!(status["source"], "container");
    assert_eq!((&status["instance_id"], &status["region"]), (&Value::Null, &Value::Null));
    assert_eq!(status["role"]["arn"], "arn:aws:iam::000000000000:role/Managed");
    assert_eq!(status["role"]["account_id"], "000000000000");
    let page = stage.status_page();
    let line = "source       container: arn:aws:iam::000000000000:role/Managed\n";
    assert!(page.contains(line) && !page.contains("not registered"), "{page}");
    assert!(!daemon.log().contains(&token), "{}", daemon.log());

    assert!(!stage.path("run/role-token").exists());

    has_role(&stage, None);
    let (text, advice) = stage.refused(&["refresh"], Exit::Unavailable);
    assert!(text.contains("the container's credentials at http://127.0.0.1:"), "{text}");
    assert!(!advice.is_empty());
    assert_eq!(stage.status()["state"], "stale", "what is held stays until its end");
}

#[test]
fn a_containers_variables_do_as_well_as_settings() {
    let stage = set(Some("Managed"), "container", "");
    let text = fs::read_to_string(stage.path("rolekeeper.toml")).unwrap();
    let text = text.lines().filter(|line| !line.starts_with("container_"));
    fs::write(stage.path("rolekeeper.toml"), text.collect::<Vec<_>>().join("\n")).unwrap();
    let (text, advice) = stage.refused(&["run"], Exit::Configuration);
    assert_eq!(text, "no endpoint is named that gives this container its credentials");
    assert!(advice.contains("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"), "{advice}");

    let url = format!("{}{CONTAINER_PATH}", stage.lab.endpoint_url());
    let token = write_container_token(&stage);
    let mut command = stage.command(&["run"]);
    command.env("AWS_CONTAINER_CREDENTIALS_FULL_URI", &url);
    command.env("AWS_CONTAINER_AUTHORIZATION_TOKEN", token).env("AWS_REGION", REGION);
    let _daemon = Daemon::start(command);
    assert_eq!(fresh(&stage)["region"], REGION);

    let shown = stage
        .command(&["config", "show"])
        .env("AWS_REGION", "eu-west-1")
        .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", url)
        .output()
        .unwrap();
    let shown = stage::printed(shown);
    assert!(shown.contains("# $AWS_REGION\n"), "{shown}");
    assert!(shown.contains("/***\""), "{shown}");
}

#[test]
fn credentials_that_end_are_withdrawn_and_new_ones_take_their_place() {
    let mut stage = set(Some("Managed"), "container", "");
    write_container_token(&stage);
    stage.lab.with_service(|service| service.token_lifetime = Duration::from_secs(9));
    let _daemon = stage.start();
    let first = moment(&fresh(&stage)["credentials"]["expires_at"]);
    // At half of their life there are others.
    stage.status_when("other credentials", |status| {
        status["state"] == "fresh" && moment(&status["credentials"]["expires_at"]) > first
    });
    stage.drop_service();
    stage.status_when("the end", |status| status["state"] == "expired");
    wait_for("an empty file", || {
        let file = fs::read_to_string(stage.credentials()).unwrap();
        if file.contains("aws_access_key_id") { Err(file) } else { Ok(()) }
    });
    stage.refused(&["credential-process"], Exit::TryAgain);
    stage.raise_service();
    stage.succeed(&["refresh"]);
    fresh(&stage);

    // The endpoint gives what has ended already: that is not handed on.
    stage.fault(
        Fault::always(Effect::SkewedExpiry(time::Duration::seconds(-60))).on(ContainerCredentials),
    );
    let (text, _) = stage.refused(&["refresh"], Exit::Unavailable);
    assert!(text.contains("before it could be used"), "{text}");
}

/// `run` with the variables of credentials.
fn with_variables(stage: &Stage, variables: &[(&str, &str)]) -> Command {
    let mut command = stage.command(&["run"]);
    command.envs(variables.iter().copied());
    command
}

#[test]
fn an_environments_credentials_are_handed_on_until_they_end() {
    let stage = set(None, "environment", "");
    let end = SystemClock.now() + time::Duration::seconds(12);
    let end = Moment(end).to_string();
    let variables = [
        ("AWS_ACCESS_KEY_ID", "ASIAENVIRONMENT00001"),
        ("AWS_SECRET_ACCESS_KEY", "hunter2"),
        ("AWS_SESSION_TOKEN", "token"),
        ("AWS_CREDENTIAL_EXPIRATION", &end),
    ];
    let daemon = Daemon::start(with_variables(&stage, &variables));
    let status = fresh(&stage);
    assert_eq!(status["source"], "environment");
    assert_eq!(status["credentials"]["expires_at"], end.as_str());
    let file = fs::read_to_string(stage.credentials()).unwrap();
    assert_eq!(value(&file, "aws_secret_access_key"), "hunter2");

    let status = failed(&stage, "denied");
    assert_eq!(message(&status), format!("the environment's credentials ended at {end}"));
    assert!(remedy(&status).starts_with("start the daemon again"), "{status}");
    wait_for("an empty file", || {
        let file = fs::read_to_string(stage.credentials()).unwrap();
        if file.contains("aws_access_key_id") { Err(file) } else { Ok(()) }
    });
    assert!(!daemon.log().contains("hunter2"));
}

#[test]
fn an_environment_that_cannot_be_handed_on_keeps_the_daemon_from_starting() {
    let stage = set(None, "environment", "");
    let whole = [
        ("AWS_ACCESS_KEY_ID", "ASIAENVIRONMENT00001"),
        ("AWS_SECRET_ACCESS_KEY", "hunter2"),
        ("AWS_SESSION_TOKEN", "token"),
    ];
    let own = [("AWS_ACCESS_KEY_ID", "AKIAENVIRONMENT00001"), whole[1]];
    for (variables, text) in [
        (&[][..], "the environment has no AWS_ACCESS_KEY_ID"),
        (&whole[..2], "the environment has no AWS_SESSION_TOKEN"),
        (&whole, "the environment does not say when its credentials end"),
        (&own, "never end: they are not handed on"),
    ] {
        let output = with_variables(&stage, variables).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(Exit::Configuration as i32), "{error}");
        assert!(error.contains(text) && !error.contains("hunter2"), "{error}");
    }
}

#[test]
fn doctor_looks_for_no_service_that_a_container_does_without() {
    let stage = set(Some("Managed"), "container", "");
    write_container_token(&stage);
    let doctor = || {
        let mut command = stage.command(&["doctor", "--json"]);
        let printed = command.env("AWS_REGION", REGION).output().unwrap().stdout;
        let checks: Value = serde_json::from_slice(&printed).unwrap();
        let services = checks.as_array().unwrap().iter().filter(|check| check["name"] == "service");
        let told = services.map(|check| (check["subject"].clone(), check["verdict"].clone()));
        told.collect::<Vec<_>>()
    };
    assert_eq!(doctor(), [(Value::Null, json!("inapplicable"))]);
    let role = "role_arn = \"arn:aws:iam::000000000000:role/Backup\"";
    write_settings(&stage, "container", &stage.target("backup", &stage.path("backup"), role));
    let [(subject, verdict)] = &doctor()[..] else { panic!("one service: STS") };
    assert!(subject.as_str().is_some_and(|subject| subject.contains("STS")), "{subject}");
    assert_eq!(verdict, "ok");
}

#[test]
fn roles_need_a_region_and_the_environment_may_say_it() {
    let role = "[[target]]\nname = \"backup\"\npath = \"/nonexistent/backup\"\n\
                role_arn = \"arn:aws:iam::000000000000:role/Backup\"\n";
    let stage = set(Some("Managed"), "container", role);
    write_container_token(&stage);
    let output = stage.run(&["run"]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(Exit::Configuration as i32), "{error}");
    assert!(error.contains("roles cannot be assumed without a region"), "{error}");

    let mut command = stage.command(&["run"]);
    command.env("AWS_DEFAULT_REGION", REGION);
    let _daemon = Daemon::start(command);
    assert_eq!(fresh(&stage)["region"], REGION);
}

#[test]
fn what_is_about_a_registration_is_refused_under_another_source() {
    let stage = set(Some("Managed"), "instance-metadata", "");
    let commands: [&[&str]; 6] = [
        &["register", "--region", REGION],
        &["deregister"],
        &["rotate-key"],
        &["fingerprint", "diff"],
        &["fingerprint", "accept"],
        &["fingerprint", "set-threshold", "50"],
    ];
    let refused = |command: &[&str]| {
        let (text, advice) = stage.refused(command, Exit::Configuration);
        assert!(text.contains("come from its instance metadata"), "{command:?}: {text}");
        assert!(advice.contains("[identity]"), "{advice}");
    };
    commands.iter().for_each(|command| refused(command));
    let daemon = stage.start();
    fresh(&stage);
    // Now it is the daemon that is asked by some of them.
    commands.iter().for_each(|command| refused(command));
    drop(daemon);
    assert!(!stage.path("state/vault").exists());
    let daemon = stage.start();
    stage.status_when("a daemon that knows itself", |status| status["region"] == REGION);
    let address = stage.lab.address().to_string();
    let doctor = stage.run(&["doctor", "--json", "--metadata-address", &address]);
    let checks: Value = serde_json::from_slice(&doctor.stdout).unwrap();
    for (name, verdict) in [
        ("registration", "inapplicable"),
        ("hardware", "inapplicable"),
        ("metadata", "ok"),
        ("vault", "inapplicable"),
    ] {
        let check = checks.as_array().unwrap().iter().find(|check| check["name"] == name);
        assert_eq!(check.unwrap()["verdict"], verdict, "{name}: {checks}");
    }
    drop(daemon);
    // The machine can be looked at all the same, and so can the state without a daemon.
    stage.succeed(&["fingerprint", "show"]);
    let output = stage.run(&["status", "--json"]);
    assert_eq!(output.status.code(), Some(Exit::Unavailable as i32));
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&status["source"], &status["state"]),
        (&json!("instance-metadata"), &json!("stopped"))
    );
}

#[test]
fn another_source_comes_with_the_next_start_and_all_else_with_a_reload() {
    let stage = set(Some("Managed"), "instance-metadata", "");
    let mut daemon = stage.start();
    fresh(&stage);
    let target = stage.target("second", &stage.path("second"), "");
    write_container_token(&stage);
    write_settings(&stage, "container", &target);
    daemon.signal(Signal::SIGHUP);
    let line = daemon.logged("the source stays instance-metadata while the daemon runs");
    assert!(
        line.contains("rolekeeper.toml:2: ") && line.contains("to change to container"),
        "{line}"
    );
    wait_for("the new target's file", || fs::read(stage.path("second")).map_err(|e| e.to_string()));
    assert_eq!(stage.status()["source"], "instance-metadata");
    assert_eq!(stage.requests(ContainerCredentials), 0);

    daemon.stop();
    let _daemon = stage.start();
    assert_eq!(fresh(&stage)["source"], "container");
}

#[test]
fn a_daemon_that_would_ask_itself_does_not_start() {
    let stage = Stage::set();
    let endpoint = "[endpoint.imds]\nlisten = \"127.0.0.1:41339\"\n";
    stage.settings(&format!("[identity]\nsource = \"instance-metadata\"\n{endpoint}"));
    let mut command = stage.command(&["run"]);
    command.env("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:41339/");
    let output = command.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(Exit::Configuration as i32), "{error}");
    assert!(error.contains("it would ask itself"), "{error}");
    assert!(error.contains("\ntry: name another in [identity]"), "{error}");
}

/// What our own metadata endpoint says.
fn metadata(address: SocketAddr, path: &str) -> String {
    let put = "PUT /latest/api/token HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
               X-aws-ec2-metadata-token-ttl-seconds: 60\r\n\r\n";
    let token = exchange(address, put);
    let get = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         X-aws-ec2-metadata-token: {token}\r\n\r\n"
    );
    exchange(address, &get)
}

fn exchange(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}
