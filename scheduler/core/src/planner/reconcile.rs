//! Asks Mesos about attempts until it has answered for each.

use epic_common::time::Timestamp;

use super::Plan;
use crate::mesos::Call;
use crate::policy::RECONCILE_TASKS_MAX;
use crate::session::Session;
use crate::state::State;

/// An attempt is asked about only once its ACCEPT has been answered, or the answer "unknown" could overtake the launch.
pub(super) fn step(plan: &mut Plan, state: &State, session: &Session, now: Timestamp) {
    let due = session.questions.due(now).filter(|id| !session.accepting.contains(*id));
    let tasks: Vec<_> = due
        .filter_map(|id| state.tasks.get(id))
        .take(RECONCILE_TASKS_MAX)
        .map(|task| (task.id.clone(), task.agent.clone()))
        .collect();
    if !tasks.is_empty() {
        plan.calls.push(Call::Reconcile { tasks });
    }
}
