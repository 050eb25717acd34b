//! The core's own words for what Mesos says and is told.

use std::fmt;
use std::time::Duration;

use epic_common::conversation::{LaunchOrder, Nudge, Report};
use epic_common::ids::{AgentId, Digest, ExecutorId, FrameworkId, OfferId, TaskId, UpdateId};
use epic_common::resources::{Bytes, MilliCpus, Ports};
use epic_common::time::Timestamp;

/// The name of one subscription; Mesos makes a new one for each.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamId(pub String);

/// What Mesos says on the stream of a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The subscription stands; every offer held before is void.
    Subscribed,
    /// Resources may be used.
    Offers(Vec<Offer>),
    /// An offer may no longer be used.
    Rescind(OfferId),
    /// A task's state.
    Update(Box<Status>),
    /// An executor or agent failed; unreliable, a hint to ask.
    Failure {
        /// Where.
        agent: AgentId,
    },
}

/// How a subscription ended, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkEnd {
    /// Mesos ended it with an ERROR, in these words.
    Said(String),
    /// It can't be had as long as nobody changes something, here or at Mesos.
    Refused(String),
    /// It broke, or nobody leads; another try may do.
    Broke(String),
    /// This scheduler ended it, so that a call that may still be on its way can't arrive any more.
    Fenced(String),
}

/// One offer of one agent to our role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Its name.
    pub id: OfferId,
    /// Whose resources.
    pub agent: AgentId,
    /// The agent's host name.
    pub hostname: String,
    /// What of it this scheduler can use; anything of a form that it doesn't know is left out.
    pub resources: Vec<Resource>,
    /// Whether the agent is scheduled for maintenance.
    pub unavailable: bool,
}

/// An amount of something on an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// Whether it is kept for our role.
    pub reservation: Reservation,
    /// How much of what.
    pub amount: Amount,
}

/// Whom a resource is kept for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reservation {
    /// For our role, by the agent's own configuration.
    Static,
    /// For nobody: `*`.
    Unreserved,
}

/// How much of what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Amount {
    /// `cpus`.
    Cpus(MilliCpus),
    /// `mem`.
    Mem(Bytes),
    /// `disk` on the agent's root disk.
    Disk(Bytes),
    /// `ports`.
    Ports(Ports),
}

/// What is said of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The task's id as Mesos has it; it may not be one of ours.
    pub task: String,
    /// Where it is, if it is said.
    pub agent: Option<AgentId>,
    /// Its state.
    pub state: TaskState,
    /// A word such as `REASON_RECONCILIATION`; empty if none is given.
    pub reason: String,
    /// For people; may be empty.
    pub message: String,
    /// Must be acknowledged by this name; `None` must not be.
    pub uuid: Option<UpdateId>,
    /// Whether its services answer, if it is said.
    pub healthy: Option<bool>,
    /// What our executor adds.
    pub report: Option<Report>,
}

/// A task's state in Mesos' words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TaskState {
    /// On its way to the agent.
    Staging,
    /// With the executor.
    Starting,
    /// All services are up.
    Running,
    /// Being stopped.
    Killing,
    /// Ended well.
    Finished,
    /// Ended badly.
    Failed,
    /// Ended because it was told to.
    Killed,
    /// Refused by Mesos.
    Error,
    /// Lost, as told to frameworks without partition awareness.
    Lost,
    /// Never reached the agent.
    Dropped,
    /// The agent can't be reached; the task may run on.
    Unreachable,
    /// The agent doesn't have it.
    Gone,
    /// An operator says that the agent is gone.
    GoneByOperator,
    /// The master doesn't know the agent.
    Unknown,
}

/// What a state means for an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// It exists.
    Alive,
    /// It may exist.
    Unclear,
    /// It is over.
    Ended,
}

