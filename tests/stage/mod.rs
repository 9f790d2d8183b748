//! A stage for the real program: a lab and directories of its own, and the `rolekeeper` binary as
//! it is typed. Whoever runs the tests plays; where root sees more, the test says so.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use rolekeeper::host::clock::{Clock, SystemClock};
use rolekeeper::host::entropy::SystemEntropy;
use rolekeeper::lab::authority::Authority;
use rolekeeper::lab::faults::Fault;
use rolekeeper::lab::operation::Operation;
use rolekeeper::lab::tls::Greeting;
use rolekeeper::lab::{Lab, LabSettings};
use rolekeeper::pure::advice::Exit;
use rolekeeper::pure::identity::InstanceId;
use serde_json::{Value, json};
use tempfile::TempDir;
use time::UtcDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::runtime::{self, Handle};
use tokio::sync::oneshot;

pub const REGION: &str = "eu-central-1";

/// A user that owns nothing here; on Debian the one of that name.
pub const NOBODY: u32 = 65534;

/// A guard against waiting for ever; no test depends on how long anything takes.
const GUARD: Duration = Duration::from_secs(60);

/// Between two looks at a condition.
const LOOK: Duration = Duration::from_millis(20);

/// A lab, and a place for a machine's files.
pub struct Stage {
    pub lab: Lab,
    lab_runtime: Handle,
    directory: TempDir,
    _curtain: oneshot::Sender<()>,
}

/// `rolekeeper run`, and what it logs. Dropped, it is killed.
pub struct Daemon {
    process: Child,
    log: Arc<Mutex<String>>,
}

/// What an administrator hands over.
pub struct Activation {
    pub id: String,
    pub code: String,
}

impl Stage {
    /// The lab listens, the directories are there, and nothing else.
    pub fn set() -> Self {
        Self::set_with(|_| Greeting::Plain)
    }

    /// The same, with TLS.
    pub fn set_over_tls() -> Self {
        Self::set_over_tls_since(SystemClock.now())
    }

    /// The same, with a certificate that was made then.
    pub fn set_over_tls_since(then: UtcDateTime) -> Self {
        Self::set_with(|directory| {
            let (address, now) = (Ipv4Addr::LOCALHOST.into(), SystemClock.now());
            let authority = Authority::open(&directory.join("tls"), address, now).unwrap();
            Greeting::tls(&authority, address, then).unwrap()
        })
    }

    fn set_with(greeting: impl FnOnce(&Path) -> Greeting) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let settings = LabSettings {
            region: REGION.parse().unwrap(),
            greeting: greeting(directory.path()),
            ..LabSettings::default()
        };
        let lab = runtime.block_on(Lab::start(settings)).unwrap();
        let lab_runtime = runtime.handle().clone();
        let (curtain, falls) = oneshot::channel::<()>();
        // Ends when the other half is dropped.
        thread::spawn(move || runtime.block_on(falls));
        // Another user may come as far as the runtime directory.
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
        let stage = Self { lab, lab_runtime, directory, _curtain: curtain };
        stage.settings("");
        stage
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn record(&self, name: &str) -> PathBuf {
        self.path("state/vault").join(name)
    }

    /// The default target's file.
    pub fn credentials(&self) -> PathBuf {
        self.path("run/credentials")
    }

    /// Writes the settings: the lab's endpoint, a short timeout, no health ping, and `more`.
    pub fn settings(&self, more: &str) {
        let url = self.lab.endpoint_url();
        let text = format!(
            "[service]\nendpoint_url = \"{url}\"\ntimeout = \"1s\"\n\
             [health]\nenabled = false\n{more}"
        );
        fs::write(self.path("rolekeeper.toml"), text).unwrap();
    }

    /// A `[[target]]` of the settings.
    pub fn target(&self, name: &str, path: &Path, more: &str) -> String {
        format!("[[target]]\nname = \"{name}\"\npath = \"{}\"\n{more}\n", path.display())
    }

