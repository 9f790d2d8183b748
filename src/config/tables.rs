//! The `[[target]]`s or the `[[consumer]]`s of the settings, in their order. What is wrong with one is
//! that one's: it stays in its place, disabled, and the others are read.

mod salvage;

use std::ops::Index;
use std::path::PathBuf;

use super::{ConsumerSettings, Origin, TargetSettings};
use crate::pure::disabled::{Disabled, Kind};
use salvage::readers;
pub(super) use salvage::salvage;

/// Tables of one kind, of which names are unique among those that can be used. Iterates over these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tables<T>(Vec<Table<T>>);

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Table<T> {
    Usable(T),
    Disabled(Box<DisabledTable>),
}

/// One that cannot be used, and what can be read of it all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DisabledTable {
    pub fault: Disabled,
    pub whom: Whom,
    /// A target's file.
    pub path: Option<PathBuf>,
    pub origin: Origin,
}

/// Whom a table that cannot be used is meant for. What follows in the order of the rules is not for
/// them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Whom {
    pub users: Vec<String>,
    pub groups: Vec<String>,
    pub everyone: bool,
    /// The service's own user and group, to whom a file belongs that is given to nobody else.
    pub service: Option<ServiceAccount>,
    /// Where all of them can be read; otherwise the table counts as if it named none of them.
    pub units: Vec<String>,
    pub executables: Vec<PathBuf>,
    /// It may name more than can be read.
    pub incomplete: bool,
}

/// What of the service's own account reads a target's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceAccount {
    User,
    UserAndGroup,
}

/// What helps where two tables clash.
pub(super) const CHANGE_ONE: &str = "change one of the two, then rolekeeper reload";

/// What a table cannot be beside another.
pub(super) struct Clash {
    /// Those of its keys that say so.
    pub keys: &'static [&'static str],
    pub message: String,
    pub remedy: &'static str,
}

/// A table that was read.
pub trait Named {
    /// What stays of it when these of its keys keep it from being used.
    fn disabled(&self, keys: &[&str], error: String, remedy: String) -> DisabledTable;
}

type Usable<'a, T> =
    std::iter::FilterMap<std::slice::Iter<'a, Table<T>>, fn(&Table<T>) -> Option<&T>>;

impl<T> Default for Tables<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Tables<T> {
    /// Those that can be used.
    pub fn iter(&self) -> Usable<'_, T> {
        self.0.iter().filter_map(Table::usable)
    }

    /// All of them.
    pub fn in_order(&self) -> &[Table<T>] {
        &self.0
    }

    /// Those that cannot be used.
    pub fn disabled(&self) -> impl Iterator<Item = &DisabledTable> + Clone {
        self.0.iter().filter_map(|table| match table {
            Table::Usable(_) => None,
            Table::Disabled(disabled) => Some(&**disabled),
        })
    }

    /// How many can be used.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether none can be used.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

impl<T: Named> Tables<T> {
    /// The next in their order.
    pub(super) fn push(&mut self, table: Table<T>) {
        self.0.push(table);
    }

    /// Disables each that clashes with one before it, as `clash` says.
    pub(super) fn settle(&mut self, clash: impl Fn(&T, &Self) -> Option<Clash>) {
        let tables = std::mem::take(&mut self.0);
        for table in tables {
            let clashes = match &table {
                Table::Usable(usable) => {
                    clash(usable, self).map(|Clash { keys, message, remedy }| {
                        usable.disabled(keys, message, remedy.to_owned())
                    })
                }
                Table::Disabled(_) => None,
            };
            self.0.push(clashes.map_or(table, Table::disabled));
        }
    }
}

impl<T> Table<T> {
    pub(super) fn disabled(table: DisabledTable) -> Self {
        Self::Disabled(Box::new(table))
    }

    fn usable(&self) -> Option<&T> {
        match self {
            Self::Usable(usable) => Some(usable),
            Self::Disabled(_) => None,
        }
    }
}

impl Named for TargetSettings {
    fn disabled(&self, keys: &[&str], error: String, remedy: String) -> DisabledTable {
        let place = self.keys.place_of(keys, &self.origin);
        DisabledTable {
            fault: fault(Kind::Target, &self.name, place, error, remedy),
            whom: readers(
                self.owner.iter().cloned().collect(),
                self.group.iter().cloned().collect(),
                Some(self.mode),
            ),
            path: Some(self.path.clone()),
            origin: self.origin.clone(),
        }
    }
}

impl Named for ConsumerSettings {
    fn disabled(&self, keys: &[&str], error: String, remedy: String) -> DisabledTable {
        let place = self.keys.place_of(keys, &self.origin);
        DisabledTable {
            fault: fault(Kind::Consumer, &self.name, place, error, remedy),
            whom: Whom {
                users: self.users.clone(),
                groups: self.groups.clone(),
                units: self.units.clone(),
                executables: self.executables.clone(),
                ..Whom::default()
            },
            path: None,
            origin: self.origin.clone(),
        }
    }
}

fn fault(kind: Kind, name: &str, place: &Origin, error: String, remedy: String) -> Disabled {
    Disabled { kind, name: Some(name.to_owned()), place: place.to_string(), error, remedy }
}

impl<T> Index<usize> for Tables<T> {
    type Output = T;

    /// Of those that can be used.
    fn index(&self, index: usize) -> &T {
        self.iter().nth(index).expect("as many can be used")
    }
}

impl<'a, T> IntoIterator for &'a Tables<T> {
    type Item = &'a T;
    type IntoIter = Usable<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::file::tests::read_all;
    use super::*;

