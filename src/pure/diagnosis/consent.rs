//! Do the rules give a user anything?

use super::Finding;
use crate::pure::access::peer::Peer;
use crate::pure::access::{Access, Denial, Denied};
use crate::pure::advice::Advice;

/// Judges what the sockets would say to a user, whatever unit or program it comes from.
pub fn judge(access: &Access, name: &str, peer: &Peer) -> Finding {
    let open = access.open_to(peer);
    let narrowed = narrowed(access, peer);
    let seen = narrowed
        .iter()
        .map(|narrowed| format!("'{narrowed}' too, from the units and programs that it names"));
    match access.judge(None, peer) {
        Ok(first) => {
            let finding = Finding::ok(format!("{name} may have {}", open.join(", ")));
            finding.seen(format!("without a name it gets '{}'", first.name)).all_seen(seen)
        }
        Err(_) if !narrowed.is_empty() => Finding::ok(format!(
            "{name} may have {}, from the units and programs that the settings name",
            narrowed.join(", ")
        )),
        Err(denied @ Denied { because: Denial::Disabled(_) | Denial::Undecided(_), .. }) => {
            Finding::wrong(denied.to_string(), denied.remedy())
        }
        Err(denied) => Finding::wrong(
            format!("no target and no consumer names {name} or one of their groups"),
            denied.remedy(),
        ),
    }
}

/// Whether the file of a target is meant for the user.
pub fn is_named(access: &Access, target: &str, peer: &Peer) -> bool {
    access.judge(Some(target), peer).is_ok()
}

/// What the user would have from another unit or program.
fn narrowed(access: &Access, peer: &Peer) -> Vec<String> {
    let names = access.consumers.iter().map(|consumer| consumer.name.as_str());
    let is_narrowed = |name: &&str| match access.judge(Some(name), peer) {
        Err(denied) => {
            matches!(denied.because, Denial::OtherUnit { .. } | Denial::OtherExecutable { .. })
        }
        Ok(_) => false,
    };
    names.filter(is_narrowed).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pure::access::{Grant, Rule};
    use crate::pure::diagnosis::Verdict;

    fn peer(uid: u32, groups: &[u32]) -> Peer {
        Peer { gid: uid, groups: groups.to_vec(), groups_known: true, ..Peer::of_user(uid) }
    }

    #[test]
    fn a_user_whom_nobody_names_has_nothing_and_a_narrowed_one_has_something() {
        let grant =
            |name: &str, rule| Grant { name: name.into(), target: None, rule, disabled: false };
        let group = |gid| Rule { groups: vec![gid], ..Rule::default() };
        let user = |uid| Rule { users: vec![uid], ..Rule::default() };
        let access = Access {
            owner: 990,
            targets: vec![grant("default", group(990))],
            consumers: vec![
                grant("backup", user(34)),
                grant("web", Rule { units: vec!["web.service".into()], ..user(33) }),
            ],
        };
        for (peer, verdict, text) in [
            (peer(34, &[990]), Verdict::Ok, "x may have backup, default"),
            (peer(34, &[]), Verdict::Ok, "x may have backup"),
            (peer(33, &[]), Verdict::Ok, "x may have web, from the units"),
            (peer(1000, &[100]), Verdict::Wrong, "names x or one of their groups"),
            (peer(0, &[]), Verdict::Ok, "x may have backup, web, default"),
        ] {
            let finding = judge(&access, "x", &peer);
            assert_eq!(finding.verdict, verdict, "{finding:?}");
            assert!(finding.text.contains(text), "{finding:?}");
        }
        assert!(is_named(&access, "default", &peer(1000, &[990])));
        assert!(!is_named(&access, "default", &peer(34, &[])));
    }
}
