//! What waits to be written to a store: bounded, and never waited for by those who put it there.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use epic_scheduler_core::state::State;
use tokio::sync::watch;

use super::health::{Condition, Health};
use super::image::Batch;
use epic_scheduler_core::replica::At;

/// What keeper and writer share. The lock is held for moments only, never while the disk works.
#[derive(Debug)]
pub(super) struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    health: watch::Sender<Health>,
}

/// The whole state, to be written as a base.
#[derive(Debug)]
pub(super) struct Reset {
    pub(super) at: At,
    /// The last batch's bytes, if it passed here.
    pub(super) last: Option<Arc<[u8]>>,
    pub(super) state: State,
}

/// What the writer is to do next.
#[derive(Debug)]
pub(super) enum Task {
    Reset(Box<Reset>),
    Batches(Vec<Batch>),
    /// The pause after a failure is over.
    Offer,
    Close,
}

#[derive(Debug, Default)]
struct Queue {
    reset: Option<Box<Reset>>,
    batches: VecDeque<Batch>,
    bytes: usize,
    /// The last batch that was put here or came with a reset.
    accepted: u64,
    last: Option<(u64, Arc<[u8]>)>,
    /// Since when the oldest batch has waited.
    since: Option<Instant>,
    /// Batches are missing, so that nothing but a reset helps.
    lost: bool,
    /// Nothing helps any more.
    over: bool,
    closing: bool,
}

impl Shared {
    /// Begins at a batch that the store holds; with `None` it needs a reset first.
    pub(super) fn new(held: Option<&At>) -> Self {
        let (batch, epoch) = held.map_or((0, 0), |at| (at.batch, at.epoch));
        let condition = if held.is_some() { Condition::Ok } else { Condition::Empty };
        let health = Health { batch, epoch, condition, wants_reset: held.is_none(), disk_bytes: 0 };
        let queue = Queue { accepted: batch, lost: held.is_none(), ..Queue::default() };
        Self { queue: Mutex::new(queue), wake: Condvar::new(), health: watch::Sender::new(health) }
    }

    pub(super) fn health(&self) -> &watch::Sender<Health> {
        &self.health
    }

    /// Puts a batch in line, or notes that one is missing from now on.
    pub(super) fn put(&self, batch: Batch) {
        let mut queue = self.lock();
        if queue.lost || queue.over || batch.number <= queue.accepted {
            return;
        }
        let (expected, number) = (queue.accepted + 1, batch.number);
        if number != expected {
            return self.lose(&mut queue, format!("it was told of batch {number} before {expected}"));
        }
        if queue.batches.len() >= BATCHES_MAX || queue.bytes + batch.bytes.len() > BYTES_MAX {
            let waiting = queue.batches.len();
            return self.lose(&mut queue, format!("{waiting} batches wait to be written: the disk is too slow"));
        }
        queue.accepted = number;
        queue.bytes += batch.bytes.len();
        queue.last = Some((number, batch.bytes.clone()));
        queue.since.get_or_insert_with(Instant::now);
        queue.batches.push_back(batch);
        let condition = queue.condition();
        self.health.send_if_modified(|health| {
            let changes = condition != Condition::Ok && health.condition != condition;
            if changes {
                health.condition = condition;
            }
            changes
        });
        drop(queue);
        self.wake.notify_one();
    }

    /// Puts the whole state in place of all that waits.
    pub(super) fn reset(&self, at: At, state: State) {
        let mut queue = self.lock();
        if queue.over || queue.closing {
            return;
        }
        let last = queue.last.take().filter(|(number, _)| *number == at.batch);
        queue.clear();
        queue.accepted = at.batch;
        queue.lost = false;
        let bytes = last.as_ref().map(|(_, bytes)| bytes.clone());
        queue.last = last;
        queue.reset = Some(Box::new(Reset { at, last: bytes, state }));
        self.health.send_if_modified(|health| std::mem::take(&mut health.wants_reset));
        drop(queue);
        self.wake.notify_one();
    }

