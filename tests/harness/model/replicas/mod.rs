//! Several replicas over one journal, one `ZooKeeper` and one Mesos, with everything that is on its way between them.

mod faults;
mod run;
mod step;
mod zookeeper;

use std::collections::VecDeque;
use std::time::Duration;

use epic_common::machine::Machine;
use epic_common::time::Timestamp;
use epic_scheduler_core::director::{Director, Input, Output};
use epic_scheduler_core::invariants;
use epic_scheduler_core::mesos::{Call, StreamId};
use epic_scheduler_core::policy::Policy;
use epic_scheduler_core::replica::election::{Ask, Election, Input as Heard, Output as Asked};
use epic_scheduler_core::request::{Answer, ClientId};
use epic_scheduler_core::session::{CallAnswer, CallId};
use epic_scheduler_core::state::State;
use epic_scheduler_core::state::entry::{Entry, Index};

use super::history::History;
use super::{Agent, Mesos, Out, policy};
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
    /// Who leads.
    pub election: Election,
    /// What it decides.
    pub director: Director,
    session: u64,
    read: usize,
    is_chosen: bool,
    /// The batch of its claim that it hasn't read back, and when the claim was begun.
    claim: Option<(usize, Timestamp)>,
    epoch: u64,
    asked: VecDeque<Asked>,
    heard: VecDeque<Heard>,
    watched: Option<(Ask, String)>,
    proposed: Option<Proposal>,
    connection: Option<StreamId>,
    /// Whether something was heard on that connection.
    subscribed: bool,
    incoming: VecDeque<Out>,
    replies: VecDeque<(CallId, CallAnswer)>,
}

/// A batch on its way to the journal.
#[derive(Debug)]
struct Proposal {
    at: usize,
    first: Index,
    entries: Vec<Entry>,
    epoch: u64,
    landed: bool,
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
    zookeeper: ZooKeeper,
    journal: Vec<(Index, Vec<Entry>)>,
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
        let mut world = Self {
            now: Timestamp(1_800_000_000_000_000),
            mesos: Mesos::new(agents),
            all: Vec::new(),
            durable: State::default(),
            answers: Vec::new(),
            subscriptions: Vec::new(),
            deposed: Vec::new(),
            calls: 0,
            zookeeper: ZooKeeper::default(),
            journal: Vec::new(),
            wires: VecDeque::new(),
            history: History::default(),
            clients: 0,
            started: 0,
        };
        for _ in 0..count {
            let replica = world.fresh(0);
            world.all.push(replica);
        }
        world
    }

    /// Makes a process that has applied so many batches.
    fn fresh(&mut self, read: usize) -> Replica {
        let mut state = State::default();
        for entry in self.journal[..read].iter().flat_map(|(_, entries)| entries) {
            state.apply(entry);
        }
        self.started += 1;
        let place = format!("http://10.0.1.1:{}", 8_000 + self.started);
        Replica {
            process: Process::Running,
            skew: 0,
            is_connected: true,
            election: Election::new(policy().resubscribe),
            director: Director::new(state, cautious(place.clone())),
            place,
            session: self.zookeeper.open(self.now),
            read,
            is_chosen: false,
            claim: None,
            epoch: 0,
            asked: VecDeque::new(),
            heard: [Heard::Connected].into(),
            watched: None,
            proposed: None,
            connection: None,
            subscribed: false,
            incoming: VecDeque::new(),
            replies: VecDeque::new(),
        }
    }

    /// Tells a replica where the others serve.
    fn introduce(&mut self, who: usize) {
        let others = self.all.iter().enumerate().filter(|(at, other)| *at != who && other.process != Process::Dead);
        let urls = others.map(|(_, other)| other.place.clone()).collect();
        self.tell(who, Input::Sources(urls));
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
                Output::Propose(first, entries) => {
                    let (at, epoch) = (replica.read, replica.epoch);
                    let proposal = Proposal { at, first, entries, epoch, landed: false };
                    assert!(replica.proposed.replace(proposal).is_none(), "two batches are on their way");
                }
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
                Output::Halt(why) => panic!("{who} wants to end: {why}"),
            }
        }
        while let Some(output) = self.active(who).and_then(|replica| replica.election.poll(now)) {
            let replica = &mut self.all[who];
            match output {
                Asked::Create(_) | Asked::List(_) | Asked::Watch { .. } | Asked::Withdraw { .. } => {
                    replica.asked.push_back(output);
                }
                Asked::Claim => replica.is_chosen = true,
                Asked::Pause => self.tell(who, Input::Paused),
                Asked::Resume => self.tell(who, Input::Resumed),
                Asked::StandDown => {
                    (replica.is_chosen, replica.claim) = (false, None);
                    self.tell(who, Input::StandDown("the session has expired".to_owned()));
                }
            }
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
        self.journal.push((self.durable.index.next(), entries.to_vec()));
        for entry in entries {
            assert!(entry.at >= self.durable.at, "time runs backwards in the journal");
            assert!(entry.at <= self.now, "the clock of a replica is in the journal");
            self.history.committed(&self.durable, entry);
            self.durable.apply(entry);
        }
        invariants::check_all(&self.durable);
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
