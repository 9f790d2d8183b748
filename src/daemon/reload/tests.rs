use std::fs;

use time::macros::utc_datetime;

use super::*;
use crate::config::DEFAULT_MODE;
use crate::host::replace::Access;
use crate::pure::ini::ProfileName;
use crate::pure::secret::Secret;

const NOON: UtcDateTime = utc_datetime!(2026-11-22 12:00);

const HOUR: time::Duration = time::Duration::HOUR;

/// A target, and what is said of it.
struct Heard {
    directory: tempfile::TempDir,
    target: Target,
    announcer: Announcer,
    inbox: mpsc::UnboundedReceiver<Word>,
}

impl Heard {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let target = Target {
            name: "a".to_owned(),
            path: directory.path().join("credentials"),
            profile: ProfileName::default(),
            access: Access { mode: DEFAULT_MODE, owner: None, group: None },
        };
        let (words, inbox) = mpsc::unbounded_channel();
        let announcer = Announcer::default();
        announcer.listeners.lock().unwrap().insert(target.name.clone(), words);
        Self { directory, target, announcer, inbox }
    }

    fn deliver(&self, token: &RoleToken, now: UtcDateTime) -> bool {
        self.announcer.deliver(&self.target, token, &Holder::of("x", None), now).is_ok()
    }

    fn news(&mut self) -> Option<Event> {
        match self.inbox.try_recv() {
            Ok(Word::News(event)) => Some(event),
            Ok(Word::Serve(service)) => panic!("{service:?}"),
            Err(_) => None,
        }
    }
}

fn token(secret: &str, expires_at: UtcDateTime) -> RoleToken {
    let secret = || Some(Secret::new(secret.to_owned()));
    let id = Some("ASIAEXAMPLE00000".to_owned());
    RoleToken::new(id, secret(), secret(), NOON, Some(expires_at), false).unwrap()
}

fn renewed(left: time::Duration) -> Option<Event> {
    let left = left.try_into().unwrap();
    Some(Event::Renewed { target: "a".to_owned(), left })
}

#[test]
fn other_credentials_are_news_and_the_same_are_none() {
    let mut heard = Heard::new();
    assert!(heard.deliver(&token("one", NOON + HOUR), NOON));
    assert_eq!(heard.news(), renewed(time::Duration::ZERO), "there were none");
    assert!(heard.deliver(&token("one", NOON + HOUR), NOON + HOUR / 2));
    assert_eq!(heard.news(), None, "programs found them there");
    assert!(heard.deliver(&token("two", NOON + HOUR * 3), NOON + HOUR / 4));
    assert_eq!(heard.news(), renewed(HOUR * 3 / 4), "what the first ones had left");
    assert!(heard.deliver(&token("three", NOON + HOUR * 6), NOON + HOUR * 5));
    assert_eq!(heard.news(), renewed(time::Duration::ZERO), "they had ended");
}

#[test]
fn a_mode_that_is_corrected_is_no_news() {
    let mut heard = Heard::new();
    assert!(heard.deliver(&token("one", NOON + HOUR), NOON));
    assert!(heard.news().is_some());
    heard.target.access.mode = 0o600;
    assert!(heard.deliver(&token("one", NOON + HOUR), NOON));
    assert_eq!(heard.news(), None);
}

#[test]
fn what_was_not_written_is_no_news() {
    let mut heard = Heard::new();
    fs::write(&heard.target.path, "[default\n").unwrap();
    assert!(!heard.deliver(&token("one", NOON + HOUR), NOON));
    assert_eq!(heard.news(), None);
    fs::remove_file(&heard.target.path).unwrap();
    assert!(heard.deliver(&token("one", NOON + HOUR), NOON));
    assert!(heard.news().is_some());
    drop(heard.directory);
    assert!(heard.announcer.withdraw(&heard.target).is_ok(), "there is nothing any more");
}

#[test]
fn a_withdrawal_is_said_as_such() {
    let mut heard = Heard::new();
    assert!(heard.deliver(&token("one", NOON + HOUR), NOON));
    assert!(heard.news().is_some());
    assert!(heard.announcer.withdraw(&heard.target).is_ok());
    assert_eq!(heard.news(), Some(Event::Withdrawn { target: "a".to_owned() }));
}
