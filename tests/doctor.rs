//! `rolekeeper doctor` on machines that something is wrong with: the real binary, a real lab, real
//! files of several users.

#[allow(dead_code, reason = "each file of tests plays with a part of it")]
mod stage;

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::{chown, symlink};
use std::os::unix::net::UnixListener;
use std::process::{Child, Command, Output};
use std::thread;

use rolekeeper::host::clock::{Clock, SystemClock};
use rolekeeper::lab::clock::LabClock;
use rolekeeper::lab::faults::{Effect, Fault};
use rolekeeper::lab::operation::Operation::RegisterManagedInstance;
use rolekeeper::pure::advice::Exit;
use serde_json::Value;

use stage::{Daemon, NOBODY, Stage, allow, is_root, printed, wait_for};

/// What `doctor --json` said, and how it ended.
struct Diagnosis {
    checks: Vec<Value>,
    status: i32,
}

impl Diagnosis {
    fn of(output: &Output) -> Self {
        let checks = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
            panic!("{error}: {}", String::from_utf8_lossy(&output.stderr));
        });
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        Self { checks, status: output.status.code().unwrap() }
    }

    /// All checks of a name.
    fn all(&self, name: &str) -> Vec<&Value> {
        self.checks.iter().filter(|check| check["name"] == name).collect()
    }

    /// The only one.
    fn check(&self, name: &str) -> &Value {
        let all = self.all(name);
        let [check] = all[..] else { panic!("not one {name}: {:#?}", self.checks) };
        check
    }

    /// The one of a subject.
    fn about(&self, name: &str, subject: &str) -> &Value {
        let all = self.all(name);
        let found = all.iter().find(|check| check["subject"] == subject);
        found.unwrap_or_else(|| panic!("no {name} {subject}: {:#?}", self.checks))
    }

    fn with_verdict(&self, verdict: &str) -> Vec<String> {
        let those = self.checks.iter().filter(|check| check["verdict"] == verdict);
        those.map(|check| format!("{} {}", check["name"], check["finding"])).collect()
    }
}

/// The command, in a world where nobody answers for EC2 and no other agent was ever installed.
fn arguments(stage: &Stage, more: &[&str]) -> Vec<String> {
    let agent = stage.path("agent").display().to_string();
    let silent = ["doctor", "--metadata-address", SILENT, "--agent-directory", &agent];
    let given = |name: &str| more.contains(&name);
    let pairs = silent[1..].chunks(2).filter(|pair| !given(pair[0])).flatten();
    let words = silent[..1].iter().chain(pairs).chain(more);
    words.map(|word| (*word).to_owned()).collect()
}

fn doctor_with(stage: &Stage, more: &[&str]) -> Diagnosis {
    let arguments = arguments(stage, &[more, &["--json"]].concat());
    Diagnosis::of(&stage.command(&arguments).output().unwrap())
}

fn doctor(stage: &Stage) -> Diagnosis {
    doctor_with(stage, &[])
}

/// A port that nobody listens at.
const SILENT: &str = "127.0.0.1:9";

/// A check that has this verdict, and whose finding, remedy and evidence have these parts.
fn assert_found(check: &Value, verdict: &str, parts: &[&str]) {
    assert_eq!(check["verdict"], verdict, "{check:#}");
    let text = check.to_string();
    for part in parts {
        assert!(text.contains(part), "no {part} in {check:#}");
    }
}

/// A web server that has the same answer for everybody, until the test is over.
fn page(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            // Whoever only connects sends nothing, and hears nothing.
            if matches!(stream.read(&mut [0; 2048]), Ok(length) if length > 0) {
                let _ = stream.write_all(answer.as_bytes());
            }
        }
    });
    address.to_string()
}

const PORTAL: &str = "HTTP/1.1 200 OK\r\nServer: PortalBox\r\nContent-Type: text/html\r\n\
                      Content-Length: 44\r\nConnection: close\r\n\r\n\
                      <html><title>Welcome, guest</title>log in</>";

