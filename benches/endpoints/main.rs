//! What the daemon's outlets bear and cost, measured on the release binary against the lab.
//!
//! ```text
//! cargo bench --profile dev --bench endpoints
//! cargo bench --profile dev --bench endpoints -- --peer 127.0.0.1:5000    another IMDS beside it
//! ```
//!
//! `--profile dev` is for this program, which only asks; what is asked is a release build, made first
//! unless `--binary` names another. The daemon has one core, the clients the other.
//!
//! It has 50 consumers, each with a role of its own and a token file, and both endpoints. Requests are
//! for credentials, in IMDS within a session that is there already; both endpoints keep a connection for
//! as long as the client does, 30 s at most; `one each` is a connection for each request, as botocore
//! makes them. A user may ask 1000 times a second, and 10 000 times at
//! once after a rest: each measurement begins with users who have rested, and keeps below that, so
//! that the daemon is measured and not its limit. Only root can be several users.

#[path = "../figures/build.rs"]
mod build;
mod clients;
#[path = "../figures/figure.rs"]
#[allow(dead_code, reason = "the other bench shows more kinds")]
mod figure;
#[path = "../figures/process.rs"]
#[allow(dead_code, reason = "the other bench looks at more of a process")]
mod process;
#[path = "../figures/program.rs"]
#[allow(dead_code, reason = "the other bench looks at starts, too")]
mod program;
mod scene;
#[path = "../figures/stage.rs"]
#[allow(dead_code, reason = "the other bench plays more on it")]
mod stage;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use clap::Parser;
use nix::unistd::geteuid;
use serde_json::json;

use clients::{CONNECTIONS_OF_A_USER, Load, Measured, ask, percentile};
use figure::{Figure, Unit, table};
use process::Process;
use scene::{FIRST_USER, Scene, USERS, instance_request};

/// Whatever went wrong, in words: there is nobody who would do one thing or another about it.
type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Measure the daemon's endpoints and credential-process
#[derive(Debug, Parser)]
#[command(
    name = "endpoints",
    bin_name = "cargo bench --profile dev --bench endpoints --",
    max_term_width = 100,
    after_help = "\
Examples:
  cargo bench --profile dev --bench endpoints
  cargo bench --profile dev --bench endpoints -- --requests 1000 --repeat 20
  moto_server -p 5000 & cargo bench --profile dev --bench endpoints -- --peer 127.0.0.1:5000"
)]
struct Arguments {
    /// The rolekeeper to measure, instead of the release build that is made first
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Requests of each measurement, for each user who takes part
    #[arg(long, value_name = "N", default_value_t = 8000, value_parser = clap::value_parser!(u32).range(64..=9000))]
    requests: u32,
    /// How often credential-process is run
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u16).range(1..))]
    repeat: u16,
    /// Another instance metadata service, asked in the same way
    #[arg(long, value_name = "ADDRESS")]
    peer: Option<SocketAddr>,
    /// Print one JSON object a line instead of tables
    #[arg(long)]
    json: bool,
    /// What cargo adds
    #[arg(long, hide = true)]
    bench: bool,
}

/// Connections at once.
const CONNECTIONS: [u32; 3] = [1, 8, 64];

/// Consumers, each with a role of its own.
const CONSUMERS: usize = 50;

/// How long an SDK may be kept waiting.
const LATENCY_BUDGET: f64 = 1.0;

/// Of a run of credential-process, in milliseconds.
const RUN_BUDGET: f64 = 5.0;

/// PSS of a daemon with everything switched on, in KiB.
const MEMORY_BUDGET: f64 = 12.0 * 1024.0;

