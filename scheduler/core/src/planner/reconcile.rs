//! Asks Mesos about attempts until it has answered for each; and at first and now and then for all that it has.

use epic_common::time::Timestamp;

use super::Plan;
use crate::mesos::Call;
use crate::policy::{RECONCILE_TASKS_MAX, RECONCILES_AT_ONCE};
use crate::session::{Sent, Session};
use crate::state::State;

/// An attempt is asked about only once its ACCEPT has been answered, or the answer "unknown" could overtake the launch.
pub(super) fn step(plan: &mut Plan, state: &State, session: &Session, now: Timestamp) {
    if session.ask_all.due <= now {
        // A state directory that was restored from a copy doesn't know what was launched since. This question comes
        // first, so that a member whose attempt Mesos has forgotten isn't launched under a name that lives.
        plan.calls.push(Call::ReconcileAll);
    }
    // Whatever Mesos says meanwhile is dealt with between them, also when there are very many.
    let asked = session.sent.values().filter(|sent| matches!(sent, Sent::Reconcile)).count();
    if asked >= RECONCILES_AT_ONCE {
        return;
    }
    let due = session.questions.due(now).filter(|id| !session.accepting.contains(*id));
    let tasks: Vec<_> = due
        .filter_map(|id| state.units.tasks.get(id))
        .take(RECONCILE_TASKS_MAX)
        .map(|task| (task.id.clone(), task.agent.clone()))
        .collect();
    if !tasks.is_empty() {
        plan.calls.push(Call::Reconcile { tasks });
    }
}
