//! Histories that are as they should be, and each way in which one may not be.

use epic_common::ids::Digest;
use epic_common::resources::{Bytes, Grant, MilliCpus};
use epic_common::time::Timestamp;
use epic_scheduler_core::mesos::{Executor, Meaning, StreamId, TaskState};
use epic_scheduler_core::state::entry::{Ended, Entry, Fact, Index, LaunchDecided, StatusRecorded};

use super::{Acknowledged, Change, History, Written};
use crate::model::desired;

/// Says what is wrong with batches of one epoch after another, each with its facts; empty if nothing is.
fn check(batches: &[(u64, &[Fact])]) -> String {
    read(batches).map_or_else(|error| format!("{error:#}"), |_| String::new())
}

fn read(batches: &[(u64, &[Fact])]) -> anyhow::Result<History> {
    let mut history = History::default();
    for (batch, (epoch, facts)) in (1..).zip(batches) {
        let first = history.state().index.next();
        let entries = facts.iter().map(|fact| Entry::new(Timestamp(batch), fact.clone())).collect();
        history.read(&Written { batch, epoch: *epoch, first, entries })?;
    }
    Ok(history)
}

fn claim(epoch: u64) -> Fact {
    Fact::LeaderClaimed { epoch, replica: format!("r{epoch}"), advertise: String::new() }
}

fn apply(workers: u32, key: &str) -> Fact {
    Fact::PlatformApplied { desired: Box::new(desired(workers)), key: Some(key.to_owned()) }
}

fn launch(task: &str) -> Fact {
    Fact::LaunchDecided(Box::new(LaunchDecided {
        task: task.parse().unwrap(),
        agent: "agent".into(),
        hostname: "host".to_owned(),
        offer: "offer".into(),
        stream: StreamId("stream".to_owned()),
        grant: Grant { cpus: MilliCpus(10), mem: Bytes(20), disk: Bytes(0), ports: [("web".to_owned(), 80)].into() },
        disk_reserved: Bytes(0),
        ports_reserved: Vec::new(),
        executor: Executor {
            id: "executor".into(),
            url: String::new(),
            sha256: Digest([0; 32]),
            cpus: MilliCpus(1),
            mem: Bytes(2),
        },
    }))
}

fn says(task: &str, state: TaskState) -> Fact {
    let over = state.meaning() == Meaning::Ended;
    Fact::StatusRecorded(Box::new(StatusRecorded {
        task: task.parse().unwrap(),
        state,
        reason: String::new(),
        message: String::new(),
        uuid: None,
        healthy: None,
        report: None,
        ended: over.then_some(Ended { failures: 0, not_before: Timestamp(0) }),
    }))
}

fn kill(task: &str, key: Option<&str>) -> Fact {
    Fact::KillDecided { task: task.parse().unwrap(), why: String::new(), key: key.map(str::to_owned) }
}

const RUNNING: TaskState = TaskState::Running;
const KILLED: TaskState = TaskState::Killed;

#[test]
fn a_life_with_failovers_restarts_and_fewer_workers_passes() {
    let history = read(&[
        (1, &[claim(1)]),
        (1, &[apply(2, "a"), launch("worker-0.1"), says("worker-0.1", RUNNING)]),
        (1, &[]),
        (2, &[claim(2)]),
        (2, &[Fact::Barrier { epoch: 2 }, kill("worker-0.1", Some("b"))]),
        (2, &[says("worker-0.1", KILLED), says("worker-0.1", KILLED), launch("worker-0.2")]),
        // It never ran, so that its end is nobody's loss.
        (2, &[says("worker-0.2", TaskState::Failed), launch("worker-0.3"), says("worker-0.3", RUNNING)]),
        (2, &[apply(0, "c"), kill("worker-0.3", None), says("worker-0.3", KILLED)]),
        (2, &[Fact::PlatformStopped { key: Some("d".to_owned()) }]),
    ])
    .unwrap();
    assert_eq!((history.batch(), history.launches(), history.running()), (9, 3, Vec::new()));
    let told = |change, index, key: Option<&str>| {
        let told = Acknowledged { change, index: Index(index), key: key.map(str::to_owned) };
        history.holds(&told).map_or_else(|error| error.to_string(), |()| String::new())
    };
    let restart = || Change::Restart("worker-0".to_owned());
    assert_eq!(told(Change::Apply(3), 2, Some("a")), "");
    assert_eq!(told(restart(), 7, None), "");
    assert_eq!(told(Change::Start, 16, None), "", "nothing had to change");
    assert_eq!(told(Change::Stop, 17, Some("d")), "");
    assert!(told(Change::Apply(2), 2, None).contains("isn't what entry 2 says"));
    assert!(told(restart(), 8, None).contains("isn't what entry 8 says"));
    assert!(told(Change::Stop, 16, None).contains("isn't what entry 16 says"));
    assert!(told(Change::Apply(3), 3, Some("a")).contains("was granted at Some(Index(2))"));
    assert!(told(Change::Stop, 18, None).contains("is lost: the journal ends with entry 17"));
}

