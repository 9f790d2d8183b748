//! The operator's end of the socket.

use std::io;
use std::path::{Path, PathBuf};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use super::protocol::{Command, Reply};
use super::socket_path;
use crate::pure::advice::{Advice, Complaint, Exit};

/// No answer, or not the one that was hoped for.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    #[error("the daemon at {} closed the connection", path.display())]
    Hangup { path: PathBuf },
    #[error("the daemon at {} may not be asked by this user", path.display())]
    Forbidden { path: PathBuf },
    #[error("no daemon answers at {}", path.display())]
    NotRunning { path: PathBuf },
    #[error("{}", .0.message)]
    Refused(Complaint),
    #[error("{}: {source}", path.display())]
    Socket { path: PathBuf, source: io::Error },
}

/// Sends one command and waits for its reply, however long the daemon takes.
///
/// # Errors
///
/// When no daemon answers, or it refuses.
pub async fn ask(runtime_dir: &Path, command: &Command) -> Result<Reply, ControlError> {
    let path = socket_path(runtime_dir);
    let stream = UnixStream::connect(&path).await.map_err(|source| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            ControlError::NotRunning { path: path.clone() }
        }
        io::ErrorKind::PermissionDenied => ControlError::Forbidden { path: path.clone() },
        _ => ControlError::Socket { path: path.clone(), source },
    })?;
    let failed = |source| ControlError::Socket { path: path.clone(), source };
    let (reader, mut writer) = stream.into_split();
    let mut line = serde_json::to_vec(command).map_err(|error| failed(error.into()))?;
    line.push(b'\n');
    writer.write_all(&line).await.map_err(failed)?;
    let mut answer = String::new();
    BufReader::new(reader).read_line(&mut answer).await.map_err(failed)?;
    if answer.is_empty() {
        return Err(ControlError::Hangup { path });
    }
    match serde_json::from_str(&answer).map_err(|error| failed(error.into()))? {
        Reply::Refused(complaint) => Err(ControlError::Refused(complaint)),
        reply => Ok(reply),
    }
}

impl Advice for ControlError {
    fn remedy(&self) -> String {
        match self {
            Self::Hangup { .. } => "look at the daemon's log: journalctl -u rolekeeper".to_owned(),
            Self::Forbidden { .. } => {
                "the same with sudo: whoever may ask the daemon may have the registered role"
                    .to_owned()
            }
            Self::NotRunning { .. } => {
                "systemctl restart rolekeeper, or name its directory with --runtime-dir".to_owned()
            }
            Self::Refused(complaint) => complaint.remedy.clone(),
            Self::Socket { .. } => {
                "systemctl restart rolekeeper, so that both are of one version".to_owned()
            }
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Forbidden { .. } => Exit::Refused,
            Self::Refused(complaint) => Exit::from_code(complaint.exit),
            Self::Hangup { .. } | Self::NotRunning { .. } | Self::Socket { .. } => {
                Exit::Unavailable
            }
        }
    }
}
