//! Remedies about the way to AWS, and about what programs of this machine find.

use std::fs;
use std::process::Command;

use rolekeeper::pure::advice::Exit;
use rolekeeper::pure::diagnosis::service::{Attempt, Outcome, Service, judge};
use serde_json::Value;

use crate::stage::{Stage, is_root, refusal};
use crate::world::{World, edit};

/// AWS's own names, as a machine without IPv4 has them: one of either kind.
const HOSTS: &str = "192.0.2.1 ssm.eu-central-1.amazonaws.com\n::1 ssm.eu-central-1.api.aws\n";

/// `doctor` of a machine that has a way to IPv6 addresses alone; none where such a machine cannot be made.
fn doctor_with_ipv6_alone(stage: &Stage) -> Option<Value> {
    fs::write(stage.path("hosts"), HOSTS).unwrap();
    fs::write(stage.path("nsswitch.conf"), "hosts: files\npasswd: files\ngroup: files\n").unwrap();
    let script = "ip link set lo up && ip -4 addr flush dev lo && ip -6 route add default dev lo && \
                  mount --bind \"$1/hosts\" /etc/hosts && \
                  mount --bind \"$1/nsswitch.conf\" /etc/nsswitch.conf || exit 99; \
                  shift; exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "sh", "-c", script, "sh"]).arg(stage.path(""));
    command.arg(env!("CARGO_BIN_EXE_rolekeeper"));
    let agent = stage.path("agent").display().to_string();
    let words = ["doctor", "--json", "--metadata-address", "127.0.0.1:9", "--agent-directory"];
    command.args(stage.command(&words).get_args()).arg(agent);
    let output = command.output().unwrap();
    if output.status.code() == Some(99) {
        eprintln!("skipped: {}", String::from_utf8_lossy(&output.stderr));
        return None;
    }
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let checks = report.as_array().or_else(|| report["checks"].as_array()).unwrap();
    checks.iter().find(|check| check["name"] == "service").cloned()
}

#[test]
fn a_machine_without_ipv4_is_told_of_the_names_that_have_ipv6() {
    if !is_root() {
        eprintln!("a_machine_without_ipv4: skipped, because only root can make such a network");
        return;
    }
    let stage = Stage::set();
    let settings = "[service]\nregion = \"eu-central-1\"\n";
    fs::write(stage.path("rolekeeper.toml"), settings).unwrap();
    let Some(found) = doctor_with_ipv6_alone(&stage) else { return };
    let remedy = found["remedy"].as_str().unwrap();
    assert!(remedy.starts_with("set dual_stack = true in [service]"), "{found:#}");
    edit(&stage.path("rolekeeper.toml"), settings, &format!("{settings}dual_stack = true\n"));
    let found = doctor_with_ipv6_alone(&stage).unwrap();
    // There is a way to it now, and it is this machine itself, where nobody listens.
    let text = found["finding"].as_str().unwrap();
    assert!(text.starts_with("no connection to [::1]:443: Connection refused"), "{found:#}");
}

#[test]
fn without_ipv4_an_endpoint_or_a_proxy_of_ones_own_is_named_by_its_address() {
    let attempt = |endpoint: &str, proxy: Option<&str>| Attempt {
        endpoint: endpoint.to_owned(),
        host: String::new(),
        proxy: proxy.map(str::to_owned),
        ca_bundle: None,
        steps: Vec::new(),
        outcome: Outcome::NoIpv4 { to: "192.0.2.1:443".to_owned() },
    };
    let said = |attempt| judge(Service::SystemsManager, &attempt).remedy.unwrap();
    assert!(said(attempt("https://ssm.example", None)).contains("endpoint_url"));
    let aws = "https://ssm.eu-central-1.amazonaws.com";
    assert!(said(attempt(aws, Some("$HTTPS_PROXY"))).ends_with("address: $HTTPS_PROXY"));
    assert!(said(attempt(aws, None)).contains("dual_stack"));
}

#[test]
fn what_is_unreachable_is_looked_into_by_doctor_and_mended_where_it_says() {
    let mut world = World::working();
    let settings = world.stage.path("rolekeeper.toml");
    let (right, wrong) = (world.stage.lab.endpoint_url(), "http://127.0.0.1:9");
    edit(&settings, &right, wrong);
    world.start();
    let (_, remedy) = world.stage.refused(&["refresh"], Exit::Unavailable);
    assert!(remedy.starts_with("`sudo rolekeeper doctor`, which tells"), "{remedy}");
    let found = world.finding("service", Some("Systems Manager"), None);
    assert!(found["finding"].as_str().unwrap().contains("no connection to 127.0.0.1:9"));
    // Who reads it there is not sent there again.
    let credentials = world.finding("credentials", None, None);
    let remedy = credentials["remedy"].as_str().unwrap();
    assert!(remedy.starts_with("do what is said of the service in this list"), "{credentials:#}");
    edit(&settings, wrong, "http://ssm.invalid");
    let found = world.finding("service", Some("Systems Manager"), None);
    assert_eq!(found["remedy"], "check DNS and the region: getent hosts ssm.invalid");
    edit(&settings, "http://ssm.invalid", &right);
    world.carry_out("systemctl restart rolekeeper");
    world.when_fresh();
    assert_eq!(world.finding("service", Some("Systems Manager"), None)["verdict"], "ok");
}

#[test]
fn an_endpoint_that_a_reload_did_not_open_is_there_after_a_restart() {
    let mut world = World::working();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let before = world.rights();
    world.stage.settings(&format!("[endpoint.imds]\nlisten = \"{address}\"\n"));
    let remedy = world.mend("endpoint", Some("imds"), None);
    assert!(remedy.starts_with("systemctl restart rolekeeper"), "{remedy}");
    crate::world::assert_not_widened(&before, &world.rights(), &[]);
}

#[test]
fn an_activation_code_that_cannot_be_read_is_put_in_a_file_of_its_own() {
    let world = World::new();
    let activation = world.stage.activation();
    let register = |file: &str| {
        let mut command = world.stage.command(&["register", "--region", "eu-central-1"]);
        command.args(["--activation-id", &activation.id, "--activation-code-file", file]);
        command.output().unwrap()
    };
    let file = world.stage.path("code").display().to_string();
    let (_, remedy) = refusal(&register(&file), Exit::BadData);
    assert_eq!(remedy, "name a readable file that holds the code and nothing else");
    fs::write(&file, "id: code").unwrap();
    let (_, remedy) = refusal(&register(&file), Exit::Usage);
    assert_eq!(remedy, "copy the code from create-activation");
    fs::write(&file, &activation.code).unwrap();
    assert!(register(&file).status.success());
}

#[test]
fn an_unknown_user_or_process_is_named_anew() {
    let mut world = World::working();
    let (_, remedy) = world.stage.refused(&["doctor", "--user", "no-such-user"], Exit::Usage);
    assert_eq!(remedy, "give the name or the number of a user of this machine");
    world.finding("access", None, Some(0));
    // As shells have it, 127.
    let output = world.stage.run(&["exec", "--", "/no/such/program"]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.ends_with("\ntry: name a program that can be run after --\n"), "{error}");
    world.carry_out("rolekeeper exec -- true");
    let (_, remedy) = world.stage.refused(&["man", "/no/such/directory"], Exit::CannotCreate);
    assert_eq!(remedy, "name a directory that exists and can be written");
}
