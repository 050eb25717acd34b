//! What the director proposes can be written and read again, whatever it is told and asked for.

use std::collections::BTreeMap;

use epic_common::conversation::{Report, ServiceReport};
use epic_common::ids::{AgentId, Digest, OfferId, RoleId};
use epic_common::machine::Machine as _;
use epic_common::manifest::Cardinality;
use epic_common::resources::{Bytes, MIB, MilliCpus, PortRange, Ports};
use epic_common::time::Timestamp;
use epic_scheduler::journal::PAYLOAD_BYTES_MAX;
use epic_scheduler::journal::codec::{self, decode_batch, encode_batch};
use epic_scheduler_core::director::{Director, Input, Output};
use epic_scheduler_core::mesos::{Amount, Event, Offer, Reservation, Resource, Status, StreamId, TaskState};
use epic_scheduler_core::policy::{Measure, Policy};
use epic_scheduler_core::request::{Answer, Applicant, ClientId, Request, Wish};
use epic_scheduler_core::state::State;
use epic_scheduler_core::state::deployment::{Bundle, Desired, Endpoint, RoleNeeds};
use epic_scheduler_core::state::entry::Index;

const NOW: Timestamp = Timestamp(1_800_000_000_000_000);

/// A director that leads, and a journal that takes what it can hold and checks that it reads the same.
struct Desk {
    director: Director,
    answers: Vec<Answer>,
    entries: usize,
    /// Whether what is proposed stays on its way to the journal, and from which position.
    slow: bool,
    on_its_way: Option<Index>,
}

impl Desk {
    fn new() -> Self {
        let policy = Policy::new("BlueData".to_owned(), "http://10.0.0.100:8080".to_owned(), Digest([0xcd; 32]));
        let policy = Policy { measure: Measure(codec::measure), ..policy };
        let director = Director::new(State::default(), policy);
        let mut desk = Self { director, answers: Vec::new(), entries: 0, slow: false, on_its_way: None };
        desk.tell(Input::Lead { claimed: None });
        desk
    }

    fn tell(&mut self, input: Input) {
        self.director.handle(NOW, input);
        self.carry_out();
    }

    /// Lets the journal be quick again.
    fn catch_up(&mut self) {
        self.slow = false;
        if let Some(first) = self.on_its_way.take() {
            self.tell(Input::Committed(first));
        }
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.director.poll(NOW) {
            match output {
                Output::Propose(first, entries) => {
                    let bytes = encode_batch(0, first, &entries);
                    assert!(bytes.len() <= PAYLOAD_BYTES_MAX, "a batch of {} bytes", bytes.len());
                    assert_eq!(decode_batch(&bytes).expect("it can be read"), (first, entries.clone()));
                    self.entries += entries.len();
                    if self.slow {
                        self.on_its_way = Some(first);
                    } else {
                        self.director.handle(NOW, Input::Committed(first));
                    }
                }
                Output::Subscribe(_) => self.director.handle(NOW, Input::Mesos(stream(), Event::Subscribed)),
                Output::Answer(_, answer) => self.answers.push(answer),
                Output::Unwritable(_)
                | Output::Unsubscribe(_)
                | Output::Call(..)
                | Output::Publish(_)
                | Output::Halt(_) => {}
            }
        }
    }

    fn apply(&mut self, desired: Desired) {
        let wish = Wish::Apply { desired: Box::new(desired), framework: "f".into(), by: Applicant::Person };
        self.tell(Input::Request(ClientId(1), Request::new(wish)));
    }
}

fn stream() -> StreamId {
    StreamId("s".to_owned())
}

fn role(id: &str) -> RoleNeeds {
    RoleNeeds {
        id: RoleId::new(id),
        cardinality: Cardinality::AtLeast(0),
        cpus: MilliCpus(100),
        mem: Bytes(MIB),
        disk: Bytes(0),
        ports: BTreeMap::new(),
        reads_members: false,
        endpoints: Vec::new(),
    }
}

fn desired(roles: Vec<RoleNeeds>, count: u32) -> Desired {
    let bundle = Bundle { sha256: Digest([1; 32]), bytes: 1, distro_id: "a/b".to_owned(), version: "1".to_owned() };
    let members = roles.iter().map(|role| (role.id.clone(), count)).collect();
    Desired { name: "p".to_owned(), bundle, roles, members, ceiling: None, root_allowed: false }
}

