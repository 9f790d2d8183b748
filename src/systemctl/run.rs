//! One run of a program: bounded in time and in what it says.

use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::net::unix::pipe::Receiver;
use tokio::process::{Child, Command};

use super::KEPT;
use crate::host::clock::timeout;

/// How a run ended, and what it said.
#[derive(Debug)]
pub(super) struct Run {
    pub ended: Ended,
    /// Its lines, on standard output and standard error, as they may be logged.
    pub output: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Itself(ExitStatus),
    /// It took too long.
    Killed,
}

/// What is kept of an output; the rest is read and forgotten, so that the program never waits.
#[derive(Debug, Default)]
struct Kept(Vec<u8>);

/// The program in a process group of its own, which ends when it does or when it takes too long.
/// Dropped, it is killed.
pub(super) async fn run<'a>(
    program: &Path,
    arguments: impl Iterator<Item = &'a &'a str>,
    limit: Duration,
) -> io::Result<Run> {
    let (mut said, mut child) = start(program, arguments)?;
    let group = child.id();
    let mut kept = Kept::default();
    let ended = timeout(limit, attend(&mut child, &mut said, &mut kept)).await;
    if let Some(group) = group.and_then(|id| i32::try_from(id).ok()) {
        // Nobody of it is left, as a rule.
        let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
    }
    let ended = match ended {
        Ok(status) => Ended::Itself(status?),
        Err(_) => Ended::Killed,
    };
    Ok(Run { ended, output: kept.lines() })
}

fn start<'a>(
    program: &Path,
    arguments: impl Iterator<Item = &'a &'a str>,
) -> io::Result<(Receiver, Child)> {
    let (reader, writer) = io::pipe()?;
    let mut command = Command::new(program);
    command.args(arguments).env_clear().current_dir("/").stdin(Stdio::null());
    command.stdout(writer.try_clone()?).stderr(writer).process_group(0).kill_on_drop(true);
    Ok((Receiver::from_owned_fd(reader.into())?, command.spawn()?))
}

/// Listens until the program itself has ended: what it started may hold the pipe open.
async fn attend(child: &mut Child, said: &mut Receiver, kept: &mut Kept) -> io::Result<ExitStatus> {
    let mut buffer = [0; 1024];
    let mut open = true;
    let status = loop {
        tokio::select! {
            status = child.wait() => break status?,
            ready = said.readable(), if open => {
                ready?;
                open = !matches!(kept.read(said, &mut buffer), Ok(0));
            }
        }
    };
    // What was said last. A descendant that goes on talking is not listened to for long.
    for _ in 0..KEPT {
        match kept.read(said, &mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
    }
    Ok(status)
}

impl Kept {
    /// Takes what there is, as far as there is room. Nothing is the end.
    fn read(&mut self, said: &Receiver, buffer: &mut [u8]) -> io::Result<usize> {
        let count = said.try_read(buffer)?;
        let room = KEPT - self.0.len();
        self.0.extend(buffer.iter().take(count.min(room)));
        Ok(count)
    }

    fn lines(&self) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.0);
        text.lines().map(str::trim_end).filter(|line| !line.is_empty()).map(printable).collect()
    }
}

/// Without anything that a terminal or a log would obey. Quotes stay: nothing is quoted by them here.
fn printable(line: &str) -> String {
    let mut printable = String::with_capacity(line.len());
    for character in line.chars() {
        match character {
            '"' | '\'' => printable.push(character),
            _ => printable.extend(character.escape_debug()),
        }
    }
    printable
}
