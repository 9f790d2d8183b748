//! Whether the outlet that a program comes to would serve it: the daemon is asked, which hands nothing
//! out for it.

use std::path::{Path, PathBuf};

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
        Served::Process(process) => by_process(process, program, outlets),
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
) -> Result<WouldGet, VendingError> {
    let own = process.runtime_dir.as_ref().map(PathBuf::from);
    let runtime_dir = own.as_deref().unwrap_or(&outlets.runtime_dir);
    let Some(executable) = program.finds(&process.program) else {
        let why = format!("it cannot run {}", shown(&process.program));
        let remedy = "name a rolekeeper that the program sees and may run";
        return Err(VendingError::Refused(Complaint::new(Exit::Refused, why, remedy)));
    };
    let via = Via::Process { target: process.target.clone() };
    ask(runtime_dir, via, program, Some(executable))
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
