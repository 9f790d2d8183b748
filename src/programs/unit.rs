//! A unit of the service manager, by what `systemctl show` says of it.

use std::path::PathBuf;
use std::process::Command;

use super::error::ProgramError;
use super::root::Root;
use crate::pure::unit_settings::{UnitSettings, environment_file};

/// A file of variables is not longer.
const LONGEST_FILE: u64 = 1 << 20;

/// What is asked for.
const PROPERTIES: &str = "Id,LoadState,MainPID,User,Environment,EnvironmentFiles,UnsetEnvironment,\
                          ExecStart";

/// A unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// Its whole name, as `backup.service`.
    pub name: String,
    /// None when it does not run.
    pub main_pid: Option<i32>,
    pub user: Option<String>,
    pub executable: Option<PathBuf>,
    /// The words of its command.
    pub command: Vec<String>,
    settings: UnitSettings,
}

/// Asks the service manager.
///
/// # Errors
///
/// When it does not answer, or has no such unit.
pub fn unit(name: &str) -> Result<Unit, ProgramError> {
    let mut systemctl = Command::new("systemctl");
    // Whoever runs this may have a PATH of their own.
    systemctl.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C");
    systemctl.args(["show", "--no-pager", "--property", PROPERTIES, "--", name]);
    let output = systemctl.output().map_err(ProgramError::NoSystemctl)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(ProgramError::Systemctl { unit: name.to_owned(), said });
    }
    let settings = UnitSettings::parse(&String::from_utf8_lossy(&output.stdout));
    if settings.load_state.as_deref() == Some("not-found") {
        return Err(ProgramError::NoUnit(name.to_owned()));
    }
    Ok(Unit {
        name: settings.id.clone().unwrap_or_else(|| name.to_owned()),
        main_pid: settings.main_pid,
        user: settings.user.clone(),
        executable: settings.executable.as_ref().map(PathBuf::from),
        command: settings.command.clone(),
        settings,
    })
}

impl Unit {
    /// What its program would find, without what the service manager adds by itself. Of two that set
    /// the same the later counts, so the block has the last one first.
    pub(super) fn environment(&self, root: &Root) -> Vec<u8> {
        let mut pairs = self.settings.environment.clone();
        for path in &self.settings.environment_files {
            let bytes = root.read(&PathBuf::from(path), LONGEST_FILE).unwrap_or_default();
            pairs.extend(environment_file(&String::from_utf8_lossy(&bytes)));
        }
        pairs.retain(|(name, value)| {
            let whole = format!("{name}={value}");
            !self.settings.unset.iter().any(|unset| unset == name || *unset == whole)
        });
        let mut block = Vec::new();
        for (name, value) in pairs.into_iter().rev() {
            block.extend_from_slice(format!("{name}={value}\0").as_bytes());
        }
        block
    }
}
