//! Snapshots beside the ring: chunks under a name of their own, then a pointer that only moves forward.
//!
//! Every snapshot is the sum of what is durable, whoever took it, so that any of them may be pointed to.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::init::{POINTER, SNAPSHOTS, json, make};
use super::{Error, Flaw, Ring};
use crate::journal::Snapshot;
use crate::zookeeper::{Pauses, Refusal, Session};

/// Which snapshot is to be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Pointer {
    batch: u64,
    /// Its node below `/snapshots`.
    name: String,
    /// Its chunks are named from 0 up to, and without, this number.
    chunks: u32,
    bytes: u64,
    crc32: u32,
    /// The one before it, which is kept for when this one is damaged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous: Option<Box<Self>>,
}

/// What came of reading the snapshot that is pointed to.
pub(super) enum Read {
    /// It, or `None` if there was never one.
    Whole(Option<Snapshot>),
    /// It can't be read, but the one before it can; what stands after that must be read from the ring.
    Previous {
        snapshot: Snapshot,
        /// The batch of the one that can't be read.
        spoilt: u64,
        /// Why it can't be read.
        error: Error,
    },
    /// Another one took its place meanwhile.
    Moved,
}

/// The pointer, and the version it has.
struct Pointed {
    pointer: Option<Pointer>,
    version: i32,
}

/// Where the pointer stands after a snapshot, and where it stood before.
struct Moved {
    stands: u64,
    previous: u64,
}

impl Ring {
    /// Makes `bytes` durable as the sum of all batches up to and with `batch`, and removes what is older than the
    /// snapshot before it.
    ///
    /// It may run beside appends. If there is a snapshot of this batch or a later one already, that one stands.
    /// A failure leaves nothing but nodes that a later snapshot removes.
    ///
    /// # Errors
    /// [`Error::NotASnapshot`] if the batch isn't known to be durable; and ZooKeeper's refusals.
    pub async fn snapshot(&self, batch: u64, bytes: &[u8]) -> Result<(), Error> {
        let position = self.position();
        if batch == 0 || batch > position {
            return Err(Error::NotASnapshot { batch, position });
        }
        let before = self.pointed().await?;
        if before.batch() > position {
            return Err(Error::Pointer { path: self.session.whole("/"), source: None });
        }
        if self.is_held(batch, &before) {
            self.tally().snapshot_stands(before.batch());
            return Ok(());
        }
        let mut pointer = self.write_chunks(batch, bytes).await?;
        let moved = self.point_to(&mut pointer, before).await?;
        self.tally().replaced(moved.stands);
        self.prune(moved.previous).await
    }

    /// Reads the snapshot that is pointed to, or the one before it if that one is damaged.
    pub(super) async fn read_snapshot(&self) -> Result<Read, Error> {
        let Some(pointer) = self.pointed().await?.pointer else { return Ok(Read::Whole(None)) };
        let flaw = match self.read_chunks(&pointer).await? {
            Ok(bytes) => return Ok(Read::Whole(Some(Snapshot { batch: pointer.batch, bytes }))),
            Err(flaw) => flaw,
        };
        // It is removed only after the pointer was moved on.
        if self.pointed().await?.pointer.as_ref() != Some(&pointer) {
            return Ok(Read::Moved);
        }
        let error = Error::Snapshot { path: self.session.whole("/"), name: pointer.name, flaw };
        let Some(previous) = pointer.previous else { return Err(error) };
        match self.read_chunks(&previous).await? {
            Ok(bytes) => {
                let snapshot = Snapshot { batch: previous.batch, bytes };
                Ok(Read::Previous { snapshot, spoilt: pointer.batch, error })
            }
            Err(_) => Err(error),
        }
    }

    async fn read_chunks(&self, pointer: &Pointer) -> Result<Result<Vec<u8>, Flaw>, Error> {
        let read = |chunk| self.read_chunk(&pointer.name, chunk);
        let chunks = stream::iter(0..pointer.chunks).map(read).buffered(CHUNKS_AT_ONCE).try_collect::<Vec<_>>().await;
        Ok(join(pointer, chunks?))
    }

