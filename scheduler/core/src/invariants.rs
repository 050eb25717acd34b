//! What must always hold of the state; checked after each entry, also in release.

use epic_common::ids::{TaskId, UnitId};

use crate::state::unit::Progress;
use crate::state::{State, Touched};

/// Checks the attempts that an entry touched, and their units, in the time of what it touched.
///
/// # Panics
///
/// If the state contradicts itself; going on would act on a lie, so the process must end.
pub fn check(state: &State, touched: &Touched) {
    for id in &touched.tasks {
        check_task(state, id);
        check_unit(state, &id.unit);
    }
}

fn check_task(state: &State, id: &TaskId) {
    let task = state.units.tasks.get(id);
    let is_launching = task.is_some_and(|task| matches!(task.progress, Progress::Launching { .. }));
    assert!(state.units.launching.contains(id) == is_launching, "{id}: whether it is being launched is unclear");
    let is_killing = task.is_some_and(|task| task.kill.is_some());
    assert!(state.units.killing.contains(id) == is_killing, "{id}: whether it is to end is unclear");
}

fn check_unit(state: &State, id: &UnitId) {
    let unit = state.units.all.get(id);
    let waits = unit.is_some_and(|unit| unit.wanted && unit.live.is_none());
    let is_indexed = (state.units.unplaced.contains(id), state.units.waits.get(id).is_some());
    assert!(is_indexed == (waits, waits), "{id}: whether it waits for a place is unclear");
    let live = unit.and_then(|unit| unit.live.as_ref());
    assert!(live.is_none_or(|task| state.units.tasks.contains_key(task)), "{id} counts on an attempt that isn't there");
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
