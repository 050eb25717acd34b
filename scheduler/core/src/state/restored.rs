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

#[cfg(test)]
mod tests {
    use epic_common::ids::{Attempt, Digest, InstanceId, RoleId};
    use epic_common::time::Timestamp;

    use super::*;
    use crate::state::{Document, Instance};

    #[test]
    fn no_name_is_given_twice_and_what_runs_stays() {
        let mut state = State { executors_decided: 4, ..State::default() };
        let instance = Instance {
            role: RoleId::new("worker"),
            ordinal: 0,
            wanted: true,
            attempt: Attempt(3),
            live: Some("worker-0.3".parse().expect("it is a task's name")),
            failures: 1,
            not_before: Timestamp(5),
            since: Timestamp(6),
            last_end: String::new(),
        };
        let id = InstanceId::new("worker-0");
        state.instances.insert(id.clone(), instance.clone());
        state.documents.insert("members".to_owned(), Document { generation: 9, sha256: Digest([1; 32]) });
        state.skip_ahead();
        let ahead = Instance { attempt: Attempt(1_003), ..instance };
        assert_eq!(state.instances.get(&id), Some(&ahead));
        assert_eq!((state.executors_decided, state.documents.len()), (1_004, 0));
    }
}
