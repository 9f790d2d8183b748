//! Keeps the consumers' bearer tokens: makes them, writes them into their files, replaces them when
//! their time has come, or when somebody else has removed or changed the file.

mod record;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::rules::TokenFiles;
use super::{Directories, Seams};
use crate::control;
use crate::endpoints::{TokenFile, TokenFileError, bearer_token};
use crate::host::clock::Clock;
use crate::host::entropy::Entropy;
use crate::host::file_watch::{Stamp, Ticker};
use crate::pure::advice::Advice;
use crate::pure::metadata::bearer_tokens::BearerTokens;
use crate::pure::metadata::container::BearerToken;
use crate::shelf::{Notices, Warning};
use crate::targets::is_same_file;
use crate::vending::{self, TokenHolder, TokenHolders};
use record::{Entry, shuts_out};

/// The record's name in the runtime directory.
pub(super) const RECORD: &str = record::NAME;

/// A file that could not be written is tried again so often.
const RETRY: Duration = Duration::from_secs(60);

/// Time is looked at again at least this often: a timer stands still while the machine is suspended.
const TICK: Duration = Duration::from_secs(60 * 60);

/// The tokens of all consumers that have a token file.
#[derive(Debug, Clone)]
pub(super) struct Keyring {
    held: Arc<Mutex<Held>>,
    directories: Arc<Directories>,
    notices: Notices,
}

#[derive(Debug, Default)]
struct Held {
    rings: Vec<Ring>,
    /// What the daemon before this one wrote, into files that nobody has asked for yet; `None` before
    /// the record is read.
    left: Option<Vec<Entry>>,
    /// The record as it was written.
    record: Vec<Entry>,
    /// What was said of files that cannot be written.
    told: Vec<Warning>,
}

/// A consumer's.
#[derive(Debug, Clone)]
struct Ring {
    file: TokenFile,
    tokens: BearerTokens,
    /// The file as it was written; `None` when the last attempt to write it has failed.
    written: Option<Stamp>,
}

/// A consumer, and a token by which it is known.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) consumer: String,
    pub(super) token: BearerToken,
}

/// The keyring, for those who ask what would be answered now.
#[derive(Debug)]
pub(super) struct KeyringNow {
    pub(super) keyring: Keyring,
    pub(super) clock: Arc<dyn Clock>,
}

impl TokenHolders for KeyringNow {
    fn holder(&self, token: &BearerToken) -> Option<TokenHolder> {
        self.keyring.holder(token, self.clock.since_boot())
    }
}

impl Keyring {
    /// Without any token yet. What stands in the way of a file goes to `notices`.
    pub(super) fn new(directories: &Directories, notices: Notices) -> Self {
        Self { held: Arc::default(), directories: Arc::new(directories.clone()), notices }
    }

    /// Keeps them until the task is dropped, or nobody sets the files any more.
    pub(super) async fn keep(self, mut files: watch::Receiver<TokenFiles>, seams: Seams) {
        let mut ticker = Ticker::new();
        loop {
            let wanted = files.borrow_and_update().clone();
            let pause = self.renew(&wanted, &*seams.entropy, seams.clock.since_boot());
            tokio::select! {
                changed = files.changed() => if changed.is_err() { return },
                () = seams.clock.sleep(pause) => {}
                () = self.disturbed(&mut ticker) => {}
            }
        }
    }

    /// Waits until somebody else has removed or changed a file.
    async fn disturbed(&self, ticker: &mut Ticker) {
        loop {
            ticker.tick().await;
            if self.lock().rings.iter().any(Ring::is_disturbed) {
                return;
            }
        }
    }

    /// Every token that is honoured.
    pub(super) fn honoured(&self, now: Duration) -> Vec<Known> {
        let known = |ring: &Ring| {
            let consumer = ring.file.consumer.clone();
            let tokens = ring.tokens.honoured(now).copied();
            tokens.map(move |token| Known { consumer: consumer.clone(), token }).collect::<Vec<_>>()
        };
        self.lock().rings.iter().flat_map(known).collect()
    }

    /// Makes what is missing or due, gives up what is wanted no more, and says when to look again.
    ///
    /// The lock is held for as long: who has read a new file finds its token known.
    pub fn renew(&self, wanted: &TokenFiles, entropy: &dyn Entropy, now: Duration) -> Duration {
        let mut held = self.lock();
        let before = std::mem::take(&mut held.rings);
        let mut left = held.left.take().unwrap_or_else(|| self.left());
        let (mut pause, mut warnings) = (TICK, wanted.idle());
        let wanted = wanted.written();
        for file in wanted {
            let known = before
                .iter()
                .find(|ring| ring.file.consumer == file.consumer && ring.is_at(&file.path));
            let ring = match known {
                Some(ring) if ring.is_as_wanted(file) && now < ring.tokens.due() => {
                    Some(ring.clone())
                }
                _ => match self.issue(file, known, &left, entropy, now) {
                    Ok(ring) => Some(ring),
                    Err(error) => {
                        warnings.push(Warning::of_token_file(&file.consumer, &error));
                        // Who may not read the file any more is not known by what it has read.
                        let known = known.filter(|it| !shuts_out(it.file.access, file.access));
                        known.map(|ring| Ring { written: None, ..ring.clone() })
                    }
                },
            };
            let written = ring.as_ref().filter(|ring| ring.written.is_some());
            let due = written.map_or(now, |ring| ring.tokens.due());
            pause = pause.min(due.saturating_sub(now).max(RETRY));
            held.rings.extend(ring);
        }
        for gone in before.iter().filter(|ring| !wanted.iter().any(|w| ring.is_at(&w.path))) {
            if let Err(error) = gone.file.remove() {
                tracing::warn!(consumer = gone.file.consumer, "{error}; try: {}", error.remedy());
            }
        }
        left.retain(|entry| !wanted.iter().any(|file| file.path == entry.path));
        self.keep_record(&mut held, &left);
        held.left = Some(left);
        for Warning { subject, message, remedy } in &warnings {
            if !held.told.iter().any(|told| told.subject == *subject && told.message == *message) {
                tracing::warn!("{subject}: {message}; try: {remedy}");
            }
        }
        self.notices.put(&warnings);
        held.told = warnings;
        pause
    }

