//! One attempt: where it is, what is known of it, and which changes are allowed.

use epic_common::conversation::{Phase, Report};
use epic_common::ids::{AgentId, OfferId, TaskId, UpdateId};
use epic_common::resources::{Bytes, Grant};
use epic_common::time::Timestamp;

use crate::mesos::{Executor, Meaning, StreamId, TaskState};
use crate::state::entry::{LaunchDecided, StatusRecorded};

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
    /// How much of its disk is kept for our role.
    pub disk_reserved: Bytes,
    /// Which of its ports are kept for our role.
    pub ports_reserved: Vec<u16>,
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

/// How far an attempt is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Decided; whether Mesos knows it isn't known yet.
    Launching {
        /// The offer that it is for.
        offer: OfferId,
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
    pub fn launching(at: Timestamp, decided: &LaunchDecided) -> Self {
        Self {
            id: decided.task.clone(),
            agent: decided.agent.clone(),
            hostname: decided.hostname.clone(),
            grant: decided.grant.clone(),
            disk_reserved: decided.disk_reserved,
            ports_reserved: decided.ports_reserved.clone(),
            executor: decided.executor.clone(),
            progress: Progress::Launching { offer: decided.offer.clone(), stream: decided.stream.clone() },
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
