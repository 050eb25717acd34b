//! The fold of the journal: total, deterministic, and each attempt's table of changes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use epic_common::conversation::{Phase, Report};
use epic_common::ids::{AgentId, Attempt, Digest, RoleId, TaskId, UnitId, UpdateId};
use epic_common::manifest::Cardinality;
use epic_common::resources::{Bytes, Grant, MilliCpus};
use epic_common::time::Timestamp;
use epic_scheduler_core::mesos::{Executor, Meaning, StreamId, TaskState};
use epic_scheduler_core::state::State;
use epic_scheduler_core::state::deployment::{Bundle, Desired, RoleNeeds};
use epic_scheduler_core::state::entry::{Ended, Entry, Fact, LaunchDecided, StatusRecorded};
use epic_scheduler_core::state::unit::{Progress, Task};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

fn desired(workers: u32) -> Desired {
    let role = |id: &str| RoleNeeds {
        id: id.into(),
        cardinality: Cardinality::AtLeast(0),
        cpus: MilliCpus(1),
        mem: Bytes(1),
        disk: Bytes(1),
        ports: [("web".to_owned(), None)].into(),
        reads_members: true,
        endpoints: Vec::new(),
    };
    Desired {
        name: "demo".to_owned(),
        bundle: Bundle { sha256: Digest([0; 32]), bytes: 1, distro_id: String::new(), version: String::new() },
        roles: vec![role("worker")],
        members: [("worker".into(), workers)].into(),
        ceiling: None,
        root_allowed: false,
    }
}

fn launched(task: &str, agent: &str) -> LaunchDecided {
    LaunchDecided {
        task: task.parse().unwrap(),
        agent: agent.into(),
        hostname: format!("host-of-{agent}"),
        offer: "offer".into(),
        stream: StreamId("stream".to_owned()),
        grant: Grant { cpus: MilliCpus(10), mem: Bytes(20), disk: Bytes(30), ports: [("web".to_owned(), 80)].into() },
        disk_reserved: Bytes(0),
        ports_reserved: Vec::new(),
        executor: Executor {
            id: format!("executor-of-{agent}").as_str().into(),
            url: String::new(),
            sha256: Digest([0; 32]),
            cpus: MilliCpus(1),
            mem: Bytes(2),
        },
    }
}

fn recorded(task: &str, state: TaskState) -> StatusRecorded {
    let over = state.meaning() == Meaning::Ended;
    StatusRecorded {
        task: task.parse().unwrap(),
        state,
        reason: "REASON".to_owned(),
        message: "message".to_owned(),
        uuid: Some(UpdateId([1; 16])),
        healthy: None,
        report: None,
        ended: over.then_some(Ended { failures: 3, not_before: Timestamp(99) }),
    }
}

/// Any fact about few names, whether or not a planner could decide it.
fn fact() -> impl Strategy<Value = Fact> {
    let task = || {
        (0..3_u32, 1..4_u32).prop_map(|(ordinal, attempt)| TaskId {
            unit: UnitId::of_platform(&RoleId::from("worker"), ordinal),
            attempt: Attempt(attempt),
        })
    };
    let state = || select(TaskState::ALL.map(|(state, _)| state).to_vec());
    let agent = || select(vec!["agent-1", "agent-2"]);
    prop_oneof![
        (0..4_u32).prop_map(|workers| Fact::PlatformApplied {
            desired: Box::new(desired(workers)),
            key: Some(workers.to_string())
        }),
        Just(Fact::PlatformStopped { key: None }),
        Just(Fact::PlatformStarted { key: None }),
        Just(Fact::UninstallBegun { key: None }),
        Just(Fact::Uninstalled),
        (task(), agent()).prop_map(|(task, agent)| Fact::LaunchDecided(Box::new(launched(&task.to_string(), agent)))),
        task().prop_map(|task| Fact::KillDecided { task, why: "why".to_owned(), key: None }),
        task().prop_map(|task| Fact::ReplacementDecided { task }),
        (task(), state()).prop_map(|(task, state)| Fact::StatusRecorded(Box::new(recorded(&task.to_string(), state)))),
        (task(), agent(), state()).prop_map(|(task, agent, state)| Fact::StrangerSeen {
            task: task.to_string(),
            agent: AgentId::from(agent),
            state
        }),
    ]
}

proptest! {
    #[test]
    fn no_order_of_entries_is_too_strange_and_each_counts_once(facts in vec(fact(), 0..60)) {
        let (mut one, mut other) = (State::default(), State::default());
        for (nth, fact) in facts.into_iter().enumerate() {
            let entry = Entry::new(Timestamp(u64::try_from(nth).unwrap()), fact);
            prop_assert_eq!(one.apply(&entry), other.apply(&entry));
            prop_assert_eq!(one.index.0, u64::try_from(nth).unwrap() + 1);
        }
        prop_assert_eq!(one, other);
    }

    #[test]
    fn an_older_time_never_turns_the_clock_back(times in vec(any::<u64>(), 1..20)) {
        let mut state = State::default();
        let mut latest = 0;
        for at in times {
            latest = latest.max(at);
            state.apply(&Entry::new(Timestamp(at), Fact::PlatformStopped { key: None }));
            prop_assert_eq!(state.at.0, latest);
        }
    }
}

