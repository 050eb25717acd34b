//! States made by random histories that a planner could have decided.

use epic_common::ids::TaskId;
use epic_scheduler_core::state::State;
use epic_scheduler_core::state::entry::{Entry, Fact, LaunchDecided};

/// Applies each entry that a planner could have decided where it stands, and skips the others.
pub(crate) fn fold(entries: &[Entry]) -> State {
    let mut state = State::default();
    for entry in entries {
        if let Some(fact) = possible(&state, &entry.fact) {
            let at = state.at.max(entry.at);
            state.apply(&Entry { at, fact });
        }
    }
    state
}

fn possible(state: &State, fact: &Fact) -> Option<Fact> {
    let Fact::LaunchDecided(decided) = fact else { return Some(fact.clone()) };
    let instance = state.units.all.get(&decided.task.unit)?;
    if instance.live.is_some() {
        return None;
    }
    let task = TaskId { unit: decided.task.unit.clone(), attempt: instance.attempt.next() };
    let executor = state.ledger.executors.get(&decided.agent).unwrap_or(&decided.executor).clone();
    Some(Fact::LaunchDecided(Box::new(LaunchDecided { task, executor, ..(**decided).clone() })))
}
