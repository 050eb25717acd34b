//! The machine that runs everything: events in, plans out.

mod traffic;

use std::collections::VecDeque;
use std::time::Duration;

use epic_common::machine::Machine;
use epic_common::time::Timestamp;

use crate::invariants;
use crate::mesos::{Event, LinkEnd, StreamId};
use crate::planner::{Plan, plan};
use crate::policy::{Policy, REQUESTS_MAX};
use crate::request::{ClientId, Grantal, Rejection, RejectionKind, Request};
use crate::session::{CallId, Elder, Link, Session};
use crate::state::State;
use crate::state::entry::{Entry, Index};
pub use traffic::{Input, Output, Seen};

/// What this replica is to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// It follows, and decides nothing.
    Standby,
    /// It decides.
    Leading,
}

/// The scheduler's decisions as one machine.
#[derive(Debug)]
pub struct Director {
    role: Role,
    /// Whether it may decide nothing until it is known again that it leads.
    is_paused: bool,
    state: State,
    session: Session,
    policy: Policy,
    batch: Vec<Entry>,
    outputs: VecDeque<Output>,
    next_call: CallId,
    dirty: bool,
    deadline: Option<Timestamp>,
    /// By how many microseconds the journal's time is ahead of this scheduler's clock; less than 0 if it is behind.
    ahead: i64,
    elder: Option<Elder>,
}

impl Director {
    /// Begins as a standby with what the journal holds.
    #[must_use]
    pub fn new(state: State, policy: Policy) -> Self {
        Self {
            role: Role::Standby,
            is_paused: false,
            state,
            session: Session::new(),
            policy,
            batch: Vec::new(),
            outputs: VecDeque::new(),
            next_call: CallId(0),
            dirty: false,
            deadline: None,
            ahead: 0,
            elder: None,
        }
    }

