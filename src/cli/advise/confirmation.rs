//! Whether the outlet that a program comes to would serve it: the daemon is asked, which hands nothing
//! out for it.

use std::path::{Path, PathBuf};

use super::super::RUNTIME_DIRECTORY;
use super::outlets::Outlets;
use crate::control::Complaint;
use crate::programs::Program;
use crate::pure::advice::Exit;
use crate::pure::chain::{Address, Judgement, Process, Served, Walk, served, shown};
use crate::vending::{self, DryRun, Subject, VendingError, Via, WouldGet};

/// A judgement, and what keeps the daemon from serving the program.
#[derive(Debug, Clone)]
pub(super) struct Confirmed {
    pub judgement: Judgement,
    pub complaint: Option<Complaint>,
    /// What the program would get.
    pub gets: Option<WouldGet>,
}

/// "Renewed" stays only where the daemon says so, too.
pub(super) fn confirm(
    judgement: Judgement,
    walk: &Walk,
    program: &Program,
    outlets: &Outlets,
) -> Confirmed {
    let unchanged = |judgement| Confirmed { judgement, complaint: None, gets: None };
    let Some(served) = served(walk, &outlets.installation).filter(|_| judgement.is_renewed())
    else {
        return unchanged(judgement);
    };
    let outcome = match served {
        Served::File(outlet) => {
            let via = Via::File { target: outlet.name.clone() };
            ask(&outlets.runtime_dir, via, program, None)
        }
        Served::Process(process) => match by_process(process, program, outlets) {
            Ok(outcome) => outcome,
            Err(unserved) => return *unserved,
        },
        Served::Metadata => ask(&outlets.runtime_dir, Via::Metadata, program, None),
        Served::Container(address) => match by_token(address, walk, program, outlets) {
            Ok(outcome) => outcome,
            Err(why) => return unchanged(Judgement::NotRenewed(why)),
        },
    };
    match outcome {
        Ok(gets) if gets.token_replaced => unchanged(Judgement::NotRenewed(
            "the token that it shows has been replaced, and is honoured for an hour at most"
                .to_owned(),
        )),
        Ok(gets) => Confirmed { judgement, complaint: None, gets: Some(gets) },
        Err(error) => {
            let why = error.to_string();
            let refused = matches!(&error, VendingError::Refused(complaint)
                if Exit::from_code(complaint.exit) != Exit::TryAgain
                    && Exit::from_code(complaint.exit) != Exit::Unavailable);
            let judgement = if refused { Judgement::Refused(why) } else { Judgement::Untold(why) };
            Confirmed { judgement, complaint: Some(Complaint::of(&error)), gets: None }
        }
    }
}

/// What a program of this kind would get by `rolekeeper credential-process`, or by its consumer's token.
pub(super) fn ask(
    runtime_dir: &Path,
    via: Via,
    program: &Program,
    executable: Option<PathBuf>,
) -> Result<WouldGet, VendingError> {
    let subject = Subject {
        uid: program.reader.uid,
        groups: program.reader.groups.clone(),
        pid: program.pid,
        unit: program.unit.clone(),
        executable,
    };
    vending::try_out(runtime_dir, DryRun { via, program: subject.bounded() })
}

/// Whether the daemon refuses because what it would hand out is disabled by a mistake in its settings.
pub(super) fn is_disabled(complaint: &Complaint) -> bool {
    Exit::from_code(complaint.exit) == Exit::Configuration
}

fn by_process(
    process: &Process,
    program: &Program,
    outlets: &Outlets,
) -> Result<Result<WouldGet, VendingError>, Box<Confirmed>> {
    let Some(executable) = program.finds(&process.program) else {
        let why = format!("it cannot run {}", shown(&process.program));
        let remedy = "name a rolekeeper that the program sees and may run";
        return Ok(Err(VendingError::Refused(Complaint::new(Exit::Refused, why, remedy))));
    };
    let via = Via::Process { target: process.target.clone() };
    let daemon = daemon_of(process, program, outlets)?;
    Ok(ask(&daemon, via, program, Some(executable)))
}

/// The runtime directory, as we see it, of the daemon whose sockets the process finds where it looks.
fn daemon_of(
    process: &Process,
    program: &Program,
    outlets: &Outlets,
) -> Result<PathBuf, Box<Confirmed>> {
    let named = program.environment.text("RUNTIME_DIRECTORY").and_then(|it| it.split(':').next());
    let mut looks = match (&process.runtime_dir, named) {
        (Some(own), _) => vec![own.as_str()],
        (None, Some(named)) => vec![named, RUNTIME_DIRECTORY],
        (None, None) => vec![RUNTIME_DIRECTORY],
    };
    looks.dedup();
    let looks = looks.into_iter().map(|directory| program.absolute(Path::new(directory)));
    let looks = looks.collect::<Vec<_>>();
    let sees = |theirs: &Path, ours: &Path| {
        let sockets = vending::socket_paths(theirs).into_iter().zip(vending::socket_paths(ours));
        let same = sockets.map(|(theirs, ours)| program.sees_same(&theirs, &ours));
        same.collect::<Option<Vec<_>>>().map(|same| same.into_iter().all(|same| same))
    };
    let mut is_seen = true;
    for theirs in &looks {
        for ours in [&outlets.runtime_dir, theirs] {
            match sees(theirs, ours) {
                Some(true) => return Ok(ours.clone()),
                Some(false) => {}
                None => is_seen = false,
            }
        }
    }
    let runs = vending::socket_paths(&outlets.runtime_dir).iter().all(|socket| socket.exists());
    let last = looks.into_iter().next_back().unwrap_or_else(|| outlets.runtime_dir.clone());
    if !program.apart {
        // It looks where we do, and whoever is there answers.
        return Ok(last);
    }
    if !runs {
        return Ok(outlets.runtime_dir.clone());
    }
    let place = shown(&last.to_string_lossy());
    let judgement = if is_seen {
        Judgement::NotRenewed(format!(
            "from where the program is, the daemon's sockets are not in {place}"
        ))
    } else {
        Judgement::Untold(format!(
            "whether the program sees the daemon's sockets in {place} cannot be seen"
        ))
    };
    let why = judgement.reason().to_owned();
    let remedy = format!(
        "mount {} there as {place}, read-only: the directory, not a socket by itself",
        shown(&outlets.runtime_dir.to_string_lossy())
    );
    let complaint = Some(Complaint::new(Exit::Configuration, why, remedy));
    Err(Box::new(Confirmed { judgement, complaint, gets: None }))
}

/// A token that is not read again is not renewed, however good it is now: that is the error.
fn by_token(
    address: &Address,
    walk: &Walk,
    program: &Program,
    outlets: &Outlets,
) -> Result<Result<WouldGet, VendingError>, String> {
    let token = program.container_token(walk.sdk);
    let token_sha256 = token.as_ref().map(|(token, _)| token.digest());
    let via = Via::Container { path: address.path.clone(), token_sha256 };
    let outcome = ask(&outlets.runtime_dir, via, program, None);
    let Ok(gets) = &outcome else { return Ok(outcome) };
    match token {
        Some((_, None)) => {
            Err("its environment holds the endpoint's token itself, which is replaced \
                                every day: name the token's file instead"
                .to_owned())
        }
        Some((_, Some(file))) if !outlets.renews_token(&gets.name, &file, program) => Err(format!(
            "{} is a copy of the consumer's token file, which is replaced every day",
            shown(&file.to_string_lossy())
        )),
        _ => Ok(outcome),
    }
}
