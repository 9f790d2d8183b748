//! Delivers role tokens to credentials files: the effect whose decisions `pure::ini` makes.
//!
//! A delivery reads the file, edits one profile and puts a new file in the old one's place, with
//! the owner, group and mode of the configuration, whatever the old one had. Programs see the old
//! file or the new one and never a wider mode. What cannot be done safely is not done: the file
//! stays as it is, and the error says what to change.
//!
//! Others edit the file too. One who does so between our reading and our replacing it would lose
//! the edit, so the file is looked at once more just before; the rest of that gap is microseconds.
//!
//! What was put on the old file by hand stays on the new one: its access control list, its label, its
//! `user.` attributes. What cannot be kept is a warning. A list that the directory has for new files
//! does not count: nobody reads the file but whom its mode and its own list say.

mod attributes;
mod existing;
mod trouble;
mod warning;

pub use crate::pure::ini::Published;
pub use trouble::{TargetError, Trouble};
pub use warning::Warning;

use std::ffi::OsStr;
use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::{Gid, Uid, geteuid};

use self::existing::Existing;
use crate::host::directory::open_out_of_reach;
use crate::host::replace::{Access, Staged};
use crate::pure::ini::{Document, ProfileName, Unusable};
use crate::pure::role_token::RoleToken;

/// How often a delivery starts again because somebody else wrote the file meanwhile.
const ATTEMPTS: usize = 3;

/// A profile in a credentials file that we keep fresh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The name it goes by in settings and messages.
    pub name: String,
    pub path: PathBuf,
    pub profile: ProfileName,
    pub access: Access,
}

/// What became of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// It said so already, with the right owner, group and mode.
    Unchanged,
    /// It was replaced, or made.
    Written,
    /// It was replaced, and had another owner, group or mode than it should. Whoever could read it
    /// may have the credentials that it held.
    Corrected { found: Permission, now: Permission },
}

/// What became of the file, and what should be known about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    pub delivery: Delivery,
    pub warnings: Vec<Warning>,
}

/// Owner, group and mode of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permission {
    pub owner: Uid,
    pub group: Gid,
    pub mode: u32,
}

impl Target {
    /// Checks what can be checked without looking at the disk.
    ///
    /// The path is absolute and names a file without detours. The mode lets the owner read, and
    /// nobody execute; others do not write.
    ///
    /// # Errors
    ///
    /// [`Trouble::Path`] or [`Trouble::Mode`].
    pub fn check(&self) -> Result<(), TargetError> {
        let straight = self.path.is_absolute()
            && self.path.file_name().is_some()
            && !self.path.as_os_str().as_bytes().ends_with(b"/")
            && !self.path.components().any(|part| part == Component::ParentDir);
        let (needed, allowed) = (0o400, 0o664);
        if !straight {
            Err(self.in_trouble(Trouble::Path))
        } else if self.access.mode & needed != needed || self.access.mode & !allowed != 0 {
            Err(self.in_trouble(Trouble::Mode(self.access.mode)))
        } else {
            Ok(())
        }
    }

    /// Whether both are one profile of one file, whatever links their paths lead through.
    pub fn is_in_place_of(&self, other: &Self) -> bool {
        self.profile == other.profile && is_same_file(&self.path, &other.path)
    }

    fn in_trouble(&self, trouble: Trouble) -> TargetError {
        let (owner, group) = self.access.ids();
        TargetError { path: self.path.clone(), owner, group, trouble }
    }

    fn permission(&self) -> Permission {
        let (owner, group) = self.access.ids();
        Permission { owner, group, mode: self.access.mode }
    }

    /// The directory and the file's name in it.
    fn parts(&self) -> Result<(&Path, &OsStr), Trouble> {
        self.path.parent().zip(self.path.file_name()).ok_or(Trouble::Path)
    }
}

/// Whether two paths lead to one name in one directory, be there a file or not. The last name counts as it
/// is: a target is no link.
pub fn is_same_file(one: &Path, other: &Path) -> bool {
    let directory = |path: &Path| path.parent()?.metadata().ok().map(|it| (it.dev(), it.ino()));
    one == other
        || one.file_name() == other.file_name()
            && directory(one).is_some_and(|found| directory(other) == Some(found))
}

/// Puts the token into the target's profile.
///
/// # Errors
///
/// What keeps us from it; the file is then as it was.
pub fn deliver(target: &Target, token: &RoleToken) -> Result<Delivered, TargetError> {
    edit(target, Document::parse, |document| document.set_profile(&target.profile, token))
}

/// Gives the file, as it is, the target's owner, group and mode.
///
/// # Errors
///
/// As [`deliver`].
pub fn give(target: &Target) -> Result<Delivered, TargetError> {
    edit(target, Document::parse, |_| Ok(()))
}

/// Takes our keys out of the target's profile. A file that this leaves empty stays, empty. One that
/// does not hold our keys is not touched, and keys that somebody else put into the profile stay.
///
/// # Errors
///
/// As [`deliver`].
pub fn withdraw(target: &Target) -> Result<Delivered, TargetError> {
    match holds_ours(target) {
        Ok(false) => Ok(Delivered { delivery: Delivery::Unchanged, warnings: Vec::new() }),
        Ok(true) => edit(target, Document::parse_to_withdraw, |document| {
            document.withdraw_profile(&target.profile)
        }),
        Err(trouble) => Err(target.in_trouble(trouble)),
    }
}

