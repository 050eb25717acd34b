//! Wants offers only while something waits, and gives back what nobody needs.

use std::collections::BTreeSet;
use std::time::Duration;

use epic_common::time::Timestamp;

use super::Plan;
use crate::mesos::Call;
use crate::policy::Policy;
use crate::session::Session;
use crate::state::State;
use crate::state::unit::Progress;

/// A member whose wait ends so soon is worth holding offers for.
const HOLD: Duration = Duration::from_secs(5);

pub(super) fn step(plan: &mut Plan, state: &State, session: &Session, policy: &Policy, now: Timestamp) {
    let wanted = !state.units.unplaced.is_empty();
    if !wanted && session.suppressed != Some(true) {
        plan.calls.push(Call::Suppress);
    }
    if wanted && (session.suppressed != Some(false) || !state.units.unplaced.is_subset(&session.told_wanted)) {
        plan.calls.push(Call::Revive);
    }
    // What the batch on its way, or the one just planned, will need is not known before it is durable.
    if session.proposed.is_some() || !plan.entries.is_empty() || session.offers.is_empty() {
        return;
    }
    let soon = state
        .units
        .unplaced
        .iter()
        .filter_map(|id| state.units.all.get(id))
        .any(|unit| unit.not_before > now && unit.not_before <= now + HOLD);
    if soon {
        return;
    }
    let launching: BTreeSet<_> = state
        .units
        .launching
        .iter()
        .filter_map(|id| match &state.units.tasks.get(id)?.progress {
            Progress::Launching { offer, .. } => Some(offer),
            Progress::Alive(_) | Progress::Unreachable(_) => None,
        })
        .collect();
    let offers: Vec<_> = session.offers.keys().filter(|offer| !launching.contains(offer)).cloned().collect();
    if !offers.is_empty() {
        let refuse = if wanted { policy.refuse_unfit } else { policy.refuse_unneeded };
        plan.calls.push(Call::Decline { offers, refuse });
    }
}
