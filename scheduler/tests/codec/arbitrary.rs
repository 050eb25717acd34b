//! Entries of every kind, at random, from few enough names that they meet.

use epic_common::conversation::{Phase, Report, ServiceReport};
use epic_common::ids::{AgentId, Attempt, Digest, FrameworkId, RoleId, TaskId, UnitId, UpdateId};
use epic_common::manifest::Cardinality;
use epic_common::resources::{Bytes, Grant, MilliCpus, PortRange, Ports};
use epic_common::spec::Ceiling;
use epic_common::time::Timestamp;
use epic_scheduler_core::mesos::{Amount, Executor, Reservation, Resource, StreamId, TaskState};
use epic_scheduler_core::state::deployment::{Bundle, Desired, Endpoint, RoleNeeds, Wanted};
use epic_scheduler_core::state::entry::{Ended, Entry, Fact, LaunchDecided, Origin, StatusRecorded, UnitLaunched};
use epic_scheduler_core::state::unit::Program;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

const TEXT: &str = "[ -~äß]{0,12}";
const NAME: &str = "[a-z][a-z0-9-]{0,8}";

pub(crate) fn entry() -> impl Strategy<Value = Entry> {
    let origin = (TEXT, TEXT, option::of(NAME));
    let origin = origin.prop_map(|(principal, request, key)| Origin { principal, request, key });
    (any::<u64>(), origin, fact()).prop_map(|(at, origin, fact)| Entry { at: Timestamp(at), origin, fact })
}

pub(crate) fn fact() -> impl Strategy<Value = Fact> {
    let key = || option::of(NAME);
    prop_oneof![
        (NAME, TEXT).prop_map(|(framework, role)| Fact::FrameworkChosen { framework: framework.as_str().into(), role }),
        digest().prop_map(|sha256| Fact::TokenSet { sha256 }),
        (desired(), key()).prop_map(|(desired, key)| Fact::PlatformApplied { desired: Box::new(desired), key }),
        key().prop_map(|key| Fact::PlatformStopped { key }),
        key().prop_map(|key| Fact::PlatformStarted { key }),
        key().prop_map(|key| Fact::UninstallBegun { key }),
        Just(Fact::Uninstalled),
        launch().prop_map(|launch| Fact::LaunchDecided(Box::new(launch))),
        (task(), TEXT, key()).prop_map(|(task, why, key)| Fact::KillDecided { task, why, key }),
        task().prop_map(|task| Fact::ReplacementDecided { task }),
        status().prop_map(|status| Fact::StatusRecorded(Box::new(status))),
        (TEXT, agent(), state()).prop_map(|(task, agent, state)| Fact::StrangerSeen { task, agent, state }),
        (agent(), TEXT, any::<u64>(), any::<u64>()).prop_map(|(agent, hostname, cpus, mem)| Fact::ReservationSeen {
            agent,
            hostname,
            cpus: MilliCpus(cpus),
            mem: Bytes(mem)
        }),
        (TEXT, any::<u64>(), digest()).prop_map(|(name, generation, sha256)| Fact::DocumentChanged {
            name,
            generation,
            sha256
        }),
        (any::<u64>(), TEXT, TEXT).prop_map(|(epoch, replica, advertise)| Fact::LeaderClaimed {
            epoch,
            replica,
            advertise
        }),
        any::<u64>().prop_map(|epoch| Fact::Barrier { epoch }),
        (NAME, key()).prop_map(|(id, key)| Fact::FrameworkReplaced { framework: FrameworkId::new(id), key }),
        NAME.prop_map(|url| Fact::MovedTo { url }),
        "[0-9a-f]{8}".prop_map(|id| Fact::InstallationChosen { id }),
        unit_launched().prop_map(|launched| Fact::UnitLaunched(Box::new(launched))),
    ]
}

fn digest() -> impl Strategy<Value = Digest> {
    any::<[u8; 32]>().prop_map(Digest)
}

fn agent() -> impl Strategy<Value = AgentId> {
    (0..3_u8).prop_map(|nth| AgentId::new(format!("agent-{nth}")))
}

fn task() -> impl Strategy<Value = TaskId> {
    (select(vec!["controller", "worker"]), 0..3_u32, 1..4_u32).prop_map(|(role, ordinal, attempt)| TaskId {
        unit: UnitId::of_platform(&RoleId::from(role), ordinal),
        attempt: Attempt(attempt),
    })
}

fn state() -> impl Strategy<Value = TaskState> {
    select(TaskState::ALL.map(|(state, _)| state).to_vec())
}

fn grant() -> impl Strategy<Value = Grant> {
    (any::<u64>(), any::<u64>(), any::<u64>(), btree_map(NAME, 1..=u16::MAX, 0..3))
        .prop_map(|(cpus, mem, disk, ports)| Grant { cpus: MilliCpus(cpus), mem: Bytes(mem), disk: Bytes(disk), ports })
}

fn executor() -> impl Strategy<Value = Executor> {
    (NAME, TEXT, digest(), any::<u64>(), any::<u64>()).prop_map(|(id, url, sha256, cpus, mem)| Executor {
        id: id.as_str().into(),
        url,
        sha256,
        cpus: MilliCpus(cpus),
        mem: Bytes(mem),
    })
}

