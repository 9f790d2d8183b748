//! What a target cannot be beside those before it.

use super::own_files::is_same;
use super::tables::{CHANGE_ONE, Clash};
use super::{Tables, TargetSettings};

/// Two targets may share a file, by whatever links their paths lead there, with a profile each and with one opinion on who may read it; and a
/// service, which then is told once, in one way.
pub(super) fn clash(target: &TargetSettings, before: &Tables<TargetSettings>) -> Option<Clash> {
    let access =
        |target: &TargetSettings| (target.owner.clone(), target.group.clone(), target.mode);
    for other in before.iter() {
        let reloads = target.reload.as_ref().zip(other.reload.as_ref());
        let is_one_file = is_same(&other.path, &target.path);
        let (keys, what): (&[_], _) = if is_one_file && other.profile == target.profile {
            (&["path", "profile"], "writes the same profile of the same file as".to_owned())
        } else if is_one_file && access(other) != access(target) {
            let keys = &["path", "owner", "group", "mode"];
            (keys, "gives the same file another owner, group or mode than".to_owned())
        } else if let Some((reload, _)) =
            reloads.filter(|(one, other)| one.unit == other.unit && one != other)
        {
            let unit = &reload.unit;
            (&["reload"], format!("wants {unit} told with another signal or at another pace than"))
        } else {
            continue;
        };
        let message = format!("{what} target '{}' ({})", other.name, other.origin);
        return Some(Clash { keys, message, remedy: CHANGE_ONE });
    }
    None
}