    /// The binary with this stage's settings and directories, and an empty environment.
    pub fn command<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rolekeeper"));
        command.env_clear().arg("--config").arg(self.path("rolekeeper.toml"));
        command.arg("--state-dir").arg(self.path("state"));
        command.arg("--runtime-dir").arg(self.path("run"));
        command.args(arguments).stdin(Stdio::null());
        command
    }

    /// The same of a user that owns nothing, which only root can be for a while.
    pub fn command_of_nobody(&self, arguments: &[&str]) -> Command {
        self.command_of(NOBODY, NOBODY, arguments)
    }

    /// The same of any user. The directories of a build may be closed to others, so the binary comes
    /// along.
    pub fn command_of(&self, uid: u32, gid: u32, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.open_binary());
        let own = self.command(arguments);
        command.env_clear().args(own.get_args()).uid(uid).gid(gid).stdin(Stdio::null());
        command
    }

    /// The binary where every user finds it.
    pub fn open_binary(&self) -> PathBuf {
        let binary = self.path("rolekeeper");
        if !binary.exists() {
            // By a process of its own: what another thread starts meanwhile would inherit the file
            // that is being written, and keep it from being run.
            let copied =
                Command::new("cp").arg(env!("CARGO_BIN_EXE_rolekeeper")).arg(&binary).status();
            assert!(copied.unwrap().success());
        }
        binary
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What a command that must succeed prints.
    pub fn succeed(&self, arguments: &[&str]) -> String {
        printed(self.run(arguments))
    }

    /// A command that must fail, with this status, as [`refusal`] reads it.
    pub fn refused(&self, arguments: &[&str], exit: Exit) -> (String, String) {
        refusal(&self.run(arguments), exit)
    }

    /// An activation for one machine, made behind the lab's counter: its ledger shows nothing.
    pub fn activation(&self) -> Activation {
        let asked = serde_json::from_value(json!({"IamRole": "Rehearsal"})).unwrap();
        let now = self.lab.with_service(|service| service.clock.now(SystemClock.now()));
        let create = |activations: &mut rolekeeper::lab::activations::Activations| {
            activations.create(asked, &SystemEntropy, now).unwrap()
        };
        let made = self.lab.with_service(|service| create(&mut service.activations));
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        Activation { id: text("ActivationId"), code: text("ActivationCode") }
    }

    /// `register` with an activation.
    pub fn registration(&self, activation: &Activation) -> Command {
        let mut command = self.command(&["register", "--region", REGION]);
        command.args(["--activation-id", &activation.id, "--activation-code", &activation.code]);
        command
    }

    /// Registers this machine.
    pub fn register(&self) -> InstanceId {
        let output = self.registration(&self.activation()).output().unwrap();
        printed(output).trim_end().parse().unwrap()
    }

    pub fn start(&self) -> Daemon {
        Daemon::start(self.command(&["run"]))
    }

    /// Registers, starts the daemon and waits for its first credentials.
    pub fn start_registered(&self) -> (InstanceId, Daemon) {
        let id = self.register();
        let daemon = self.start();
        self.status_when("fresh credentials", |status| status["state"] == "fresh");
        (id, daemon)
    }

    /// What `status --json` says, whether or not a daemon answers.
    pub fn status(&self) -> Value {
        let output = self.run(&["status", "--json"]);
        serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
    }

    /// What `status` shows to a person, however the machine is.
    pub fn status_page(&self) -> String {
        String::from_utf8(self.run(&["status"]).stdout).unwrap()
    }

    /// The first status of a daemon that is as it should be.
    pub fn status_when(&self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        wait_for(what, || {
            let status = self.status();
            let answered = status["failure"]["class"] != "no-daemon";
            if answered && is(&status) { Ok(status) } else { Err(status.to_string()) }
        })
    }

    /// Something goes wrong at the service from now on.
    pub fn fault(&self, fault: Fault) {
        self.lab.with_service(|service| service.faults.add(fault)).unwrap();
    }

    /// All is well at the service again.
    pub fn clear_faults(&self) {
        self.lab.with_service(|service| service.faults.clear());
    }

    /// The service refuses connections until [`Stage::raise`].
    pub fn drop_service(&mut self) {
        self.lab_runtime.block_on(self.lab.stop_listening()).unwrap();
    }

    pub fn raise_service(&mut self) {
        let _entered = self.lab_runtime.enter();
        self.lab.resume_listening().unwrap();
    }

    /// How many requests for an operation have reached the service, whatever became of them.
    pub fn requests(&self, operation: Operation) -> usize {
        self.lab.with_service(|service| {
            service.ledger.entries().filter(|entry| entry.operation == Some(operation)).count()
        })
    }

    /// Makes the record that of a machine that has nothing in common with this one.
    pub fn pretend_other_hardware(&self) {
        let path = self.record("InstanceFingerprint");
        let mut record: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        // The reference agent keeps the map as a map.
        for (_, hash) in record["hardwareHash"].as_object_mut().unwrap() {
            *hash = "another machine".into();
        }
        fs::write(&path, record.to_string()).unwrap();
    }

    /// Every file of the vault but the lock, with its bytes.
    pub fn vault(&self) -> Vec<(String, Vec<u8>)> {
        let mut files = fs::read_dir(self.path("state/vault"))
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| {
                let name = entry.file_name().into_string().unwrap();
                (name, fs::read(entry.path()).unwrap())
            })
            .filter(|(name, _)| name != "lock")
            .collect::<Vec<_>>();
        files.sort();
        files
    }
}

