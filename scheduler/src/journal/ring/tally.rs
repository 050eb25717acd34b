//! How far the ring is known here, and how much of it no snapshot holds.

use std::collections::VecDeque;

/// Numbers that only ever grow; each is a lower bound of what the ensemble knows.
#[derive(Debug)]
pub(super) struct Tally {
    slots: u64,
    /// The last batch that was read or written.
    pub(super) position: u64,
    /// The batch of the newest snapshot, 0 if there is none.
    pub(super) snapshot: u64,
    /// The batch of a snapshot that can't be read, though it is pointed to.
    pub(super) spoilt: Option<u64>,
    /// A batch whose append was begun and has no known end.
    pub(super) pending: Option<u64>,
    /// Sizes of batches after the snapshot, each with its number.
    sizes: VecDeque<(u64, usize)>,
    bytes: usize,
}

impl Tally {
    pub(super) const fn new(slots: u32) -> Self {
        let (position, snapshot, bytes) = (0, 0, 0);
        Self { slots: slots as u64, position, snapshot, spoilt: None, pending: None, sizes: VecDeque::new(), bytes }
    }

    /// All was read anew.
    pub(super) fn recovered(&mut self, snapshot: u64, sizes: impl Iterator<Item = (u64, usize)>) {
        self.sizes.clear();
        self.bytes = 0;
        self.pending = None;
        // It may have been told of before it was found to be damaged.
        if self.spoilt == Some(self.snapshot) {
            self.snapshot = snapshot;
        }
        self.position = self.position.max(snapshot);
        for (batch, bytes) in sizes {
            self.followed(batch, bytes);
        }
        self.snapshot_stands(snapshot);
    }

    /// A batch was read or written.
    pub(super) fn followed(&mut self, batch: u64, bytes: usize) {
        self.position = self.position.max(batch);
        if self.sizes.back().is_none_or(|(last, _)| *last < batch) {
            self.sizes.push_back((batch, bytes));
            self.bytes += bytes;
        }
        self.forget();
    }

    /// Nothing comes after this batch.
    pub(super) fn at_end(&mut self, position: u64) {
        self.position = position;
        self.pending = None;
    }

    /// A snapshot of all up to this batch can be read.
    pub(super) fn snapshot_stands(&mut self, batch: u64) {
        if self.spoilt == Some(batch) {
            return;
        }
        self.snapshot = self.snapshot.max(batch);
        self.forget();
    }

    /// This snapshot took the place of the one that was pointed to.
    pub(super) fn replaced(&mut self, batch: u64) {
        self.spoilt = self.spoilt.filter(|spoilt| *spoilt > batch);
        self.snapshot_stands(batch);
    }

    pub(super) fn should_snapshot(&self) -> bool {
        let is_spoilt = self.spoilt.is_some_and(|spoilt| spoilt > self.snapshot);
        is_spoilt || self.bytes >= SNAPSHOT_AFTER_BYTES || self.position.saturating_sub(self.snapshot) >= self.slots / 2
    }

    pub(super) const fn must_snapshot(&self, next_batch: u64) -> bool {
        next_batch.saturating_sub(self.slots) > self.snapshot
    }

    fn forget(&mut self) {
        // Its slot is written again only once it is in a snapshot, also if nobody here has heard of that one.
        let overwritten = self.position.saturating_sub(self.slots);
        let held = self.snapshot.max(overwritten);
        while let Some((_, bytes)) = self.sizes.pop_front_if(|(batch, _)| *batch <= held) {
            self.bytes -= bytes;
        }
    }
}

/// So many bytes of batches make a snapshot due: 32 MiB.
const SNAPSHOT_AFTER_BYTES: usize = 32 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_held_back_until_the_one_it_overwrites_is_in_a_snapshot() {
        let mut tally = Tally::new(8);
        assert_eq!([8, 9].map(|next| tally.must_snapshot(next)), [false, true]);
        tally.snapshot_stands(5);
        assert_eq!([13, 14].map(|next| tally.must_snapshot(next)), [false, true]);
        tally.snapshot_stands(3);
        assert_eq!([13, 14].map(|next| tally.must_snapshot(next)), [false, true]);
    }

    #[test]
    fn a_standby_that_hears_of_no_snapshot_remembers_one_lap_at_most() {
        let mut tally = Tally::new(8);
        for batch in 1..=1_000 {
            tally.followed(batch, 10);
        }
        assert_eq!((tally.sizes.len(), tally.bytes), (8, 80));
    }

    #[test]
    fn a_snapshot_is_due_after_half_a_lap_or_many_bytes() {
        let mut tally = Tally::new(8);
        let due = |tally: &mut Tally, batch, bytes| {
            tally.followed(batch, bytes);
            tally.should_snapshot()
        };
        assert_eq!([1, 2, 3, 4].map(|batch| due(&mut tally, batch, 10)), [false, false, false, true]);
        tally.snapshot_stands(4);
        assert!(!due(&mut tally, 5, SNAPSHOT_AFTER_BYTES - 1));
        assert!(due(&mut tally, 6, 1));
        tally.snapshot_stands(5);
        assert!(!tally.should_snapshot());
        tally.recovered(5, [(6, SNAPSHOT_AFTER_BYTES), (7, 0)].into_iter());
        assert!(tally.should_snapshot());
        assert_eq!(tally.position, 7);
    }
}
