//! What systemd says of a unit.

use std::io;
use std::path::Path;
use std::process::Command;

use super::PLACES;
use crate::pure::advice::{Advice, Exit};
use crate::pure::chain::shown;
use crate::pure::unit_settings::UnitSettings;

/// What is asked for.
const PROPERTIES: &str = "Id,LoadState,MainPID,User,Group,SupplementaryGroups,\
                          SetLoginEnvironment,Environment,EnvironmentFiles,UnsetEnvironment,\
                          PrivateNetwork,NetworkNamespacePath,ExecStart";

/// Why nothing is known of a unit.
#[derive(Debug, thiserror::Error)]
pub enum ShowError {
    #[error("systemctl cannot be run: {0}")]
    NotRun(io::Error),
    #[error("systemctl show {}: {}", shown(unit), shown(said))]
    Failed { unit: String, said: String },
    #[error("there is no unit {}", shown(.0))]
    Unknown(String),
}

/// Asks how a unit's program is started.
///
/// # Errors
///
/// When systemd does not answer, or has no such unit.
pub fn show(unit: &str) -> Result<UnitSettings, ShowError> {
    let program = PLACES.iter().map(Path::new).find(|place| place.exists());
    let program = program.ok_or_else(|| ShowError::NotRun(io::ErrorKind::NotFound.into()))?;
    let show = |arguments: &[&str]| {
        let mut systemctl = Command::new(program);
        systemctl.env_clear().args(["--no-pager", "show", "--property"]).args(arguments);
        systemctl.output().map_err(ShowError::NotRun)
    };
    let output = show(&[PROPERTIES, "--", unit])?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(ShowError::Failed { unit: unit.to_owned(), said });
    }
    let mut settings = UnitSettings::parse(&String::from_utf8_lossy(&output.stdout));
    // Without a unit's name it is the manager's own.
    let manager = show(&["Environment"])?;
    let manager = UnitSettings::parse(&String::from_utf8_lossy(&manager.stdout));
    settings.manager_environment = manager.environment;
    if settings.load_state.as_deref() == Some("not-found") {
        return Err(ShowError::Unknown(unit.to_owned()));
    }
    Ok(settings)
}

impl Advice for ShowError {
    fn remedy(&self) -> String {
        match self {
            Self::NotRun(_) => "name its process with --pid".into(),
            Self::Failed { .. } => {
                "look whether systemd runs, or name its process with --pid".into()
            }
            Self::Unknown(_) => "systemctl list-units --type service shows their names".into(),
        }
    }

    fn exit(&self) -> Exit {
        Exit::Unavailable
    }
}
