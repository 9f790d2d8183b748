//! Targets with roles of their own: the real `rolekeeper` against the lab's STS, and what each role's
//! credentials may do there.

#[allow(dead_code, reason = "each file of tests plays with a part of it")]
mod stage;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::Signal;
use rolekeeper::host::clock::{Clock, SystemClock};
use rolekeeper::host::entropy::SystemEntropy;
use rolekeeper::lab::definitions::Definitions;
use rolekeeper::lab::faults::{Effect, Fault};
use rolekeeper::lab::operation::Operation::{AssumeRole, RequestManagedInstanceRoleToken};
use rolekeeper::lab::service::Service;
use rolekeeper::lab::tokens::{Holder, Session};
use rolekeeper::pure::advice::Exit;
use rolekeeper::pure::secret::Secret;
use rolekeeper::pure::signing::{
    Authorization, CredentialScope, SignedParts, amz_date, canonical_request, sha256_hex,
    sigv4_signature, string_to_sign,
};
use serde_json::{Value, json};

use stage::{Daemon, Stage, moment, value, wait_for};

/// The roles of the tests: `Rehearsal`, which machines register with, may become any other; `Hub`,
/// `Spoke` and `Leaf` trust one another in this order; `Closed` trusts nobody here.
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
policy = '''{"Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}}'''

[[role]]
name = "Partner"
trust_policy = '''{"Statement": {"Effect": "Allow", "Action": "sts:*",
    "Principal": {"AWS": "arn:aws:iam::000000000000:role/Rehearsal"},
    "Condition": {"StringEquals": {"sts:ExternalId": "ours/7"}}}}'''

[[role]]
name = "Closed"
trust_policy = '''{"Statement": {"Effect": "Deny", "Action": "sts:*", "Principal": "*"}}'''

[[role]]
name = "Hub"
trust_policy = '''{"Statement": {"Effect": "Allow", "Action": "sts:*",
    "Principal": {"AWS": "arn:aws:iam::000000000000:role/Rehearsal"}}}'''
policy = '''{"Statement": {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"}}'''

[[role]]
name = "Spoke"
trust_policy = '''{"Statement": {"Effect": "Allow", "Action": "sts:*",
    "Principal": {"AWS": "arn:aws:iam::000000000000:role/Hub"}}}'''
policy = '''{"Statement": {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"}}'''

[[role]]
name = "Leaf"
trust_policy = '''{"Statement": {"Effect": "Allow", "Action": "sts:*",
    "Principal": {"AWS": "arn:aws:iam::000000000000:role/Spoke"}}}'''

[[bucket]]
name = "backups"
objects = { "today.tar" = 1 }
"#;

const POLICY: &str = r#"{
    "Statement": { "Effect": "Allow", "Action": "s3:ListAllMyBuckets", "Resource": "*" }
}"#;

const ACCOUNT: &str = "000000000000";

fn arn(role: &str) -> String {
    format!("arn:aws:iam::{ACCOUNT}:role/{role}")
}

/// A stage whose lab has these roles, and a directory for the targets.
fn set() -> Stage {
    let stage = Stage::set();
    let apply = |service: &mut Service| {
        Definitions::from_toml(ROLES).unwrap().apply(service, &SystemEntropy)
    };
    stage.lab.with_service(apply).unwrap();
    fs::create_dir(stage.path("targets")).unwrap();
    stage
}

fn file(stage: &Stage, target: &str) -> PathBuf {
    stage.path("targets").join(target)
}

/// A `[[target]]` that has one of the roles, or none.
fn target(stage: &Stage, name: &str, keys: &str) -> String {
    stage.target(name, &file(stage, name), keys)
}

fn with_role(stage: &Stage, name: &str, role: &str, keys: &str) -> String {
    target(stage, name, &format!("role_arn = \"{}\"\n{keys}", arn(role)))
}

fn held(stage: &Stage, target: &str) -> String {
    fs::read_to_string(file(stage, target)).unwrap_or_default()
}

fn holds_credentials(stage: &Stage, target: &str) -> bool {
    held(stage, target).contains("aws_access_key_id")
}

/// The status of one target.
fn shown<'a>(status: &'a Value, target: &str) -> &'a Value {
    let targets = status["targets"].as_array().map(Vec::as_slice).unwrap_or_default();
    targets.iter().find(|shown| shown["name"] == target).unwrap_or(&Value::Null)
}

