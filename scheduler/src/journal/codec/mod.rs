//! The bytes of batches and snapshots, read with every field checked.

mod entry;
mod error;
mod launch;
mod parts;
mod platform;
mod state;
mod task;

use epic_proto::epic::v1 as proto;
use epic_scheduler_core::invariants;
use epic_scheduler_core::state::State;
use epic_scheduler_core::state::entry::{Entry, Index};
use prost::Message;

pub use error::{Error, Flaw};

/// The format of batches.
const FORMAT: u32 = 1;
/// The format of snapshots that hold the sum of kinds of entries above 19; others are of format 1, which every version reads.
const SNAPSHOT_FORMAT: u32 = 2;

/// Writes entries that become durable together; `first` is the position of the first one, `epoch` the leader's that writes
/// them, 0 in a journal that has only one writer.
#[must_use]
pub fn encode_batch(epoch: u64, first: Index, entries: &[Entry]) -> Vec<u8> {
    let entries = entries.iter().map(entry::to_proto).collect();
    proto::Batch { format: FORMAT, epoch, first_index: first.0, entries }.encode_to_vec()
}

/// Writes an entry, reads it back, and returns how many bytes of a batch it takes.
///
/// # Errors
///
/// It would not be read as it was written, in these words.
pub fn measure(entry: &Entry) -> Result<usize, String> {
    let bytes = entry::to_proto(entry).encode_to_vec();
    let told = |error: &dyn std::error::Error| crate::chain(error);
    let read = proto::Entry::decode(bytes.as_slice()).map_err(|error| told(&error))?;
    let read = entry::from_proto(0, read).map_err(|error| told(&error))?;
    if read != *entry {
        return Err("it would be read as another entry".to_owned());
    }
    // The field's key, and at most four bytes for its length.
    Ok(bytes.len() + 5)
}

/// Reads a batch: the position of its first entry, and the entries.
///
/// # Errors
///
/// [`Error::UnknownFact`] if a later program wrote an entry of a kind that this one doesn't know, [`Error::Format`] if
/// it wrote a later format; anything else is damage or a program's fault. Nothing is read in part.
pub fn decode_batch(bytes: &[u8]) -> Result<(Index, Vec<Entry>), Error> {
    let what = "a batch";
    let batch = proto::Batch::decode(bytes).map_err(|source| Error::Undecodable { what, source })?;
    check_format(what, batch.format, FORMAT)?;
    let wrong = |source| Error::Wrong { object: what.to_owned(), source };
    if batch.first_index == 0 {
        return Err(wrong(Flaw::Missing { field: "first_index" }));
    }
    let last = u64::try_from(batch.entries.len()).ok().and_then(|count| batch.first_index.checked_add(count));
    if last.is_none() {
        return Err(wrong(Flaw::OutOfRange { field: "first_index", found: batch.first_index.to_string() }));
    }
    let entries = (batch.first_index..).zip(batch.entries).map(|(index, entry)| entry::from_proto(index, entry));
    Ok((Index(batch.first_index), entries.collect::<Result<_, _>>()?))
}

/// Writes the sum of all entries up to `state.index`.
#[must_use]
pub fn encode_snapshot(state: &State) -> Vec<u8> {
    state::to_proto(state).encode_to_vec()
}

/// Reads a snapshot; what follows from the rest of it is made anew.
///
/// # Errors
///
/// [`Error::Format`] if a later program wrote it; anything else is damage or a program's fault.
pub fn decode_snapshot(bytes: &[u8]) -> Result<State, Error> {
    let what = "a snapshot";
    let snapshot = proto::Snapshot::decode(bytes).map_err(|source| Error::Undecodable { what, source })?;
    check_format(what, snapshot.format, SNAPSHOT_FORMAT)?;
    let mut state = state::from_proto(snapshot)?;
    state.rebuild_indices();
    match invariants::contradiction(&state) {
        None => Ok(state),
        Some(contradiction) => Err(Error::Contradiction { contradiction }),
    }
}

const fn check_format(what: &'static str, found: u32, known: u32) -> Result<(), Error> {
    if found == 0 || found > known { Err(Error::Format { what, found, known }) } else { Ok(()) }
}
