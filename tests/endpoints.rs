//! The daemon's endpoints on loopback, by raw HTTP: who gets what, and what hostile requests get.
//! Several users take part where root runs the tests.

#[allow(dead_code, reason = "each file of tests plays with a part of it")]
mod stage;

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use rolekeeper::endpoints::{self, Limits};
use rolekeeper::lab::faults::{Effect, Fault};
use rolekeeper::lab::operation::Operation::RequestManagedInstanceRoleToken;
use rolekeeper::pure::advice::Exit;
use rolekeeper::pure::allowance::Rate;
use rolekeeper::pure::metadata::{Head, container};
use serde_json::Value;
use time::UtcDateTime;
use tokio::runtime;

use stage::{Daemon, NOBODY, Stage, is_root, printed, refusal, value, wait_for};

/// A second user and a group that own nothing.
const SOMEBODY: u32 = 64_998;
const A_GROUP: u32 = 64_997;

/// A guard against waiting for ever.
const GUARD: Duration = Duration::from_secs(30);

const BOTH: &str = "[endpoint.container]\nlisten = \"127.0.0.1:0\"\n\
                    [endpoint.imds]\nlisten = \"127.0.0.1:0\"\n";

/// A request that nobody grants anything.
const NO_HEAD: Head<'_> =
    Head { method: "GET", authority: None, path: "/", headers: &[("host", "localhost")] };

const ROLES: &str = "/latest/meta-data/iam/security-credentials/";

/// A daemon with both endpoints.
struct Scene {
    stage: Stage,
    daemon: Daemon,
    container: SocketAddr,
    imds: SocketAddr,
}

impl Scene {
    /// With these rules, and credentials.
    fn set(rules: &str) -> Self {
        let stage = Stage::set();
        stage.settings(&format!("{BOTH}{rules}"));
        let (_, daemon) = stage.start_registered();
        Self::on(stage, daemon)
    }

    /// With the consumer `web`, who is nobody, and its token file.
    fn with_web() -> Self {
        let stage = Stage::set();
        stage.settings(&(BOTH.to_owned() + &web(&stage)));
        let (_, daemon) = stage.start_registered();
        Self::on(stage, daemon)
    }

    fn on(stage: Stage, daemon: Daemon) -> Self {
        let [container, imds] = ["container", "imds"].map(|endpoint| {
            let line = daemon.logged(&format!("listens endpoint=\"{endpoint}\""));
            let (_, address) = line.split_once("address=").unwrap();
            address.parse().unwrap()
        });
        Self { stage, daemon, container, imds }
    }

    fn on_fresh(stage: Stage) -> Self {
        let daemon = stage.start();
        stage.status_when("fresh credentials", |status| status["state"] == "fresh");
        Self::on(stage, daemon)
    }

    fn web_token(&self) -> String {
        fs::read_to_string(self.stage.path("web.token")).unwrap()
    }

    /// What the container endpoint says to the bearer of a token.
    fn fetch(&self, token: &str) -> Answer {
        ask(self.container, &get("/credentials/web", &format!("Authorization: {token}\r\n")))
    }

    /// What the IMDS endpoint says to this process's user.
    fn metadata(&self, path: &str) -> Answer {
        let token = ask(self.imds, &put_token("")).is(200);
        ask(self.imds, &get(path, &format!("X-aws-ec2-metadata-token: {token}\r\n")))
    }

    /// What it says to another user, asked as AWS's documentation does.
    fn metadata_of(&self, uid: u32, groups: &[u32], path: &str) -> (u16, String) {
        let script = format!(
            "T=$(curl -s -X PUT http://{0}/latest/api/token \
             -H 'X-aws-ec2-metadata-token-ttl-seconds: 60'); \
             curl -s -w '%{{http_code}}' http://{0}{path} -H \"X-aws-ec2-metadata-token: $T\"",
            self.imds
        );
        let gid = groups.first().copied().unwrap_or(uid).to_string();
        let mut command = Command::new("setpriv");
        command.args(["--reuid", &uid.to_string(), "--regid", &gid, "--clear-groups"]);
        let answer = printed(command.args(["sh", "-c", &script]).output().unwrap());
        let (body, status) = answer.split_at(answer.len() - 3);
        (status.parse().unwrap(), body.to_owned())
    }

    fn reload(&self, rules: &str) {
        let reloaded = || self.daemon.log().matches("settings reloaded").count();
        let before = reloaded();
        self.stage.settings(&format!("{BOTH}{rules}"));
        self.daemon.signal(Signal::SIGHUP);
        wait_for("a reload", || if reloaded() > before { Ok(()) } else { Err(self.daemon.log()) });
    }

    /// Nothing that was done before disturbed anybody.
    fn goes_on(&self) {
        self.fetch(&self.web_token()).is(200);
        self.metadata(ROLES).is(200);
        assert!(!self.daemon.log().contains("panicked"), "{}", self.daemon.log());
    }
}

fn web(stage: &Stage) -> String {
    format!(
        "[[consumer]]\nname = \"web\"\nusers = [\"{NOBODY}\"]\ntoken_file = \"{}\"\nmode = \"0600\"\n",
        stage.path("web.token").display()
    )
}

/// What came back. A connection that was closed without a word has status 0.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    /// The body of an answer that must have this status.
    fn is(self, status: u16) -> String {
        assert_eq!(self.status, status, "{self:?}");
        self.body
    }
}

fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}Connection: close\r\n\r\n")
}

fn put_token(headers: &str) -> String {
    format!(
        "PUT /latest/api/token HTTP/1.1\r\nHost: 127.0.0.1\r\n\
         X-aws-ec2-metadata-token-ttl-seconds: 60\r\n{headers}Connection: close\r\n\r\n"
    )
}

fn ask(address: SocketAddr, request: &str) -> Answer {
    ask_bytes(address, request.as_bytes())
}

fn ask_bytes(address: SocketAddr, request: &[u8]) -> Answer {
    let mut stream = connect(address);
    // Whoever has heard enough may hang up on the rest.
    let _ = stream.write_all(request);
    answer(stream)
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(GUARD)).unwrap();
    stream
}

/// All that comes until the connection ends.
fn answer(mut stream: TcpStream) -> Answer {
    let mut bytes = Vec::new();
    if let Err(error) = stream.read_to_end(&mut bytes) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
    }
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
}

