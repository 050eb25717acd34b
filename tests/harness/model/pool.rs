//! What an agent of the model has: cores and memory that are reserved, disk and ports that are not.

use epic_common::resources::{Bytes, MilliCpus, Ports};
use epic_scheduler_core::mesos::{Amount, Executor, Reservation, Resource};

/// Amounts of everything an agent has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pool {
    /// Reserved cores.
    pub cpus: MilliCpus,
    /// Reserved memory.
    pub mem: Bytes,
    /// Disk for any role.
    pub disk: Bytes,
    /// Ports for any role.
    pub ports: Ports,
}

impl Pool {
    /// Sums what a task asks for.
    ///
    /// # Errors
    ///
    /// The resource that this model's agents don't have in that reservation.
    pub fn asked(resources: &[Resource]) -> Result<Self, String> {
        let mut pool = Self::default();
        for resource in resources {
            match (resource.reservation, &resource.amount) {
                (Reservation::Static, Amount::Cpus(cpus)) => pool.cpus += *cpus,
                (Reservation::Static, Amount::Mem(mem)) => pool.mem += *mem,
                (Reservation::Unreserved, Amount::Disk(disk)) => pool.disk += *disk,
                (Reservation::Unreserved, Amount::Ports(ports)) => pool.ports = pool.ports.union(ports),
                (
                    Reservation::Static | Reservation::Unreserved,
                    Amount::Cpus(_) | Amount::Mem(_) | Amount::Disk(_) | Amount::Ports(_),
                ) => {
                    return Err(format!("no agent has {resource:?}"));
                }
            }
        }
        Ok(pool)
    }

    /// Adds an executor's own needs.
    #[must_use]
    pub fn with(mut self, executor: &Executor) -> Self {
        self.cpus += executor.cpus;
        self.mem += executor.mem;
        self
    }

    /// Adds what `other` has.
    #[must_use]
    pub fn plus(mut self, other: &Self) -> Self {
        self.cpus += other.cpus;
        self.mem += other.mem;
        self.disk += other.disk;
        self.ports = self.ports.union(&other.ports);
        self
    }

    /// Takes `other` away.
    ///
    /// # Panics
    ///
    /// If it isn't there.
    #[must_use]
    pub fn minus(mut self, other: &Self) -> Self {
        assert!(self.holds(other), "{other:?} is not in {self:?}");
        self.cpus = self.cpus - other.cpus;
        self.mem = self.mem - other.mem;
        self.disk = self.disk - other.disk;
        for port in other.ports.ranges().iter().flat_map(|range| range.first..=range.last) {
            self.ports.remove(port);
        }
        self
    }

    /// Tells whether all of `other` is there.
    #[must_use]
    pub fn holds(&self, other: &Self) -> bool {
        self.cpus >= other.cpus
            && self.mem >= other.mem
            && self.disk >= other.disk
            && self.ports.union(&other.ports) == self.ports
    }

    /// Tells whether there is anything worth an offer, as Mesos' allocator sees it.
    #[must_use]
    pub fn is_allocatable(&self) -> bool {
        self.cpus >= MilliCpus(10) || self.mem >= Bytes(32 << 20)
    }

    /// Says it in the words of an offer.
    #[must_use]
    pub fn resources(&self) -> Vec<Resource> {
        let resource = |reservation, amount| Resource { reservation, amount };
        let mut resources = Vec::new();
        if self.cpus > MilliCpus(0) {
            resources.push(resource(Reservation::Static, Amount::Cpus(self.cpus)));
        }
        if self.mem > Bytes(0) {
            resources.push(resource(Reservation::Static, Amount::Mem(self.mem)));
        }
        if self.disk > Bytes(0) {
            resources.push(resource(Reservation::Unreserved, Amount::Disk(self.disk)));
        }
        if !self.ports.is_empty() {
            resources.push(resource(Reservation::Unreserved, Amount::Ports(self.ports.clone())));
        }
        resources
    }
}
