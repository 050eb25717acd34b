//! The thread that writes a store.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use epic_common::backoff::Backoff;
use epic_common_io::telemetry::Spared;
use nix::sys::statvfs::statvfs;
use tracing::{info, warn};

use super::examine::remove_set_aside;
use super::fence::Fence;
use super::image::{Batch, Image};
use super::keeper::{Options, look};
use super::queue::{Reset, Shared, Task};
use super::{Error, NAME, Store};
use crate::chain;
use crate::journal::codec;

/// Whatever the thread needs.
#[derive(Debug)]
pub(super) struct Writer<S> {
    state_dir: PathBuf,
    options: Options,
    shared: Arc<Shared>,
    fence: Fence,
    /// Counts panics on the engine's own threads.
    engine: Spared,
    image: Option<Image<S>>,
    /// Whether a child has just said that the store can be opened.
    is_examined: bool,
    failures: u32,
    /// Until when nothing is tried.
    pause: Option<Instant>,
    wrote: Option<Instant>,
}

impl<S: Store> Writer<S> {
    pub(super) fn new(
        state_dir: &Path,
        options: Options,
        shared: Arc<Shared>,
        engine: Spared,
        is_examined: bool,
    ) -> Self {
        let (state_dir, fence) = (state_dir.to_owned(), Fence::beside(state_dir));
        let (image, pause, wrote) = (None, None, None);
        Self { state_dir, options, shared, fence, engine, image, is_examined, failures: 0, pause, wrote }
    }

    /// Begins with a failure.
    pub(super) fn begin_sick(&mut self, why: String) {
        self.rest();
        self.shared.failed(why, false);
    }

    /// Writes until it is closed.
    pub(super) fn run(mut self) {
        loop {
            let earliest = self.wrote.map(|wrote| wrote + DURABLE_EVERY);
            match self.shared.take(earliest, self.pause) {
                Task::Reset(reset) => self.guarded(|writer| writer.reset(*reset)),
                Task::Batches(batches) => self.guarded(|writer| writer.append(&batches)),
                Task::Offer => {
                    self.pause = None;
                    self.shared.offer();
                }
                Task::Close => return self.guarded(Self::close),
            }
        }
    }

    /// Does something that may fail in any way, and notes how it went.
    fn guarded(&mut self, work: impl FnOnce(&mut Self) -> Result<(), Error>) {
        let panicked = Error::Panicked { path: self.state_dir.join(NAME) };
        let done = catch_unwind(AssertUnwindSafe(|| work(self)));
        match done {
            Ok(Ok(())) if self.engine.panics() == 0 => self.failures = 0,
            Ok(Err(error)) if self.engine.panics() == 0 => self.fail(&error),
            // What is left of the engine may hang or panic again: it is left alone.
            Ok(_) | Err(_) => {
                warn!(why = %panicked, "the store is sick");
                self.shared.failed(panicked.to_string(), true);
            }
        }
    }

    fn fail(&mut self, error: &Error) {
        let next = if error.is_full() { "; free some space, it mends itself then" } else { "" };
        let why = format!("{}{}", chain(error), if matches!(error, Error::Room { .. }) { "" } else { next });
        warn!(why, "the store is sick; nothing waits for it");
        self.is_examined = false;
        let image = self.image.take();
        if catch_unwind(AssertUnwindSafe(|| drop(image))).is_err() {
            return self.shared.failed(why, true);
        }
        if error.is_full()
            && let Err(error) = remove_set_aside(&self.state_dir)
        {
            warn!(error = chain(&error), "no space is given back");
        }
        self.rest();
        self.shared.failed(why, false);
    }

    fn rest(&mut self) {
        self.failures = self.failures.saturating_add(1);
        self.pause = Some(Instant::now() + RETRY.delay(self.failures));
    }

    fn reset(&mut self, reset: Reset) -> Result<(), Error> {
        let Reset { at, last, state } = reset;
        let before = self.image()?.at();
        let known = before.as_ref().filter(|before| before.journal == at.journal && before.batch <= at.batch);
        if known.is_none() {
            // The fence would call damaged what is right.
            self.fence.remove()?;
        }
        self.check_room()?;
        let image = self.image()?;
        let known = image.last_crc32().filter(|_| before.as_ref() == Some(&at));
        let last_crc32 = last.map(|bytes| crc32fast::hash(&bytes)).or(known);
        image.rebase(&at, last_crc32, &codec::encode_snapshot(&state))?;
        drop(state);
        let bytes = image.bytes();
        self.fence.write(&at)?;
        self.wrote = Some(Instant::now());
        info!(batch = at.batch, bytes, "the store has a new base");
        self.shared.written(&at, bytes, false);
        Ok(())
    }

    fn append(&mut self, batches: &[Batch]) -> Result<(), Error> {
        self.check_room()?;
        let image = self.image()?;
        image.append(batches)?;
        image.sync()?;
        let (count, bytes) = image.after_base();
        let (at, disk_bytes) = (image.at().expect("there are batches"), image.bytes());
        self.wrote = Some(Instant::now());
        self.fence.follow(&at)?;
        let exceeds = |times: u64| count > times * BATCHES_AFTER_BASE || bytes > times * BYTES_AFTER_BASE;
        self.shared.written(&at, disk_bytes, exceeds(1));
        if exceeds(PATIENCE) {
            self.shared.give_up_base(format!("{count} batches came after its base, and no state for another one"));
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), Error> {
        if self.shared.is_over() {
            return Ok(());
        }
        match self.image.take().and_then(|image| image.at()) {
            Some(at) => self.fence.write(&at),
            None => Ok(()),
        }
    }

    /// Opens the store if it isn't open, after a child has looked at it.
    fn image(&mut self) -> Result<&mut Image<S>, Error> {
        if self.image.is_none() {
            if !self.is_examined {
                look(&self.state_dir, &self.options.checker)?;
            }
            self.is_examined = false;
            self.image = Some(Image::open(&self.state_dir.join(NAME))?);
        }
        Ok(self.image.as_mut().expect("it was just opened"))
    }

    fn check_room(&self) -> Result<(), Error> {
        let path = &self.state_dir;
        let failed = |error: nix::Error| Error::io("ask for the free space of", path)(error.into());
        let disk = statvfs(path).map_err(failed)?;
        let free = disk.blocks_available().saturating_mul(disk.fragment_size());
        let bytes = self.image.as_ref().map_or(0, Image::bytes);
        let needed = bytes.saturating_mul(2).saturating_add(self.options.reserve_bytes);
        if free >= needed { Ok(()) } else { Err(Error::Room { path: path.clone(), free, needed }) }
    }
}

/// What a power cut may cost.
const DURABLE_EVERY: Duration = Duration::from_millis(200);
const BATCHES_AFTER_BASE: u64 = 4096;
const BYTES_AFTER_BASE: u64 = 8 << 20;
/// How many times as much is taken while nobody gives a state.
const PATIENCE: u64 = 4;
const RETRY: Backoff = Backoff { first: Duration::from_secs(1), most: Duration::from_secs(60) };