#[test]
fn a_consumer_fetches_by_its_token_what_the_file_holds() {
    let scene = Scene::with_web();
    let token = scene.web_token();
    assert_eq!((token.len(), token.trim().len()), (64, 64), "no newline");
    assert_eq!(stage::mode(&scene.stage.path("web.token")), 0o600);
    let answer = scene.fetch(&token);
    assert!(answer.head.contains("content-type: application/json"), "{answer:?}");
    let body: Value = serde_json::from_str(&answer.is(200)).unwrap();
    let file = fs::read_to_string(scene.stage.credentials()).unwrap();
    for (member, key) in [
        ("AccessKeyId", "aws_access_key_id"),
        ("SecretAccessKey", "aws_secret_access_key"),
        ("Token", "aws_session_token"),
    ] {
        assert_eq!(body[member], value(&file, key));
    }
    assert!(
        stage::moment(&body["Expiration"])
            > stage::moment(&scene.stage.status()["credentials"]["issued_at"])
    );
    assert_eq!(scene.stage.requests(RequestManagedInstanceRoleToken), 1, "nobody was asked");

    let line = scene.daemon.logged("credentials handed out");
    for part in ["name=\"web\"", "allowed_as=\"token\"", "uid=", "access_key=.."] {
        assert!(line.contains(part), "no {part} in: {line}");
    }
    let log = scene.daemon.log();
    assert!(!log.contains(&token) && !log.contains(body["Token"].as_str().unwrap()), "{log}");
}

#[test]
fn without_its_token_or_beside_its_path_nobody_fetches_anything() {
    let scene = Scene::with_web();
    let token = scene.web_token();
    let ask = |path: &str, headers: &str| ask(scene.container, &get(path, headers)).status;
    let own = format!("Authorization: {token}\r\n");
    assert_eq!(ask("/credentials/web", ""), 401);
    assert_eq!(ask("/credentials/web", "Authorization: wrong\r\n"), 403);
    assert_eq!(ask("/credentials/web", &format!("Authorization: {token}0\r\n")), 403);
    assert_eq!(ask("/credentials/web", &own.repeat(2)), 401);
    for path in
        ["/", "/credentials/", "/credentials/default", "/credentials/web/", "//credentials/web"]
    {
        assert_eq!(ask(path, &own), 404, "{path}");
    }
    let line = scene.daemon.logged("credentials refused");
    assert!(line.contains("the authorization token is not the one of this endpoint"), "{line}");
    assert!(!scene.daemon.log().contains(&token), "{}", scene.daemon.log());
    scene.goes_on();
}

#[test]
fn a_session_leads_to_the_one_role_of_the_user_who_asks() {
    let scene = Scene::with_web();
    // This process is the daemon's own user.
    assert_eq!(scene.metadata(ROLES).is(200), "default");
    let body = scene.metadata(&format!("{ROLES}default")).is(200);
    let body: Value = serde_json::from_str(&body).unwrap();
    let file = fs::read_to_string(scene.stage.credentials()).unwrap();
    assert_eq!(body["Code"], "Success");
    assert_eq!(body["SecretAccessKey"], value(&file, "aws_secret_access_key"));
    let line = scene.daemon.logged("credentials handed out");
    assert!(line.contains("name=\"default\"") && line.contains("uid="), "{line}");
    assert_eq!(scene.daemon.log().matches("credentials handed out").count(), 1, "the role alone");
    scene.metadata(&format!("{ROLES}web")).is(404);
    if is_root() {
        let role = format!("{ROLES}web");
        assert_eq!(scene.metadata_of(NOBODY, &[], ROLES), (200, "web".to_owned()));
        let (status, body) = scene.metadata_of(NOBODY, &[], &role);
        assert!(status == 200 && body.contains("\"Success\""), "{body}");
        let line = scene.daemon.logged("name=\"web\"");
        assert!(line.contains(&format!("uid={NOBODY}")), "{line}");
        assert_eq!(scene.metadata_of(NOBODY, &[], &format!("{ROLES}default")).0, 404);
    }
}

#[test]
fn whom_no_rule_names_is_refused_and_a_reload_changes_the_rules() {
    if !is_root() {
        return;
    }
    let scene = Scene::set("");
    let denied = (403, "this user may have no credentials here\n".to_owned());
    assert_eq!(scene.metadata_of(NOBODY, &[], ROLES), denied);
    assert_eq!(scene.metadata_of(NOBODY, &[], "/latest/meta-data/placement/region"), denied);
    let line = scene.daemon.logged("credentials refused");
    assert!(line.contains(&format!("uid={NOBODY}")), "{line}");

    scene.reload(&(web(&scene.stage) + &format!(
        "[[consumer]]\nname = \"batch\"\nusers = [\"{SOMEBODY}\"]\nunits = [\"batch.service\"]\n"
    )));
    assert_eq!(scene.metadata_of(NOBODY, &[], ROLES), (200, "web".to_owned()));
    assert_eq!(scene.metadata_of(SOMEBODY, &[], ROLES).0, 403, "no unit is known on loopback");
    // The group of a process says nothing: the socket has its user alone.
    scene.reload(&format!("[[consumer]]\nname = \"web\"\ngroups = [\"{A_GROUP}\"]\n"));
    assert_eq!(scene.metadata_of(NOBODY, &[A_GROUP], ROLES), denied);
    // A group of the account database does.
    let group = fs::read_to_string("/etc/passwd").unwrap();
    let own = group.lines().find(|line| line.starts_with("nobody:")).unwrap().to_owned();
    let gid = own.split(':').nth(3).unwrap();
    scene.reload(&format!("[[consumer]]\nname = \"web\"\ngroups = [\"{gid}\"]\n"));
    assert_eq!(scene.metadata_of(NOBODY, &[], ROLES), (200, "web".to_owned()));
}

