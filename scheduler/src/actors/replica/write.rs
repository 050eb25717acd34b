//! What a leader writes to the journal: batches and snapshots.

use std::rc::Rc;
use std::sync::Arc;

use epic_scheduler_core::replica::{Appended, Batch, Written};
use epic_scheduler_core::state::State;
use tracing::{info, warn};

use super::NO_SESSION;
use crate::actors::world;
use crate::chain;
use crate::journal::codec;
use crate::journal::ring::{self, Append, Ring};
use crate::metrics;

/// Appends a batch; with `proposed` it is one of the director, and has been on its way for so long.
pub(super) async fn append(ring: Option<Rc<Ring>>, batch: Batch, proposed: Option<metrics::Append>) -> Appended {
    let Some(ring) = ring else { return Appended::Unknown(NO_SESSION.to_owned()) };
    let bytes: Arc<[u8]> = codec::encode_batch(batch.epoch, batch.first, &batch.entries).into();
    match ring.append(batch.number, batch.epoch, &bytes).await {
        Ok(Append::Durable(_)) => {
            if let Some(since) = proposed {
                world::durable(&batch.entries, &since);
            }
            let written = Written { crc32: crc32fast::hash(&bytes), bytes };
            Appended::Durable { written, snapshot_due: ring.should_snapshot() }
        }
        Ok(Append::Deposed) => Appended::Refused,
        Err(ring::Error::SnapshotNeeded { .. }) => Appended::SnapshotNeeded(batch),
        Err(error) => Appended::Unknown(chain(&error)),
    }
}

/// Makes a state durable as the sum of all batches up to this one; says why if it can't.
pub(super) async fn snapshot(ring: Option<Rc<Ring>>, batch: u64, state: State) -> Result<(), String> {
    let ring = ring.ok_or_else(|| NO_SESSION.to_owned())?;
    // A state of very many tasks takes long, and nobody is to wait for this thread.
    let encoded = tokio::task::spawn_blocking(move || codec::encode_snapshot(&state)).await;
    let bytes = encoded.map_err(|error| error.to_string())?;
    if let Err(error) = ring.snapshot(batch, &bytes).await {
        warn!(error = chain(&error), "no snapshot");
        return Err(chain(&error));
    }
    metrics::snapshot(bytes.len());
    info!("snapshot made");
    Ok(())
}
