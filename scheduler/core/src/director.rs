//! The machine that runs everything: events in, plans out.

use std::collections::{BTreeMap, VecDeque};

use epic_common::ids::InstanceId;
use epic_common::machine::Machine;
use epic_common::time::Timestamp;

use crate::invariants;
use crate::matcher::Unfit;
use crate::mesos::{Call, Event, LinkEnd, StreamId, Subscribe};
use crate::planner::{Plan, plan};
use crate::policy::{Policy, REQUESTS_MAX};
use crate::request::{Answer, ClientId, Grantal, Rejection, RejectionKind, Request};
use crate::session::{CallAnswer, CallId, Link, Session};
use crate::state::State;
use crate::state::entry::{Entry, Index};

/// What happens to the scheduler.
#[derive(Clone, Debug)]
pub enum Input {
    /// Mesos said something in this subscription.
    Mesos(StreamId, Event),
    /// This subscription ended; `None` is the one that was asked for and could not be had.
    LinkEnded(Option<StreamId>, LinkEnd),
    /// A call was answered.
    Answered(CallId, CallAnswer),
    /// The batch that was proposed is durable.
    Committed,
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
    pub unmet: BTreeMap<InstanceId, Vec<Unfit>>,
    /// When offers last came.
    pub offers_at: Option<Timestamp>,
}

/// The scheduler's decisions as one machine.
#[derive(Debug)]
pub struct Director {
    state: State,
    session: Session,
    policy: Policy,
    batch: Vec<Entry>,
    outputs: VecDeque<Output>,
    next_call: CallId,
    dirty: bool,
    deadline: Option<Timestamp>,
}

impl Director {
    /// Begins with what the journal holds, without a link to Mesos.
    #[must_use]
    pub fn new(state: State, policy: Policy) -> Self {
        Self {
            state,
            session: Session { members_touched: true, ..Session::default() },
            policy,
            batch: Vec::new(),
            outputs: VecDeque::new(),
            next_call: CallId::default(),
            dirty: true,
            deadline: None,
        }
    }

    /// Returns what is committed.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// Returns what only this scheduler knows.
    #[must_use]
    pub const fn session(&self) -> &Session {
        &self.session
    }

    fn committed(&mut self, now: Timestamp) {
        let Some(batch) = self.session.proposed.take() else { return };
        let first = self.state.index;
        for entry in std::mem::take(&mut self.batch) {
            let touched = self.state.apply(&entry);
            self.session.committed(now, &self.state, &entry, &touched);
        }
        invariants::check(&self.state);
        for ack in batch.acks {
            self.session.acknowledge(ack);
        }
        for (client, place, message) in batch.grants {
            let index = Index(first.0 + 1 + u64::try_from(place).unwrap_or(0));
            self.outputs.push_back(Output::Answer(client, Ok(Grantal { index, message })));
        }
        self.publish();
    }

    fn publish(&mut self) {
        self.outputs.push_back(Output::Publish(Box::new(Seen {
            state: self.state.clone(),
            link: self.session.link.clone(),
            unmet: self.session.unmet.clone(),
            offers_at: self.session.offers_at,
        })));
    }

    fn requested(&mut self, client: ClientId, request: Request) {
        if self.session.requests.len() < REQUESTS_MAX {
            self.session.requests.push_back((client, request));
        } else {
            let detail = "too many requests wait for the journal; try again in a moment";
            let rejection = Rejection::new(RejectionKind::Unavailable, "the scheduler is busy", detail);
            self.outputs.push_back(Output::Answer(client, Err(rejection)));
        }
    }

    fn link_ended(&mut self, now: Timestamp, stream: Option<&StreamId>, end: LinkEnd) {
        let asked = stream.is_none() && matches!(self.session.link, Link::Connecting { .. });
        if !asked && (stream.is_none() || self.session.link.stream() != stream) {
            return;
        }
        let removed = matches!(&end, LinkEnd::Said(text) if text.contains("Framework has been removed"));
        let definite = asked && !removed && !self.session.was_up;
        if let (true, LinkEnd::Said(why) | LinkEnd::Refused(why)) = (definite, &end) {
            self.outputs.push_back(Output::Halt(why.clone()));
        }
        self.session.ended(now, &self.policy, end);
        self.publish();
    }

    /// Plans once; tells whether there is anything to do.
    fn plan(&mut self, now: Timestamp) -> bool {
        let plan = plan(&self.state, &self.session, &self.policy, now);
        let unmet = plan.unmet.is_some().then(|| self.session.unmet.clone());
        let updates = self.session.updates.len();
        self.session.took(now, &self.state, &plan);
        // What waits until there is no update may go on, even if the updates themselves led to nothing.
        let has_taken = self.session.updates.len() < updates;
        let unmet_changed = unmet.is_some_and(|before| before != self.session.unmet);
        let Plan { subscribe, calls, entries, answers, .. } = plan;
        let before = self.outputs.len();
        if let Some(subscribe) = subscribe {
            self.outputs.push_back(Output::Subscribe(subscribe));
        }
        if !entries.is_empty() {
            self.batch.clone_from(&entries);
            self.outputs.push_back(Output::Propose(self.state.index.next(), entries));
        }
        for call in calls {
            self.next_call = CallId(self.next_call.0 + 1);
            self.session.sent(now, &self.state, &self.policy, (self.next_call, &call));
            self.outputs.push_back(Output::Call(self.next_call, Box::new(call)));
        }
        self.session.put_off(now, &self.policy);
        for (client, answer) in answers {
            self.outputs.push_back(Output::Answer(client, answer));
        }
        if unmet_changed {
            self.publish();
        }
        has_taken || self.outputs.len() > before
    }
}

impl Machine for Director {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Timestamp, input: Input) {
        self.dirty = true;
        match input {
            Input::Mesos(stream, event) => {
                let publish = matches!(event, Event::Subscribed);
                self.session.absorb(now, &self.state, stream, event);
                if publish {
                    self.publish();
                }
            }
            Input::LinkEnded(stream, end) => self.link_ended(now, stream.as_ref(), end),
            Input::Answered(id, answer) => {
                if let Some(why) = self.session.answered(now, &self.policy, id, &answer) {
                    self.session.ended(now, &self.policy, LinkEnd::Broke(why.clone()));
                    self.outputs.push_back(Output::Unsubscribe(why));
                    self.publish();
                }
            }
            Input::Committed => self.committed(now),
            Input::Request(client, request) => self.requested(client, request),
        }
    }

    fn poll(&mut self, now: Timestamp) -> Option<Output> {
        loop {
            if let Some(output) = self.outputs.pop_front() {
                return Some(output);
            }
            if !self.dirty && self.deadline.is_none_or(|deadline| deadline > now) {
                return None;
            }
            self.dirty = self.plan(now);
            self.deadline = self.session.deadline(&self.state, &self.policy, now);
        }
    }

    fn deadline(&self) -> Option<Timestamp> {
        self.deadline
    }
}

/// Tells whether the link is stopped for good, and why.
#[must_use]
pub fn stopped(link: &Link) -> Option<&str> {
    match link {
        Link::Stopped { why } => Some(why),
        Link::Down { .. } | Link::Connecting { .. } | Link::Up { .. } => None,
    }
}
