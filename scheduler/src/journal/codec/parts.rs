//! The bytes of what entries and snapshots have in common.

use epic_common::conversation::Report;
use epic_common::ids::{Digest, Malformed, TaskId, UnitId, UpdateId};
use epic_common::resources::{Bytes, Grant, MilliCpus};
use epic_common_io::conversation::{grant_from_proto, report_from_proto};
use epic_proto::epic::v1 as proto;
use epic_scheduler_core::mesos::{Executor, TaskState};

use super::Flaw;

/// Reads a name, which can't be empty, into one of the types of `epic_common::ids`.
pub(super) fn name<T: for<'a> From<&'a str>>(field: &'static str, text: &str) -> Result<T, Flaw> {
    if text.is_empty() { Err(Flaw::Missing { field }) } else { Ok(text.into()) }
}

pub(super) fn some<T>(field: &'static str, value: Option<T>) -> Result<T, Flaw> {
    value.ok_or(Flaw::Missing { field })
}

pub(super) fn task_id(field: &'static str, text: &str) -> Result<TaskId, Flaw> {
    if text.is_empty() {
        return Err(Flaw::Missing { field });
    }
    text.parse().map_err(|source: Malformed| Flaw::Task { field, source })
}

pub(super) fn unit_id(field: &'static str, text: &str) -> Result<UnitId, Flaw> {
    if text.is_empty() {
        return Err(Flaw::Missing { field });
    }
    text.parse().map_err(|source: Malformed| Flaw::Unit { field, source })
}

pub(super) fn digest(field: &'static str, bytes: &[u8]) -> Result<Digest, Flaw> {
    array(field, bytes).map(Digest)
}

pub(super) fn uuid_to_proto(uuid: Option<UpdateId>) -> Option<Vec<u8>> {
    uuid.map(|uuid| uuid.0.to_vec())
}

pub(super) fn uuid(field: &'static str, bytes: Option<&[u8]>) -> Result<Option<UpdateId>, Flaw> {
    bytes.map(|bytes| array(field, bytes).map(UpdateId)).transpose()
}

fn array<const N: usize>(field: &'static str, bytes: &[u8]) -> Result<[u8; N], Flaw> {
    match bytes.try_into() {
        Ok(array) => Ok(array),
        Err(_) if bytes.is_empty() => Err(Flaw::Missing { field }),
        Err(_) => Err(Flaw::Length { field, found: bytes.len(), expected: N }),
    }
}

pub(super) fn port(field: &'static str, number: u32) -> Result<u16, Flaw> {
    match u16::try_from(number) {
        Ok(port) if port != 0 => Ok(port),
        Ok(_) | Err(_) => Err(Flaw::OutOfRange { field, found: number.to_string() }),
    }
}

pub(super) fn ports_to_proto(ports: &[u16]) -> Vec<u32> {
    ports.iter().copied().map(u32::from).collect()
}

pub(super) fn ports(field: &'static str, numbers: &[u32]) -> Result<Vec<u16>, Flaw> {
    numbers.iter().map(|number| port(field, *number)).collect()
}

pub(super) fn grant(field: &'static str, grant: Option<proto::Grant>) -> Result<Grant, Flaw> {
    grant_from_proto(some(field, grant)?).map_err(|source| Flaw::Shared { field, source })
}

pub(super) fn report(field: &'static str, report: proto::Report) -> Result<Report, Flaw> {
    report_from_proto(report).map_err(|source| Flaw::Shared { field, source })
}

pub(super) fn executor_to_proto(executor: &Executor) -> proto::Executor {
    proto::Executor {
        id: executor.id.to_string(),
        url: executor.url.clone(),
        sha256: executor.sha256.0.to_vec(),
        milli_cpus: executor.cpus.0,
        mem_bytes: executor.mem.0,
    }
}

pub(super) fn executor(executor: proto::Executor) -> Result<Executor, Flaw> {
    Ok(Executor {
        id: name("executor.id", &executor.id)?,
        url: executor.url,
        sha256: digest("executor.sha256", &executor.sha256)?,
        cpus: MilliCpus(executor.milli_cpus),
        mem: Bytes(executor.mem_bytes),
    })
}

pub(super) const fn task_state_to_proto(state: TaskState) -> proto::TaskState {
    match state {
        TaskState::Staging => proto::TaskState::Staging,
        TaskState::Starting => proto::TaskState::Starting,
        TaskState::Running => proto::TaskState::Running,
        TaskState::Killing => proto::TaskState::Killing,
        TaskState::Finished => proto::TaskState::Finished,
        TaskState::Failed => proto::TaskState::Failed,
        TaskState::Killed => proto::TaskState::Killed,
        TaskState::Error => proto::TaskState::Error,
        TaskState::Lost => proto::TaskState::Lost,
        TaskState::Dropped => proto::TaskState::Dropped,
        TaskState::Unreachable => proto::TaskState::Unreachable,
        TaskState::Gone => proto::TaskState::Gone,
        TaskState::GoneByOperator => proto::TaskState::GoneByOperator,
        TaskState::Unknown => proto::TaskState::Unknown,
    }
}

pub(super) fn task_state(field: &'static str, number: i32) -> Result<TaskState, Flaw> {
    let out_of_range = || Flaw::OutOfRange { field, found: number.to_string() };
    Ok(match proto::TaskState::try_from(number).map_err(|_| out_of_range())? {
        proto::TaskState::Unspecified => return Err(Flaw::Missing { field }),
        proto::TaskState::Staging => TaskState::Staging,
        proto::TaskState::Starting => TaskState::Starting,
        proto::TaskState::Running => TaskState::Running,
        proto::TaskState::Killing => TaskState::Killing,
        proto::TaskState::Finished => TaskState::Finished,
        proto::TaskState::Failed => TaskState::Failed,
        proto::TaskState::Killed => TaskState::Killed,
        proto::TaskState::Error => TaskState::Error,
        proto::TaskState::Lost => TaskState::Lost,
        proto::TaskState::Dropped => TaskState::Dropped,
        proto::TaskState::Unreachable => TaskState::Unreachable,
        proto::TaskState::Gone => TaskState::Gone,
        proto::TaskState::GoneByOperator => TaskState::GoneByOperator,
        proto::TaskState::Unknown => TaskState::Unknown,
    })
}
