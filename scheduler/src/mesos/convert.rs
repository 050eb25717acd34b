//! Between Mesos' words and the core's.

use std::time::Duration;

use epic_common::ids::{AgentId, ExecutorId, FrameworkId, OfferId, UpdateId};
use epic_common::resources::{Bytes, MIB, MilliCpus, PortRange, Ports};
use epic_common_io::conversation;
use epic_proto::mesos::v1::{self, resource, scheduler, value};
use epic_scheduler_core::mesos as core;
use tracing::debug;

use super::event::Event;

/// What every call and every resource of ours carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The role whose reservations are used.
    pub role: String,
    /// The framework's name for operators.
    pub name: String,
    /// Who we authenticate as, if at all.
    pub principal: Option<String>,
    /// Where people find us.
    pub webui_url: String,
}

/// How long Mesos keeps our tasks while no scheduler is subscribed.
const FAILOVER: Duration = Duration::from_secs(21 * 24 * 60 * 60);

impl Identity {
    /// Makes the call that asks for a subscription.
    #[must_use]
    pub fn subscribe(&self, subscribe: &core::Subscribe) -> scheduler::Call {
        use v1::framework_info::capability::Type;
        let capabilities = [Type::PartitionAware, Type::TaskKillingState, Type::MultiRole, Type::ReservationRefinement]
            .map(|kind| v1::framework_info::Capability { r#type: Some(kind.into()) });
        let info = v1::FrameworkInfo {
            user: "root".to_owned(),
            name: self.name.clone(),
            id: Some(framework_id(&subscribe.framework)),
            failover_timeout: Some(FAILOVER.as_secs_f64()),
            checkpoint: Some(true),
            roles: vec![self.role.clone()],
            principal: self.principal.clone(),
            webui_url: Some(self.webui_url.clone()),
            capabilities: capabilities.to_vec(),
            ..Default::default()
        };
        scheduler::Call {
            framework_id: Some(framework_id(&subscribe.framework)),
            r#type: Some(scheduler::call::Type::Subscribe.into()),
            subscribe: Some(scheduler::call::Subscribe {
                framework_info: info,
                suppressed_roles: if subscribe.suppressed { vec![self.role.clone()] } else { Vec::new() },
            }),
            ..Default::default()
        }
    }

    /// Makes any other call.
    #[must_use]
    pub fn call(&self, framework: &FrameworkId, call: &core::Call) -> scheduler::Call {
        use scheduler::call::{self, Type};
        let mut out = scheduler::Call { framework_id: Some(framework_id(framework)), ..Default::default() };
        let kind = match call {
            core::Call::Accept { offers, launches, refuse, .. } => {
                out.accept = Some(self.accept(framework, offers, launches, *refuse));
                Type::Accept
            }
            core::Call::Decline { offers, refuse } => {
                let offer_ids = offers.iter().map(offer_id).collect();
                out.decline = Some(call::Decline { offer_ids, filters: Some(filters(*refuse)) });
                Type::Decline
            }
            core::Call::Revive => {
                out.revive = Some(call::Revive { roles: vec![self.role.clone()] });
                Type::Revive
            }
            core::Call::Suppress => {
                out.suppress = Some(call::Suppress { roles: vec![self.role.clone()] });
                Type::Suppress
            }
            core::Call::Kill { task, agent } => {
                out.kill =
                    Some(call::Kill { task_id: task_id(task), agent_id: Some(agent_id(agent)), kill_policy: None });
                Type::Kill
            }
            core::Call::Acknowledge { task, agent, uuid } => {
                out.acknowledge = Some(call::Acknowledge {
                    agent_id: agent_id(agent),
                    task_id: task_id(task),
                    uuid: uuid.0.to_vec(),
                });
                Type::Acknowledge
            }
            core::Call::Reconcile { tasks } => {
                let tasks = tasks.iter().map(|(task, agent)| call::reconcile::Task {
                    task_id: task_id(&task.to_string()),
                    agent_id: Some(agent_id(agent)),
                });
                out.reconcile = Some(call::Reconcile { tasks: tasks.collect() });
                Type::Reconcile
            }
            core::Call::ReconcileAll => {
                // Without names Mesos answers for every task that it has.
                out.reconcile = Some(call::Reconcile { tasks: Vec::new() });
                Type::Reconcile
            }
            core::Call::Message { agent, executor, nudge } => {
                out.message = Some(call::Message {
                    agent_id: agent_id(agent),
                    executor_id: executor_id(executor),
                    data: conversation::encode_nudge(nudge),
                });
                Type::Message
            }
            core::Call::Teardown => Type::Teardown,
        };
        out.r#type = Some(kind.into());
        out
    }

    fn accept(
        &self,
        framework: &FrameworkId,
        offers: &[OfferId],
        launches: &[core::Launch],
        refuse: Duration,
    ) -> scheduler::call::Accept {
        let task_infos = launches.iter().map(|launch| self.task(framework, launch)).collect();
        let operation = v1::offer::Operation {
            r#type: Some(v1::offer::operation::Type::Launch.into()),
            launch: Some(v1::offer::operation::Launch { task_infos }),
            ..Default::default()
        };
        let offer_ids = offers.iter().map(offer_id).collect();
        scheduler::call::Accept { offer_ids, operations: vec![operation], filters: Some(filters(refuse)) }
    }

    fn task(&self, framework: &FrameworkId, launch: &core::Launch) -> v1::TaskInfo {
        let order = &launch.order;
        let ports = order.grant.ports.iter().map(|(name, number)| v1::Port {
            number: u32::from(*number),
            name: Some(name.clone()),
            protocol: Some("tcp".to_owned()),
        });
        v1::TaskInfo {
            name: order.task.unit.to_string(),
            task_id: task_id(&order.task.to_string()),
            agent_id: v1::AgentId { value: launch.agent.to_string() },
            resources: launch.resources.iter().map(|resource| self.resource(resource)).collect(),
            executor: Some(self.executor(framework, &launch.executor)),
            data: Some(conversation::encode_order(order)),
            labels: Some(labels(&launch.labels)),
            discovery: Some(v1::DiscoveryInfo {
                visibility: v1::discovery_info::Visibility::Framework.into(),
                name: Some(order.task.unit.to_string()),
                ports: Some(v1::Ports { ports: ports.collect() }),
            }),
            ..Default::default()
        }
    }

    /// Describes an executor; equal descriptions give equal bytes, or Mesos would refuse the second task of an agent.
    #[must_use]
    pub fn executor(&self, framework: &FrameworkId, executor: &core::Executor) -> v1::ExecutorInfo {
        let sha256 = executor.sha256;
        let script = format!(
            "echo '{sha256}  {PROGRAM}' | sha256sum -c --status - || \
             {{ echo '{PROGRAM}: its sha256 is not {sha256}' >&2; exit 1; }}; exec ./{PROGRAM} run"
        );
        let program = v1::command_info::Uri {
            value: executor.url.clone(),
            executable: Some(true),
            extract: Some(false),
            cache: Some(false),
            output_file: Some(PROGRAM.to_owned()),
        };
        let reserved = |amount| core::Resource { reservation: core::Reservation::Static, amount };
        let resources = [reserved(core::Amount::Cpus(executor.cpus)), reserved(core::Amount::Mem(executor.mem))];
        v1::ExecutorInfo {
            r#type: Some(v1::executor_info::Type::Custom.into()),
            executor_id: executor_id(&executor.id),
            framework_id: Some(framework_id(framework)),
            command: Some(v1::CommandInfo {
                uris: vec![program],
                shell: Some(true),
                value: Some(script),
                ..Default::default()
            }),
            resources: resources.iter().map(|resource| self.resource(resource)).collect(),
            name: Some(PROGRAM.to_owned()),
            source: Some(self.name.clone()),
            shutdown_grace_period: Some(v1::DurationInfo { nanoseconds: SHUTDOWN_GRACE_NANOS }),
            ..Default::default()
        }
    }

    fn resource(&self, resource: &core::Resource) -> v1::Resource {
        let mut out = v1::Resource {
            allocation_info: Some(resource::AllocationInfo { role: Some(self.role.clone()) }),
            ..Default::default()
        };
        if resource.reservation == core::Reservation::Static {
            out.reservations = vec![resource::ReservationInfo {
                r#type: Some(resource::reservation_info::Type::Static.into()),
                role: Some(self.role.clone()),
                ..Default::default()
            }];
        }
        let (name, scalar) = match &resource.amount {
            core::Amount::Cpus(cpus) => ("cpus", Some(cores(*cpus))),
            core::Amount::Mem(mem) => ("mem", Some(mebibytes(*mem))),
            core::Amount::Disk(disk) => ("disk", Some(mebibytes(*disk))),
            core::Amount::Ports(ports) => {
                out.ranges = Some(ranges(ports));
                ("ports", None)
            }
        };
        name.clone_into(&mut out.name);
        out.r#type = if scalar.is_some() { value::Type::Scalar } else { value::Type::Ranges }.into();
        out.scalar = scalar.map(|value| value::Scalar { value });
        out
    }

    /// Reads an event; `None` if the core has no use for it.
    #[must_use]
    pub fn event(&self, event: Event) -> Option<core::Event> {
        Some(match event {
            Event::Subscribed(_) => core::Event::Subscribed,
            Event::Offers(offers) => core::Event::Offers(offers.into_iter().map(|offer| self.offer(offer)).collect()),
            Event::Rescind(id) => core::Event::Rescind(OfferId::new(id.value)),
            Event::Update { status, state } => core::Event::Update(Box::new(status_of(&status, state))),
            Event::Failure(failure) => core::Event::Failure { agent: AgentId::new(failure.agent_id?.value) },
            Event::Error(_) | Event::Message(_) | Event::Heartbeat => return None,
        })
    }

    fn offer(&self, offer: v1::Offer) -> core::Offer {
        core::Offer {
            id: OfferId::new(offer.id.value),
            agent: AgentId::new(offer.agent_id.value),
            hostname: offer.hostname,
            resources: offer.resources.iter().filter_map(|resource| self.usable(resource)).collect(),
            unavailable: offer.unavailability.is_some(),
        }
    }

    /// Leaves out every form of resource that can't be described again in full: it must not be echoed in part.
    fn usable(&self, resource: &v1::Resource) -> Option<core::Resource> {
        let ours = resource.allocation_info.as_ref().is_some_and(|info| info.role() == self.role);
        let special = resource.provider_id.is_some()
            || resource.disk.is_some()
            || resource.revocable.is_some()
            || resource.shared.is_some();
        if !ours || special {
            return None;
        }
        let reservation = match resource.reservations.as_slice() {
            [] => core::Reservation::Unreserved,
            [one] if one.role() == self.role && one.r#type() == resource::reservation_info::Type::Static => {
                core::Reservation::Static
            }
            _ => return None,
        };
        let scalar = || resource.scalar.as_ref().map(|scalar| scalar.value);
        let amount = match resource.name.as_str() {
            "cpus" => core::Amount::Cpus(MilliCpus(thousandths(scalar()?))),
            "mem" => core::Amount::Mem(bytes(scalar()?)),
            "disk" => core::Amount::Disk(bytes(scalar()?)),
            "ports" => core::Amount::Ports(ports(resource.ranges.as_ref()?)),
            _ => return None,
        };
        Some(core::Resource { reservation, amount })
    }
}

/// The name of the executor's program in its sandbox.
const PROGRAM: &str = "epic-executor";
/// How long an executor may take to end its services in good order.
const SHUTDOWN_GRACE_NANOS: i64 = 60_000_000_000;

fn status_of(status: &v1::TaskStatus, state: v1::TaskState) -> core::Status {
    let uuid = status.uuid.as_deref().and_then(|uuid| uuid.try_into().ok());
    let report = status.data.as_deref().filter(|data| !data.is_empty()).and_then(|data| {
        conversation::decode_report(data)
            .map_err(|error| debug!(task = status.task_id.value, %error, "report not understood"))
            .ok()
    });
    let reason = status.reason.and_then(|reason| v1::task_status::Reason::try_from(reason).ok());
    core::Status {
        task: status.task_id.value.clone(),
        agent: status.agent_id.as_ref().map(|agent| AgentId::new(agent.value.clone())),
        state: task_state(state),
        reason: reason.map_or("", |reason| reason.as_str_name()).to_owned(),
        message: status.message.clone().unwrap_or_default(),
        uuid: uuid.map(UpdateId),
        healthy: status.healthy,
        report,
    }
}

const fn task_state(state: v1::TaskState) -> core::TaskState {
    match state {
        v1::TaskState::TaskStaging => core::TaskState::Staging,
        v1::TaskState::TaskStarting => core::TaskState::Starting,
        v1::TaskState::TaskRunning => core::TaskState::Running,
        v1::TaskState::TaskKilling => core::TaskState::Killing,
        v1::TaskState::TaskFinished => core::TaskState::Finished,
        v1::TaskState::TaskFailed => core::TaskState::Failed,
        v1::TaskState::TaskKilled => core::TaskState::Killed,
        v1::TaskState::TaskError => core::TaskState::Error,
        v1::TaskState::TaskLost => core::TaskState::Lost,
        v1::TaskState::TaskDropped => core::TaskState::Dropped,
        v1::TaskState::TaskUnreachable => core::TaskState::Unreachable,
        v1::TaskState::TaskGone => core::TaskState::Gone,
        v1::TaskState::TaskGoneByOperator => core::TaskState::GoneByOperator,
        v1::TaskState::TaskUnknown => core::TaskState::Unknown,
    }
}

fn labels(labels: &[(String, String)]) -> v1::Labels {
    let labels = labels.iter().map(|(key, value)| v1::Label { key: key.clone(), value: Some(value.clone()) });
    v1::Labels { labels: labels.collect() }
}

fn filters(refuse: Duration) -> v1::Filters {
    v1::Filters { refuse_seconds: Some(refuse.as_secs_f64()) }
}

fn ranges(ports: &Ports) -> value::Ranges {
    let range = |range: &PortRange| value::Range { begin: u64::from(range.first), end: u64::from(range.last) };
    value::Ranges { range: ports.ranges().iter().map(range).collect() }
}

/// Leaves out what is no port.
fn ports(ranges: &value::Ranges) -> Ports {
    Ports::new(ranges.range.iter().filter_map(|range| {
        let first = u16::try_from(range.begin.max(1)).ok()?;
        Some(PortRange { first, last: u16::try_from(range.end).unwrap_or(u16::MAX) })
    }))
}

fn framework_id(id: &FrameworkId) -> v1::FrameworkId {
    v1::FrameworkId { value: id.to_string() }
}

fn offer_id(id: &OfferId) -> v1::OfferId {
    v1::OfferId { value: id.to_string() }
}

fn agent_id(id: &AgentId) -> v1::AgentId {
    v1::AgentId { value: id.to_string() }
}

fn executor_id(id: &ExecutorId) -> v1::ExecutorId {
    v1::ExecutorId { value: id.to_string() }
}

fn task_id(id: &str) -> v1::TaskId {
    v1::TaskId { value: id.to_owned() }
}

/// Mesos keeps three decimals of a scalar; nonsense counts as nothing.
#[expect(
    clippy::float_arithmetic,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "Mesos' scalars are doubles; the value is rounded and within 0 to 2^53"
)]
fn thousandths(scalar: f64) -> u64 {
    if scalar.is_finite() { (scalar * 1000.0).round().clamp(0.0, 9.0e15) as u64 } else { 0 }
}

/// Counts whole MiB only: what we use is told to Mesos in whole MiB, and must be within what was offered.
fn bytes(mebibytes: f64) -> Bytes {
    Bytes((thousandths(mebibytes) / 1000).saturating_mul(MIB))
}

#[expect(clippy::float_arithmetic, clippy::cast_precision_loss, reason = "Mesos' scalars are doubles")]
fn cores(cpus: MilliCpus) -> f64 {
    cpus.0 as f64 / 1000.0
}

/// Rounds up to whole MiB, so that nothing runs with more than Mesos was told.
#[expect(clippy::cast_precision_loss, reason = "Mesos' scalars are doubles")]
fn mebibytes(bytes: Bytes) -> f64 {
    bytes.0.div_ceil(MIB) as f64
}
