//! The bytes of an attempt in a snapshot.

use epic_common::resources::Bytes;
use epic_common::time::Timestamp;
use epic_common_io::conversation::{grant_to_proto, report_to_proto};
use epic_proto::epic::v1 as proto;
use epic_proto::epic::v1::task as kind;
use epic_scheduler_core::mesos::StreamId;
use epic_scheduler_core::state::unit::{Progress, Task};

use super::Flaw;
use super::parts::{
    executor, executor_to_proto, grant, name, ports, ports_to_proto, report, some, task_id, task_state,
    task_state_to_proto, uuid, uuid_to_proto,
};

pub(super) fn to_proto(task: &Task) -> proto::Task {
    proto::Task {
        id: task.id.to_string(),
        agent: task.agent.to_string(),
        hostname: task.hostname.clone(),
        grant: Some(grant_to_proto(&task.grant)),
        disk_reserved_bytes: task.disk_reserved.0,
        ports_reserved: ports_to_proto(&task.ports_reserved),
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

pub(super) fn from_proto(task: proto::Task) -> Result<Task, Flaw> {
    Ok(Task {
        id: task_id("id", &task.id)?,
        agent: name("agent", &task.agent)?,
        hostname: task.hostname,
        grant: grant("grant", task.grant)?,
        disk_reserved: Bytes(task.disk_reserved_bytes),
        ports_reserved: ports("ports_reserved", &task.ports_reserved)?,
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

fn progress_to_proto(progress: &Progress) -> kind::Progress {
    match progress {
        Progress::Launching { offer, stream } => {
            kind::Progress::Launching(proto::Launching { offer: offer.to_string(), stream: stream.0.clone() })
        }
        Progress::Alive(state) => kind::Progress::Alive(task_state_to_proto(*state).into()),
        Progress::Unreachable(since) => kind::Progress::UnreachableSinceMicros(since.0),
    }
}

fn progress(progress: kind::Progress) -> Result<Progress, Flaw> {
    Ok(match progress {
        kind::Progress::Launching(launching) => Progress::Launching {
            offer: name("launching.offer", &launching.offer)?,
            stream: StreamId(launching.stream),
        },
        kind::Progress::Alive(number) => Progress::Alive(task_state("alive", number)?),
        kind::Progress::UnreachableSinceMicros(since) => Progress::Unreachable(Timestamp(since)),
    })
}