    /// Says whether what is pointed to makes a snapshot of this batch needless.
    fn is_held(&self, batch: u64, pointed: &Pointed) -> bool {
        let is_spoilt = self.tally().spoilt == Some(pointed.batch());
        pointed.batch() > batch || pointed.batch() == batch && !is_spoilt
    }

    /// Returns the snapshot to be kept as the one before the next.
    fn to_keep(&self, pointed: &Pointed) -> Option<Box<Pointer>> {
        let pointer = pointed.pointer.clone()?;
        if self.tally().spoilt == Some(pointer.batch) {
            return pointer.previous;
        }
        Some(Box::new(Pointer { previous: None, ..pointer }))
    }

    /// Finds out what snapshot others have taken.
    pub(super) async fn refresh(&self) -> Result<(), Error> {
        let batch = self.pointed().await?.batch();
        let mut tally = self.tally();
        // A snapshot of what isn't there yet can't be.
        let known = batch.min(tally.position);
        tally.snapshot_stands(known);
        Ok(())
    }

    async fn pointed(&self) -> Result<Pointed, Error> {
        let node = self.session.surely(|| self.session.read(POINTER)).await?;
        let path = || self.session.whole("/");
        if node.bytes.is_empty() {
            return Ok(Pointed { pointer: None, version: node.version });
        }
        let read = serde_json::from_slice::<Pointer>(&node.bytes);
        let pointer = read.map_err(|source| Error::Pointer { path: path(), source: Some(source) })?;
        let previous = pointer.previous.as_deref();
        let can_be = |pointer: &Pointer| pointer.can_be(self.root.slots);
        if !can_be(&pointer) || previous.is_some_and(|previous| !can_be(previous) || previous.batch >= pointer.batch) {
            return Err(Error::Pointer { path: path(), source: None });
        }
        Ok(Pointed { pointer: Some(pointer), version: node.version })
    }

    async fn write_chunks(&self, batch: u64, bytes: &[u8]) -> Result<Pointer, Error> {
        let name = format!("{batch}-{}", Uuid::new_v4().simple());
        make(&self.session, &path_of(&name), &[]).await?;
        let chunks: Vec<Vec<u8>> = bytes.chunks(CHUNK_BYTES_MAX).map(framed).collect();
        let count = u32::try_from(chunks.len()).expect("2^32 chunks are more than a process can hold");
        let to = &path_of(&name);
        let write = |(chunk, bytes): (usize, Vec<u8>)| async move {
            make(&self.session, &format!("{to}/{chunk}"), &bytes).await
        };
        let written = stream::iter(chunks.into_iter().enumerate()).map(write).buffer_unordered(CHUNKS_AT_ONCE);
        written.try_collect::<()>().await?;
        Ok(Pointer {
            batch,
            name,
            chunks: count,
            bytes: bytes.len() as u64,
            crc32: crc32fast::hash(bytes),
            previous: None,
        })
    }

    /// Moves the pointer forward unless another replica has moved it as far.
    async fn point_to(&self, pointer: &mut Pointer, mut before: Pointed) -> Result<Moved, Error> {
        let mut pauses = Pauses::default();
        loop {
            pointer.previous = self.to_keep(&before);
            let bytes = json(pointer);
            let previous = pointer.previous.as_ref().map_or(0, |previous| previous.batch);
            let ours = Moved { stands: pointer.batch, previous };
            let doubt = match self.session.write(POINTER, &bytes, Some(before.version)).await {
                Ok(_) => return Ok(ours),
                Err(error) if error.is_unsure() || error.says(Refusal::BadVersion) => error,
                Err(error) => return Err(error.into()),
            };
            before = self.pointed().await?;
            if before.pointer.as_ref().is_some_and(|standing| standing.name == pointer.name) {
                return Ok(ours);
            }
            if self.is_held(pointer.batch, &before) {
                self.remove(&pointer.name).await?;
                return Ok(Moved { stands: before.batch(), previous });
            }
            if !pauses.pause().await {
                return Err(doubt.into());
            }
        }
    }

