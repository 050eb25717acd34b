//! What only the acting scheduler knows and may forget.

pub mod link;
mod notes;
pub mod repeat;
pub mod timers;
mod took;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use epic_common::conversation::SOURCES_MAX;
use epic_common::ids::{AgentId, Digest, OfferId, TaskId, UnitId, UpdateId};
use epic_common::time::Timestamp;

pub use link::Link;
pub use notes::is_failover;
pub use repeat::{Repeatable, Sent};
use timers::{Pace, Timers};

use crate::matcher::Unfit;
use crate::mesos::{Offer, Status};
use crate::policy::Policy;
use crate::request::{Answer, ClientId, Request};
use crate::state::entry::Fact;

/// Names a call until it is answered; counted up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallId(pub u64);

/// How a call went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallAnswer {
    /// Mesos has it (202).
    Accepted,
    /// Mesos refused it, in these words, or it could not be sent now; it had no effect.
    Refused(String),
    /// Nobody knows whether it arrived.
    Lost(String),
    /// It was not taken, as its subscription isn't there any more.
    Ended(String),
    /// Its subscription had ended; it was not sent.
    Fenced,
}

/// An update that is durable and is to be acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ack {
    /// The task's id as Mesos has it.
    pub task: String,
    /// Where it is.
    pub agent: AgentId,
    /// Which update.
    pub uuid: UpdateId,
}

/// The batch that is on its way to the journal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// How many entries it has.
    pub entries: usize,
    /// To be acknowledged once it is durable.
    pub acks: Vec<Ack>,
    /// To be answered once it is durable; the entry of each counts from the batch's first.
    pub grants: Vec<(ClientId, usize, String)>,
    /// When it was proposed, if it has a barrier.
    pub barrier: Option<Timestamp>,
}

/// What only the acting scheduler knows and may forget.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a note of its own, and all combinations occur")]
pub struct Session {
    /// The link to Mesos.
    pub link: Link,
    /// Offers that may be used.
    pub offers: BTreeMap<OfferId, Offer>,
    /// Agents whose offers have come since the ledger was last looked at.
    pub seen: BTreeSet<AgentId>,
    /// The batch that is on its way to the journal.
    pub proposed: Option<Batch>,
    /// Updates that aren't recorded yet, oldest first.
    pub updates: VecDeque<Status>,
    /// Updates that are durable and not yet acknowledged.
    pub acks: Vec<Ack>,
    /// Requests that aren't decided yet, oldest first.
    pub requests: VecDeque<(ClientId, Request)>,
    /// Answers that are ready.
    pub answers: Vec<(ClientId, Answer)>,
    /// Calls that aren't answered yet.
    pub sent: BTreeMap<CallId, Sent>,
    /// Attempts that were decided in this subscription and not yet sent.
    pub unsent: BTreeSet<TaskId>,
    /// Attempts whose ACCEPT isn't answered yet.
    pub accepting: BTreeSet<TaskId>,
    /// Calls that are to be made again.
    pub repeats: Timers<Repeatable>,
    /// When Mesos is asked for all tasks that it has; not again before it has answered.
    pub ask_all: Pace,
    /// Whether Mesos has taken a launch in this subscription.
    pub has_launched: bool,
    /// Attempts that Mesos is to be asked about.
    pub questions: Timers<TaskId>,
    /// Tasks that are to be killed again, by their ids as Mesos has them.
    pub kills: Timers<String>,
    /// Attempts whose executor is to be told of documents.
    pub nudges: Timers<TaskId>,
    /// Attempts whose executor may look for its bundle where nobody serves it any more.
    pub seekers: Timers<TaskId>,
    /// Whether the documents may have to be rendered again.
    pub members_touched: bool,
    /// What Mesos believes of our wish for offers; `None` if it can't be known.
    pub suppressed: Option<bool>,
    /// When Mesos may be told again whether offers are wanted; grows only with calls that failed.
    pub wish: Pace,
    /// When Mesos may be told again that offers are wanted; grows while only units that fail want them.
    pub revive: Pace,
    /// Whether a unit has begun to wait since Mesos was last told.
    pub untold: bool,
    /// Units whose back-off ends until then were waited for when Mesos was last told.
    pub told_until: Timestamp,
    /// Since when offers are held without a break.
    pub holding: Timestamp,
    /// Failures in a row of units whose newest attempt came up, in case that it doesn't stay up.
    pub failures: BTreeMap<UnitId, u32>,
    /// When TEARDOWN may be tried again.
    pub teardown: Pace,
    /// Attempts that have not started yet, and when their progress is looked at.
    pub starting: Timers<TaskId>,
    /// Whether TEARDOWN has been accepted, or the framework is gone already.
    pub torn_down: bool,
    /// Why members aren't placed, as of the last matching with offers.
    pub unmet: BTreeMap<UnitId, Vec<Unfit>>,
    /// When offers last came.
    pub offers_at: Option<Timestamp>,
    /// Whether a subscription ever stood since the start.
    pub was_up: bool,
    /// When the newest barrier that came after the last subscription was proposed, if it is durable.
    pub barrier: Option<Timestamp>,
    /// How often somebody else has taken the subscription over.
    pub taken_over: u32,
    /// The replica that knows the fewest kinds of entries, if any knows fewer than this one.
    pub elder: Option<Elder>,
    /// Whether Mesos has removed the framework, so that its id is of no use any more.
    pub removed: bool,
    /// Artifacts that executors can fetch from this replica; `None` if nobody has said, and then all are taken for held.
    pub held: Option<BTreeSet<Digest>>,
    /// Where the other replicas serve artifacts.
    pub others: Vec<String>,
}

/// A replica of an earlier version, which must be able to read what is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elder {
    /// Where it is reached.
    pub advertise: String,
    /// The highest [number](crate::state::entry::Fact::number) of an entry that it can read.
    pub knows: u32,
}

impl Session {
    /// Begins with nothing; whether the documents are up to date has to be looked at.
    #[must_use]
    pub fn new() -> Self {
        Self { members_touched: true, ..Self::default() }
    }

    /// Tells whether executors can fetch this artifact from here, as far as is known.
    #[must_use]
    pub fn holds(&self, artifact: &Digest) -> bool {
        self.held.as_ref().is_none_or(|held| held.contains(artifact))
    }

    /// Tells whether every replica can read an entry of this kind, as far as is known.
    #[must_use]
    pub fn is_known_by_all(&self, fact: &Fact) -> bool {
        self.elder.as_ref().is_none_or(|elder| elder.knows >= fact.number())
    }

    /// Lists where executors can fetch artifacts: here first, then at the other replicas; at most [`SOURCES_MAX`].
    #[must_use]
    pub fn sources(&self, policy: &Policy) -> Vec<String> {
        let own = &policy.advertise;
        let others = self.others.iter().filter(|url| *url != own);
        std::iter::once(own).chain(others).take(SOURCES_MAX).cloned().collect()
    }
}
