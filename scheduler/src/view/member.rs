//! One member as people read it.

use epic_common::api::{EndpointView, InstanceView, ServiceView};
use epic_common::conversation::Phase;
use epic_common::ids::UnitId;
use epic_common::time::Timestamp;
use epic_scheduler_core::mesos::TaskState;
use epic_scheduler_core::state::Unit;
use epic_scheduler_core::state::deployment::RoleNeeds;
use epic_scheduler_core::state::unit::{Progress, Task};

use super::{Published, waiting};

pub(super) fn view(published: &Published, id: &UnitId, instance: &Unit, now: Timestamp) -> InstanceView {
    let state = &published.state;
    let shown = InstanceView {
        id: id.to_string(),
        role: id.role.to_string(),
        attempt: instance.attempt.0,
        waiting: waiting::member(published, id, instance, now),
        ..InstanceView::default()
    };
    let Some(task) = instance.live.as_ref().and_then(|task| state.units.tasks.get(task)) else {
        return InstanceView {
            phase: if instance.wanted { "waiting" } else { "stopped" }.to_owned(),
            since: instance.since.to_string(),
            reason: instance.last_end.clone(),
            ..shown
        };
    };
    let needs = state.platform().and_then(|desired| desired.role(&id.role));
    InstanceView {
        phase: phase(task).to_owned(),
        percent: task.report.percent.filter(|_| is_with_executor(task)),
        attempt: task.id.attempt.0,
        task: task.id.to_string(),
        agent: task.agent.to_string(),
        host: task.hostname.clone(),
        since: match task.progress {
            Progress::Unreachable(since) => since,
            Progress::Launching { .. } | Progress::Alive(_) => task.since,
        }
        .to_string(),
        reason: reason(task),
        endpoints: needs.map(|needs| endpoints(needs, task)).unwrap_or_default(),
        services: services(task),
        ..shown
    }
}

/// Tells whether all its services answer, as far as is known.
pub(super) fn is_ready(task: &Task) -> bool {
    task.is_ready() && task.report.phase <= Phase::Ready
}

/// Tells whether something is wrong with a member that had a place.
pub(super) fn is_failing(task: &Task) -> bool {
    match task.progress {
        Progress::Launching { .. } => false,
        Progress::Unreachable(_) => true,
        Progress::Alive(_) => task.kill.is_some() || task.healthy == Some(false) || task.report.phase > Phase::Ready,
    }
}

fn phase(task: &Task) -> &'static str {
    match task.progress {
        Progress::Unreachable(_) => "unreachable",
        Progress::Launching { .. } | Progress::Alive(_) if task.kill.is_some() => "stopping",
        Progress::Launching { .. } | Progress::Alive(TaskState::Staging) => "launching",
        Progress::Alive(TaskState::Running) if is_ready(task) => "ready",
        Progress::Alive(TaskState::Running) if task.report.phase <= Phase::Ready => "degraded",
        Progress::Alive(TaskState::Killing) => "stopping",
        Progress::Alive(
            TaskState::Starting
            | TaskState::Running
            | TaskState::Finished
            | TaskState::Failed
            | TaskState::Killed
            | TaskState::Error
            | TaskState::Lost
            | TaskState::Dropped
            | TaskState::Unreachable
            | TaskState::Gone
            | TaskState::GoneByOperator
            | TaskState::Unknown,
        ) => task.report.phase.word(),
    }
}

fn is_with_executor(task: &Task) -> bool {
    task.kill.is_none() && task.is_with_executor() && !is_ready(task)
}

fn reason(task: &Task) -> String {
    let kill = task.kill.as_ref();
    let said = [kill, Some(&task.message), Some(&task.reason)];
    said.into_iter().flatten().find(|text| !text.is_empty()).cloned().unwrap_or_default()
}

/// Where its services are reached; empty as long as nothing can answer there.
fn endpoints(needs: &RoleNeeds, task: &Task) -> Vec<EndpointView> {
    if !task.is_with_executor() {
        return Vec::new();
    }
    let host = if task.hostname.contains(':') { format!("[{}]", task.hostname) } else { task.hostname.clone() };
    let url = |endpoint: &epic_scheduler_core::state::deployment::Endpoint| {
        let port = task.grant.ports.get(&endpoint.port)?;
        Some(EndpointView {
            service: endpoint.service.to_string(),
            url: format!("{}://{host}:{port}{}", endpoint.scheme, endpoint.path),
            is_dashboard: endpoint.is_dashboard,
        })
    };
    needs.endpoints.iter().filter_map(url).collect()
}

fn services(task: &Task) -> Vec<ServiceView> {
    let services = task.report.services.iter();
    let view = |service: &epic_common::conversation::ServiceReport| ServiceView {
        id: service.id.to_string(),
        ready: service.ready,
        restarts: service.restarts,
        reason: service.reason.clone(),
    };
    services.map(view).collect()
}
