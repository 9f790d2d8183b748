//! Other processes of this machine: the daemon behind a socket, and the reference agent.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use serde::Deserialize;
use tokio::net::UnixStream;
use zeroize::Zeroizing;

use crate::host::clock::timeout;
use crate::host::environment;
use crate::pure::access::peer::process_status;
use crate::pure::diagnosis::agent::{Agent, is_agent};
use crate::pure::diagnosis::privileges::{Process, effective_capabilities, sees_others};

/// A process of this machine answers at once, or not at all.
const PATIENCE: Duration = Duration::from_secs(1);

/// Where the reference agent keeps its things; the place cannot be changed.
pub const AGENT_DIRECTORY: &str = "/var/lib/amazon/ssm";

/// A daemon's process, as far as this user may see it.
#[derive(Debug)]
pub struct Daemon {
    pub process: Process,
    /// Of the variables in question, those that it has otherwise than this process.
    pub differing: Option<Vec<&'static str>>,
}

/// The process that listens at a unix socket, compared by those `variables`.
pub async fn behind(socket: &Path, variables: &[&'static str]) -> Option<Daemon> {
    let stream = timeout(PATIENCE, UnixStream::connect(socket)).await.ok()?.ok()?;
    let peer = getsockopt(&stream, PeerCredentials).ok()?;
    let path = |name: &str| format!("/proc/{}/{name}", peer.pid());
    let read = |name: &str| fs::read_to_string(path(name)).ok();
    let text = read("status")?;
    let status = process_status(&text)?;
    let mut groups = status.groups;
    groups.push(peer.gid());
    let environment = fs::read(path("environ")).map(Zeroizing::new).ok();
    Some(Daemon {
        process: Process {
            uid: status.uid,
            groups,
            capabilities: effective_capabilities(&text)?,
            sees_others: read("mountinfo").and_then(|text| sees_others(&text)),
        },
        differing: environment.map(|environment| differing(&environment, variables)),
    })
}

/// Values are compared and go nowhere: a proxy's may hold a password.
fn differing(environment: &[u8], variables: &[&'static str]) -> Vec<&'static str> {
    let theirs = |name: &str| {
        let mut entries = environment.split(|byte| *byte == 0);
        let value =
            entries.find_map(|entry| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"="));
        value.filter(|value| !value.is_empty())
    };
    let differs =
        |name: &&str| theirs(name) != environment::variable(name).as_deref().map(str::as_bytes);
    variables.iter().copied().filter(differs).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_compared_by_whole_names_and_values() {
        // None of them is set where tests run.
        let names = ["ROLEKEEPER_TEST_A", "ROLEKEEPER_TEST_B", "ROLEKEEPER_TEST"];
        let environment = b"ROLEKEEPER_TEST_A=secret\0ROLEKEEPER_TEST_B=\0X=1\0";
        assert_eq!(differing(environment, &names), ["ROLEKEEPER_TEST_A"]);
        assert_eq!(differing(b"", &names), [""; 0]);
    }
}
