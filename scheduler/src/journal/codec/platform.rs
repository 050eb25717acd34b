//! The bytes of what is wanted of the platform.

use epic_common::ids::RoleId;
use epic_common::manifest::Cardinality;
use epic_common::resources::{Bytes, MilliCpus};
use epic_common::spec::Ceiling;
use epic_proto::epic::v1 as proto;
use epic_proto::epic::v1::role_needs;
use epic_scheduler_core::state::deployment::{Bundle, Desired, Endpoint, RoleNeeds, Run};

use super::Flaw;
use super::parts::{digest, name, port, some};

pub(super) fn desired_to_proto(desired: &Desired) -> proto::Desired {
    let ceiling =
        desired.ceiling.map(|ceiling| proto::Ceiling { milli_cpus: ceiling.cpus.0, mem_bytes: ceiling.mem.0 });
    proto::Desired {
        name: desired.name.clone(),
        bundle: Some(proto::Bundle {
            sha256: desired.bundle.sha256.0.to_vec(),
            bytes: desired.bundle.bytes,
            distro_id: desired.bundle.distro_id.clone(),
            version: desired.bundle.version.clone(),
        }),
        roles: desired.roles.iter().map(role_to_proto).collect(),
        members: desired.members.iter().map(|(role, count)| (role.to_string(), *count)).collect(),
        ceiling,
        root_allowed: desired.root_allowed,
    }
}

pub(super) fn desired(desired: proto::Desired) -> Result<Desired, Flaw> {
    let bundle = some("desired.bundle", desired.bundle)?;
    let members =
        desired.members.into_iter().map(|(role, count)| Ok((name::<RoleId>("desired.members", &role)?, count)));
    let ceiling =
        |ceiling: proto::Ceiling| Ceiling { cpus: MilliCpus(ceiling.milli_cpus), mem: Bytes(ceiling.mem_bytes) };
    Ok(Desired {
        name: desired.name,
        bundle: Bundle {
            sha256: digest("desired.bundle.sha256", &bundle.sha256)?,
            bytes: bundle.bytes,
            distro_id: bundle.distro_id,
            version: bundle.version,
        },
        roles: desired.roles.into_iter().map(role).collect::<Result<_, _>>()?,
        members: members.collect::<Result<_, _>>()?,
        ceiling: desired.ceiling.map(ceiling),
        root_allowed: desired.root_allowed,
    })
}

fn role_to_proto(role: &RoleNeeds) -> proto::RoleNeeds {
    let endpoint = |endpoint: &Endpoint| proto::Endpoint {
        service: endpoint.service.to_string(),
        scheme: endpoint.scheme.clone(),
        port: endpoint.port.clone(),
        path: endpoint.path.clone(),
        is_dashboard: endpoint.is_dashboard,
    };
    let port =
        |(name, number): (&String, &Option<u16>)| (name.clone(), proto::PortNeed { number: number.map(u32::from) });
    proto::RoleNeeds {
        id: role.id.to_string(),
        cardinality: Some(match role.cardinality {
            Cardinality::Exactly(count) => role_needs::Cardinality::Exactly(count),
            Cardinality::AtLeast(count) => role_needs::Cardinality::AtLeast(count),
        }),
        milli_cpus: role.cpus.0,
        mem_bytes: role.mem.0,
        disk_bytes: role.disk.0,
        ports: role.ports.iter().map(port).collect(),
        reads_members: role.reads_members,
        endpoints: role.endpoints.iter().map(endpoint).collect(),
    }
}

fn role(role: proto::RoleNeeds) -> Result<RoleNeeds, Flaw> {
    let endpoint = |endpoint: proto::Endpoint| {
        Ok(Endpoint {
            service: name("desired.roles.endpoints.service", &endpoint.service)?,
            scheme: endpoint.scheme,
            port: endpoint.port,
            path: endpoint.path,
            is_dashboard: endpoint.is_dashboard,
        })
    };
    let number = |need: proto::PortNeed| need.number.map(|number| port("desired.roles.ports", number)).transpose();
    Ok(RoleNeeds {
        id: name("desired.roles.id", &role.id)?,
        cardinality: match some("desired.roles.cardinality", role.cardinality)? {
            role_needs::Cardinality::Exactly(count) => Cardinality::Exactly(count),
            role_needs::Cardinality::AtLeast(count) => Cardinality::AtLeast(count),
        },
        cpus: MilliCpus(role.milli_cpus),
        mem: Bytes(role.mem_bytes),
        disk: Bytes(role.disk_bytes),
        ports: role.ports.into_iter().map(|(name, need)| Ok((name, number(need)?))).collect::<Result<_, _>>()?,
        reads_members: role.reads_members,
        endpoints: role.endpoints.into_iter().map(endpoint).collect::<Result<_, _>>()?,
    })
}

pub(super) const fn run_to_proto(run: Run) -> proto::Run {
    match run {
        Run::Running => proto::Run::Running,
        Run::Stopped => proto::Run::Stopped,
        Run::Uninstalling => proto::Run::Uninstalling,
    }
}

pub(super) fn run(number: i32) -> Result<Run, Flaw> {
    let field = "run";
    match proto::Run::try_from(number) {
        Ok(proto::Run::Running) => Ok(Run::Running),
        Ok(proto::Run::Stopped) => Ok(Run::Stopped),
        Ok(proto::Run::Uninstalling) => Ok(Run::Uninstalling),
        Ok(proto::Run::Unspecified) => Err(Flaw::Missing { field }),
        Err(_) => Err(Flaw::OutOfRange { field, found: number.to_string() }),
    }
}