    /// Removes snapshots older than this batch: none of them will ever be pointed to, since the pointer is beyond it.
    async fn prune(&self, previous: u64) -> Result<(), Error> {
        let names = self.session.surely(|| self.session.children(SNAPSHOTS)).await?;
        for name in names.iter().filter(|name| batch_of(name).is_some_and(|batch| batch < previous)) {
            self.remove(name).await?;
        }
        Ok(())
    }

    async fn remove(&self, name: &str) -> Result<(), Error> {
        let path = path_of(name);
        let chunks = match self.session.surely(|| self.session.children(&path)).await {
            Err(error) if error.says(Refusal::NoNode) => return Ok(()),
            outcome => outcome?,
        };
        for chunk in chunks {
            delete(&self.session, &format!("{path}/{chunk}")).await?;
        }
        delete(&self.session, &path).await
    }

    async fn read_chunk(&self, name: &str, chunk: u32) -> Result<Result<Vec<u8>, Flaw>, Error> {
        let path = format!("{}/{chunk}", path_of(name));
        let node = match self.session.surely(|| self.session.read(&path)).await {
            Err(error) if error.says(Refusal::NoNode) => return Ok(Err(Flaw::Missing { chunk })),
            outcome => outcome?,
        };
        let Some((sum, bytes)) = node.bytes.split_at_checked(4) else { return Ok(Err(Flaw::Short)) };
        let is_whole = sum == crc32fast::hash(bytes).to_be_bytes();
        Ok(if is_whole { Ok(bytes.to_vec()) } else { Err(Flaw::Checksum) })
    }
}

impl Pointer {
    /// Tells whether a snapshot can be so at all; what is read by it is checked against its checksum.
    fn can_be(&self, slots: u32) -> bool {
        let laps = self.batch / u64::from(slots);
        let chunks = self.bytes.div_ceil(CHUNK_BYTES_MAX as u64);
        i32::try_from(laps + 1).is_ok() && self.bytes <= SNAPSHOT_BYTES_MAX && u64::from(self.chunks) == chunks
    }
}

impl Pointed {
    fn batch(&self) -> u64 {
        self.pointer.as_ref().map_or(0, |pointer| pointer.batch)
    }
}

fn join(pointer: &Pointer, chunks: Vec<Result<Vec<u8>, Flaw>>) -> Result<Vec<u8>, Flaw> {
    let bytes = chunks.into_iter().collect::<Result<Vec<_>, _>>()?.concat();
    let is_whole = bytes.len() as u64 == pointer.bytes && crc32fast::hash(&bytes) == pointer.crc32;
    if is_whole { Ok(bytes) } else { Err(Flaw::Checksum) }
}

/// Puts a chunk's checksum before it.
fn framed(bytes: &[u8]) -> Vec<u8> {
    [&crc32fast::hash(bytes).to_be_bytes(), bytes].concat()
}

async fn delete(session: &Session, path: &str) -> Result<(), Error> {
    match session.surely(|| session.delete(path)).await {
        Err(error) if error.says(Refusal::NoNode) => Ok(()),
        outcome => Ok(outcome?),
    }
}

fn path_of(name: &str) -> String {
    format!("{SNAPSHOTS}/{name}")
}

/// Reads the batch that begins a snapshot's name.
fn batch_of(name: &str) -> Option<u64> {
    name.split_once('-').and_then(|(batch, _)| batch.parse().ok())
}

const CHUNK_BYTES_MAX: usize = 256 << 10;
/// More than a ZooKeeper server could hold: 4 GiB.
const SNAPSHOT_BYTES_MAX: u64 = 4 << 30;
const CHUNKS_AT_ONCE: usize = 4;
