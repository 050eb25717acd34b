//! Turns what Mesos says of tasks into entries.

use epic_common::ids::{AgentId, TaskId};

use super::Draft;
use crate::mesos::{Call, Meaning, Status, TaskState};
use crate::policy::{Policy, STRANGERS_MAX};
use crate::session::{Ack, Session};
use crate::state::entry::{Ended, Fact, StatusRecorded};
use crate::state::unit::{Progress, Task};

pub(super) fn step(draft: &mut Draft<'_>, session: &Session, policy: &Policy) {
    // An attempt may be up and end again within one batch.
    let before = draft.state.units.clone();
    for status in &session.updates {
        if !draft.has_room() {
            break;
        }
        draft.plan.updates_taken += 1;
        let task = status.task.parse().ok().and_then(|id: TaskId| draft.state.units.tasks.get(&id).cloned());
        match task {
            Some(task) => {
                let former = before.failures(&task.id.unit).max(session.former_failures(&task.id.unit));
                known(draft, policy, (&task, former), status);
            }
            None => unknown(draft, status),
        }
    }
}

fn known(draft: &mut Draft<'_>, policy: &Policy, (task, former): (&Task, u32), status: &Status) {
    let agent = status.agent.as_ref().unwrap_or(&task.agent);
    if status.uuid.is_some() && status.uuid == task.uuid {
        repeat(draft, status, agent);
        return;
    }
    if status.uuid.is_none() && !is_news(task, status.state) {
        return;
    }
    let ended = (status.state.meaning() == Meaning::Ended).then(|| ended(draft, policy, (task, former), status));
    let is_durable = draft.decide(Fact::StatusRecorded(Box::new(StatusRecorded {
        task: task.id.clone(),
        state: status.state,
        reason: status.reason.clone(),
        message: status.message.clone(),
        uuid: status.uuid,
        healthy: status.healthy,
        report: status.report.clone(),
        ended,
    })));
    if is_durable {
        draft.plan.batch.acks.extend(ack(status, agent));
    }
}

/// Acknowledges what needs no entry: at once if that is known from what is durable, else with the batch being made.
fn repeat(draft: &mut Draft<'_>, status: &Status, agent: &AgentId) {
    let plan = &mut *draft.plan;
    let acks = if plan.entries.is_empty() { &mut plan.acks } else { &mut plan.batch.acks };
    let known = acks.iter().any(|ack| ack.task == status.task && Some(ack.uuid) == status.uuid);
    if !known {
        acks.extend(ack(status, agent));
    }
}

/// Tells whether a word of Mesos itself, which carries no uuid, says more than what is known.
fn is_news(task: &Task, state: TaskState) -> bool {
    match &task.progress {
        Progress::Launching { .. } => true,
        Progress::Alive(known) => *known != state,
        Progress::Unreachable(_) => state != TaskState::Unreachable,
    }
}

/// Counts failures in a row: `former` are those that were forgotten when the attempt came up, which was too early unless it
/// stayed up for a while.
fn ended(draft: &Draft<'_>, policy: &Policy, (task, former): (&Task, u32), status: &Status) -> Ended {
    let has_lasted = task.is_ready() && task.since + policy.forgiven_after <= draft.now;
    let known = draft.state.units.failures(&task.id.unit);
    let failures = if has_lasted { 0 } else { known.max(former) };
    if never_began(task, status) {
        return Ended { failures, not_before: draft.now + policy.relaunch.first };
    }
    let blameless = task.kill.is_some()
        || status.reason.contains("DRAIN")
        || match status.state {
            TaskState::Killed | TaskState::GoneByOperator => true,
            TaskState::Unknown | TaskState::Lost | TaskState::Gone => true,
            TaskState::Finished
            | TaskState::Failed
            | TaskState::Error
            | TaskState::Dropped
            | TaskState::Staging
            | TaskState::Starting
            | TaskState::Running
            | TaskState::Killing
            | TaskState::Unreachable => false,
        };
    if blameless {
        return Ended { failures, not_before: draft.now };
    }
    let failures = failures.saturating_add(1);
    let salt =
        task.id.to_string().bytes().fold(0_u64, |salt, byte| salt.wrapping_mul(31).wrapping_add(u64::from(byte)));
    Ended { failures, not_before: draft.now + policy.relaunch.jittered(failures, salt) }
}

/// Tells whether Mesos never had the attempt: its offer was taken back, or its launch was not sent or not taken.
fn never_began(task: &Task, status: &Status) -> bool {
    let is_unheard_of = match status.state {
        TaskState::Unknown | TaskState::Lost | TaskState::Gone => true,
        TaskState::Dropped => status.reason.contains("INVALID_OFFERS"),
        TaskState::Finished
        | TaskState::Failed
        | TaskState::Error
        | TaskState::Killed
        | TaskState::GoneByOperator
        | TaskState::Staging
        | TaskState::Starting
        | TaskState::Running
        | TaskState::Killing
        | TaskState::Unreachable => false,
    };
    is_unheard_of && task.kill.is_none() && matches!(task.progress, Progress::Launching { .. })
}

/// A task that isn't in the state: an attempt whose end is durable, or one that we know nothing of.
fn unknown(draft: &mut Draft<'_>, status: &Status) {
    // Without an agent there is nowhere to send a kill.
    let Some(agent) = status.agent.clone().filter(|agent| !agent.as_str().is_empty()) else { return };
    let over = status.state.meaning() == Meaning::Ended;
    let stranger = draft.state.strangers.contains_key(&status.task);
    let durable =
        status.task.parse().ok().is_some_and(|id: TaskId| {
            draft.state.units.all.get(&id.unit).is_some_and(|unit| id.attempt <= unit.attempt)
        });
    if over && durable && !stranger {
        repeat(draft, status, &agent);
        return;
    }
    if over && !stranger && status.uuid.is_none() {
        return;
    }
    if draft.state.strangers.get(&status.task).is_some_and(|known| known.agent == agent && known.state == status.state)
    {
        repeat(draft, status, &agent);
        return;
    }
    if !over && !stranger && draft.state.strangers.len() >= STRANGERS_MAX {
        // There is no room to remember it. It isn't acknowledged, so its agent tells of it again until it is gone.
        draft.plan.calls.push(Call::Kill { task: status.task.clone(), agent });
        return;
    }
    let seen = Fact::StrangerSeen { task: status.task.clone(), agent: agent.clone(), state: status.state };
    if draft.decide(seen) {
        draft.plan.batch.acks.extend(ack(status, &agent));
    }
}

fn ack(status: &Status, agent: &AgentId) -> Option<Ack> {
    status.uuid.map(|uuid| Ack { task: status.task.clone(), agent: agent.clone(), uuid })
}
