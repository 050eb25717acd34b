//! A scheduler's core, its journal and the model of Mesos, with everything that is on its way between them.

mod people;
mod run;

use std::collections::VecDeque;
use std::time::Duration;

use epic_common::ids::UnitId;
use epic_common::machine::Machine;
use epic_common::time::Timestamp;
use epic_scheduler_core::director::{Director, Input, Output};
use epic_scheduler_core::invariants;
use epic_scheduler_core::mesos::{Call, Event, StreamId, Subscribe};
use epic_scheduler_core::request::{Answer, ClientId};
use epic_scheduler_core::session::{CallAnswer, CallId};
use epic_scheduler_core::state::entry::Entry;
use epic_scheduler_core::state::{State, Unit};

use super::history::History;
use super::{Agent, Mesos, Out, policy};

/// Outputs without any time passing; more mean that it never rests.
const OUTPUTS_MAX: usize = 2_000;

/// The moment at which a scheduler dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// With the output not carried out.
    Before,
    /// With the output carried out, and its answer not heard.
    After,
}

/// Something that can happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The batch becomes durable.
    Commit,
    /// The subscription is asked for.
    Subscribe,
    /// A call arrives; calls to one agent keep their order.
    Call(usize),
    /// A call's answer arrives.
    Answer(usize),
    /// Something that Mesos said arrives.
    Event,
}

/// A call on its way to Mesos.
#[derive(Clone, Debug)]
struct Wire {
    stream: StreamId,
    /// Who waits for the answer; `None` once that scheduler is dead.
    id: Option<CallId>,
    call: Call,
}

/// Everything.
#[derive(Debug)]
pub struct World {
    /// The time.
    pub now: Timestamp,
    /// Mesos.
    pub mesos: Mesos,
    /// The scheduler that lives.
    pub director: Director,
    /// What is durable.
    pub durable: State,
    /// All that is durable, in order.
    pub journal: Vec<Entry>,
    /// Answers to requests.
    pub answers: Vec<(ClientId, Answer)>,
    /// Why the scheduler wanted to end its process.
    pub halted: Option<String>,
    /// How many outputs there were.
    pub outputs: usize,
    /// Every call, in the order in which the scheduler made them.
    pub calls_made: Vec<Call>,
    /// Messages to executors that will be lost.
    pub nudges_to_lose: u32,
    /// At which output the scheduler dies.
    pub crash_at: Option<(usize, Crash)>,
    connection: Option<StreamId>,
    /// Whether something was heard on that connection.
    subscribed: bool,
    proposed: Option<Vec<Entry>>,
    subscribing: Option<Subscribe>,
    wires: VecDeque<Wire>,
    replies: VecDeque<(CallId, CallAnswer)>,
    history: History,
    clients: u64,
}

impl World {
    /// Begins with an empty journal and these agents.
    #[must_use]
    pub fn new(agents: Vec<Agent>) -> Self {
        let mut world = Self {
            now: Timestamp(1_800_000_000_000_000),
            mesos: Mesos::new(agents),
            director: Director::new(State::default(), policy()),
            durable: State::default(),
            journal: Vec::new(),
            answers: Vec::new(),
            halted: None,
            outputs: 0,
            calls_made: Vec::new(),
            nudges_to_lose: 0,
            crash_at: None,
            connection: None,
            subscribed: false,
            proposed: None,
            subscribing: None,
            wires: VecDeque::new(),
            replies: VecDeque::new(),
            history: History::default(),
            clients: 0,
        };
        world.director.handle(world.now, Input::Lead { claimed: None });
        world
    }

    /// Gives an input to the scheduler and collects what it wants.
    pub fn tell(&mut self, input: Input) {
        self.director.handle(self.now, input);
        self.collect();
    }

