//! Whether one member fits one offer, and what it would get.

use std::collections::BTreeMap;
use std::time::Duration;

use epic_common::ids::{TaskId, UnitId};
use epic_common::resources::{Bytes, Grant, MilliCpus, Ports};

use super::{ExecutorNeeds, Reason};
use crate::mesos::{Amount, Offer, Reservation};
use crate::state::State;
use crate::state::deployment::RoleNeeds;
use crate::state::unit::Progress;

/// What a member gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fit {
    /// Its amounts and ports.
    pub grant: Grant,
    /// How much of its disk is kept for our role.
    pub disk_reserved: Bytes,
    /// Which of its ports are kept for our role.
    pub ports_reserved: Vec<u16>,
}

/// What surrounds a fit.
#[derive(Clone, Copy, Debug)]
pub struct Spare<'a> {
    /// What is agreed.
    pub state: &'a State,
    /// What a new executor takes.
    pub executor: ExecutorNeeds,
    /// A member that was placed on the agent in the same plan.
    pub neighbour: Option<&'a UnitId>,
}

#[derive(Default)]
struct Offered {
    cpus: MilliCpus,
    mem: Bytes,
    disk: BTreeMap<Reservation, Bytes>,
    ports: BTreeMap<Reservation, Ports>,
}

impl Spare<'_> {
    /// Cores and memory come from reservations only; disk and ports from reservations first, then from `*`.
    ///
    /// # Errors
    ///
    /// Everything that binds, not only the first.
    pub fn fit(&self, needs: &RoleNeeds, offer: &Offer) -> Result<Fit, Vec<Reason>> {
        let offered = sum(offer);
        let known = self.state.ledger.executors.contains_key(&offer.agent);
        let executor = if known { ExecutorNeeds::default() } else { self.executor };
        let mut reasons = Vec::new();
        if offer.unavailable {
            reasons.push(Reason::Maintenance);
        }
        if let Some(by) = self.occupant(offer) {
            reasons.push(Reason::Occupied { by });
        }
        let (cpus, mem) = (needs.cpus + executor.cpus, needs.mem + executor.mem);
        if offered.cpus < cpus {
            reasons.push(Reason::Cpus { asked: cpus, offered: offered.cpus });
        }
        if offered.mem < mem {
            reasons.push(Reason::Mem { asked: mem, offered: offered.mem });
        }
        self.ceiling(offer, (cpus, mem), &mut reasons);
        let disk_reserved = disk(&offered, needs.disk, &mut reasons);
        let ports = ports(&offered, needs, &mut reasons);
        if !reasons.is_empty() {
            return Err(reasons);
        }
        let reserved = offered.ports.get(&Reservation::Static);
        Ok(Fit {
            ports_reserved: ports
                .values()
                .copied()
                .filter(|port| reserved.is_some_and(|set| set.contains(*port)))
                .collect(),
            grant: Grant { cpus: needs.cpus, mem: needs.mem, disk: needs.disk, ports },
            disk_reserved,
        })
    }

    /// Any attempt that may live occupies its host, also one that is ending: its ports and data are still there.
    fn occupant(&self, offer: &Offer) -> Option<UnitId> {
        let units = &self.state.units;
        let there = units.on_agent.get(&offer.agent).and_then(|tasks| tasks.iter().next());
        let former = || units.on_host.get(&offer.hostname)?.iter().find(|id| self.may_live(id));
        self.neighbour.or_else(|| there.or_else(former).map(|task| &task.unit)).cloned()
    }

    /// An executor whose agent doesn't come back ends by itself, and with it all that it runs.
    fn may_live(&self, id: &TaskId) -> bool {
        self.state.units.tasks.get(id).is_some_and(|task| match task.progress {
            Progress::Unreachable(since) => self.state.at < since + EXECUTOR_ENDS_AFTER,
            Progress::Launching { .. } | Progress::Alive(_) => true,
        })
    }

    fn ceiling(&self, offer: &Offer, (cpus, mem): (MilliCpus, Bytes), reasons: &mut Vec<Reason>) {
        let Some(ceiling) = self.state.platform().and_then(|desired| desired.ceiling) else { return };
        let used = self.state.used(&offer.agent);
        if used.cpus + cpus > ceiling.cpus {
            reasons.push(Reason::CeilingCpus { asked: used.cpus + cpus, ceiling: ceiling.cpus });
        }
        if used.mem + mem > ceiling.mem {
            reasons.push(Reason::CeilingMem { asked: used.mem + mem, ceiling: ceiling.mem });
        }
    }
}

fn sum(offer: &Offer) -> Offered {
    let mut offered = Offered::default();
    for resource in &offer.resources {
        match (&resource.amount, resource.reservation) {
            (Amount::Cpus(cpus), Reservation::Static) => offered.cpus += *cpus,
            (Amount::Mem(mem), Reservation::Static) => offered.mem += *mem,
            (Amount::Cpus(_) | Amount::Mem(_), Reservation::Unreserved) => {}
            (Amount::Disk(disk), reservation) => *offered.disk.entry(reservation).or_default() += *disk,
            (Amount::Ports(ports), reservation) => {
                let set = offered.ports.entry(reservation).or_default();
                *set = set.union(ports);
                // An agent may be told to offer it, but nobody can listen there.
                set.remove(0);
            }
        }
    }
    offered
}

/// Returns how much of the disk comes from the reservation.
fn disk(offered: &Offered, asked: Bytes, reasons: &mut Vec<Reason>) -> Bytes {
    let amount = |reservation| offered.disk.get(&reservation).copied().unwrap_or_default();
    let (reserved, free) = (amount(Reservation::Static), amount(Reservation::Unreserved));
    if reserved + free < asked {
        reasons.push(Reason::Disk { asked, offered: reserved + free });
    }
    reserved.min(asked)
}

/// Gives fixed ports their numbers, and the others the lowest that are left, reserved ones first.
fn ports(offered: &Offered, needs: &RoleNeeds, reasons: &mut Vec<Reason>) -> BTreeMap<String, u16> {
    let mut sets: Vec<Ports> = offered.ports.values().cloned().collect();
    let mut given = BTreeMap::new();
    for (name, number) in needs.ports.iter().filter_map(|(name, fixed)| fixed.map(|number| (name, number))) {
        if sets.iter_mut().any(|set| set.remove(number)) {
            given.insert(name.clone(), number);
        } else {
            reasons.push(Reason::Port { name: name.clone(), number });
        }
    }
    let free: Vec<_> = needs.ports.iter().filter(|(_, fixed)| fixed.is_none()).map(|(name, _)| name).collect();
    let left: u32 = sets.iter().map(Ports::count).sum();
    let asked = u32::try_from(free.len()).unwrap_or(u32::MAX);
    if left < asked {
        reasons.push(Reason::Ports { asked, offered: left });
        return given;
    }
    for name in free {
        if let Some((set, port)) = sets.iter_mut().find_map(|set| set.lowest().map(|port| (set, port))) {
            set.remove(port);
            given.insert(name.clone(), port);
        }
    }
    given
}

/// The agent's recovery time-out, 15 minutes unless an operator changed it, and some time to stop the services.
const EXECUTOR_ENDS_AFTER: Duration = Duration::from_secs(20 * 60);
