//! The figures that Rolekeeper is judged by, measured on the release binary against the lab.
//!
//! ```text
//! cargo bench --profile dev --bench figures                            about 7 minutes
//! cargo bench --profile dev --bench figures -- --window 30s --settle 5s    a first look
//! ```
//!
//! `--profile dev` is for this program, which only watches: it spares a second build of everything
//! with link-time optimisation. The program that is watched is always a release build, made first
//! by `cargo build --release --bin rolekeeper` unless `--binary` names another.
//!
//! It runs the daemon as its unit does, with somebody who listens to its notifications and a
//! watchdog, on credentials of one hour: an idle window holds the minute's turn and the health ping
//! and nothing else. Memory figures need root, because the daemon hides its memory from its own
//! user. Nothing here is a test: the machine's other work moves the times, and `--check` is for a
//! machine that has none.

mod build;
mod figure;
mod process;
mod program;
#[allow(dead_code, reason = "the other bench sets more on it")]
mod stage;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use rolekeeper::host::clock::pause;
use rolekeeper::pure::duration::{MalformedDuration, parse_duration};

use figure::{Figure, Unit, table};
use program::Program;
use stage::Stage;

/// Whatever went wrong, in words: there is nobody who would do one thing or another about it.
type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Measure the release binary of rolekeeper against the lab, beside its budgets
///
/// Exit status 0 when everything was measured, whatever the figures are; see --check.
#[derive(Debug, Parser)]
#[command(
    name = "figures",
    bin_name = "cargo bench --profile dev --bench figures --",
    max_term_width = 100,
    after_help = "\
Examples:
  cargo bench --profile dev --bench figures
  cargo bench --profile dev --bench figures -- --window 30s --settle 5s
  cargo bench --profile dev --bench figures -- --json --binary /usr/bin/rolekeeper"
)]
struct Arguments {
    /// The rolekeeper to measure, instead of the release build that is made first
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// How long the idle daemon is watched; its figures are shown for 300 s
    #[arg(long, value_name = "DURATION", default_value = "300s", value_parser = duration)]
    window: Duration,
    /// How long the daemon runs before that
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    settle: Duration,
    /// How often what is over soon is repeated; the median counts
    #[arg(long, value_name = "N", default_value = "15", value_parser = clap::value_parser!(u8).range(1..))]
    repeat: u8,
    /// Print one JSON object a line instead of the table
    #[arg(long)]
    json: bool,
    /// Fail when a figure is over its budget or was not measured
    #[arg(long)]
    check: bool,
    /// What cargo adds
    #[arg(long, hide = true)]
    bench: bool,
}

