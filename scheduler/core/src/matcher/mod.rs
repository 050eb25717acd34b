//! Which waiting member goes on which offer, and why the others don't.
#![doc = include_str!("README.md")]

mod fit;

use std::collections::BTreeMap;
use std::fmt;

use epic_common::ids::{AgentId, Digest, OfferId, UnitId};
use epic_common::resources::{Bytes, MilliCpus};

use crate::mesos::Offer;
use crate::state::State;
use crate::state::deployment::RoleNeeds;
pub use fit::{Fit, Spare};

/// A member that waits for a place.
#[derive(Clone, Debug)]
pub struct Demand<'a> {
    /// Which.
    pub unit: UnitId,
    /// What it needs.
    pub needs: &'a RoleNeeds,
}

/// What an executor takes where there is none yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExecutorNeeds {
    /// Cores.
    pub cpus: MilliCpus,
    /// Memory.
    pub mem: Bytes,
}

/// A member that has found its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Which.
    pub unit: UnitId,
    /// On which offer.
    pub offer: OfferId,
    /// What it gets.
    pub fit: Fit,
}

/// Who goes where, and who doesn't.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matching {
    /// In the order of the demands.
    pub placed: Vec<Placed>,
    /// One reason for each thing that binds on each offer; empty if there was no offer.
    pub unmet: BTreeMap<UnitId, Vec<Unfit>>,
}

/// Why one member can't go on one offer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unfit {
    /// The agent's host name.
    pub hostname: String,
    /// What binds.
    pub reason: Reason,
}

/// What binds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Too few reserved cores; the executor's own are in `asked` where it would be new.
    Cpus {
        /// Needed.
        asked: MilliCpus,
        /// There.
        offered: MilliCpus,
    },
    /// Too little reserved memory.
    Mem {
        /// Needed.
        asked: Bytes,
        /// There.
        offered: Bytes,
    },
    /// Too little disk.
    Disk {
        /// Needed.
        asked: Bytes,
        /// There.
        offered: Bytes,
    },
    /// A port that must be this one isn't there.
    Port {
        /// Its name in the bundle.
        name: String,
        /// Its number.
        number: u16,
    },
    /// There are fewer ports than are needed.
    Ports {
        /// Needed.
        asked: u32,
        /// There.
        offered: u32,
    },
    /// Another member is there; a host runs one.
    Occupied {
        /// The other.
        by: UnitId,
    },
    /// The ceiling on what the platform may use of a host.
    CeilingCpus {
        /// Used with this member.
        asked: MilliCpus,
        /// Allowed.
        ceiling: MilliCpus,
    },
    /// The ceiling on what the platform may use of a host.
    CeilingMem {
        /// Used with this member.
        asked: Bytes,
        /// Allowed.
        ceiling: Bytes,
    },
    /// The agent is scheduled for maintenance.
    Maintenance,
    /// The bundle isn't on the replica that leads, whose URL executors are given; it is so on every host, and none is named.
    NotHeld {
        /// Its sha256.
        bundle: Digest,
    },
}

/// One sentence for people: what, how much is missing, where.
impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.hostname.is_empty() {
            write!(f, "{}: ", self.hostname)?;
        }
        match &self.reason {
            Reason::Cpus { asked, offered } => {
                write!(f, "needs {asked} reserved cpus, {offered} offered, {} missing", asked.saturating_sub(*offered))
            }
            Reason::Mem { asked, offered } => {
                write!(
                    f,
                    "needs {asked} reserved memory, {offered} offered, {} missing",
                    asked.saturating_sub(*offered)
                )
            }
            Reason::Disk { asked, offered } => {
                write!(f, "needs {asked} disk, {offered} offered, {} missing", asked.saturating_sub(*offered))
            }
            Reason::Port { name, number } => write!(f, "needs port {number} ({name}), which is not offered"),
            Reason::Ports { asked, offered } => write!(f, "needs {asked} ports, {offered} offered"),
            Reason::Occupied { by } => write!(f, "{by} is there, and a host runs one member"),
            Reason::CeilingCpus { asked, ceiling } => {
                write!(f, "would use {asked} cpus of the host, spec.grant.perHost.cpus allows {ceiling}")
            }
            Reason::CeilingMem { asked, ceiling } => {
                write!(f, "would use {asked} memory of the host, spec.grant.perHost.memory allows {ceiling}")
            }
            Reason::Maintenance => f.write_str("the agent is scheduled for maintenance"),
            Reason::NotHeld { bundle } => write!(
                f,
                "bundle sha256:{bundle} is not on this replica; it is fetched from any other that has it; supply it with \
                 epicctl bundle push FILE"
            ),
        }
    }
}

/// Places each demand on the first offer that fits, in the order given.
///
/// Offers are tried in the order of their agents' ids, so that every replica plans alike. An offer carries one member,
/// since a host runs one. O(demands x offers), both bounded by the caller. Never fails: who isn't placed is in
/// `unmet`, with a reason for each thing that binds on each offer, but at most `reasons_max`.
#[must_use]
pub fn match_offers(
    state: &State,
    demands: &[Demand<'_>],
    offers: &[&Offer],
    (executor, reasons_max): (ExecutorNeeds, usize),
) -> Matching {
    let mut matching = Matching::default();
    let mut offers = offers.to_vec();
    let mut occupied: BTreeMap<&AgentId, UnitId> = BTreeMap::new();
    let mut hopeless: Vec<(&RoleNeeds, Vec<Unfit>)> = Vec::new();
    for demand in demands {
        // Offers only get fewer, so what fitted none of them for one member fits none for its sisters.
        if let Some((_, reasons)) = hopeless.iter().find(|(needs, _)| std::ptr::eq(*needs, demand.needs)) {
            matching.unmet.insert(demand.unit.clone(), reasons.clone());
            continue;
        }
        let mut reasons = Vec::new();
        let place = offers.iter().enumerate().find_map(|(at, offer)| {
            let spare = Spare { state, executor, neighbour: occupied.get(&offer.agent) };
            match spare.fit(demand.needs, offer) {
                Ok(fit) => Some((at, fit)),
                Err(unfit) => {
                    let room = reasons_max.saturating_sub(reasons.len());
                    let hostname = || offer.hostname.clone();
                    reasons.extend(unfit.into_iter().take(room).map(|reason| Unfit { hostname: hostname(), reason }));
                    None
                }
            }
        });
        match place {
            Some((at, fit)) => {
                let offer = offers.remove(at);
                occupied.insert(&offer.agent, demand.unit.clone());
                matching.placed.push(Placed { unit: demand.unit.clone(), offer: offer.id.clone(), fit });
            }
            None => {
                hopeless.push((demand.needs, reasons.clone()));
                matching.unmet.insert(demand.unit.clone(), reasons);
            }
        }
    }
    matching
}
