//! Tokens in real files, by a clock that the test names.

use std::fs;
use std::slice::from_ref;

use super::*;
use crate::host::entropy::SystemEntropy;
use crate::host::replace::Access;
use crate::pure::metadata::bearer_tokens::{GRACE, LIFE};
use crate::pure::secret::Secret;
use crate::shelf::Shelf;

const START: Duration = Duration::from_secs(1000);

fn new_keyring(directory: &Path) -> Keyring {
    let (state, runtime) = (directory.join("state"), directory.to_owned());
    Keyring::new(&Directories { state, runtime }, Shelf::new().0.notices())
}

fn all(files: &[TokenFile]) -> TokenFiles {
    TokenFiles { files: files.to_vec(), has_endpoint: true }
}

fn file(directory: &Path, consumer: &str) -> TokenFile {
    TokenFile { consumer: consumer.into(), path: directory.join(consumer), access: Access::PRIVATE }
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
    let keyring = new_keyring(directory.path());
    assert_eq!(keyring.renew(&all(from_ref(&web)), &SystemEntropy, START), TICK);
    let first = written(&web);
    assert!(honours(&keyring, "web", first, START));

    let moment = Duration::from_secs(1);
    assert_eq!(keyring.renew(&all(from_ref(&web)), &SystemEntropy, START + LIFE - moment), RETRY);
    assert_eq!(written(&web), first);
    keyring.renew(&all(from_ref(&web)), &SystemEntropy, START + LIFE);
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
    new_keyring(directory.path()).renew(&all(from_ref(&web)), &SystemEntropy, START);
    let first = written(&web);
    let keyring = new_keyring(directory.path());
    keyring.renew(&all(from_ref(&web)), &SystemEntropy, START);
    assert_ne!(written(&web), first);
    assert!(honours(&keyring, "web", first, START + GRACE - Duration::from_secs(1)));
    assert!(!honours(&keyring, "web", first, START + GRACE));
}

#[test]
fn a_file_that_cannot_be_written_keeps_its_token_and_disturbs_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let (web, batch) = (file(directory.path(), "web"), file(directory.path(), "batch"));
    let keyring = new_keyring(directory.path());
    let both = [web.clone(), batch.clone()];
    keyring.renew(&all(&both), &SystemEntropy, START);
    let first = written(&web);
    fs::remove_file(&web.path).unwrap();
    fs::create_dir(&web.path).unwrap();
    assert_eq!(keyring.renew(&all(&both), &SystemEntropy, START + LIFE), RETRY);
    assert!(honours(&keyring, "web", first, START + LIFE + GRACE));
    assert!(honours(&keyring, "batch", written(&batch), START + LIFE + GRACE));
}

#[test]
fn who_is_no_consumer_any_more_is_not_known_and_has_no_file() {
    let directory = tempfile::tempdir().unwrap();
    let web = file(directory.path(), "web");
    let keyring = new_keyring(directory.path());
    keyring.renew(&all(from_ref(&web)), &SystemEntropy, START);
    keyring.renew(&all(&[]), &SystemEntropy, START);
    assert!(keyring.honoured(START).is_empty());
    assert!(!web.path.exists());
}

#[test]
fn a_file_that_somebody_else_removes_or_changes_gets_a_new_token() {
    let directory = tempfile::tempdir().unwrap();
    let web = file(directory.path(), "web");
    let keyring = new_keyring(directory.path());
    keyring.renew(&all(from_ref(&web)), &SystemEntropy, START);
    let first = written(&web);
    keyring.renew(&all(from_ref(&web)), &SystemEntropy, START);
    assert_eq!(written(&web), first, "nobody has touched it");
    fs::remove_file(&web.path).unwrap();
    keyring.renew(&all(from_ref(&web)), &SystemEntropy, START);
    let second = written(&web);
    assert_ne!(second, first);
    fs::write(&web.path, "sesame").unwrap();
    keyring.renew(&all(from_ref(&web)), &SystemEntropy, START);
    assert_ne!(fs::read(&web.path).unwrap(), b"sesame");
    assert!(honours(&keyring, "web", second, START));
    assert!(honours(&keyring, "web", written(&web), START));
}

