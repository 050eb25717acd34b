//! How a copy stands to the journal in `ZooKeeper`: whether it may be followed from where the copy ends.

use super::held::At;
use crate::journal::ring::{Error, Next, Ring};

/// How a copy stands to a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The journal holds all of it and goes on from there.
    Whole,
    /// The journal is beyond it by more than the ring holds: only a snapshot leads further.
    Lapped,
    /// The journal ends before it: ZooKeeper was emptied, or restored from a backup.
    Ahead,
    /// The journal holds another batch of the same number: it was restored, and went on without us.
    Forked,
    /// It is of another journal: that one was made anew, or the state directory is another framework's.
    Other,
}

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

impl Standing {
    /// Says why a replica with this copy must stand still, and what to do; `None` if it may go on.
    #[must_use]
    pub fn problem(self, at: &At) -> Option<String> {
        let batch = at.batch;
        let found = match self {
            Self::Whole | Self::Lapped => return None,
            Self::Ahead => format!(
                "ends before batch {batch}, which this replica's store holds: it was restored or lost something"
            ),
            Self::Forked => {
                format!("holds another batch {batch} than this replica's store: it was restored and has gone on since")
            }
            Self::Other => format!("is another one than {}, which this replica's store holds", at.journal),
        };
        let next = "restore the newer of the two; if ZooKeeper's is right, stop this replica, run epic-scheduler state \
                    forget STATE-DIR --yes, and start it again";
        Some(format!("the journal in ZooKeeper {found}; {next}"))
    }
}
