//! A small file that remembers how far the journal was durable, so that a shortened or emptied one is noticed.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fs, io};

use super::{Error, disk};

/// The highest batch that is known to be durable, in a file beside the journal.
///
/// The file follows at most 64 batches or a second behind the journal, whichever is first, and may
/// be behind: it only ever says too little.
#[derive(Debug)]
pub struct Fence {
    path: PathBuf,
    batch: u64,
    written: Instant,
}

impl Fence {
    /// Reads the fence file of a state directory; `None` if there is none.
    ///
    /// # Errors
    /// When the file can't be read or isn't what was written.
    pub fn read(state_dir: &Path) -> Result<Option<Self>, Error> {
        let path = state_dir.join(NAME);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(disk::failed("read", &path)(error)),
        };
        let batch = parse(&text).ok_or_else(|| Error::Fence { path: path.clone(), what: "is damaged" })?;
        Ok(Some(Self { path, batch, written: Instant::now() }))
    }

    /// Makes the fence file of a new journal.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn create(state_dir: &Path) -> Result<Self, Error> {
        let mut fence = Self { path: state_dir.join(NAME), batch: 0, written: Instant::now() };
        fence.write(0)?;
        Ok(fence)
    }

    /// Writes `batch` down even if it goes back: the journal beside it is about to be replaced.
    ///
    /// # Errors
    /// When the file can't be written.
    pub(super) fn replace(state_dir: &Path, batch: u64) -> Result<(), Error> {
        Self { path: state_dir.join(NAME), batch, written: Instant::now() }.write(batch)
    }

    /// Returns the highest batch that the file calls durable.
    #[must_use]
    pub const fn batch(&self) -> u64 {
        self.batch
    }

    /// Writes `batch` down if the file is too far behind it.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn follow(&mut self, batch: u64) -> Result<(), Error> {
        let due = batch.saturating_sub(self.batch) >= BATCHES_BEHIND_MAX || self.written.elapsed() >= BEHIND_MAX;
        if due { self.catch_up(batch) } else { Ok(()) }
    }

    /// Writes `batch` down unless the file says so already; it never goes back.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn catch_up(&mut self, batch: u64) -> Result<(), Error> {
        if batch <= self.batch { Ok(()) } else { self.write(batch) }
    }

    fn write(&mut self, batch: u64) -> Result<(), Error> {
        disk::replace(&self.path, [text(batch).as_bytes()])?;
        self.batch = batch;
        self.written = Instant::now();
        Ok(())
    }
}

/// One line that people can read, with the checksum of what is before it.
fn text(batch: u64) -> String {
    let facts = format!("epic-mesos fence 1 batch {batch}");
    format!("{facts} crc32 {:08x}\n", crc32fast::hash(facts.as_bytes()))
}

fn parse(bytes: &[u8]) -> Option<u64> {
    let line = str::from_utf8(bytes).ok()?;
    let batch = line.split(' ').nth(4)?.parse().ok()?;
    (text(batch) == line).then_some(batch)
}

const NAME: &str = "fence";
const BATCHES_BEHIND_MAX: u64 = 64;
const BEHIND_MAX: Duration = Duration::from_secs(1);
