//! One attempt: where it is, what is known of it, and which changes are allowed.

use epic_common::conversation::{Phase, Report};
use epic_common::ids::{AgentId, Digest, OfferId, TaskId, UpdateId};
use epic_common::resources::{Bytes, Grant, PortRange, Ports};
use epic_common::time::Timestamp;

use crate::mesos::{Amount, Executor, Meaning, Reservation, Resource, StreamId, TaskState};
use crate::state::deployment::Wanted;
use crate::state::entry::{StatusRecorded, UnitLaunched};

/// An attempt that isn't known to have ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Unit and attempt.
    pub id: TaskId,
    /// Where it is.
    pub agent: AgentId,
    /// The agent's host name.
    pub hostname: String,
    /// What it may use.
    pub grant: Grant,
    /// The same, by the reservation that each part is taken from.
    pub resources: Vec<Resource>,
    /// What it runs from.
    pub program: Program,
    /// Its executor.
    pub executor: Executor,
    /// How far it is.
    pub progress: Progress,
    /// Since when it is in that state.
    pub since: Timestamp,
    /// The last update that was recorded.
    pub uuid: Option<UpdateId>,
    /// Mesos' word for the last state.
    pub reason: String,
    /// What was last said of it, for people.
    pub message: String,
    /// Whether its services answer, as last said.
    pub healthy: Option<bool>,
    /// What the executor last said.
    pub report: Report,
    /// It is to end, and why.
    pub kill: Option<String>,
    /// Its instance no longer counts on it.
    pub given_up: bool,
}

/// What an attempt runs from; it stays so, whatever is wanted later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The deployment's name.
    pub deployment: String,
    /// The bundle's sha256.
    pub bundle: Digest,
    /// The bundle's length.
    pub bundle_bytes: u64,
    /// Whether services may run as root.
    pub root_allowed: bool,
    /// Whether its services read the document that lists all units.
    pub reads_members: bool,
    /// What kind of unit it is.
    pub wanted: Wanted,
}

/// Lists what is taken: cores and memory from our reservation, and of disk and ports what is said to be reserved from it,
/// the rest from what is kept for nobody.
#[must_use]
pub fn resources(grant: &Grant, disk_reserved: Bytes, ports_reserved: &[u16]) -> Vec<Resource> {
    let resource = |reservation, amount| Resource { reservation, amount };
    let mut resources = vec![
        resource(Reservation::Static, Amount::Cpus(grant.cpus)),
        resource(Reservation::Static, Amount::Mem(grant.mem)),
    ];
    let free = grant.disk.saturating_sub(disk_reserved);
    for (reservation, disk) in [(Reservation::Static, disk_reserved), (Reservation::Unreserved, free)] {
        if disk > Bytes(0) {
            resources.push(resource(reservation, Amount::Disk(disk)));
        }
    }
    for reservation in [Reservation::Static, Reservation::Unreserved] {
        let reserved = reservation == Reservation::Static;
        let ports = grant.ports.values().filter(|port| ports_reserved.contains(port) == reserved);
        let set = Ports::new(ports.map(|port| PortRange { first: *port, last: *port }));
        if !set.is_empty() {
            resources.push(resource(reservation, Amount::Ports(set)));
        }
    }
    resources
}

/// How far an attempt is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Decided; whether Mesos knows it isn't known yet.
    Launching {
        /// The offers that it is for, all of its agent.
        offers: Vec<OfferId>,
        /// The only subscription in which it may be sent.
        stream: StreamId,
    },
    /// Mesos has it in this state, which is neither an end nor `Unreachable`.
    Alive(TaskState),
    /// Its agent can't be reached since this time.
    Unreachable(Timestamp),
}

impl Task {
    /// Makes an attempt that was just decided.
    #[must_use]
    pub fn launching(at: Timestamp, decided: &UnitLaunched) -> Self {
        Self {
            id: decided.task.clone(),
            agent: decided.agent.clone(),
            hostname: decided.hostname.clone(),
            grant: decided.grant.clone(),
            resources: decided.resources.clone(),
            program: decided.program.clone(),
            executor: decided.executor.clone(),
            progress: Progress::Launching { offers: decided.offers.clone(), stream: decided.stream.clone() },
            since: at,
            uuid: None,
            reason: String::new(),
            message: String::new(),
            healthy: None,
            report: Report::default(),
            kill: None,
            given_up: false,
        }
    }

    /// Takes over what was recorded; answers `None` if that ended it.
    ///
    /// | now \ said   | alive | unclear     | ended |
    /// |--------------|-------|-------------|-------|
    /// | `Launching`  | alive | unreachable | gone  |
    /// | `Alive`      | alive | unreachable | gone  |
    /// | `Unreachable`| alive | unreachable | gone  |
    #[must_use]
    pub fn recorded(mut self, at: Timestamp, status: &StatusRecorded) -> Option<Self> {
        let progress = match status.state.meaning() {
            Meaning::Ended => return None,
            Meaning::Alive => Progress::Alive(status.state),
            Meaning::Unclear => match self.progress {
                Progress::Unreachable(since) => Progress::Unreachable(since),
                Progress::Launching { .. } | Progress::Alive(_) => Progress::Unreachable(at),
            },
        };
        let phase = status.report.as_ref().map_or(self.report.phase, |report| report.phase);
        if progress != self.progress
            || phase != self.report.phase
            || status.healthy.is_some_and(|_| status.healthy != self.healthy)
        {
            self.since = at;
        }
        self.progress = progress;
        // A repeat made by Mesos itself carries less than the executor's own update: nothing is overwritten by blanks.
        if status.uuid.is_some() {
            self.uuid = status.uuid;
        }
        if !status.message.is_empty() || status.uuid.is_some() {
            self.reason.clone_from(&status.reason);
            self.message.clone_from(&status.message);
        }
        if status.healthy.is_some() {
            self.healthy = status.healthy;
        }
        if let Some(report) = &status.report {
            self.report.clone_from(report);
        }
        Some(self)
    }

    /// Tells whether its services are up and answer, as far as is known.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        matches!(self.progress, Progress::Alive(TaskState::Running))
            && self.healthy != Some(false)
            && self.kill.is_none()
    }

    /// Tells whether its bundle may not have come yet.
    #[must_use]
    pub const fn is_seeking(&self) -> bool {
        let is_before = matches!(self.report.phase, Phase::Accepted | Phase::Fetching);
        is_before && self.kill.is_none() && !matches!(self.progress, Progress::Alive(TaskState::Running))
    }

    /// Tells whether its executor is known to have it.
    #[must_use]
    pub const fn is_with_executor(&self) -> bool {
        matches!(self.progress, Progress::Alive(TaskState::Starting | TaskState::Running))
    }
}
