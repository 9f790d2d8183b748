//! Can a user reach a file, and if not, which directory stops them?

use super::acl::{Permissions, READ, SEARCH, WRITE};
use super::{AS_ROOT, Finding};
use crate::pure::shell::in_shell;

/// The user in question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    pub name: String,
    pub uid: u32,
    /// All of them, the first one included.
    pub groups: Vec<u32>,
    /// Whether it is who asks.
    pub is_asking: bool,
}

/// What is at the end of the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aim<'a> {
    /// The file of the target of that name, which the settings let the user read.
    Target(&'a str),
    /// The token of the consumer of that name, which names the user.
    Token(&'a str),
    Socket,
}

/// One name on the way, from `/` on, symlinks followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub path: String,
    pub node: Node,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    Directory(Permissions, Names),
    /// Whatever is at the end.
    End(Permissions, Names),
    Symlink {
        to: String,
    },
    Missing,
    /// It can be passed by nobody.
    Broken(String),
    /// Who asks may not look.
    Unseen(String),
}

/// Owner and group as people call them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    pub owner: String,
    pub group: String,
}

/// Judges the way to `path`.
pub fn judge(who: &Who, aim: Aim<'_>, path: &str, steps: &[Step]) -> Finding {
    let name = &who.name;
    let links = steps.iter().filter_map(|step| match &step.node {
        Node::Symlink { to } => Some(format!("{} leads to {to}", step.path)),
        _ => None,
    });
    let finding = steps.iter().find_map(|step| stop(who, aim, step));
    let finding = finding.unwrap_or_else(|| match aim {
        Aim::Target(_) | Aim::Token(_) => Finding::ok(format!("{name} can read {path}")),
        Aim::Socket => Finding::ok(format!("{name} can connect to {path}")),
    });
    finding.all_seen(links)
}

/// What is in the way here, if anything is.
fn stop(who: &Who, aim: Aim<'_>, step: &Step) -> Option<Finding> {
    let (name, path) = (&who.name, &step.path);
    match &step.node {
        Node::Symlink { .. } => None,
        Node::Missing => Some(Finding::wrong(
            format!("{path} does not exist"),
            match aim {
                Aim::Target(_) => {
                    "do what is said of its target, and see what is said of the daemon"
                }
                Aim::Token(_) | Aim::Socket => "systemctl restart rolekeeper, which makes it",
            },
        )),
        Node::Broken(reason) => Some(Finding::wrong(
            format!("nobody passes {path}: {reason}"),
            "set the path in the settings to where the file is to be",
        )),
        Node::Unseen(reason) if who.is_asking => Some(Finding::wrong(
            format!("{path} is out of {name}'s sight: {reason}"),
            "sudo rolekeeper doctor --user with this name, which sees what is in the way",
        )),
        Node::Unseen(reason) => {
            Some(Finding::skipped(format!("needs root to look at {path}: {reason}"), AS_ROOT))
        }
        Node::Directory(permissions, names) => (!permissions.allow(who.uid, &who.groups, SEARCH))
            .then(|| {
                let text = format!("{name} stops at the directory {path}");
                let finding = Finding::wrong(text, directory_remedy(who, path, permissions));
                finding.seen(shown(path, permissions, names))
            }),
        Node::End(permissions, names) => {
            let (wanted, doing) = match aim {
                Aim::Target(_) | Aim::Token(_) => (READ, "read"),
                Aim::Socket => (READ | WRITE, "connect to"),
            };
            (!permissions.allow(who.uid, &who.groups, wanted)).then(|| {
                let text = format!("{name} comes as far as {path}, and may not {doing} it");
                let finding = Finding::wrong(text, end_remedy(who, aim));
                finding.seen(shown(path, permissions, names))
            })
        }
    }
}

/// Lets this one user through, who then sees nothing of what is in there. A group would take others along,
/// and the service's own would bring the registered role.
fn directory_remedy(who: &Who, path: &str, found: &Permissions) -> String {
    let path = in_shell(path);
    if who.uid == found.owner {
        format!("chmod u+x {path}")
    } else {
        format!("setfacl -m u:{}:x {path}", in_shell(&who.name))
    }
}

/// The daemon gives its files the modes of the settings again, so that is where they change.
fn end_remedy(who: &Who, aim: Aim<'_>) -> String {
    match aim {
        Aim::Socket => "systemctl restart rolekeeper, which makes its sockets anew".to_owned(),
        Aim::Target(_) => {
            "systemctl reload rolekeeper, by which the file gets the owner, group and \
                           mode of its [[target]] again"
                .to_owned()
        }
        Aim::Token(consumer) => format!(
            "set owner = \"{}\" and mode = \"0600\" in the [[consumer]] {consumer}, then systemctl \
             reload rolekeeper",
            who.name
        ),
    }
}

