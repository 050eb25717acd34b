//! sled as the store's engine, with what it lacks: a real fsync, bounds on memory and on sizes.
//!
//! Its pages hold up to 17 values; a page over 128 KiB goes to a file of its own that `flush` doesn't sync and that is never
//! given back. Values of at most 4 KiB never make such a page.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use sled::{Batch, Config, Db, IVec};

use super::{Change, Error, Store, Visit};
use crate::journal::disk;

/// A database of sled's.
#[derive(Debug)]
pub struct Sled {
    dir: PathBuf,
    db: Db,
    /// The one file that holds everything.
    file: File,
    /// Whether the names of its files may not be durable yet.
    is_young: bool,
}

impl Store for Sled {
    fn open(dir: &Path) -> Result<Self, Error> {
        disk::make_dir(dir)?;
        // Nothing is flushed behind our back: a flush that nobody waits for is one whose failure nobody hears of.
        let config = Config::new().path(dir).cache_capacity(CACHE_BYTES).flush_every_ms(None);
        let db = config.open().map_err(|error| failed("open", dir, error))?;
        let path = dir.join(FILE);
        let file = File::open(&path).map_err(Error::io("open", &path))?;
        Ok(Self { dir: dir.to_owned(), db, file, is_young: true })
    }

    fn apply(&mut self, changes: Vec<Change>) -> Result<(), Error> {
        let mut batch = Batch::default();
        for change in changes {
            match change {
                Change::Put(key, value) => batch.insert(key, value),
                Change::Remove(key) => batch.remove(key),
            }
        }
        self.db.apply_batch(batch).map_err(|error| failed("write to", &self.dir, error))
    }

    fn sync(&mut self) -> Result<(), Error> {
        self.db.flush().map_err(|error| failed("flush", &self.dir, error))?;
        // What it calls a flush only begins to write: after a power cut the file would not even be readable.
        self.file.sync_all().map_err(Error::io("sync", &self.dir.join(FILE)))?;
        if self.is_young {
            let conf = self.dir.join("conf");
            File::open(&conf).and_then(|file| file.sync_all()).map_err(Error::io("sync", &conf))?;
            disk::sync_dir(&self.dir)?;
            self.dir.parent().map_or(Ok(()), disk::sync_dir)?;
            self.is_young = false;
        }
        Ok(())
    }

    fn value(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let value = self.db.get(key).map_err(|error| failed("read", &self.dir, error))?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn each(&self, visit: &mut Visit<'_>) -> Result<(), Error> {
        for pair in self.db.iter() {
            let (key, value): (IVec, IVec) = pair.map_err(|error| failed("read", &self.dir, error))?;
            if !visit(&key, &value)? {
                break;
            }
        }
        Ok(())
    }

    fn bytes(&self) -> u64 {
        self.file.metadata().map_or(0, |metadata| metadata.len())
    }
}

/// Says what failed; all but what the system says is damage.
fn failed(operation: &'static str, dir: &Path, error: sled::Error) -> Error {
    let source =
        if let sled::Error::Io(source) = error { source } else { io::Error::new(io::ErrorKind::InvalidData, error) };
    Error::Io { operation, path: dir.to_owned(), source }
}

/// The file that holds everything, which sled locks.
pub(super) const FILE: &str = "db";
const CACHE_BYTES: u64 = 16 << 20;