#[test]
fn on_a_machine_that_works_nothing_is_wrong() {
    let stage = Stage::set();
    let (_, _daemon) = stage.start_registered();
    let before = stage.vault();
    let diagnosis = doctor(&stage);
    assert_eq!(diagnosis.with_verdict("wrong"), [""; 0]);
    assert_eq!(diagnosis.with_verdict("warning"), [""; 0]);
    assert_eq!(diagnosis.status, Exit::Done as i32);
    assert_found(diagnosis.check("settings"), "ok", &["rolekeeper.toml"]);
    assert_found(diagnosis.check("vault"), "ok", &["2 records"]);
    assert_found(diagnosis.check("hardware"), "ok", &["100 % agree"]);
    let answered = ["answers at http", "HTTP 400, MissingAuthenticationToken"];
    assert_found(diagnosis.about("service", "Systems Manager"), "ok", &answered);
    assert_found(diagnosis.check("clock"), "ok", &["agrees"]);
    assert_eq!(stage.vault(), before, "nothing was changed");

    assert_found(diagnosis.check("registration"), "ok", &["this machine is mi-"]);
    assert_found(diagnosis.check("daemon"), "ok", &["answers"]);
    assert_found(diagnosis.check("credentials"), "ok", &["fresh, until "]);
    assert_found(diagnosis.about("target", "default"), "ok", &["run/credentials [default]"]);
    assert_found(diagnosis.check("privileges"), "ok", &["may do what its settings ask"]);
    assert_found(diagnosis.check("agent"), "ok", &[]);
    assert_found(diagnosis.check("metadata"), "ok", &["nothing answers at 127.0.0.1"]);
    assert_found(diagnosis.check("proxy"), "ok", &["none"]);

    let page = printed(stage.command(&arguments(&stage, &[])).output().unwrap());
    assert!(page.ends_with("\nnothing is wrong\n"), "{page}");
    assert_eq!(page.lines().count(), diagnosis.checks.len() + 2, "a line a check: {page}");
}

#[test]
fn a_captive_page_is_not_taken_for_the_service_nor_for_its_clock() {
    let stage = Stage::set();
    stage.register();
    let settings = fs::read_to_string(stage.path("rolekeeper.toml")).unwrap();
    let address = page(PORTAL);
    let lab = stage.lab.address().to_string();
    fs::write(stage.path("rolekeeper.toml"), settings.replace(&lab, &address)).unwrap();
    let diagnosis = doctor(&stage);
    assert_eq!(diagnosis.status, Exit::Configuration as i32);
    let parts = ["is not Systems Manager", "captive portals", "Welcome, guest", "PortalBox"];
    assert_found(diagnosis.about("service", "Systems Manager"), "wrong", &parts);
    assert_found(diagnosis.check("clock"), "skipped", &["nobody has told the time"]);
}

#[test]
fn a_service_that_is_not_there_is_told_from_one_that_answers_badly() {
    let mut stage = Stage::set();
    stage.register();
    stage.drop_service();
    let diagnosis = doctor(&stage);
    let parts = ["no connection to 127.0.0.1:", "refused"];
    assert_found(diagnosis.about("service", "Systems Manager"), "wrong", &parts);
}

#[test]
fn a_clock_that_is_off_is_told_with_direction_and_amount() {
    let stage = Stage::set();
    let (_, _daemon) = stage.start_registered();
    for (offset, verdict, parts) in [
        (70, "warning", ["is 1m", "behind the service's; from 5 min on"]),
        (7 * 60, "wrong", ["behind the service's", "S3 follows at 15 min"]),
        (3600, "wrong", ["behind the service's", "S3 as well"]),
        (-3600, "wrong", ["ahead of the service's", "S3 as well"]),
    ] {
        let offset = time::Duration::seconds(offset);
        stage.lab.with_service(|service| service.clock = LabClock::skewed(offset));
        let diagnosis = doctor(&stage);
        assert_found(diagnosis.check("clock"), verdict, &parts);
        let exit = if verdict == "warning" { Exit::TryAgain } else { Exit::Configuration };
        assert_eq!(diagnosis.status, exit as i32);
    }
}

#[test]
fn a_damaged_record_and_one_that_others_may_read_are_each_named() {
    let stage = Stage::set();
    stage.register();
    let key = stage.record("RegistrationKey");
    let text = fs::read_to_string(&key).unwrap();
    fs::write(&key, &text[..text.len() / 2]).unwrap();
    let fingerprint = stage.record("InstanceFingerprint");
    allow(&fingerprint, 0o644);
    fs::write(stage.record("RegistrationKey.replaced-20261122T000052Z"), "").unwrap();
    allow(&stage.record("RegistrationKey.replaced-20261122T000052Z"), 0o600);
    let output = stage.command(&arguments(&stage, &["--json"])).output().unwrap();
    let diagnosis = Diagnosis::of(&output);
    let parts = ["the record is damaged", "restore", "kept aside: "];
    let both = diagnosis.all("vault");
    let of = |path: &std::path::Path| {
        let subject = path.display().to_string();
        *both.iter().find(|check| check["subject"] == subject.as_str()).unwrap()
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("kept aside: "), "{text}");
    assert_found(of(&key), "wrong", &parts[..2]);
    assert_found(of(&fingerprint), "wrong", &["mode 0644 lets other users in", "chmod 600 "]);
    assert!(!text.contains("privateKey") && !text.contains("MII"), "{text}");
    assert_eq!(stage::mode(&fingerprint), 0o644, "nothing was changed");
}

