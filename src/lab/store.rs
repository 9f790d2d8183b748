//! What the lab knows, in SQLite: in a file that outlives it, or in memory.
//!
//! Nothing is kept beside it. Whatever a request changes is in SQLite before it is answered, so
//! `kill -9` loses nothing that anybody was told. The log is not synced at every commit
//! (`synchronous = NORMAL`): a power cut may lose the last moments, and leaves the file whole.
//!
//! Things with an id are rows of one table, whatever they are ([`Table`]); single values are
//! [`Store::fact`]s. A file is one lab's alone while it runs.

mod error;
mod table;
mod written;

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OpenFlags, OptionalExtension};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use error::StoreError;
pub use table::{Record, Table};
pub use written::{moment, secret, text};

use crate::pure::identity::Region;

/// Marks a file as the lab's (`PRAGMA application_id`): "rklb".
const APPLICATION: i32 = 0x726b_6c62;

/// The version of the schema (`PRAGMA user_version`).
const SCHEMA_VERSION: i32 = 1;

/// A row is found by its kind and id, by its mark, and in the order of its time. Counting rows
/// takes SQLite a walk over all of them, so triggers keep the count.
const SCHEMA: &str = "
    CREATE TABLE record (
        kind TEXT NOT NULL,
        id TEXT NOT NULL,
        at INTEGER NOT NULL,
        mark TEXT,
        body TEXT NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX record_by_id ON record (kind, id);
    CREATE INDEX record_by_time ON record (kind, at, id);
    CREATE UNIQUE INDEX record_by_mark ON record (kind, mark) WHERE mark IS NOT NULL;
    CREATE TABLE tally (kind TEXT PRIMARY KEY, rows INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TRIGGER record_added AFTER INSERT ON record BEGIN
        INSERT INTO tally VALUES (NEW.kind, 1)
            ON CONFLICT DO UPDATE SET rows = rows + 1;
    END;
    CREATE TRIGGER record_removed AFTER DELETE ON record BEGIN
        UPDATE tally SET rows = rows - 1 WHERE kind = OLD.kind;
    END;
    CREATE TABLE fact (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;";

/// How SQLite is used: see the top of this file. The lock is taken with the first access and held
/// to the end, which also spares the file that several processes would share.
const SETTINGS: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = NORMAL;
    PRAGMA wal_autocheckpoint = 4000;
    PRAGMA cache_size = -16000;
    PRAGMA temp_store = MEMORY;";

/// Statements that stay prepared; there are a dozen.
const STATEMENTS: usize = 32;

/// The region that a file belongs to.
const REGION: &str = "region";

/// A door to the one connection. Copies lead to the same state; whoever has them shares a lock, or
/// at least does not need two changes of others to be one.
#[derive(Debug, Clone)]
pub struct Store(Arc<Mutex<Connection>>);

/// Several changes that happen together, or not at all. Dropped, it undoes them.
#[derive(Debug)]
pub struct Transaction<'a> {
    store: &'a Store,
    is_open: bool,
}

impl Store {
    /// State that is gone with the process.
    ///
    /// # Errors
    ///
    /// Without memory.
    pub fn in_memory(region: &Region) -> Result<Self, StoreError> {
        let connection = Connection::open_in_memory()?;
        Self::prepare(connection, Path::new(":memory:"), region)
    }

    /// State in a file, which is made (mode 0600) if there is none. Its directory must be there.
    ///
    /// # Errors
    ///
    /// The file cannot be had, is another lab's at the moment, is not a lab's at all, was written
    /// by a newer version, or belongs to another region.
    pub fn open(path: &Path, region: &Region) -> Result<Self, StoreError> {
        // Closed again at once: closing a file drops this process's locks on it, SQLite's too.
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map(drop);
        match made {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(StoreError::Create(path.to_owned(), error));
            }
            _ => {}
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)
            .map_err(|error| StoreError::opening(path, error))?;
        Self::prepare(connection, path, region)
    }

    /// The rows of one kind.
    pub fn table<R: Record>(&self) -> Table<R> {
        Table::new(self.clone())
    }

    /// A single value, if it was ever set.
    ///
    /// # Errors
    ///
    /// The store fails, or holds something else under that name.
    pub fn fact<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, StoreError> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached("SELECT value FROM fact WHERE name = ?1")?;
        let value = statement.query_row([name], |row| row.get::<_, String>(0)).optional()?;
        value
            .map(|value| serde_json::from_str(&value))
            .transpose()
            .map_err(|_| StoreError::Damaged("fact", name.to_owned()))
    }

    /// Sets a single value.
    ///
    /// # Errors
    ///
    /// The store fails.
    pub fn set_fact<T: Serialize>(&self, name: &'static str, value: &T) -> Result<(), StoreError> {
        let value = serde_json::to_string(value)
            .map_err(|_| StoreError::Damaged("fact", name.to_owned()))?;
        let sql = "INSERT INTO fact VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = ?2";
        self.lock().prepare_cached(sql)?.execute([name, value.as_str()])?;
        Ok(())
    }

    /// A single value; the first time it is asked for, it is made and kept.
    ///
    /// # Errors
    ///
    /// As [`Store::fact`].
    pub fn fact_or<T: Serialize + DeserializeOwned>(
        &self,
        name: &'static str,
        make: impl FnOnce() -> T,
    ) -> Result<T, StoreError> {
        if let Some(value) = self.fact(name)? {
            return Ok(value);
        }
        let value = make();
        self.set_fact(name, &value)?;
        Ok(value)
    }

    /// From here to [`Transaction::commit`], all changes are one. Nobody begins another meanwhile.
    ///
    /// # Errors
    ///
    /// The store fails.
    pub fn begin(&self) -> Result<Transaction<'_>, StoreError> {
        self.lock().prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        Ok(Transaction { store: self, is_open: true })
    }

    /// From now on a node cannot be added, as on a disk without room.
    #[cfg(test)]
    pub fn fail(&self) {
        let sql = "CREATE TRIGGER full BEFORE INSERT ON record \
                   BEGIN SELECT RAISE(FAIL, 'no room'); END";
        self.lock().execute_batch(sql).unwrap();
    }

    /// All is well with it again.
    #[cfg(test)]
    pub fn mend(&self) {
        self.lock().execute_batch("DROP TRIGGER full").unwrap();
    }

    fn prepare(connection: Connection, path: &Path, region: &Region) -> Result<Self, StoreError> {
        let opening = |error| StoreError::opening(path, error);
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        connection.pragma_update(None, "locking_mode", "EXCLUSIVE").map_err(opening)?;
        let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i32>(0));
        let application = number("PRAGMA application_id").map_err(opening)?;
        let version = number("PRAGMA user_version").map_err(opening)?;
        let tables = number("SELECT count(*) FROM sqlite_schema").map_err(opening)?;
        let is_new = match (application, version) {
            (APPLICATION, SCHEMA_VERSION) => false,
            (APPLICATION, version) => {
                return Err(StoreError::Version(path.to_owned(), version, SCHEMA_VERSION));
            }
            (0, 0) if tables == 0 => true,
            _ => return Err(StoreError::Foreign(path.to_owned())),
        };
        connection.execute_batch(SETTINGS).map_err(opening)?;
        connection.execute_batch("BEGIN IMMEDIATE").map_err(opening)?;
        if is_new {
            connection.execute_batch(SCHEMA).map_err(opening)?;
            connection.pragma_update(None, "application_id", APPLICATION).map_err(opening)?;
            connection.pragma_update(None, "user_version", SCHEMA_VERSION).map_err(opening)?;
        }
        let store = Self(Arc::new(Mutex::new(connection)));
        let recorded = store.fact_or(REGION, || region.as_str().to_owned())?;
        if recorded != region.as_str() {
            return Err(StoreError::Region(path.to_owned(), recorded, region.clone()));
        }
        store.lock().execute_batch("COMMIT").map_err(opening)?;
        Ok(store)
    }

    /// A panic under the lock would be a mistake of ours; SQLite's state is whole all the same.
    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Transaction<'_> {
    /// Makes the changes count.
    ///
    /// # Errors
    ///
    /// The store fails; then nothing has changed.
    pub fn commit(mut self) -> Result<(), StoreError> {
        self.store.lock().prepare_cached("COMMIT")?.execute([])?;
        self.is_open = false;
        Ok(())
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if self.is_open {
            // If this fails too, SQLite has rolled back by itself, or the next request says why.
            let _ = self.store.lock().execute_batch("ROLLBACK");
        }
    }
}

#[cfg(test)]
mod tests;