/// A daemon of an ordinary user that sees nobody else's processes, as the hardened unit has it, and knows
/// the accounts of these files alone.
fn apart(stage: &Stage, passwd: &Path, group: &Path) -> Daemon {
    const SERVICE: u32 = 64_992;
    let switch = stage.path("nsswitch.conf");
    fs::write(&switch, "passwd: files\ngroup: files\n").unwrap();
    fs::create_dir(stage.path("run")).unwrap();
    let own = ["run", "state", "state/vault"].map(|name| stage.path(name));
    let records = fs::read_dir(stage.path("state/vault")).unwrap();
    for path in own.into_iter().chain(records.map(|entry| entry.unwrap().path())) {
        chown(path, Some(SERVICE), Some(SERVICE)).unwrap();
    }
    let script = "mount -t proc -o hidepid=invisible proc /proc && mount --bind \"$1\" /etc/passwd && \
                  mount --bind \"$2\" /etc/group && mount --bind \"$3\" /etc/nsswitch.conf && \
                  shift 3 && exec setpriv --reuid 64992 --regid 64992 --clear-groups \"$@\"";
    let run = stage.command_of(SERVICE, SERVICE, &["run"]);
    let mut apart = Command::new("unshare");
    apart.args(["-m", "sh", "-c", script, "sh"]).args([passwd, group, &switch]);
    apart.arg(run.get_program()).args(run.get_args());
    let daemon = Daemon::start(apart);
    stage.status_when("fresh credentials", |status| status["state"] == "fresh");
    daemon
}

#[test]
fn a_rule_for_a_group_comes_before_a_later_one_for_everybody_or_for_the_user() {
    if !is_root() {
        return eprintln!(
            "skipped: only root can be several users and put other accounts in place"
        );
    }
    let stage = Stage::set();
    let (passwd, group) = (stage.path("passwd"), stage.path("group"));
    fs::write(&passwd, format!("root:x:0:0::/:/bin/sh\nop:x:{SOMEBODY}:{SOMEBODY}::/:/bin/sh\n"))
        .unwrap();
    fs::write(&group, format!("operators:x:{A_GROUP}:op\n")).unwrap();
    let everybodys = stage.target("open", &stage.path("run/open"), "mode = \"0644\"");
    let operators = format!("[[consumer]]\nname = \"operators\"\ngroups = [\"{A_GROUP}\"]\n");
    let users = format!("[[consumer]]\nname = \"users\"\nusers = [\"{SOMEBODY}\"]\n");
    stage.settings(&format!("{BOTH}{operators}{users}{everybodys}"));
    stage.register();
    let daemon = apart(&stage, &passwd, &group);
    let scene = Scene::on(stage, daemon);
    let at_socket =
        |uid| scene.stage.command_of(uid, uid, &["credential-process"]).output().unwrap();
    // The name that the log has of what somebody is given at the socket.
    let given_to = |uid| {
        let of = format!("uid={uid} ");
        let lines = || scene.daemon.log().lines().filter(|it| it.contains(&of)).count();
        let before = lines();
        printed(at_socket(uid));
        wait_for("the hand-out in the log", || {
            let log = scene.daemon.log();
            let line = log.lines().rfind(|line| line.contains(&of)).filter(|_| lines() > before);
            let (_, name) = line.and_then(|line| line.split_once("name=\"")).ok_or(log.clone())?;
            Ok(name.split('"').next().unwrap().to_owned())
        })
    };
    for (rules, name) in [
        (format!("{operators}{users}{everybodys}"), "operators"),
        (format!("{operators}{everybodys}"), "operators"),
        (format!("{users}{operators}{everybodys}"), "users"),
        (everybodys.clone(), "open"),
    ] {
        scene.reload(&rules);
        assert_eq!(given_to(SOMEBODY), name, "{rules}");
        assert_eq!(scene.metadata_of(SOMEBODY, &[], ROLES), (200, name.to_owned()), "{rules}");
        // Who is in no group has what is left.
        assert_eq!(scene.metadata_of(64_996, &[], ROLES), (200, "open".to_owned()), "{rules}");
        assert_eq!(given_to(64_996), "open", "{rules}");
    }

    // A database that does not answer has not said that the user is in no group.
    scene.reload(&format!("{operators}{users}{everybodys}"));
    for file in [&passwd, &group] {
        stage::allow(file, 0o600);
        let (message, remedy) = refusal(&at_socket(SOMEBODY), Exit::TryAgain);
        assert!(message.contains("are not known now, and a rule names a group"), "{message}");
        assert_eq!(remedy, format!("mend the account database: id {SOMEBODY}; then ask again"));
        let (status, body) = scene.metadata_of(SOMEBODY, &[], ROLES);
        assert!(status == 503 && body.contains("cannot be told at the moment"), "{body}");
        let by_name = ["credential-process", "--target", "users"];
        printed(scene.stage.command_of(SOMEBODY, SOMEBODY, &by_name).output().unwrap());
        stage::allow(file, 0o644);
        assert_eq!(scene.metadata_of(SOMEBODY, &[], ROLES), (200, "operators".to_owned()));
        assert_eq!(given_to(SOMEBODY), "operators");
    }
}

#[test]
fn version_1_is_never_answered_and_a_session_is_needed() {
    let scene = Scene::set("");
    for headers in ["", "X-aws-ec2-metadata-token: x\r\n"] {
        for path in ["/latest/meta-data/", ROLES, "/latest/dynamic/instance-identity/document"] {
            ask(scene.imds, &get(path, headers)).is(401);
        }
    }
    for seconds in ["0", "21601", "x", "-1", ""] {
        let request = put_token("").replace(": 60\r\n", &format!(": {seconds}\r\n"));
        ask(scene.imds, &request).is(400);
    }
    let answer = ask(scene.imds, &put_token(""));
    assert!(answer.head.contains("x-aws-ec2-metadata-token-ttl-seconds: 60"), "{answer:?}");
    ask(scene.imds, &put_token("").replace("PUT", "POST")).is(405);
}

#[test]
fn the_machine_says_of_itself_what_is_true() {
    let scene = Scene::set("");
    let status = scene.stage.status();
    let id = status["instance_id"].as_str().unwrap();
    assert_eq!(scene.metadata("/latest/meta-data/placement/region").is(200), stage::REGION);
    assert_eq!(scene.metadata("/latest/meta-data/instance-id").is(200), id);
    let document = scene.metadata("/latest/dynamic/instance-identity/document").is(200);
    let document: Value = serde_json::from_str(&document).unwrap();
    assert_eq!(document["instanceId"], id);
    assert_eq!(document["region"], stage::REGION);
    assert_eq!(document["availabilityZone"], Value::Null);
    let zone = scene.metadata("/latest/meta-data/placement/availability-zone").is(404);
    assert!(zone.contains("no availability zone"), "{zone}");
    let info = scene.metadata("/latest/meta-data/iam/info").is(200);
    assert!(info.contains("\"Code\" : \"Success\""), "{info}");
}

