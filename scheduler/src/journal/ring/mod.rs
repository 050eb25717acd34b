//! The journal in ZooKeeper: a ring of nodes made once, each written by whoever knows its version.
//!
//! Batch N lives in slot N mod S and is written only over version N div S. That version is the fence: of two
//! writers one is refused, also after a whole lap of the ring. Nothing is deleted, so that the ring's size is bounded.
//!
//! Batch N is written only when a snapshot of at least N - S stands, so that snapshot and ring always make a whole.

mod append;
mod base;
mod error;
mod init;
mod probe;
mod record;
mod snapshot;
mod tally;

use std::sync::{Mutex, MutexGuard};

use futures_util::{StreamExt as _, stream};
use tracing::warn;
use uuid::Uuid;

use crate::journal::Recovered;
use crate::zookeeper::{Node, Session};

pub use append::Append;
pub use base::{Base, Place, init_from, look, prepare};
pub use error::{Error, Flaw};
pub use init::{Initialised, SLOTS, SLOTS_MAX, SLOTS_MIN, init, init_with};

use init::{JOURNAL, Root};
use snapshot::Read;
use tally::Tally;

/// One replica's view of the ring, over one session.
///
/// Any number of replicas read it; who may write is found out by writing. All waiting ends when the session does.
#[derive(Debug)]
pub struct Ring {
    session: Session,
    root: Root,
    /// Tells this opening's records from all others.
    writer: Uuid,
    tally: Mutex<Tally>,
}

/// What comes after a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// The next batch.
    Batch(Vec<u8>),
    /// It has been overwritten: only a snapshot leads further.
    Lapped,
}

/// What a slot holds, as far as one batch is concerned.
#[derive(Debug)]
enum Slot {
    /// Nothing or the batch a lap before it.
    Unwritten,
    /// The batch.
    Written(Vec<u8>),
    /// A batch at least a lap after it.
    Lapped,
}

impl Ring {
    /// Reads what kind of journal is there; makes and changes nothing.
    ///
    /// # Errors
    /// There is none, or one that this program can't use; and ZooKeeper's refusals.
    pub async fn open(session: Session) -> Result<Self, Error> {
        session.surely(|| session.sync()).await?;
        let root = init::read(&session).await?;
        let tally = Mutex::new(Tally::new(root.slots));
        let ring = Self { session, root, writer: Uuid::new_v4(), tally };
        ring.refresh().await?;
        Ok(ring)
    }

