//! What must always hold of the state; checked after each batch, also in release.

use crate::state::State;
use crate::state::unit::Progress;

/// Checks what can be checked in the time of what changed.
///
/// # Panics
///
/// If the state contradicts itself; going on would act on a lie, so the process must end.
pub fn check(state: &State) {
    for id in &state.units.launching {
        let launching =
            state.units.tasks.get(id).is_some_and(|task| matches!(task.progress, Progress::Launching { .. }));
        assert!(launching, "{id} is indexed as launching and isn't");
    }
    for id in &state.units.unplaced {
        let waits = state.units.all.get(id).is_some_and(|unit| unit.wanted && unit.live.is_none());
        assert!(waits, "{id} is indexed as waiting for a place and isn't");
    }
}

/// Checks everything, in the time of all that exists; for tests and offline verification.
///
/// # Panics
///
/// If the state contradicts itself.
pub fn check_all(state: &State) {
    if let Some(contradiction) = contradiction(state) {
        panic!("{contradiction}");
    }
}

/// Says which rule the state breaks, in the time of all that exists; `None` if it keeps them all.
#[must_use]
pub fn contradiction(state: &State) -> Option<String> {
    task_trouble(state).or_else(|| instance_trouble(state)).or_else(|| index_trouble(state))
}

fn task_trouble(state: &State) -> Option<String> {
    for (id, task) in &state.units.tasks {
        if *id != task.id {
            return Some(format!("{} is filed as {id}", task.id));
        }
        let Some(unit) = state.units.all.get(&id.unit).filter(|unit| id.attempt <= unit.attempt) else {
            return Some(format!("{id} is an attempt that nobody decided"));
        };
        if (unit.live.as_ref() == Some(id)) == task.given_up {
            return Some(format!("{id} lives, and whether its unit counts on it is unclear"));
        }
        if state.ledger.executors.get(&task.agent).is_none_or(|known| *known != task.executor) {
            return Some(format!("{id} has another executor than its agent"));
        }
    }
    None
}

fn instance_trouble(state: &State) -> Option<String> {
    for (id, unit) in &state.units.all {
        let Some(live) = &unit.live else { continue };
        if live.unit != *id || !state.units.tasks.contains_key(live) {
            return Some(format!("{id} counts on {live}, which isn't there"));
        }
    }
    let idle = state.ledger.executors.keys().find(|agent| !state.units.on_agent.contains_key(*agent));
    idle.map(|agent| format!("{agent} has an executor without an attempt"))
}

fn index_trouble(state: &State) -> Option<String> {
    let mut rebuilt = state.clone();
    rebuilt.rebuild_indices();
    (rebuilt != *state).then(|| "an index differs from what it indexes".to_owned())
}
