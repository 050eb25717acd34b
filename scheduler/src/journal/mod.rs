//! The durable order of everything that was decided: numbered batches, and snapshots of their sum.

pub mod codec;
pub(crate) mod disk;
pub mod error;
pub mod fence;
pub mod fold;
pub mod local;
pub mod ring;

use std::path::PathBuf;

pub use error::Error;

/// A journal takes no batch of more bytes than this: 512 KiB.
pub const PAYLOAD_BYTES_MAX: usize = 512 << 10;

/// A log of numbered batches with one writer.
///
/// Batches are opaque bytes, numbered from 1 without gaps. All methods block on the disk.
pub trait Journal {
    /// Makes one batch durable before it returns.
    ///
    /// # Errors
    /// When `batch` isn't the next number or `payload` is over [`PAYLOAD_BYTES_MAX`], with nothing
    /// written; and when the disk fails, after which the journal takes nothing more.
    fn append(&mut self, batch: u64, payload: &[u8]) -> Result<(), Error>;

    /// Makes `bytes` durable as the sum of all batches up to and with `batch`, and removes what is
    /// older than the snapshot before it.
    ///
    /// # Errors
    /// When `batch` isn't above the last snapshot's and at most the position, and when the disk
    /// fails; batches can still be appended after either.
    fn snapshot(&mut self, batch: u64, bytes: &[u8]) -> Result<(), Error>;

    /// Says whether so much was appended since the last snapshot that it is time for another.
    fn should_snapshot(&self) -> bool;

    /// Returns the number of the last durable batch, 0 before the first.
    fn position(&self) -> u64;
}

/// What a journal held when it was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The newest readable snapshot.
    pub snapshot: Option<Snapshot>,
    /// All batches after the snapshot, in order, each with its number.
    pub batches: Vec<(u64, Vec<u8>)>,
    /// The end of an append that a crash had interrupted, now cut off; nobody was told that it stood.
    pub cut: Option<TornTail>,
    /// Newer snapshots that couldn't be read and were set aside; `batches` make up for them.
    pub damaged_snapshots: Vec<PathBuf>,
}

/// The sum of all batches up to one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The number of the last batch in it.
    pub batch: u64,
    /// The bytes that were given with it.
    pub bytes: Vec<u8>,
}

/// What was cut from the end of a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// The file that was cut or removed.
    pub file: PathBuf,
    /// How many bytes were cut from it.
    pub bytes: u64,
}
