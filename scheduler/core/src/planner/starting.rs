//! Ends attempts that don't get on with their start.

use epic_common::time::Timestamp;

use super::{Draft, Plan};
use crate::policy::Policy;
use crate::session::Session;
use crate::state::entry::Fact;

/// An attempt is ended only after Mesos was asked about it in this subscription: it may have started long ago.
pub(super) fn step(draft: &mut Draft<'_>, session: &Session, policy: &Policy) {
    let overdue: Vec<_> = session
        .starting
        .due(draft.now)
        .filter(|id| session.starting.tries(id).is_some_and(|tries| tries > 1))
        .filter_map(|id| draft.state.units.tasks.get(id))
        .filter(|task| task.since + policy.start_deadline <= draft.now && task.kill.is_none())
        .map(|task| (task.id.clone(), task.hostname.clone()))
        .collect();
    for (task, hostname) in overdue {
        if !draft.has_room() {
            break;
        }
        let minutes = policy.start_deadline.as_secs() / 60;
        let why = format!("its start on {hostname} did not get on for {minutes} minutes");
        draft.decide(Fact::KillDecided { task, why, key: None });
    }
}

/// Asks about attempts that have not started yet; the first look is at one that has only just begun.
pub(super) fn questions(plan: &mut Plan, session: &Session, now: Timestamp) {
    let asked = session.starting.due(now).filter(|id| session.starting.tries(id).is_some_and(|tries| tries > 0));
    plan.questions.extend(asked.filter(|id| session.questions.tries(id).is_none()).cloned());
}
