//! What each member that is to run and isn't ready waits for, in one word.

use std::collections::BTreeMap;

use epic_common::ids::UnitId;
use epic_common::time::Timestamp;
use epic_scheduler_core::matcher::Reason;
use epic_scheduler_core::state::Unit;
use epic_scheduler_core::state::deployment::Run;
use epic_scheduler_core::state::unit::Progress;

use super::{Published, is_ready};

/// What a member waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wait {
    /// Mesos has yet to say what became of its launch.
    Answer,
    /// Its agent can't be reached.
    Agent,
    /// It has a place, and its services aren't ready there.
    Start,
    /// It has failed, and the time for the next attempt isn't there.
    Backoff,
    /// No subscription stands.
    Subscription,
    /// The leader lacks the bundle.
    Bundle,
    /// It fits no offer.
    Room,
    /// No offer has come.
    Offer,
}

impl Wait {
    /// All of them with the word for each, in order.
    pub const ALL: [(Self, &'static str); 8] = [
        (Self::Answer, "answer"),
        (Self::Agent, "agent"),
        (Self::Start, "start"),
        (Self::Backoff, "backoff"),
        (Self::Subscription, "subscription"),
        (Self::Bundle, "bundle"),
        (Self::Room, "room"),
        (Self::Offer, "offer"),
    ];
}

/// Counts the members that are to run and aren't ready, by what they wait for first. O(members).
///
/// Only a leader's session knows why a member isn't placed.
#[must_use]
pub fn waits(published: &Published, now: Timestamp) -> BTreeMap<Wait, u32> {
    let mut waits = BTreeMap::new();
    let state = &published.state;
    if state.run() != Run::Running {
        return waits;
    }
    for (id, instance) in &state.units.all {
        if instance.wanted && !is_ready(state, instance) {
            *waits.entry(wait(published, id, instance, now)).or_default() += 1;
        }
    }
    waits
}

fn wait(published: &Published, id: &UnitId, instance: &Unit, now: Timestamp) -> Wait {
    let live = instance.live.as_ref().and_then(|task| published.state.units.tasks.get(task));
    match live.map(|task| &task.progress) {
        Some(Progress::Launching { .. }) => Wait::Answer,
        Some(Progress::Unreachable(_)) => Wait::Agent,
        Some(Progress::Alive(_)) => Wait::Start,
        None if instance.not_before > now => Wait::Backoff,
        None if !published.link.is_up() => Wait::Subscription,
        None => match published.unmet.get(id).map(Vec::as_slice) {
            None | Some([]) => Wait::Offer,
            Some(unmet) if unmet.iter().any(|unfit| matches!(unfit.reason, Reason::NotHeld { .. })) => Wait::Bundle,
            Some(_) => Wait::Room,
        },
    }
}