fn launch() -> impl Strategy<Value = LaunchDecided> {
    let place = (task(), agent(), TEXT, NAME, TEXT);
    let takes = (grant(), any::<u64>(), vec(1..=u16::MAX, 0..3), executor());
    (place, takes).prop_map(|((task, agent, hostname, offer, stream), (grant, disk, ports_reserved, executor))| {
        LaunchDecided {
            task,
            agent,
            hostname,
            offer: offer.as_str().into(),
            stream: StreamId(stream),
            grant,
            disk_reserved: Bytes(disk),
            ports_reserved,
            executor,
        }
    })
}

fn unit_launched() -> impl Strategy<Value = UnitLaunched> {
    let wanted = (TEXT, TEXT, any::<u64>());
    let wanted = wanted.prop_map(|(group, flavor, generation)| Wanted { group, flavor, generation });
    let program = (TEXT, digest(), any::<u64>(), any::<bool>(), any::<bool>(), wanted).prop_map(
        |(deployment, bundle, bundle_bytes, root_allowed, reads_members, wanted)| Program {
            deployment,
            bundle,
            bundle_bytes,
            root_allowed,
            reads_members,
            wanted,
        },
    );
    (launch(), vec(NAME, 1..3), program, vec(resource(), 1..4)).prop_map(|(decided, offers, program, resources)| {
        let LaunchDecided { task, agent, hostname, stream, grant, executor, .. } = decided;
        let offers = offers.iter().map(|offer| offer.as_str().into()).collect();
        UnitLaunched { task, agent, hostname, offers, stream, program, grant, resources, executor }
    })
}

fn resource() -> impl Strategy<Value = Resource> {
    let reservation = select(vec![Reservation::Static, Reservation::Unreserved]);
    let range = (1..=u16::MAX, 1..=u16::MAX).prop_map(|(a, b)| PortRange { first: a.min(b), last: a.max(b) });
    let amount = prop_oneof![
        any::<u64>().prop_map(|cpus| Amount::Cpus(MilliCpus(cpus))),
        any::<u64>().prop_map(|mem| Amount::Mem(Bytes(mem))),
        any::<u64>().prop_map(|disk| Amount::Disk(Bytes(disk))),
        vec(range, 0..3).prop_map(|ranges| Amount::Ports(Ports::new(ranges))),
    ];
    (reservation, amount).prop_map(|(reservation, amount)| Resource { reservation, amount })
}

fn report() -> impl Strategy<Value = Report> {
    let service = (NAME, any::<bool>(), any::<u32>(), TEXT).prop_map(|(id, ready, restarts, reason)| ServiceReport {
        id: id.as_str().into(),
        ready,
        restarts,
        reason,
    });
    let phase = select(Phase::ALL.map(|(phase, _)| phase).to_vec());
    (phase, option::of(0..=100_u8), btree_map(NAME, any::<u64>(), 0..3), vec(service, 0..3))
        .prop_map(|(phase, percent, documents, services)| Report { phase, percent, documents, services })
}

fn status() -> impl Strategy<Value = StatusRecorded> {
    let ended = (any::<u32>(), any::<u64>()).prop_map(|(failures, at)| Ended { failures, not_before: Timestamp(at) });
    let said = (task(), state(), TEXT, TEXT, option::of(any::<[u8; 16]>()));
    (said, option::of(any::<bool>()), option::of(report()), option::of(ended)).prop_map(
        |((task, state, reason, message, uuid), healthy, report, ended)| StatusRecorded {
            task,
            state,
            reason,
            message,
            uuid: uuid.map(UpdateId),
            healthy,
            report,
            ended,
        },
    )
}

fn desired() -> impl Strategy<Value = Desired> {
    let bundle = (digest(), any::<u64>(), TEXT, TEXT).prop_map(|(sha256, bytes, distro_id, version)| Bundle {
        sha256,
        bytes,
        distro_id,
        version,
    });
    let ceiling =
        (any::<u64>(), any::<u64>()).prop_map(|(cpus, mem)| Ceiling { cpus: MilliCpus(cpus), mem: Bytes(mem) });
    let members = (0..3_u32, 0..4_u32)
        .prop_map(|(controllers, workers)| [("controller".into(), controllers), ("worker".into(), workers)].into());
    (TEXT, bundle, (role("controller"), role("worker")), members, option::of(ceiling), any::<bool>()).prop_map(
        |(name, bundle, (controller, worker), members, ceiling, root_allowed)| Desired {
            name,
            bundle,
            roles: vec![controller, worker],
            members,
            ceiling,
            root_allowed,
        },
    )
}

fn role(id: &'static str) -> impl Strategy<Value = RoleNeeds> {
    let endpoint = (NAME, TEXT, TEXT, TEXT, any::<bool>()).prop_map(|(service, scheme, port, path, is_dashboard)| {
        Endpoint { service: service.as_str().into(), scheme, port, path, is_dashboard }
    });
    let cardinality =
        prop_oneof![any::<u32>().prop_map(Cardinality::Exactly), any::<u32>().prop_map(Cardinality::AtLeast)];
    let amounts = (any::<u64>(), any::<u64>(), any::<u64>());
    let ports = btree_map(NAME, option::of(1..=u16::MAX), 0..3);
    (cardinality, amounts, ports, any::<bool>(), vec(endpoint, 0..2)).prop_map(
        move |(cardinality, (cpus, mem, disk), ports, reads_members, endpoints)| RoleNeeds {
            id: id.into(),
            cardinality,
            cpus: MilliCpus(cpus),
            mem: Bytes(mem),
            disk: Bytes(disk),
            ports,
            reads_members,
            endpoints,
        },
    )
}
