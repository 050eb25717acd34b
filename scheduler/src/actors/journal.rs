//! The actor that owns the journal, on a thread of its own since the disk blocks.

use std::sync::{Arc, Mutex, PoisonError};

use actix::{Actor, Addr, Handler, Message, SyncArbiter, SyncContext};

use crate::journal::local::Local;
use crate::journal::{self, Journal as _};

/// Owns the journal.
pub struct Journal {
    journal: Option<Local>,
}

/// Why something isn't durable.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The journal failed.
    #[error(transparent)]
    Journal(#[from] journal::Error),
    /// The journal was closed before.
    #[error("the journal is closed")]
    Closed,
}

/// Makes a batch durable.
#[derive(Debug, Message)]
#[rtype(result = "Result<Appended, Error>")]
pub struct Append {
    /// Its number.
    pub batch: u64,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// A batch is durable.
#[derive(Clone, Copy, Debug)]
pub struct Appended {
    /// Whether so much was appended that a snapshot should be made.
    pub snapshot_due: bool,
}

/// Makes a snapshot durable; failing costs nothing but space.
#[derive(Debug, Message)]
#[rtype(result = "Result<(), Error>")]
pub struct Snapshot {
    /// The last batch in it.
    pub batch: u64,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Closes the journal; nothing can be appended afterwards.
#[derive(Debug, Message)]
#[rtype(result = "Result<(), Error>")]
pub struct Close;

impl Journal {
    /// Starts the actor's thread.
    #[must_use]
    pub fn start(journal: Local) -> Addr<Self> {
        let slot = Arc::new(Mutex::new(Some(journal)));
        // One thread, so the journal is taken once.
        SyncArbiter::start(1, move || Self { journal: slot.lock().unwrap_or_else(PoisonError::into_inner).take() })
    }

    fn open(&mut self) -> Result<&mut Local, Error> {
        self.journal.as_mut().ok_or(Error::Closed)
    }
}

impl Actor for Journal {
    type Context = SyncContext<Self>;
}

impl Handler<Append> for Journal {
    type Result = Result<Appended, Error>;

    fn handle(&mut self, append: Append, _: &mut SyncContext<Self>) -> Self::Result {
        let journal = self.open()?;
        journal.append(append.batch, &append.bytes)?;
        Ok(Appended { snapshot_due: journal.should_snapshot() })
    }
}

impl Handler<Snapshot> for Journal {
    type Result = Result<(), Error>;

    fn handle(&mut self, snapshot: Snapshot, _: &mut SyncContext<Self>) -> Self::Result {
        Ok(self.open()?.snapshot(snapshot.batch, &snapshot.bytes)?)
    }
}

impl Handler<Close> for Journal {
    type Result = Result<(), Error>;

    fn handle(&mut self, _: Close, _: &mut SyncContext<Self>) -> Self::Result {
        Ok(self.journal.take().map_or(Ok(()), Local::close)?)
    }
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal").finish_non_exhaustive()
    }
}
