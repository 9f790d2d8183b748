//! What the commands for programs share: they ask the daemon, and need no event loop.

use super::Places;
use crate::control::Complaint;
use crate::vending::{self, Vended};

/// The credentials of that name, or the first that this user may have.
pub(super) fn vended(places: &Places, target: Option<&str>) -> Result<Vended, Complaint> {
    Ok(vending::ask(&places.runtime_directories(), target)?)
}
