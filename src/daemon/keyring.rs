//! Keeps the consumers' bearer tokens: makes them, writes them into their files, replaces them when
//! their time has come, or when somebody else has removed or changed the file.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::Seams;
use crate::endpoints::{TokenFile, bearer_token};
use crate::host::clock::Clock;
use crate::host::entropy::Entropy;
use crate::host::file_watch::{Stamp, Ticker};
use crate::pure::advice::Advice;
use crate::pure::metadata::bearer_tokens::BearerTokens;
use crate::pure::metadata::container::BearerToken;
use crate::vending::{TokenHolder, TokenHolders};

/// A file that could not be written is tried again so often.
const RETRY: Duration = Duration::from_secs(60);

/// Time is looked at again at least this often: a timer stands still while the machine is suspended.
const TICK: Duration = Duration::from_secs(60 * 60);

/// The tokens of all consumers that have a token file.
#[derive(Debug, Clone, Default)]
pub(super) struct Keyring(Arc<Mutex<Vec<Ring>>>);

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
    /// Keeps them until the task is dropped, or nobody sets the files any more.
    pub(super) async fn keep(self, mut files: watch::Receiver<Vec<TokenFile>>, seams: Seams) {
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
            if self.lock().iter().any(Ring::is_disturbed) {
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
        self.lock().iter().flat_map(known).collect()
    }

    /// Makes what is missing or due, gives up what is wanted no more, and says when to look again.
    ///
    /// The lock is held for as long: who has read a new file finds its token known.
    fn renew(&self, wanted: &[TokenFile], entropy: &dyn Entropy, now: Duration) -> Duration {
        let mut held = self.lock();
        let before = std::mem::take(&mut *held);
        let mut pause = TICK;
        for file in wanted {
            let known = before
                .iter()
                .find(|ring| ring.file.consumer == file.consumer && ring.file.path == file.path);
            let ring = match known {
                Some(ring) if ring.is_as_wanted(file) && now < ring.tokens.due() => {
                    Some(ring.clone())
                }
                _ => issue(file, known, entropy, now),
            };
            let written = ring.as_ref().filter(|ring| ring.written.is_some());
            let due = written.map_or(now, |ring| ring.tokens.due());
            pause = pause.min(due.saturating_sub(now).max(RETRY));
            held.extend(ring);
        }
        for gone in before.iter().filter(|ring| !wanted.iter().any(|w| w.path == ring.file.path)) {
            if let Err(error) = gone.file.remove() {
                tracing::warn!(consumer = gone.file.consumer, "{error}; try: {}", error.remedy());
            }
        }
        pause
    }

    /// Whose a token is, at that time since boot.
    fn holder(&self, token: &BearerToken, now: Duration) -> Option<TokenHolder> {
        let held = self.lock();
        let ring =
            held.iter().find(|ring| ring.tokens.honoured(now).any(|known| known.is(token)))?;
        let current = ring.tokens.is_current(token);
        Some(TokenHolder { consumer: ring.file.consumer.clone(), current })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Ring>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ring {
    fn is_as_wanted(&self, wanted: &TokenFile) -> bool {
        self.file == *wanted && self.written.is_some() && !self.is_disturbed()
    }

    /// Whether somebody else has touched what was written. A directory that is gone is waited for: it
    /// may be on its way back.
    fn is_disturbed(&self) -> bool {
        let directory = self.file.path.parent().is_some_and(Path::is_dir);
        self.written.is_some() && directory && Stamp::of(&self.file.path) != self.written
    }
}

/// A new token in the file; without one, what is known already goes on.
fn issue(
    file: &TokenFile,
    known: Option<&Ring>,
    entropy: &dyn Entropy,
    now: Duration,
) -> Option<Ring> {
    let secret = bearer_token(entropy);
    let token = BearerToken::new(&secret);
    let tokens = match known {
        Some(ring) => ring.tokens.succeeded_by(token, now),
        // A daemon before this one may have left a token, which was read a moment ago.
        None => {
            let left = file.read().ok().flatten();
            BearerTokens::new(token, left.map(|left| BearerToken::new(&left)), now)
        }
    };
    let (consumer, path) = (&file.consumer, file.path.display());
    match file.write(&secret) {
        Ok(()) => {
            tracing::info!(%consumer, %path, "a new token for the container endpoint");
            Some(Ring { file: file.clone(), tokens, written: Stamp::of(&file.path) })
        }
        Err(error) => {
            tracing::warn!(%consumer, "{error}; try: {}", error.remedy());
            known.map(|ring| Ring { written: None, ..ring.clone() })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::slice::from_ref;

    use super::*;
    use crate::host::entropy::SystemEntropy;
    use crate::host::replace::Access;
    use crate::pure::metadata::bearer_tokens::{GRACE, LIFE};
    use crate::pure::secret::Secret;

    const START: Duration = Duration::from_secs(1000);

    fn file(directory: &Path, consumer: &str) -> TokenFile {
        TokenFile {
            consumer: consumer.into(),
            path: directory.join(consumer),
            access: Access::PRIVATE,
        }
    }

    fn written(file: &TokenFile) -> BearerToken {
        BearerToken::new(&Secret::new(fs::read_to_string(&file.path).unwrap()))
    }

    fn honours(keyring: &Keyring, consumer: &str, token: BearerToken, now: Duration) -> bool {
        let known = keyring.honoured(now);
        known.iter().any(|known| known.consumer == consumer && known.token == token)
    }

    #[test]
    fn a_token_is_replaced_at_the_end_of_its_life_and_honoured_for_its_grace() {
        let directory = tempfile::tempdir().unwrap();
        let web = file(directory.path(), "web");
        let keyring = Keyring::default();
        assert_eq!(keyring.renew(from_ref(&web), &SystemEntropy, START), TICK);
        let first = written(&web);
        assert!(honours(&keyring, "web", first, START));

        let moment = Duration::from_secs(1);
        assert_eq!(keyring.renew(from_ref(&web), &SystemEntropy, START + LIFE - moment), RETRY);
        assert_eq!(written(&web), first);
        keyring.renew(from_ref(&web), &SystemEntropy, START + LIFE);
        let second = written(&web);
        assert_ne!(second, first);
        let in_grace = START + LIFE + GRACE - moment;
        assert!(honours(&keyring, "web", second, in_grace));
        assert!(honours(&keyring, "web", first, in_grace));
        assert!(!honours(&keyring, "web", first, in_grace + moment));
    }

    #[test]
    fn the_next_daemon_honours_what_the_file_held() {
        let directory = tempfile::tempdir().unwrap();
        let web = file(directory.path(), "web");
        Keyring::default().renew(from_ref(&web), &SystemEntropy, START);
        let first = written(&web);
        let keyring = Keyring::default();
        keyring.renew(from_ref(&web), &SystemEntropy, START);
        assert_ne!(written(&web), first);
        assert!(honours(&keyring, "web", first, START + GRACE - Duration::from_secs(1)));
        assert!(!honours(&keyring, "web", first, START + GRACE));
    }

    #[test]
    fn a_file_that_cannot_be_written_keeps_its_token_and_disturbs_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let (web, batch) = (file(directory.path(), "web"), file(directory.path(), "batch"));
        let keyring = Keyring::default();
        let both = [web.clone(), batch.clone()];
        keyring.renew(&both, &SystemEntropy, START);
        let first = written(&web);
        fs::remove_file(&web.path).unwrap();
        fs::create_dir(&web.path).unwrap();
        assert_eq!(keyring.renew(&both, &SystemEntropy, START + LIFE), RETRY);
        assert!(honours(&keyring, "web", first, START + LIFE + GRACE));
        assert!(honours(&keyring, "batch", written(&batch), START + LIFE + GRACE));
    }

    #[test]
    fn who_is_no_consumer_any_more_is_not_known_and_has_no_file() {
        let directory = tempfile::tempdir().unwrap();
        let web = file(directory.path(), "web");
        let keyring = Keyring::default();
        keyring.renew(from_ref(&web), &SystemEntropy, START);
        keyring.renew(&[], &SystemEntropy, START);
        assert!(keyring.honoured(START).is_empty());
        assert!(!web.path.exists());
    }

    #[test]
    fn a_file_that_somebody_else_removes_or_changes_gets_a_new_token() {
        let directory = tempfile::tempdir().unwrap();
        let web = file(directory.path(), "web");
        let keyring = Keyring::default();
        keyring.renew(from_ref(&web), &SystemEntropy, START);
        let first = written(&web);
        keyring.renew(from_ref(&web), &SystemEntropy, START);
        assert_eq!(written(&web), first, "nobody has touched it");
        fs::remove_file(&web.path).unwrap();
        keyring.renew(from_ref(&web), &SystemEntropy, START);
        let second = written(&web);
        assert_ne!(second, first);
        fs::write(&web.path, "sesame").unwrap();
        keyring.renew(from_ref(&web), &SystemEntropy, START);
        assert_ne!(fs::read(&web.path).unwrap(), b"sesame");
        assert!(honours(&keyring, "web", second, START));
        assert!(honours(&keyring, "web", written(&web), START));
    }
}
