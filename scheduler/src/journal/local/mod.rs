//! The journal of a scheduler that runs alone: checksummed files on a local disk.
#![doc = include_str!("README.md")]

mod files;
mod lock;
mod record;
mod recovery;
mod restore;
mod snapshot;

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

pub use lock::Lock;
pub use record::Flaw;
pub use restore::restore;

use super::disk::{self, failed};
use super::fence::Fence;
use super::{Error, Journal, PAYLOAD_BYTES_MAX, Recovered};
use files::Files;
use recovery::Found;

/// An open journal; it holds the lock of its state directory.
///
/// Dropping it closes it like [`close`](Self::close), but hides what fails then.
#[derive(Debug)]
pub struct Local {
    dir: PathBuf,
    position: u64,
    tail: Option<Tail>,
    fence: Fence,
    snapshot: u64,
    bytes_since_snapshot: u64,
    /// The batch whose append failed.
    failed: Option<u64>,
    _lock: Lock,
}

/// The segment that is appended to.
#[derive(Debug)]
struct Tail {
    file: File,
    path: PathBuf,
    length: u64,
}

/// Makes a state directory if there is none, and keeps other processes out of it as long as the answer lives.
///
/// # Errors
/// When another process has it, or it can't be made.
pub fn lock(state_dir: &Path) -> Result<Lock, Error> {
    if state_dir.exists() && !state_dir.is_dir() {
        return Err(Error::NotADirectory { dir: state_dir.to_owned() });
    }
    disk::make_dir(state_dir)?;
    lock::take(state_dir)
}

impl Local {
    /// Opens the journal in a state directory, or starts one if the directory is empty or absent.
    ///
    /// Reads everything that is there, so it takes a second for some hundred MiB. What it returns is
    /// durable, even if the process that wrote it died before it could know.
    ///
    /// # Errors
    /// When another process has it open, when a file can't be read or written, and when something
    /// that was durable is damaged or missing; then nothing is changed.
    pub fn open(state_dir: impl AsRef<Path>) -> Result<(Self, Recovered), Error> {
        let state_dir = state_dir.as_ref();
        is_directory(state_dir)?;
        disk::make_dir(state_dir)?;
        let lock = lock::take(state_dir)?;
        let dir = state_dir.join("journal");
        disk::make_dir(&dir)?;
        let mut fence = fence(state_dir, &dir)?;
        let Found { recovered, position, tail } = recovery::recover(&dir, fence.batch())?;
        let tail = tail.map(|(path, length)| Tail::open(path, length)).transpose()?;
        disk::sync_dir(&dir)?;
        fence.catch_up(position)?;
        let snapshot = recovered.snapshot.as_ref().map_or(0, |snapshot| snapshot.batch);
        let bytes_since_snapshot = recovered.batches.iter().map(|(_, payload)| payload.len() as u64).sum();
        let failed = None;
        Ok((Self { dir, position, tail, fence, snapshot, bytes_since_snapshot, failed, _lock: lock }, recovered))
    }

    /// Reads what [`open`](Self::open) would find, and makes, changes and locks nothing.
    ///
    /// # Errors
    /// Those of [`open`](Self::open), as far as reading shows them.
    pub fn look(state_dir: &Path) -> Result<Recovered, Error> {
        is_directory(state_dir)?;
        lock::check(state_dir)?;
        Self::look_inside(state_dir)
    }

    /// Reads what [`look`](Self::look) reads; for whoever holds the lock of the directory.
    ///
    /// # Errors
    /// Those of [`look`](Self::look).
    pub fn look_inside(state_dir: &Path) -> Result<Recovered, Error> {
        let dir = state_dir.join("journal");
        let durable = match Fence::read(state_dir)? {
            Some(fence) => fence.batch(),
            None if is_empty(&dir)? => 0,
            None => return Err(no_fence(state_dir)),
        };
        match dir.try_exists() {
            Ok(false) if durable > 0 => Err(Error::Behind { dir, last: 0, durable }),
            Ok(false) => Ok(Recovered::default()),
            Ok(true) | Err(_) => Ok(recovery::read(&dir, durable)?.recovered),
        }
    }

    /// Reads all snapshots, also those that [`look`](Self::look) passes over for a newer one.
    ///
    /// # Errors
    /// One of them is damaged or can't be read.
    pub fn check_snapshots(state_dir: &Path) -> Result<(), Error> {
        let dir = state_dir.join("journal");
        let snapshots = if dir.is_dir() { Files::list(&dir)?.snapshots } else { Default::default() };
        snapshots.iter().try_for_each(|(batch, path)| snapshot::read(path, *batch).map(drop))
    }

    /// Writes down how far the journal goes, and closes it.
    ///
    /// # Errors
    /// When the fence file can't be written; what was appended is durable nevertheless.
    pub fn close(mut self) -> Result<(), Error> {
        self.finish()
    }

    fn finish(&mut self) -> Result<(), Error> {
        if self.failed.is_some() { Ok(()) } else { self.fence.catch_up(self.position) }
    }

    fn write(&mut self, batch: u64, payload: &[u8]) -> Result<(), Error> {
        let bytes = record::record(batch, payload);
        let length = bytes.len() as u64;
        let tail = match self.tail.take_if(|tail| tail.length + length <= SEGMENT_BYTES_MAX) {
            Some(tail) => tail,
            None => Tail::create(files::segment(&self.dir, batch), batch)?,
        };
        let tail = self.tail.insert(tail);
        tail.append(&bytes)?;
        self.position = batch;
        self.bytes_since_snapshot += payload.len() as u64;
        self.fence.follow(batch)
    }

