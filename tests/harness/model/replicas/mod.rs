//! Several replicas over one journal, one `ZooKeeper` and one Mesos, with everything that is on its way between them.

mod coordination;
mod faults;
mod journal;
mod run;
mod step;
mod zookeeper;

use std::collections::VecDeque;
use std::time::Duration;

use epic_common::machine::Machine as _;
use epic_common::time::Timestamp;
use epic_scheduler_core::director::{Director, Input, Output};
use epic_scheduler_core::invariants;
use epic_scheduler_core::mesos::{Call, StreamId};
use epic_scheduler_core::policy::Policy;
use epic_scheduler_core::replica::election::{self, Ask};
use epic_scheduler_core::replica::{
    Input as Heard, Output as Wanted, Question, Replica as Machine, Role, Shown, Terms,
};
use epic_scheduler_core::request::{Answer, ClientId};
use epic_scheduler_core::session::{CallAnswer, CallId};
use epic_scheduler_core::state::State;
use epic_scheduler_core::state::entry::{Entry, Index};

use super::history::History;
use super::{Agent, Crash, Mesos, Out, policy};
use journal::{Appending, JOURNAL, Journal};
pub use step::Step;
pub use zookeeper::SESSION_TIMEOUT;
use zookeeper::ZooKeeper;

/// How a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Process {
    /// It runs.
    Running,
    /// It was stopped and may go on.
    Stopped,
    /// It is gone.
    Dead,
}

/// One scheduler process.
#[derive(Debug)]
pub struct Replica {
    /// How its process is.
    pub process: Process,
    /// Where it serves; no other process ever does.
    pub place: String,
    /// By how many microseconds its clock is ahead.
    pub skew: i64,
    /// Whether it reaches `ZooKeeper`.
    pub is_connected: bool,
    /// Whether and how it takes part.
    pub machine: Machine,
    /// What it decides.
    pub director: Director,
    /// What others see of it.
    pub shown: Shown,
    /// Its session, if it has one, and the question that opened it.
    session: Option<(u64, Ask)>,
    /// The last batch of the copy on its disk.
    copy: usize,
    /// In which epoch its director leads, or led last.
    epoch: u64,
    /// What its director has not handled yet.
    directed: VecDeque<Input>,
    question: Option<(Ask, Question)>,
    candidates: Option<(Ask, election::Question)>,
    inquiry: Option<Ask>,
    appending: Option<Appending>,
    /// What was given up while it was on its way, and may still arrive.
    stray: Option<Appending>,
    snapshot: Option<(Ask, usize, State)>,
    /// What its director has proposed.
    proposed: VecDeque<(Index, Vec<Entry>)>,
    heard: VecDeque<Heard>,
    watched: Option<(Ask, String)>,
    connection: Option<StreamId>,
    /// Whether something was heard on that connection.
    subscribed: bool,
    incoming: VecDeque<Out>,
    replies: VecDeque<(CallId, CallAnswer)>,
}

/// A call on its way to Mesos.
#[derive(Debug)]
struct Wire {
    stream: StreamId,
    /// Who waits for the answer; `None` once that process is dead.
    from: Option<(usize, CallId)>,
    call: Call,
}

/// Everything.
#[derive(Debug)]
pub struct Replicas {
    /// The time.
    pub now: Timestamp,
    /// Mesos.
    pub mesos: Mesos,
    /// The schedulers.
    pub all: Vec<Replica>,
    /// What is durable.
    pub durable: State,
    /// Answers to requests.
    pub answers: Vec<(ClientId, Answer)>,
    /// Who asked for a subscription, in order.
    pub subscriptions: Vec<usize>,
    /// Who was refused by the journal, in order.
    pub deposed: Vec<usize>,
    /// Calls that were made.
    pub calls: usize,
    /// What the machines of replicas have wanted, over all their lives.
    pub outputs: usize,
    /// At which of these a replica is to die.
    pub crash_at: Option<(usize, Crash)>,
    /// For how long a replica leads before it lets another one.
    leading_time_max: Option<Duration>,
    /// Who died of it, and when it comes back.
    fallen: Option<(usize, Timestamp)>,
    zookeeper: ZooKeeper,
    journal: Journal,
    wires: VecDeque<Wire>,
    history: History,
    clients: u64,
    /// Processes that were ever started.
    started: u64,
}

