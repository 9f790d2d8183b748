//! What a target cannot be beside those before it.

use super::{Tables, TargetSettings};

/// Two targets may share a file, with a profile each and with one opinion on who may read it; and a
/// service, which then is told once, in one way.
pub(super) fn clash(target: &TargetSettings, before: &Tables<TargetSettings>) -> Option<String> {
    let access =
        |target: &TargetSettings| (target.owner.clone(), target.group.clone(), target.mode);
    for other in before.iter() {
        let reloads = target.reload.as_ref().zip(other.reload.as_ref());
        let what = if other.path == target.path && other.profile == target.profile {
            "writes the same profile of the same file as".to_owned()
        } else if other.path == target.path && access(other) != access(target) {
            "gives the same file another owner, group or mode than".to_owned()
        } else if let Some((reload, _)) =
            reloads.filter(|(one, other)| one.unit == other.unit && one != other)
        {
            format!("wants {} told with another signal or at another pace than", reload.unit)
        } else {
            continue;
        };
        return Some(format!("{what} target '{}' ({})", other.name, other.origin));
    }
    None
}
