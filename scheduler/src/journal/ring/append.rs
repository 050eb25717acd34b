//! Writing a batch: never twice, never on a doubt.

use std::cmp::Ordering;

use epic_common::time::Timestamp;

use super::{Error, Ring, record};
use crate::journal::PAYLOAD_BYTES_MAX;
use crate::zookeeper::{Pauses, Refusal};

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Append {
    /// It stands, for good, since this time by ZooKeeper's clock.
    Durable(Timestamp),
    /// Another replica has written this number, or one after it. Whoever is told so leads no more;
    /// what stands is found by reading on.
    Deposed,
}

impl Ring {
    /// Writes the next batch, and finds out whether it stands before it returns.
    ///
    /// A lost answer is resolved by reading the slot: what was written there by this call is durable, by
    /// another one means deposed, and nothing means that the same bytes are written again.
    ///
    /// If it is dropped or fails otherwise than by a bound, nothing is known of the batch, and the ring takes no other one until
    /// [`recover`](Self::recover) or [`is_at_end`](Self::is_at_end) has found out.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::NotNext`], [`Error::SnapshotNeeded`] and [`Error::Pending`] with nothing written;
    /// [`Error::Behind`] if the ring has lost what it held; [`Error::Call`] when the session is over, or each answer is
    /// lost: the batch may stand or may yet come to stand, so the caller leads no more.
    pub async fn append(&self, batch: u64, epoch: u64, payload: &[u8]) -> Result<Append, Error> {
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(Error::TooLarge { batch, bytes: payload.len(), bytes_max: PAYLOAD_BYTES_MAX });
        }
        self.check_next(batch)?;
        if self.must_snapshot(batch) {
            self.refresh().await?;
        }
        if self.must_snapshot(batch) {
            return Err(Error::SnapshotNeeded { batch, needed: batch - u64::from(self.root.slots) });
        }
        self.tally().pending = Some(batch);
        let bytes = record::encode(batch, epoch, self.writer, payload);
        let appended = self.write(batch, &bytes).await?;
        let mut tally = self.tally();
        tally.pending = None;
        if matches!(appended, Append::Durable(_)) {
            tally.followed(batch, payload.len());
        }
        Ok(appended)
    }

    fn check_next(&self, batch: u64) -> Result<(), Error> {
        let tally = self.tally();
        match tally.pending {
            Some(batch) => Err(Error::Pending { batch }),
            None if batch != tally.position + 1 => Err(Error::NotNext { batch, position: tally.position }),
            None => Ok(()),
        }
    }

    async fn write(&self, batch: u64, bytes: &[u8]) -> Result<Append, Error> {
        let path = self.path_of(batch);
        let version = self.version_before(batch);
        let mut pauses = Pauses::default();
        loop {
            let doubt = match self.session.write(&path, bytes, Some(version)).await {
                Ok(written) => return Ok(Append::Durable(written.modified)),
                Err(error) if error.is_unsure() || error.says(Refusal::BadVersion) => error,
                Err(error) => return Err(error.into()),
            };
            // Else a server that lags could show what was there before.
            self.session.surely(|| self.session.sync()).await?;
            let node = self.session.surely(|| self.session.read(&path)).await?;
            match node.version.cmp(&version) {
                Ordering::Less => return Err(self.behind(batch)),
                Ordering::Equal if pauses.pause().await => {}
                Ordering::Equal => return Err(doubt.into()),
                Ordering::Greater if node.version == version + 1 && node.bytes == bytes => {
                    return Ok(Append::Durable(node.modified));
                }
                Ordering::Greater => return Ok(Append::Deposed),
            }
        }
    }
}
