//! Where a setting stands.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Default,
    /// An option of this name on the command line.
    Flag(&'static str),
    /// A variable of this name.
    Environment(&'static str),
    File {
        path: PathBuf,
        line: usize,
    },
}

/// Where each key of a table stands: one table may come from several files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyOrigins(BTreeMap<String, Origin>);

impl KeyOrigins {
    /// Where that key stands; it has its default where it stands nowhere.
    pub fn of(&self, key: &str) -> &Origin {
        self.0.get(key).unwrap_or(&Origin::Default)
    }

    /// Where to mend what these keys say together, in a table that begins there: at the key that a
    /// later file has, if one does.
    pub(super) fn place_of<'a>(&'a self, keys: &[&str], table: &'a Origin) -> &'a Origin {
        let later =
            |origin: &&Origin| matches!(origin, Origin::File { .. }) && !origin.is_with(table);
        keys.iter().map(|key| self.of(key)).find(later).unwrap_or(table)
    }
}

impl Origin {
    fn is_with(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::File { path, .. }, Self::File { path: other, .. }) => path == other,
            _ => self == other,
        }
    }
}

impl FromIterator<(String, Origin)> for KeyOrigins {
    fn from_iter<T: IntoIterator<Item = (String, Origin)>>(keys: T) -> Self {
        Self(keys.into_iter().collect())
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Flag(option) => f.write_str(option),
            Self::Environment(variable) => write!(f, "${variable}"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
        }
    }
}