fn offer(nth: u32) -> Offer {
    let resource = |reservation, amount| Resource { reservation, amount };
    let ports = Ports::new([PortRange { first: 31_000, last: 31_999 }]);
    Offer {
        id: OfferId::new(format!("offer-{nth}")),
        agent: AgentId::new(format!("agent-{nth}")),
        hostname: format!("host-{nth}"),
        resources: vec![
            resource(Reservation::Static, Amount::Cpus(MilliCpus(4_000))),
            resource(Reservation::Static, Amount::Mem(Bytes(4096 * MIB))),
            resource(Reservation::Unreserved, Amount::Ports(ports)),
        ],
        unavailable: false,
    }
}

fn status(task: &str, agent: Option<&str>) -> Status {
    Status {
        task: task.to_owned(),
        agent: agent.map(AgentId::from),
        state: TaskState::Running,
        reason: String::new(),
        message: String::new(),
        uuid: None,
        healthy: None,
        report: None,
    }
}

#[test]
fn an_update_of_an_unknown_task_without_an_agent_is_no_entry() {
    let mut desk = Desk::new();
    desk.apply(desired(vec![role("worker")], 1));
    let before = desk.entries;
    for agent in [None, Some("")] {
        desk.tell(Input::Mesos(stream(), Event::Update(Box::new(status("somebody", agent)))));
    }
    assert_eq!(desk.entries, before);
    desk.tell(Input::Mesos(stream(), Event::Update(Box::new(status("somebody", Some("agent-1"))))));
    assert_eq!(desk.entries, before + 1, "one that can be killed is remembered");
}

#[test]
fn launches_with_many_long_ports_fill_several_batches() {
    let mut desk = Desk::new();
    let offers = || Input::Mesos(stream(), Event::Offers((0..192).map(offer).collect()));
    let ports: BTreeMap<_, _> = (0..60).map(|nth| (format!("{nth:02}{}", "p".repeat(60)), None)).collect();
    let platform = |count| desired(vec![RoleNeeds { ports: ports.clone(), ..role("worker") }], count);
    // The hosts are known before anything is to run there, so that the batch holds nothing but launches.
    desk.apply(platform(0));
    desk.tell(offers());
    desk.apply(platform(192));
    desk.tell(offers());
    assert_eq!(desk.director.state().units.launching.len(), 192);
}

#[test]
fn odd_reports_fill_several_batches() {
    let mut desk = Desk::new();
    desk.apply(desired(vec![role("worker")], 19));
    desk.tell(Input::Mesos(stream(), Event::Offers((0..19).map(offer).collect())));
    desk.slow = true;
    for nth in 0..19 {
        let service = |_| ServiceReport { id: "s".repeat(255).as_str().into(), ..ServiceReport::default() };
        let documents = (0..100).map(|nth| (format!("{nth:0255}"), 1)).collect();
        let report = Report { services: (0..100).map(service).collect(), documents, ..Report::default() };
        let (task, agent) = (format!("worker-{nth}.1"), format!("agent-{nth}"));
        let said = Status { report: Some(report), ..status(&task, Some(&agent)) };
        desk.tell(Input::Mesos(stream(), Event::Update(Box::new(said))));
    }
    desk.catch_up();
    assert!(desk.director.state().units.launching.is_empty(), "each is recorded");
}

#[test]
fn a_platform_that_no_batch_could_hold_is_refused_with_its_size() {
    let mut desk = Desk::new();
    let endpoint = |nth: u32| Endpoint {
        service: format!("service-{nth:03}").as_str().into(),
        scheme: "http".to_owned(),
        port: "web".to_owned(),
        path: format!("/{}", "x".repeat(200)),
        is_dashboard: false,
    };
    let large = |nth: u32| RoleNeeds { endpoints: (0..100).map(endpoint).collect(), ..role(&format!("role-{nth}")) };
    desk.apply(desired((0..100).map(large).collect(), 1));
    let Some(Err(refusal)) = desk.answers.pop() else { panic!("it was granted") };
    assert_eq!(refusal.title, "spec.bundle can't be kept");
    let (field, why) = &refusal.errors[0];
    assert!(field == "spec.bundle" && why.ends_with("bytes in the journal, at most 262144 are possible"), "{why}");
    assert_eq!(desk.director.state().platform(), None);
    desk.apply(desired(vec![role("worker")], 1));
    assert!(desk.answers.pop().is_some_and(|answer| answer.is_ok()), "the next one is granted");
}
