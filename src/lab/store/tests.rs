//! Real files in real directories.

use std::fs::{self, Permissions};
use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use time::UtcDateTime;
use time::macros::utc_datetime;

use super::*;
use crate::lab::answers::Refusal;
use crate::pure::advice::{Advice, Exit};

const NOW: UtcDateTime = utc_datetime!(2026-11-22 00:00);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Thing {
    name: String,
    minute: i64,
    size: u32,
}

impl Record for Thing {
    const KIND: &'static str = "thing";

    fn id(&self) -> &str {
        &self.name
    }

    fn at(&self) -> UtcDateTime {
        NOW + time::Duration::minutes(self.minute)
    }

    fn mark(&self) -> Option<String> {
        (self.size > 0).then(|| self.size.to_string())
    }
}

fn thing(name: &str, minute: i64, size: u32) -> Thing {
    Thing { name: name.to_owned(), minute, size }
}

fn region() -> Region {
    "us-east-1".parse().unwrap()
}

fn things() -> Table<Thing> {
    Store::in_memory(&region()).unwrap().table()
}

fn file() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lab.db");
    (directory, path)
}

fn refused(path: &Path) -> (String, Exit) {
    let error = Store::open(path, &region()).unwrap_err();
    (error.to_string(), error.exit())
}

#[test]
fn what_is_put_is_found_changed_and_removed() {
    let things = things();
    let one = thing("one", 1, 7);
    things.put(&one).unwrap();
    assert_eq!(things.get("one").unwrap(), Some(one));
    assert_eq!(things.marked("7").unwrap().as_deref(), Some("one"));
    assert_eq!(things.change("one", |thing| thing.size = 8).unwrap(), Some(()));
    assert_eq!(things.marked("7").unwrap(), None);
    assert_eq!(things.get("one").unwrap().unwrap().size, 8);
    assert!(things.remove("one").unwrap());
    assert!(!things.remove("one").unwrap());
    assert_eq!(things.change("one", |_| ()).unwrap(), None);
}

#[test]
fn a_count_follows_every_change() {
    let things = things();
    assert_eq!(things.count().unwrap(), 0);
    for minute in 0..5 {
        things.put(&thing(&format!("{minute}"), minute, 0)).unwrap();
        things.put(&thing(&format!("{minute}"), minute, 0)).unwrap();
    }
    assert_eq!(things.count().unwrap(), 5);
    assert_eq!(things.remove_first(NOW + time::Duration::MINUTE, 9).unwrap(), 2);
    assert_eq!(things.remove_first(UtcDateTime::MAX, 1).unwrap(), 1);
    assert_eq!(things.count().unwrap(), 2);
    assert!(things.get("2").unwrap().is_none() && things.get("3").unwrap().is_some());
}

#[test]
fn two_of_a_kind_never_share_a_mark() {
    let things = things();
    things.put(&thing("one", 1, 7)).unwrap();
    assert!(matches!(things.put(&thing("two", 2, 7)), Err(StoreError::Failed(_))));
    things.put(&thing("three", 3, 0)).unwrap();
    things.put(&thing("four", 4, 0)).unwrap();
    assert_eq!(things.count().unwrap(), 3);
}