#[test]
fn what_a_deposed_leader_writes_is_found() {
    let after = |epoch: u64, facts: &[Fact]| check(&[(1, &[claim(1)]), (2, &[claim(2)]), (epoch, facts)]);
    assert_eq!(after(2, &[Fact::Barrier { epoch: 2 }]), "");
    assert_eq!(after(1, &[]), "batch 3 of epoch 1 in epoch 2");
    assert_eq!(after(1, &[apply(1, "a")]), "batch 3 of epoch 1 in epoch 2");
    assert_eq!(after(2, &[claim(2)]), "entry 3 in batch 3: epoch 2 is claimed after 2");
    assert_eq!(after(4, &[claim(4)]), "entry 3 in batch 3: epoch 4 is claimed after 2");
    assert_eq!(after(2, &[Fact::Barrier { epoch: 1 }]), "entry 3 in batch 3: a barrier of epoch 1 in epoch 2");
}

#[test]
fn gaps_and_steps_back_are_found() {
    let mut history = read(&[(1, &[claim(1)])]).unwrap();
    let mut wrong = |batch, first, at| {
        let entries = vec![Entry::new(Timestamp(at), apply(1, "a"))];
        let written = Written { batch, epoch: 1, first: Index(first), entries };
        history.read(&written).map_or_else(|error| format!("{error:#}"), |()| String::new())
    };
    assert_eq!(wrong(3, 2, 1), "batch 3 follows batch 1");
    assert_eq!(wrong(2, 3, 1), "batch 2 begins with entry 3, not with 2");
    assert!(wrong(3, 2, 0).ends_with("before the entry before it"), "time goes on");
}

#[test]
fn an_attempt_decided_twice_or_beside_another_is_found() {
    let after = |facts: &[Fact]| check(&[(1, &[claim(1), apply(2, "a"), launch("worker-0.1")]), (1, facts)]);
    assert_eq!(after(&[launch("worker-1.1")]), "");
    assert!(after(&[launch("worker-0.2")]).ends_with("worker-0.2 is decided while worker-0.1 may live"));
    let again = [says("worker-0.1", TaskState::Dropped), launch("worker-0.1")];
    assert!(after(&again).ends_with("worker-0.1 is decided a second time"));
    assert!(after(&[launch("worker-7.1")]).ends_with("worker-7.1 is decided, though nobody wants it"));
}

#[test]
fn what_ends_unasked_is_found() {
    let before = [claim(1), apply(2, "a"), launch("worker-0.1"), says("worker-0.1", RUNNING)];
    let after = |facts: &[Fact]| check(&[(1, &before), (1, facts)]);
    assert_eq!(after(&[kill("worker-0.1", Some("b")), says("worker-0.1", KILLED)]), "");
    assert!(after(&[says("worker-0.1", TaskState::Failed)]).contains("though nobody asked"));
    assert!(after(&[kill("worker-0.1", None)]).contains("though it is wanted and nobody asked"));
    let task = "worker-0.1".parse().unwrap();
    assert!(after(&[Fact::ReplacementDecided { task }]).contains("is given up"));
}

#[test]
fn strangers_and_a_request_granted_twice_are_found() {
    let before = [claim(1), apply(2, "a")];
    let after = |facts: &[Fact]| check(&[(1, &before), (1, facts)]);
    let stranger = |state| Fact::StrangerSeen { task: "worker-9.1".to_owned(), agent: "agent".into(), state };
    assert_eq!(after(&[stranger(KILLED)]), "");
    assert!(after(&[stranger(RUNNING)]).ends_with("which isn't to be there"));
    assert!(after(&[apply(3, "a")]).ends_with("the request a was granted at entry 2 already"));
    let chosen = || Fact::FrameworkChosen { framework: "f".into(), role: "BlueData".to_owned() };
    assert_eq!(after(&[chosen()]), "");
    assert!(after(&[chosen(), chosen()]).contains("another framework is chosen"));
}
