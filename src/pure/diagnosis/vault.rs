//! Are the vault's records whole, and closed to others?

use super::{AS_ROOT, Check, Finding};
use crate::pure::advice::{Complaint, Exit};

/// The name of these checks.
const NAME: &str = "vault";

/// Something in the vault, or the vault itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub path: String,
    pub kind: Kind,
    pub owner: u32,
    /// Permission bits, and those that it should have at most.
    pub mode: u32,
    pub most: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    Directory,
    Record { name: String, read: Result<(), Complaint> },
    KeptAside,
    Other,
}

/// Judges a vault by its entries, the directory first; `Err` is why it could not be opened.
pub fn judge(examined: Result<&[Entry], &Complaint>) -> Vec<Check> {
    let entries = match examined {
        Ok(entries) => entries,
        Err(complaint) => return vec![Check::new(NAME, closed(complaint))],
    };
    let owner = entries.first().map(|directory| directory.owner);
    let trouble = entries.iter().flat_map(|entry| {
        let wrong = |finding| Check::of(NAME, entry.path.clone(), finding);
        let foreign = foreign(entry, owner);
        // Whose it is explains why it was not read.
        let unread = unread(entry).filter(|_| foreign.is_none());
        [unread, too_open(entry), foreign].into_iter().flatten().map(wrong)
    });
    let mut checks = trouble.collect::<Vec<_>>();
    let kept = entries.iter().filter(|entry| entry.kind == Kind::KeptAside);
    let kept = kept.map(|entry| format!("kept aside: {}", entry.path)).collect::<Vec<_>>();
    if checks.is_empty() {
        let records = entries.iter().filter(|entry| matches!(entry.kind, Kind::Record { .. }));
        let directory = entries.first().map_or("the vault", |entry| &entry.path);
        let text = match records.count() {
            0 => format!("{directory}: no record yet"),
            1 => format!("{directory}: one record, which is whole and closed to others"),
            count => format!("{directory}: {count} records, whole and closed to others"),
        };
        checks.push(Check::new(NAME, Finding::ok(text).all_seen(kept)));
    } else if let Some(first) = checks.first_mut() {
        first.finding.evidence.extend(kept);
    }
    checks
}

/// A vault that only others may open is theirs, and in order for all that is known.
fn closed(complaint: &Complaint) -> Finding {
    match complaint.exit {
        exit if exit == Exit::Refused as u8 => {
            let reason = format!("needs root or the vault's owner: {}", complaint.message);
            Finding::skipped(reason, AS_ROOT)
        }
        exit if exit == Exit::Configuration as u8 => Finding::inapplicable("there is no vault yet"),
        _ => complaint.clone().into(),
    }
}

fn unread(entry: &Entry) -> Option<Finding> {
    match &entry.kind {
        Kind::Record { read: Err(complaint), .. } => Some(complaint.clone().into()),
        _ => None,
    }
}

fn too_open(entry: &Entry) -> Option<Finding> {
    let others = entry.mode & !entry.most & 0o077;
    (others != 0).then(|| {
        Finding::wrong(
            format!("mode {:04o} lets other users in", entry.mode),
            format!(
                "chmod {:o} {}; then rolekeeper rotate-key, if one of them may have read it",
                entry.most, entry.path
            ),
        )
    })
}

/// Root may leave files in another user's vault; they must be the owner's to be of use.
fn foreign(entry: &Entry, owner: Option<u32>) -> Option<Finding> {
    let owner = owner.filter(|owner| *owner != entry.owner)?;
    Some(Finding::wrong(
        format!("belongs to uid {}, and the vault to uid {owner}", entry.owner),
        format!("chown {owner} {}", entry.path),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pure::diagnosis::Verdict;

    fn entry(name: &str, kind: Kind) -> Entry {
        let (mode, most) = if kind == Kind::Directory { (0o700, 0o700) } else { (0o600, 0o600) };
        Entry { path: format!("/v{name}"), kind, owner: 990, mode, most }
    }

    fn vault() -> Vec<Entry> {
        let record = |name: &str| Kind::Record { name: name.into(), read: Ok(()) };
        vec![
            entry("", Kind::Directory),
            entry("/InstanceFingerprint", record("InstanceFingerprint")),
            entry("/RegistrationKey", record("RegistrationKey")),
            entry("/RegistrationKey.replaced-20261122T000052Z", Kind::KeptAside),
            entry("/lock", Kind::Other),
        ]
    }

    fn judged(change: impl FnOnce(&mut Vec<Entry>)) -> Vec<Check> {
        let mut vault = vault();
        change(&mut vault);
        judge(Ok(&vault))
    }

    #[test]
    fn a_vault_in_order_is_one_line_that_names_what_was_kept_aside() {
        let [check] = &judged(|_| {})[..] else { panic!() };
        assert_eq!(check.finding.text, "/v: 2 records, whole and closed to others");
        let kept = "kept aside: /v/RegistrationKey.replaced-20261122T000052Z";
        assert_eq!(check.finding.evidence, [kept]);
    }

    #[test]
    fn each_thing_that_is_wrong_has_a_line_of_its_own() {
        let checks = judged(|vault| {
            let damaged = Complaint::new(Exit::BadData, "the record is damaged", "restore it");
            vault[1].kind = Kind::Record { name: "InstanceFingerprint".into(), read: Err(damaged) };
            vault[2].mode = 0o640;
            vault[4].owner = 0;
        });
        let texts = checks.iter().map(|check| check.finding.text.as_str()).collect::<Vec<_>>();
        let open = "mode 0640 lets other users in";
        assert_eq!(
            texts,
            ["the record is damaged", open, "belongs to uid 0, and the vault to uid 990"]
        );
        assert_eq!(checks[2].finding.remedy.as_deref(), Some("chown 990 /v/lock"));
        assert!(checks[0].finding.evidence[0].starts_with("kept aside"));
    }

    #[test]
    fn a_mode_that_is_narrower_than_needed_lets_nobody_in() {
        assert_eq!(judged(|vault| vault[0].mode = 0o600)[0].finding.verdict, Verdict::Ok);
    }

    #[test]
    fn what_only_others_may_open_is_skipped_and_never_wrong() {
        for (exit, verdict) in [
            (Exit::Refused, Verdict::Skipped),
            (Exit::Configuration, Verdict::Inapplicable),
            (Exit::BadData, Verdict::Wrong),
        ] {
            let checks = judge(Err(&Complaint::new(exit, "it is so", "do")));
            assert_eq!(checks[0].finding.verdict, verdict, "{exit:?}");
        }
    }
}
