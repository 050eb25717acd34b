//! What is agreed, one decision at a time, in the past tense.

use epic_common::conversation::Report;
use epic_common::ids::{AgentId, Digest, FrameworkId, OfferId, TaskId, UpdateId};
use epic_common::resources::{Bytes, Grant, MilliCpus};
use epic_common::time::Timestamp;

use super::deployment::Desired;
use super::unit::Program;
use crate::mesos::{Executor, Resource, StreamId, TaskState};

/// A position in the journal, counted from 1; 0 is before the first entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Index(pub u64);

impl Index {
    /// Returns the position after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// A decision, with when it was taken and on whose behalf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When it was decided.
    pub at: Timestamp,
    /// Who asked for it; blank for what the scheduler decides of its own.
    pub origin: Origin,
    /// What was decided.
    pub fact: Fact,
}

/// Who asked for a decision, and how it is known again.
///
/// Of the kinds up to 19 some carry the key themselves; there `key` is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// Who was authenticated, such as `admin`.
    pub principal: String,
    /// Names the request in the logs of all replicas that it passed through.
    pub request: String,
    /// The request's idempotency key.
    pub key: Option<String>,
}

impl Entry {
    /// Makes one that nobody asked for.
    #[must_use]
    pub fn new(at: Timestamp, fact: Fact) -> Self {
        Self { at, origin: Origin::default(), fact }
    }

    /// Returns the idempotency key of the request that asked for it.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.fact.key().or(self.origin.key.as_deref())
    }
}

/// What was decided. A meaning never changes: a new meaning is a new variant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// Our identity for Mesos, before its first use.
    FrameworkChosen {
        /// A UUID that nobody else has.
        framework: FrameworkId,
        /// The role whose reservations it uses, for its whole life.
        role: String,
    },
    /// Who may change things: the sha256 of the token.
    TokenSet {
        /// The token's digest.
        sha256: Digest,
    },
    /// The platform is to be so.
    PlatformApplied {
        /// All of it.
        desired: Box<Desired>,
        /// The request's idempotency key, if it had one.
        key: Option<String>,
    },
    /// Members are to be stopped.
    PlatformStopped {
        /// The request's idempotency key.
        key: Option<String>,
    },
    /// Members are to run again.
    PlatformStarted {
        /// The request's idempotency key.
        key: Option<String>,
    },
    /// Everything is to go.
    UninstallBegun {
        /// The request's idempotency key.
        key: Option<String>,
    },
    /// Nothing of the framework is left; its id is never used again.
    Uninstalled,
    /// An attempt is to be started on this offer; it is sent only while that subscription stands.
    LaunchDecided(Box<LaunchDecided>),
    /// This installation is known by these eight hexadecimal digits, for ever.
    InstallationChosen {
        /// The digits.
        id: String,
    },
    /// An attempt is to be started on these offers; it is sent only while that subscription stands.
    UnitLaunched(Box<UnitLaunched>),
    /// An attempt is to end; repeated until it has ended.
    KillDecided {
        /// Which.
        task: TaskId,
        /// For people.
        why: String,
        /// The request's idempotency key, if a request asked for it.
        key: Option<String>,
    },
    /// An unreachable attempt is given up: its instance may run elsewhere, and it is killed if it comes back.
    ReplacementDecided {
        /// The one that is given up.
        task: TaskId,
    },
    /// Mesos said something new of an attempt.
    StatusRecorded(Box<StatusRecorded>),
    /// Mesos told of a task that we don't have; it is killed if it lives.
    StrangerSeen {
        /// Its id as Mesos has it.
        task: String,
        /// Where it is.
        agent: AgentId,
        /// Its state.
        state: TaskState,
    },
    /// What an agent keeps for our role, as seen in offers.
    ReservationSeen {
        /// Whose.
        agent: AgentId,
        /// Its host name.
        hostname: String,
        /// Cores.
        cpus: MilliCpus,
        /// Memory.
        mem: Bytes,
    },
    /// A document has a new text, which follows from the state.
    DocumentChanged {
        /// Its name.
        name: String,
        /// Greater than every one before.
        generation: u64,
        /// The text's digest.
        sha256: Digest,
    },
    /// A replica leads from here on; whatever a lower epoch has still to write is refused.
    LeaderClaimed {
        /// Greater than every one before.
        epoch: u64,
        /// A UUID of the process that leads.
        replica: String,
        /// The URL at which the others and clients reach it, without a slash at the end.
        advertise: String,
    },
    /// The leader still leads: proof of it for a subscription that follows at once.
    Barrier {
        /// The leader's.
        epoch: u64,
    },
    /// Mesos has removed the framework with all its tasks; what was wanted is wanted of a new one.
    FrameworkReplaced {
        /// A UUID that nobody else has.
        framework: FrameworkId,
        /// The request's idempotency key.
        key: Option<String>,
    },
    /// This journal ends here, and another one goes on from it; nothing is decided on this one any more.
    MovedTo {
        /// Where: `zk://HOST:PORT[,...]/PATH`, without credentials.
        url: String,
    },
}

/// An attempt is to be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaunchDecided {
    /// The instance and its next attempt.
    pub task: TaskId,
    /// Where.
    pub agent: AgentId,
    /// The agent's host name.
    pub hostname: String,
    /// On which offer.
    pub offer: OfferId,
    /// In which subscription.
    pub stream: StreamId,
    /// What it may use.
    pub grant: Grant,
    /// How much of the granted disk is kept for our role; the rest is from `*`.
    pub disk_reserved: Bytes,
    /// Which of the granted ports are kept for our role; the others are from `*`.
    pub ports_reserved: Vec<u16>,
    /// Its executor, new or the agent's own.
    pub executor: Executor,
}