    /// Returns what tells this journal from one made anew at the same path.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.root.id
    }

    /// Returns the session it is read and written with.
    #[must_use]
    pub const fn session(&self) -> &Session {
        &self.session
    }

    /// Returns the number of the last batch that was read or written here, 0 before the first.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.tally().position
    }

    /// Reads the newest snapshot and all batches after it, to the end as it is now. If that snapshot is damaged, it is made
    /// up for by the one before it and the batches that the ring still holds; another one is due then.
    ///
    /// Others may write meanwhile: if they lap the reading, it starts again.
    ///
    /// # Errors
    /// When something that once was durable is damaged or missing; and ZooKeeper's refusals.
    pub async fn recover(&self) -> Result<Recovered, Error> {
        self.session.surely(|| self.session.sync()).await?;
        for _ in 0..TRIES_MAX {
            let (snapshot, spoilt) = match self.read_snapshot().await? {
                Read::Whole(snapshot) => (snapshot, None),
                Read::Previous { snapshot, spoilt, error } => (Some(snapshot), Some((spoilt, error))),
                Read::Moved => continue,
            };
            let base = snapshot.as_ref().map_or(0, |snapshot| snapshot.batch);
            let batches = match (self.batches_after(base).await?, spoilt) {
                (Some(batches), None) => batches,
                (None, None) => continue,
                // What the damaged snapshot held must all be there.
                (Some(batches), Some((spoilt, error))) if batches.last().is_some_and(|(last, _)| *last >= spoilt) => {
                    warn!(
                        error = crate::chain(&error),
                        used = base,
                        "an older snapshot and what came after it make up for one"
                    );
                    self.tally().spoilt = Some(spoilt);
                    batches
                }
                (Some(_) | None, Some((_, error))) => return Err(error),
            };
            let sizes = batches.iter().map(|(batch, payload)| (*batch, payload.len()));
            self.tally().recovered(base, sizes);
            return Ok(Recovered { snapshot, batches, ..Recovered::default() });
        }
        Err(Error::Restless { path: self.session.whole("/"), tries: TRIES_MAX })
    }

    /// Waits for the batch after this one. Dropping the wait loses nothing.
    ///
    /// # Errors
    /// When the batch is damaged, when the ring is older than `after` says, and when the session is over.
    pub async fn next(&self, after: u64) -> Result<Next, Error> {
        let batch = after + 1;
        let path = self.path_of(batch);
        loop {
            let node = self.session.surely(|| self.session.read(&path)).await?;
            match self.slot(batch, &node)? {
                Slot::Written(payload) => {
                    self.tally().followed(batch, payload.len());
                    return Ok(Next::Batch(payload));
                }
                Slot::Lapped => return Ok(Next::Lapped),
                Slot::Unwritten => {}
            }
            let (node, watch) = self.session.surely(|| self.session.read_and_watch(&path)).await?;
            if matches!(self.slot(batch, &node)?, Slot::Unwritten) {
                watch.changed().await?;
            }
        }
    }

    /// Says whether nothing comes after this batch, as the whole ensemble knows it now.
    ///
    /// If so, the next batch can be appended here, and what snapshots others took counts as known.
    ///
    /// # Errors
    /// When the batch itself isn't there: the ring is older than `position` says; and ZooKeeper's refusals.
    pub async fn is_at_end(&self, position: u64) -> Result<bool, Error> {
        self.session.surely(|| self.session.sync()).await?;
        match self.read_slot(position).await? {
            Slot::Written(_) => {}
            Slot::Lapped => return Ok(false),
            Slot::Unwritten => return Err(self.behind(position)),
        }
        let is_at_end = matches!(self.read_slot(position + 1).await?, Slot::Unwritten);
        if is_at_end {
            self.tally().at_end(position);
            self.refresh().await?;
        }
        Ok(is_at_end)
    }

    /// Says whether so much was written since the last snapshot that it is time for another.
    #[must_use]
    pub fn should_snapshot(&self) -> bool {
        self.tally().should_snapshot()
    }

    /// Says whether this batch can't be appended before another snapshot is taken.
    #[must_use]
    pub fn must_snapshot(&self, next_batch: u64) -> bool {
        self.tally().must_snapshot(next_batch)
    }

    /// Reads all batches after `base` in order; `None` if one was overwritten meanwhile.
    async fn batches_after(&self, base: u64) -> Result<Option<Vec<(u64, Vec<u8>)>>, Error> {
        let mut batches = Vec::new();
        let read = |batch| async move { (batch, self.read_slot(batch).await) };
        let mut slots = stream::iter(base + 1..).map(read).buffered(READS_AT_ONCE);
        while let Some((batch, slot)) = slots.next().await {
            match slot? {
                Slot::Written(payload) => batches.push((batch, payload)),
                Slot::Unwritten => break,
                Slot::Lapped => return Ok(None),
            }
        }
        Ok(Some(batches))
    }

    async fn read_slot(&self, batch: u64) -> Result<Slot, Error> {
        let path = self.path_of(batch);
        let node = self.session.surely(|| self.session.read(&path)).await?;
        self.slot(batch, &node)
    }

    /// Reads a slot's node as the place of this batch.
    fn slot(&self, batch: u64, node: &Node) -> Result<Slot, Error> {
        let before = self.version_before(batch);
        if node.version < before {
            return Err(self.behind(batch));
        }
        if node.version == before {
            return Ok(Slot::Unwritten);
        }
        if node.version > before + 1 {
            return Ok(Slot::Lapped);
        }
        match record::decode(&node.bytes, batch) {
            Ok(payload) => Ok(Slot::Written(payload.to_vec())),
            Err(flaw) => Err(Error::Damaged { path: self.session.whole(&self.path_of(batch)), batch, flaw }),
        }
    }

    fn behind(&self, batch: u64) -> Error {
        Error::Behind { path: self.session.whole("/"), batch }
    }

    fn path_of(&self, batch: u64) -> String {
        format!("{JOURNAL}/{}", batch % u64::from(self.root.slots))
    }

    /// Returns the version that a batch is written over.
    fn version_before(&self, batch: u64) -> i32 {
        let lap = batch / u64::from(self.root.slots);
        i32::try_from(lap).expect("2^31 laps of at least 4 batches take longer than a ring lasts")
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().expect("nothing panics while it holds the lock")
    }
}

/// What servers must take in one packet for the largest batch: its bytes, its header, and what ZooKeeper adds.
const PACKET_BYTES: usize = (512 << 10) + 4096;
const TRIES_MAX: u32 = 16;
const READS_AT_ONCE: usize = 32;
