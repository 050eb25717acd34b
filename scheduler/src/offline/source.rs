//! Reads what a state directory holds, whoever left it there.

use std::path::{Path, PathBuf};

use epic_scheduler_core::state::State;

use crate::chain;
use crate::failure::{Code, Failure};
use crate::journal::fold::fold;
use crate::journal::local::Local;
use crate::journal::{self, Recovered, TornTail};
use crate::store::{self, Checker};

/// A state, and where it comes from.
#[derive(Debug)]
pub(super) struct Held {
    /// The state after the last batch.
    pub(super) state: State,
    /// The number of that batch.
    pub(super) batch: u64,
    /// The last batch of the snapshot that it was read from, if there is one.
    pub(super) snapshot: Option<u64>,
    /// What tells its journal in `ZooKeeper` from others; empty for a local journal.
    pub(super) journal: String,
    /// What the next start will cut off; nobody was told that it stood.
    pub(super) cut: Option<TornTail>,
    /// Snapshots that can't be read and aren't needed.
    pub(super) damaged: Vec<PathBuf>,
}

/// Reads a state directory that no scheduler uses; changes nothing.
///
/// # Errors
///
/// It is in use, there is nothing in it, or what is there can't be read.
pub(super) fn source(dir: &Path) -> Result<Held, Failure> {
    let has_copy = dir.join(store::NAME).is_dir();
    if dir.join("journal").is_dir() || dir.join("fence").is_file() {
        let held = held(Local::look(dir).map_err(in_use)?, String::new())?;
        // What was moved and is now a replica's goes on in its copy.
        return if has_copy && held.state.identity.moved_to.is_some() { copy(dir) } else { Ok(held) };
    }
    if has_copy {
        return copy(dir);
    }
    Err(Failure::text(Code::Data, format!("{} holds no journal; give a scheduler's state directory", dir.display())))
}

/// Reads the copy that a replica keeps of a journal in `ZooKeeper`.
fn copy(dir: &Path) -> Result<Held, Failure> {
    let read = store::read(dir, &Checker::own()).map_err(|error| {
        if matches!(error, store::Error::InUse { .. }) {
            return Failure::text(Code::Io, format!("{}; {ONLINE}", chain(&error)));
        }
        Failure::new(Code::Data, &error)
    })?;
    let empty = || Failure::text(Code::Data, format!("the copy of the journal in {} is empty", dir.display()));
    let read = read.ok_or_else(empty)?;
    let journal = read.at.journal.clone();
    held(read.into(), journal)
}

/// Folds what was read.
pub(super) fn held(recovered: Recovered, journal: String) -> Result<Held, Failure> {
    let state = fold(&recovered).map_err(|error| Failure::new(Code::Data, &error))?;
    let snapshot = recovered.snapshot.as_ref().map(|snapshot| snapshot.batch);
    let batch = recovered.batches.last().map(|(batch, _)| *batch).or(snapshot).unwrap_or(0);
    Ok(Held { state, batch, snapshot, journal, cut: recovered.cut, damaged: recovered.damaged_snapshots })
}

/// Says what to do instead while a scheduler runs.
fn in_use(error: journal::Error) -> Failure {
    let journal::Error::InUse { dir, pid } = &error else { return error.into() };
    let holder = pid.map_or_else(|| "another process".to_owned(), |pid| format!("pid {pid}"));
    Failure::text(Code::Io, format!("{} is in use by {holder}; {ONLINE}", dir.display()))
}

const ONLINE: &str = "stop it first, or ask it for a backup while it runs: epicctl admin backup FILE";