    /// Waits for something to do: batches no sooner than `earliest`, unless there are many, and nothing before the
    /// pause after a failure is over.
    pub(super) fn take(&self, earliest: Option<Instant>, pause: Option<Instant>) -> Task {
        let mut queue = self.lock();
        loop {
            let now = Instant::now();
            let wait = if queue.closing && (pause.is_some() || queue.is_empty() || queue.over) {
                return Task::Close;
            } else if let Some(until) = pause {
                if now >= until {
                    return Task::Offer;
                }
                Some(until - now)
            } else if let Some(reset) = queue.reset.take() {
                return Task::Reset(reset);
            } else if !queue.batches.is_empty() {
                let early = earliest.filter(|earliest| now < *earliest && !queue.closing && queue.bytes < MERGED_BYTES);
                match early {
                    Some(earliest) => Some(earliest - now),
                    None => return Task::Batches(queue.merged()),
                }
            } else {
                None
            };
            queue = match wait {
                Some(wait) => self.wake.wait_timeout(queue, wait).unwrap_or_else(PoisonError::into_inner).0,
                None => self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Shows what is durable now; `is_due` asks for a new base.
    pub(super) fn written(&self, at: &At, disk_bytes: u64, is_due: bool) {
        let queue = self.lock();
        let condition = queue.condition();
        self.health.send_modify(|health| {
            (health.batch, health.epoch, health.disk_bytes) = (at.batch, at.epoch, disk_bytes);
            if !queue.lost {
                health.condition = condition;
                health.wants_reset = is_due && queue.reset.is_none();
            }
        });
    }

    /// Drops everything: a write has failed.
    pub(super) fn failed(&self, why: String, is_over: bool) {
        let mut queue = self.lock();
        queue.clear();
        queue.lost = true;
        queue.over |= is_over;
        self.health.send_modify(|health| {
            health.condition = Condition::Sick(why);
            health.wants_reset = false;
        });
    }

    /// Asks for the whole state unless it is there already.
    pub(super) fn offer(&self) {
        let queue = self.lock();
        let wants = queue.lost && !queue.over;
        self.health.send_if_modified(|health| wants && !std::mem::replace(&mut health.wants_reset, true));
    }

    /// Says that what was taken as lost is so, and that a reset is wanted at once.
    pub(super) fn give_up_base(&self, why: String) {
        let mut queue = self.lock();
        if !queue.lost {
            self.lose(&mut queue, why);
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.lock().over
    }

    pub(super) fn close(&self) {
        self.lock().closing = true;
        self.wake.notify_one();
    }

    fn lose(&self, queue: &mut Queue, why: String) {
        queue.clear();
        queue.lost = true;
        self.health.send_modify(|health| {
            health.condition = Condition::Sick(why);
            health.wants_reset = true;
        });
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing is half done while it is held, even if a watcher of the health should panic.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn is_empty(&self) -> bool {
        self.reset.is_none() && self.batches.is_empty()
    }

    fn clear(&mut self) {
        self.reset = None;
        self.batches.clear();
        (self.bytes, self.since) = (0, None);
    }

    /// Takes from the front what is written at once.
    fn merged(&mut self) -> Vec<Batch> {
        let mut taken = Vec::new();
        let mut bytes = 0;
        while bytes < MERGED_BYTES
            && let Some(batch) = self.batches.pop_front()
        {
            bytes += batch.bytes.len();
            taken.push(batch);
        }
        self.bytes -= bytes;
        self.since = (!self.batches.is_empty()).then(Instant::now);
        taken
    }

    fn condition(&self) -> Condition {
        match self.since {
            Some(since) if since.elapsed() > LATE => {
                Condition::Behind { batches: self.batches.len() as u64, bytes: self.bytes as u64 }
            }
            Some(_) | None => Condition::Ok,
        }
    }
}

const BATCHES_MAX: usize = 65_536;
const BYTES_MAX: usize = 64 << 20;
const MERGED_BYTES: usize = 4 << 20;
const LATE: Duration = Duration::from_secs(2);