/// The settings with another line in `[service]`.
fn say_of_the_service(stage: &Stage, line: &str) {
    let settings = fs::read_to_string(stage.path("rolekeeper.toml")).unwrap();
    let settings = settings.replace("[service]\n", &format!("[service]\n{line}\n"));
    fs::write(stage.path("rolekeeper.toml"), settings).unwrap();
}

#[test]
fn trouble_with_certificates_is_told_in_words() {
    let stage = Stage::set_over_tls();
    say_of_the_service(&stage, "region = \"eu-central-1\"");
    let found = || doctor(&stage).about("service", "Systems Manager").clone();
    assert_found(&found(), "wrong", &["whose issuer this machine does not trust", "AWS_CA_BUNDLE"]);

    let bundle = stage.path("ca.pem");
    say_of_the_service(&stage, &format!("ca_bundle = {bundle:?}"));
    assert_found(&found(), "wrong", &["ca.pem", "No such file"]);
    fs::write(&bundle, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    assert_found(&found(), "wrong", &["ca.pem: certificate 1: "]);

    // Another lab's authority.
    let other = Stage::set_over_tls();
    fs::copy(other.lab.ca_bundle().unwrap(), &bundle).unwrap();
    assert_found(&found(), "wrong", &["whose issuer is not in", "ca.pem", "add the issuer's"]);
    fs::copy(stage.lab.ca_bundle().unwrap(), &bundle).unwrap();
    assert_found(&found(), "ok", &["answers at http"]);
}

#[test]
fn a_certificate_that_has_ended_is_told_from_one_that_is_not_trusted() {
    let then = SystemClock.now() - time::Duration::days(3650 * 3);
    let stage = Stage::set_over_tls_since(then);
    let bundle = stage.lab.ca_bundle().unwrap().to_owned();
    say_of_the_service(&stage, &format!("region = \"eu-central-1\"\nca_bundle = {bundle:?}"));
    let diagnosis = doctor(&stage);
    let parts = ["that has ended, by this machine's clock", "date -u"];
    assert_found(diagnosis.about("service", "Systems Manager"), "wrong", &parts);
}

#[test]
fn a_proxy_is_named_and_what_goes_wrong_there_is_laid_to_it() {
    let stage = Stage::set();
    let settings = "[service]\nregion = \"eu-central-1\"\nendpoint_url = \"http://ssm.example\"\n";
    fs::write(stage.path("rolekeeper.toml"), settings).unwrap();
    let through = |proxy: &str| {
        let mut command = stage.command(&arguments(&stage, &["--json"]));
        command.env("HTTP_PROXY", format!("http://user:hidden@{proxy}"));
        Diagnosis::of(&command.output().unwrap())
    };
    let portal = page(PORTAL);
    let diagnosis = through(&portal);
    let names = ["ssm.example is reached through ", &portal, "which $HTTP_PROXY names"];
    assert_found(diagnosis.check("proxy"), "ok", &names);
    let parts = ["is not Systems Manager", "through the proxy of $HTTP_PROXY"];
    assert_found(diagnosis.about("service", "Systems Manager"), "wrong", &parts);

    let diagnosis = through(SILENT);
    let parts = ["no connection to 127.0.0.1:9", "check $HTTP_PROXY"];
    assert_found(diagnosis.about("service", "Systems Manager"), "wrong", &parts);
    assert!(!format!("{:?}", diagnosis.checks).contains("hidden"), "{:?}", diagnosis.checks);
}

#[test]
fn settings_that_do_not_parse_hide_nothing_else() {
    let stage = Stage::set();
    stage.register();
    stage.settings("[refresh]\nintervall = \"30m\"\n");
    let diagnosis = doctor(&stage);
    let parts = ["rolekeeper.toml:7:1", "intervall", "config check"];
    assert_found(diagnosis.check("settings"), "wrong", &parts);
    assert_found(diagnosis.check("service"), "skipped", &["needs settings"]);
    assert_found(diagnosis.check("vault"), "ok", &["2 records"]);
    assert_found(diagnosis.check("registration"), "ok", &["mi-"]);
}

#[test]
fn a_machine_before_its_registration_is_told_how_to_register() {
    let stage = Stage::set();
    let diagnosis = doctor(&stage);
    let parts = ["is not registered", "rolekeeper register --region"];
    assert_found(diagnosis.check("registration"), "wrong", &parts);
    assert_found(diagnosis.check("daemon"), "wrong", &["no daemon answers", "systemctl restart"]);
    assert_found(diagnosis.check("vault"), "inapplicable", &["no vault yet"]);
    assert_found(diagnosis.check("service"), "skipped", &["no region is known"]);
    // Where it would register, by what the environment says.
    let mut command = stage.command(&arguments(&stage, &["--json"]));
    let diagnosis = Diagnosis::of(&command.env("AWS_REGION", "eu-central-1").output().unwrap());
    assert_found(diagnosis.about("service", "Systems Manager"), "ok", &[]);

    // The service was asked and did not answer.
    let hangs = Fault::always(Effect::Reset).on(RegisterManagedInstance);
    stage.fault(hangs);
    assert!(!stage.registration(&stage.activation()).output().unwrap().status.success());
    let parts = ["answer never came", "describe-instance-information"];
    assert_found(doctor(&stage).check("registration"), "wrong", &parts);
}

#[test]
fn credentials_that_the_service_denies_are_told_in_words() {
    let stage = Stage::set();
    let (id, _daemon) = stage.start_registered();
    stage.lab.with_service(|service| service.nodes.deregister(&id)).unwrap();
    stage.run(&["refresh"]);
    let diagnosis = doctor(&stage);
    assert_found(
        diagnosis.check("credentials"),
        "wrong",
        &["the service refuses this machine", "InvalidInstanceId", "does not know this instance"],
    );
}

#[test]
fn hardware_near_its_threshold_is_a_warning_and_other_hardware_is_wrong() {
    let stage = Stage::set();
    stage.register();
    stage.succeed(&["fingerprint", "set-threshold", "100"]);
    let diagnosis = doctor(&stage);
    assert_found(diagnosis.check("hardware"), "warning", &["100 % are needed", "one more changed"]);
    stage.pretend_other_hardware();
    let diagnosis = doctor(&stage);
    let parts = ["another machine-id", "changed: ", "fingerprint accept"];
    assert_found(diagnosis.check("hardware"), "wrong", &parts);
}

#[test]
fn an_endpoint_of_the_settings_that_nobody_listens_at_is_named_with_its_line() {
    let stage = Stage::set();
    let (_, _daemon) = stage.start_registered();
    // Without a reload the daemon does not take it.
    stage.settings("[endpoint.imds]\nlisten = \"127.0.0.1:9\"\n");
    let diagnosis = doctor(&stage);
    let parts = ["rolekeeper.toml:7 names 127.0.0.1:9", "nobody listens", "systemctl restart"];
    assert_found(diagnosis.about("endpoint", "imds"), "wrong", &parts);
}

#[test]
fn an_endpoints_address_that_a_stranger_took_first_is_wrong() {
    if !is_root() {
        return a_user_sees_its_own_way();
    }
    let stage = Stage::set();
    // Root's, and the daemon is another's.
    let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = stranger.local_addr().unwrap();
    stage.settings(&format!("[endpoint.container]\nlisten = \"{address}\"\n"));
    let _daemon = daemon_of_nobody(&stage);
    let diagnosis = doctor(&stage);
    let parts = ["was taken by uid 0", "the daemon is uid 65534", "ss -ltnp"];
    assert_found(diagnosis.about("endpoint", "container"), "wrong", &parts);
}

/// One that waits for a registration.
fn daemon_of_nobody(stage: &Stage) -> Daemon {
    for name in ["state", "run", "own"] {
        fs::create_dir(stage.path(name)).unwrap();
        chown(stage.path(name), Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let daemon = Daemon::start(stage.command_of_nobody(&["run"]));
    stage.status_when("a daemon", |_| true);
    daemon
}

#[test]
fn a_variable_that_the_daemon_has_otherwise_than_the_shell_is_a_warning() {
    let stage = Stage::set();
    stage.register();
    let mut run = stage.command(&["run"]);
    run.env("HTTPS_PROXY", "http://user:hidden@proxy.example:3128");
    let _daemon = Daemon::start(run);
    stage.status_when("fresh credentials", |status| status["state"] == "fresh");
    assert_found(doctor(&stage).check("environment"), "ok", &["as this shell has"]);
    // The lab is on this machine, where no proxy is asked. AWS would not be.
    let settings = "[service]\nregion = \"eu-central-1\"\n\
                    endpoint_url = \"https://ssm.eu-central-1.invalid\"\n";
    fs::write(stage.path("rolekeeper.toml"), settings).unwrap();
    let diagnosis = doctor(&stage);
    if is_root() {
        let parts = ["the daemon has $HTTPS_PROXY otherwise", "in [service]"];
        assert_found(diagnosis.check("environment"), "warning", &parts);
    } else {
        assert_found(diagnosis.check("environment"), "skipped", &["root"]);
    }
    assert!(!format!("{:?}", diagnosis.checks).contains("hidden"));
    let parts = ["the name ssm.eu-central-1.invalid is not known here", "getent hosts"];
    assert_found(diagnosis.about("service", "Systems Manager"), "wrong", &parts);
}

#[test]
fn a_target_without_a_daemon_is_judged_by_its_file() {
    let stage = Stage::set();
    let (_, daemon) = stage.start_registered();
    drop(daemon);
    let diagnosis = doctor(&stage);
    assert_found(diagnosis.about("target", "default"), "ok", &["until "]);
    assert_found(diagnosis.check("daemon"), "wrong", &["systemctl restart rolekeeper"]);
    let text = fs::read_to_string(stage.credentials()).unwrap();
    let expires = text.lines().find(|line| line.starts_with("# rolekeeper: expires")).unwrap();
    let past = "# rolekeeper: expires 2026-01-01T00:00:00Z";
    fs::write(stage.credentials(), text.replace(expires, past)).unwrap();
    let parts = ["ended at 2026-01-01T00:00:00Z"];
    assert_found(doctor(&stage).about("target", "default"), "wrong", &parts);
    fs::remove_file(stage.credentials()).unwrap();
    assert_found(doctor(&stage).about("target", "default"), "wrong", &["holds no credentials"]);
}

#[test]
fn what_stands_before_the_keys_in_a_targets_profile_is_named_with_its_line() {
    let stage = Stage::set();
    fs::create_dir_all(stage.path("run")).unwrap();
    fs::write(stage.credentials(), "[default]\nrole_arn = r\nsource_profile = base\n").unwrap();
    let (_, daemon) = stage.start_registered();
    let parts = ["pass over the keys", "role_arn in line 6", "remove line 6"];
    assert_found(doctor(&stage).about("target", "default"), "wrong", &parts);
    assert!(daemon.logged("role_arn").contains("WARN"));
    let page = stage.succeed(&["status"]);
    assert!(page.contains("warning") && page.contains("role_arn in line 6"), "{page}");
    let warnings = &stage.status()["targets"][0]["warnings"];
    assert!(warnings[0]["remedy"].as_str().is_some_and(|it| it.contains("line 6")), "{warnings}");
    // The remedy helps.
    let text = fs::read_to_string(stage.credentials()).unwrap();
    let rest = text.lines().enumerate().filter(|(number, _)| *number != 5);
    let rest = rest.map(|(_, line)| format!("{line}\n")).collect::<String>();
    fs::write(stage.credentials(), rest).unwrap();
    stage.succeed(&["refresh"]);
    assert_found(doctor(&stage).about("target", "default"), "ok", &["until "]);
    assert_eq!(stage.status()["targets"][0]["warnings"].as_array().map(Vec::len), Some(0));
}

/// A process that ends when it is dropped.
struct Process(Child);

impl Process {
    /// One that goes by the reference agent's name.
    fn impostor(stage: &Stage) -> Self {
        let binary = stage.path("amazon-ssm-agent");
        let copied = Command::new("cp").arg("/bin/sleep").arg(&binary).status();
        assert!(copied.unwrap().success());
        Self(Command::new(binary).arg("600").spawn().unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended already has nothing left to kill.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_reference_agent_with_the_same_registration_is_wrong_and_any_other_is_not() {
    let stage = Stage::set();
    let id = stage.register();
    let directory = stage.path("agent");
    fs::create_dir(&directory).unwrap();
    let register = |id: &str| {
        let text = format!("{{\"ManagedInstanceID\":\"{id}\",\"Region\":\"eu-central-1\"}}");
        fs::write(directory.join("registration"), text).unwrap();
    };
    register(id.as_str());
    assert_ne!(doctor(&stage).check("agent")["verdict"], "ok", "it may start at any time");
    let impostor = Process::impostor(&stage);
    // Until it has become the program, it has this test's name.
    let pid = impostor.0.id();
    wait_for("the impostor", || {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap();
        if name.starts_with("amazon-ssm") { Ok(()) } else { Err(name) }
    });
    let parts = ["when it replaces the key", "systemctl disable --now amazon-ssm-agent"];
    assert_found(doctor(&stage).check("agent"), "wrong", &parts);
    register("mi-00000000000000000");
    assert_found(doctor(&stage).check("agent"), "ok", &["is another instance"]);
}

#[test]
fn whatever_answers_in_ec2s_place_is_told_apart() {
    let stage = Stage::set();
    let metadata_at = |address: &str| {
        doctor_with(&stage, &["--metadata-address", address]).check("metadata").clone()
    };
    let role = ["hands out the role", "takes these", "AWS_EC2_METADATA_DISABLED"];
    assert_found(&metadata_at(&stage.lab.address().to_string()), "warning", &role);
    let portal = ["not instance metadata", "Welcome, guest"];
    assert_found(&metadata_at(&page(PORTAL)), "warning", &portal);
    assert_found(&metadata_at(SILENT), "ok", &["nothing answers"]);
}

/// A machine with a directory where a target of another user's may be, and the daemon.
fn with_target(directory_mode: u32, keys: &str) -> (Stage, Daemon) {
    let stage = Stage::set();
    fs::create_dir(stage.path("backup")).unwrap();
    let target = stage.target("backup", &stage.path("backup/credentials"), keys);
    stage.settings(&target);
    let (_, daemon) = stage.start_registered();
    allow(&stage.path("backup"), directory_mode);
    (stage, daemon)
}

#[test]
fn the_directory_that_stops_a_user_is_found() {
    if !is_root() {
        return a_user_sees_its_own_way();
    }
    let keys = format!("owner = \"{NOBODY}\"\nmode = \"0600\"");
    let (stage, _daemon) = with_target(0o700, &keys);
    let name = NOBODY.to_string();
    let look = || doctor_with(&stage, &["--user", &name]);
    let directory = stage.path("backup").display().to_string();
    let parts = ["stops at the directory", &directory, "setfacl -m u:", "mode 0700"];
    assert_found(look().about("reach", "target backup"), "wrong", &parts);
    chown(&directory, None, Some(NOBODY)).unwrap();
    assert_found(look().about("reach", "target backup"), "wrong", &["setfacl -m u:"]);
    allow(&stage.path("backup"), 0o710);
    assert_found(look().about("reach", "target backup"), "ok", &["can read"]);
    assert_found(look().check("access"), "ok", &["may have backup"]);
    assert_found(look().about("reach", "socket"), "ok", &["can connect to", "consumers.sock"]);

    // By a symlink into a place that is closed.
    fs::create_dir(stage.path("closed")).unwrap();
    fs::rename(stage.path("backup"), stage.path("closed/backup")).unwrap();
    symlink("closed/backup", stage.path("backup")).unwrap();
    allow(&stage.path("closed"), 0o700);
    let closed = format!("stops at the directory {}", stage.path("closed").display());
    let found = look().about("reach", "target backup").clone();
    assert_found(&found, "wrong", &[&closed, "leads to closed/backup"]);
}

/// What can be seen without root: oneself.
fn a_user_sees_its_own_way() {
    let (stage, _daemon) = with_target(0o700, "");
    let own = nix::unistd::geteuid().to_string();
    let diagnosis = doctor_with(&stage, &["--user", &own]);
    assert_found(diagnosis.about("reach", "target backup"), "ok", &["can read"]);
}

#[test]
fn a_user_whom_no_rule_names_is_told_so_and_a_strangers_file_is_not_missed() {
    if !is_root() {
        return a_user_sees_its_own_way();
    }
    let (stage, _daemon) = with_target(0o755, "owner = \"64998\"\nmode = \"0600\"");
    let diagnosis = doctor_with(&stage, &["--user", &NOBODY.to_string()]);
    let parts = ["no target and no consumer names", "[[consumer]]"];
    assert_found(diagnosis.check("access"), "wrong", &parts);
    let parts = ["is not meant for", "owner 64998", "mode 0600"];
    assert_found(diagnosis.about("reach", "target backup"), "inapplicable", &parts);
    let unknown = stage.refused(&["doctor", "--user", "no-such-user"], Exit::Usage);
    assert!(unknown.0.contains("no-such-user"), "{unknown:?}");
}

#[test]
fn the_way_to_a_consumers_token_is_walked_too() {
    if !is_root() {
        return a_user_sees_its_own_way();
    }
    let (stage, _daemon) = with_target(0o700, "");
    let token = stage.path("backup/nightly.token");
    let target = stage.target("backup", &stage.path("backup/credentials"), "");
    stage.settings(&format!(
        "{target}[[consumer]]\nname = \"nightly\"\nusers = [\"{NOBODY}\"]\n\
         token_file = {token:?}\nowner = \"{NOBODY}\"\n"
    ));
    let diagnosis = doctor_with(&stage, &["--user", &NOBODY.to_string()]);
    assert_found(diagnosis.check("access"), "ok", &["may have nightly"]);
    let directory = format!("stops at the directory {}", stage.path("backup").display());
    assert_found(diagnosis.about("reach", "token of nightly"), "wrong", &[&directory]);
    assert_found(diagnosis.about("reach", "target backup"), "inapplicable", &["is not meant for"]);
}

#[test]
fn an_access_control_list_counts() {
    if !is_root() {
        return a_user_sees_its_own_way();
    }
    let keys = format!("owner = \"{NOBODY}\"\nmode = \"0600\"");
    let (stage, _daemon) = with_target(0o700, &keys);
    // u::rwx, u:NOBODY:--x, g::---, m::--x, o::---, as setfacl would write it.
    let entry = |tag: u16, bits: u16, id: u32| {
        [&tag.to_le_bytes()[..], &bits.to_le_bytes(), &id.to_le_bytes()].concat()
    };
    let none = u32::MAX;
    let entries = [(1, 7, none), (2, 1, NOBODY), (4, 0, none), (16, 1, none), (32, 0, none)];
    let entries = entries.map(|(tag, bits, id)| entry(tag, bits, id)).concat();
    let list = [&2_u32.to_le_bytes()[..], &entries].concat();
    let name = "system.posix_acl_access";
    let flags = rustix::fs::XattrFlags::empty();
    if let Err(error) = rustix::fs::setxattr(stage.path("backup"), name, &list, flags) {
        // A file system without lists, as some of containers are, has none to get wrong.
        assert_eq!(error, rustix::io::Errno::OPNOTSUPP);
        return;
    }
    let diagnosis = doctor_with(&stage, &["--user", &NOBODY.to_string()]);
    assert_found(diagnosis.about("reach", "target backup"), "ok", &["can read"]);
    allow(&stage.path("backup"), 0o700);
    let diagnosis = doctor_with(&stage, &["--user", &NOBODY.to_string()]);
    let parts = ["access control list", "setfacl -m u:"];
    assert_found(diagnosis.about("reach", "target backup"), "wrong", &parts);
}

#[test]
fn an_ordinary_user_finds_nothing_wrong_in_what_it_may_not_see() {
    if !is_root() {
        return a_user_sees_its_own_way();
    }
    let stage = Stage::set();
    let (_, _daemon) = stage.start_registered();
    say_of_the_service(&stage, "region = \"eu-central-1\"");
    let arguments = arguments(&stage, &["--json"]);
    let arguments = arguments.iter().map(String::as_str).collect::<Vec<_>>();
    let output = stage.command_of_nobody(&arguments).output().unwrap();
    let diagnosis = Diagnosis::of(&output);
    assert_eq!(diagnosis.with_verdict("wrong"), [""; 0]);
    // What was not looked at is not fine: the status says so, the last line, and each check.
    assert_eq!(diagnosis.status, Exit::TryAgain as i32);
    let skipped = diagnosis.with_verdict("skipped").len();
    let apply = diagnosis.checks.len() - diagnosis.with_verdict("inapplicable").len();
    assert!(skipped > 5, "{:#?}", diagnosis.checks);
    for check in diagnosis.checks.iter().filter(|check| check["verdict"] == "skipped") {
        assert_eq!(check["remedy"], "sudo rolekeeper doctor", "{check:#}");
    }
    let words = arguments[..arguments.len() - 1].to_vec();
    let output = stage.command_of_nobody(&words).output().unwrap();
    assert_eq!(output.status.code(), Some(Exit::TryAgain as i32));
    let page = String::from_utf8(output.stdout).unwrap();
    let last = format!("\nnothing wrong found, {skipped} of {apply} checks skipped: run as root\n");
    assert!(page.ends_with(&last), "{page}");
    assert_found(diagnosis.check("vault"), "skipped", &["needs root or the vault's owner"]);
    assert_found(diagnosis.check("daemon"), "skipped", &["needs root or the service's group"]);
    assert_found(diagnosis.about("service", "Systems Manager"), "ok", &[]);
}

#[test]
fn a_daemon_that_may_not_give_files_away_is_told_which_drop_in_lets_it() {
    if !is_root() {
        return a_user_sees_its_own_way();
    }
    let stage = Stage::set();
    stage.settings(&stage.target("backup", &stage.path("own/credentials"), "owner = \"64998\""));
    let _daemon = daemon_of_nobody(&stage);
    let diagnosis = doctor(&stage);
    let parts = ["uid 64998", "may not give files away", "AmbientCapabilities=CAP_CHOWN"];
    assert_found(diagnosis.about("privileges", "backup"), "wrong", &parts);
}

#[test]
fn what_hides_our_credentials_in_a_users_home_is_found() {
    let stage = Stage::set();
    let (_, _daemon) = stage.start_registered();
    let own = nix::unistd::geteuid().to_string();
    let home = stage.path("home");
    fs::create_dir_all(home.join(".aws")).unwrap();
    let look = || doctor_with(&stage, &["--user", &own, "--home", home.to_str().unwrap()]);
    let at_home = || look().all("shadow")[0].clone();
    assert_found(&at_home(), "ok", &["comes before the daemon"]);
    assert_found(look().about("shadow", "target default"), "ok", &["nothing in "]);

    let keys = "[default]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\n\
                aws_secret_access_key = hunter2\n";
    fs::write(home.join(".aws/credentials"), keys).unwrap();
    let parts = ["take [default] of ", "..MPLE, a user's own", "rolekeeper advise"];
    assert_found(&at_home(), "warning", &parts);
    let process = "[default]\ncredential_process = /usr/bin/rolekeeper credential-process\n";
    fs::write(home.join(".aws/config"), process).unwrap();
    let diagnosis = look();
    let parts = ["hides what /usr/bin/rolekeeper prints", "boto3"];
    assert_found(diagnosis.all("shadow")[0], "wrong", &parts);
    assert!(!format!("{:?}", diagnosis.checks).contains("hunter2"));

    let role = "[default]\nrole_arn = arn:aws:iam::111122223333:role/x\n\
                credential_source = Ec2InstanceMetadata\n";
    fs::write(home.join(".aws/config"), role).unwrap();
    let parts = ["comes before ", "run/credentials [default]", ".aws/config"];
    assert_found(look().about("shadow", "target default"), "wrong", &parts);
}

/// Hands everything on to `aim` that comes in at `address`, until the test is over.
fn passage(address: &str, aim: String) -> String {
    let listener = TcpListener::bind(address).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for inward in listener.incoming().map_while(Result::ok) {
            let Ok(outward) = TcpStream::connect(&aim) else { continue };
            let ends = [(&inward, &outward), (&outward, &inward)];
            for (from, to) in ends.map(|(a, b)| (a.try_clone().unwrap(), b.try_clone().unwrap())) {
                let (mut from, mut to) = (from, to);
                thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Write);
                });
            }
        }
    });
    address.to_string()
}

#[test]
fn a_certificate_for_other_names_says_for_which() {
    let stage = Stage::set_over_tls();
    let lab = stage.lab.address().to_string();
    let address = passage("127.0.0.2:0", lab.clone());
    let settings = fs::read_to_string(stage.path("rolekeeper.toml")).unwrap();
    fs::write(stage.path("rolekeeper.toml"), settings.replace(&lab, &address)).unwrap();
    let bundle = stage.lab.ca_bundle().unwrap().to_owned();
    say_of_the_service(&stage, &format!("region = \"eu-central-1\"\nca_bundle = {bundle:?}"));
    let diagnosis = doctor(&stage);
    let parts = ["127.0.0.2 shows a certificate for ", "localhost", "captive portals"];
    assert_found(diagnosis.about("service", "Systems Manager"), "wrong", &parts);
}

#[test]
fn sts_is_called_where_a_role_is_assumed_and_one_that_fails_hides_nothing_of_the_other() {
    let stage = Stage::set();
    stage.register();
    assert_eq!(doctor(&stage).all("service").len(), 1);
    let role = "role_arn = \"arn:aws:iam::000000000000:role/backup\"";
    stage.settings(&stage.target("backup", &stage.path("backup"), role));
    let answers = ["answers at http", "HTTP 403, MissingAuthenticationToken"];
    assert_found(doctor(&stage).about("service", "STS"), "ok", &answers);
    say_of_the_service(&stage, &format!("sts_endpoint_url = \"http://{}\"", page(PORTAL)));
    let diagnosis = doctor(&stage);
    assert_found(diagnosis.about("service", "STS"), "wrong", &["is not STS", "Welcome, guest"]);
    assert_found(diagnosis.about("service", "Systems Manager"), "ok", &[]);
    assert_found(diagnosis.check("clock"), "ok", &["agrees"]);
}

#[test]
fn a_daemon_that_is_there_and_says_nothing_is_not_waited_for() {
    let stage = Stage::set();
    stage.register();
    fs::create_dir_all(stage.path("run")).unwrap();
    // The kernel takes connections for it.
    let _stuck = UnixListener::bind(stage.path("run/control.sock")).unwrap();
    let diagnosis = doctor(&stage);
    let parts = ["is there and does not answer", "systemctl restart rolekeeper"];
    assert_found(diagnosis.check("daemon"), "wrong", &parts);
    assert_found(diagnosis.check("credentials"), "skipped", &["needs a daemon"]);
    assert_found(diagnosis.check("vault"), "ok", &[]);
}

/// docs/network.md is what firewalls are opened by.
#[test]
fn the_page_of_hosts_names_those_that_the_program_goes_to() {
    use std::sync::Arc;

    use rolekeeper::config::Settings;
    use rolekeeper::daemon::{connection, sts_connection};
    use rolekeeper::host::clock::ServiceClock;
    use rolekeeper::ssm::Ssm;
    use rolekeeper::sts::Sts;

    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/network.md");
    let page = fs::read_to_string(page).unwrap();
    let clock = || ServiceClock::new(Arc::new(SystemClock));
    let mut rows = 0;
    for line in
        page.lines().filter(|line| line.starts_with("| `") && line.matches('|').count() == 6)
    {
        let cells = line.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`'));
        let [region, fips, dual_stack, ssm, sts] = cells.collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        let mut settings = Settings::default();
        (settings.fips.value, settings.dual_stack.value) = (fips == "yes", dual_stack == "yes");
        let region = || region.parse().unwrap();
        let host = |url: &str| url.trim_start_matches("https://").trim_end_matches('/').to_owned();
        let client = Ssm::new(&connection(&settings, region()), clock()).unwrap();
        assert_eq!(host(client.endpoint()), ssm, "{line}");
        let client = Sts::new(&sts_connection(&settings, region()), clock()).unwrap();
        assert_eq!(host(client.endpoint()), sts, "{line}");
        rows += 1;
    }
    assert!(rows > 5, "the table is not found");
}
