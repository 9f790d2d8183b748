//! What the services were told and what not yet, for the daemon that comes after this one: a restart
//! forgets neither a pace nor news. Kept beside the sockets, it goes with the runtime directory when
//! the service is stopped, and at the latest with the boot whose time it counts in.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::host::directory::{UnsafeDirectory, open_file, open_out_of_reach};
use crate::host::file_watch::Stamp;
use crate::host::replace::{Access, replace_file_at};
use crate::pure::reload::Memory;
use crate::pure::unit::ServiceName;

/// The record's name in the runtime directory.
pub(in crate::daemon) const NAME: &str = "reloads.json";

/// More than a record has: a few hundred bytes for each service.
const LARGEST: u64 = 1024 * 1024;

/// Of all services. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Memories(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    runtime: PathBuf,
    of: BTreeMap<String, Memory>,
}

/// A record that could not be written or read.
#[derive(Debug, thiserror::Error)]
enum MemoryError {
    #[error(transparent)]
    Directory(#[from] UnsafeDirectory),
    #[error("{NAME}: {0}")]
    File(#[from] io::Error),
}

impl Memories {
    /// What the run before kept in this directory.
    pub(super) fn take_back(runtime: &Path) -> Self {
        let of = read(runtime).unwrap_or_else(|error| {
            tracing::warn!("of the run before it is not known what services were told: {error}");
            BTreeMap::new()
        });
        Self(Arc::new(Mutex::new(Kept { runtime: runtime.to_owned(), of })))
    }

    pub(super) fn of(&self, unit: &ServiceName) -> Memory {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.of.get(unit.as_str()).cloned().unwrap_or_default()
    }

    /// Writes it all down again where somebody else has removed it.
    pub(super) fn restore(&self) {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_gone = !kept.of.is_empty() && Stamp::of(&kept.runtime.join(NAME)).is_none();
        if is_gone && let Err(error) = kept.write() {
            tracing::warn!("the next run will not know what services were told: {error}");
        }
    }

    /// Writes down what is news.
    pub(super) fn keep(&self, unit: &ServiceName, memory: Memory) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.of.get(unit.as_str()) == Some(&memory) {
            return;
        }
        kept.of.insert(unit.to_string(), memory);
        if let Err(error) = kept.write() {
            tracing::warn!("the next run will not know what services were told: {error}");
        }
    }
}

impl Kept {
    fn write(&self) -> Result<(), MemoryError> {
        let text = serde_json::to_vec(&self.of).map_err(io::Error::from)?;
        let directory = open_out_of_reach(&self.runtime, None)?;
        Ok(replace_file_at(&directory, NAME, &text, Access::PRIVATE)?)
    }
}

fn read(runtime: &Path) -> Result<BTreeMap<String, Memory>, MemoryError> {
    let directory = open_out_of_reach(runtime, None)?;
    let Some(file) = open_file(&directory, NAME.as_ref())? else { return Ok(BTreeMap::new()) };
    let mut text = Vec::new();
    file.take(LARGEST).read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text).map_err(io::Error::from)?)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;
    use crate::pure::jitter::Jitter;
    use crate::pure::reload::{Event, Hook, Pace};

    #[test]
    fn what_is_kept_is_there_for_the_next_run_and_damage_is_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let unit = "legacy.service".parse::<ServiceName>().unwrap();
        let minute = Duration::from_secs(60);
        let pace = Pace { min_interval: minute, jitter: minute };
        let mut hook = Hook::new(pace, Memory::default(), Jitter::NONE, minute);
        let news = Event::Renewed { target: "legacy".to_owned(), left: minute };
        assert!(hook.handle(news, Jitter::NONE, minute).is_some());

        let memories = Memories::take_back(directory.path());
        assert_eq!(memories.of(&unit), Memory::default());
        memories.keep(&unit, hook.memory());
        let again = Memories::take_back(directory.path());
        assert_eq!(again.of(&unit), hook.memory());
        assert_ne!(again.of(&unit), Memory::default());
        assert_eq!(again.of(&"other.service".parse().unwrap()), Memory::default());

        fs::remove_file(directory.path().join(NAME)).unwrap();
        memories.restore();
        assert_eq!(Memories::take_back(directory.path()).of(&unit), hook.memory());

        fs::write(directory.path().join(NAME), "{\"legacy.service\": 7}").unwrap();
        let damaged = Memories::take_back(directory.path());
        assert_eq!(damaged.of(&unit), Memory::default());
    }
}
