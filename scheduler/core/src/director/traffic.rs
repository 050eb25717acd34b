//! What goes into the director, and what comes out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use epic_common::ids::{Digest, UnitId};
use epic_common::time::Timestamp;

use crate::matcher::Unfit;
use crate::mesos::{Call, Event, LinkEnd, StreamId, Subscribe};
use crate::planner::Unwritable;
use crate::request::{Answer, ClientId, Request};
use crate::session::{CallAnswer, CallId, Elder, Link};
use crate::state::entry::{Entry, Index};
use crate::state::{Leader, State};

/// What happens to the scheduler.
#[derive(Clone, Debug)]
pub enum Input {
    /// Mesos said something in this subscription.
    Mesos(StreamId, Event),
    /// This subscription ended; `None` is the one that was asked for and could not be had.
    LinkEnded(Option<StreamId>, LinkEnd),
    /// A call was answered.
    Answered(CallId, CallAnswer),
    /// The batch that was proposed with this first position is durable.
    Committed(Index),
    /// These entries became durable at this position and after it, by another leader's hand or as this replica's claim.
    Followed(Index, Vec<Entry>),
    /// The state as a snapshot has it: what lies between was overwritten before this replica could follow it.
    Restored(Box<State>),
    /// Where the journal is kept it was so late at a moment of this scheduler's clock: from here on that time counts, and
    /// the clock only tells how much later it is.
    Time {
        /// Where the journal is kept.
        journal: Timestamp,
        /// At the same moment, or a little after, by this scheduler's clock: never is a time written that is yet to come.
        clock: Timestamp,
    },
    /// For so long a barrier is young enough: a third of the time-out that the coordination service has agreed to.
    Fresh(Duration),
    /// What the other replicas can read; asked before it leads and now and then while it does.
    Elder(Option<Elder>),
    /// The other replicas serve artifacts at these URLs; those that are no use to executors here are left out.
    Sources(Vec<String>),
    /// This replica leads: its own claim has been read back, or it has the journal to itself.
    Lead {
        /// When the claim was begun, by this scheduler's clock. `None` if that isn't known: then nothing is subscribed
        /// on the claim itself.
        claimed: Option<Timestamp>,
    },
    /// This replica leads no more, for this reason.
    StandDown(String),
    /// The coordination service can't be reached: nobody knows whether this replica still leads.
    Paused,
    /// It still leads.
    Resumed,
    /// These artifacts are on this replica's disk, and no others.
    Held(BTreeSet<Digest>),
    /// Somebody asks for something.
    Request(ClientId, Request),
}

/// What the scheduler wants done.
#[derive(Clone, Debug)]
pub enum Output {
    /// Make this batch durable, then say `Committed`; the next batch comes only after that.
    Propose(Index, Vec<Entry>),
    /// Ask for a subscription, once.
    Subscribe(Subscribe),
    /// End the subscription; its calls are fenced.
    Unsubscribe(String),
    /// Send a call on the subscription that stands.
    Call(CallId, Box<Call>),
    /// Answer a request.
    Answer(ClientId, Answer),
    /// What others may see has changed.
    Publish(Box<Seen>),
    /// Tell operators that something was decided and can't be written.
    Unwritable(Unwritable),
    /// End the process: going on is of no use.
    Halt(String),
}

/// What others may see, at one moment.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// What is committed.
    pub state: State,
    /// The link to Mesos.
    pub link: Link,
    /// Why members aren't placed, as of the last matching with offers.
    pub unmet: BTreeMap<UnitId, Vec<Unfit>>,
    /// When offers last came.
    pub offers_at: Option<Timestamp>,
    /// Whether this replica leads, also while it is paused.
    pub leading: bool,
    /// Who claimed the lead last; `None` in a journal that has only one writer.
    pub leader: Option<Leader>,
}
