//! Units that wait for a place, by when they may have one.

use std::ops::Bound;

use epic_common::ids::UnitId;
use epic_common::time::Timestamp;
use imbl::OrdMap;

/// When each unit that waits for a place may have one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waits {
    by_unit: OrdMap<UnitId, Timestamp>,
    /// How many there are for each time.
    times: OrdMap<Timestamp, usize>,
}

impl Waits {
    /// Says from when a unit may be placed; `None` if it doesn't wait.
    #[must_use]
    pub fn get(&self, unit: &UnitId) -> Option<Timestamp> {
        self.by_unit.get(unit).copied()
    }

    /// Says from when the first may be placed.
    #[must_use]
    pub fn first(&self) -> Option<Timestamp> {
        self.times.get_min().map(|(at, _)| *at)
    }

    /// Says from when the first may be placed of those that may not yet at `now`.
    #[must_use]
    pub fn next(&self, now: Timestamp) -> Option<Timestamp> {
        self.times.range((Bound::Excluded(now), Bound::Unbounded)).next().map(|(at, _)| *at)
    }

    pub(super) fn insert(&mut self, unit: &UnitId, at: Timestamp) {
        if self.get(unit) != Some(at) {
            self.remove(unit);
            self.by_unit.insert(unit.clone(), at);
            *self.times.entry(at).or_default() += 1;
        }
    }

    pub(super) fn remove(&mut self, unit: &UnitId) {
        let Some(at) = self.by_unit.remove(unit) else { return };
        match self.times.get_mut(&at) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) | None => drop(self.times.remove(&at)),
        }
    }
}
