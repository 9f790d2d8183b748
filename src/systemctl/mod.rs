//! Tells a service, by systemd's `systemctl`, that there are new credentials: the effect that
//! `pure::reload` decides on.
//!
//! The program is run by its absolute path, with arguments that were parsed when the settings were
//! read, without a shell, a terminal or an environment. It has [`LIMIT`], and [`KEPT`] bytes of what it
//! prints are kept. It asks systemd over D-Bus, and polkit says whether the daemon's user may.
//!
//! Nobody waits in a run of it for a service that takes its time: the run ends when systemd has the job,
//! which is looked at from then on until it has ended.

mod error;
mod job;
mod run;
mod show;

pub use error::{SystemctlError, Trouble};
pub use job::Job;
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

/// How long a run may take. `systemctl` itself gives D-Bus 25 s for an answer, and polkit may have to be
/// started first.
pub const LIMIT: Duration = Duration::from_secs(120);

/// How much of the output is kept.
pub const KEPT: usize = 4 * 1024;

/// The program.
#[derive(Debug, Clone)]
pub struct Systemctl {
    /// One of [`PLACES`] when absent.
    program: Option<PathBuf>,
    limit: Duration,
}

/// How far a service has been told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// systemd has a job for it: [`Systemctl::follow`] says what becomes of that.
    Accepted(Job),
    Done(Told),
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// systemd took the job, and does not say what became of it.
    Asked,
    Reloaded,
    Signalled,
    /// It will read the file when it starts.
    NotRunning,
}

impl Systemctl {
    pub fn new(program: Option<PathBuf>) -> Self {
        Self { program, limit: LIMIT }
    }

    /// Has the service reloaded, or restarted where it cannot reload, if it runs; or sends the signal to
    /// its main process.
    ///
    /// # Errors
    ///
    /// What kept the service from hearing of it, with what was printed.
    pub async fn tell(&self, reload: &Reload) -> Result<Step, SystemctlError> {
        let Reload { unit, signal, .. } = reload;
        let told = match signal {
            None => self.reload(unit).await.map(Step::Accepted),
            Some(signal) => self.signal(unit, signal).await.map(Step::Done),
        };
        told.map_err(|(trouble, output)| {
            let (unit, signal) = (unit.clone(), signal.clone());
            SystemctlError { unit, signal, trouble, output }
        })
    }

    async fn reload(&self, unit: &ServiceName) -> Result<Job, Failed> {
        let before = self.look(unit).await;
        let asked = ["try-reload-or-restart", "--no-block", "--", unit.as_str()];
        match self.ask(&asked).await {
            Ok(answer) if answer.status.success() => Ok(Job::of(before)),
            Ok(answer) => Err(Trouble::of(answer)),
            Err((trouble @ Trouble::Unanswered(_), output)) => match self.look(unit).await {
                // What was asked for, as far as anybody can tell: asked again, it would come twice.
                Some(unit) if unit.has_job => Ok(Job::of(before)),
                _ => Err((trouble, output)),
            },
            Err(failed) => Err(failed),
        }
    }

    async fn signal(&self, unit: &ServiceName, signal: &SignalName) -> Result<Told, Failed> {
        let signal = format!("--signal={signal}");
        let answer = self.ask(&["kill", "--kill-whom=main", &signal, "--", unit.as_str()]).await?;
        if answer.status.success() {
            return Ok(Told::Signalled);
        }
        match Trouble::of(answer) {
            // For want of a process, or of a unit: its words are the same.
            (Trouble::Failed(status), output) => match self.look(unit).await {
                Some(unit) if !unit.is_known => Err((Trouble::UnknownUnit, output)),
                Some(unit) if unit.rests() => Ok(Told::NotRunning),
                _ => Err((Trouble::Failed(status), output)),
            },
            failed => Err(failed),
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

fn missing() -> Failed {
    (Trouble::Missing, Vec::new())
}

#[cfg(test)]
mod tests;
