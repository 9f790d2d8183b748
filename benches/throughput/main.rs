//! What the lab bears: role-token requests with every signature checked, in front of a fleet in
//! SQLite, and the memory that it takes.
//!
//! ```text
//! cargo bench --profile dev --bench throughput
//! ```
//!
//! The lab is a process of its own (a release build, made first unless `--binary` names another).
//! What its clients do is not on its account: their requests are signed before the clock starts and
//! replayed over connections that stay open, which the lab answers with a new token each time, as
//! the service does. Beside the rate by the clock, which suffers from whatever else the machine
//! does, stands the rate by the lab's own CPU time: the requests that a core does when it has
//! nothing else to do. `taskset` puts the lab on one core and the clients on the other.

#[path = "../figures/build.rs"]
mod build;
mod clients;
mod fleet;
#[path = "../figures/process.rs"]
#[allow(dead_code, reason = "the other bench looks at more of a process")]
mod process;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use clap::Parser;
use nix::unistd::Pid;
use rolekeeper::host::clock::{Clock, SystemClock};
use rolekeeper::pure::duration::parse_duration;

use fleet::Fleet;
use process::Process;

/// Whatever went wrong, in words: there is nobody who would do one thing or another about it.
type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Requests that a core must do in a second of its time, at least.
const RATE_BUDGET: f64 = 3000.0;

/// Resident memory with the whole fleet, at most, in MB.
const MEMORY_BUDGET: f64 = 300.0;

/// Measure the lab under role-token requests, beside its budgets
#[derive(Debug, Parser)]
#[command(
    name = "throughput",
    bin_name = "cargo bench --profile dev --bench throughput --",
    after_help = "\
Examples:
  cargo bench --profile dev --bench throughput
  cargo bench --profile dev --bench throughput -- --nodes 1000 --for 3s"
)]
struct Arguments {
    /// The rolekeeper-lab to measure, instead of the release build that is made first
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Nodes in the lab's file
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    nodes: u32,
    /// How long each measurement takes
    #[arg(long = "for", value_name = "DURATION", default_value = "20s", value_parser = parse_duration)]
    lasting: Duration,
    /// Connections that ask at once
    #[arg(long, value_name = "N", default_value_t = 16)]
    connections: usize,
    /// What cargo adds
    #[arg(long, hide = true)]
    bench: bool,
}

/// A lab that runs; dropped, it is killed.
struct Lab {
    process: Child,
    address: String,
}

fn main() -> ExitCode {
    match measure(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("throughput: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: &Arguments) -> Outcome<()> {
    let binary = match &arguments.binary {
        Some(binary) => binary.clone(),
        None => build::release("rolekeeper-lab")?,
    };
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("lab.db");
    eprintln!("throughput: {} nodes into {}", arguments.nodes, file.display());
    let fleet = Fleet::settle(&file, arguments.nodes)?;
    println!("{:<26}{:>14}{:>14}{:>12}", "role tokens", "per second", "per CPU s", "budget");
    for (name, cores) in [("lab on one core", "0"), ("lab on both", "0,1")] {
        let lab = Lab::start(&binary, &file, cores)?;
        // With the lab on both, the clients have to share; their work is on nobody's account.
        on_cores(std::process::id(), if cores == "0" { "1" } else { "0,1" })?;
        // A first second for caches and connections.
        clients::ask(&lab.address, &fleet, arguments.connections, Duration::from_secs(1))?;
        let process = Process(Pid::from_raw(lab.process.id().cast_signed()));
        let (before, began) = (process.usage()?, SystemClock.since_boot());
        let answered =
            clients::ask(&lab.address, &fleet, arguments.connections, arguments.lasting)?;
        let elapsed = SystemClock.since_boot() - began;
        let used = process.usage()?.since(&before).cpu;
        let per_cpu = f64::from(answered) / used.as_secs_f64();
        println!(
            "{name:<26}{:>14.0}{per_cpu:>14.0}{RATE_BUDGET:>12.0}  {}",
            f64::from(answered) / elapsed.as_secs_f64(),
            if per_cpu >= RATE_BUDGET { "ok" } else { "UNDER" },
        );
        let memory = process.memory("Rss")? as f64 * 1024.0 / 1e6;
        println!(
            "{:<26}{memory:>14.0}{:>14}{MEMORY_BUDGET:>12.0}  {}",
            "  resident memory, MB",
            "",
            if memory <= MEMORY_BUDGET { "ok" } else { "OVER" },
        );
    }
    Ok(())
}

impl Lab {
    fn start(binary: &Path, data: &Path, cores: &str) -> Outcome<Self> {
        let mut process = Command::new("taskset")
            .args(["-c", cores])
            .arg(binary)
            .args(["serve", "--listen", "127.0.0.1:0", "--region", fleet::REGION, "--data"])
            .arg(data)
            .stdout(Stdio::piped())
            .spawn()?;
        let output = process.stdout.take().ok_or("no output to read")?;
        let mut lines = BufReader::new(output).lines();
        let line = lines.next().ok_or("the lab did not start")??;
        let address = line.split("http://").nth(1).and_then(|rest| rest.split(' ').next());
        let address = address.ok_or("the lab did not say where it listens")?.to_owned();
        // What follows is not read; the lab must be able to write it all the same.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(Self { process, address })
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Puts a process, with all of its threads, on some cores.
fn on_cores(process: u32, cores: &str) -> Outcome<()> {
    let mut command = Command::new("taskset");
    command.args(["-a", "-c", "-p", cores, &process.to_string()]).stdout(Stdio::null());
    if command.status()?.success() { Ok(()) } else { Err("taskset failed".into()) }
}