#[test]
fn browsers_proxies_and_foreign_names_get_nothing() {
    let scene = Scene::with_web();
    let own = format!("Authorization: {}\r\n", scene.web_token());
    for strange in [
        "X-Forwarded-For: 192.0.2.1\r\n",
        "Forwarded: for=192.0.2.1\r\n",
        "Origin: http://evil.example\r\n",
        "Referer: http://localhost/\r\n",
        "Sec-Fetch-Site: none\r\n",
        "Sec-CH-UA-Mobile: ?0\r\n",
        "Via: 1.1 squid\r\n",
        "X-Forwarded-Host: localhost\r\n",
        "X-Real-IP: 192.0.2.1\r\n",
        "X-Forwarded-Port: 443\r\n",
        "Fastly-Client-IP: 192.0.2.1\r\n",
        "Max-Forwards: 10\r\n",
    ] {
        let fetched = ask(scene.container, &get("/credentials/web", &(own.clone() + strange)));
        assert_eq!(fetched.status, 403, "{strange}");
        assert_eq!(ask(scene.imds, &put_token(strange)).status, 403, "{strange}");
    }
    let foreign = get("/credentials/web", &own).replace("Host: 127.0.0.1", "Host: evil.example");
    ask(scene.container, &foreign).is(403);
    ask(scene.imds, &put_token("").replace("Host: 127.0.0.1", "Host: evil.example")).is(403);
    scene.goes_on();
}

#[test]
fn without_usable_credentials_the_answer_is_503() {
    let stage = Stage::set();
    stage.settings(&(BOTH.to_owned() + &web(&stage)));
    let daemon = stage.start();
    let scene = Scene::on(stage, daemon);
    wait_for("a token file", || {
        fs::read(scene.stage.path("web.token")).map_err(|error| error.to_string())
    });
    let unregistered = scene.fetch(&scene.web_token()).is(503);
    assert!(unregistered.contains("ServiceUnavailable"), "{unregistered}");
    assert_eq!(scene.metadata(ROLES).is(200), "default");
    scene.metadata(&format!("{ROLES}default")).is(503);
    scene.metadata("/latest/meta-data/placement/region").is(404);

    scene.stage.lab.with_service(|service| service.token_lifetime = Duration::from_secs(7));
    scene.stage.register();
    scene.stage.succeed(&["refresh"]);
    scene.goes_on();
    let fails = Effect::Status { status: 500, code: None };
    scene.stage.fault(Fault::always(fails).on(RequestManagedInstanceRoleToken));
    scene.stage.status_when("the end", |status| status["state"] == "expired");
    scene.fetch(&scene.web_token()).is(503);
    scene.metadata(&format!("{ROLES}default")).is(503);
}

#[test]
fn a_new_daemon_replaces_the_token_and_honours_the_one_before() {
    let mut scene = Scene::with_web();
    let first = scene.web_token();
    scene.daemon.stop();
    scene.daemon = scene.stage.start();
    let scene = Scene::on(scene.stage, scene.daemon);
    scene.stage.status_when("fresh credentials", |status| status["state"] == "fresh");
    let second = scene.web_token();
    assert_ne!(second, first);
    for token in [&first, &second] {
        scene.fetch(token).is(200);
    }
    // Only what stands in the file when a daemon starts is honoured.
    scene.reload(&web(&scene.stage).replace("0600", "0640"));
    let third = wait_for("a third token", || {
        let token = scene.web_token();
        if token == second { Err(token) } else { Ok(token) }
    });
    assert_eq!(stage::mode(&scene.stage.path("web.token")), 0o640);
    for (token, status) in [(&first, 403), (&second, 200), (&third, 200)] {
        scene.fetch(token).is(status);
    }
    scene.reload("");
    wait_for("the end of the token file", || {
        if scene.stage.path("web.token").exists() { Err("it is there".to_owned()) } else { Ok(()) }
    });
    scene.fetch(&third).is(403);
}

#[test]
fn a_token_file_that_cannot_be_written_is_told_and_keeps_nobody_from_the_rest() {
    let stage = Stage::set();
    let file = stage.path("missing/token");
    stage.settings(&(BOTH.to_owned() + &web(&stage).replace("web.token", "missing/token")));
    let (_, daemon) = stage.start_registered();
    let line = daemon.logged("missing does not exist");
    assert!(line.contains("token_file web") && line.contains("try: "), "{line}");
    assert!(!file.exists());
    let scene = Scene::on(stage, daemon);
    scene.metadata(ROLES).is(200);
    let remedy = "use a directory that root or the service owns, such as /run/rolekeeper";
    says_of_web(&scene.stage, "missing does not exist", remedy);
    // Done as it says: the directory that the settings name is one of the service's.
    fs::create_dir(scene.stage.path("missing")).unwrap();
    scene.stage.succeed(&["reload"]);
    says_nothing_of_web(&scene.stage);
    scene.fetch(&fs::read_to_string(&file).unwrap()).is(200);
}

#[test]
fn a_token_file_without_an_endpoint_is_told() {
    let stage = Stage::set();
    stage.settings(&web(&stage));
    let (_, _daemon) = stage.start_registered();
    let remedy = "give [endpoint.container] of the settings a listen address, or leave token_file \
                  out of that [[consumer]]; then rolekeeper reload";
    says_of_web(&stage, "there is no [endpoint.container]", remedy);
    stage.settings(&(BOTH.to_owned() + &web(&stage)));
    stage.succeed(&["reload"]);
    says_nothing_of_web(&stage);
    assert!(stage.path("web.token").exists());
}

