//! What can go wrong on the command line, and what to do about it.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::lab::StartError;
use crate::lab::answers::Refusal;
use crate::lab::authority::AuthorityError;
use crate::lab::client::CallError;
use crate::lab::definitions::MalformedDefinitions;
use crate::lab::explain::MalformedCapture;
use crate::lab::faults::MalformedFault;
use crate::lab::rehearse::{StageError, Verdict};
use crate::lab::scenario::MalformedScenario;
use crate::pure::advice::{Advice, Exit};

#[derive(Debug, thiserror::Error)]
pub enum LabError {
    #[error("the command line is wrong: {0}")]
    Usage(String),
    #[error("{0} is not set")]
    Missing(&'static str),
    #[error("AWS_REGION: {0}")]
    Region(String),
    #[error("{0}")]
    Fault(#[from] MalformedFault),
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("{0} can be reached from other machines, and the lab is for rehearsal only")]
    Exposed(SocketAddr),
    #[error(transparent)]
    Lab(#[from] StartError),
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    #[error("the lab's clock cannot be set: {}", .0.message)]
    Clock(Refusal),
    #[error("cannot write {path}: {error}", path = .0.display(), error = .1)]
    EnvFile(PathBuf, io::Error),
    #[error("cannot read {path}: {error}", path = .0.display(), error = .1)]
    RolesFile(PathBuf, io::Error),
    #[error("{path}: {error}", path = .0.display(), error = .1)]
    Roles(PathBuf, MalformedDefinitions),
    #[error("the instance cannot have the role {0}: there is none of that name")]
    InstanceRole(String),
    #[error("cannot write to standard output: {0}")]
    Output(io::Error),
    #[error("cannot start: {0}")]
    Start(io::Error),
    #[error(transparent)]
    Stage(#[from] StageError),
    #[error("{} of {} expectations did not hold: {}", .0.failed.len(), .0.steps, .0.failed.join(", "))]
    Rehearsal(Verdict),
    #[error("cannot read {path}: {error}", path = .0.display(), error = .1)]
    ScenarioFile(PathBuf, io::Error),
    #[error("{path}:{error}", path = .0.display(), error = .1)]
    Scenario(PathBuf, MalformedScenario),
    #[error("there is no scenario '{0}'")]
    NoScenario(String),
    #[error("cannot write {path}: {error}", path = .0.display(), error = .1)]
    Page(PathBuf, io::Error),
    #[error("the rehearsal was interrupted")]
    Interrupted,
    #[error("who this program is cannot be said: {0}")]
    Caller(String),
    #[error("cannot read {path}: {error}", path = .0.display(), error = .1)]
    Read(PathBuf, io::Error),
    #[error("{path} holds no key that can be tried: {why}", path = .0.display(), why = .1)]
    Key(PathBuf, String),
    #[error("this is no HTTP/1.1 request: {0}")]
    Capture(#[from] MalformedCapture),
    #[error("the request does not verify; it departs in: {0}")]
    Signature(String),
    #[error("without its key nobody can tell whether the request verifies")]
    NoKey,
}

impl Advice for LabError {
    fn remedy(&self) -> String {
        match self {
            LabError::Usage(_) | LabError::Fault(_) => "the same command with --help".to_owned(),
            LabError::Missing(_) | LabError::Region(_) => {
                "rolekeeper-lab serve --env-file lab.env, and source lab.env in this shell"
                    .to_owned()
            }
            LabError::Call(error) => error.remedy(),
            LabError::Exposed(_) => {
                "--listen 127.0.0.1:4599, or --i-know-this-is-a-lab on a network of your own"
                    .to_owned()
            }
            LabError::Lab(error) => error.remedy(),
            LabError::Authority(error) => error.remedy(),
            LabError::Clock(_) => "--data, with a file on a disk that has room".to_owned(),
            LabError::EnvFile(..) => "a file in a directory that you may write".to_owned(),
            LabError::InstanceRole(_) => {
                "a role that --roles defines, or --no-instance-role".to_owned()
            }
            LabError::RolesFile(..) => "a --roles file that you may read".to_owned(),
            LabError::Roles(..) => {
                "mend the file; `rolekeeper-lab serve --help` shows one".to_owned()
            }
            LabError::Output(_) => "a standard output that can be written".to_owned(),
            LabError::Start(_) => "see `ulimit -n` and whether memory is left".to_owned(),
            LabError::Stage(error) => error.remedy(),
            LabError::Rehearsal(_) => {
                "rolekeeper-lab rehearse --verbose: beside what was seen, what the daemon says"
                    .to_owned()
            }
            LabError::ScenarioFile(..) => {
                "a scenario file that you may read, or a name of `rolekeeper-lab scenario list`"
                    .to_owned()
            }
            LabError::Scenario(..) => {
                "mend the file; `rolekeeper-lab scenario show --help` lists what can stand there"
                    .to_owned()
            }
            LabError::NoScenario(_) => "rolekeeper-lab scenario list".to_owned(),
            LabError::Page(..) => "a --report in a directory that you may write".to_owned(),
            LabError::Interrupted => "rolekeeper-lab rehearse, and half a minute".to_owned(),
            LabError::Caller(_) => {
                "AWS_SHARED_CREDENTIALS_FILE, AWS_REGION and AWS_ENDPOINT_URL of a lab".to_owned()
            }
            LabError::Read(..) | LabError::Key(..) => {
                "rolekeeper-lab explain --help, which says what each file holds".to_owned()
            }
            LabError::Capture(_) => {
                "the request's head as it was sent, an empty line, and its body".to_owned()
            }
            LabError::Signature(_) => {
                "mend what is listed under Departures, and sign again".to_owned()
            }
            LabError::NoKey => "--public-key FILE, or --secret-access-key-file FILE".to_owned(),
        }
    }

    fn exit(&self) -> Exit {
        match self {
            LabError::Usage(_) | LabError::Missing(_) | LabError::Fault(_) => Exit::Usage,
            LabError::Region(_) | LabError::Exposed(_) | LabError::InstanceRole(_) => Exit::Usage,
            LabError::Call(error) => error.exit(),
            LabError::Lab(error) => error.exit(),
            LabError::Authority(error) => error.exit(),
            LabError::Clock(_) | LabError::Start(_) => Exit::Unavailable,
            LabError::EnvFile(..) | LabError::Output(_) | LabError::Page(..) => Exit::CannotCreate,
            LabError::RolesFile(..) | LabError::Roles(..) => Exit::BadData,
            LabError::Stage(error) => error.exit(),
            LabError::ScenarioFile(..) | LabError::NoScenario(_) => Exit::Usage,
            LabError::Scenario(..) => Exit::BadData,
            LabError::Rehearsal(_) => Exit::Bug,
            LabError::Interrupted => Exit::TryAgain,
            LabError::Caller(_) => Exit::Unavailable,
            LabError::Read(..) => Exit::Usage,
            LabError::Key(..) | LabError::Capture(_) => Exit::BadData,
            LabError::Signature(_) | LabError::NoKey => Exit::BadData,
        }
    }
}