impl Replicas {
    /// Starts so many replicas with an empty journal and these agents.
    #[must_use]
    pub fn new(count: usize, agents: Vec<Agent>) -> Self {
        Self::taking_turns(count, agents, None)
    }

    /// Starts so many replicas, each of which leads for so long before it lets another one.
    #[must_use]
    pub fn taking_turns(count: usize, agents: Vec<Agent>, leading_time_max: Option<Duration>) -> Self {
        let mut world = Self {
            now: Timestamp(1_800_000_000_000_000),
            mesos: Mesos::new(agents),
            all: Vec::new(),
            durable: State::default(),
            answers: Vec::new(),
            subscriptions: Vec::new(),
            deposed: Vec::new(),
            calls: 0,
            outputs: 0,
            crash_at: None,
            leading_time_max,
            fallen: None,
            zookeeper: ZooKeeper::default(),
            journal: Journal::default(),
            wires: VecDeque::new(),
            history: History::default(),
            clients: 0,
            started: 0,
        };
        for who in 0..count {
            let replica = world.fresh(who, 0);
            world.all.push(replica);
        }
        world
    }

    /// Makes a process whose disk holds so many batches.
    fn fresh(&mut self, who: usize, copy: usize) -> Replica {
        let (known, state) = self.journal.copy(copy);
        self.started += 1;
        let place = format!("http://10.0.1.1:{}", 8_000 + self.started);
        let terms = Terms {
            id: who.to_string(),
            advertise: place.clone(),
            role: policy().role,
            place: JOURNAL.to_owned(),
            leading_time_max: self.leading_time_max,
        };
        Replica {
            process: Process::Running,
            skew: 0,
            is_connected: true,
            machine: Machine::new(terms, known, "not connected yet".to_owned()),
            director: Director::new(state, cautious(place.clone())),
            place,
            shown: Shown::default(),
            session: None,
            copy,
            epoch: 0,
            directed: VecDeque::new(),
            question: None,
            candidates: None,
            inquiry: None,
            appending: None,
            stray: None,
            snapshot: None,
            proposed: VecDeque::new(),
            heard: VecDeque::new(),
            watched: None,
            connection: None,
            subscribed: false,
            incoming: VecDeque::new(),
            replies: VecDeque::new(),
        }
    }

    fn tell(&mut self, who: usize, input: Input) {
        let now = self.all[who].clock(self.now);
        self.all[who].director.handle(now, input);
        self.collect(who);
    }

    /// Collects what a replica wants now, unless it can't say it.
    ///
    /// # Panics
    ///
    /// If it wants what isn't backed by what it has applied, or subscribes though another one has claimed.
    pub fn collect(&mut self, who: usize) {
        let now = self.all[who].clock(self.now);
        while let Some(output) = self.active(who).and_then(|replica| replica.director.poll(now)) {
            let replica = &mut self.all[who];
            let stream = replica.director.session().link.stream().cloned();
            self.history.output(&output, replica.director.state(), stream.as_ref(), &self.mesos);
            match output {
                Output::Propose(first, entries) => replica.proposed.push_back((first, entries)),
                Output::Subscribe(subscribe) => {
                    assert_eq!(replica.epoch, self.durable.epoch(), "{who} subscribes after another one has claimed");
                    assert!(subscribe.not_after.is_some_and(|at| at >= now), "{who} subscribes too late");
                    let stream = self.mesos.subscribe(&subscribe).expect("nobody tore it down");
                    (replica.connection, replica.subscribed) = (Some(stream), false);
                    replica.incoming.clear();
                    self.subscriptions.push(who);
                }
                Output::Unsubscribe(_) => {
                    replica.connection = None;
                    replica.incoming.clear();
                }
                Output::Call(id, call) => {
                    self.calls += 1;
                    let stream = stream.expect("calls need a subscription");
                    self.wires.push_back(Wire { stream, from: Some((who, id)), call: *call });
                }
                Output::Answer(client, answer) => self.answers.push((client, answer)),
                Output::Publish(seen) => assert_eq!(seen.leading, replica.director.is_leading()),
                Output::Unwritable(why) => panic!("a decision can't be written: {why}"),
                Output::Halt(why) => panic!("{who} wants to end: {why}"),
            }
        }
        while let Some(output) = self.active(who).and_then(|replica| replica.machine.poll(now)) {
            self.outputs += 1;
            let crash = self.crash_at.take_if(|(at, _)| *at == self.outputs).map(|(_, crash)| crash);
            if crash != Some(Crash::Before) {
                self.carry_out(who, output);
            }
            if crash.is_some() {
                self.kill(who);
                self.fallen = Some((who, self.now + SESSION_TIMEOUT * 2));
            }
        }
    }

