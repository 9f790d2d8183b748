//! The way to a file, name by name from `/` on.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Uid};

use crate::host::accounts::{group_name, user_name};
use crate::host::directory::names;
use crate::pure::diagnosis::acl::{self, Permissions};
use crate::pure::diagnosis::passage::{Names, Node, Step};

/// How many symlinks one path may lead through; the kernel's own limit.
const SYMLINKS: usize = 40;

/// More than a list of any use takes.
const LONGEST_LIST: usize = 4096;

/// Every directory and symlink on the way to `path`, and what is at its end. The way ends early where
/// nothing more can be seen.
pub fn to(path: &Path) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut here = PathBuf::from("/");
    // The names still to go, the next one last.
    let mut ahead = names(path);
    let mut links = 0;
    steps.push(step(&here, ahead.is_empty()));
    while let Some(name) = ahead.pop() {
        if name == ".." {
            here.pop();
            continue;
        }
        let next = here.join(name);
        let found = step(&next, ahead.is_empty());
        let goes_on = matches!(found.node, Node::Directory(..) | Node::Symlink { .. });
        let aim = match &found.node {
            Node::Symlink { to } => Some(PathBuf::from(to)),
            _ => None,
        };
        steps.push(found);
        if !goes_on {
            if let Some(Step { path, node: Node::End(..) }) = steps.last()
                && !ahead.is_empty()
            {
                steps.push(broken(path.clone(), "it is not a directory"));
            }
            break;
        }
        let Some(aim) = aim else {
            here = next;
            continue;
        };
        links += 1;
        if links > SYMLINKS {
            steps.push(broken(next.display().to_string(), "it leads through too many symlinks"));
            break;
        }
        if aim.is_absolute() {
            here = PathBuf::from("/");
        }
        ahead.extend(names(&aim));
    }
    steps
}

fn step(path: &Path, is_end: bool) -> Step {
    let node = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Node::Missing,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Node::Unseen(error.to_string())
        }
        Err(error) => Node::Broken(error.to_string()),
        Ok(metadata) if metadata.is_symlink() => match fs::read_link(path) {
            Ok(to) => Node::Symlink { to: to.display().to_string() },
            Err(error) => Node::Unseen(error.to_string()),
        },
        Ok(metadata) => {
            let permissions = Permissions {
                owner: metadata.uid(),
                group: metadata.gid(),
                mode: metadata.mode() & 0o7777,
                list: list(path),
            };
            let names = Names {
                owner: user_name(Uid::from_raw(metadata.uid())),
                group: group_name(Gid::from_raw(metadata.gid())),
            };
            if metadata.is_dir() && !is_end {
                Node::Directory(permissions, names)
            } else {
                Node::End(permissions, names)
            }
        }
    };
    Step { path: path.display().to_string(), node }
}

fn broken(path: String, reason: &str) -> Step {
    Step { path, node: Node::Broken(reason.to_owned()) }
}

/// The access control list, where the file system has such and there is one.
fn list(path: &Path) -> Vec<acl::Entry> {
    let mut bytes = [0; LONGEST_LIST];
    let length = rustix::fs::getxattr(path, acl::ATTRIBUTE, &mut bytes).unwrap_or(0);
    acl::parse(&bytes[..length])
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn symlinks_are_followed_and_named() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        fs::create_dir_all(at("a/b")).unwrap();
        fs::write(at("a/b/file"), "x").unwrap();
        symlink("a/../a/b", at("relative")).unwrap();
        symlink(at("relative"), at("absolute")).unwrap();
        let steps = to(&at("absolute/file"));
        assert_eq!(steps[0].path, "/");
        assert_eq!(Path::new(&steps.last().unwrap().path), at("a/b/file"));
        assert!(matches!(steps.last().unwrap().node, Node::End(..)));
        let links = steps.iter().filter(|step| matches!(step.node, Node::Symlink { .. }));
        let links = links.map(|step| PathBuf::from(&step.path)).collect::<Vec<_>>();
        assert_eq!(links, [at("absolute"), at("relative")]);
    }

    #[test]
    fn a_way_that_breaks_off_ends_where_it_does() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        symlink("loop", at("loop")).unwrap();
        fs::write(at("file"), "x").unwrap();
        for path in ["file/below", "loop/x"] {
            let last = to(&at(path)).pop().unwrap();
            assert!(matches!(last.node, Node::Broken(_)), "{path}: {last:?}");
        }
        assert_eq!(to(&at("gone/file")).last().unwrap().node, Node::Missing);
        assert_eq!(to(&at("gone/file")).last().unwrap().path, at("gone").display().to_string());
    }
}