    /// Removes what is older than the second newest snapshot, the oldest first, so that no gap can come of a crash.
    fn prune(&self) -> Result<(), Error> {
        let files = Files::list(&self.dir)?;
        let Some(kept) = files.snapshots.keys().rev().nth(1) else { return Ok(()) };
        let snapshots = files.snapshots.range(..kept).map(|(_, path)| path);
        let ends = files.segments.keys().skip(1).map(|next| next - 1);
        let segments = files.segments.values().zip(ends).filter(|(_, end)| end <= kept).map(|(path, _)| path);
        for path in snapshots.chain(segments) {
            fs::remove_file(path).map_err(failed("remove", path))?;
        }
        disk::sync_dir(&self.dir)
    }
}

impl Journal for Local {
    fn append(&mut self, batch: u64, payload: &[u8]) -> Result<(), Error> {
        if let Some(batch) = self.failed {
            return Err(Error::Failed { batch });
        }
        if batch != self.position + 1 {
            return Err(Error::NotNext { batch, position: self.position });
        }
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(Error::TooLarge { batch, bytes: payload.len(), bytes_max: PAYLOAD_BYTES_MAX });
        }
        self.write(batch, payload).map_err(|source| {
            self.failed = Some(batch);
            Error::Append { batch, source: Box::new(source) }
        })
    }

    fn snapshot(&mut self, batch: u64, bytes: &[u8]) -> Result<(), Error> {
        if let Some(batch) = self.failed {
            return Err(Error::Failed { batch });
        }
        let (previous, position) = (self.snapshot, self.position);
        if batch <= previous || batch > position {
            return Err(Error::NotASnapshot { batch, previous, position });
        }
        self.fence.catch_up(position)?;
        snapshot::write(&self.dir, batch, bytes)?;
        self.snapshot = batch;
        self.bytes_since_snapshot = 0;
        self.prune()
    }

    fn should_snapshot(&self) -> bool {
        self.bytes_since_snapshot >= SNAPSHOT_AFTER_BYTES || self.position - self.snapshot >= SNAPSHOT_AFTER_BATCHES
    }

    fn position(&self) -> u64 {
        self.position
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        let _behind = self.finish();
    }
}

impl Tail {
    /// Makes a segment whose header is durable.
    fn create(path: PathBuf, first: u64) -> Result<Self, Error> {
        let mut file = disk::create(&path)?;
        let header = record::header(record::Kind::Segment, first);
        file.write_all(&header).map_err(failed("write", &path))?;
        file.sync_all().map_err(failed("sync", &path))?;
        path.parent().map_or(Ok(()), disk::sync_dir)?;
        Ok(Self { file, path, length: header.len() as u64 })
    }

    /// Opens a segment, and makes durable what is in it: whoever wrote it may have died before that.
    fn open(path: PathBuf, length: u64) -> Result<Self, Error> {
        let file = OpenOptions::new().append(true).open(&path).map_err(failed("open", &path))?;
        file.sync_all().map_err(failed("sync", &path))?;
        Ok(Self { file, path, length })
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file.write_all(bytes).map_err(failed("write", &self.path))?;
        self.file.sync_data().map_err(failed("sync", &self.path))?;
        self.length += bytes.len() as u64;
        Ok(())
    }
}

/// Reads the fence, or makes the first one of a journal without any file.
fn fence(state_dir: &Path, dir: &Path) -> Result<Fence, Error> {
    match Fence::read(state_dir)? {
        Some(fence) => Ok(fence),
        None if is_empty(dir)? => Fence::create(state_dir),
        None => Err(no_fence(state_dir)),
    }
}

fn no_fence(state_dir: &Path) -> Error {
    Error::Fence { path: state_dir.join("fence"), what: "is missing beside a journal that is there" }
}

/// Says whether there is no journal at all.
fn is_empty(dir: &Path) -> Result<bool, Error> {
    if !dir.is_dir() {
        return Ok(true);
    }
    let files = Files::list(dir)?;
    Ok(files.segments.is_empty() && files.snapshots.is_empty())
}

fn is_directory(state_dir: &Path) -> Result<(), Error> {
    if state_dir.exists() && !state_dir.is_dir() {
        return Err(Error::NotADirectory { dir: state_dir.to_owned() });
    }
    Ok(())
}

/// Reads a file of at most this many bytes.
fn read_bounded(path: &Path, bytes_max: u64) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed("open", path))?;
    file.take(bytes_max + 1).read_to_end(&mut bytes).map_err(failed("read", path))?;
    if bytes.len() as u64 > bytes_max {
        return Err(snapshot::flawed(path, 0, 0, Flaw::Excess));
    }
    Ok(bytes)
}

/// A segment isn't longer than this: 16 MiB.
const SEGMENT_BYTES_MAX: u64 = 16 << 20;
/// So many bytes of batches make a snapshot due: 32 MiB.
const SNAPSHOT_AFTER_BYTES: u64 = 32 << 20;
/// So many batches make a snapshot due.
const SNAPSHOT_AFTER_BATCHES: u64 = 10_000;
