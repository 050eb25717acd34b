//! The bytes of an entry.

use epic_common::resources::{Bytes, MilliCpus};
use epic_common::time::Timestamp;
use epic_common_io::conversation::{grant_to_proto, report_to_proto};
use epic_proto::epic::v1 as proto;
use epic_proto::epic::v1::entry::Fact as Kind;
use epic_scheduler_core::mesos::StreamId;
use epic_scheduler_core::state::entry::{Ended, Entry, Fact, LaunchDecided, Origin, StatusRecorded};

use super::parts::{
    digest, executor, executor_to_proto, grant, name, ports, ports_to_proto, report, some, task_id, task_state,
    task_state_to_proto, uuid, uuid_to_proto,
};
use super::platform::{desired, desired_to_proto};
use super::{Error, Flaw, launch};

pub(super) fn to_proto(entry: &Entry) -> proto::Entry {
    let Origin { principal, request, key } = entry.origin.clone();
    proto::Entry { at_micros: entry.at.0, fact: Some(fact_to_proto(&entry.fact)), principal, request, key }
}

pub(super) fn from_proto(index: u64, entry: proto::Entry) -> Result<Entry, Error> {
    // The decoder skips a kind that it doesn't know, so that nothing is left of it.
    let kind = entry.fact.ok_or(Error::UnknownFact { index })?;
    let fact = fact(kind).map_err(|source| Error::Wrong { object: format!("entry {index}"), source })?;
    let origin = Origin { principal: entry.principal, request: entry.request, key: entry.key };
    Ok(Entry { at: Timestamp(entry.at_micros), origin, fact })
}

fn fact_to_proto(fact: &Fact) -> Kind {
    match fact {
        Fact::FrameworkChosen { framework, role } => {
            Kind::FrameworkChosen(proto::FrameworkChosen { framework: framework.to_string(), role: role.clone() })
        }
        Fact::TokenSet { sha256 } => Kind::TokenSet(proto::TokenSet { sha256: sha256.0.to_vec() }),
        Fact::PlatformApplied { desired, key } => {
            Kind::PlatformApplied(proto::PlatformApplied { desired: Some(desired_to_proto(desired)), key: key.clone() })
        }
        Fact::PlatformStopped { key } => Kind::PlatformStopped(proto::PlatformStopped { key: key.clone() }),
        Fact::PlatformStarted { key } => Kind::PlatformStarted(proto::PlatformStarted { key: key.clone() }),
        Fact::UninstallBegun { key } => Kind::UninstallBegun(proto::UninstallBegun { key: key.clone() }),
        Fact::Uninstalled => Kind::Uninstalled(proto::Uninstalled {}),
        Fact::LaunchDecided(decided) => Kind::LaunchDecided(launch_to_proto(decided)),
        Fact::InstallationChosen { id } => Kind::InstallationChosen(proto::InstallationChosen { id: id.clone() }),
        Fact::UnitLaunched(launched) => Kind::UnitLaunched(launch::to_proto(launched)),
        Fact::KillDecided { task, why, key } => {
            Kind::KillDecided(proto::KillDecided { task: task.to_string(), why: why.clone(), key: key.clone() })
        }
        Fact::ReplacementDecided { task } => {
            Kind::ReplacementDecided(proto::ReplacementDecided { task: task.to_string() })
        }
        Fact::StatusRecorded(status) => Kind::StatusRecorded(status_to_proto(status)),
        Fact::StrangerSeen { task, agent, state } => Kind::StrangerSeen(proto::StrangerSeen {
            task: task.clone(),
            agent: agent.to_string(),
            state: task_state_to_proto(*state).into(),
        }),
        Fact::ReservationSeen { agent, hostname, cpus, mem } => Kind::ReservationSeen(proto::ReservationSeen {
            agent: agent.to_string(),
            hostname: hostname.clone(),
            milli_cpus: cpus.0,
            mem_bytes: mem.0,
        }),
        Fact::DocumentChanged { name, generation, sha256 } => Kind::DocumentChanged(proto::DocumentChanged {
            name: name.clone(),
            generation: *generation,
            sha256: sha256.0.to_vec(),
        }),
        Fact::LeaderClaimed { epoch, replica, advertise } => Kind::LeaderClaimed(proto::LeaderClaimed {
            epoch: *epoch,
            replica: replica.clone(),
            advertise: advertise.clone(),
        }),
        Fact::Barrier { epoch } => Kind::Barrier(proto::Barrier { epoch: *epoch }),
        Fact::FrameworkReplaced { framework, key } => {
            Kind::FrameworkReplaced(proto::FrameworkReplaced { framework: framework.to_string(), key: key.clone() })
        }
        Fact::MovedTo { url } => Kind::MovedTo(proto::MovedTo { url: url.clone() }),
    }
}

