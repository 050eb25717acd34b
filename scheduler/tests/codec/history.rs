//! States made by random histories that a planner could have decided.

use epic_common::ids::{AgentId, TaskId};
use epic_scheduler_core::mesos::Executor;
use epic_scheduler_core::state::State;
use epic_scheduler_core::state::entry::{Entry, Fact, LaunchDecided, UnitLaunched};

/// Applies each entry that a planner could have decided where it stands, and skips the others.
pub(crate) fn fold(entries: &[Entry]) -> State {
    let mut state = State::default();
    for entry in entries {
        if let Some(fact) = possible(&state, &entry.fact) {
            let at = state.at.max(entry.at);
            state.apply(&Entry::new(at, fact));
        }
    }
    state
}

fn possible(state: &State, fact: &Fact) -> Option<Fact> {
    let next = |task: &TaskId| {
        let unit = state.units.all.get(&task.unit).filter(|unit| unit.live.is_none())?;
        Some(TaskId { unit: task.unit.clone(), attempt: unit.attempt.next() })
    };
    let known = |agent: &AgentId, new: &Executor| state.ledger.executors.get(agent).unwrap_or(new).clone();
    if let Fact::LaunchDecided(decided) = fact {
        let executor = known(&decided.agent, &decided.executor);
        let task = next(&decided.task)?;
        return Some(Fact::LaunchDecided(Box::new(LaunchDecided { task, executor, ..(**decided).clone() })));
    }
    if let Fact::UnitLaunched(launched) = fact {
        let executor = known(&launched.agent, &launched.executor);
        let task = next(&launched.task)?;
        return Some(Fact::UnitLaunched(Box::new(UnitLaunched { task, executor, ..(**launched).clone() })));
    }
    Some(fact.clone())
}