    /// A new token in the file. The one that was there is honoured for its grace if it was this
    /// consumer's, and all who have read it may read the new one.
    fn issue(
        &self,
        file: &TokenFile,
        known: Option<&Ring>,
        left: &[Entry],
        entropy: &dyn Entropy,
        now: Duration,
    ) -> Result<Ring, TokenFileError> {
        if self.is_reserved(&file.path) {
            return Err(TokenFileError::Reserved { path: file.path.clone() });
        }
        if known.is_none_or(|ring| ring.written.is_none()) {
            file.check_place()?;
        }
        let secret = bearer_token(entropy);
        let token = BearerToken::new(&secret);
        let tokens = match known {
            Some(ring) if shuts_out(ring.file.access, file.access) => {
                BearerTokens::new(token, None, now)
            }
            Some(ring) => ring.tokens.succeeded_by(token, now),
            // A daemon before this one may have left a token, which was read a moment ago.
            None => {
                let found = file.read().ok().flatten().map(|found| BearerToken::new(&found));
                let mut its = left.iter().filter_map(|entry| entry.token_of(file));
                let earlier = its.find(|its| found.as_ref().is_some_and(|found| found.is(its)));
                BearerTokens::new(token, earlier, now)
            }
        };
        file.write(&secret)?;
        let (consumer, path) = (&file.consumer, file.path.display());
        tracing::info!(%consumer, %path, "a new token for the container endpoint");
        Ok(Ring { file: file.clone(), tokens, written: Stamp::of(&file.path) })
    }

    /// Whether the daemon has something of its own there.
    fn is_reserved(&self, path: &Path) -> bool {
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let (state, runtime) = (real(&self.directories.state), real(&self.directories.runtime));
        let Some((directory, name)) = path.parent().map(real).zip(path.file_name()) else {
            return true;
        };
        let [group, everybody] = vending::socket_paths(&runtime);
        let is_own = [control::socket_path(&runtime), group, everybody]
            .iter()
            .filter_map(|own| own.file_name())
            .chain([super::held::NAME, super::reload::NAME, record::NAME].map(AsRef::as_ref))
            .any(|own| own == name);
        // Not so a runtime directory that lies in the state directory.
        let is_inner = runtime != state && runtime.starts_with(&state);
        let is_state =
            directory.starts_with(&state) && !(is_inner && directory.starts_with(&runtime));
        is_state || (directory == runtime && is_own)
    }

    /// Where it cannot be read, nothing is honoured that was left.
    fn left(&self) -> Vec<Entry> {
        record::read(&self.directories.runtime).unwrap_or_else(|error| {
            tracing::warn!("tokens of the run before are not honoured: {error}");
            Vec::new()
        })
    }

    fn keep_record(&self, held: &mut Held, left: &[Entry]) {
        let current = |ring: &Ring| Entry::new(&ring.file, ring.tokens.current());
        let entries = held.rings.iter().map(current).chain(left.iter().cloned());
        let entries = entries.collect::<Vec<_>>();
        if entries == held.record {
            return;
        }
        match record::write(&self.directories.runtime, &entries) {
            Ok(()) => held.record = entries,
            Err(error) => tracing::warn!("the next run will honour no token of this one: {error}"),
        }
    }

    /// Whose a token is, at that time since boot.
    fn holder(&self, token: &BearerToken, now: Duration) -> Option<TokenHolder> {
        let held = self.lock();
        let ring = held
            .rings
            .iter()
            .find(|ring| ring.tokens.honoured(now).any(|known| known.is(token)))?;
        let current = ring.tokens.is_current(token);
        Some(TokenHolder { consumer: ring.file.consumer.clone(), current })
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ring {
    fn is_as_wanted(&self, wanted: &TokenFile) -> bool {
        self.file == *wanted && self.written.is_some() && !self.is_disturbed()
    }

    fn is_at(&self, path: &Path) -> bool {
        is_same_file(&self.file.path, path)
    }

    /// Whether somebody else has touched what was written. A directory that is gone is waited for: it
    /// may be on its way back.
    fn is_disturbed(&self) -> bool {
        let directory = self.file.path.parent().is_some_and(Path::is_dir);
        self.written.is_some() && directory && Stamp::of(&self.file.path) != self.written
    }
}

#[cfg(test)]
mod tests;