#[test]
fn a_file_that_holds_something_else_is_never_made_a_token_file() {
    let stage = Stage::set();
    let file = stage.path("web.token");
    fs::write(&file, "precious").unwrap();
    stage.settings(&(BOTH.to_owned() + &web(&stage)));
    let (_, _daemon) = stage.start_registered();
    let remedy = format!(
        "give its token_file another path, or put aside what is there: mv {0} {0}.aside; then \
         rolekeeper reload",
        file.display()
    );
    says_of_web(&stage, "holds something else than a token, and is left as it is", &remedy);
    assert_eq!(fs::read(&file).unwrap(), b"precious");
    fs::rename(&file, stage.path("web.token.aside")).unwrap();
    stage.succeed(&["reload"]);
    says_nothing_of_web(&stage);
    assert_eq!(fs::read_to_string(&file).unwrap().len(), 64);
    // What the daemon listens at is no place for it.
    stage.settings(&(BOTH.to_owned() + &web(&stage).replace("web.token", "run/control.sock")));
    let (message, remedy) = stage.refused(&["reload"], Exit::Configuration);
    assert!(message.ends_with("consumer 'web': its token_file is a file that the daemon keeps"));
    assert_eq!(remedy, "give it another path, then rolekeeper reload");
}

#[test]
fn a_token_opens_nothing_but_its_consumers_whoever_has_the_file_next() {
    let scene = Scene::with_web();
    let first = scene.web_token();
    let renamed = web(&scene.stage).replace("\"web\"", "\"other\"");
    let is_replaced = |was: &str| {
        wait_for("another token", || {
            let token = scene.web_token();
            if token == was { Err(token) } else { Ok(token) }
        })
    };
    scene.reload(&renamed);
    let second = is_replaced(&first);
    let asked = |token: &str| {
        let head = format!("Authorization: {token}\r\n");
        ask(scene.container, &get("/credentials/other", &head)).status
    };
    assert_eq!((asked(&first), asked(&second)), (403, 200));
    // Who may read the file no more has read it before.
    scene.reload(&renamed.replace("0600", "0644"));
    let third = is_replaced(&second);
    assert_eq!((asked(&second), asked(&third)), (200, 200));
    scene.reload(&renamed);
    let fourth = is_replaced(&third);
    assert_eq!((asked(&third), asked(&fourth)), (403, 200));

    // So it is where the name changes while no daemon runs.
    let Scene { stage, mut daemon, .. } = scene;
    daemon.stop();
    stage.settings(&(BOTH.to_owned() + &web(&stage)));
    let scene = Scene::on_fresh(stage);
    let fifth = wait_for("another token", || {
        let token = scene.web_token();
        if token == fourth { Err(token) } else { Ok(token) }
    });
    scene.fetch(&fourth).is(403);
    scene.fetch(&fifth).is(200);
}

/// Status and doctor say of the consumer `web` why it has no token file, and what to do.
fn says_of_web(stage: &Stage, message: &str, remedy: &str) {
    stage.status_when("the warning", |status| {
        let warnings = status["warnings"].as_array().unwrap();
        warnings.iter().any(|it| {
            it["subject"] == "token_file web"
                && it["message"].as_str().unwrap().contains(message)
                && it["remedy"] == *remedy
        })
    });
    stage.status_when("credentials", |status| status["state"] == "fresh");
    let status = stage.run(&["status"]);
    assert_eq!(status.status.code(), Some(Exit::CannotCreate as i32));
    let nobody = NOBODY.to_string();
    for arguments in [&["doctor", "--json"][..], &["doctor", "--user", &nobody, "--json"]] {
        let output = stage.run(arguments);
        let page = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(Exit::Configuration as i32), "{page}");
        assert!(page.contains(message) && page.contains(remedy), "{page}");
    }
}

fn says_nothing_of_web(stage: &Stage) {
    stage.status_when("no warning", |status| {
        status["state"] == "fresh" && status["warnings"].as_array().unwrap().is_empty()
    });
    stage.succeed(&["status"]);
}

#[test]
fn an_address_that_somebody_has_keeps_nobody_from_the_files() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let stage = Stage::set();
    stage.settings(&format!("[endpoint.imds]\nlisten = \"{address}\"\n"));
    let (_, daemon) = stage.start_registered();
    let line = daemon.logged("cannot listen");
    assert!(line.contains(&address.to_string()) && line.contains("ERROR"), "{line}");
    let shown = |status: Value| {
        let [endpoint] = &status["endpoints"].as_array().unwrap()[..] else { panic!("{status}") };
        assert_eq!(
            (&endpoint["kind"], &endpoint["address"]),
            (&"imds".into(), &address.to_string().into())
        );
        endpoint.clone()
    };
    let waiting = shown(stage.status());
    assert!(waiting["error"].as_str().unwrap().contains("in use"), "{waiting}");
    assert!(waiting["remedy"].as_str().unwrap().contains(&address.port().to_string()), "{waiting}");
    let page = stage.status_page();
    assert!(
        page.contains("endpoint     imds: NOT LISTENING at ") && page.contains("  try   "),
        "{page}"
    );
    drop(taken);
    daemon.logged("listens endpoint=\"imds\"");
    let listens = shown(
        stage.status_when("the endpoint", |status| status["endpoints"][0]["error"].is_null()),
    );
    assert!(stage::moment(&listens["since"]) > stage::moment(&waiting["since"]), "{listens}");
    let line = format!("endpoint     imds: http://{address}, since ");
    assert!(stage.status_page().contains(&line));
    ask(address, &put_token("")).is(200);
}

#[test]
fn addresses_that_others_reach_are_a_wrong_setting() {
    let stage = Stage::set();
    stage.settings("[endpoint.imds]\nlisten = \"0.0.0.0:1339\"\n");
    let (message, _) = stage.refused(&["run"], Exit::Configuration);
    assert!(message.contains("only loopback will do"), "{message}");
}

