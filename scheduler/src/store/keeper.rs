//! The handle of the one thread that writes a store.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use epic_common_io::telemetry::{self, Spared};
use epic_scheduler_core::state::State;
use tokio::sync::{oneshot, watch};
use tracing::{info, warn};

use super::error::Flaw;
use super::examine::{Checker, Verdict, set_aside};
use super::fence::Fence;
use super::health::Health;
use super::held::Held;
use super::image::Batch;
use super::queue::Shared;
use super::sled::Sled;
use super::writer::Writer;
use super::{Error, NAME};
use crate::chain;
use epic_scheduler_core::replica::At;

/// Keeps a copy of a journal in a store, behind whoever follows the journal.
///
/// None of its methods waits for the disk or for anybody, but [`Self::close`], which waits as long as it is told to.
/// What can't be done is seen in [`Self::health`].
#[derive(Debug)]
pub struct Keeper {
    shared: Arc<Shared>,
    engine: Spared,
    path: PathBuf,
    ended: Option<oneshot::Receiver<()>>,
}

/// How a store is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// Who looks at it first.
    pub checker: Checker,
    /// What must stay free on the disk, besides room for two more stores of this size.
    pub reserve_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { checker: Checker::own(), reserve_bytes: 256 << 20 }
    }
}

impl Keeper {
    /// Reads what the store of a state directory holds, and starts its thread.
    ///
    /// Blocks while a child looks at the store. A damaged one is set aside; one that can't be used is sick. Neither is a
    /// failure: the journal is the truth.
    #[must_use]
    pub fn open(state_dir: &Path, options: Options) -> (Option<Held>, Self) {
        let (held, sick) = match look(state_dir, &options.checker) {
            Ok(held) => (held, None),
            Err(error) => (None, Some(chain(&error))),
        };
        let shared = Arc::new(Shared::new(held.as_ref().map(|held| &held.at)));
        let engine = telemetry::spare_threads(ENGINE_THREADS);
        telemetry::spare_threads(THREAD);
        let (end, ended) = oneshot::channel();
        let mut writer = Writer::<Sled>::new(state_dir, options, shared.clone(), engine.clone(), held.is_some());
        if let Some(why) = sick {
            warn!(why, "the store can't be used");
            writer.begin_sick(why);
        }
        let spawned = thread::Builder::new().name(THREAD.to_owned()).spawn(move || {
            writer.run();
            end.send(()).ok();
        });
        if let Err(error) = spawned {
            shared.failed(format!("its thread can't be started: {error}"), true);
        }
        (held, Self { shared, engine, path: state_dir.join(NAME), ended: Some(ended) })
    }

    /// Takes the next batch of the journal, with the epoch after it; one that was taken already is left out.
    ///
    /// If one is missing, or too many wait, the store is sick until a reset.
    pub fn batch(&self, number: u64, epoch: u64, bytes: Arc<[u8]>) {
        if self.engine.panics() > 0 && !self.shared.is_over() {
            self.shared.failed(chain(&Error::Panicked { path: self.path.clone() }), true);
        }
        self.shared.put(Batch { number, epoch, bytes });
    }

    /// Takes the state at a place in the journal in place of everything before; to begin with, after a snapshot was
    /// read, for another journal, and whenever [`Health::wants_reset`] says so.
    pub fn reset(&self, at: At, state: State) {
        self.shared.reset(at, state);
    }

    /// Shows how the store is, now and from now on.
    #[must_use]
    pub fn health(&self) -> watch::Receiver<Health> {
        self.shared.health().subscribe()
    }

    /// Tells whether the store needs the whole state.
    #[must_use]
    pub fn wants_reset(&self) -> bool {
        self.shared.health().borrow().wants_reset
    }

    /// Writes what waits and ends; `false` if that lasts longer than `within`, and it goes on without anybody then.
    pub async fn close(mut self, within: Duration) -> bool {
        self.shared.close();
        let Some(ended) = self.ended.take() else { return true };
        tokio::time::timeout(within, ended).await.is_ok()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.shared.close();
    }
}

/// Finds out what the store holds; a damaged one is out of the way afterwards.
pub(super) fn look(state_dir: &Path, checker: &Checker) -> Result<Option<Held>, Error> {
    let (dir, fence) = (state_dir.join(NAME), Fence::beside(state_dir));
    if !dir.exists() {
        if let Some(flaw) = fence.check(None)? {
            warn!(why = %flaw, "the store is gone; it is made anew from ZooKeeper");
        }
        return Ok(None);
    }
    let flaw: Flaw = match checker.examine(&dir)? {
        Verdict::Whole(held) => match fence.check(held.as_ref())? {
            None => {
                let batch = held.as_ref().map_or(0, |held| held.at.batch);
                info!(batch, path = %dir.display(), "store checked");
                return Ok(held);
            }
            Some(flaw) => flaw,
        },
        Verdict::Damaged(flaw) => flaw,
        Verdict::Unusable(why) => return Err(Error::Unusable { path: dir, why }),
    };
    set_aside(state_dir, &flaw)?;
    Ok(None)
}

/// sled's own threads.
const ENGINE_THREADS: &str = "sled-io-";
const THREAD: &str = "store-writer";
