//! What is counted only when somebody asks: as much work as there are members.

use std::collections::{BTreeMap, BTreeSet};

use epic_common::time::Timestamp;
use epic_scheduler_core::state::State;
use epic_scheduler_core::state::deployment::Run;

use super::table::{FAILURES, MISSING, READY, SUBSCRIBED, WAITING, WANTED};
use super::{flag, number};
use crate::view::waits::{Wait, waits};
use crate::view::{self, Published};

/// Shows what others may see now; `roles` are all that were ever shown, so that one that is gone has no members.
pub(super) fn show(published: &Published, decides: bool, now: Timestamp, roles: &mut BTreeSet<String>) {
    SUBSCRIBED.set([], flag(published.link.is_up()));
    let state = &published.state;
    let (counts, failures) = (view::counts(state), failures(state));
    roles.extend(counts.keys().chain(failures.keys()).map(|role| (*role).to_owned()));
    for role in roles.iter().map(String::as_str) {
        let count = counts.get(role).copied().unwrap_or_default();
        let missing = if state.run() == Run::Running { count.wanted.saturating_sub(count.ready) } else { 0 };
        WANTED.set([role], count.wanted.into());
        READY.set([role], count.ready.into());
        MISSING.set([role], missing.into());
        FAILURES.set([role], failures.get(role).copied().unwrap_or_default().into());
    }
    let waits = if decides { waits(published, now) } else { BTreeMap::new() };
    for (wait, word) in Wait::ALL {
        WAITING.set([word], number(waits.get(&wait).copied().unwrap_or_default().into()));
    }
}

fn failures(state: &State) -> BTreeMap<&str, u32> {
    let mut failures = BTreeMap::<&str, u32>::new();
    for (id, unit) in state.units.all.iter().filter(|(_, unit)| unit.wanted) {
        let most = failures.entry(id.role.as_str()).or_default();
        *most = unit.failures.max(*most);
    }
    failures
}
