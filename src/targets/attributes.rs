//! What was put on a credentials file by hand, and is to be on the file in its place.

use std::ffi::{OsStr, OsString};
use std::fs::File;

use super::Permission;
use crate::host::attributes;
use crate::host::replace::Staged;
use crate::pure::diagnosis::acl;

/// Labels of SELinux and of Smack.
const LABELS: [&str; 2] = ["security.selinux", "security.SMACK64"];

/// What users and their programs note.
const NOTES: &str = "user.";

/// The extended attributes that are carried over. Others say something about the old file alone, as
/// its checksum, or belong to the file system.
#[derive(Debug, Default)]
pub(super) struct Attributes {
    /// The access control list.
    pub list: Option<Vec<u8>>,
    others: Vec<(OsString, Vec<u8>)>,
    /// Names whose values could not be read.
    unread: Vec<OsString>,
}

impl Attributes {
    /// What can be read of the file's.
    pub fn of(file: &File) -> Self {
        let mut all = Self::default();
        // Where not even the names can be read, there is nothing to name as lost.
        for name in attributes::names(file).unwrap_or_default() {
            let list = name == acl::ATTRIBUTE;
            let text = name.to_string_lossy();
            if !list && !text.starts_with(NOTES) && !LABELS.contains(&text.as_ref()) {
                continue;
            }
            match attributes::get(file, &name) {
                Ok(Some(value)) if list => all.list = Some(value),
                Ok(Some(value)) => all.others.push((name, value)),
                Ok(None) => {}
                Err(_) => all.unread.push(name),
            }
        }
        all
    }

    /// All their names.
    pub fn names(&self) -> Vec<String> {
        let list = self.list.as_ref().map(|_| shown(OsStr::new(acl::ATTRIBUTE)));
        let others = self.others.iter().map(|(name, _)| name).chain(&self.unread);
        list.into_iter().chain(others.map(|name| shown(name))).collect()
    }

    /// Puts all but the list on the new file, before it has its owner, who alone may. Returns the names
    /// of those that it did not take.
    pub fn attach(&self, staged: &Staged<'_>) -> Vec<String> {
        let lost = self.others.iter().filter(|(name, value)| staged.attach(name, value).is_err());
        lost.map(|(name, _)| name).chain(&self.unread).map(|name| shown(name)).collect()
    }

    /// Puts the list on the new file, which has its permission and no content.
    pub fn attach_list(&self, staged: &Staged<'_>, now: Permission) -> Option<String> {
        let list = acl::for_mode(self.list.as_deref()?, now.mode)?;
        let name = OsStr::new(acl::ATTRIBUTE);
        staged.attach(name, &list).is_err().then(|| shown(name))
    }
}

/// A name that a user may have chosen.
fn shown(name: &OsStr) -> String {
    match name.to_string_lossy() {
        text if text == acl::ATTRIBUTE => "its access control list".to_owned(),
        text => text.chars().take(60).flat_map(char::escape_default).collect(),
    }
}
