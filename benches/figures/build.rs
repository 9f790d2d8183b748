//! The programs that are measured, as they ship.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use rolekeeper::host::environment;

use super::Outcome;

/// Makes a release build of one of the package's programs, and says where it is.
pub(crate) fn release(binary: &str) -> Outcome<PathBuf> {
    let cargo = environment::variable("CARGO").unwrap_or_else(|| "cargo".to_owned());
    let status = Command::new(cargo)
        .args(["build", "--release", "--bin", binary])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        // Standard output is for the figures.
        .stdout(Stdio::null())
        .status()?;
    if !status.success() {
        return Err("the release build failed".into());
    }
    // target/debug/deps/figures-0123456789abcdef
    let own = std::env::current_exe()?;
    let target = own.ancestors().nth(3).ok_or("this program lies outside a target directory")?;
    Ok(target.join("release").join(binary))
}
