//! Things to do again later, each with its count of tries.

use std::collections::{BTreeMap, BTreeSet};

use epic_common::backoff::Backoff;
use epic_common::time::Timestamp;

/// When one thing may be done again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// Not before.
    pub due: Timestamp,
    /// How often it has failed, or was done for nothing, in a row.
    pub tries: u32,
}

impl Pace {
    /// Waits longer each time.
    pub fn failed(&mut self, now: Timestamp, backoff: Backoff) {
        self.tries = self.tries.saturating_add(1);
        self.due = now + backoff.jittered(self.tries, now.0);
    }

    /// Is due again at `due`, with no failure behind it.
    pub const fn succeeded(&mut self, due: Timestamp) {
        (self.due, self.tries) = (due, 0);
    }
}

/// When to do what again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timers<K> {
    due: BTreeSet<(Timestamp, K)>,
    by_key: BTreeMap<K, (Timestamp, u32)>,
}

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Self { due: BTreeSet::new(), by_key: BTreeMap::new() }
    }
}

impl<K: Ord + Clone> Timers<K> {
    /// Sets when `key` is due and how often it was tried.
    pub fn set(&mut self, key: K, at: Timestamp, tries: u32) {
        self.remove(&key);
        self.due.insert((at, key.clone()));
        self.by_key.insert(key, (at, tries));
    }

    /// Makes `key` due at `at` unless it is known already.
    pub fn ensure(&mut self, key: &K, at: Timestamp) {
        if !self.by_key.contains_key(key) {
            self.set(key.clone(), at, 0);
        }
    }

    /// Forgets `key`.
    pub fn remove(&mut self, key: &K) {
        if let Some((at, _)) = self.by_key.remove(key) {
            self.due.remove(&(at, key.clone()));
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.due.clear();
        self.by_key.clear();
    }

    /// Lists what is due, earliest first.
    pub fn due(&self, now: Timestamp) -> impl Iterator<Item = &K> {
        self.due.iter().take_while(move |(at, _)| *at <= now).map(|(_, key)| key)
    }

    /// Tells whether `key` is due.
    pub fn is_due(&self, key: &K, now: Timestamp) -> bool {
        self.by_key.get(key).is_some_and(|(at, _)| *at <= now)
    }

    /// Says when the next is due.
    #[must_use]
    pub fn next(&self) -> Option<Timestamp> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Says how often `key` was tried; `None` if it isn't known.
    #[must_use]
    pub fn tries(&self, key: &K) -> Option<u32> {
        self.by_key.get(key).map(|(_, tries)| *tries)
    }

    /// Lists all keys, in their order.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.by_key.keys()
    }

    /// Says how many are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Tells whether none is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_due_once_at_its_last_time() {
        let mut timers = Timers::default();
        timers.set("a", Timestamp(5), 0);
        timers.set("b", Timestamp(3), 0);
        timers.set("a", Timestamp(2), 1);
        timers.ensure(&"b", Timestamp(0));
        assert_eq!(timers.due(Timestamp(3)).copied().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!((timers.next(), timers.tries(&"a")), (Some(Timestamp(2)), Some(1)));
        timers.remove(&"a");
        assert_eq!(timers.due(Timestamp(9)).copied().collect::<Vec<_>>(), ["b"]);
    }
}
