//! A leader with a journal and a Mesos that answer at once, as each test says.

use std::time::Duration;

use epic_common::ids::Digest;
use epic_common::machine::Machine;
use epic_common::manifest::Cardinality;
use epic_common::resources::{Bytes, MilliCpus};
use epic_common::time::Timestamp;
use epic_scheduler_core::director::{Director, Input, Output};
use epic_scheduler_core::mesos::{
    Amount, Call, Event, Launch, LinkEnd, Offer, Reservation, Resource, Status, StreamId, TaskState,
};
use epic_scheduler_core::policy::Policy;
use epic_scheduler_core::session::{CallAnswer, CallId};
use epic_scheduler_core::state::State;
use epic_scheduler_core::state::deployment::{Bundle, Desired, RoleNeeds};
use epic_scheduler_core::state::entry::{Entry, Fact, Index};

pub(crate) const START: Timestamp = Timestamp(1_800_000_000_000_000);

/// A leader and what it did.
pub(crate) struct Scene {
    pub(crate) now: Timestamp,
    pub(crate) director: Director,
    /// Every call with its time.
    pub(crate) calls: Vec<(Timestamp, Call)>,
    /// How each call goes.
    pub(crate) fate: fn(&Call) -> CallAnswer,
    /// Whether what is proposed becomes durable at once.
    pub(crate) commits: bool,
    pub(crate) subscriptions: u64,
    pub(crate) halted: bool,
    uuids: u128,
    offers: u32,
    first: Option<Index>,
    /// Why no subscription can be had.
    pub(crate) refusal: Option<LinkEnd>,
}

pub(crate) fn policy() -> Policy {
    Policy::new("BlueData".to_owned(), "http://10.0.0.100:8080".to_owned(), Digest([0xcd; 32]))
}

/// A platform of so many workers, each of which needs two cores.
pub(crate) fn desired(workers: u32) -> Desired {
    let role = RoleNeeds {
        id: "worker".into(),
        cardinality: Cardinality::AtLeast(0),
        cpus: MilliCpus(2_000),
        mem: Bytes(1),
        disk: Bytes(0),
        ports: [].into(),
        reads_members: false,
        endpoints: Vec::new(),
    };
    Desired {
        name: "demo".to_owned(),
        bundle: Bundle { sha256: Digest([0; 32]), bytes: 1, distro_id: String::new(), version: String::new() },
        roles: vec![role],
        members: [("worker".into(), workers)].into(),
        ceiling: None,
        root_allowed: false,
    }
}

pub(crate) fn accepted(_: &Call) -> CallAnswer {
    CallAnswer::Accepted
}

impl Scene {
    /// Leads a platform of so many workers, and is subscribed.
    pub(crate) fn new(workers: u32) -> Self {
        Self::with(workers, policy())
    }

    pub(crate) fn with(workers: u32, policy: Policy) -> Self {
        let mut scene = Self::standby(workers, policy);
        scene.tell(Input::Lead { claimed: Some(START) });
        scene
    }

    /// Doesn't lead yet.
    pub(crate) fn standby(workers: u32, policy: Policy) -> Self {
        let mut state = State::default();
        let framework = Fact::FrameworkChosen { framework: "framework-1".into(), role: "BlueData".to_owned() };
        for fact in [framework, Fact::PlatformApplied { desired: Box::new(desired(workers)), key: None }] {
            state.apply(&Entry::new(START, fact));
        }
        Self {
            now: START,
            director: Director::new(state, policy),
            calls: Vec::new(),
            fate: accepted,
            commits: true,
            subscriptions: 0,
            halted: false,
            uuids: 0,
            offers: 0,
            first: None,
            refusal: None,
        }
    }

    pub(crate) fn stream(&self) -> StreamId {
        StreamId(format!("stream-{}", self.subscriptions))
    }

    pub(crate) fn tell(&mut self, input: Input) {
        self.director.handle(self.now, input);
        self.settle();
    }