/// One measurement under load.
struct Row {
    name: String,
    connections: u32,
    measured: Measured,
    /// The server's own, for one request.
    cpu: Option<Duration>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match measure(&arguments).await {
        Ok((rows, figures)) if arguments.json => {
            rows.iter().for_each(|row| println!("{}", row.json()));
            figures.iter().for_each(|figure| println!("{}", figure.json()));
            ExitCode::SUCCESS
        }
        Ok((rows, figures)) => {
            let head = ["requests a second", "p50 (us)", "p99 (us)", "CPU (us)"];
            println!("{}", line(["endpoint", "connections"], head.map(str::to_owned)));
            rows.iter().for_each(|row| println!("{}", row.line()));
            print!("\n{}", table(&figures));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("endpoints: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(arguments: &Arguments) -> Outcome<(Vec<Row>, Vec<Figure>)> {
    if !geteuid().is_root() {
        return Err("several users take part: run it as root".into());
    }
    let binary = match &arguments.binary {
        Some(binary) => binary.clone(),
        None => build::release("rolekeeper")?,
    };
    say("50 consumers get their roles");
    let scene = Scene::set(&binary, CONSUMERS).await?;
    let daemon = scene.program.process();
    on_cores(&daemon.0.to_string(), "0")?;
    on_cores(&std::process::id().to_string(), "1")?;

    let mut figures = Vec::new();
    say("each consumer is served");
    scene.serve_each()?;
    let memory = |name, field| match daemon.memory(field) {
        Ok(kib) => Figure::new(name, Unit::Kibibytes, kib as f64),
        Err(error) => Figure::unmeasured(name, Unit::Kibibytes, &error),
    };
    figures.push(memory("PSS, all outlets", "Pss").budget(MEMORY_BUDGET));
    figures.push(memory("of it anonymous", "Pss_Anon"));
    figures.extend(credential_process(&scene, arguments.repeat).await?);

    let mut users = (FIRST_USER..FIRST_USER + USERS).step_by(8);
    let mut rows = Vec::new();
    let mut load =
        |name: &str, server: Option<Process>, address, request: &str, connections, kept| {
            say(&format!("{name}, {connections} at once"));
            let asking = Load {
                address,
                request,
                connections,
                requests: arguments.requests * connections.div_ceil(CONNECTIONS_OF_A_USER),
                keep_alive: kept,
                first_user: users.next().ok_or("too few users for all of it")?,
            };
            let before = server.map(Process::usage).transpose()?;
            let measured = ask(asking)?;
            let used = server.map(Process::usage).transpose()?.zip(before);
            let cpu = used.map(|(after, before)| after.since(&before).cpu);
            let cpu = cpu.map(|cpu| cpu / u32::try_from(measured.times.len()).unwrap_or(u32::MAX));
            rows.push(Row { name: name.to_owned(), connections, measured, cpu });
            Outcome::Ok(())
        };
    for connections in CONNECTIONS {
        let request = scene.container_request(0)?;
        load("container", Some(daemon), scene.container, &request, connections, true)?;
    }
    for connections in CONNECTIONS {
        let request = scene.instance_request()?;
        load("IMDS", Some(daemon), scene.imds, &request, connections, true)?;
    }
    let request = scene.container_request(0)?;
    load("container", Some(daemon), scene.container, &request, 8, false)?;
    if let Some(peer) = arguments.peer {
        let request = instance_request(peer)?;
        for connections in CONNECTIONS {
            load("the peer's IMDS", None, peer, &request, connections, true)?;
        }
    }
    for row in rows.iter().filter(|row| row.cpu.is_some() && row.connections == 1) {
        let name = if row.name == "IMDS" { "IMDS p99" } else { "container p99" };
        let measured = millis(row.measured.percentile(99));
        figures.push(Figure::new(name, Unit::Milliseconds, measured).budget(LATENCY_BUDGET));
    }
    scene.strike().await?;
    Ok((rows, figures))
}

/// From the command's start to its end, the daemon's answer included; and what it takes meanwhile.
async fn credential_process(scene: &Scene, repeat: u16) -> Outcome<Vec<Figure>> {
    say("credential-process");
    let mut times = Vec::new();
    for _ in 0..repeat {
        times.push(scene.stage.credential_process().await?);
    }
    times.sort_unstable();
    let time = |name, percent| {
        let measured = millis(percentile(&times, percent));
        Figure::new(name, Unit::Milliseconds, measured).budget(RUN_BUDGET)
    };
    let peak = scene.peak_of_credential_process()?;
    Ok(vec![
        time("credential-process p50", 50),
        time("credential-process p99", 99),
        Figure::new("credential-process peak", Unit::Kibibytes, peak as f64),
    ])
}

impl Row {
    fn line(&self) -> String {
        let micros = |time: Duration| format!("{:.0}", time.as_secs_f64() * 1e6);
        let numbers = [
            format!("{:.0}", self.measured.per_second()),
            micros(self.measured.percentile(50)),
            micros(self.measured.percentile(99)),
            self.cpu.map_or("-".to_owned(), micros),
        ];
        let kept = if self.measured.kept { "" } else { ", one each" };
        line([&format!("{}{kept}", self.name), &self.connections.to_string()], numbers)
    }

    fn json(&self) -> String {
        json!({
            "endpoint": self.name,
            "connections": self.connections,
            "kept": self.measured.kept,
            "requests": self.measured.times.len(),
            "per_second": self.measured.per_second(),
            "p50_us": self.measured.percentile(50).as_secs_f64() * 1e6,
            "p99_us": self.measured.percentile(99).as_secs_f64() * 1e6,
            "cpu_us": self.cpu.map(|cpu| cpu.as_secs_f64() * 1e6),
        })
        .to_string()
    }
}

fn line([name, connections]: [&str; 2], [rate, p50, p99, cpu]: [String; 4]) -> String {
    format!("{name:<28}{connections:>12}{rate:>20}{p50:>12}{p99:>12}{cpu:>12}")
}

/// Puts a process, with all of its threads, on some cores. On a machine with one there is no choice.
fn on_cores(process: &str, cores: &str) -> Outcome<()> {
    let mut command = Command::new("taskset");
    command.args(["-a", "-c", "-p", cores, process]).stdout(Stdio::null());
    if command.status()?.success() { Ok(()) } else { Err("taskset failed".into()) }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Progress, beside the figures.
fn say(what: &str) {
    eprintln!("endpoints: {what}");
}
