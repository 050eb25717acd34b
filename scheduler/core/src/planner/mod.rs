//! What to do next: wanted against observed, as values.

mod accept;
mod admit;
mod document;
mod identity;
mod launch;
mod ledger;
mod link;
mod offers;
mod reconcile;
mod record;
mod replace;
mod sources;
mod starting;
mod stop;

use std::collections::BTreeMap;
use std::fmt;

use epic_common::ids::{TaskId, UnitId};
use epic_common::time::Timestamp;

use crate::matcher::Unfit;
use crate::mesos::{Call, Subscribe};
use crate::policy::{BATCH_WEIGHT_MAX, ENTRY_BYTES_MAX, Policy};
use crate::request::{Answer, ClientId};
use crate::session::{Ack, Batch, Repeatable, Session};
use crate::state::State;
use crate::state::entry::{Entry, Fact, Origin};

/// What to do next. Calls are backed by committed state; entries are to be committed first.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// A subscription to ask for.
    pub subscribe: Option<Subscribe>,
    /// Calls to send, in order.
    pub calls: Vec<Call>,
    /// Entries to commit, as one batch.
    pub entries: Vec<Entry>,
    /// What follows once the batch is durable.
    pub batch: Batch,
    /// How many updates of the session this plan has dealt with.
    pub updates_taken: usize,
    /// How many requests of the session this plan has dealt with.
    pub requests_taken: usize,
    /// Acknowledgements that need no entry.
    pub acks: Vec<Ack>,
    /// Answers that need no entry.
    pub answers: Vec<(ClientId, Answer)>,
    /// Attempts that Mesos is to be asked about at once.
    pub questions: Vec<TaskId>,
    /// What was decided and can't be written, for operators: it is left undone.
    pub unwritable: Vec<Unwritable>,
    /// Attempts that need no more nudges.
    pub informed: Vec<TaskId>,
    /// Why members aren't placed, if it was looked at.
    pub unmet: Option<BTreeMap<UnitId, Vec<Unfit>>>,
    /// Whether the ledger has been brought up to date with the offers seen.
    pub ledger_seen: bool,
    /// Whether the documents have been compared with the state.
    pub members_seen: bool,
}

/// Plans the next step.
///
/// Entries are planned only while no batch is on its way, on a draft to which each one is applied at once, so that no
/// two of a batch contradict each other; calls are planned only from `state`, which is committed. On a journal that has
/// moved nothing is planned: another scheduler goes on from it.
#[must_use]
pub fn plan(state: &State, session: &Session, policy: &Policy, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    if state.identity.moved_to.is_some() {
        return plan;
    }
    if session.proposed.is_none() {
        let now = now.max(state.at);
        let draft = State { at: now, ..state.clone() };
        let mut draft = Draft { state: draft, now, weight: 0, policy, origin: Origin::default(), plan: &mut plan };
        admit::step(&mut draft, session, policy);
        record::step(&mut draft, session, policy);
        replace::step(&mut draft, policy);
        stop::step(&mut draft);
        starting::step(&mut draft, session, policy);
        ledger::step(&mut draft, session);
        launch::step(&mut draft, session, policy);
        document::changes(&mut draft, session);
    }
    link::step(&mut plan, state, session, policy, now);
    if session.link.is_up() {
        plan.calls.extend(session.acks.iter().chain(&plan.acks).map(Ack::call));
        plan.calls.extend(session.repeats.due(now).map(Repeatable::call));
        accept::step(&mut plan, state, session, policy);
        reconcile::step(&mut plan, state, session, now);
        starting::questions(&mut plan, session, now);
        stop::kills(&mut plan, state, session, now);
        document::nudges(&mut plan, state, session, now);
        sources::step(&mut plan, state, session, policy, now);
        offers::step(&mut plan, state, session, policy, now);
        link::teardown(&mut plan, state, session, now);
    }
    plan
}

/// The state as it will be once the batch is durable.
struct Draft<'a> {
    state: State,
    now: Timestamp,
    weight: usize,
    policy: &'a Policy,
    origin: Origin,
    plan: &'a mut Plan,
}

/// Why an entry isn't proposed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unwritable {
    /// It is too large for the journal.
    TooLarge {
        /// What it takes.
        bytes: usize,
        /// What one entry may take.
        bytes_max: usize,
    },
    /// It would not be read as it was written.
    Unreadable {
        /// What the decoder says.
        why: String,
    },
}

impl fmt::Display for Unwritable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { bytes, bytes_max } => {
                write!(f, "it takes {bytes} bytes in the journal, at most {bytes_max} are possible")
            }
            Self::Unreadable { why } => write!(f, "the journal could not read it again: {why}"),
        }
    }
}

impl Draft<'_> {
    /// Adds an entry to the batch, if the journal can hold it; answers its place in the batch.
    fn propose(&mut self, fact: Fact) -> Result<usize, Unwritable> {
        let entry = Entry { at: self.now, origin: self.origin.clone(), fact };
        let bytes = (self.policy.measure.0)(&entry).map_err(|why| Unwritable::Unreadable { why })?;
        if bytes > ENTRY_BYTES_MAX {
            return Err(Unwritable::TooLarge { bytes, bytes_max: ENTRY_BYTES_MAX });
        }
        self.weight += bytes;
        self.state.apply(&entry);
        self.plan.entries.push(entry);
        Ok(self.plan.entries.len() - 1)
    }

    /// Adds an entry to the batch; one that can't be written is left undone and said. Tells whether it was added.
    fn decide(&mut self, fact: Fact) -> bool {
        let proposed = self.propose(fact);
        proposed.map_err(|why| self.plan.unwritable.push(why)).is_ok()
    }

    /// Tells whether the batch can take more; what doesn't fit waits for the next.
    const fn has_room(&self) -> bool {
        self.weight < BATCH_WEIGHT_MAX
    }
}

impl Ack {
    pub(crate) fn call(&self) -> Call {
        Call::Acknowledge { task: self.task.clone(), agent: self.agent.clone(), uuid: self.uuid }
    }
}