fn fact(kind: Kind) -> Result<Fact, Flaw> {
    Ok(match kind {
        Kind::FrameworkChosen(fact) => {
            Fact::FrameworkChosen { framework: name("framework_chosen.framework", &fact.framework)?, role: fact.role }
        }
        Kind::TokenSet(fact) => Fact::TokenSet { sha256: digest("token_set.sha256", &fact.sha256)? },
        Kind::PlatformApplied(fact) => {
            let desired = desired(some("platform_applied.desired", fact.desired)?)?;
            Fact::PlatformApplied { desired: Box::new(desired), key: fact.key }
        }
        Kind::PlatformStopped(fact) => Fact::PlatformStopped { key: fact.key },
        Kind::PlatformStarted(fact) => Fact::PlatformStarted { key: fact.key },
        Kind::UninstallBegun(fact) => Fact::UninstallBegun { key: fact.key },
        Kind::Uninstalled(proto::Uninstalled {}) => Fact::Uninstalled,
        Kind::LaunchDecided(fact) => Fact::LaunchDecided(Box::new(launch(fact)?)),
        Kind::InstallationChosen(fact) => {
            Fact::InstallationChosen { id: name::<String>("installation_chosen.id", &fact.id)? }
        }
        Kind::UnitLaunched(fact) => Fact::UnitLaunched(Box::new(launch::from_proto(fact)?)),
        Kind::KillDecided(fact) => {
            Fact::KillDecided { task: task_id("kill_decided.task", &fact.task)?, why: fact.why, key: fact.key }
        }
        Kind::ReplacementDecided(fact) => {
            Fact::ReplacementDecided { task: task_id("replacement_decided.task", &fact.task)? }
        }
        Kind::StatusRecorded(fact) => Fact::StatusRecorded(Box::new(status(fact)?)),
        Kind::StrangerSeen(fact) => Fact::StrangerSeen {
            task: fact.task,
            agent: name("stranger_seen.agent", &fact.agent)?,
            state: task_state("stranger_seen.state", fact.state)?,
        },
        Kind::ReservationSeen(fact) => Fact::ReservationSeen {
            agent: name("reservation_seen.agent", &fact.agent)?,
            hostname: fact.hostname,
            cpus: MilliCpus(fact.milli_cpus),
            mem: Bytes(fact.mem_bytes),
        },
        Kind::DocumentChanged(fact) => Fact::DocumentChanged {
            name: fact.name,
            generation: fact.generation,
            sha256: digest("document_changed.sha256", &fact.sha256)?,
        },
        Kind::LeaderClaimed(fact) => {
            Fact::LeaderClaimed { epoch: fact.epoch, replica: fact.replica, advertise: fact.advertise }
        }
        Kind::Barrier(proto::Barrier { epoch }) => Fact::Barrier { epoch },
        Kind::FrameworkReplaced(fact) => {
            Fact::FrameworkReplaced { framework: name("framework_replaced.framework", &fact.framework)?, key: fact.key }
        }
        Kind::MovedTo(fact) => Fact::MovedTo { url: name("moved_to.url", &fact.url)? },
    })
}

fn launch_to_proto(decided: &LaunchDecided) -> proto::LaunchDecided {
    proto::LaunchDecided {
        task: decided.task.to_string(),
        agent: decided.agent.to_string(),
        hostname: decided.hostname.clone(),
        offer: decided.offer.to_string(),
        stream: decided.stream.0.clone(),
        grant: Some(grant_to_proto(&decided.grant)),
        disk_reserved_bytes: decided.disk_reserved.0,
        ports_reserved: ports_to_proto(&decided.ports_reserved),
        executor: Some(executor_to_proto(&decided.executor)),
    }
}

fn launch(fact: proto::LaunchDecided) -> Result<LaunchDecided, Flaw> {
    Ok(LaunchDecided {
        task: task_id("launch_decided.task", &fact.task)?,
        agent: name("launch_decided.agent", &fact.agent)?,
        hostname: fact.hostname,
        offer: name("launch_decided.offer", &fact.offer)?,
        stream: StreamId(fact.stream),
        grant: grant("launch_decided.grant", fact.grant)?,
        disk_reserved: Bytes(fact.disk_reserved_bytes),
        ports_reserved: ports("launch_decided.ports_reserved", &fact.ports_reserved)?,
        executor: executor(some("launch_decided.executor", fact.executor)?)?,
    })
}

fn status_to_proto(status: &StatusRecorded) -> proto::StatusRecorded {
    let ended = |ended: Ended| proto::Ended { failures: ended.failures, not_before_micros: ended.not_before.0 };
    proto::StatusRecorded {
        task: status.task.to_string(),
        state: task_state_to_proto(status.state).into(),
        reason: status.reason.clone(),
        message: status.message.clone(),
        uuid: uuid_to_proto(status.uuid),
        healthy: status.healthy,
        report: status.report.as_ref().map(report_to_proto),
        ended: status.ended.map(ended),
    }
}

fn status(fact: proto::StatusRecorded) -> Result<StatusRecorded, Flaw> {
    let ended =
        |ended: proto::Ended| Ended { failures: ended.failures, not_before: Timestamp(ended.not_before_micros) };
    Ok(StatusRecorded {
        task: task_id("status_recorded.task", &fact.task)?,
        state: task_state("status_recorded.state", fact.state)?,
        reason: fact.reason,
        message: fact.message,
        uuid: uuid("status_recorded.uuid", fact.uuid.as_deref())?,
        healthy: fact.healthy,
        report: fact.report.map(|said| report("status_recorded.report", said)).transpose()?,
        ended: fact.ended.map(ended),
    })
}
