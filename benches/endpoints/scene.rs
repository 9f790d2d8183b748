//! A daemon with everything switched on.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nix::unistd::Pid;

use super::Outcome;
use super::clients::fetch;
use super::process::Process;
use super::program::Program;
use super::stage::Stage;
use rolekeeper::host::clock::pause;

/// The daemon, and where it answers.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) stage: Stage,
    pub(crate) program: Program,
    pub(crate) container: SocketAddr,
    pub(crate) imds: SocketAddr,
    consumers: usize,
}

/// Users who take part, none of whom anybody is.
pub(crate) const FIRST_USER: u32 = 61_000;
pub(crate) const USERS: u32 = 200;

/// The lab's machines have the first role, each consumer the second.
const ROLES: &str = r#"
[[role]]
name = "Figures"
trust_policy = '''{"Statement": {"Effect": "Allow", "Action": "sts:AssumeRole",
    "Principal": {"Service": "ssm.amazonaws.com"}}}'''
policy = '''{"Statement": {"Effect": "Allow", "Action": "sts:*", "Resource": "*"}}'''

[[role]]
name = "Consumer"
trust_policy = '''{"Statement": {"Effect": "Allow", "Action": "sts:*",
    "Principal": {"AWS": "arn:aws:iam::000000000000:role/Figures"}}}'''
"#;

/// Between two looks at whether everybody has a role.
const LOOK: Duration = Duration::from_millis(100);

/// So many.
const LOOKS: u32 = 300;

/// What a pipe holds unless somebody changes it (pipe(7)).
const PIPE: usize = 64 * 1024;

/// Where an instance's roles are listed.
const INSTANCE_ROLES: &str = "/latest/meta-data/iam/security-credentials/";

impl Scene {
    /// Waits until each consumer has its role.
    pub(crate) async fn set(binary: &Path, consumers: usize) -> Outcome<Self> {
        let stage = Stage::set(binary).await?;
        stage.define(ROLES)?;
        stage.write_settings(&settings(&stage, consumers))?;
        fs::create_dir(stage.path("tokens"))?;
        stage.register().await?;
        let program = stage.run_daemon().await?;
        let [container, imds] = [address(&stage, "container")?, address(&stage, "imds")?];
        let scene = Self { stage, program, container, imds, consumers };
        for _ in 0..LOOKS {
            if scene.stage.log()?.matches("role assumed").count() == consumers {
                return Ok(scene);
            }
            pause(LOOK).await;
        }
        Err(format!("not everybody has a role; the log:\n{}", scene.stage.log()?).into())
    }

    /// A request for a consumer's credentials.
    pub(crate) fn container_request(&self, consumer: usize) -> Outcome<String> {
        let name = name(consumer);
        let token = fs::read_to_string(self.stage.path("tokens").join(&name))?;
        Ok(format!(
            "GET /credentials/{name} HTTP/1.1\r\nHost: {}\r\nAccept: application/json\r\n\
             Authorization: {token}\r\n\r\n",
            self.container
        ))
    }

    pub(crate) fn instance_request(&self) -> Outcome<String> {
        instance_request(self.imds)
    }

    /// Each consumer has its credentials once from everywhere that there is.
    pub(crate) fn serve_each(&self) -> Outcome<()> {
        for consumer in 0..self.consumers {
            fetch(FIRST_USER, self.container, &self.container_request(consumer)?)?;
            let mut asking = self.stage.asking().into_std();
            asking.arg("--target").arg(name(consumer));
            run(asking)?;
        }
        fetch(FIRST_USER, self.imds, &self.instance_request()?)?;
        Ok(())
    }

    /// What a run of credential-process takes at the most, in KiB: it is looked at when all that is
    /// left to do is to print, which a full pipe keeps it from.
    pub(crate) fn peak_of_credential_process(&self) -> Outcome<u64> {
        let (reader, mut writer) = io::pipe()?;
        writer.write_all(&[0; PIPE])?;
        let mut child = self.stage.asking().into_std().stdout(writer).spawn()?;
        let process = Process(Pid::from_raw(child.id().try_into()?));
        let (mut peak, mut same) = (0, 0);
        while same < 5 {
            std::thread::park_timeout(LOOK);
            let now = process.peak_memory()?;
            same = if now == peak { same + 1 } else { 0 };
            peak = now;
        }
        drop(reader);
        child.wait()?;
        Ok(peak)
    }

    pub(crate) async fn strike(self) -> Outcome<()> {
        self.program.stop().await?;
        self.stage.strike().await;
        Ok(())
    }
}

/// A request for the credentials of the role that there is, in a session opened now.
pub(crate) fn instance_request(address: SocketAddr) -> Outcome<String> {
    let session = fetch(
        FIRST_USER,
        address,
        &format!(
            "PUT /latest/api/token HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 0\r\n\
             X-aws-ec2-metadata-token-ttl-seconds: 21600\r\n\r\n"
        ),
    )?;
    let get = |path: &str| {
        format!(
            "GET {path} HTTP/1.1\r\nHost: {HOST}\r\nX-aws-ec2-metadata-token: {session}\r\n\r\n"
        )
    };
    let role = fetch(FIRST_USER, address, &get(INSTANCE_ROLES))?;
    Ok(get(&format!("{INSTANCE_ROLES}{role}")))
}

/// As on an instance. moto tells its services apart by it.
const HOST: &str = "169.254.169.254";

fn settings(stage: &Stage, consumers: usize) -> String {
    let listen = "listen = \"127.0.0.1:0\"\n";
    let mut settings = format!("[endpoint.container]\n{listen}[endpoint.imds]\n{listen}");
    let users = (FIRST_USER..FIRST_USER + USERS).map(|user| format!("\"{user}\""));
    let users = users.collect::<Vec<_>>().join(", ");
    for consumer in 0..consumers {
        let name = name(consumer);
        let file = stage.path("tokens").join(&name);
        // The first one's role is the one of all users.
        let users = if consumer == 0 { users.as_str() } else { "\"root\"" };
        // Writing to a String cannot fail.
        let _ = write!(
            settings,
            "[[consumer]]\nname = \"{name}\"\nusers = [{users}]\n\
             role_arn = \"arn:aws:iam::000000000000:role/Consumer\"\n\
             session_name = \"{name}\"\ntoken_file = \"{}\"\n",
            file.display()
        );
    }
    settings
}

fn name(consumer: usize) -> String {
    format!("consumer-{consumer:02}")
}

/// Where the daemon said that it listens.
fn address(stage: &Stage, endpoint: &str) -> Outcome<SocketAddr> {
    let log = stage.log()?;
    let said = format!("listens endpoint=\"{endpoint}\" address=");
    let address = log.split(&said).nth(1).and_then(|rest| rest.split_whitespace().next());
    Ok(address.ok_or("the daemon did not say where it listens")?.parse()?)
}

fn run(mut command: std::process::Command) -> Outcome<()> {
    let status = command.stdout(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err("a consumer was not served".into()) }
}