impl Daemon {
    pub fn start(mut command: Command) -> Self {
        let mut process = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::<Mutex<String>>::default();
        let lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let written = Arc::clone(&log);
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                written.lock().unwrap().push_str(&(line + "\n"));
            }
        });
        Self { process, log }
    }

    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// The first line of the log that holds `text`.
    pub fn logged(&self, text: &str) -> String {
        wait_for(text, || {
            let log = self.log();
            log.lines().find(|line| line.contains(text)).map(str::to_owned).ok_or(log)
        })
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid().cast_signed()), signal).unwrap();
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Waits until it ends of itself.
    pub fn ended(&mut self) -> ExitStatus {
        wait_for("the end of the daemon", || {
            self.process.try_wait().unwrap().ok_or_else(|| "it runs".to_owned())
        })
    }

    /// Stops it as a service manager does.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.ended()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // One that has ended already has nothing left to kill.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Looks until there is what is waited for; what was seen instead goes into the panic.
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let deadline = SystemClock.since_boot() + GUARD;
    loop {
        match look() {
            Ok(found) => return found,
            Err(seen) if SystemClock.since_boot() > deadline => panic!("no {what}, but: {seen}"),
            Err(_) => thread::park_timeout(LOOK),
        }
    }
}

/// What a command printed that must have succeeded.
pub fn printed(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The two lines of an error: what failed, and what to try.
pub fn refusal(output: &Output, exit: Exit) -> (String, String) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(exit as i32), "{error}");
    two_lines(&error)
}

/// The only two lines of a text, without their beginnings.
pub fn two_lines(error: &str) -> (String, String) {
    let lines = error.lines().collect::<Vec<_>>();
    let [message, remedy] = lines[..] else { panic!("not two lines: {error}") };
    let message = message.strip_prefix("rolekeeper: ").unwrap_or_else(|| panic!("{error}"));
    let remedy = remedy.strip_prefix("try: ").unwrap_or_else(|| panic!("{error}"));
    assert!(!remedy.is_empty(), "{error}");
    (message.to_owned(), remedy.to_owned())
}

/// The value of a key in a credentials file.
pub fn value(credentials: &str, key: &str) -> String {
    let prefix = format!("{key} = ");
    let found = credentials.lines().find_map(|line| line.strip_prefix(&prefix));
    found.unwrap_or_else(|| panic!("no {key} in:\n{credentials}")).to_owned()
}

/// A time of `status --json`.
pub fn moment(value: &Value) -> UtcDateTime {
    UtcDateTime::parse(value.as_str().unwrap(), &Rfc3339).unwrap()
}

pub fn is_root() -> bool {
    geteuid().is_root()
}

pub fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

pub fn allow(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}