/// Forms of a request that programs really send, and what comes of them at both endpoints.
#[test]
fn requests_are_understood_in_the_forms_that_clients_send() {
    let scene = Scene::with_web();
    let own = format!("Authorization: {}\r\n", scene.web_token());
    let fetch = get("/credentials/web", &own);
    let put = put_token("");
    let (container, imds) = (scene.container.to_string(), scene.imds.to_string());
    let replace = |from: &str, to: &str| (fetch.replace(from, to), put.replace(from, to));
    for ((fetch, put), status) in [
        (replace("HTTP/1.1", "HTTP/1.0"), 200),
        (replace("Host:", "hOsT:"), 200),
        (replace("Host: 127.0.0.1", "Host: LOCALHOST:1338"), 200),
        (replace("Host: 127.0.0.1", "Host: [::1]:1338"), 200),
        (replace("Connection:", "User-Agent: Mozilla/5.0 PowerShell/7.4.6\r\nConnection:"), 200),
        (replace("Connection:", "Content-Length: 0\r\nConnection:"), 200),
        (replace("Connection:", "Expect: 100-continue\r\nConnection:"), 200),
        (replace("/credentials/web", "/credentials/web?x=1"), 200),
        (replace("/latest/api/token", "/latest/api/token/"), 200),
        (replace("/latest/api/token", "/2021-03-23/api/token"), 200),
        // A name that ends in a dot is a name, and looked up as one.
        (replace("Host: 127.0.0.1", "Host: localhost."), 403),
        (replace("Connection:", "Transfer-Encoding: chunked\r\nConnection:"), 400),
        (replace("Host: 127.0.0.1\r\n", ""), 400),
    ] {
        assert_eq!(ask(scene.container, &fetch).status, status, "{fetch}");
        assert_eq!(ask(scene.imds, &put).status, status, "{put}");
    }
    // Before HTTP/1.1 nobody had to say which host is meant.
    let old = |request: &str, host: &str| {
        request.replace("HTTP/1.1", "HTTP/1.0").replace("Host: 127.0.0.1\r\n", host)
    };
    ask(scene.container, &old(&fetch, "")).is(200);
    ask(scene.imds, &old(&put, "")).is(200);
    ask(scene.container, &old(&fetch, "Host: evil.example\r\n")).is(403);
    ask(scene.container, &old(&fetch, "Host: \r\n")).is(403);
    ask(scene.container, &old(&fetch, "Via: 1.0 squid\r\n")).is(403);
    ask(scene.container, &old(&fetch, "").replacen(" /", " http://evil.example/", 1)).is(403);
    ask(scene.container, &old(&fetch, "").replacen(" /", &format!(" http://{container}/"), 1))
        .is(200);
    // The whole URL, as clients send that are told of a proxy.
    let whole = |request: &str, authority: &str| {
        let request = request.replace("Host: 127.0.0.1", &format!("Host: {authority}"));
        request.replacen(" /", &format!(" http://{authority}/"), 1)
    };
    ask(scene.container, &whole(&fetch, &container)).is(200);
    ask(scene.imds, &whole(&put, &imds)).is(200);
    ask(scene.container, &whole(&fetch, "evil.example")).is(403);
    let elsewhere = fetch.replacen(" /", " http://169.254.170.2/", 1);
    ask(scene.container, &elsewhere).is(403);
    // cloud-init and others ask below the version that they were written for.
    let session = ask(scene.imds, &put).is(200);
    let session = format!("X-aws-ec2-metadata-token: {session}\r\n");
    let dated = ask(scene.imds, &get("/2021-03-23/meta-data/instance-id", &session)).is(200);
    assert_eq!(dated, scene.metadata("/latest/meta-data/instance-id").is(200));
    let versions = ask(scene.imds, &get("/", &session)).is(200);
    assert!(versions.lines().any(|line| line == "2021-03-23"), "{versions}");
    scene.metadata("/1999-12-31/meta-data/instance-id").is(404);
    let role =
        ask(scene.imds, &get("/2021-03-23/meta-data/iam/security-credentials/default", &session));
    assert!(role.is(200).contains("SecretAccessKey"));
    let handed_out = || scene.daemon.log().matches("credentials handed out").count();
    let before = handed_out();
    scene.metadata("/2018-09-24/meta-data/iam/security-credentials/default").is(200);
    wait_for("the hand-out in the log", || {
        if handed_out() > before { Ok(()) } else { Err(scene.daemon.log()) }
    });
    scene.goes_on();
}

