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
                    let reason = format!(
                        "executor {} can't read the task's order: {}",
                        env!("CARGO_PKG_VERSION"),
                        chain(&error)
                    );
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
        unacknowledged_updates: updates
            .iter()
            .map(|update| call::Update { status: status(settings, update) })
            .collect(),
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
        message: Some(update.content.message.as_str().to_owned()),
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

#[cfg(test)]
mod tests {
    use super::*;
    use epic_common::conversation::{LaunchOrder, Report};
    use epic_common::ids::Digest;
    use epic_common::resources::Grant;
    use epic_common_io::conversation::{decode_report, encode_order};
    use epic_executor_core::updates::{Content, Message};

    fn order() -> LaunchOrder {
        LaunchOrder {
            task: "worker-0.1".parse().unwrap(),
            role: "worker".into(),
            bundle: Digest([1; 32]),
            bundle_bytes: 1,
            artifacts: Vec::new(),
            grant: Grant::default(),
            hostname: "h".into(),
            platform: "p".into(),
            root_allowed: false,
            documents: Vec::new(),
        }
    }

    fn launch(id: &str, data: Vec<u8>) -> Vec<u8> {
        let task = mesos::TaskInfo {
            task_id: mesos::TaskId { value: id.into() },
            data: Some(data),
            ..mesos::TaskInfo::default()
        };
        let launch = Some(event::Launch { task });
        Event { r#type: Some(event::Type::Launch.into()), launch, ..Event::default() }.encode_to_vec()
    }

    fn settings() -> Settings {
        let variables = [
            ("MESOS_SLAVE_PID", "slave(1)@h:1"),
            ("MESOS_FRAMEWORK_ID", "f"),
            ("MESOS_EXECUTOR_ID", "e"),
            ("MESOS_SLAVE_ID", "a"),
            ("MESOS_SANDBOX", "/s"),
        ];
        Settings::read(|name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
            .unwrap()
    }

    #[test]
    fn a_launch_carries_the_order_and_the_agents_own_description() {
        let Ok(Some(Input::Launch(launch))) = event(&launch("worker-0.1", encode_order(&order()))) else {
            panic!("no launch")
        };
        assert_eq!(launch.order, order());
        let call = subscribe(&settings(), &[launch.description], &[]);
        let tasks = call.subscribe.unwrap().unacknowledged_tasks;
        assert_eq!(
            (tasks.len(), &tasks[0].task_id.value[..], tasks[0].data()),
            (1, "worker-0.1", &encode_order(&order())[..])
        );
    }

    #[test]
    fn a_launch_that_is_not_understood_is_told_to_the_machine() {
        for (data, expected) in [
            (vec![0xff], "can't read the task's order: cannot decode a launch order"),
            (encode_order(&order()), "carries the order of the task worker-0.1"),
        ] {
            let Ok(Some(Input::Unreadable { task, reason, .. })) = event(&launch("worker-0.2", data)) else {
                panic!("understood")
            };
            assert!(task.to_string() == "worker-0.2" && reason.contains(expected), "{reason}");
        }
    }

    #[test]
    fn what_is_no_event_of_ours_is_an_error_and_no_panic() {
        assert!(matches!(event(&[0xff; 3]), Err(Error::Undecodable(_))));
        assert!(matches!(event(&launch("foreign", Vec::new())), Err(Error::ForeignTask(id)) if id == "foreign"));
        for kind in [event::Type::Launch, event::Type::Kill, event::Type::Acknowledged, event::Type::Message] {
            let bare = Event { r#type: Some(kind.into()), ..Event::default() };
            assert!(matches!(event(&bare.encode_to_vec()), Err(Error::Incomplete(found)) if found == kind));
        }
        let task_id = mesos::TaskId { value: "worker-0.1".into() };
        let short = event::Acknowledged { task_id, uuid: vec![1; 15] };
        let short =
            Event { r#type: Some(event::Type::Acknowledged.into()), acknowledged: Some(short), ..Event::default() };
        assert!(matches!(event(&short.encode_to_vec()), Err(Error::Incomplete(_))));
        for kind in [Some(event::Type::Heartbeat.into()), Some(999), None] {
            assert!(matches!(event(&Event { r#type: kind, ..Event::default() }.encode_to_vec()), Ok(None)));
        }
    }

    #[test]
    fn a_kill_may_bring_its_own_grace() {
        let kill = |nanoseconds: Option<i64>| {
            let grace = nanoseconds.map(|nanoseconds| mesos::DurationInfo { nanoseconds });
            let kill_policy = Some(mesos::KillPolicy { grace_period: grace });
            let kill = Some(event::Kill { task_id: mesos::TaskId { value: "worker-0.1".into() }, kill_policy });
            let bytes = Event { r#type: Some(event::Type::Kill.into()), kill, ..Event::default() }.encode_to_vec();
            let Ok(Some(Input::Kill { grace, .. })) = event(&bytes) else { panic!("no kill") };
            grace
        };
        assert_eq!(kill(None), None);
        assert_eq!(kill(Some(1_500_000_000)), Some(Duration::from_millis(1500)));
        assert_eq!(kill(Some(-1)), Some(Duration::ZERO));
    }

    #[test]
    fn an_update_says_whose_it_is_and_carries_the_report() {
        let report = Report { percent: Some(42), ..Report::default() };
        let content = Content {
            state: State::Running,
            message: Message::new("ready".into()),
            healthy: Some(true),
            report: report.clone(),
        };
        let made = Update { id: UpdateId([7; 16]), task: order().task, at: Timestamp(1_500_000), content };
        let call = update(&settings(), &made);
        assert_eq!(
            (call.r#type(), &call.executor_id.value[..], &call.framework_id.value[..]),
            (call::Type::Update, "e", "f")
        );
        let status = call.update.unwrap().status;
        assert_eq!(
            (status.state(), status.source(), status.healthy()),
            (mesos::TaskState::TaskRunning, mesos::task_status::Source::Executor, true)
        );
        assert_eq!(
            (status.uuid(), status.timestamp(), decode_report(status.data()).unwrap()),
            (&[7; 16][..], 1.5, report)
        );
        assert_eq!((&status.agent_id.unwrap().value[..], &status.executor_id.unwrap().value[..]), ("a", "e"));
    }
}
