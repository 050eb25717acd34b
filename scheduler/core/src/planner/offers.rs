//! Wants offers only while something waits, and gives back what nobody needs.

use std::collections::BTreeSet;

use epic_common::time::Timestamp;

use super::Plan;
use crate::mesos::Call;
use crate::policy::{HOLD, Policy};
use crate::session::Session;
use crate::state::State;
use crate::state::unit::Progress;

/// Tells whether a unit may be placed now or in a moment.
pub(super) fn are_wanted(state: &State, now: Timestamp) -> bool {
    state.units.waits.first().is_some_and(|at| at <= now + HOLD)
}

pub(super) fn step(plan: &mut Plan, state: &State, session: &Session, policy: &Policy, now: Timestamp) {
    wish(plan, state, session, now);
    // What the batch on its way, or the one just planned, will need is not known before it is durable.
    if session.proposed.is_some() || !plan.entries.is_empty() || session.offers.is_empty() {
        return;
    }
    let soon = state.units.waits.next(now).is_some_and(|at| at <= now + HOLD);
    if soon && now < session.holding + HOLD {
        return;
    }
    let launching: BTreeSet<_> = state
        .units
        .launching
        .iter()
        .filter_map(|id| match &state.units.tasks.get(id)?.progress {
            Progress::Launching { offers, .. } => Some(offers),
            Progress::Alive(_) | Progress::Unreachable(_) => None,
        })
        .flatten()
        .collect();
    let offers: Vec<_> = session.offers.keys().filter(|offer| !launching.contains(offer)).cloned().collect();
    if !offers.is_empty() {
        let nobody_waits = state.units.unplaced.is_empty();
        let refuse = if nobody_waits { policy.refuse_unneeded } else { policy.refuse_unfit };
        plan.calls.push(Call::Decline { offers, refuse });
    }
}

/// REVIVE costs Mesos a round of offers to everybody, so it is told no more often than its pace allows.
fn wish(plan: &mut Plan, state: &State, session: &Session, now: Timestamp) {
    if session.wish.due > now {
        return;
    }
    if !are_wanted(state, now) {
        if session.suppressed != Some(true) {
            plan.calls.push(Call::Suppress);
        }
        return;
    }
    let ends_soon = state.units.waits.next(session.told_until).is_some_and(|at| at <= now + HOLD);
    let is_news = session.suppressed != Some(false) || session.untold || ends_soon;
    if is_news && session.revive.due <= now {
        plan.calls.push(Call::Revive);
    }
}
