//! The bytes of a launch, and of what it is made of.

use epic_common::resources::{Bytes, MilliCpus, PortRange, Ports};
use epic_common_io::conversation::grant_to_proto;
use epic_proto::epic::v1 as proto;
use epic_proto::epic::v1::resource::Amount as Kind;
use epic_scheduler_core::mesos::{Amount, Reservation, Resource, StreamId};
use epic_scheduler_core::state::deployment::Wanted;
use epic_scheduler_core::state::entry::UnitLaunched;
use epic_scheduler_core::state::unit::Program;

use super::Flaw;
use super::parts::{digest, executor, executor_to_proto, grant, name, port, some, task_id};

pub(super) fn to_proto(launched: &UnitLaunched) -> proto::UnitLaunched {
    proto::UnitLaunched {
        task: launched.task.to_string(),
        agent: launched.agent.to_string(),
        hostname: launched.hostname.clone(),
        offers: launched.offers.iter().map(ToString::to_string).collect(),
        stream: launched.stream.0.clone(),
        program: Some(program_to_proto(&launched.program)),
        grant: Some(grant_to_proto(&launched.grant)),
        resources: launched.resources.iter().map(resource_to_proto).collect(),
        executor: Some(executor_to_proto(&launched.executor)),
    }
}

pub(super) fn from_proto(fact: proto::UnitLaunched) -> Result<UnitLaunched, Flaw> {
    let offer = |offer: &String| name("unit_launched.offers", offer);
    let offers: Vec<_> = fact.offers.iter().map(offer).collect::<Result<_, _>>()?;
    if offers.is_empty() {
        return Err(Flaw::Missing { field: "unit_launched.offers" });
    }
    Ok(UnitLaunched {
        task: task_id("unit_launched.task", &fact.task)?,
        agent: name("unit_launched.agent", &fact.agent)?,
        hostname: fact.hostname,
        offers,
        stream: StreamId(fact.stream),
        program: program(some("unit_launched.program", fact.program)?)?,
        grant: grant("unit_launched.grant", fact.grant)?,
        resources: fact.resources.into_iter().map(resource).collect::<Result<_, _>>()?,
        executor: executor(some("unit_launched.executor", fact.executor)?)?,
    })
}

pub(super) fn program_to_proto(program: &Program) -> proto::Program {
    proto::Program {
        deployment: program.deployment.clone(),
        bundle_sha256: program.bundle.0.to_vec(),
        bundle_bytes: program.bundle_bytes,
        root_allowed: program.root_allowed,
        reads_members: program.reads_members,
        group: program.wanted.group.clone(),
        flavor: program.wanted.flavor.clone(),
        generation: program.wanted.generation,
    }
}

pub(super) fn program(program: proto::Program) -> Result<Program, Flaw> {
    Ok(Program {
        deployment: program.deployment,
        bundle: digest("program.bundle_sha256", &program.bundle_sha256)?,
        bundle_bytes: program.bundle_bytes,
        root_allowed: program.root_allowed,
        reads_members: program.reads_members,
        wanted: Wanted { group: program.group, flavor: program.flavor, generation: program.generation },
    })
}

pub(super) fn resource_to_proto(resource: &Resource) -> proto::Resource {
    let amount = match &resource.amount {
        Amount::Cpus(cpus) => Kind::MilliCpus(cpus.0),
        Amount::Mem(mem) => Kind::MemBytes(mem.0),
        Amount::Disk(disk) => Kind::DiskBytes(disk.0),
        Amount::Ports(ports) => Kind::Ports(ports_to_proto(ports)),
    };
    let reservation = match resource.reservation {
        Reservation::Static => proto::Reservation::Static,
        Reservation::Unreserved => proto::Reservation::Unreserved,
    };
    proto::Resource { amount: Some(amount), reservation: reservation.into() }
}

pub(super) fn resource(resource: proto::Resource) -> Result<Resource, Flaw> {
    let field = "resource.reservation";
    let reservation = match proto::Reservation::try_from(resource.reservation) {
        Ok(proto::Reservation::Static) => Reservation::Static,
        Ok(proto::Reservation::Unreserved) => Reservation::Unreserved,
        Ok(proto::Reservation::Unspecified) => return Err(Flaw::Missing { field }),
        Err(_) => return Err(Flaw::OutOfRange { field, found: resource.reservation.to_string() }),
    };
    let amount = match some("resource.amount", resource.amount)? {
        Kind::MilliCpus(cpus) => Amount::Cpus(MilliCpus(cpus)),
        Kind::MemBytes(mem) => Amount::Mem(Bytes(mem)),
        Kind::DiskBytes(disk) => Amount::Disk(Bytes(disk)),
        Kind::Ports(ports) => Amount::Ports(ports_from_proto(&ports)?),
    };
    Ok(Resource { reservation, amount })
}

fn ports_to_proto(ports: &Ports) -> proto::PortRanges {
    let range = |range: &PortRange| proto::PortRange { first: range.first.into(), last: range.last.into() };
    proto::PortRanges { ranges: ports.ranges().iter().map(range).collect() }
}

fn ports_from_proto(ports: &proto::PortRanges) -> Result<Ports, Flaw> {
    let number = |number| port("resource.ports", number);
    let ranges = ports.ranges.iter();
    let ranges: Result<Vec<_>, Flaw> =
        ranges.map(|range| Ok(PortRange { first: number(range.first)?, last: number(range.last)? })).collect();
    Ok(Ports::new(ranges?))
}
