//! The state that a journal holds: its snapshot and every entry after it.

use epic_scheduler_core::invariants;
use epic_scheduler_core::state::State;

use super::{Recovered, codec};

/// Why what was read makes no state.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The snapshot can't be read.
    #[error("cannot read the snapshot of batch {batch}")]
    Snapshot {
        /// Its last batch.
        batch: u64,
        /// What is wrong with it.
        source: codec::Error,
    },
    /// A batch can't be read.
    #[error("cannot read batch {batch}")]
    Batch {
        /// Its number.
        batch: u64,
        /// What is wrong with it.
        source: codec::Error,
    },
    /// A batch doesn't follow the one before it.
    #[error("batch {batch} begins with entry {found}, not {expected}; restore a backup")]
    Order {
        /// Its number.
        batch: u64,
        /// The entry that it begins with.
        found: u64,
        /// The entry that must come next.
        expected: u64,
    },
    /// Everything can be read, but together it can't be true.
    #[error("the journal contradicts itself at entry {index}: {contradiction}; restore a backup")]
    Contradiction {
        /// The last entry.
        index: u64,
        /// Which rule is broken.
        contradiction: String,
    },
}

/// Folds what was read, and checks that it keeps every rule.
///
/// # Errors
/// Which part can't be read or doesn't fit.
pub fn fold(recovered: &Recovered) -> Result<State, Error> {
    let mut state = match &recovered.snapshot {
        Some(snapshot) => codec::decode_snapshot(&snapshot.bytes)
            .map_err(|source| Error::Snapshot { batch: snapshot.batch, source })?,
        None => State::default(),
    };
    for (batch, bytes) in &recovered.batches {
        let batch = *batch;
        let (first, entries) = codec::decode_batch(bytes).map_err(|source| Error::Batch { batch, source })?;
        let expected = state.index.next().0;
        if first.0 != expected {
            return Err(Error::Order { batch, found: first.0, expected });
        }
        for entry in &entries {
            state.apply(entry);
        }
    }
    match invariants::contradiction(&state) {
        None => Ok(state),
        Some(contradiction) => Err(Error::Contradiction { index: state.index.0, contradiction }),
    }
}
