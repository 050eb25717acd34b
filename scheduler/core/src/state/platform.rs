//! What is wanted of the platform.

use std::collections::BTreeMap;

use epic_common::ids::{Digest, InstanceId, RoleId, ServiceId};
use epic_common::manifest::{Cardinality, Document, Manifest};
use epic_common::resources::{Bytes, MilliCpus};
use epic_common::spec::Ceiling;

/// The platform as it was applied.
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

impl Desired {
    /// Finds what a role needs.
    #[must_use]
    pub fn role(&self, id: &RoleId) -> Option<&RoleNeeds> {
        self.roles.iter().find(|role| role.id == *id)
    }

    /// Lists the members that are wanted, by role in the bundle's order, then by number.
    pub fn wanted(&self) -> impl Iterator<Item = (InstanceId, RoleId, u32)> + '_ {
        self.roles.iter().flat_map(|role| {
            let count = self.members.get(&role.id).copied().unwrap_or(0);
            (0..count).map(|ordinal| (InstanceId::of(&role.id, ordinal), role.id.clone(), ordinal))
        })
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