    /// Collects what the scheduler wants now.
    ///
    /// # Panics
    ///
    /// If it wants what isn't backed by what is durable, or never rests.
    pub fn collect(&mut self) {
        let before = self.outputs;
        while let Some(output) = self.director.poll(self.now) {
            self.outputs += 1;
            assert!(self.outputs - before < OUTPUTS_MAX, "it never rests; the last was {output:?}");
            let stream = self.director.session().link.stream().cloned();
            let dies = self.crash_at.filter(|(at, _)| *at == self.outputs).map(|(_, crash)| crash);
            if dies == Some(Crash::Before) {
                return self.crash();
            }
            self.history.output(&output, &self.durable, stream.as_ref(), &self.mesos);
            self.enqueue(output, stream);
            if dies == Some(Crash::After) {
                while self.proposed.is_some() || self.subscribing.is_some() || !self.wires.is_empty() {
                    self.carry_out();
                }
                return self.crash();
            }
        }
    }

    fn enqueue(&mut self, output: Output, stream: Option<StreamId>) {
        match output {
            Output::Propose(_, entries) => {
                assert!(self.proposed.replace(entries).is_none(), "two batches are on their way");
            }
            Output::Subscribe(subscribe) => self.subscribing = Some(subscribe),
            Output::Unsubscribe(_) => self.connection = None,
            Output::Call(id, call) => {
                self.calls_made.push((*call).clone());
                self.wires.push_back(Wire {
                    stream: stream.expect("calls need a subscription"),
                    id: Some(id),
                    call: *call,
                });
            }
            Output::Answer(client, answer) => self.answers.push((client, answer)),
            Output::Publish(_) => {}
            Output::Unwritable(why) => panic!("a decision can't be written: {why}"),
            Output::Halt(why) => self.halted = Some(why),
        }
    }

    /// Carries out whatever is on its way, without telling the scheduler.
    fn carry_out(&mut self) {
        if let Some(entries) = self.proposed.take() {
            self.make_durable(&entries);
        }
        if let Some(subscribe) = self.subscribing.take() {
            self.mesos.subscribe(&subscribe).ok();
        }
        while let Some(wire) = self.wires.pop_front() {
            self.mesos.call(self.now, &wire.stream, &wire.call);
        }
    }

    fn make_durable(&mut self, entries: &[Entry]) {
        for entry in entries {
            assert!(entry.at >= self.durable.at, "time runs backwards in the journal");
            self.history.committed(&self.durable, entry);
            self.durable.apply(entry);
        }
        self.journal.extend_from_slice(entries);
        invariants::check_all(&self.durable);
    }

    /// Ends the scheduler and starts another one from the journal; its calls may still arrive.
    ///
    /// # Panics
    ///
    /// If the journal doesn't fold to what is durable.
    pub fn crash(&mut self) {
        self.crash_at = None;
        (self.proposed, self.subscribing, self.connection) = (None, None, None);
        self.replies.clear();
        for wire in &mut self.wires {
            wire.id = None;
        }
        let mut state = State::default();
        for entry in &self.journal {
            state.apply(entry);
        }
        assert_eq!(state, self.durable, "the journal folds to another state");
        self.director = Director::new(state, policy());
        self.now = self.now + Duration::from_secs(1);
        self.tell(Input::Lead { claimed: None });
    }

    /// Ends the scheduler and starts another one from a copy of the journal that was made after so many entries.
    pub fn restore(&mut self, entries: usize) {
        self.journal.truncate(entries);
        (self.durable, self.history) = (State::default(), History::default());
        for entry in &self.journal {
            self.history.committed(&self.durable, entry);
            self.durable.apply(entry);
        }
        self.mesos.break_link();
        self.crash();
    }

    /// Lists the calls that are on their way.
    pub fn wires(&self) -> impl Iterator<Item = &Call> {
        self.wires.iter().map(|wire| &wire.call)
    }

    /// Loses the calls of dead schedulers.
    pub fn drop_ghosts(&mut self) {
        self.wires.retain(|wire| wire.id.is_some());
    }

    /// Loses every call that is on its way, as a broken connection does.
    pub fn drop_wires(&mut self) {
        self.wires.clear();
    }

    /// Ends the subscription as a broken connection does: calls on their way may have arrived or not.
    pub fn break_link(&mut self) {
        self.mesos.break_link();
    }

