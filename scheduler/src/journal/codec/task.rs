//! The bytes of an attempt in a snapshot.

use epic_common::resources::Bytes;
use epic_common::time::Timestamp;
use epic_common_io::conversation::{grant_to_proto, report_to_proto};
use epic_proto::epic::v1 as proto;
use epic_proto::epic::v1::task as kind;
use epic_scheduler_core::mesos::{Amount, Reservation, StreamId};
use epic_scheduler_core::state::State;
use epic_scheduler_core::state::unit::{Progress, Task, resources};

use super::Flaw;
use super::launch::{program, program_to_proto, resource, resource_to_proto};
use super::parts::{
    executor, executor_to_proto, grant, name, ports, ports_to_proto, report, some, task_id, task_state,
    task_state_to_proto, uuid, uuid_to_proto,
};

/// Writes what it runs from, too, unless a version has to read it that knows only one bundle.
pub(super) fn to_proto(task: &Task, with_program: bool) -> proto::Task {
    proto::Task {
        id: task.id.to_string(),
        agent: task.agent.to_string(),
        hostname: task.hostname.clone(),
        grant: Some(grant_to_proto(&task.grant)),
        disk_reserved_bytes: disk_reserved(task).0,
        ports_reserved: ports_to_proto(&ports_reserved(task)),
        program: with_program.then(|| program_to_proto(&task.program)),
        resources: task.resources.iter().filter(|_| with_program).map(resource_to_proto).collect(),
        executor: Some(executor_to_proto(&task.executor)),
        progress: Some(progress_to_proto(&task.progress)),
        since_micros: task.since.0,
        uuid: uuid_to_proto(task.uuid),
        reason: task.reason.clone(),
        message: task.message.clone(),
        healthy: task.healthy,
        report: Some(report_to_proto(&task.report)),
        kill: task.kill.clone(),
        given_up: task.given_up,
    }
}

/// Reads all of it; what it doesn't say that it runs from is what is wanted in `state`.
pub(super) fn from_proto(task: proto::Task, state: &State) -> Result<Task, Flaw> {
    let id = task_id("id", &task.id)?;
    let unit = &id.unit;
    let wanted = || state.deployments.get(&unit.deployment).map(|known| known.program(&unit.role, unit.ordinal));
    let program = task.program.map(program).transpose()?.or_else(wanted);
    let said: Vec<_> = task.resources.into_iter().map(resource).collect::<Result<_, _>>()?;
    let grant = grant("grant", task.grant)?;
    let ports = ports("ports_reserved", &task.ports_reserved)?;
    Ok(Task {
        resources: if said.is_empty() { resources(&grant, Bytes(task.disk_reserved_bytes), &ports) } else { said },
        program: some("program", program)?,
        id,
        agent: name("agent", &task.agent)?,
        hostname: task.hostname,
        grant,
        executor: executor(some("executor", task.executor)?)?,
        progress: progress(some("progress", task.progress)?)?,
        since: Timestamp(task.since_micros),
        uuid: uuid("uuid", task.uuid.as_deref())?,
        reason: task.reason,
        message: task.message,
        healthy: task.healthy,
        report: report("report", some("report", task.report)?)?,
        kill: task.kill,
        given_up: task.given_up,
    })
}

/// Says how much of its disk is from our reservation.
fn disk_reserved(task: &Task) -> Bytes {
    let reserved = task.resources.iter().filter(|resource| resource.reservation == Reservation::Static);
    reserved.fold(Bytes(0), |sum, resource| match &resource.amount {
        Amount::Disk(disk) => Bytes(sum.0.saturating_add(disk.0)),
        Amount::Cpus(_) | Amount::Mem(_) | Amount::Ports(_) => sum,
    })
}

/// Lists which of its ports are from our reservation.
fn ports_reserved(task: &Task) -> Vec<u16> {
    let reserved = |port: &u16| {
        task.resources.iter().any(|resource| {
            resource.reservation == Reservation::Static
                && matches!(&resource.amount, Amount::Ports(ports) if ports.contains(*port))
        })
    };
    task.grant.ports.values().copied().filter(reserved).collect()
}

fn progress_to_proto(progress: &Progress) -> kind::Progress {
    match progress {
        Progress::Launching { offers, stream } => {
            let mut offers = offers.iter().map(ToString::to_string);
            kind::Progress::Launching(proto::Launching {
                offer: offers.next().unwrap_or_default(),
                stream: stream.0.clone(),
                more_offers: offers.collect(),
            })
        }
        Progress::Alive(state) => kind::Progress::Alive(task_state_to_proto(*state).into()),
        Progress::Unreachable(since) => kind::Progress::UnreachableSinceMicros(since.0),
    }
}

fn progress(progress: kind::Progress) -> Result<Progress, Flaw> {
    Ok(match progress {
        kind::Progress::Launching(launching) => {
            let offers = std::iter::once(&launching.offer).chain(&launching.more_offers);
            Progress::Launching {
                offers: offers.map(|offer| name("launching.offer", offer)).collect::<Result<_, _>>()?,
                stream: StreamId(launching.stream),
            }
        }
        kind::Progress::Alive(number) => Progress::Alive(task_state("alive", number)?),
        kind::Progress::UnreachableSinceMicros(since) => Progress::Unreachable(Timestamp(since)),
    })
}
