//! How a copy stands to the journal in `ZooKeeper`, found out.

use epic_scheduler_core::replica::{At, Standing};

use crate::journal::ring::{Error, Next, Ring};

/// Compares a copy up to `at` with a journal, as the whole ensemble knows it now.
///
/// `last_crc32` is the checksum of the copy's last batch, if it is known. Source: [`super::Held`].
///
/// After [`Standing::Whole`] the ring is positioned at the copy's batch, as if it had been recovered to there.
///
/// # Errors
/// ZooKeeper's refusals, and a damaged ring.
pub async fn standing(at: &At, last_crc32: Option<u32>, ring: &Ring) -> Result<Standing, Error> {
    if ring.id() != at.journal {
        return Ok(Standing::Other);
    }
    let batch = at.batch;
    match ring.is_at_end(batch).await {
        Ok(_) => {}
        Err(Error::Behind { .. }) => return Ok(Standing::Ahead),
        Err(error) => return Err(error),
    }
    if batch == 0 {
        return Ok(Standing::Whole);
    }
    // It is there or overwritten, so that nothing is waited for.
    match ring.next(batch - 1).await? {
        Next::Lapped => Ok(Standing::Lapped),
        Next::Batch(bytes) if last_crc32.is_some_and(|crc32| crc32 != crc32fast::hash(&bytes)) => Ok(Standing::Forked),
        Next::Batch(_) => Ok(Standing::Whole),
    }
}
