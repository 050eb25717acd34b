//! A leader of very many tasks: it hears what Mesos says while it still asks about them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use epic_common::ids::Digest;
use epic_common::machine::Machine;
use epic_common::resources::{Bytes, Grant, MilliCpus};
use epic_common::time::Timestamp;
use epic_scheduler_core::director::{Director, Input, Output};
use epic_scheduler_core::mesos::{Call, Event, Executor, StreamId, TaskState};
use epic_scheduler_core::policy::{Policy, RECONCILE_TASKS_MAX, RECONCILES_AT_ONCE};
use epic_scheduler_core::session::{CallAnswer, CallId};
use epic_scheduler_core::state::State;
use epic_scheduler_core::state::deployment::{Bundle, Desired, RoleNeeds};
use epic_scheduler_core::state::entry::{Entry, Fact, LaunchDecided, StatusRecorded};

const START: Timestamp = Timestamp(1_800_000_000_000_000);
const TASKS: usize = RECONCILE_TASKS_MAX * 5;

/// A state in which so many workers run, each on an agent of its own.
fn running() -> State {
    let workers = u32::try_from(TASKS).unwrap();
    let role = RoleNeeds {
        id: "worker".into(),
        cardinality: epic_common::manifest::Cardinality::AtLeast(0),
        cpus: MilliCpus(1),
        mem: Bytes(1),
        disk: Bytes(1),
        ports: [].into(),
        reads_members: false,
        endpoints: Vec::new(),
    };
    let desired = Desired {
        name: "demo".to_owned(),
        bundle: Bundle { sha256: Digest([0; 32]), bytes: 1, distro_id: String::new(), version: String::new() },
        roles: vec![role],
        members: [("worker".into(), workers)].into(),
        ceiling: None,
        root_allowed: false,
    };
    let mut state = State::default();
    let mut apply = |fact| drop(state.apply(&Entry::new(START, fact)));
    apply(Fact::FrameworkChosen { framework: "framework-1".into(), role: "BlueData".to_owned() });
    apply(Fact::PlatformApplied { desired: Box::new(desired), key: None });
    for nth in 0..workers {
        let agent = format!("agent-{nth}");
        let task: epic_common::ids::TaskId = format!("worker-{nth}.1").parse().unwrap();
        apply(Fact::LaunchDecided(Box::new(LaunchDecided {
            task: task.clone(),
            agent: agent.as_str().into(),
            hostname: agent.clone(),
            offer: "offer".into(),
            stream: StreamId("stream".to_owned()),
            grant: Grant { cpus: MilliCpus(1), mem: Bytes(1), disk: Bytes(1), ports: [].into() },
            disk_reserved: Bytes(0),
            ports_reserved: Vec::new(),
            executor: Executor {
                id: format!("executor-{nth}").as_str().into(),
                url: String::new(),
                sha256: Digest([0; 32]),
                cpus: MilliCpus(1),
                mem: Bytes(1),
            },
        })));
        apply(Fact::StatusRecorded(Box::new(StatusRecorded {
            task,
            state: TaskState::Running,
            reason: String::new(),
            message: String::new(),
            uuid: None,
            healthy: Some(true),
            report: None,
            ended: None,
        })));
    }
    state
}

/// Takes all that comes out, and returns the calls that ask about tasks.
fn questions(director: &mut Director, now: Timestamp) -> Vec<(CallId, usize)> {
    let calls = std::iter::from_fn(|| director.poll(now)).filter_map(|output| {
        let Output::Call(id, call) = output else { return None };
        let Call::Reconcile { tasks } = *call else { return None };
        Some((id, tasks.len()))
    });
    calls.collect()
}

#[test]
fn questions_about_very_many_tasks_leave_room_for_what_mesos_says() {
    let policy = Policy::new("BlueData".to_owned(), "http://10.0.0.100:8080".to_owned(), Digest([0xcd; 32]));
    let mut director = Director::new(running(), policy);
    director.handle(START, Input::Lead { claimed: None });
    questions(&mut director, START);
    director.handle(START, Input::Mesos(StreamId("s".to_owned()), Event::Subscribed));
    let mut asked = questions(&mut director, START);
    let mut known = 0;
    while let Some((id, tasks)) = asked.pop() {
        assert!(asked.len() < RECONCILES_AT_ONCE, "{} wait for their answers", asked.len() + 1);
        known += tasks;
        director.handle(START, Input::Answered(id, CallAnswer::Accepted));
        asked.extend(questions(&mut director, START));
    }
    assert_eq!(known, TASKS, "each task is asked about once");
}