/// An attempt is to be started, with all that the call to Mesos and the executor need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitLaunched {
    /// The unit and its next attempt.
    pub task: TaskId,
    /// Where.
    pub agent: AgentId,
    /// The agent's host name.
    pub hostname: String,
    /// On which offers of that agent, at least one.
    pub offers: Vec<OfferId>,
    /// In which subscription.
    pub stream: StreamId,
    /// What it runs from.
    pub program: Program,
    /// What it may use.
    pub grant: Grant,
    /// The same, by the reservation that each part is taken from.
    pub resources: Vec<Resource>,
    /// Its executor, new or the agent's own.
    pub executor: Executor,
}

/// Something new of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusRecorded {
    /// Of which.
    pub task: TaskId,
    /// Its state.
    pub state: TaskState,
    /// Mesos' word for why; may be empty.
    pub reason: String,
    /// For people; may be empty.
    pub message: String,
    /// The update's name; a repeat of it is acknowledged without a new entry.
    pub uuid: Option<UpdateId>,
    /// Whether its services answer, if it was said.
    pub healthy: Option<bool>,
    /// What the executor added.
    pub report: Option<Report>,
    /// What follows if this ended it.
    pub ended: Option<Ended>,
}

/// What follows from the end of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Failures in a row, this one included if it was one.
    pub failures: u32,
    /// The next attempt isn't started before.
    pub not_before: Timestamp,
}

/// The highest number of a kind of entry that this program knows.
pub const KNOWN: u32 = 24;
/// The kinds of entries that snapshots of format 1 can hold the sum of.
pub const KINDS_OF_FORMAT_1: u32 = 19;
/// What every replica knows that doesn't say what it knows.
pub const KNOWN_BY_ALL: u32 = 17;

impl Fact {
    /// Returns the idempotency key of the request that asked for it.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::PlatformApplied { key, .. }
            | Self::PlatformStopped { key }
            | Self::PlatformStarted { key }
            | Self::UninstallBegun { key }
            | Self::FrameworkReplaced { key, .. }
            | Self::KillDecided { key, .. } => key.as_deref(),
            Self::FrameworkChosen { .. }
            | Self::TokenSet { .. }
            | Self::Uninstalled
            | Self::LaunchDecided(_)
            | Self::InstallationChosen { .. }
            | Self::UnitLaunched(_)
            | Self::ReplacementDecided { .. }
            | Self::StatusRecorded(_)
            | Self::StrangerSeen { .. }
            | Self::ReservationSeen { .. }
            | Self::DocumentChanged { .. }
            | Self::LeaderClaimed { .. }
            | Self::Barrier { .. }
            | Self::MovedTo { .. } => None,
        }
    }

    /// Returns about how many bytes the entry will take.
    #[must_use]
    pub fn weight(&self) -> usize {
        match self {
            Self::PlatformApplied { desired, .. } => 4096 + desired.roles.len() * 1024,
            Self::StatusRecorded(status) => {
                let report = status.report.as_ref().map_or(0, |report| {
                    let services = report.services.iter().map(|service| service.reason.len() + 100);
                    let documents = report.documents.keys().map(|name| name.len() + 20);
                    services.chain(documents).sum()
                });
                512 + status.message.len() + status.reason.len() + report
            }
            Self::LaunchDecided(_) | Self::UnitLaunched(_) => 1024,
            Self::InstallationChosen { .. } => 128,
            Self::LeaderClaimed { replica, advertise, .. } => 512 + replica.len() + advertise.len(),
            Self::MovedTo { url } => 512 + url.len(),
            Self::FrameworkChosen { .. }
            | Self::TokenSet { .. }
            | Self::PlatformStopped { .. }
            | Self::PlatformStarted { .. }
            | Self::UninstallBegun { .. }
            | Self::Uninstalled
            | Self::KillDecided { .. }
            | Self::ReplacementDecided { .. }
            | Self::StrangerSeen { .. }
            | Self::ReservationSeen { .. }
            | Self::DocumentChanged { .. }
            | Self::Barrier { .. }
            | Self::FrameworkReplaced { .. } => 512,
        }
    }

    /// Returns the number of its kind in the journal's encoding (`proto/epic/v1/journal.proto`).
    ///
    /// Kinds are numbered in the order in which versions have added them, so that one number says what a program knows.
    #[must_use]
    pub const fn number(&self) -> u32 {
        match self {
            Self::FrameworkChosen { .. } => 2,
            Self::TokenSet { .. } => 3,
            Self::PlatformApplied { .. } => 4,
            Self::PlatformStopped { .. } => 5,
            Self::PlatformStarted { .. } => 6,
            Self::UninstallBegun { .. } => 7,
            Self::Uninstalled => 8,
            Self::LaunchDecided(_) => 9,
            Self::KillDecided { .. } => 10,
            Self::ReplacementDecided { .. } => 11,
            Self::StatusRecorded(_) => 12,
            Self::StrangerSeen { .. } => 13,
            Self::ReservationSeen { .. } => 14,
            Self::DocumentChanged { .. } => 15,
            Self::LeaderClaimed { .. } => 16,
            Self::Barrier { .. } => 17,
            Self::MovedTo { .. } => 18,
            Self::FrameworkReplaced { .. } => 19,
            Self::InstallationChosen { .. } => 20,
            Self::UnitLaunched(_) => 24,
        }
    }
}