    /// Tells whether this replica leads, also while it is paused.
    #[must_use]
    pub fn is_leading(&self) -> bool {
        self.role == Role::Leading
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

    /// The news of a batch that was proposed in an earlier time of leading is void: it comes as one that was followed.
    fn committed(&mut self, now: Timestamp, at: Index) {
        if at != self.state.index.next() {
            return;
        }
        let Some(batch) = self.session.proposed.take() else { return };
        let first = self.state.index;
        for entry in std::mem::take(&mut self.batch) {
            self.session.commits(&self.state, &entry);
            let touched = self.state.apply(&entry);
            invariants::check(&self.state, &touched);
            self.session.committed(now, &self.state, &entry, &touched);
        }
        if let Some(at) = batch.barrier {
            self.session.proved(now, &self.policy, at);
        }
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
            leading: self.is_leading(),
            leader: self.state.identity.leader.clone(),
        })));
    }

    /// Applies what others have made durable.
    ///
    /// # Panics
    ///
    /// If entries are missing before it, or are there already: this replica would differ from the others.
    fn followed(&mut self, first: Index, entries: &[Entry]) {
        if entries.is_empty() {
            return;
        }
        assert_eq!(first, self.state.index.next(), "what is followed doesn't come next in the journal");
        // Whoever hears that somebody else writes doesn't lead any more.
        self.stand_down("another replica writes to the journal");
        for entry in entries {
            let touched = self.state.apply(entry);
            invariants::check(&self.state, &touched);
        }
        self.publish();
    }

    /// Goes on from the journal's time if the clock is behind it, so that no back-off gets longer because an earlier
    /// leader's clock was wrong.
    fn lead(&mut self, now: Timestamp, claimed: Option<Timestamp>) {
        if self.is_leading() {
            return;
        }
        self.role = Role::Leading;
        if shifted(now, self.ahead) < self.state.at {
            self.ahead = ahead(self.state.at, now);
        }
        self.session.barrier = claimed.map(|at| shifted(at, self.ahead));
        self.session.elder.clone_from(&self.elder);
        self.publish();
    }

    /// Stops acting; what asks for a subscription just now is not to get it.
    fn pause(&mut self, now: Timestamp) {
        self.is_paused = true;
        if matches!(self.session.link, Link::Connecting { .. }) {
            let why = "it is not known whether this replica still leads".to_owned();
            self.outputs.retain(|output| !matches!(output, Output::Subscribe(_)));
            self.outputs.push_back(Output::Unsubscribe(why.clone()));
            self.session.ended(now, &self.policy, LinkEnd::Broke(why));
            self.publish();
        }
    }

    /// Forgets everything but what is durable. A batch that is on its way is neither applied nor given up: the journal
    /// says later what became of it.
    fn stand_down(&mut self, why: &str) {
        self.is_paused = false;
        if !self.is_leading() {
            return;
        }
        self.role = Role::Standby;
        (self.dirty, self.deadline) = (false, None);
        self.outputs.retain(|output| !acts(output));
        self.batch.clear();
        let (held, others) = (self.session.held.take(), std::mem::take(&mut self.session.others));
        let fresh = Session { was_up: self.session.was_up, held, others, ..Session::new() };
        let session = std::mem::replace(&mut self.session, fresh);
        let granted = session.proposed.into_iter().flat_map(|batch| batch.grants).map(|(client, ..)| client);
        for client in granted.chain(session.requests.into_iter().map(|(client, _)| client)) {
            self.outputs.push_back(Output::Answer(client, Err(lost())));
        }
        self.outputs.push_back(Output::Unsubscribe(why.to_owned()));
        self.publish();
    }

    fn requested(&mut self, client: ClientId, request: Request) {
        if !self.is_leading() {
            self.outputs.push_back(Output::Answer(client, Err(self.not_leading())));
        } else if self.session.requests.len() < REQUESTS_MAX {
            self.session.requests.push_back((client, request));
        } else {
            let detail = "too many requests wait for the journal; try again in a moment";
            let rejection = Rejection::new(RejectionKind::Unavailable, "the scheduler is busy", detail);
            self.outputs.push_back(Output::Answer(client, Err(rejection)));
        }
    }

    fn not_leading(&self) -> Rejection {
        let leader =
            self.state.identity.leader.as_ref().map_or_else(String::new, |leader| format!(" at {}", leader.advertise));
        let detail = format!("ask the leader{leader}, or try again in a moment");
        Rejection::new(RejectionKind::Unavailable, "not the leader", detail)
    }

    fn link_ended(&mut self, now: Timestamp, stream: Option<&StreamId>, end: LinkEnd) {
        let asked = stream.is_none() && matches!(self.session.link, Link::Connecting { .. });
        if !asked && (stream.is_none() || self.session.link.stream() != stream) {
            return;
        }
        let removed = matches!(&end, LinkEnd::Said(text) if text.contains("Framework has been removed"));
        // One that ended itself would only hand the same refusal to the next.
        let alone = self.policy.barrier.is_none();
        let definite = asked && !removed && alone && !self.session.was_up;
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
        self.session.took(now, (&self.state, &self.policy), &plan);
        // What waits until there is no update may go on, even if the updates themselves led to nothing.
        let has_taken = self.session.updates.len() < updates;
        let unmet_changed = unmet.is_some_and(|before| before != self.session.unmet);
        let Plan { subscribe, calls, entries, answers, unwritable, .. } = plan;
        // What can't be written now can't be a moment later: it is tried again when something happens.
        self.outputs.extend(unwritable.into_iter().map(Output::Unwritable));
        let before = self.outputs.len();
        if let Some(mut subscribe) = subscribe {
            subscribe.not_after = subscribe.not_after.map(|at| shifted(at, self.ahead.saturating_neg()));
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
        let (clock, now) = (now, shifted(now, self.ahead));
        match input {
            Input::Followed(first, entries) => self.followed(first, &entries),
            Input::Restored(state) => {
                self.stand_down("another replica writes to the journal");
                self.state = *state;
                self.publish();
            }
            Input::Time { journal, clock } if !self.is_leading() => self.ahead = ahead(journal, clock),
            // A clock that jumps while it counts would be worse than one that is wrong.
            Input::Time { .. } => {}
            Input::Fresh(within) => self.policy.barrier = self.policy.barrier.map(|asked| asked.min(within)),
            Input::Elder(elder) => {
                self.session.elder.clone_from(&elder);
                self.elder = elder;
            }
            Input::Sources(urls) => self.session.served(now, &self.state, urls),
            Input::Lead { claimed } => self.lead(clock, claimed),
            Input::StandDown(why) => self.stand_down(&why),
            Input::Paused => self.pause(now),
            Input::Resumed => self.is_paused = false,
            Input::Held(held) => {
                if self.session.hold(held) {
                    self.publish();
                }
            }
            Input::Request(client, request) => self.requested(client, request),
            Input::Mesos(stream, event) => {
                let publish = matches!(event, Event::Subscribed);
                self.session.absorb(now, &self.state, stream, event);
                if publish {
                    self.publish();
                }
            }
            Input::LinkEnded(stream, end) => self.link_ended(now, stream.as_ref(), end),
            Input::Answered(id, answer) => {
                if let Some(end) = self.session.answered(now, &self.policy, id, &answer) {
                    self.session.ended(now, &self.policy, end);
                    self.outputs.push_back(Output::Unsubscribe(self.session.link.problem().to_owned()));
                    self.publish();
                }
            }
            Input::Committed(first) => self.committed(now, first),
        }
        self.dirty = self.is_leading();
    }

    fn poll(&mut self, now: Timestamp) -> Option<Output> {
        let now = shifted(now, self.ahead);
        loop {
            // What was planned before a pause waits for its end.
            let next = self.outputs.iter().position(|output| !self.is_paused || !acts(output));
            if let Some(output) = next.and_then(|at| self.outputs.remove(at)) {
                return Some(output);
            }
            let is_due = self.dirty || self.deadline.is_some_and(|deadline| deadline <= now);
            if !is_due || self.is_paused || !self.is_leading() {
                return None;
            }
            self.dirty = self.plan(now);
            self.deadline = self.session.deadline(&self.state, &self.policy, now);
        }
    }

    fn deadline(&self) -> Option<Timestamp> {
        self.deadline.filter(|_| !self.is_paused).map(|at| shifted(at, self.ahead.saturating_neg()))
    }
}

/// Tells whether carrying it out has an effect on journal or Mesos that only a leader may have.
const fn acts(output: &Output) -> bool {
    match output {
        Output::Propose(..) | Output::Subscribe(_) | Output::Call(..) => true,
        Output::Unsubscribe(_) | Output::Answer(..) | Output::Publish(_) | Output::Unwritable(_) | Output::Halt(_) => {
            false
        }
    }
}

/// Returns a time on a clock that is so many microseconds ahead.
const fn shifted(at: Timestamp, micros: i64) -> Timestamp {
    Timestamp(at.0.saturating_add_signed(micros))
}

/// Says by how many microseconds the first is ahead of the second.
fn ahead(time: Timestamp, clock: Timestamp) -> i64 {
    let micros = |duration: Duration| i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
    if time >= clock { micros(time.since(clock)) } else { -micros(clock.since(time)) }
}

fn lost() -> Rejection {
    let detail = "whether the request was granted isn't known; retry with the same Idempotency-Key";
    Rejection::new(RejectionKind::Unavailable, "leadership was lost", detail)
}
