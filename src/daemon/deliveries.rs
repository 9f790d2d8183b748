//! Performs what `pure::deliveries` decides: a record in the state directory of what was written where,
//! durable before the file is. One that is lost, as the state directory may be, costs no more than that
//! nobody knows what an earlier run left behind.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::unistd::{Gid, Uid};

use crate::control::Complaint;
use crate::host::directory::{UnsafeDirectory, make, open_file, open_out_of_reach};
use crate::host::replace::{Access, replace_file_at};
use crate::pure::deliveries::{Delivered, Deliveries, Holder, KeyDigest};
use crate::pure::ini::ProfileName;
use crate::pure::role_token::RoleToken;
use crate::targets::{Target, TargetError, is_same_file, published, withdraw};

/// The record's name in the state directory.
pub(super) const NAME: &str = "deliveries.json";

/// A state directory that had to be made is for the daemon alone.
const DIRECTORY_MODE: u32 = 0o700;

/// More than a record has: a few hundred bytes for each profile.
const LARGEST: u64 = 1024 * 1024;

/// Whose credentials each profile of a file is to have.
pub(super) type Wanted = BTreeMap<(PathBuf, String), Holder>;

/// The record. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct DeliveryRecord(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    /// Without one nothing is kept.
    state: Option<PathBuf>,
    deliveries: Deliveries,
    /// What should have been emptied, and could not be.
    left: Vec<Delivered>,
    /// Why it could not be written last.
    trouble: Option<String>,
}