/// The window of the budgets and of the reference agent's figures.
const BUDGET_WINDOW: Duration = Duration::from_secs(300);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match measure(&arguments).await {
        Ok(figures) => {
            if arguments.json {
                figures.iter().for_each(|figure| println!("{}", figure.json()));
            } else {
                print!("{}", table(&figures));
            }
            let met = figures.iter().all(|figure| figure.is_met() != Some(false));
            if met || !arguments.check { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("figures: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(arguments: &Arguments) -> Outcome<Vec<Figure>> {
    let binary = match &arguments.binary {
        Some(binary) => binary.clone(),
        None => build::release("rolekeeper")?,
    };
    let size = std::fs::metadata(&binary)?.len() as f64;
    let mut figures =
        vec![Figure::new("binary", Unit::Bytes, size).budget(9e6).reference(42_824_322.0)];

    let stage = Stage::set(&binary).await?;
    say("registrations");
    figures.push(registration(&stage, arguments.repeat).await?);
    say("starts and stops");
    figures.extend(starts_and_stops(&stage, arguments.repeat).await?);

    say(&format!("settling for {} s", arguments.settle.as_secs()));
    let program = stage.run_daemon().await?;
    pause(arguments.settle).await;
    figures.extend(steady_state(&program)?);
    say(&format!("watching it idle for {} s", arguments.window.as_secs()));
    figures.extend(idle(&program, arguments.window).await?);
    say("refreshes");
    figures.extend(refresh(&stage, &program, arguments.repeat).await?);
    say("credential-process");
    figures.push(credential_process(&stage, arguments.repeat).await?);
    program.stop().await?;
    stage.strike().await;
    Ok(figures)
}

/// From the command's start to its end; making the key is most of it, and a matter of luck.
async fn registration(stage: &Stage, repeat: u8) -> Outcome<Figure> {
    let mut times = Vec::new();
    for _ in 0..repeat {
        times.push(stage.register().await?);
    }
    Ok(Figure::new("registration", Unit::Milliseconds, median_millis(times)).reference(230.0))
}

/// From the start of the process to the credentials file in its place; from SIGTERM to its end.
async fn starts_and_stops(stage: &Stage, repeat: u8) -> Outcome<[Figure; 2]> {
    let (mut starts, mut stops) = (Vec::new(), Vec::new());
    for _ in 0..repeat {
        let program = stage.run_daemon().await?;
        starts.push(program.start_to_credentials);
        stops.push(program.stop().await?);
    }
    Ok([
        Figure::new("start to credentials file", Unit::Milliseconds, median_millis(starts))
            .budget(61.0)
            .reference(61.0),
        Figure::new("stop on SIGTERM", Unit::Milliseconds, median_millis(stops))
            .budget(200.0)
            .reference(7000.0),
    ])
}

fn steady_state(program: &Program) -> Outcome<Vec<Figure>> {
    let process = program.process();
    let count = |name, count: usize| Figure::new(name, Unit::Count, count as f64);
    let memory = |name, field| match process.memory(field) {
        Ok(kib) => Figure::new(name, Unit::Kibibytes, kib as f64),
        Err(error) => Figure::unmeasured(name, Unit::Kibibytes, &error),
    };
    Ok(vec![
        count("processes", 1 + process.children()?).budget(1.0).reference(2.0),
        count("threads", process.threads()?).reference(18.0),
        memory("RSS", "Rss").reference(48_852.0),
        memory("PSS", "Pss").budget(10.0 * 1024.0).reference(46_234.0),
        memory("private dirty", "Private_Dirty").budget(2.5 * 1024.0).reference(19_728.0),
    ])
}

async fn idle(program: &Program, window: Duration) -> Outcome<[Figure; 2]> {
    let process = program.process();
    let before = process.usage()?;
    pause(window).await;
    let used = process.usage()?.since(&before);
    let scale = BUDGET_WINDOW.as_secs_f64() / window.as_secs_f64();
    Ok([
        Figure::new("idle 300 s: CPU", Unit::Milliseconds, millis(used.cpu) * scale)
            .budget(5.0)
            .reference(95.0),
        Figure::new("idle 300 s: switches", Unit::Count, used.voluntary_switches as f64 * scale)
            .budget(60.0)
            .reference(1771.0),
    ])
}

/// On the operator's order: the answer on the control socket is in it.
async fn refresh(stage: &Stage, program: &Program, repeat: u8) -> Outcome<[Figure; 2]> {
    let process = program.process();
    let (mut times, mut switches) = (Vec::new(), Vec::new());
    for _ in 0..repeat {
        let before = process.usage()?;
        stage.refresh().await?;
        let used = process.usage()?.since(&before);
        times.push(used.cpu);
        switches.push(used.voluntary_switches);
    }
    let switches = median(switches) as f64;
    Ok([
        Figure::new("one refresh: CPU", Unit::Milliseconds, median_millis(times)).reference(3.2),
        Figure::new("one refresh: switches", Unit::Count, switches).reference(45.0),
    ])
}

/// From the command's start to its end, the daemon's answer included.
async fn credential_process(stage: &Stage, repeat: u8) -> Outcome<Figure> {
    let mut times = Vec::new();
    for _ in 0..repeat {
        times.push(stage.credential_process().await?);
    }
    Ok(Figure::new("credential-process", Unit::Milliseconds, median_millis(times)).budget(5.0))
}

fn median<T: Ord + Copy>(mut values: Vec<T>) -> T {
    values.sort();
    values[values.len() / 2]
}

fn median_millis(times: Vec<Duration>) -> f64 {
    millis(median(times))
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Progress, beside the figures.
fn say(what: &str) {
    eprintln!("figures: {what}");
}

fn duration(text: &str) -> Result<Duration, String> {
    match parse_duration(text).map_err(|error: MalformedDuration| error.to_string())? {
        Duration::ZERO => Err("more than nothing".to_owned()),
        duration => Ok(duration),
    }
}