/// `nc -N` and some clients of HTTP/1.0 say that nothing more will come, and wait for the answer: they
/// are whoever made the socket, as before.
#[test]
fn a_client_that_has_ended_its_half_is_still_its_user() {
    let scene = Scene::set("");
    let half_closed = |address, request: &str| {
        let mut stream = connect(address);
        stream.write_all(request.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        answer(stream)
    };
    // Many at once, so that some have ended their half before they are looked at.
    let sessions = (0..16).map(|_| {
        let mut stream = connect(scene.imds);
        stream.write_all(put_token("").replace("HTTP/1.1", "HTTP/1.0").as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        stream
    });
    let sessions = sessions.collect::<Vec<_>>();
    for stream in sessions {
        let session = answer(stream).is(200);
        let header = format!("X-aws-ec2-metadata-token: {session}\r\n");
        assert_eq!(half_closed(scene.imds, &get(ROLES, &header)).is(200), "default");
    }
    assert!(!scene.daemon.log().contains("4294967295"), "{}", scene.daemon.log());
    if !is_root() {
        eprintln!("not root: no other user asks");
        return;
    }
    // Somebody else is refused under their own number.
    let script = format!(
        "use IO::Socket::INET; my $s = IO::Socket::INET->new('{}') or die; \
         print $s $ARGV[0]; $s->shutdown(1); print <$s>",
        scene.imds
    );
    let mut command = Command::new("setpriv");
    let uid = SOMEBODY.to_string();
    command.args(["--reuid", &uid, "--regid", &uid, "--clear-groups", "perl", "-e", &script]);
    command.arg(put_token(""));
    let refused = printed(command.output().unwrap());
    assert!(refused.starts_with("HTTP/1.1 403"), "{refused}");
    let uid = format!("uid={SOMEBODY}");
    wait_for("the refusal in the log", || {
        if scene.daemon.log().contains(&uid) { Ok(()) } else { Err(scene.daemon.log()) }
    });
}

#[test]
fn hostile_heads_get_their_status_and_disturb_nobody() {
    let scene = Scene::with_web();
    let own = format!("Authorization: {}\r\n", scene.web_token());
    let whole = get("/credentials/web", &own);
    let with = |headers: &str| get("/credentials/web", &(own.clone() + headers));
    let many = (0..40).map(|n| format!("X-{n}: 1\r\n")).collect::<String>();
    for (request, statuses) in [
        (with("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), &[400][..]),
        (with("Content-Length: 5\r\n"), &[400]),
        (with("Content-Length: 5\r\nContent-Length: 6\r\n"), &[400]),
        (with("Transfer-Encoding: chunked\r\n"), &[400]),
        (with("Transfer-Encoding : chunked\r\n"), &[400]),
        (with("Transfer-Encoding: xchunked\r\n"), &[400]),
        (with("Host: 127.0.0.1\r\n"), &[400]),
        (whole.replace("Host: 127.0.0.1\r\n", ""), &[400]),
        (with(&many), &[431]),
        (with(&format!("X-Long: {}\r\n", "a".repeat(64 * 1024))), &[431]),
        (get(&format!("/{}", "a".repeat(64 * 1024)), &own), &[414, 431]),
        (whole.replace("GET ", "DELETE "), &[405]),
        (whole.replace("GET ", "CONNECT "), &[400, 405]),
        (whole.replace("GET ", "get "), &[405]),
        (whole.replace("GET ", "G\0T "), &[400]),
        (whole.replace("GET /credentials/web", "OPTIONS *"), &[405]),
        (whole.replace("GET /", "GET http://evil.example/"), &[403]),
        (whole.replace("HTTP/1.1", "HTTP/9.9"), &[0, 400, 505]),
        (whole.replace("\r\nAuth", "\r\n Auth"), &[400]),
        (whole.replace("Host: 127.0.0.1", "Host: 127.0.0.1\rX: y"), &[400]),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), &[0, 400, 405, 505]),
        ("\r\n\r\n\r\n".to_owned() + "garbage\r\n\r\n", &[400]),
    ] {
        let shown = &request[..request.len().min(200)];
        let answer = ask(scene.container, &request);
        assert!(statuses.contains(&answer.status), "{shown}\n{answer:?}");
        assert!(!answer.body.contains("AccessKeyId"), "{shown}");
        let at_imds = ask(scene.imds, &request.replace("/credentials/web", "/latest/api/token"));
        assert_ne!(at_imds.status, 200, "{shown}\n{at_imds:?}");
    }
    ask_bytes(scene.container, b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03").is(400);
    ask_bytes(scene.imds, &[0xff; 4096]).is(400);
    scene.goes_on();
}

#[test]
fn a_request_inside_a_body_is_never_read_as_one() {
    let scene = Scene::with_web();
    let own = format!("Authorization: {}\r\n", scene.web_token());
    let hidden = get("/credentials/web", &own);
    for lengths in [
        format!("Content-Length: {}\r\n", hidden.len()),
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n".to_owned(),
        "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n".to_owned(),
    ] {
        let outer = format!(
            "GET /credentials/web HTTP/1.1\r\nHost: 127.0.0.1\r\n{lengths}\r\n0\r\n\r\n{hidden}"
        );
        let mut stream = connect(scene.container);
        stream.write_all(outer.as_bytes()).unwrap();
        let answer = answer(stream);
        assert_eq!(answer.status, 400, "{answer:?}");
        assert!(!answer.body.contains("AccessKeyId"), "{answer:?}");
    }
    scene.goes_on();
}

#[test]
fn a_token_with_a_line_end_in_it_opens_nothing() {
    let scene = Scene::with_web();
    let token = scene.web_token();
    // As some SDKs send a token whose file an editor has closed with a newline.
    for sent in [
        format!("{token}\n\n"),
        format!("{token}\r"),
        format!("{}\r\n {}", &token[..9], &token[9..]),
        format!("{}\n{}", &token[..9], &token[9..]),
        format!("\n{token}"),
        format!("{token}\0"),
    ] {
        let request = format!(
            "GET /credentials/web HTTP/1.1\r\nAuthorization: {sent}\r\nHost: 127.0.0.1\r\n\r\n"
        );
        let answer = ask(scene.container, &request);
        assert!([400, 403].contains(&answer.status), "{sent:?}: {answer:?}");
        assert!(!answer.body.contains("AccessKeyId"), "{sent:?}: {answer:?}");
    }
    scene.goes_on();
}

#[test]
fn a_role_that_nobody_knows_is_503_for_its_consumer_alone() {
    let scene = Scene::with_web();
    let (role, file) = ("arn:aws:iam::000000000000:role/Nowhere", scene.stage.path("lost.token"));
    scene.reload(&format!(
        "{}[[consumer]]\nname = \"lost\"\nusers = [\"{SOMEBODY}\"]\nrole_arn = \"{role}\"\n\
         token_file = \"{}\"\n",
        web(&scene.stage),
        file.display()
    ));
    scene.stage.status_when("a failure", |status| !status["consumers"][0]["failure"].is_null());
    let token = fs::read_to_string(file).unwrap();
    let own = format!("Authorization: {token}\r\n");
    let body = ask(scene.container, &get("/credentials/lost", &own)).is(503);
    assert!(body.contains("ServiceUnavailable") && !body.contains("Nowhere"), "{body}");
    ask(scene.container, &get("/credentials/web", &own)).is(404);
    if is_root() {
        assert_eq!(scene.metadata_of(SOMEBODY, &[], &format!("{ROLES}lost")).0, 503);
    }
    scene.goes_on();
}

#[test]
fn a_policy_that_cannot_be_read_leaves_everybody_what_they_had() {
    let scene = Scene::with_web();
    let policy = scene.stage.path("policy.json");
    let with_policy = format!(
        "{}[[consumer]]\nname = \"lost\"\nusers = [\"{SOMEBODY}\"]\n\
         role_arn = \"arn:aws:iam::000000000000:role/Lost\"\nsession_policy = \"{}\"\n",
        web(&scene.stage),
        policy.display()
    );
    for unreadable in [None, Some("{\"Statement\": "), Some("\u{0}"), Some("[]")] {
        if let Some(text) = unreadable {
            fs::write(&policy, text).unwrap();
        }
        let complaints = || scene.daemon.log().matches("policy.json").count();
        let before = complaints();
        scene.stage.settings(&format!("{BOTH}{with_policy}"));
        scene.daemon.signal(Signal::SIGHUP);
        wait_for("a complaint", || {
            if complaints() > before { Ok(()) } else { Err(scene.daemon.log()) }
        });
        scene.goes_on();
        let (message, _) = scene.stage.refused(&["config", "check"], Exit::Configuration);
        assert!(message.contains("policy.json"), "{message}");
    }
}

#[test]
fn who_never_reads_its_answers_disturbs_nobody() {
    let scene = Scene::with_web();
    let own = format!("Authorization: {}\r\n", scene.web_token());
    let request = get("/credentials/web", &own).replace("Connection: close\r\n", "");
    let deaf = (0..8).map(|_| {
        let mut stream = connect(scene.container);
        stream.set_nonblocking(true).unwrap();
        // Until no more of it is taken: the daemon waits for the answers to be read.
        while stream.write(request.as_bytes()).is_ok() {}
        stream
    });
    let deaf = deaf.collect::<Vec<_>>();
    scene.goes_on();
    drop(deaf);
    scene.goes_on();
}

#[test]
fn who_is_slow_holds_a_place_for_seconds_and_nobody_up() {
    let scene = Scene::with_web();
    // A head that never ends, and a body that never comes.
    let mut head = connect(scene.container);
    head.write_all(b"GET /credentials/web HTTP/1.1\r\nHost: 127").unwrap();
    let mut body = connect(scene.imds);
    let request = put_token("Content-Length: 1000000\r\n").replace("Connection: close\r\n", "");
    body.write_all(request.as_bytes()).unwrap();
    scene.goes_on();
    assert_eq!(answer(body).status, 400);
    let answer = answer(head);
    assert!([0, 408].contains(&answer.status), "{answer:?}");
}

#[test]
fn one_user_who_holds_many_connections_keeps_nobody_else_waiting() {
    let scene = Scene::with_web();
    let held = (0..200).map(|_| connect(scene.imds)).collect::<Vec<_>>();
    let mut last = held.last().unwrap();
    let mut said = String::new();
    last.read_to_string(&mut said).unwrap();
    assert!(said.starts_with("HTTP/1.1 429 "), "{said}");
    // The other endpoint has places of its own, and so has another user.
    scene.fetch(&scene.web_token()).is(200);
    if is_root() {
        assert_eq!(scene.metadata_of(NOBODY, &[], ROLES), (200, "web".to_owned()));
    }
    drop(held);
    wait_for("this user's turn again", || {
        let answer = ask(scene.imds, &put_token(""));
        if answer.status == 200 { Ok(()) } else { Err(format!("{answer:?}")) }
    });
    scene.goes_on();
}

#[test]
fn one_user_who_asks_too_often_takes_nobody_elses_turn() {
    // Nothing grows back while a test runs.
    let rate = Rate { per_second: 0, at_once: 5 };
    let runtime = runtime::Runtime::new().unwrap();
    let (listener, address) = runtime.block_on(endpoints::listen(endpoints::ANY_PORT)).unwrap();
    let answer = |_| async { container::answer(&NO_HEAD, &[], UtcDateTime::MIN) };
    runtime.spawn(endpoints::serve(listener, rate, answer, |_| container::turn_away()));
    let mut kept = connect(address);
    let request = get("/", "").replace("Connection: close\r\n", "");
    kept.write_all((request.repeat(7) + &get("/", "")).as_bytes()).unwrap();
    let mut said = String::new();
    kept.read_to_string(&mut said).unwrap();
    let statuses = |status: &str| said.matches(&format!("HTTP/1.1 {status} ")).count();
    assert_eq!((statuses("401"), statuses("429")), (5, 3), "{said}");
    let refused = ask(address, &get("/", "")).is(429);
    assert!(refused.starts_with("{\"Code\":\"TooManyRequests\","), "{refused}");
    if is_root() {
        let status = |uid: u32| {
            let mut curl = Command::new("setpriv");
            let uid = uid.to_string();
            curl.args(["--reuid", &uid, "--regid", &uid, "--clear-groups", "curl", "-s"]);
            curl.args(["-o", "/dev/null", "-w", "%{http_code}", &format!("http://{address}/")]);
            printed(curl.output().unwrap())
        };
        assert_eq!((status(NOBODY), status(0)), ("401".to_owned(), "429".to_owned()));
    }
}

/// A client that keeps its connections as long as it may.
#[test]
fn a_connection_is_closed_between_two_requests_and_says_so() {
    let limits = Limits {
        rate: Rate { per_second: 1_000_000, at_once: 1_000_000 },
        connection_time: Duration::from_millis(100),
    };
    let runtime = runtime::Runtime::new().unwrap();
    let (listener, address) = runtime.block_on(endpoints::listen(endpoints::ANY_PORT)).unwrap();
    let answer = |_| async { container::answer(&NO_HEAD, &[], UtcDateTime::MIN) };
    runtime.spawn(endpoints::serve(listener, limits, answer, |_| container::turn_away()));
    let request = get("/", "").replace("Connection: close\r\n", "");
    let mut kept = 0;
    for _ in 0..3 {
        let mut stream = BufReader::new(connect(address));
        loop {
            stream.get_mut().write_all(request.as_bytes()).unwrap();
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                assert_ne!(stream.read_line(&mut head).unwrap(), 0, "cut after {head}");
            }
            let head = head.to_ascii_lowercase();
            assert!(head.starts_with("http/1.1 401"), "{head}");
            let (_, length) = head.split_once("content-length: ").unwrap();
            let length = length.split("\r\n").next().unwrap().parse().unwrap();
            stream.read_exact(&mut vec![0; length]).unwrap();
            if head.contains("connection: close") {
                break;
            }
            kept += 1;
        }
        assert_eq!(stream.read(&mut [0]).unwrap(), 0, "it was the last answer");
    }
    assert!(kept > 0, "no connection was kept");
}

#[test]
fn who_leaves_before_the_answer_disturbs_nobody() {
    let scene = Scene::with_web();
    let own = format!("Authorization: {}\r\n", scene.web_token());
    for _ in 0..50 {
        drop(TcpStream::connect(scene.container).unwrap());
        let mut stream = TcpStream::connect(scene.imds).unwrap();
        stream.write_all(put_token("").as_bytes()).unwrap();
        drop(stream);
        let mut stream = TcpStream::connect(scene.container).unwrap();
        stream.write_all(get("/credentials/web", &own).as_bytes()).unwrap();
        stream.shutdown(Shutdown::Both).unwrap();
    }
    scene.goes_on();
}