/// What programs find in the target's profile now. Reads as they do, wherever the file is; but a
/// symlink, a pipe or a device in its place is refused here, too.
///
/// # Errors
///
/// What keeps us from reading it.
pub fn published(target: &Target) -> Result<Option<Published>, TargetError> {
    read(target, Document::parse)
        .and_then(|document| {
            let published = document.map(|document| document.read_profile(&target.profile));
            published.transpose().map_err(|unusable| content(target, unusable))
        })
        .map(Option::flatten)
        .map_err(|trouble| target.in_trouble(trouble))
}

/// Whether a withdrawal would change anything.
fn holds_ours(target: &Target) -> Result<bool, Trouble> {
    let Some(before) = read(target, Document::parse_to_withdraw)? else { return Ok(false) };
    let mut after = before.clone();
    after.withdraw_profile(&target.profile).map_err(|unusable| content(target, unusable))?;
    Ok(after != before)
}

fn read(target: &Target, parser: Parser) -> Result<Option<Document>, Trouble> {
    let (directory, name) = target.parts()?;
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let directory = match open(directory, flags, Mode::empty()) {
        Err(Errno::ENOENT) => return Ok(None),
        opened => opened.map_err(|errno| Trouble::of("read", errno.into()))?,
    };
    let existing = Existing::open(directory.as_fd(), name)?;
    existing.map(|file| parse(target, parser, &file)).transpose()
}

/// How a file is read: what only takes our keys out asks less of it.
type Parser = fn(&[u8]) -> Result<Document, Unusable>;

fn edit(
    target: &Target,
    parser: Parser,
    change: impl Fn(&mut Document) -> Result<(), Unusable>,
) -> Result<Delivered, TargetError> {
    target.check()?;
    let directory = open_directory(target).map_err(|trouble| target.in_trouble(trouble))?;
    for _ in 0..ATTEMPTS {
        match edit_once(target, &directory, parser, &change) {
            Err(Trouble::Busy) => {}
            outcome => return outcome.map_err(|trouble| target.in_trouble(trouble)),
        }
    }
    Err(target.in_trouble(Trouble::Busy))
}

fn open_directory(target: &Target) -> Result<OwnedFd, Trouble> {
    let (directory, _) = target.parts()?;
    Ok(open_out_of_reach(directory, target.access.owner)?)
}

fn edit_once(
    target: &Target,
    directory: &OwnedFd,
    parser: Parser,
    change: impl Fn(&mut Document) -> Result<(), Unusable>,
) -> Result<Delivered, Trouble> {
    let (_, name) = target.parts()?;
    let directory = directory.as_fd();
    let existing = Existing::open(directory, name)?;
    let before = existing.as_ref().map(|file| parse(target, parser, file)).transpose()?;
    let mut after = before.clone().unwrap_or_else(Document::empty);
    change(&mut after).map_err(|unusable| content(target, unusable))?;

    let published = after.read_profile(&target.profile).ok().flatten();
    let overridden = published.and_then(|published| Warning::of_published(target, &published));
    let mut warnings = overridden.into_iter().collect::<Vec<_>>();
    let now = target.permission();
    let found = existing.as_ref().map(Existing::permission);
    if found == Some(now) && before.as_ref() == Some(&after) {
        return Ok(Delivered { delivery: Delivery::Unchanged, warnings });
    }
    let failed = |error| Trouble::of("write", error);
    let mut staged = Staged::create(directory, name).map_err(failed)?;
    // What a stranger put on a file of theirs is not ours to pass on.
    let trusted =
        |found: &Permission| [Uid::from_raw(0), geteuid(), now.owner].contains(&found.owner);
    let attributes = existing.as_ref().map(Existing::attributes);
    let kept = attributes.filter(|_| found.as_ref().is_some_and(trusted));
    let mut lost = match (attributes, kept) {
        (_, Some(kept)) => kept.attach(&staged),
        (Some(attributes), None) => attributes.names(),
        (None, None) => Vec::new(),
    };
    staged.give(target.access).map_err(|error| Trouble::of_giving(error, now))?;
    lost.extend(kept.and_then(|kept| kept.attach_list(&staged, now)));
    staged.write(after.as_bytes()).map_err(failed)?;
    if !Existing::is_still(existing.as_ref(), directory, name) {
        return Err(Trouble::Busy);
    }
    staged.commit().map_err(failed)?;
    if !lost.is_empty() {
        warnings.push(Warning::Lost { path: target.path.clone(), names: lost.join(", ") });
    }
    let delivery = match found {
        Some(found) if found != now => Delivery::Corrected { found, now },
        _ => Delivery::Written,
    };
    Ok(Delivered { delivery, warnings })
}

fn parse(target: &Target, parser: Parser, file: &Existing) -> Result<Document, Trouble> {
    parser(file.bytes()).map_err(|unusable| content(target, unusable))
}

fn content(target: &Target, unusable: Unusable) -> Trouble {
    Trouble::Content { profile: target.profile.clone(), unusable }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "owner {} group {} mode {:04o}", self.owner, self.group, self.mode)
    }
}

#[cfg(test)]
mod tests;