    fn settle(&mut self) {
        for _ in 0..10_000 {
            let Some(output) = self.director.poll(self.now) else { return };
            match output {
                Output::Propose(first, _) if self.commits => self.director.handle(self.now, Input::Committed(first)),
                Output::Propose(first, _) => self.first = Some(first),
                Output::Subscribe(_) if self.refusal.is_some() => {
                    let end = self.refusal.clone().expect("it was just looked at");
                    self.director.handle(self.now, Input::LinkEnded(None, end));
                }
                Output::Subscribe(_) => {
                    self.subscriptions += 1;
                    self.director.handle(self.now, Input::Mesos(self.stream(), Event::Subscribed));
                }
                Output::Call(id, call) => self.called(id, *call),
                Output::Halt(_) => self.halted = true,
                Output::Unsubscribe(_) | Output::Answer(..) | Output::Publish(_) | Output::Unwritable(_) => {}
            }
        }
        panic!("it never rests: {:#?}", &self.calls[self.calls.len().saturating_sub(4)..]);
    }

    fn called(&mut self, id: CallId, call: Call) {
        let answer = (self.fate)(&call);
        self.calls.push((self.now, call));
        self.director.handle(self.now, Input::Answered(id, answer));
    }

    /// Makes durable what was proposed and isn't yet.
    pub(crate) fn commit(&mut self) {
        let first = self.first.take().expect("a batch was proposed");
        self.tell(Input::Committed(first));
    }

    /// Lets time pass, in which only what the leader itself has to do happens.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.director.deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.settle();
        }
        self.now = end;
        self.settle();
    }

    /// Offers a host with so many cores, on the agent of that name.
    pub(crate) fn offer(&mut self, agent: &str, cores: u64) {
        self.offers += 1;
        let resource = |amount| Resource { reservation: Reservation::Static, amount };
        let resources = vec![
            resource(Amount::Cpus(MilliCpus(cores * 1_000))),
            resource(Amount::Mem(Bytes(1 << 34))),
            resource(Amount::Disk(Bytes(1 << 34))),
        ];
        let offer = Offer {
            id: format!("offer-{}", self.offers).as_str().into(),
            agent: agent.into(),
            hostname: format!("host-of-{agent}"),
            resources,
            unavailable: false,
        };
        self.tell(Input::Mesos(self.stream(), Event::Offers(vec![offer])));
    }

    /// Says something of a task as its agent does.
    pub(crate) fn update(&mut self, task: &str, state: TaskState) {
        self.uuids += 1;
        let uuid = Some(epic_common::ids::UpdateId(self.uuids.to_be_bytes()));
        self.say(Status { uuid, ..status(task, state) });
    }

    pub(crate) fn say(&mut self, status: Status) {
        self.tell(Input::Mesos(self.stream(), Event::Update(Box::new(status))));
    }

    pub(crate) fn end_link(&mut self, end: LinkEnd) {
        let stream = self.director.session().link.stream().cloned();
        self.tell(Input::LinkEnded(stream, end));
    }

    /// Counts the calls that were made since.
    pub(crate) fn count(&self, since: Timestamp, which: impl Fn(&Call) -> bool) -> usize {
        self.calls.iter().filter(|(at, call)| *at >= since && which(call)).count()
    }

    pub(crate) fn launches(&self) -> Vec<&Launch> {
        let launches = self.calls.iter().filter_map(|(_, call)| {
            let Call::Accept { launches, .. } = call else { return None };
            Some(launches)
        });
        launches.flatten().collect()
    }

    pub(crate) fn is_up(&self) -> bool {
        self.director.session().link.is_up()
    }
}

/// What the master itself says of a task on `agent`.
pub(crate) fn status(task: &str, state: TaskState) -> Status {
    Status {
        task: task.to_owned(),
        agent: Some("agent".into()),
        state,
        reason: String::new(),
        message: String::new(),
        uuid: None,
        healthy: None,
        report: None,
    }
}
