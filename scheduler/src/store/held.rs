//! What a store held when it was opened.

use epic_scheduler_core::replica::At;

use crate::journal::{Recovered, Snapshot};

/// A whole copy of a journal up to one of its batches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// What it is true at.
    pub at: At,
    /// The checksum (CRC-32) of the last batch's bytes, if that is known: another batch of the same number is another
    /// history.
    pub last_crc32: Option<u32>,
    /// The last batch in the snapshot.
    pub base: u64,
    /// The state up to there, as `journal::codec::encode_snapshot` writes it.
    pub snapshot: Vec<u8>,
    /// All batches after it, in order, each with its number.
    pub batches: Vec<(u64, Vec<u8>)>,
}

impl From<Held> for Recovered {
    fn from(held: Held) -> Self {
        let snapshot = Some(Snapshot { batch: held.base, bytes: held.snapshot });
        Self { snapshot, batches: held.batches, ..Self::default() }
    }
}
