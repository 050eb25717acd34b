//! Tells executors that seek their bundle where it is served now, until they have it.

use std::collections::BTreeSet;

use epic_common::conversation::Nudge;
use epic_common::time::Timestamp;

use super::Plan;
use crate::mesos::Call;
use crate::policy::Policy;
use crate::session::Session;
use crate::state::State;

/// An executor is told once, however many of its attempts wait; one that Mesos hasn't heard of yet is told later.
pub(super) fn step(plan: &mut Plan, state: &State, session: &Session, policy: &Policy, now: Timestamp) {
    let mut told = BTreeSet::new();
    for task in session.seekers.due(now).filter_map(|id| state.units.tasks.get(id)) {
        if task.is_with_executor() && told.insert(&task.executor.id) {
            plan.calls.push(Call::Message {
                agent: task.agent.clone(),
                executor: task.executor.id.clone(),
                nudge: Nudge::Sources { urls: session.sources(policy) },
            });
        }
    }
}