impl TaskState {
    /// All states with Mesos' name for each.
    pub const ALL: [(Self, &'static str); 14] = [
        (Self::Staging, "TASK_STAGING"),
        (Self::Starting, "TASK_STARTING"),
        (Self::Running, "TASK_RUNNING"),
        (Self::Killing, "TASK_KILLING"),
        (Self::Finished, "TASK_FINISHED"),
        (Self::Failed, "TASK_FAILED"),
        (Self::Killed, "TASK_KILLED"),
        (Self::Error, "TASK_ERROR"),
        (Self::Lost, "TASK_LOST"),
        (Self::Dropped, "TASK_DROPPED"),
        (Self::Unreachable, "TASK_UNREACHABLE"),
        (Self::Gone, "TASK_GONE"),
        (Self::GoneByOperator, "TASK_GONE_BY_OPERATOR"),
        (Self::Unknown, "TASK_UNKNOWN"),
    ];

    /// Tells what the state means.
    ///
    /// `Unknown` and `GoneByOperator` count as ended: a service without data may be replaced, and if the task comes
    /// back after all it is a stranger and is killed.
    #[must_use]
    pub const fn meaning(self) -> Meaning {
        match self {
            Self::Staging | Self::Starting | Self::Running | Self::Killing => Meaning::Alive,
            Self::Unreachable => Meaning::Unclear,
            Self::Finished
            | Self::Failed
            | Self::Killed
            | Self::Error
            | Self::Lost
            | Self::Dropped
            | Self::Gone
            | Self::GoneByOperator
            | Self::Unknown => Meaning::Ended,
        }
    }
}

/// Shows Mesos' name.
impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::ALL.iter().find(|(state, _)| state == self).map_or("", |(_, name)| name))
    }
}

/// What Mesos is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Uses an offer.
    Accept {
        /// Which, at least one, all of one agent.
        offers: Vec<OfferId>,
        /// Whose, for the lane.
        agent: AgentId,
        /// What to start, at least one.
        launches: Vec<Launch>,
        /// How long the rest isn't offered again.
        refuse: Duration,
    },
    /// Refuses offers.
    Decline {
        /// Which, at least one.
        offers: Vec<OfferId>,
        /// How long the same isn't offered again.
        refuse: Duration,
    },
    /// Wants offers, and forgets refusals.
    Revive,
    /// Wants no offers.
    Suppress,
    /// Ends a task.
    Kill {
        /// Its id as Mesos has it.
        task: String,
        /// Where it is; without it, a recovering master would not answer.
        agent: AgentId,
    },
    /// Confirms that an update is durable.
    Acknowledge {
        /// The task's id as Mesos has it.
        task: String,
        /// Where it is.
        agent: AgentId,
        /// Which update.
        uuid: UpdateId,
    },
    /// Asks for the states of tasks.
    Reconcile {
        /// At least one, each with its agent.
        tasks: Vec<(TaskId, AgentId)>,
    },
    /// Asks for the states of all tasks that Mesos has of this framework, so that strangers are heard of.
    ReconcileAll,
    /// Tells an executor something that it may miss.
    Message {
        /// Where it is.
        agent: AgentId,
        /// Which.
        executor: ExecutorId,
        /// What.
        nudge: Nudge,
    },
    /// Ends the framework.
    Teardown,
}

impl Call {
    /// Returns the agent whose lane keeps the order of this call; `None` is the lane of the role.
    #[must_use]
    pub const fn lane(&self) -> Option<&AgentId> {
        match self {
            Self::Accept { agent, .. }
            | Self::Kill { agent, .. }
            | Self::Acknowledge { agent, .. }
            | Self::Message { agent, .. } => Some(agent),
            Self::Decline { .. }
            | Self::Revive
            | Self::Suppress
            | Self::Reconcile { .. }
            | Self::ReconcileAll
            | Self::Teardown => None,
        }
    }
}

/// One task to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// Where.
    pub agent: AgentId,
    /// What the executor is told.
    pub order: LaunchOrder,
    /// What the task takes of the offer.
    pub resources: Vec<Resource>,
    /// Its executor.
    pub executor: Executor,
    /// Labels that operators see.
    pub labels: Vec<(String, String)>,
}

/// An executor, decided once for an agent and described in the same way as long as an attempt on it may live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executor {
    /// Its name, which no other executor ever has.
    pub id: ExecutorId,
    /// Where the program is fetched from.
    pub url: String,
    /// What the program's digest must be.
    pub sha256: Digest,
    /// Cores of the executor itself.
    pub cpus: MilliCpus,
    /// Memory of the executor itself.
    pub mem: Bytes,
}

/// Who we are to Mesos.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribe {
    /// Our id, committed before it is used.
    pub framework: FrameworkId,
    /// Whether no offers are wanted now.
    pub suppressed: bool,
    /// Not to be sent later than this: by then somebody else may lead. `None` if nobody else can.
    pub not_after: Option<Timestamp>,
}