    /// Loses the answer of a call that is on its way; `arrives` says whether Mesos gets it.
    pub fn lose_call(&mut self, at: usize, arrives: bool) {
        let Some(wire) = self.wires.remove(at) else { return };
        if arrives {
            self.mesos.call(self.now, &wire.stream, &wire.call);
        }
        if let Some(id) = wire.id {
            self.tell(Input::Answered(id, CallAnswer::Lost("no answer came".to_owned())));
        }
    }

    /// Lists what can happen next without time passing.
    #[must_use]
    pub fn actions(&self) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.proposed.is_some() {
            actions.push(Action::Commit);
        }
        if self.subscribing.is_some() {
            actions.push(Action::Subscribe);
        }
        let mut lanes = Vec::new();
        for (at, wire) in self.wires.iter().enumerate() {
            let lane = (&wire.stream, wire.call.lane());
            if !lanes.contains(&lane) {
                lanes.push(lane);
                actions.push(Action::Call(at));
            }
        }
        actions.extend((0..self.replies.len()).map(Action::Answer));
        if !self.mesos.out.is_empty() {
            actions.push(Action::Event);
        }
        actions
    }

    /// Lets something happen.
    ///
    /// # Panics
    ///
    /// If it isn't one of [`actions`](Self::actions).
    pub fn perform(&mut self, action: Action) {
        match action {
            Action::Commit => {
                let entries = self.proposed.take().expect("a batch is on its way");
                let first = self.durable.index.next();
                self.make_durable(&entries);
                self.tell(Input::Committed(first));
            }
            Action::Subscribe => {
                let subscribe = self.subscribing.take().expect("a subscription is asked for");
                match self.mesos.subscribe(&subscribe) {
                    Ok(stream) => (self.connection, self.subscribed) = (Some(stream), false),
                    Err(end) => self.tell(Input::LinkEnded(None, end)),
                }
            }
            Action::Call(at) => {
                let wire = self.wires.remove(at).expect("a call is on its way");
                let lost = self.nudges_to_lose > 0 && matches!(wire.call, Call::Message { .. });
                self.nudges_to_lose -= u32::from(lost);
                let answer =
                    if lost { CallAnswer::Accepted } else { self.mesos.call(self.now, &wire.stream, &wire.call) };
                self.replies.extend(wire.id.map(|id| (id, answer)));
            }
            Action::Answer(at) => {
                let (id, answer) = self.replies.remove(at).expect("an answer is on its way");
                self.tell(Input::Answered(id, answer));
            }
            Action::Event => self.hear(),
        }
        self.history.running(&self.durable, &self.mesos);
    }

    /// Delivers the next thing that Mesos said, if the connection on which it was said still stands.
    fn hear(&mut self) {
        match self.mesos.out.pop_front() {
            Some(Out::Event(stream, event)) if self.connection.as_ref() == Some(&stream) => {
                self.subscribed = true;
                self.tell(Input::Mesos(stream, event));
            }
            Some(Out::End(stream, end)) if self.connection.as_ref() == Some(&stream) => {
                self.connection = None;
                // A stream that ends before its first event was never had.
                self.tell(Input::LinkEnded(self.subscribed.then_some(stream), end));
            }
            Some(Out::Event(..) | Out::End(..)) | None => {}
        }
    }

    /// Returns a member as it is durable.
    ///
    /// # Panics
    ///
    /// If there is none of that name.
    #[must_use]
    pub fn member(&self, name: &str) -> &Unit {
        let id: UnitId = name.parse().expect("it is a unit's name");
        self.durable.units.all.get(&id).expect("the member is there")
    }

    /// Counts the calls of a kind that the scheduler made.
    #[must_use]
    pub fn count(&self, which: impl Fn(&Call) -> bool) -> usize {
        self.calls_made.iter().filter(|call| which(call)).count()
    }

    /// Says something in the name of Mesos, on the stream that stands.
    pub fn say(&mut self, event: Event) {
        if let Some(stream) = self.mesos.stream().cloned() {
            self.mesos.out.push_back(Out::Event(stream, event));
        }
    }
}
