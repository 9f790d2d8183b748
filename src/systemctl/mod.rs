//! Tells a service, by systemd's `systemctl`, that there are new credentials: the effect that
//! `pure::reload` decides on.
//!
//! The program is run by its absolute path, with arguments that were parsed when the settings were
//! read, without a shell, a terminal or an environment. It has [`LIMIT`], and [`KEPT`] bytes of what it
//! prints are kept. It asks systemd over D-Bus, and polkit says whether the daemon's user may.

mod error;
mod run;
mod show;

pub use error::{SystemctlError, Trouble};
pub use show::{ShowError, show};

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use crate::pure::reload::Reload;
use crate::pure::unit::{ServiceName, SignalName};

use run::Ended;

/// Where the program is looked for: Debian, Red Hat and their kin; older systems; NixOS.
const PLACES: [&str; 3] =
    ["/usr/bin/systemctl", "/bin/systemctl", "/run/current-system/sw/bin/systemctl"];

/// How long a run may take. A reload is waited for, so that its failure is seen.
pub const LIMIT: Duration = Duration::from_secs(30);

/// How much of the output is kept.
pub const KEPT: usize = 4 * 1024;

/// The program.
#[derive(Debug, Clone)]
pub struct Systemctl {
    /// One of [`PLACES`] when absent.
    program: Option<PathBuf>,
    limit: Duration,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    Reloaded,
    Signalled,
    /// It will read the file when it starts.
    NotRunning,
}

impl Systemctl {
    pub fn new(program: Option<PathBuf>) -> Self {
        Self { program, limit: LIMIT }
    }

    /// Reloads the service, or restarts it where it cannot reload, if it runs; or sends the signal to
    /// its main process.
    ///
    /// # Errors
    ///
    /// What kept the service from hearing of it, with what was printed.
    pub async fn tell(&self, reload: &Reload) -> Result<Told, SystemctlError> {
        let Reload { unit, signal, .. } = reload;
        let told = match signal {
            None => self.reload(unit).await,
            Some(signal) => self.signal(unit, signal).await,
        };
        told.map_err(|(trouble, output)| {
            let (unit, signal) = (unit.clone(), signal.clone());
            SystemctlError { unit, signal, trouble, output }
        })
    }

    async fn reload(&self, unit: &ServiceName) -> Result<Told, Failed> {
        let answer = self.ask(&["try-reload-or-restart", "--", unit.as_str()]).await?;
        if answer.status.success() { Ok(Told::Reloaded) } else { Err(Trouble::of(answer)) }
    }

    async fn signal(&self, unit: &ServiceName, signal: &SignalName) -> Result<Told, Failed> {
        let signal = format!("--signal={signal}");
        let answer = self.ask(&["kill", "--kill-whom=main", &signal, "--", unit.as_str()]).await?;
        if answer.status.success() {
            return Ok(Told::Signalled);
        }
        match Trouble::of(answer) {
            // For want of a process, or of a unit: its words are the same.
            (Trouble::Failed(status), output) => match self.state(unit).await {
                State::Resting => Ok(Told::NotRunning),
                State::Unknown => Err((Trouble::UnknownUnit, output)),
                State::Other => Err((Trouble::Failed(status), output)),
            },
            failed => Err(failed),
        }
    }

    /// What systemd says of a unit that took no signal.
    async fn state(&self, unit: &ServiceName) -> State {
        let asked = ["show", "--property=LoadState", "--property=ActiveState", "--", unit.as_str()];
        let Ok(answer) = self.ask(&asked).await else { return State::Other };
        let says = |line: &str| answer.output.iter().any(|said| said == line);
        if says("LoadState=not-found") {
            State::Unknown
        } else if says("ActiveState=inactive") || says("ActiveState=failed") {
            State::Resting
        } else {
            State::Other
        }
    }

    async fn ask(&self, arguments: &[&str]) -> Result<Answer, Failed> {
        let program = match &self.program {
            Some(program) => program,
            None => {
                PLACES.iter().map(Path::new).find(|place| place.exists()).ok_or_else(missing)?
            }
        };
        // Nobody sits here who could be asked for a password.
        let arguments = ["--no-ask-password", "--no-pager"].iter().chain(arguments);
        let run = run::run(program, arguments, self.limit).await;
        let run = run.map_err(|source| {
            (Trouble::NotRun { program: program.to_owned(), source }, Vec::new())
        })?;
        match run.ended {
            Ended::Itself(status) => Ok(Answer { status, output: run.output }),
            Ended::Killed => Err((Trouble::Unanswered(self.limit), run.output)),
        }
    }
}

/// Of a run that ended by itself.
struct Answer {
    status: ExitStatus,
    output: Vec<String>,
}

type Failed = (Trouble, Vec<String>);

enum State {
    /// There is such a unit, and no process of it.
    Resting,
    /// There is none.
    Unknown,
    Other,
}

fn missing() -> Failed {
    (Trouble::Missing, Vec::new())
}

#[cfg(test)]
mod tests;