/// A record that could not be written or read.
#[derive(Debug, thiserror::Error)]
enum RecordError {
    #[error(transparent)]
    Directory(#[from] UnsafeDirectory),
    #[error("{NAME}: {0}")]
    File(#[from] io::Error),
}

/// Takes our keys out of every file that the record in this directory names, whatever the settings say
/// now; whether it named any.
///
/// # Errors
///
/// The last file that could not be emptied, which stays in the record.
pub fn withdraw_all(state: &Path) -> Result<bool, Complaint> {
    let record = DeliveryRecord::open(state);
    let nothing_wanted = Wanted::new();
    let named = !record.lock().deliveries.leftovers(|_, _| None).is_empty();
    let (_, emptied) = record.withdraw_leftovers(&nothing_wanted, |_| false);
    emptied.map(|()| named)
}

impl DeliveryRecord {
    /// What earlier runs wrote down in this directory.
    pub(super) fn open(state: &Path) -> Self {
        let deliveries = read(state).unwrap_or_else(|error| {
            tracing::warn!("it is not known what earlier runs wrote where: {error}");
            Deliveries::default()
        });
        let state = Some(state.to_owned());
        Self(Arc::new(Mutex::new(Kept { state, deliveries, left: Vec::new(), trouble: None })))
    }

    /// Writes down that these targets are about to get the token.
    pub(super) fn announce<'a>(
        &self,
        targets: impl IntoIterator<Item = &'a Target>,
        token: &RoleToken,
        holder: &Holder,
    ) {
        let mut kept = self.lock();
        let key = KeyDigest::of(token.access_key_id.as_str());
        let mut is_news = false;
        for target in targets {
            let (owner, group) = (target.access.owner, target.access.group);
            let access = (owner.map(Uid::as_raw), group.map(Gid::as_raw), target.access.mode);
            let place = Delivered::to(&target.name, &target.path, &target.profile, access, holder);
            is_news |= kept.deliveries.announce(place, &key);
        }
        if is_news {
            kept.write();
        }
    }

    /// The target has what was announced last. That is durable of the first time alone: until the next
    /// time both keys are known.
    pub(super) fn confirm(&self, target: &Target) {
        let mut kept = self.lock();
        if kept.deliveries.confirm(&target.path, &target.profile) {
            kept.write();
        }
    }

    /// Whether the target holds a key of ours now.
    pub(super) fn holds(&self, target: &Target) -> bool {
        let held = published(target).ok().flatten();
        held.is_some_and(|held| {
            let profile = target.profile.as_str();
            self.lock().deliveries.is_ours(&target.path, profile, &held.access_key_id)
        })
    }

    /// The target holds nothing of ours any more.
    pub(super) fn forget(&self, target: &Target) {
        let mut kept = self.lock();
        if kept.deliveries.forget(&target.path, target.profile.as_str()) {
            kept.write();
        }
    }

    /// Takes our keys out of all profiles that are to have none, or somebody else's; but for targets that
    /// `stay` as they are for now, which come first, unless another target has their profile. A file that is wanted by another path is that file.
    ///
    /// # Errors
    ///
    /// The last one that could not be emptied.
    pub(super) fn withdraw_leftovers(
        &self,
        wanted: &Wanted,
        stays: impl Fn(&Target) -> bool,
    ) -> (Vec<Target>, Result<(), Complaint>) {
        let mut kept = self.lock();
        let holder = |path: &Path, profile: &str| {
            let is_there =
                |(wanted, its): &&(PathBuf, String)| its == profile && is_same_file(wanted, path);
            let exactly = wanted.get(&(path.to_owned(), profile.to_owned()));
            exactly.or_else(|| wanted.get(wanted.keys().find(is_there)?))
        };
        let left = kept.deliveries.leftovers(holder).into_iter().cloned();
        // In a file that is somebody else's by now nothing stays.
        let is_free = |left: &Delivered| holder(&left.path, &left.profile).is_none();
        let staying = |left: &Delivered| target(left).filter(&stays).filter(|_| is_free(left));
        let (staying, left) =
            left.map(|it| (staying(&it), it)).partition::<Vec<_>, _>(|(it, _)| it.is_some());
        kept.left = left.into_iter().map(|(_, left)| left).collect();
        (staying.into_iter().filter_map(|(target, _)| target).collect(), kept.empty())
    }

    /// Tries once more what could not be emptied.
    ///
    /// # Errors
    ///
    /// As [`DeliveryRecord::withdraw_leftovers`].
    pub(super) fn try_again(&self) -> Result<(), Complaint> {
        self.lock().empty()
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn empty(&mut self) -> Result<(), Complaint> {
        let (mut outcome, mut is_news) = (Ok(()), false);
        for left in std::mem::take(&mut self.left) {
            let (path, profile) = (left.path.display(), &left.profile);
            match empty(&left) {
                Ok(emptied) => {
                    if emptied {
                        tracing::warn!(
                            "{path}: keys of an earlier run were withdrawn from [{profile}]"
                        );
                    }
                    is_news |= self.deliveries.forget(&left.path, profile);
                }
                // Somebody else's file, which has never taken one.
                Err(error) if !left.has_arrived() && error.is_of_what_is_there() => {
                    is_news |= self.deliveries.forget(&left.path, profile);
                }
                Err(error) => {
                    let Complaint { message, remedy, exit } = Complaint::of(&error);
                    let message = format!("[{profile}] keeps keys of an earlier run: {message}");
                    outcome = Err(Complaint { message, remedy, exit });
                    self.left.push(left);
                }
            }
        }
        if is_news {
            self.write();
        }
        outcome
    }

    fn write(&mut self) {
        let Some(state) = &self.state else { return };
        let trouble = write(state, &self.deliveries).err().map(|error| error.to_string());
        if let Some(trouble) = &trouble
            && self.trouble.as_ref() != Some(trouble)
        {
            tracing::warn!("the next run will not know what was written where: {trouble}");
        }
        self.trouble = trouble;
    }
}

/// Takes the keys out if they are ours; whether they were.
fn empty(left: &Delivered) -> Result<bool, TargetError> {
    let Some(target) = target(left) else { return Ok(false) };
    let ours = published(&target)?.is_some_and(|held| left.is_ours(&held.access_key_id));
    if ours {
        withdraw(&target)?;
    }
    Ok(ours)
}

/// What it was a part of. Nothing of a record that somebody has edited.
fn target(left: &Delivered) -> Option<Target> {
    let (owner, group) = (left.owner.map(Uid::from_raw), left.group.map(Gid::from_raw));
    Some(Target {
        name: left.name.clone(),
        path: left.path.clone(),
        profile: left.profile.parse::<ProfileName>().ok()?,
        access: Access { mode: left.mode, owner, group },
    })
}

fn write(state: &Path, deliveries: &Deliveries) -> Result<(), RecordError> {
    let text = serde_json::to_vec(deliveries).map_err(io::Error::from)?;
    make(state, DIRECTORY_MODE)?;
    let directory = open_out_of_reach(state, None)?;
    Ok(replace_file_at(&directory, NAME, &text, Access::PRIVATE)?)
}

fn read(state: &Path) -> Result<Deliveries, RecordError> {
    if !state.exists() {
        return Ok(Deliveries::default());
    }
    let directory = open_out_of_reach(state, None)?;
    let Some(file) = open_file(&directory, NAME.as_ref())? else {
        return Ok(Deliveries::default());
    };
    let mut text = Vec::new();
    file.take(LARGEST).read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text).map_err(io::Error::from)?)
}
