//! Wants a subscription while there is a framework, and ends the framework once nothing is left of it.

use epic_common::time::Timestamp;

use super::Plan;
use crate::mesos::{Call, Subscribe};
use crate::policy::Policy;
use crate::session::{Link, Session};
use crate::state::State;
use crate::state::deployment::Run;
use crate::state::entry::{Entry, Fact};

pub(super) fn step(plan: &mut Plan, state: &State, session: &Session, policy: &Policy, now: Timestamp) {
    let ending = state.run() == Run::Uninstalling && state.is_empty_of_tasks();
    if session.torn_down && state.run() == Run::Uninstalling {
        // Mesos has forgotten the framework, and with it every task that it had.
        if session.proposed.is_none() && plan.entries.is_empty() {
            plan.entries.push(Entry::new(now.max(state.at), Fact::Uninstalled));
        }
        return;
    }
    let Some(framework) = &state.identity.framework else { return };
    if let Link::Down { retry, .. } = session.link
        && retry <= now
    {
        if !may_subscribe(session, policy, now) {
            return barrier(plan, state, session, now);
        }
        let suppressed = !super::offers::are_wanted(state, now);
        plan.subscribe = Some(Subscribe {
            framework: framework.clone(),
            suppressed: suppressed || ending,
            not_after: policy.barrier.and_then(|within| session.barrier.map(|at| at + within)),
        });
    }
}

/// A subscription ends whoever holds the stream, so only a leader that has just proved itself may ask for one.
fn may_subscribe(session: &Session, policy: &Policy, now: Timestamp) -> bool {
    let is_fresh = |within| session.barrier.is_some_and(|at| now.since(at) < within);
    policy.barrier.is_none_or(is_fresh)
}

/// Asks the journal for the proof; its age counts from here, as nobody knows when it became durable.
fn barrier(plan: &mut Plan, state: &State, session: &Session, now: Timestamp) {
    if session.proposed.is_none() {
        plan.batch.barrier = Some(now);
        plan.entries.push(Entry::new(now.max(state.at), Fact::Barrier { epoch: state.epoch() }));
    }
}

/// TEARDOWN comes last: after every terminal update is acknowledged.
pub(super) fn teardown(plan: &mut Plan, state: &State, session: &Session, now: Timestamp) {
    let quiet = session.proposed.is_none()
        && plan.entries.is_empty()
        && session.updates.is_empty()
        && session.acks.is_empty()
        && plan.acks.is_empty()
        && !session.is_acknowledging()
        && session.teardown.due <= now;
    if state.run() == Run::Uninstalling && state.is_empty_of_tasks() && quiet {
        plan.calls.push(Call::Teardown);
    }
}