#[test]
fn a_token_is_its_consumers_whoever_has_the_file_next() {
    let directory = tempfile::tempdir().unwrap();
    let a = file(directory.path(), "a");
    let b = TokenFile { consumer: "b".to_owned(), ..a.clone() };
    let running = new_keyring(directory.path());
    running.renew(&all(from_ref(&a)), &SystemEntropy, START);
    let first = written(&a);
    // Another's by a reload, and by a restart.
    let next = new_keyring(directory.path());
    for keyring in [running, next] {
        keyring.renew(&all(from_ref(&b)), &SystemEntropy, START);
        assert!(!honours(&keyring, "b", first, START));
        assert!(honours(&keyring, "b", written(&b), START));
    }
    // Two that change places.
    let paths = [a.path.clone(), directory.path().join("other")];
    let files = |consumers: [&str; 2]| {
        let files = consumers.iter().zip(&paths);
        let access = Access::PRIVATE;
        all(&files
            .map(|(it, path)| TokenFile { consumer: (*it).into(), path: path.clone(), access })
            .collect::<Vec<_>>())
    };
    let keyring = new_keyring(directory.path());
    keyring.renew(&files(["a", "b"]), &SystemEntropy, START);
    let tokens = files(["a", "b"]).files.iter().map(written).collect::<Vec<_>>();
    let next = new_keyring(directory.path());
    for keyring in [keyring, next] {
        keyring.renew(&files(["b", "a"]), &SystemEntropy, START);
        for consumer in ["a", "b"] {
            assert!(tokens.iter().all(|token| !honours(&keyring, consumer, *token, START)));
        }
    }
}

#[test]
fn who_may_read_the_file_no_more_is_not_known_by_what_it_has_read() {
    let directory = tempfile::tempdir().unwrap();
    let with = |mode| TokenFile {
        access: Access { mode, ..Access::PRIVATE },
        ..file(directory.path(), "web")
    };
    let keyring = new_keyring(directory.path());
    keyring.renew(&all(&[with(0o640)]), &SystemEntropy, START);
    let first = written(&with(0o640));
    keyring.renew(&all(&[with(0o600)]), &SystemEntropy, START);
    assert!(!honours(&keyring, "web", first, START));
    let second = written(&with(0o600));
    keyring.renew(&all(&[with(0o640)]), &SystemEntropy, START);
    assert!(honours(&keyring, "web", second, START), "nobody was shut out");
    let third = written(&with(0o640));
    let next = new_keyring(directory.path());
    next.renew(&all(&[with(0o600)]), &SystemEntropy, START);
    assert!(!honours(&next, "web", third, START));
    // A new one that cannot be written leaves the old one no more.
    next.renew(&all(&[with(0o640)]), &SystemEntropy, START);
    let fourth = written(&with(0o640));
    fs::remove_file(with(0).path).unwrap();
    fs::create_dir(with(0).path).unwrap();
    next.renew(&all(&[with(0o600)]), &SystemEntropy, START);
    assert!(!honours(&next, "web", fourth, START));
}

#[test]
fn what_is_no_token_and_what_is_the_daemons_own_is_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let (state, precious) = (directory.path().join("state"), directory.path().join("precious"));
    fs::create_dir(&state).unwrap();
    fs::write(&precious, "precious").unwrap();
    std::os::unix::fs::symlink(&precious, directory.path().join("link")).unwrap();
    let empty = directory.path().join("empty");
    fs::write(&empty, "").unwrap();
    for (name, is_refused) in [
        ("precious", true),
        ("link", true),
        ("role-token", true),
        ("reloads.json", true),
        ("bearer-tokens.json", true),
        ("control.sock", true),
        ("consumers.sock", true),
        ("state/token", true),
        ("state/../state/token", true),
        ("empty", false),
        ("new", false),
    ] {
        let keyring = new_keyring(directory.path());
        keyring.renew(&all(&[file(directory.path(), name)]), &SystemEntropy, START);
        assert_eq!(keyring.honoured(START).is_empty(), is_refused, "{name}");
        assert_eq!(keyring.lock().told.len(), usize::from(is_refused), "{name}");
    }
    assert_eq!(fs::read(&precious).unwrap(), b"precious");
    assert!(!state.join("token").exists());
}
