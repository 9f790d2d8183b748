//! The lab over TLS: the real `rolekeeper` and `rolekeeper-lab`, and a TLS client of the tests' own.

#[allow(dead_code, reason = "each file of tests plays with a part of it")]
mod stage;

use std::fs;
use std::future::pending;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rolekeeper::config::Settings;
use rolekeeper::daemon::{Application, Directories, Seams, SettingsReader, connection, register};
use rolekeeper::host::clock::{Clock, ServiceClock, Sleep, Steps, SystemClock, timeout};
use rolekeeper::lab::authority::{self, Authority};
use rolekeeper::lab::faults::{Effect, Fault};
use rolekeeper::lab::operation::Operation::{CreateActivation, RequestManagedInstanceRoleToken};
use rolekeeper::lab::tls::Greeting;
use rolekeeper::lab::{Lab, LabSettings};
use rolekeeper::pure::advice::Exit;
use rolekeeper::pure::fingerprint::SimilarityThreshold;
use rolekeeper::pure::identity::{Activation, ActivationCode};
use rolekeeper::pure::secret::Secret;
use rolekeeper::shelf::{ShelfReader, State, Status};
use rolekeeper::ssm::Ssm;
use rolekeeper::vault::Vault;
use serde_json::Value;
use time::UtcDateTime;
use tokio::runtime;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::LocalSet;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, ProtocolVersion, RootCertStore, StreamOwned,
    SupportedProtocolVersion,
};

use stage::{Daemon, REGION, Stage, refusal};

const LAB: &str = env!("CARGO_BIN_EXE_rolekeeper-lab");

const VARIABLE: &str = "AWS_CA_BUNDLE";

type Stream = StreamOwned<ClientConnection, TcpStream>;

/// A client that trusts the lab of this stage, and offers these application protocols.
fn connect(
    stage: &Stage,
    name: &str,
    version: &'static SupportedProtocolVersion,
    protocols: &[&str],
) -> io::Result<Stream> {
    let mut roots = RootCertStore::empty();
    let pem = fs::read(stage.lab.ca_bundle().unwrap()).unwrap();
    roots.add(CertificateDer::from_pem_slice(&pem).unwrap()).unwrap();
    let mut config = ClientConfig::builder_with_provider(authority::provider())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut socket = TcpStream::connect(stage.lab.address()).unwrap();
    connection.complete_io(&mut socket)?;
    Ok(StreamOwned::new(connection, socket))
}

/// What came until the connection ended, and how it ended.
fn exchange(mut stream: impl Read + Write, request: &str) -> (String, io::Result<usize>) {
    stream.write_all(request.as_bytes()).unwrap();
    let mut received = Vec::new();
    let end = stream.read_to_end(&mut received);
    (String::from_utf8_lossy(&received).into_owned(), end)
}

