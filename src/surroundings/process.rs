//! Other processes of this machine: the daemon behind a socket, and the reference agent.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use serde::Deserialize;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use crate::pure::access::peer::process_status;
use crate::pure::diagnosis::agent::{Agent, is_agent};
use crate::pure::diagnosis::privileges::{Process, effective_capabilities, sees_others};

/// A listener on this machine answers at once, or not at all.
const PATIENCE: Duration = Duration::from_secs(1);

/// Where the reference agent keeps its things; the place cannot be changed.
pub const AGENT_DIRECTORY: &str = "/var/lib/amazon/ssm";

/// The process that listens at a unix socket, as far as this user may see it.
pub async fn behind(socket: &Path) -> Option<Process> {
    let stream = timeout(PATIENCE, UnixStream::connect(socket)).await.ok()?.ok()?;
    let peer = getsockopt(&stream, PeerCredentials).ok()?;
    let read = |name: &str| fs::read_to_string(format!("/proc/{}/{name}", peer.pid())).ok();
    let text = read("status")?;
    let status = process_status(&text)?;
    let mut groups = status.groups;
    groups.push(peer.gid());
    Some(Process {
        uid: status.uid,
        groups,
        capabilities: effective_capabilities(&text)?,
        sees_others: read("mountinfo").and_then(|text| sees_others(&text)),
    })
}

/// Whether somebody listens at an address.
///
/// # Errors
///
/// What the system said instead.
pub async fn listens(address: SocketAddr) -> io::Result<()> {
    let connected = timeout(PATIENCE, TcpStream::connect(address)).await;
    connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map(drop)
}

/// The reference agent's processes, and the registration in its directory.
pub fn reference_agent(directory: &Path) -> Agent {
    Agent { processes: processes(), instance: registration(&directory.join("registration")) }
}

fn processes() -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut found = numbers.filter(|pid| runs_agent(*pid)).collect::<Vec<u32>>();
    found.sort_unstable();
    found
}

fn runs_agent(pid: u32) -> bool {
    let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
    let called = read("cmdline");
    is_agent(read("comm").trim_end(), called.split('\0').next().unwrap_or_default())
}

fn registration(path: &Path) -> Result<Option<String>, String> {
    #[derive(Deserialize)]
    struct Registration {
        #[serde(rename = "ManagedInstanceID")]
        instance: String,
    }
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{}: {error}", path.display())),
        Ok(bytes) => match serde_json::from_slice::<Registration>(&bytes) {
            Ok(registration) => Ok(Some(registration.instance)),
            // Written in place by the agent, so it may be empty or torn.
            Err(_) => Ok(None),
        },
    }
}
