//! Going on from a copy of the state that may be older than what was decided last.

use epic_common::ids::Attempt;

use super::State;

impl State {
    /// Leaves out names that may have been given after the copy was made, so that none is given twice.
    ///
    /// Each member's next attempt and the next executor are numbered 1,000 higher, and documents are decided anew: their
    /// generations are counted in time. What runs stays as it is. The same state always gives the same.
    pub fn skip_ahead(&mut self) {
        let instances = std::mem::take(&mut self.instances).into_iter().map(|(id, mut instance)| {
            instance.attempt = Attempt(instance.attempt.0.saturating_add(SKIPPED));
            (id, instance)
        });
        self.instances = instances.collect();
        self.executors_decided = self.executors_decided.saturating_add(u64::from(SKIPPED));
        self.documents.clear();
    }
}

/// More attempts than a member makes between two backups.
const SKIPPED: u32 = 1_000;