/// Applies facts one after the other, a microsecond apart.
fn fold(facts: Vec<Fact>) -> State {
    let mut state = State::default();
    for (at, fact) in (1..).zip(facts) {
        state.apply(&Entry::new(Timestamp(at), fact));
    }
    state
}

fn applied(workers: u32) -> Fact {
    Fact::PlatformApplied { desired: Box::new(desired(workers)), key: None }
}

/// The attempt worker-0.1, just decided.
fn first_attempt() -> Task {
    let state = fold(vec![applied(1), Fact::LaunchDecided(Box::new(launched("worker-0.1", "agent-1")))]);
    state.units.tasks.values().next().unwrap().clone()
}

#[test]
fn each_state_that_is_recorded_leads_where_the_table_says() {
    for (state, name) in TaskState::ALL {
        let befores = [
            Progress::Launching { offers: vec!["offer".into()], stream: StreamId("stream".to_owned()) },
            Progress::Alive(TaskState::Staging),
            Progress::Unreachable(Timestamp(5)),
        ];
        for before in befores {
            let since = if let Progress::Unreachable(since) = before { since } else { Timestamp(7) };
            let task = Task { progress: before.clone(), ..first_attempt() };
            let after = task.recorded(Timestamp(7), &recorded("worker-0.1", state)).map(|task| task.progress);
            let expected = match state.meaning() {
                Meaning::Ended => None,
                Meaning::Alive => Some(Progress::Alive(state)),
                Meaning::Unclear => Some(Progress::Unreachable(since)),
            };
            assert_eq!(after, expected, "{name} after {before:?}");
        }
    }
}

#[test]
fn a_word_of_mesos_itself_overwrites_nothing_with_blanks() {
    let report = Report { phase: Phase::Ready, ..Report::default() };
    let rich = StatusRecorded {
        healthy: Some(true),
        report: Some(report.clone()),
        ..recorded("worker-0.1", TaskState::Running)
    };
    let blank = StatusRecorded {
        reason: String::new(),
        message: String::new(),
        uuid: None,
        ..recorded("worker-0.1", TaskState::Running)
    };
    let task = first_attempt();
    let task = task.recorded(Timestamp(2), &rich).unwrap().recorded(Timestamp(3), &blank).unwrap();
    assert_eq!((task.uuid, task.healthy, task.report), (Some(UpdateId([1; 16])), Some(true), report));
    assert_eq!((task.reason.as_str(), task.message.as_str(), task.since), ("REASON", "message", Timestamp(2)));
}

#[test]
fn an_end_frees_the_host_and_says_why_and_when_to_try_again() {
    let state = fold(vec![
        applied(1),
        Fact::LaunchDecided(Box::new(launched("worker-0.1", "agent-1"))),
        Fact::StatusRecorded(Box::new(recorded("worker-0.1", TaskState::Failed))),
    ]);
    let worker = state.units.all.get(&UnitId::of_platform(&"worker".into(), 0)).unwrap();
    assert!(state.units.tasks.is_empty() && state.units.on_agent.is_empty() && state.ledger.executors.is_empty());
    assert_eq!((worker.failures, worker.not_before, worker.attempt), (3, Timestamp(99), Attempt(1)));
    assert_eq!(worker.last_end, "attempt 1 ended on host-of-agent-1: message");
}

#[test]
fn what_is_used_of_a_host_counts_its_executor_once() {
    let mut second = launched("worker-1.1", "agent-1");
    second.grant.cpus = MilliCpus(5);
    let state = fold(vec![
        applied(2),
        Fact::LaunchDecided(Box::new(launched("worker-0.1", "agent-1"))),
        Fact::LaunchDecided(Box::new(second)),
    ]);
    let used = state.used(&AgentId::from("agent-1"));
    assert_eq!((used.cpus, used.mem), (MilliCpus(16), Bytes(42)));
}

#[test]
fn an_uninstall_keeps_what_must_never_be_used_twice() {
    let state = fold(vec![
        Fact::FrameworkChosen { framework: "one".into(), role: "role".to_owned() },
        Fact::TokenSet { sha256: Digest([7; 32]) },
        Fact::PlatformApplied { desired: Box::new(desired(1)), key: Some("key".to_owned()) },
        Fact::LaunchDecided(Box::new(launched("worker-0.1", "agent-1"))),
        Fact::UninstallBegun { key: None },
        Fact::Uninstalled,
    ]);
    assert_eq!((state.index.0, state.ledger.executors_decided, state.identity.frameworks_chosen), (6, 1, 1));
    assert_eq!((state.granted("key").map(|index| index.0), state.identity.token), (Some(3), Some(Digest([7; 32]))));
    assert!(
        state.identity.framework.is_none()
            && state.platform().is_none()
            && state.units.tasks.is_empty()
            && state.units.all.is_empty()
    );
}

#[test]
fn only_the_newest_keys_are_remembered() {
    let keys = (0..1_001).map(|nth| Fact::PlatformStopped { key: Some(format!("key-{nth}")) });
    let state = fold(keys.collect());
    assert_eq!(state.granted("key-0"), None);
    assert_eq!(state.granted("key-1").map(|index| index.0), Some(2));
    assert_eq!(state.granted("key-1000").map(|index| index.0), Some(1_001));
}