fn shown(path: &str, found: &Permissions, Names { owner, group }: &Names) -> String {
    let list = if found.list.is_empty() { "" } else { ", and an access control list (getfacl)" };
    format!("{path}: owner {owner}, group {group}, mode {:04o}{list}", found.mode)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pure::diagnosis::Verdict;
    use crate::pure::diagnosis::acl::Entry;

    fn who(groups: &[u32]) -> Who {
        Who { name: "web".into(), uid: 33, groups: groups.to_vec(), is_asking: false }
    }

    fn permissions(owner: u32, group: u32, mode: u32) -> Permissions {
        Permissions { owner, group, mode, list: vec![] }
    }

    fn names() -> Names {
        Names { owner: "rolekeeper".into(), group: "keepers".into() }
    }

    fn step(path: &str, node: Node) -> Step {
        Step { path: path.into(), node }
    }

    fn way(directory: Permissions, file: Permissions) -> Vec<Step> {
        vec![
            step("/", Node::Directory(permissions(0, 0, 0o755), names())),
            step("/var", Node::Symlink { to: "/mnt".into() }),
            step("/mnt", Node::Directory(directory, names())),
            step("/mnt/credentials", Node::End(file, names())),
        ]
    }

    #[test]
    fn a_way_that_is_open_is_one() {
        let steps = way(permissions(0, 0, 0o755), permissions(990, 991, 0o640));
        let finding = judge(&who(&[33, 991]), Aim::Target("t"), "/var/credentials", &steps);
        assert_eq!(finding.text, "web can read /var/credentials");
        assert_eq!(finding.evidence, ["/var leads to /mnt"]);
    }

    #[test]
    fn the_directory_that_stops_a_user_is_named_with_the_command_that_mends_it() {
        let file = || permissions(990, 991, 0o644);
        let listed =
            Permissions { list: vec![Entry::OwnGroup { bits: 0 }], ..permissions(0, 0, 0o700) };
        for (directory, remedy) in [
            (permissions(0, 0, 0o700), "setfacl -m u:web:x /mnt"),
            (permissions(990, 991, 0o750), "setfacl -m u:web:x /mnt"),
            (permissions(990, 33, 0o740), "setfacl -m u:web:x /mnt"),
            (permissions(33, 33, 0o600), "chmod u+x /mnt"),
            (listed, "setfacl -m u:web:x /mnt"),
        ] {
            let steps = way(directory.clone(), file());
            let finding = judge(&who(&[33]), Aim::Target("t"), "/var/c", &steps);
            assert_eq!(finding.text, "web stops at the directory /mnt");
            assert_eq!(finding.remedy.as_deref(), Some(remedy), "{directory:?}");
            assert!(
                finding.evidence[0].starts_with("/mnt: owner rolekeeper, group keepers, mode ")
            );
        }
    }

    #[test]
    fn a_file_out_of_reach_is_opened_to_its_reader_and_never_by_a_group() {
        let judged = |aim, mode, groups: &[u32]| {
            let steps = way(permissions(0, 0, 0o755), permissions(990, 991, mode));
            judge(&who(groups), aim, "/var/c", &steps).remedy.unwrap()
        };
        for (mode, groups) in [(0o640, [33]), (0o600, [33]), (0o600, [991])] {
            let target = judged(Aim::Target("t"), mode, &groups);
            assert!(target.starts_with("systemctl reload rolekeeper"), "{target}");
            let token = judged(Aim::Token("nightly"), mode, &groups);
            assert!(token.contains("owner = \"web\""), "{token}");
            assert!(token.contains("[[consumer]] nightly"), "{token}");
        }
    }

    #[test]
    fn what_cannot_be_seen_is_skipped_unless_it_is_ones_own_way() {
        let steps = [step("/x", Node::Unseen("denied".into()))];
        let of = |is_asking| Who { is_asking, ..who(&[]) };
        let judged = |who: &Who, steps: &[Step]| judge(who, Aim::Socket, "/x/s", steps).verdict;
        assert_eq!(judged(&of(false), &steps), Verdict::Skipped);
        assert_eq!(judged(&of(true), &steps), Verdict::Wrong);
        assert_eq!(judged(&of(true), &[step("/x", Node::Missing)]), Verdict::Wrong);
        assert_eq!(judged(&of(false), &[step("/x", Node::Broken("no".into()))]), Verdict::Wrong);
        let socket = step("/s", Node::End(permissions(0, 0, 0o660), names()));
        assert_eq!(judged(&of(false), &[socket]), Verdict::Wrong);
    }
}