    fn whom(keys: &str) -> Whom {
        let text = format!("[[consumer]]\nname = \"a\"\n{keys}\n");
        let settings = read_all(&[("/etc/x.toml", &text)]).unwrap();
        settings.consumers.disabled().next().unwrap().whom.clone()
    }

    #[test]
    fn whom_a_broken_consumer_names_is_read_as_far_as_it_goes() {
        let names = |users: &[&str], groups: &[&str], incomplete| Whom {
            users: users.iter().map(|name| (*name).to_owned()).collect(),
            groups: groups.iter().map(|name| (*name).to_owned()).collect(),
            incomplete,
            ..Whom::default()
        };
        for (keys, expected) in [
            ("users = [\"x\"]\nmode = \"0999\"", names(&["x"], &[], false)),
            ("users = \"x\"\ngroups = 33", names(&["x"], &["33"], false)),
            ("users = [\"x\", 7]", names(&["x", "7"], &[], false)),
            // A misspelt key may be either.
            ("user = [\"x\"]", names(&["x"], &["x"], false)),
            ("users = [\"x\", true]", names(&["x"], &[], true)),
            ("users = [\"x\"]\ngroups = { y = 1 }", names(&["x"], &[], true)),
            ("users = true", names(&[], &[], true)),
            ("mode = \"0600\"", names(&[], &[], true)),
        ] {
            assert_eq!(whom(keys), expected, "{keys}");
        }
        let narrowed = whom("users = [\"x\"]\nunits = [\"a.service\"]\nduration = \"1h\"");
        assert_eq!(narrowed.units, ["a.service"]);
        // One that cannot be read narrows nothing.
        for units in ["\"a.service\"", "[\"a\"]", "[\"a.service\", 7]"] {
            let keys = format!("users = [\"x\"]\nunits = {units}");
            assert_eq!(whom(&keys), names(&["x"], &[], false), "{units}");
        }
        let text = "users = [\"x\"]\nexecutables = [\"restic\"]";
        assert_eq!(whom(text), names(&["x"], &[], false));
    }

    #[test]
    fn whom_a_broken_targets_file_was_for_is_read_as_far_as_it_goes() {
        let target = |keys: &str| {
            let text = format!("[[target]]\nname = \"a\"\npath = \"/c\"\n{keys}\n");
            let settings = read_all(&[("/etc/x.toml", &text)]).unwrap();
            settings.targets.disabled().next().unwrap().whom.clone()
        };
        let texts = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let own = Some(ServiceAccount::UserAndGroup);
        let whom = |users: &[&str], groups: &[&str], everyone, service, incomplete| Whom {
            users: texts(users),
            groups: texts(groups),
            everyone,
            service,
            incomplete,
            ..Whom::default()
        };
        let broken = "duration = \"2h\"\n";
        for (keys, expected) in [
            ("", whom(&[], &[], false, own, false)),
            ("mode = \"0600\"", whom(&[], &[], false, Some(ServiceAccount::User), false)),
            ("mode = \"0644\"", whom(&[], &[], true, own, false)),
            ("mode = \"0666\"", whom(&[], &[], true, own, false)),
            ("mode = 644", whom(&[], &[], true, own, false)),
            ("mode = 0o640", whom(&[], &[], false, own, false)),
            ("mode = \"rw-r--r--\"", whom(&[], &[], true, own, false)),
            ("mode = true", whom(&[], &[], true, own, false)),
            ("mdoe = \"0644\"", whom(&["0644"], &["0644"], true, None, false)),
            ("owner = \"x\"", whom(&["x"], &[], false, None, false)),
            ("group = 7", whom(&[], &["7"], false, Some(ServiceAccount::User), false)),
            (
                "group = 7\nmode = \"0600\"",
                whom(&[], &[], false, Some(ServiceAccount::User), false),
            ),
            ("grup = \"x\"", whom(&["x"], &["x"], false, None, false)),
            ("rol_arn = \"arn:aws:x\"", whom(&[], &[], false, own, false)),
            ("owner = true", whom(&[], &[], false, own, true)),
            ("ownr = { x = 1 }", whom(&[], &[], false, own, true)),
        ] {
            assert_eq!(target(&format!("{broken}{keys}")), expected, "{keys}");
        }
        // One that is disabled for another's sake has the readers that its file had.
        let text = "[[target]]\nname = \"a\"\npath = \"/c\"\nmode = \"0644\"\n".repeat(2);
        let settings = read_all(&[("/etc/x.toml", &text)]).unwrap();
        let disabled = settings.targets.disabled().next().unwrap();
        assert_eq!(disabled.whom, whom(&[], &[], true, own, false));
    }

    #[test]
    fn a_mistake_in_a_later_file_does_not_bring_the_earlier_table_back() {
        let target = |more: &str| format!("[[target]]\nname = \"a\"\npath = \"/c\"\n{more}\n");
        let (one, two) = (target(""), target("mode = \"0666\""));
        let settings = read_all(&[("/1.toml", &one), ("/2.toml", &two)]).unwrap();
        assert!(settings.targets.is_empty());
        let disabled = settings.targets.disabled().next().unwrap();
        assert_eq!(disabled.fault.place, "/2.toml:4:8");
        assert_eq!(disabled.path.as_deref(), Some(Path::new("/c")));
        // Mended by one that is later still.
        let last = target("mode = \"0644\"");
        let three = [("/1.toml", &*one), ("/2.toml", &*two), ("/3.toml", &*last)];
        assert_eq!(read_all(&three).unwrap().disabled().count(), 0);
    }
}
