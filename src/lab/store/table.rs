//! The rows of one kind.

use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::ops::ControlFlow;

use rusqlite::{OptionalExtension, Row, params};
use serde::Serialize;
use serde::de::DeserializeOwned;
use time::UtcDateTime;

use super::moment::nanoseconds;
use super::{Store, StoreError};

/// Something that the lab remembers.
pub trait Record: Serialize + DeserializeOwned {
    /// One word for its kind; changing it would lose what files hold.
    const KIND: &'static str;

    /// Unique in its kind.
    fn id(&self) -> &str;

    /// What its kind is ordered by: since when there is one, or how long it lasts.
    fn at(&self) -> UtcDateTime;

    /// Something else that no two of its kind share.
    fn mark(&self) -> Option<String> {
        None
    }
}

/// All records of one kind.
#[derive(Debug)]
pub struct Table<R> {
    store: Store,
    kind: PhantomData<fn() -> R>,
}

impl<R: Record> Table<R> {
    pub(super) fn new(store: Store) -> Self {
        Self { store, kind: PhantomData }
    }

    /// By its id.
    pub fn get(&self, id: &str) -> Result<Option<R>, StoreError> {
        let connection = self.store.lock();
        let sql = "SELECT id, body FROM record WHERE kind = ?1 AND id = ?2";
        let mut statement = connection.prepare_cached(sql)?;
        let found = statement.query_row([R::KIND, id], |row| Ok(read(row))).optional()?;
        found.transpose()
    }

    /// The id of the one that has this mark.
    pub fn marked(&self, mark: &str) -> Result<Option<String>, StoreError> {
        let connection = self.store.lock();
        let sql = "SELECT id FROM record WHERE kind = ?1 AND mark = ?2";
        let mut statement = connection.prepare_cached(sql)?;
        Ok(statement.query_row([R::KIND, mark], |row| row.get(0)).optional()?)
    }

    /// Adds a record, or replaces the one of that id.
    pub fn put(&self, record: &R) -> Result<(), StoreError> {
        let body = serde_json::to_string(record)
            .map_err(|_| StoreError::Damaged(R::KIND, record.id().to_owned()))?;
        let sql = "INSERT INTO record (kind, id, at, mark, body) VALUES (?1, ?2, ?3, ?4, ?5) \
                   ON CONFLICT (kind, id) DO UPDATE SET at = ?3, mark = ?4, body = ?5";
        let (at, mark) = (nanoseconds(record.at()), record.mark());
        let connection = self.store.lock();
        connection.prepare_cached(sql)?.execute(params![R::KIND, record.id(), at, mark, body])?;
        Ok(())
    }

    /// Changes a record. None when there is none of that id.
    pub fn change<T>(
        &self,
        id: &str,
        change: impl FnOnce(&mut R) -> T,
    ) -> Result<Option<T>, StoreError> {
        let Some(mut record) = self.get(id)? else { return Ok(None) };
        let answer = change(&mut record);
        self.put(&record)?;
        Ok(Some(answer))
    }

    /// False when there is none of that id.
    pub fn remove(&self, id: &str) -> Result<bool, StoreError> {
        let sql = "DELETE FROM record WHERE kind = ?1 AND id = ?2";
        Ok(self.store.lock().prepare_cached(sql)?.execute([R::KIND, id])? > 0)
    }

    /// Removes the first ones, in the order of time, up to `until`; at most so many.
    pub fn remove_first(&self, until: UtcDateTime, most: u32) -> Result<usize, StoreError> {
        let sql = "DELETE FROM record WHERE rowid IN (SELECT rowid FROM record \
                   WHERE kind = ?1 AND at <= ?2 ORDER BY at, id LIMIT ?3)";
        let connection = self.store.lock();
        Ok(connection.prepare_cached(sql)?.execute(params![R::KIND, nanoseconds(until), most])?)
    }

    /// How many there are, without looking at them.
    pub fn count(&self) -> Result<usize, StoreError> {
        let connection = self.store.lock();
        let mut statement = connection.prepare_cached("SELECT rows FROM tally WHERE kind = ?1")?;
        let rows = statement.query_row([R::KIND], |row| row.get::<_, i64>(0)).optional()?;
        Ok(rows.and_then(|rows| rows.try_into().ok()).unwrap_or(0))
    }

    /// How many there are after `at`, which takes a walk over an index of them.
    pub fn count_after(&self, at: UtcDateTime) -> Result<usize, StoreError> {
        let connection = self.store.lock();
        let sql = "SELECT count(*) FROM record WHERE kind = ?1 AND at > ?2";
        let mut statement = connection.prepare_cached(sql)?;
        let rows =
            statement.query_row(params![R::KIND, nanoseconds(at)], |row| row.get::<_, i64>(0))?;
        Ok(rows.try_into().unwrap_or(0))
    }

    /// Shows the records after `place` in the order of time and id, one by one, until `look` has
    /// seen enough. `look` must not come back to the store.
    pub fn walk(
        &self,
        after: Option<(UtcDateTime, &str)>,
        mut look: impl FnMut(R) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let (at, id) = after.map_or((i64::MIN, ""), |(at, id)| (nanoseconds(at), id));
        let sql = "SELECT id, body FROM record WHERE kind = ?1 AND (at, id) > (?2, ?3) \
                   ORDER BY at, id";
        let connection = self.store.lock();
        let mut statement = connection.prepare_cached(sql)?;
        let mut rows = statement.query(params![R::KIND, at, id])?;
        while let Some(row) = rows.next()? {
            if look(read(row)?).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// The same of those that have these ids.
    pub fn walk_among(
        &self,
        ids: &[String],
        after: Option<(UtcDateTime, &str)>,
        look: impl FnMut(R) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let mut found = Vec::new();
        for id in ids.iter().collect::<BTreeSet<_>>() {
            found.extend(self.get(id)?);
        }
        found.retain(|record| after.is_none_or(|place| (record.at(), record.id()) > place));
        found.sort_by(|a, b| (a.at(), a.id()).cmp(&(b.at(), b.id())));
        let _ = found.into_iter().try_for_each(look);
        Ok(())
    }

    /// The newest ones by the order of time, newest first.
    pub fn last(&self, most: u32) -> Result<Vec<R>, StoreError> {
        let sql = "SELECT id, body FROM record WHERE kind = ?1 ORDER BY at DESC, id DESC LIMIT ?2";
        let connection = self.store.lock();
        let mut statement = connection.prepare_cached(sql)?;
        let mut rows = statement.query(params![R::KIND, most])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(read(row)?);
        }
        Ok(found)
    }
}

/// A row of id and body.
fn read<R: Record>(row: &Row<'_>) -> Result<R, StoreError> {
    let body = row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?;
    match serde_json::from_str(body) {
        Ok(record) => Ok(record),
        Err(_) => Err(StoreError::Damaged(R::KIND, row.get(0)?)),
    }
}