#[test]
fn a_walk_goes_by_time_and_stops_when_told() {
    let things = things();
    for (name, minute) in [("d", 1), ("b", 2), ("a", 2), ("c", 0)] {
        things.put(&thing(name, minute, 0)).unwrap();
    }
    let names = |after, most| {
        let mut names = String::new();
        let look = |thing: Thing| {
            names += &thing.name;
            if names.len() == most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        things.walk(after, look).unwrap();
        names
    };
    assert_eq!(names(None, 9), "cdab");
    assert_eq!(names(None, 2), "cd");
    assert_eq!(names(Some((NOW + time::Duration::minutes(2), "a")), 9), "b");
    let last = things.last(2).unwrap();
    assert_eq!(last.iter().map(|thing| thing.name.as_str()).collect::<String>(), "ba");
}

#[test]
fn a_transaction_that_is_not_committed_was_nothing() {
    let store = Store::in_memory(&region()).unwrap();
    let things = store.table::<Thing>();
    let transaction = store.begin().unwrap();
    things.put(&thing("one", 1, 0)).unwrap();
    drop(transaction);
    assert_eq!((things.get("one").unwrap(), things.count().unwrap()), (None, 0));
    let transaction = store.begin().unwrap();
    things.put(&thing("one", 1, 0)).unwrap();
    transaction.commit().unwrap();
    assert_eq!(things.count().unwrap(), 1);
}

#[test]
fn a_file_keeps_what_it_was_told_and_is_its_owners_alone() {
    let (_directory, path) = file();
    let store = Store::open(&path, &region()).unwrap();
    store.table().put(&thing("one", 1, 7)).unwrap();
    assert_eq!(store.fact_or("fact", || 5).unwrap(), 5);
    for name in ["lab.db", "lab.db-wal"] {
        let mode = fs::metadata(path.with_file_name(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600, "{name}");
    }
    drop(store);
    let store = Store::open(&path, &region()).unwrap();
    assert_eq!(store.table::<Thing>().get("one").unwrap(), Some(thing("one", 1, 7)));
    assert_eq!(store.fact_or("fact", || 6).unwrap(), 5);
}

/// The log as it is at this instant, which is what a killed process leaves.
#[test]
fn a_copy_of_a_running_labs_files_is_whole() {
    let (_directory, path) = file();
    let (_other, copy) = file();
    let store = Store::open(&path, &region()).unwrap();
    for minute in 0..100 {
        store.table().put(&thing(&format!("{minute}"), minute, 0)).unwrap();
    }
    for name in ["lab.db", "lab.db-wal"] {
        fs::copy(path.with_file_name(name), copy.with_file_name(name)).unwrap();
    }
    let copied = Store::open(&copy, &region()).unwrap();
    assert_eq!(copied.table::<Thing>().count().unwrap(), 100);
}

#[test]
fn a_file_is_one_labs_at_a_time() {
    let (_directory, path) = file();
    let store = Store::open(&path, &region()).unwrap();
    let (message, exit) = refused(&path);
    assert!(message.ends_with("lab.db is in use by another lab"), "{message}");
    assert_eq!(exit, Exit::TryAgain);
    drop(store);
    Store::open(&path, &region()).unwrap();
}

#[test]
fn a_file_of_another_region_is_refused_and_left_alone() {
    let (_directory, path) = file();
    drop(Store::open(&path, &region()).unwrap());
    let error = Store::open(&path, &"eu-west-1".parse().unwrap()).unwrap_err();
    assert!(error.to_string().ends_with("belongs to a lab in us-east-1, not in eu-west-1"));
    assert_eq!(error.remedy(), "--region us-east-1, or another --data file");
    Store::open(&path, &region()).unwrap();
}

#[test]
fn foreign_and_newer_files_are_refused_and_left_alone() {
    let (_directory, path) = file();
    fs::write(&path, "no database, but long enough to be looked at. ".repeat(100)).unwrap();
    let before = fs::read(&path).unwrap();
    assert!(refused(&path).0.ends_with("lab.db is not a lab's data file"), "{:?}", refused(&path));
    assert!(fs::read(&path).unwrap() == before);

    fs::remove_file(&path).unwrap();
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE other (x)").unwrap();
    let before = fs::read(&path).unwrap();
    assert!(refused(&path).0.ends_with("lab.db is not a lab's data file"));
    assert!(fs::read(&path).unwrap() == before);

    fs::remove_file(&path).unwrap();
    drop(Store::open(&path, &region()).unwrap());
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 2).unwrap();
    let (message, exit) = refused(&path);
    assert!(message.ends_with("has schema version 2, and this program knows 1"), "{message}");
    assert_eq!(exit, Exit::BadData);
}

#[test]
fn a_file_that_cannot_be_had_is_named() {
    let (directory, path) = file();
    let nowhere = directory.path().join("no/where.db");
    assert!(refused(&nowhere).0.starts_with(&format!("cannot create {}: ", nowhere.display())));
    assert!(!nowhere.parent().unwrap().exists());
    fs::create_dir(&path).unwrap();
    assert!(refused(&path).0.starts_with(&format!("cannot open {}: ", path.display())));
    if !nix::unistd::geteuid().is_root() {
        let closed = directory.path().join("closed.db");
        fs::write(&closed, "").unwrap();
        fs::set_permissions(&closed, Permissions::from_mode(0o400)).unwrap();
        assert!(refused(&closed).0.starts_with("cannot open "));
    }
}

#[test]
fn what_cannot_be_read_is_named_and_is_not_the_clients_fault() {
    let store = Store::in_memory(&region()).unwrap();
    let things = store.table::<Thing>();
    things.put(&thing("one", 1, 0)).unwrap();
    store.lock().execute("UPDATE record SET body = '{}'", []).unwrap();
    let refusal = Refusal::from(things.get("one").unwrap_err());
    assert_eq!((refusal.status, refusal.code.as_ref()), (500, "InternalServerError"));
    assert_eq!(refusal.message, "the lab's data are damaged: thing one");
    assert!(things.walk(None, |_| ControlFlow::Continue(())).is_err());
    store.lock().execute_batch("DROP TABLE record").unwrap();
    let refusal = Refusal::from(things.get("one").unwrap_err());
    assert!(refusal.message.contains("no such table: record"), "{}", refusal.message);
}
