//! What the metadata service tells, by path. Directories are not stored: what lies below a path makes
//! its listing, and so the roles of `iam/security-credentials/` are the credentials that are there.

use std::collections::BTreeSet;

use super::Unavailable;
use crate::pure::role_token::RoleToken;

/// Leaves by their path below `/latest/`, without a slash at either end.
#[derive(Debug, Clone, Default)]
pub struct Tree<'a>(Vec<(String, Leaf<'a>)>);

/// What stands at a path.
#[derive(Debug, Clone)]
pub enum Leaf<'a> {
    Text(String),
    /// A JSON object's members; `None` is null.
    Document(Vec<(&'static str, Option<String>)>),
    Credentials(Result<&'a RoleToken, Unavailable>),
    /// Clients may look for it here, and why there is nothing. Not listed.
    Missing(&'static str),
}

/// What a path leads to.
#[derive(Debug)]
pub enum Found<'t, 'a> {
    Leaf(&'t Leaf<'a>),
    /// One name a line, directories with a slash at their end, nothing after the last.
    Directory(String),
    Nothing,
}

impl<'a> Tree<'a> {
    /// The tree with one leaf more.
    pub fn with(mut self, path: impl Into<String>, leaf: Leaf<'a>) -> Self {
        self.0.push((path.into(), leaf));
        self
    }

    /// Looks below `/latest/`; one slash at the end makes no difference.
    pub fn find(&self, path: &str) -> Found<'_, 'a> {
        let path = path.strip_suffix('/').unwrap_or(path);
        if let Some((_, leaf)) = self.0.iter().find(|(at, _)| at == path) {
            return Found::Leaf(leaf);
        }
        let names = self.names_in(path);
        if names.is_empty() {
            return Found::Nothing;
        }
        Found::Directory(names.into_iter().collect::<Vec<_>>().join("\n"))
    }

    fn names_in(&self, directory: &str) -> BTreeSet<String> {
        self.0
            .iter()
            .filter(|(_, leaf)| !matches!(leaf, Leaf::Missing(_)))
            .filter_map(|(path, _)| match directory {
                "" => Some(path.as_str()),
                _ => path.strip_prefix(directory)?.strip_prefix('/'),
            })
            .map(|below| match below.split_once('/') {
                Some((name, _)) => format!("{name}/"),
                None => below.to_owned(),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(path: &str) -> String {
        let tree = Tree::default()
            .with("meta-data/placement/region", Leaf::Text("us-east-1".into()))
            .with("meta-data/instance-id", Leaf::Text("i-1".into()))
            .with("meta-data/placement/availability-zone", Leaf::Text("us-east-1a".into()))
            .with("dynamic/pkcs7", Leaf::Missing("it would be forged"));
        match tree.find(path) {
            Found::Leaf(leaf) => format!("leaf {leaf:?}"),
            Found::Directory(names) => names,
            Found::Nothing => "nothing".into(),
        }
    }

    #[test]
    fn directories_list_what_lies_below_them() {
        assert_eq!(listing(""), "meta-data/");
        assert_eq!(listing("meta-data"), "instance-id\nplacement/");
        assert_eq!(listing("meta-data/placement/"), "availability-zone\nregion");
    }

    #[test]
    fn leaves_are_found_by_their_whole_path() {
        assert_eq!(listing("meta-data/instance-id"), "leaf Text(\"i-1\")");
        assert_eq!(listing("meta-data/instance-id/"), "leaf Text(\"i-1\")");
        assert_eq!(listing("dynamic/pkcs7"), "leaf Missing(\"it would be forged\")");
        for path in ["meta-data/instance", "meta-data//", "instance-id", "dynamic", "//"] {
            assert_eq!(listing(path), "nothing", "{path}");
        }
    }
}
