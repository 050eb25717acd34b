//! Between the agent's messages and the machine's words.

use std::time::Duration;

use epic_common::ids::{TaskId, UpdateId};
use epic_common::time::Timestamp;
use epic_common_io::conversation::{decode_nudge, decode_order, encode_report};
use epic_executor_core::traffic::{Input, Launch};
use epic_executor_core::updates::{State, Update};
use epic_proto::mesos::v1 as mesos;
use epic_proto::mesos::v1::executor::{Call, Event, call, event};
use prost::Message as _;
use thiserror::Error;

use crate::reason::chain;
use crate::settings::Settings;

/// An event that can't be used; the stream goes on.
#[derive(Debug, Error)]
pub enum Error {
    /// The bytes are no event.
    #[error("cannot decode an event of the agent")]
    Undecodable(#[source] prost::DecodeError),
    /// The event lacks what its type promises.
    #[error("the agent's event of type {0:?} is not complete")]
    Incomplete(event::Type),
    /// The event is about a task that isn't one of ours.
    #[error("the agent's event is about the foreign task {0}")]
    ForeignTask(String),
    /// The message is not what our scheduler sends.
    #[error("cannot understand a message of the scheduler")]
    Message(#[source] epic_common_io::conversation::Error),
}

/// Reads an event; `None` if there is nothing to do about it.
///
/// # Errors
///
/// Why it can't be used.
pub fn event(record: &[u8]) -> Result<Option<Input>, Error> {
    let event = Event::decode(record).map_err(Error::Undecodable)?;
    let kind = event.r#type();
    let incomplete = || Error::Incomplete(kind);
    Ok(match kind {
        event::Type::Subscribed => Some(Input::Subscribed),
        event::Type::Launch => {
            let task = event.launch.ok_or_else(incomplete)?.task;
            let id = self::task(&task.task_id)?;
            let description = task.encode_to_vec();
            Some(match decode_order(task.data()) {
                Ok(order) if order.task == id => Input::Launch(Launch { order, description }),
                Ok(order) => {
                    let reason = format!("the task {id} carries the order of the task {}", order.task);
                    Input::Unreadable { task: id, description, reason }
                }
                Err(error) => {
                    let reason = format!("executor {} can't read the task's order: {}", env!("CARGO_PKG_VERSION"), chain(&error));
                    Input::Unreadable { task: id, description, reason }
                }
            })
        }
        event::Type::Kill => {
            let kill = event.kill.ok_or_else(incomplete)?;
            let grace = kill.kill_policy.and_then(|policy| policy.grace_period);
            let grace = grace.map(|grace| Duration::from_nanos(u64::try_from(grace.nanoseconds).unwrap_or(0)));
            Some(Input::Kill { task: task(&kill.task_id)?, grace })
        }
        event::Type::Acknowledged => {
            let acknowledged = event.acknowledged.ok_or_else(incomplete)?;
            let update = UpdateId(acknowledged.uuid.try_into().map_err(|_| incomplete())?);
            Some(Input::Acknowledged { task: task(&acknowledged.task_id)?, update })
        }
        event::Type::Message => {
            let data = event.message.ok_or_else(incomplete)?.data;
            decode_nudge(&data).map_err(Error::Message)?.map(Input::Nudged)
        }
        event::Type::Shutdown => Some(Input::Shutdown),
        event::Type::Error => {
            let message = event.error.map(|error| error.message).unwrap_or_default();
            tracing::error!(message, "the agent reports an error");
            None
        }
        event::Type::Unknown | event::Type::LaunchGroup | event::Type::Heartbeat => None,
    })
}

fn task(id: &mesos::TaskId) -> Result<TaskId, Error> {
    id.value.parse().map_err(|_| Error::ForeignTask(id.value.clone()))
}

/// Makes the call that subscribes; descriptions that can't be read, which the agent itself wrote, are left out.
#[must_use]
pub fn subscribe(settings: &Settings, tasks: &[Vec<u8>], updates: &[Update]) -> Call {
    let subscribe = call::Subscribe {
        unacknowledged_tasks: tasks.iter().filter_map(|task| mesos::TaskInfo::decode(&task[..]).ok()).collect(),
        unacknowledged_updates: updates.iter().map(|update| call::Update { status: status(settings, update) }).collect(),
    };
    Call { subscribe: Some(subscribe), ..empty(settings, call::Type::Subscribe) }
}

/// Makes the call that sends an update.
#[must_use]
pub fn update(settings: &Settings, update: &Update) -> Call {
    Call { update: Some(call::Update { status: status(settings, update) }), ..empty(settings, call::Type::Update) }
}

fn empty(settings: &Settings, kind: call::Type) -> Call {
    Call {
        executor_id: mesos::ExecutorId { value: settings.executor.clone() },
        framework_id: mesos::FrameworkId { value: settings.framework.clone() },
        r#type: Some(kind.into()),
        ..Call::default()
    }
}

fn status(settings: &Settings, update: &Update) -> mesos::TaskStatus {
    let state = match update.content.state {
        State::Starting => mesos::TaskState::TaskStarting,
        State::Running => mesos::TaskState::TaskRunning,
        State::Killing => mesos::TaskState::TaskKilling,
        State::Killed => mesos::TaskState::TaskKilled,
        State::Failed => mesos::TaskState::TaskFailed,
    };
    mesos::TaskStatus {
        task_id: mesos::TaskId { value: update.task.to_string() },
        state: state.into(),
        message: Some(update.content.message.clone()),
        source: Some(mesos::task_status::Source::Executor.into()),
        agent_id: Some(mesos::AgentId { value: settings.agent.clone() }),
        executor_id: Some(mesos::ExecutorId { value: settings.executor.clone() }),
        timestamp: Some(seconds(update.at)),
        uuid: Some(update.id.0.to_vec()),
        healthy: update.content.healthy,
        data: Some(encode_report(&update.content.report)),
        ..mesos::TaskStatus::default()
    }
}

fn seconds(at: Timestamp) -> f64 {
    at.since(Timestamp(0)).as_secs_f64()
}
