//! Going on from a copy of the state that may be older than what was decided last.

use epic_common::ids::Attempt;

use super::State;

impl State {
    /// Leaves out names that may have been given after the copy was made, so that none is given twice.
    ///
    /// Each unit's next attempt and the next executor are numbered 1,000 higher, and documents are decided anew: their
    /// generations are counted in time. What runs stays as it is. The same state always gives the same.
    pub fn skip_ahead(&mut self) {
        let ahead = std::mem::take(&mut self.units.all).into_iter().map(|(id, mut unit)| {
            unit.attempt = Attempt(unit.attempt.0.saturating_add(SKIPPED));
            (id, unit)
        });
        self.units.all = ahead.collect();
        self.ledger.executors_decided = self.ledger.executors_decided.saturating_add(u64::from(SKIPPED));
        self.documents.clear();
    }
}

/// More attempts than a member makes between two backups.
const SKIPPED: u32 = 1_000;

#[cfg(test)]
mod tests {
    use epic_common::ids::{Attempt, Digest, UnitId};
    use epic_common::time::Timestamp;

    use super::*;
    use crate::state::ledger::Ledger;
    use crate::state::{Document, Unit};

    #[test]
    fn no_name_is_given_twice_and_what_runs_stays() {
        let mut state = State { ledger: Ledger { executors_decided: 4, ..Ledger::default() }, ..State::default() };
        let live = "worker-0.3".parse().expect("it is a task's name");
        let unit = Unit { attempt: Attempt(3), live: Some(live), failures: 1, ..Unit::new(Timestamp(5)) };
        let id = UnitId::of_platform(&"worker".into(), 0);
        state.units.all.insert(id.clone(), unit.clone());
        state.documents.insert("members".to_owned(), Document { generation: 9, sha256: Digest([1; 32]) });
        state.skip_ahead();
        assert_eq!(state.units.all.get(&id), Some(&Unit { attempt: Attempt(1_003), ..unit }));
        assert_eq!((state.ledger.executors_decided, state.documents.len()), (1_004, 0));
    }
}
