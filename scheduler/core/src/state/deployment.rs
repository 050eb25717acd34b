//! What is wanted: the platform, and each cluster.

use std::collections::BTreeMap;

use epic_common::ids::{DeploymentId, Digest, RoleId, ServiceId, UnitId};
use epic_common::manifest::{Cardinality, Document, Manifest};
use epic_common::resources::{Bytes, MilliCpus};
use epic_common::spec::Ceiling;
use epic_common::time::Timestamp;
use imbl::OrdMap;

use super::unit::Program;

/// One thing that is deployed: the platform, or a cluster. What differs between them is data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployment {
    /// Its name; `CLUSTER.TENANT` for a cluster.
    pub name: String,
    /// The bundle that new attempts run from.
    pub bundle: Bundle,
    /// What the bundle's roles need, in the bundle's order.
    pub roles: Vec<RoleNeeds>,
    /// The units that are wanted, by role and ordinal. Counts follow from them, never the other way round: any unit can be
    /// the one that a smaller cluster goes without.
    pub wanted: OrdMap<(RoleId, u32), Wanted>,
    /// The most that may be used of one host.
    pub ceiling: Option<Ceiling>,
    /// Whether services may run as root.
    pub root_allowed: bool,
    /// Whether its units are to run.
    pub run: Run,
    /// Since when what is wanted is as it is.
    pub since: Timestamp,
}

/// What kind of unit is wanted; all blank for a platform's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The group of its role, where a role has several kinds of unit.
    pub group: String,
    /// The flavor that says how large it is; blank for what its role needs.
    pub flavor: String,
    /// Grows with each change that a living attempt can't take over.
    pub generation: u64,
}

/// A platform as it is applied: how many units, not which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desired {
    /// Its name.
    pub name: String,
    /// The bundle that everything runs from.
    pub bundle: Bundle,
    /// What the bundle's roles need, in the bundle's order.
    pub roles: Vec<RoleNeeds>,
    /// How many members each role has; every role is there.
    pub members: BTreeMap<RoleId, u32>,
    /// The most that may be used of one host.
    pub ceiling: Option<Ceiling>,
    /// Whether services may run as root.
    pub root_allowed: bool,
}

/// A bundle by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// The file's sha256.
    pub sha256: Digest,
    /// The file's length.
    pub bytes: u64,
    /// Who made what.
    pub distro_id: String,
    /// Which version.
    pub version: String,
}

/// What a member of a role needs, and what it offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleNeeds {
    /// The role.
    pub id: RoleId,
    /// How many members it may have.
    pub cardinality: Cardinality,
    /// Cores of each member.
    pub cpus: MilliCpus,
    /// Memory of each member.
    pub mem: Bytes,
    /// Disk of each member.
    pub disk: Bytes,
    /// Ports by name; `None` takes any.
    pub ports: BTreeMap<String, Option<u16>>,
    /// Whether it reads the document `members`.
    pub reads_members: bool,
    /// Where its services are reached.
    pub endpoints: Vec<Endpoint>,
}

/// Where a service is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The service.
    pub service: ServiceId,
    /// Such as `http`.
    pub scheme: String,
    /// The name of one of the role's ports.
    pub port: String,
    /// Begins with `/`.
    pub path: String,
    /// Whether people open it.
    pub is_dashboard: bool,
}

/// Whether members are to run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Run {
    /// They are.
    #[default]
    Running,
    /// They are not, but may again.
    Stopped,
    /// They are not, and nothing is to be left.
    Uninstalling,
}

impl Deployment {
    /// Finds what a role needs.
    #[must_use]
    pub fn role(&self, id: &RoleId) -> Option<&RoleNeeds> {
        self.roles.iter().find(|role| role.id == *id)
    }

    /// Lists the units that are wanted, by role and ordinal.
    pub fn units(&self, id: DeploymentId) -> impl Iterator<Item = UnitId> + '_ {
        self.wanted.keys().map(move |(role, ordinal)| UnitId { deployment: id, role: role.clone(), ordinal: *ordinal })
    }

    /// Counts the units that are wanted of each role; every role is there.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<RoleId, u32> {
        let mut counts: BTreeMap<_, _> = self.roles.iter().map(|role| (role.id.clone(), 0)).collect();
        for (role, _) in self.wanted.keys() {
            *counts.entry(role.clone()).or_default() += 1;
        }
        counts
    }

    /// Returns it as it would be applied.
    #[must_use]
    pub fn desired(&self) -> Desired {
        Desired {
            name: self.name.clone(),
            bundle: self.bundle.clone(),
            roles: self.roles.clone(),
            members: self.counts(),
            ceiling: self.ceiling,
            root_allowed: self.root_allowed,
        }
    }

    /// Returns what a unit's next attempt runs from.
    #[must_use]
    pub fn program(&self, role: &RoleId, ordinal: u32) -> Program {
        Program {
            deployment: self.name.clone(),
            bundle: self.bundle.sha256,
            bundle_bytes: self.bundle.bytes,
            root_allowed: self.root_allowed,
            reads_members: self.role(role).is_some_and(|needs| needs.reads_members),
            wanted: self.wanted.get(&(role.clone(), ordinal)).cloned().unwrap_or_default(),
        }
    }

    /// Tells whether units of any role read the document that lists all of them.
    #[must_use]
    pub fn reads_members(&self) -> bool {
        self.roles.iter().any(|role| role.reads_members)
    }
}

impl Desired {
    /// Turns counts into the set of wanted units: ordinals from 0 upwards, in each role that the bundle has.
    #[must_use]
    pub fn wanted(&self) -> OrdMap<(RoleId, u32), Wanted> {
        let counted = self.roles.iter().map(|role| (&role.id, self.members.get(&role.id).copied().unwrap_or(0)));
        let units = counted.flat_map(|(role, count)| (0..count).map(move |ordinal| (role.clone(), ordinal)));
        units.map(|unit| (unit, Wanted::default())).collect()
    }
}

/// Takes from a manifest what placement needs.
#[must_use]
pub fn needs(manifest: &Manifest) -> Vec<RoleNeeds> {
    let endpoints = |role: &epic_common::manifest::Role| {
        role.services
            .iter()
            .filter_map(|service| {
                let endpoint = service.endpoint.as_ref()?;
                Some(Endpoint {
                    service: service.id.clone(),
                    scheme: endpoint.url_scheme.clone(),
                    port: endpoint.port.clone(),
                    path: endpoint.path.clone(),
                    is_dashboard: endpoint.is_dashboard,
                })
            })
            .collect()
    };
    manifest
        .roles
        .iter()
        .map(|role| RoleNeeds {
            id: role.id.clone(),
            cardinality: role.cardinality,
            cpus: role.cpus,
            mem: role.mem,
            disk: role.disk,
            ports: role.ports().map(|port| (port.name.clone(), port.fixed)).collect(),
            reads_members: role.reads(Document::Members),
            endpoints: endpoints(role),
        })
        .collect()
}
