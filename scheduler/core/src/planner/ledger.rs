//! Keeps the ledger: what each agent reserves for our role, as seen in offers.

use epic_common::ids::AgentId;

use super::Draft;
use crate::mesos::{Amount, Offer, Reservation};
use crate::session::Session;
use crate::state::Used;
use crate::state::entry::Fact;

pub(super) fn step(draft: &mut Draft<'_>, session: &Session) {
    for agent in &session.seen {
        if !draft.has_room() {
            return;
        }
        look(draft, session, agent);
    }
    draft.plan.ledger_seen = true;
}

/// What is offered and what we use add up to the reservation; offers can be partial, so only growth is news.
fn look(draft: &mut Draft<'_>, session: &Session, agent: &AgentId) {
    let used = draft.state.used(agent);
    let offers: Vec<_> = session.offers.values().filter(|offer| offer.agent == *agent).collect();
    let Some(hostname) = offers.last().map(|offer| offer.hostname.clone()) else { return };
    let seen = offers.iter().fold(used, |sum, offer| add(sum, offer));
    let known = draft.state.ledger.hosts.get(agent);
    if known.is_some_and(|host| host.cpus >= seen.cpus && host.mem >= seen.mem && host.hostname == hostname) {
        return;
    }
    let (cpus, mem) = known.map_or((seen.cpus, seen.mem), |host| (host.cpus.max(seen.cpus), host.mem.max(seen.mem)));
    if cpus.0 == 0 && mem.0 == 0 {
        return;
    }
    draft.decide(Fact::ReservationSeen { agent: agent.clone(), hostname, cpus, mem });
}

fn add(mut sum: Used, offer: &Offer) -> Used {
    for resource in offer.resources.iter().filter(|resource| resource.reservation == Reservation::Static) {
        match &resource.amount {
            Amount::Cpus(cpus) => sum.cpus += *cpus,
            Amount::Mem(mem) => sum.mem += *mem,
            Amount::Disk(_) | Amount::Ports(_) => {}
        }
    }
    sum
}