/// Waits until the role of a target was assumed; its status.
fn assumed(stage: &Stage, target: &str) -> Value {
    let status = stage.status_when(&format!("credentials for {target}"), |status| {
        let shown = shown(status, target);
        !shown["credentials"].is_null() && shown["failure"].is_null()
    });
    shown(&status, target).clone()
}

/// Waits until a target has a failure; its status.
fn failed(stage: &Stage, target: &str) -> Value {
    let status = stage.status_when(&format!("a failure of {target}"), |status| {
        shown(status, target)["failure"]["attempts"].as_u64().is_some_and(|attempts| attempts > 0)
    });
    shown(&status, target).clone()
}

/// What the service answers to a request that is signed with a target's credentials.
fn ask(stage: &Stage, target: &str, service: &str, sent: &str, body: &str) -> (u16, String) {
    let credentials = held(stage, target);
    let (method, path_and_query) = sent.split_once(' ').unwrap();
    let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
    let (at, host) = (SystemClock.now(), stage.lab.address().to_string());
    let (date, payload) = (amz_date(at), sha256_hex(body.as_bytes()));
    let token = value(&credentials, "aws_session_token");
    let headers = [
        ("content-type", "application/x-www-form-urlencoded"),
        ("host", &host),
        ("x-amz-content-sha256", &payload),
        ("x-amz-date", &date),
        ("x-amz-security-token", &token),
    ];
    let signed_headers = headers.map(|(name, _)| name);
    let canonical = canonical_request(&SignedParts {
        method,
        path,
        query,
        headers: &headers,
        signed_headers: &signed_headers,
        payload_sha256: &payload,
    });
    let scope = CredentialScope::new(at, stage::REGION, service);
    let secret = Secret::new(value(&credentials, "aws_secret_access_key"));
    let authorization = Authorization {
        credential_id: value(&credentials, "aws_access_key_id"),
        signature: sigv4_signature(&secret, &scope, &string_to_sign(&date, &scope, &canonical)),
        scope,
        signed_headers: signed_headers.map(str::to_owned).to_vec(),
    };
    let mut request = format!("{sent} HTTP/1.1\r\nConnection: close\r\n");
    for (name, value) in headers {
        request += &format!("{name}: {value}\r\n");
    }
    request += &format!("authorization: {authorization}\r\ncontent-length: {}\r\n\r\n", body.len());
    let mut stream = TcpStream::connect(stage.lab.address()).unwrap();
    stream.write_all((request + body).as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    (answer[9..12].parse().unwrap(), answer)
}

/// Who a target's credentials belong to.
fn identity(stage: &Stage, target: &str) -> String {
    let body = "Action=GetCallerIdentity&Version=2011-06-15";
    let (status, answer) = ask(stage, target, "sts", "POST /", body);
    assert_eq!(status, 200, "{answer}");
    let (_, rest) = answer.split_once("<Arn>").unwrap();
    rest.split_once("</Arn>").unwrap().0.to_owned()
}

fn failing(status: u16) -> Fault {
    Fault::always(Effect::Status { status, code: None }).on(AssumeRole)
}

#[test]
fn a_consumer_has_the_role_of_the_target_that_it_names() {
    let stage = set();
    let consumer = |name: &str, more: &str| {
        format!("[[consumer]]\nname = \"{name}\"\nusers = [\"{}\"]\n{more}\n", stage::NOBODY)
    };
    let closed = with_role(&stage, "closed", "Closed", "");
    stage.settings(
        &[
            with_role(&stage, "backup", "Backup", "mode = \"0600\""),
            target(&stage, "default", "mode = \"0600\""),
            closed,
            consumer("nightly", "target = \"backup\""),
            consumer("shut", "target = \"closed\""),
            consumer("plain", ""),
        ]
        .concat(),
    );
    let (_, _daemon) = stage.start_registered();
    assumed(&stage, "backup");
    let key = |target: &str| value(&held(&stage, target), "aws_access_key_id");
    for (name, target) in [("nightly", "backup"), ("plain", "default")] {
        let asked = ["credential-process", "--target", name];
        assert!(stage.succeed(&asked).contains(&key(target)), "{name}");
        if stage::is_root() {
            let other = stage.command_of_nobody(&asked).output().unwrap();
            assert!(stage::printed(other).contains(&key(target)), "{name}");
        }
    }
    // Never the registered role's in another's place.
    let asked = ["credential-process", "--target", "shut"];
    wait_for("the role's refusal", || {
        let (said, _) = stage.refused(&asked, Exit::TryAgain);
        if said.ends_with(": denied") { Ok(()) } else { Err(said) }
    });
    if stage::is_root() {
        let asked = ["credential-process", "--target", "backup"];
        let output = stage.command_of_nobody(&asked).output().unwrap();
        stage::refusal(&output, Exit::Refused);
    }
}

#[test]
fn a_target_has_its_own_role_beside_those_with_the_registered_one() {
    let stage = set();
    let keys = "duration = \"15m\"\n";
    stage.settings(&(with_role(&stage, "backup", "Backup", keys) + &target(&stage, "default", "")));
    let (id, daemon) = stage.start_registered();
    let shown_backup = assumed(&stage, "backup");
    let sessions = ["backup", "default"].map(|target| identity(&stage, target));
    let session =
        |role: &str| format!("arn:aws:sts::000000000000:assumed-role/{role}/{}", id.as_str());
    assert_eq!(sessions, [session("Backup"), session("Rehearsal")]);

    assert_eq!(shown_backup["role_arn"], arn("Backup"));
    assert_eq!(shown_backup["path"], json!(file(&stage, "backup")));
    let own = &shown_backup["credentials"];
    let [issued, next, expires] =
        ["issued_at", "next_refresh_at", "expires_at"].map(|name| moment(&own[name]));
    // A session of whole seconds, renewed after half of them, less a tenth.
    assert!((14..=15).contains(&(expires - issued).whole_minutes()), "{own}");
    assert!((6..=7).contains(&(next - issued).whole_minutes()), "{own}");
    let status = stage.status();
    let plain = shown(&status, "default");
    assert_eq!((&plain["role_arn"], &plain["failure"]), (&Value::Null, &Value::Null));
    assert_eq!(plain["credentials"], status["credentials"]);

    let page = stage.status_page();
    let role = format!("\n  role       {}\n", arn("Backup"));
    assert!(page.contains(&role) && page.contains("\n  holds      access key id .."), "{page}");
    daemon.logged("role assumed");
    let exported = stage.succeed(&["export", "--target", "backup"]);
    assert!(exported.contains(&value(&held(&stage, "backup"), "aws_access_key_id")));
    for text in [status.to_string(), page, daemon.log()] {
        assert!(!text.contains(&value(&held(&stage, "backup"), "aws_secret_access_key")));
        assert!(!text.contains(&value(&held(&stage, "backup"), "aws_session_token")));
    }
}

#[test]
fn a_consumer_without_a_file_asks_for_a_role_of_its_own() {
    let stage = set();
    let consumer = |name: &str, role: &str| {
        format!(
            "[[consumer]]\nname = \"{name}\"\nusers = [\"root\"]\nrole_arn = \"{}\"\n",
            arn(role)
        )
    };
    let plain = "[[consumer]]\nname = \"plain\"\nusers = [\"root\"]\n";
    let (nightly, closed) = (consumer("nightly", "Backup"), consumer("closed", "Closed"));
    stage.settings(&(target(&stage, "a", "") + &nightly + &closed + plain));
    let (_, _daemon) = stage.start_registered();
    let of = |status: &Value, name: &str| {
        let consumers = status["consumers"].as_array().map(Vec::as_slice).unwrap_or_default();
        consumers.iter().find(|shown| shown["name"] == name).cloned().unwrap_or_default()
    };
    let status = stage.status_when("both outcomes", |status| {
        !of(status, "nightly")["credentials"].is_null()
            && !of(status, "closed")["failure"].is_null()
    });
    let key = |name: &str| {
        let exported = stage.succeed(&["credential-process", "--target", name]);
        let process: Value = serde_json::from_str(&exported).unwrap();
        let account = process.get("AccountId").and_then(Value::as_str);
        // Systems Manager does not say whose role a machine has.
        assert_eq!(account, (name == "nightly").then_some(ACCOUNT));
        process["AccessKeyId"].as_str().unwrap().to_owned()
    };
    let registered = value(&held(&stage, "a"), "aws_access_key_id");
    assert_eq!(key("plain"), registered);
    let own = key("nightly");
    let suffix = of(&status, "nightly")["credentials"]["access_key_id_suffix"].clone();
    assert!(own != registered && own.ends_with(suffix.as_str().unwrap()));
    let (said, _) = stage.refused(&["credential-process", "--target", "closed"], Exit::TryAgain);
    assert_eq!(said, "there are no usable credentials now: denied");
    assert!(stage.status_page().contains("consumer     nightly: asks the daemon\n  role"));

    let doctor = stage.run(&["doctor", "--json", "--metadata-address", "127.0.0.1:9"]);
    let checks: Vec<Value> = serde_json::from_slice(&doctor.stdout).unwrap();
    let consumers = checks.iter().filter(|check| check["name"] == "consumer");
    let verdicts = consumers.map(|check| (check["subject"].clone(), check["verdict"].clone()));
    let mut verdicts = verdicts.collect::<Vec<_>>();
    verdicts.sort_by_key(|(name, _)| name.to_string());
    let expected = [("closed", "wrong"), ("nightly", "ok")];
    assert_eq!(verdicts, expected.map(|(name, verdict)| (json!(name), json!(verdict))));
}

#[test]
fn a_few_roles_are_assumed_at_a_time_and_all_in_the_end() {
    let stage = set();
    let consumers = (0..20).map(|number| {
        let role = arn("Backup");
        format!("[[consumer]]\nname = \"c{number}\"\nusers = [\"root\"]\nrole_arn = \"{role}\"\n")
    });
    stage.settings(&consumers.collect::<String>());
    // Nobody gives up while the test looks.
    let settings = fs::read_to_string(stage.path("rolekeeper.toml")).unwrap();
    let patient = settings.replace("timeout = \"1s\"", "timeout = \"20s\"");
    fs::write(stage.path("rolekeeper.toml"), patient).unwrap();
    stage.fault(Fault::always(Effect::Hang).on(AssumeRole));
    let (_, mut daemon) = stage.start_registered();
    wait_for("requests", || match stage.requests(AssumeRole) {
        8.. => Ok(()),
        fewer => Err(fewer.to_string()),
    });
    (0..5).for_each(|_| drop(stage.succeed(&["credential-process"])));
    assert_eq!(stage.requests(AssumeRole), 8);
    daemon.stop();

    stage.clear_faults();
    let _daemon = stage.start();
    stage.status_when("twenty roles", |status| {
        let consumers = status["consumers"].as_array().map(Vec::as_slice).unwrap_or_default();
        consumers.len() == 20 && consumers.iter().all(|one| !one["credentials"].is_null())
    });
    assert_eq!(stage.requests(AssumeRole), 28);
}

#[test]
fn one_role_that_is_denied_stops_no_other() {
    let stage = set();
    stage.settings(
        &(with_role(&stage, "closed", "Closed", "") + &with_role(&stage, "backup", "Backup", "")),
    );
    let (_, daemon) = stage.start_registered();
    assumed(&stage, "backup");
    let closed = failed(&stage, "closed");
    let failure = &closed["failure"];
    assert_eq!((&failure["class"], &closed["credentials"]), (&json!("denied"), &Value::Null));
    let message = failure["message"].as_str().unwrap();
    let expected =
        format!("AssumeRole {} at {}: AccessDenied", arn("Closed"), stage.lab.endpoint_url());
    assert!(message.starts_with(&expected), "{message}");
    assert!(failure["remedy"].as_str().unwrap().contains("trust policy"), "{failure}");
    assert!(!holds_credentials(&stage, "closed"));
    // Nor does anybody get the registered role's instead.
    let (said, _) = stage.refused(&["export", "--target", "closed"], Exit::TryAgain);
    assert_eq!(said, "there are no usable credentials now: denied");
    let status = stage.status();
    assert_eq!((&status["state"], &status["failure"]), (&json!("fresh"), &Value::Null));
    assert!(stage.status_page().contains("\n  failure    denied: AssumeRole"));
    daemon.logged(message);

    // Its turn comes in ten minutes, unless somebody has mended it.
    let wait = moment(&failure["next_try_at"]) - moment(&status["credentials"]["issued_at"]);
    assert!((10..=12).contains(&wait.whole_minutes()), "{failure}");
    let (said, _) = stage.refused(&["refresh"], Exit::Refused);
    assert!(said.starts_with(&expected), "{said}");
    let mended = ROLES.replace("\"Effect\": \"Deny\"", "\"Effect\": \"Allow\"");
    let apply = |service: &mut Service| {
        Definitions::from_toml(&mended).unwrap().apply(service, &SystemEntropy)
    };
    stage.lab.with_service(apply).unwrap();
    assert!(stage.succeed(&["refresh"]).starts_with("credentials renewed"));
    assert!(holds_credentials(&stage, "closed"));
    assert_eq!(shown(&stage.status(), "closed")["failure"], Value::Null);
}

#[test]
fn a_chain_of_three_ends_in_the_last_role_and_keeps_its_source_identity() {
    let stage = set();
    let chain = ["Hub", "Spoke", "Leaf"].map(|role| format!("\"{}\"", arn(role))).join(", ");
    let keys = format!(
        "role_chain = [{chain}]\nsession_name = \"nightly\"\nsource_identity = \"alice\"\n\
         tags = {{ Team = \"a b\", Job = \"c\" }}\ntransitive_tags = [\"team\"]"
    );
    stage.settings(&target(&stage, "leaf", &keys));
    let (_, _daemon) = stage.start_registered();
    assert_eq!(assumed(&stage, "leaf")["role_arn"], arn("Leaf"));
    let expected = "arn:aws:sts::000000000000:assumed-role/Leaf/nightly";
    assert_eq!(identity(&stage, "leaf"), expected);
    assert_eq!(stage.requests(AssumeRole), 3);
    let sessions = sessions(&stage);
    let seen = sessions.iter().map(|session| {
        let identity = session.source_identity.as_deref().unwrap_or_default();
        (session.role_name.as_str(), identity, session.tags.len())
    });
    let mut seen = seen.collect::<Vec<_>>();
    seen.sort_unstable();
    assert_eq!(seen, [("Hub", "alice", 1), ("Leaf", "alice", 2), ("Spoke", "alice", 1)]);
}

/// Every session that is alive at the service.
fn sessions(stage: &Stage) -> Vec<Session> {
    let alive = |service: &mut Service| {
        let now = service.clock.now(SystemClock.now());
        service.tokens.alive(100, now).unwrap()
    };
    let holders = stage.lab.with_service(alive).into_iter().map(|token| token.holder);
    let sessions = holders.filter_map(|holder| match holder {
        Holder::Session(session) => Some(session),
        Holder::Node { .. } => None,
    });
    sessions.collect()
}

#[test]
fn a_link_of_a_chain_that_is_closed_is_named() {
    let stage = set();
    let chain = ["Hub", "Leaf"].map(|role| format!("\"{}\"", arn(role))).join(", ");
    stage.settings(&target(&stage, "leaf", &format!("role_chain = [{chain}]")));
    let (_, _daemon) = stage.start_registered();
    let message = failed(&stage, "leaf")["failure"]["message"].to_string();
    assert!(message.contains(&format!("AssumeRole {}", arn("Leaf"))), "{message}");
    assert!(message.contains("assumed-role/Hub/"), "{message}");
}

#[test]
fn an_external_id_opens_a_partners_role() {
    let stage = set();
    stage.settings(
        &(with_role(&stage, "without", "Partner", "")
            + &with_role(&stage, "with", "Partner", "external_id = \"ours/7\"")),
    );
    let (_, _daemon) = stage.start_registered();
    assumed(&stage, "with");
    assert_eq!(failed(&stage, "without")["failure"]["class"], "denied");
    assert!(identity(&stage, "with").contains("assumed-role/Partner/"));
}

#[test]
fn a_session_policy_takes_rights_away() {
    let stage = set();
    fs::create_dir(stage.path("policies")).unwrap();
    fs::write(stage.path("policies/list.json"), POLICY).unwrap();
    stage.settings(
        &(with_role(&stage, "whole", "Backup", "")
            + &with_role(&stage, "less", "Backup", "session_policy = \"policies/list.json\"")),
    );
    let (_, _daemon) = stage.start_registered();
    for target in ["whole", "less"] {
        assumed(&stage, target);
        assert_eq!(ask(&stage, target, "s3", "GET /", "").0, 200);
    }
    let list = "GET /backups?list-type=2";
    let (status, answer) = ask(&stage, "whole", "s3", list, "");
    assert!(status == 200 && answer.contains("today.tar"), "{answer}");
    let (status, answer) = ask(&stage, "less", "s3", list, "");
    assert!(status == 403 && answer.contains("no session policy allows"), "{answer}");
}

#[test]
fn an_outage_of_sts_leaves_the_credentials_and_ends_by_itself() {
    let stage = set();
    stage.settings(&with_role(&stage, "backup", "Backup", ""));
    let (_, _daemon) = stage.start_registered();
    let first = assumed(&stage, "backup");
    let before = held(&stage, "backup");
    stage.fault(failing(500));
    stage.refused(&["refresh"], Exit::Unavailable);
    let during = failed(&stage, "backup");
    assert_eq!(during["failure"]["class"], "service-fault");
    assert_eq!(
        during["credentials"]["access_key_id_suffix"],
        first["credentials"]["access_key_id_suffix"]
    );
    assert_eq!(held(&stage, "backup"), before, "they are valid still");
    assert_eq!(stage.status()["state"], "fresh");
    stage.clear_faults();
    assumed(&stage, "backup");
    assert_ne!(held(&stage, "backup"), before);
}

#[test]
fn credentials_that_have_ended_are_withdrawn() {
    let stage = set();
    stage.settings(
        &(with_role(&stage, "backup", "Backup", "duration = \"15m\"") + &target(&stage, "a", "")),
    );
    let (_, daemon) = stage.start_registered();
    assumed(&stage, "backup");
    stage.fault(failing(500));
    let later = Duration::from_secs(16 * 60);
    let forward = |service: &mut Service| service.clock.forward(later, SystemClock.now());
    stage.lab.with_service(forward).unwrap();
    // From its answer the machine learns how late it is.
    stage.refused(&["refresh"], Exit::Unavailable);
    let status =
        stage.status_when("the end", |status| shown(status, "backup")["credentials"].is_null());
    assert_eq!(status["state"], "fresh");
    daemon.logged("credentials withdrawn");
    assert!(!holds_credentials(&stage, "backup") && holds_credentials(&stage, "a"));
}

#[test]
fn a_base_that_is_gone_leaves_what_is_held_and_is_named() {
    let stage = set();
    stage.settings(&with_role(&stage, "backup", "Backup", ""));
    stage.fault(
        Fault::always(Effect::Status { status: 500, code: None })
            .on(RequestManagedInstanceRoleToken),
    );
    stage.register();
    let _daemon = stage.start();
    let status = stage.status_when("both failures", |status| {
        !shown(status, "backup")["failure"].is_null() && !status["failure"].is_null()
    });
    let failure = &shown(&status, "backup")["failure"];
    assert!(failure["message"].as_str().unwrap().contains("registered role"), "{failure}");
    assert_eq!((&status["state"], &failure["attempts"]), (&json!("expired"), &json!(0)));
    assert_eq!(stage.requests(AssumeRole), 0);
    stage.clear_faults();
    assumed(&stage, "backup");
}

#[test]
fn another_machine_loses_every_role_at_once() {
    let stage = set();
    stage.settings(&with_role(&stage, "backup", "Backup", ""));
    let settings = fs::read_to_string(stage.path("rolekeeper.toml")).unwrap();
    let patient = settings.replace("timeout = \"1s\"", "timeout = \"20s\"");
    fs::write(stage.path("rolekeeper.toml"), patient).unwrap();
    let (_, _daemon) = stage.start_registered();
    assumed(&stage, "backup");
    let asked = stage.requests(AssumeRole);
    // The service says nothing to strangers, for longer than anybody here waits.
    stage.fault(Fault::always(Effect::Hang).on(RequestManagedInstanceRoleToken));
    stage.pretend_other_hardware();
    let mut refresh = stage.command(&["fingerprint", "set-threshold", "50"]).spawn().unwrap();
    wait_for("an empty file", || match held(&stage, "backup") {
        held if held.contains("aws_") => Err(held),
        _ => Ok(()),
    });
    stage.clear_faults();
    refresh.wait().unwrap();
    let status = stage.status();
    assert_eq!((&status["state"], stage.requests(AssumeRole)), (&json!("mismatch"), asked));
    assert_eq!(shown(&status, "backup")["credentials"], Value::Null);

    stage.succeed(&["fingerprint", "accept"]);
    assumed(&stage, "backup");
    assert!(holds_credentials(&stage, "backup"));
}

#[test]
fn a_reload_adds_drops_and_changes_roles() {
    let stage = set();
    let (stays, goes) =
        (with_role(&stage, "stays", "Backup", ""), with_role(&stage, "goes", "Backup", ""));
    let (changes, closes) =
        (with_role(&stage, "changes", "Backup", ""), with_role(&stage, "closes", "Backup", ""));
    stage.settings(&(stays.clone() + &goes + &changes + &closes));
    let (_, daemon) = stage.start_registered();
    for target in ["stays", "goes", "changes", "closes"] {
        assumed(&stage, target);
    }
    let asked = stage.requests(AssumeRole);
    let before = held(&stage, "stays");

    let changed = with_role(&stage, "changes", "Partner", "external_id = \"ours/7\"");
    let (closed, comes) =
        (with_role(&stage, "closes", "Closed", ""), with_role(&stage, "comes", "Backup", ""));
    stage.settings(&(stays + &changed + &closed + &comes));
    daemon.signal(Signal::SIGHUP);
    assumed(&stage, "comes");
    let status = stage.status_when("another role", |status| {
        let changes = shown(status, "changes");
        changes["role_arn"] == arn("Partner") && !changes["credentials"].is_null()
    });
    assert_eq!(shown(&status, "goes"), &Value::Null);
    assert_eq!(held(&stage, "goes"), "", "no target any more");
    assert!(identity(&stage, "changes").contains("assumed-role/Partner/"));
    // What it held was another role's.
    failed(&stage, "closes");
    assert_eq!(held(&stage, "closes"), "");
    assert_eq!(held(&stage, "stays"), before);
    // The one that comes goes on with the session of the one that goes: it is assumed in the same way.
    assert_eq!(stage.requests(AssumeRole), asked + 2);

    // A target gives its role up: the registered role's credentials take their place.
    stage.settings(&target(&stage, "stays", ""));
    daemon.signal(Signal::SIGHUP);
    stage.status_when("the registered role", |status| {
        status["targets"].as_array().is_some_and(|targets| targets.len() == 2)
            && shown(status, "stays")["role_arn"].is_null()
    });
    assert!(identity(&stage, "stays").contains("assumed-role/Rehearsal/"));
}

#[test]
fn a_role_keeps_its_token_until_its_assumption_changes() {
    let mut stage = set();
    fs::write(stage.path("policy.json"), POLICY).unwrap();
    let consumer = |name: &str| {
        let role = arn("Backup");
        format!("[[consumer]]\nname = \"{name}\"\nusers = [\"root\"]\nrole_arn = \"{role}\"\n")
    };
    let other = with_role(&stage, "other", "Partner", "external_id = \"ours/7\"");
    stage.settings(&(with_role(&stage, "backup", "Backup", "") + &other));
    let (_, _daemon) = stage.start_registered();
    assumed(&stage, "backup");
    assumed(&stage, "other");
    let asked = stage.requests(AssumeRole);
    let key = |file: &str| value(&held(&stage, file), "aws_access_key_id");
    let (own, partners) = (key("backup"), key("other"));
    let served = |stage: &Stage, name: &str| {
        let printed = stage.succeed(&["credential-process", "--target", name]);
        let printed = serde_json::from_str::<Value>(&printed).unwrap();
        printed["AccessKeyId"].as_str().unwrap().to_owned()
    };
    stage.drop_service();

    // Another mode, place, profile or name, one after the other and some at a time.
    let role = format!("role_arn = \"{}\"\n", arn("Backup"));
    let partner = format!("role_arn = \"{}\"\nexternal_id = \"ours/7\"\n", arn("Partner"));
    let at = |name: &str, place: &str, keys: &str| stage.target(name, &file(&stage, place), keys);
    let mode = format!("{role}mode = \"0600\"");
    let profile = format!("{role}profile = \"nightly\"");
    let swapped = at("backup", "other", &role) + &at("other", "moved", &partner);
    let back = at("backup", "moved", &role) + &at("other", "other", &partner);
    let steps = [
        (at("backup", "backup", &mode) + &other, "backup", "backup", "other"),
        (at("backup", "moved", &mode) + &other, "backup", "moved", "other"),
        (at("backup", "moved", &profile) + &other, "backup", "moved", "other"),
        (swapped, "backup", "other", "moved"),
        (back, "backup", "moved", "other"),
        (at("renamed", "moved", &role) + &other, "renamed", "moved", "other"),
        (consumer("renamed") + &other, "renamed", "", "other"),
        (at("renamed", "back", &role) + &other, "renamed", "back", "other"),
    ];
    for (settings, name, place, others) in &steps {
        stage.settings(settings);
        stage.succeed(&["reload"]);
        assert_eq!(
            (served(&stage, name), served(&stage, "other")),
            (own.clone(), partners.clone())
        );
        for found in ["backup", "moved", "other", "back"] {
            let expected = match found {
                _ if found == *place => Some(&own),
                _ if found == *others => Some(&partners),
                _ => None,
            };
            let held = held(&stage, found);
            let found = held.contains("aws_").then(|| value(&held, "aws_access_key_id"));
            assert_eq!(found.as_ref(), expected, "{settings}");
        }
        assert!(!held(&stage, place).contains("[nightly]") || settings.contains("nightly"));
        let mode = if settings.contains("0600") { 0o600 } else { 0o640 };
        assert!(place.is_empty() || stage::mode(&file(&stage, place)) == mode, "{settings}");
    }
    assert_eq!(stage.requests(AssumeRole), asked);

    // What may do less is assumed anew, and nothing of the wider one is left anywhere.
    let narrow = format!("{role}session_policy = \"policy.json\"");
    stage.settings(&(at("renamed", "back", &narrow) + &other));
    stage.run(&["reload"]);
    stage.refused(&["credential-process", "--target", "renamed"], Exit::TryAgain);
    assert!(!holds_credentials(&stage, "back"));
    assert_eq!(served(&stage, "other"), partners);
}

#[test]
fn a_reload_tries_again_what_was_denied_and_asks_for_nothing_else() {
    let stage = set();
    stage.settings(
        &(with_role(&stage, "closed", "Closed", "") + &with_role(&stage, "backup", "Backup", "")),
    );
    let (_, daemon) = stage.start_registered();
    assumed(&stage, "backup");
    failed(&stage, "closed");
    let before = held(&stage, "backup");
    let mended = ROLES.replace("\"Effect\": \"Deny\"", "\"Effect\": \"Allow\"");
    let apply = |service: &mut Service| {
        Definitions::from_toml(&mended).unwrap().apply(service, &SystemEntropy)
    };
    stage.lab.with_service(apply).unwrap();
    daemon.signal(Signal::SIGHUP);
    assumed(&stage, "closed");
    assert_eq!(held(&stage, "backup"), before);
}

#[test]
fn a_role_that_cannot_be_meant_is_an_error_with_its_place() {
    let stage = set();
    stage.settings(&with_role(&stage, "backup", "Backup", "duration = \"12h\""));
    let (message, _) = stage.refused(&["config", "check"], Exit::Configuration);
    assert!(
        message.contains("rolekeeper.toml:10:12: target 'backup': AWS gives a role that is"),
        "{message}"
    );
    assert!(message.contains("an hour at most"), "{message}");
}

#[test]
fn a_stop_leaves_the_files_and_a_start_takes_them_over() {
    let stage = set();
    stage.settings(&with_role(&stage, "backup", "Backup", ""));
    let (_, mut daemon) = stage.start_registered();
    assumed(&stage, "backup");
    let before = held(&stage, "backup");
    assert_eq!(daemon.stop().code(), Some(0));
    assert_eq!(held(&stage, "backup"), before);
    stage.fault(failing(500));
    let _daemon: Daemon = stage.start();
    failed(&stage, "backup");
    assert_eq!(held(&stage, "backup"), before, "they are valid still");
}

#[test]
fn what_an_earlier_run_left_is_for_those_whom_the_settings_name_now() {
    let mut stage = set();
    stage.settings(&with_role(&stage, "backup", "Backup", "mode = \"0644\""));
    let (_, mut daemon) = stage.start_registered();
    assumed(&stage, "backup");
    let before = held(&stage, "backup");
    daemon.stop();
    stage.drop_service();
    stage.settings(&with_role(&stage, "backup", "Backup", "mode = \"0600\""));
    let _daemon = stage.start();
    stage.status_when("the role's failure", |status| !shown(status, "backup")["failure"].is_null());
    assert_eq!(stage::mode(&file(&stage, "backup")), 0o600);
    stage.settings(&with_role(&stage, "backup", "Backup", "mode = \"0640\""));
    stage.succeed(&["reload"]);
    assert_eq!(stage::mode(&file(&stage, "backup")), 0o640);
    assert_eq!(held(&stage, "backup"), before, "the same credentials");
}

#[test]
fn what_a_disabled_target_had_is_not_left_in_the_file_of_another() {
    let mut stage = set();
    let path = file(&stage, "shared");
    stage.settings(&stage.target("wide", &path, ""));
    let (_, _daemon) = stage.start_registered();
    stage.status_when("the file", |_| holds_credentials(&stage, "shared"));
    stage.drop_service();
    // A disabled target keeps what it has, but not in a place that is another's now.
    let wide = stage.target("wide", &path, "profil = \"x\"");
    stage.settings(&wide);
    stage.refused(&["reload"], Exit::Configuration);
    assert!(holds_credentials(&stage, "shared"));
    let narrow = format!("role_arn = \"{}\"", arn("Backup"));
    stage.settings(&(wide + &stage.target("narrow", &path, &narrow)));
    stage.refused(&["reload"], Exit::Configuration);
    assert!(!holds_credentials(&stage, "shared"));
}