    fn hear(&mut self, who: usize, heard: Heard) {
        let now = self.all[who].clock(self.now);
        self.all[who].machine.handle(now, heard);
        self.collect(who);
    }

    /// Carries out what the machine of a replica wants.
    ///
    /// # Panics
    ///
    /// If it isn't backed by what the director has applied.
    fn carry_out(&mut self, who: usize, output: Wanted) {
        let replica = &mut self.all[who];
        match output {
            Wanted::Direct(input) => replica.directed.push_back(input),
            Wanted::Journal(ask, question) => replica.question = Some((ask, question)),
            Wanted::Candidates(ask, question) => {
                (replica.candidates, replica.watched) = (Some((ask, question)), None);
            }
            Wanted::Peers(ask) => replica.inquiry = Some(ask),
            Wanted::Claim(ask, batch) | Wanted::Append(ask, batch) => {
                let appending = Appending { ask, batch, landed: false };
                assert!(replica.appending.replace(appending).is_none(), "two batches are on their way");
            }
            Wanted::StopAppending => replica.stray = replica.appending.take().filter(|appending| !appending.landed),
            Wanted::Snapshot(ask, batch, index) => {
                let (state, batch) = (replica.director.state().clone(), usize::try_from(batch).expect("few batches"));
                assert_eq!(state.index, index, "the director has another state than its replica knows");
                assert_eq!(state, self.journal.state(batch), "a snapshot would not be the sum of all batches");
                replica.snapshot = Some((ask, batch, state));
            }
            Wanted::Copy(copied) => {
                let number = usize::try_from(copied.number).expect("few batches");
                assert_eq!(number, replica.copy + 1, "a batch lacks in the copy");
                replica.copy = number;
            }
            Wanted::CopyWhole(at, index) => {
                assert_eq!(
                    replica.director.state().index,
                    index,
                    "the director has another state than its replica knows"
                );
                replica.copy = usize::try_from(at.batch).expect("few batches");
                assert_eq!(*replica.director.state(), self.journal.state(replica.copy), "the copy is another state");
            }
            Wanted::Show(shown) => {
                let leads = replica.director.is_leading();
                assert_eq!(shown.role == Role::Leading, leads, "{who} shows {shown:?} and its director leads: {leads}");
                replica.shown = shown;
            }
            Wanted::ShowPeers(_) | Wanted::Warn(_) => {}
            Wanted::Close => self.close(who),
            Wanted::End => panic!("nobody has stopped {who}"),
        }
    }

    /// Returns a replica that runs and isn't stopped.
    fn active(&mut self, who: usize) -> Option<&mut Replica> {
        let replica = &mut self.all[who];
        (replica.process == Process::Running).then_some(replica)
    }

    /// Writes a batch where nothing is yet.
    fn append(&mut self, epoch: u64, entries: &[Entry]) {
        assert!(epoch >= self.durable.epoch(), "epoch {epoch} writes after {}", self.durable.epoch());
        let first = self.durable.index.next();
        for entry in entries {
            assert!(entry.at >= self.durable.at, "time runs backwards in the journal");
            assert!(entry.at <= self.now, "the clock of a replica is in the journal");
            self.history.committed(&self.durable, entry);
            self.durable.apply(entry);
        }
        invariants::check_all(&self.durable);
        self.journal.add(first, entries.to_vec(), self.durable.clone());
    }
}

impl Replica {
    /// Returns the time by its own clock.
    #[must_use]
    pub const fn clock(&self, now: Timestamp) -> Timestamp {
        Timestamp(now.0.saturating_add_signed(self.skew))
    }
}

/// Returns the policy of one replica among several.
fn cautious(advertise: String) -> Policy {
    Policy { barrier: Some(BARRIER), advertise, ..policy() }
}

const BARRIER: Duration = Duration::from_millis(3_333);