fn request(stage: &Stage) -> String {
    let host = stage.lab.address();
    let body = r#"{"ActivationId":"00000000-0000-0000-0000-000000000000"}"#;
    format!(
        "POST / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\
         X-Amz-Target: AmazonSSM.RegisterManagedInstance\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A stage whose settings say what to trust.
fn stage_with_settings() -> Stage {
    let stage = Stage::set_over_tls();
    let settings = fs::read_to_string(stage.path("rolekeeper.toml")).unwrap();
    let bundle = format!("[service]\nca_bundle = {:?}\n", stage.lab.ca_bundle().unwrap());
    fs::write(stage.path("rolekeeper.toml"), settings.replace("[service]\n", &bundle)).unwrap();
    stage
}

#[test]
fn a_machine_works_over_tls_by_its_settings() {
    let mut stage = stage_with_settings();
    let (id, daemon) = stage.start_registered();
    assert!(stage.lab.endpoint_url().starts_with("https://127.0.0.1:"));
    let file = fs::read_to_string(stage.credentials()).unwrap();
    assert!(file.contains("aws_session_token = IQoJb3JpZ2luX2lab/"), "{file}");
    assert!(stage.lab.with_service(|service| service.nodes.get(&id).unwrap().is_some()));

    // The certificate is the same after an outage.
    stage.drop_service();
    stage.refused(&["refresh"], Exit::Unavailable);
    stage.raise_service();
    stage.succeed(&["refresh"]);
    drop(daemon);
}

#[test]
fn a_machine_works_over_tls_by_its_environment() {
    let stage = Stage::set_over_tls();
    let bundle = stage.lab.ca_bundle().unwrap();
    let output = stage.registration(&stage.activation()).env(VARIABLE, bundle).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut run = stage.command(&["run"]);
    run.env(VARIABLE, bundle);
    let _daemon = Daemon::start(run);
    stage.status_when("fresh credentials", |status| status["state"] == "fresh");
    let shown = stage.command(&["config", "show"]).env(VARIABLE, bundle).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    let line = shown.lines().find(|line| line.starts_with("ca_bundle")).unwrap();
    assert!(
        line.contains(bundle.to_str().unwrap()) && line.ends_with("# $AWS_CA_BUNDLE"),
        "{line}"
    );
}

#[test]
fn without_the_certificate_nothing_is_said_and_nothing_is_written() {
    let stage = Stage::set_over_tls();
    let output = stage.registration(&stage.activation()).output().unwrap();
    let (message, remedy) = refusal(&output, Exit::Unavailable);
    assert!(message.contains("invalid peer certificate: UnknownIssuer"), "{message}");
    assert!(remedy.contains("ca_bundle in [service], or AWS_CA_BUNDLE"), "{remedy}");
    assert!(!stage.record("RegistrationKey").exists());

    let bundle = stage.lab.ca_bundle().unwrap();
    let registered = stage.registration(&stage.activation()).env(VARIABLE, bundle).output();
    assert!(registered.unwrap().status.success());
    let _daemon = stage.start();
    let status = stage.status_when("a failure", |status| !status["failure"].is_null());
    assert_eq!(status["failure"]["class"], "unreachable", "{status}");
    assert!(status.to_string().contains("UnknownIssuer"), "{status}");
    assert!(!stage.credentials().exists());
    assert_eq!(stage.requests(RequestManagedInstanceRoleToken), 0);
}

#[test]
fn a_bundle_of_somebody_elses_is_no_help() {
    let (stage, other) = (Stage::set_over_tls(), Stage::set_over_tls());
    let register = |bundle: &Path| {
        stage.registration(&stage.activation()).env(VARIABLE, bundle).output().unwrap()
    };
    // Of the same name, and another key.
    let (message, _) = refusal(&register(other.lab.ca_bundle().unwrap()), Exit::Unavailable);
    assert!(message.contains("invalid peer certificate: BadSignature"), "{message}");
    let (message, _) = refusal(&register(&stage.path("none.pem")), Exit::Configuration);
    assert!(message.contains("none.pem: No such file"), "{message}");
    assert!(!stage.record("RegistrationKey").exists());
}

#[test]
fn a_reset_reaches_the_socket_beneath() {
    let stage = Stage::set_over_tls();
    for version in [&TLS12, &TLS13] {
        stage.fault(Fault::always(Effect::Reset).times(1));
        let stream = connect(&stage, "localhost", version, &[]).unwrap();
        let (received, end) = exchange(stream, &request(&stage));
        assert_eq!(received, "");
        assert_eq!(end.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }
}

#[test]
fn a_torn_body_ends_without_a_goodbye() {
    let stage = Stage::set_over_tls();
    let stream = || connect(&stage, "::1", &TLS13, &[]).unwrap();
    let (whole, end) = exchange(stream(), &request(&stage));
    assert!(whole.starts_with("HTTP/1.1 400 ") && end.is_ok(), "{whole} {end:?}");
    stage.fault(Fault::always(Effect::TornBody).times(1));
    let (torn, end) = exchange(stream(), &request(&stage));
    assert!(torn.starts_with("HTTP/1.1 400 ") && torn.len() < whole.len(), "{torn}");
    // TLS tells an end that was meant from one that was not.
    assert_eq!(end.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn http_1_1_over_tls_1_2_and_1_3_is_spoken() {
    let stage = Stage::set_over_tls();
    for (version, spoken) in
        [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)]
    {
        let stream = connect(&stage, "127.0.0.1", version, &["h2", "http/1.1"]).unwrap();
        assert_eq!(stream.conn.protocol_version(), Some(spoken));
        assert_eq!(stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
    }
    let error = connect(&stage, "127.0.0.1", &TLS13, &["h2"]).unwrap_err();
    assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");
    let error = connect(&stage, "ssm.us-east-1.amazonaws.com", &TLS13, &[]).unwrap_err();
    assert!(error.to_string().contains("certificate not valid for name"), "{error}");
}

#[test]
fn who_speaks_the_other_of_the_two_is_told() {
    let (plain, encrypted) = (Stage::set(), Stage::set_over_tls());
    let stream = TcpStream::connect(encrypted.lab.address()).unwrap();
    let (answer, end) = exchange(stream, &request(&encrypted));
    assert!(answer.starts_with("HTTP/1.1 400 ") && end.is_ok(), "{answer} {end:?}");
    let said = format!("\r\n\r\nthis lab speaks TLS: {}\n", encrypted.lab.endpoint_url());
    assert!(answer.ends_with(&said), "{answer}");

    let stream = TcpStream::connect(plain.lab.address()).unwrap();
    let (answer, end) = exchange(stream, "\x16\x03\x01\x02\x00\x01");
    assert!(answer.starts_with("HTTP/1.1 400 ") && end.is_ok(), "{answer} {end:?}");
    let said = format!("this lab speaks HTTP without TLS: {}\n", plain.lab.endpoint_url());
    assert!(answer.ends_with(&said), "{answer}");

    // A client that comes and goes, or says nothing that TLS knows, costs the others nothing.
    drop(TcpStream::connect(encrypted.lab.address()).unwrap());
    let stream = TcpStream::connect(encrypted.lab.address()).unwrap();
    let (_, end) = exchange(stream, "\x16\x03\x01\x00\x01\x7f");
    assert!(end.is_ok(), "{end:?}");
    connect(&encrypted, "localhost", &TLS13, &[]).unwrap();
}

/// `rolekeeper-lab serve --tls` in a directory, and what its env file says.
struct Served {
    process: Child,
    variables: Vec<(String, String)>,
    said: String,
}

impl Served {
    fn start(directory: &Path, more: &[&str]) -> Self {
        let env_file = directory.join("lab.env");
        let mut process = lab()
            .args(["serve", "--listen", "127.0.0.1:0", "--region", REGION, "--env-file"])
            .arg(&env_file)
            .args(more)
            .current_dir(directory)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let said = lines
            .by_ref()
            .map(Result::unwrap)
            .take_while(|line| line != "Stop with Ctrl-C.")
            .fold(String::new(), |said, line| said + &line + "\n");
        let variables = fs::read_to_string(&env_file)
            .unwrap()
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with("# "))
            .map(|line| line.strip_prefix("export ").and_then(|rest| rest.split_once('=')).unwrap())
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Self { process, variables, said }
    }

    fn variable(&self, name: &str) -> &str {
        &self.variables.iter().find(|(known, _)| known == name).unwrap().1
    }

    fn without(&self, name: &str, arguments: &[&str]) -> Output {
        let variables = self.variables.iter().filter(|(known, _)| known != name).cloned();
        lab().args(arguments).envs(variables).output().unwrap()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.without("", arguments)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Whoever stopped it already has nothing left to kill.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn lab() -> Command {
    let mut command = Command::new(LAB);
    command.env_clear();
    command
}

fn assert_refused(output: &Output, exit: Exit, what: &str) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(exit as i32), "{error}");
    assert!(error.contains(what) && error.contains("\ntry: "), "{error}");
}

#[test]
fn the_env_file_names_the_certificate_and_commands_go_by_it() {
    let directory = tempfile::tempdir().unwrap();
    let served = Served::start(directory.path(), &["--tls"]);
    let bundle = directory.path().canonicalize().unwrap().join("lab-tls/ca.pem");
    assert_eq!(Path::new(served.variable(VARIABLE)), bundle);
    let url = served.variable("AWS_ENDPOINT_URL");
    assert!(url.starts_with("https://127.0.0.1:"), "{url}");
    let setting = format!("  [service]\n  endpoint_url = \"{url}\"\n  ca_bundle = {bundle:?}\n");
    assert!(served.said.contains(&setting), "{}", served.said);

    let listed = served.run(&["node", "list", "--json"]);
    let listed = serde_json::from_slice::<Value>(&listed.stdout).unwrap();
    assert_eq!(listed["InstanceInformationList"], serde_json::json!([]));
    let created = String::from_utf8(served.run(&["activation", "create"]).stdout).unwrap();
    assert!(created.contains(&format!(" | AWS_CA_BUNDLE={} rolekeeper", bundle.display())));

    let list = ["node", "list"];
    assert_refused(&served.without(VARIABLE, &list), Exit::Usage, "AWS_CA_BUNDLE is not set");
    let plain = url.replace("https", "http");
    let output = served.run(&["node", "list", "--endpoint-url", &plain]);
    assert_refused(&output, Exit::Usage, "speaks TLS");
    // With another trust, a command for the lab could be AWS's.
    fs::write(&bundle, "# nothing\n").unwrap();
    assert_refused(&served.run(&list), Exit::BadData, "is not the certificate of a lab");
    fs::remove_file(&bundle).unwrap();
    assert_refused(&served.run(&list), Exit::BadData, "No such file");
}

#[test]
fn signals_stop_it_although_a_handshake_is_half_done() {
    let directory = tempfile::tempdir().unwrap();
    let mut served = Served::start(directory.path(), &["--tls"]);
    let address = served.variable("AWS_ENDPOINT_URL").strip_prefix("https://").unwrap();
    let mut waiting = TcpStream::connect(address).unwrap();
    waiting.write_all(b"\x16\x03\x01\x02\x00").unwrap();
    kill(Pid::from_raw(served.process.id().cast_signed()), Signal::SIGTERM).unwrap();
    assert_eq!(served.process.wait().unwrap().code(), Some(0));
    assert_eq!(waiting.read_to_end(&mut Vec::new()).unwrap_or(0), 0);
}

#[test]
fn whoever_trusts_a_lab_trusts_it_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("kept");
    let options = ["--tls", "--tls-dir", place.to_str().unwrap()];
    let served = Served::start(directory.path(), &options);
    let trusted = fs::read(served.variable(VARIABLE)).unwrap();
    drop(served);
    let served = Served::start(directory.path(), &options);
    assert_eq!(fs::read(served.variable(VARIABLE)).unwrap(), trusted);
    assert!(served.run(&["node", "list"]).status.success());

    // A lab of its own, with a key of its own, is not this one.
    let other = tempfile::tempdir().unwrap();
    let other = Served::start(other.path(), &["--tls"]);
    let url = other.variable("AWS_ENDPOINT_URL");
    let output = served.run(&["node", "list", "--endpoint-url", url]);
    assert_refused(&output, Exit::Unavailable, "invalid peer certificate: BadSignature");
}

#[test]
fn a_directory_that_holds_something_else_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let certificate = directory.path().join("ca.pem");
    fs::write(&certificate, "the operator's\n").unwrap();
    let serve = |more: &[&str]| {
        let mut command = lab();
        command.args(["serve", "--listen", "127.0.0.1:0"]).args(more);
        command.current_dir(directory.path()).output().unwrap()
    };
    assert_refused(&serve(&["--tls", "--tls-dir", "."]), Exit::BadData, "its key is not");
    assert_eq!(fs::read_to_string(&certificate).unwrap(), "the operator's\n");
    let output = serve(&["--tls", "--tls-dir", "/proc/none"]);
    assert_refused(&output, Exit::CannotCreate, "cannot write /proc/none");
    assert_refused(&serve(&["--tls-dir", "."]), Exit::Usage, "--tls");
}

/// The clocks of a machine on which time stands still for everybody who sleeps, until it is set.
#[derive(Debug)]
struct UnsetClock(watch::Sender<()>);

impl Clock for UnsetClock {
    fn now(&self) -> UtcDateTime {
        SystemClock.now()
    }

    fn since_boot(&self) -> Duration {
        SystemClock.since_boot()
    }

    fn sleep(&self, _: Duration) -> Sleep {
        Box::pin(pending())
    }

    fn steps(&self) -> Steps {
        Box::pin(stream::unfold(self.0.subscribe(), |mut steps| async {
            steps.changed().await.ok()?;
            Some(((), steps))
        }))
    }
}

/// The first status of a daemon that is as it should be.
async fn status_when(shelf: &mut ShelfReader, is: impl Fn(&Status) -> bool) -> Arc<Status> {
    let found = async {
        loop {
            let status = shelf.look().status;
            if is(&status) {
                return status;
            }
            shelf.changed().await.expect("the daemon runs");
        }
    };
    timeout(Duration::from_secs(30), found).await.expect("a status as it should be")
}

/// Without a clock of its own a machine boots in a year in which no certificate is valid. Here the
/// certificate is of tomorrow, and of today once the clock is set.
#[test]
fn a_certificate_that_is_not_valid_yet_is_said_and_tried_again_when_the_clock_is_set() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let (now, loopback) = (SystemClock.now(), Ipv4Addr::LOCALHOST.into());
    // The lab's certificates begin 30 days before they are made.
    let tomorrow = now + time::Duration::days(32);
    let authority = Authority::open(&at("tls"), loopback, now).unwrap();
    let lab = async |listen: SocketAddr, then: UtcDateTime| {
        let greeting = Greeting::tls(&authority, loopback, then).unwrap();
        let (region, data) = (REGION.parse().unwrap(), Some(at("lab.db")));
        let settings = LabSettings { listen, region, data, greeting, ..LabSettings::default() };
        Lab::start(settings).await.unwrap()
    };
    let story = async {
        let right = lab((loopback, 0).into(), now).await;
        let bundle = right.ca_bundle().unwrap().to_str().unwrap().to_owned();
        let settings = Settings::default()
            .with_endpoint_url(Some(right.endpoint_url()))
            .with_ca_bundle(VARIABLE, Some(bundle));
        let clock = Arc::new(UnsetClock(watch::Sender::new(())));
        let seams = Seams { clock: clock.clone(), ..Seams::system() };
        let connection = connection(&settings, REGION.parse().unwrap());
        let ssm = Ssm::new(&connection, ServiceClock::new(clock.clone())).unwrap();
        let asked = serde_json::json!({ "IamRole": "Rehearsal" });
        let made = right.client().unwrap().call(CreateActivation, &asked, now).await.unwrap();
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        let application = Application {
            activation: Activation {
                id: text("ActivationId").parse().unwrap(),
                code: ActivationCode::parse(Secret::new(text("ActivationCode"))).unwrap(),
            },
            tags: Vec::new(),
            threshold: SimilarityThreshold::default(),
            replace: false,
        };
        let mut vault = Vault::open(&at("state")).unwrap();
        register(&mut vault, &ssm, &seams, &application, |_| {}).await.unwrap();
        drop(vault);

        let address = right.address();
        right.shutdown().await;
        let early = lab(address, tomorrow).await;
        let directories = Directories { state: at("state"), runtime: at("run") };
        let (_, reloads) = mpsc::channel(1);
        let reader = SettingsReader::fixed(settings.clone());
        let daemon = rolekeeper::daemon::Daemon {
            settings,
            directories,
            seams,
            reader,
            trouble: None,
            reloads,
        };
        let (started, shelf) = oneshot::channel();
        let daemon = tokio::task::spawn_local(daemon.run(|shelf| drop(started.send(shelf))));
        let mut shelf = shelf.await.unwrap();
        let status = status_when(&mut shelf, |status| status.failure.is_some()).await;
        let failure = status.failure.as_ref().unwrap();
        assert_eq!(failure.class, "clock-skew", "{failure:?}");
        assert!(failure.message.contains("this machine's clock says 20"), "{failure:?}");
        assert!(failure.message.contains("certificate is valid from 20"), "{failure:?}");
        assert!(failure.remedy.contains("set the clock"), "{failure:?}");

        early.shutdown().await;
        let _right = lab(address, now).await;
        assert_eq!(shelf.look().status.state, State::Expired, "nobody has asked again");
        clock.0.send_replace(());
        status_when(&mut shelf, |status| status.state == State::Fresh).await;
        daemon.abort();
    };
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(LocalSet::new().run_until(story));
}

#[test]
fn a_registration_says_that_the_certificate_is_not_valid_yet() {
    let stage = Stage::set_over_tls_since(SystemClock.now() + time::Duration::days(32));
    let bundle = stage.lab.ca_bundle().unwrap();
    let output = stage.registration(&stage.activation()).env(VARIABLE, bundle).output().unwrap();
    let (message, remedy) = refusal(&output, Exit::Unavailable);
    assert!(message.contains("certificate is valid from 20"), "{message}");
    assert!(remedy.contains("set the clock"), "{remedy}");
    assert!(!stage.record("RegistrationKey").exists());
}
