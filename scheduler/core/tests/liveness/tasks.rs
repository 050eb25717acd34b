//! Tasks that Mesos doesn't tell of, or too many of them.

use std::collections::BTreeSet;
use std::time::Duration;

use epic_common::ids::Digest;
use epic_common::machine::Machine;
use epic_scheduler_core::director::Input;
use epic_scheduler_core::mesos::{Call, Event, Status, TaskState};
use epic_scheduler_core::policy::{STRANGERS_MAX, UPDATES_MAX};
use epic_scheduler_core::request::{ClientId, Request, Wish};

use crate::scene::{Scene, status};

const MINUTE: Duration = Duration::from_secs(60);

fn is_kill(call: &Call) -> bool {
    matches!(call, Call::Kill { .. })
}

#[test]
fn an_attempt_that_never_starts_is_asked_about_then_ended_and_replaced() {
    for state in [TaskState::Staging, TaskState::Starting] {
        let mut scene = Scene::new(1);
        scene.offer("agent", 4);
        scene.update("worker-0.1", state);
        let since = scene.now;
        scene.pass(MINUTE * 50);
        let asked = scene.count(since, |call| matches!(call, Call::Reconcile { .. }));
        assert!(asked > 5, "{state}: asked about {asked} times");
        assert_eq!(scene.count(since, is_kill), 0, "{state}: ended too early");
        scene.pass(MINUTE * 20);
        assert!(scene.count(since, is_kill) > 0, "{state}: still waited for");
        scene.update("worker-0.1", TaskState::Killed);
        let unit = scene.director.state().units.all.values().next().unwrap();
        assert!(unit.last_end.contains("did not get on for 60 minutes"), "{}", unit.last_end);
        scene.pass(MINUTE);
        scene.offer("agent", 4);
        assert_eq!(scene.launches().len(), 2);
    }
}

#[test]
fn an_attempt_that_gets_on_with_its_start_is_left_alone() {
    let mut scene = Scene::new(1);
    scene.offer("agent", 4);
    scene.update("worker-0.1", TaskState::Staging);
    scene.pass(MINUTE * 50);
    scene.update("worker-0.1", TaskState::Starting);
    scene.pass(MINUTE * 50);
    scene.update("worker-0.1", TaskState::Running);
    scene.pass(MINUTE * 300);
    assert_eq!(scene.count(crate::scene::START, is_kill), 0);
}

#[test]
fn what_could_not_be_taken_in_is_asked_for() {
    let mut scene = Scene::new(2);
    scene.offer("agent", 4);
    scene.update("worker-0.1", TaskState::Running);
    scene.pass(MINUTE);
    scene.commits = false;
    let wish = Wish::SetToken(Digest([1; 32]));
    scene.tell(Input::Request(ClientId(1), Request::new(wish)));
    let full = Event::Update(Box::new(status("somebody.1", TaskState::Gone)));
    for _ in 0..UPDATES_MAX {
        scene.director.handle(scene.now, Input::Mesos(scene.stream(), full.clone()));
    }
    let since = scene.now;
    scene.say(status("worker-0.1", TaskState::Lost));
    scene.commits = true;
    scene.commit();
    scene.pass(Duration::from_secs(10));
    let asks = |call: &Call| matches!(call, Call::Reconcile { tasks } if tasks[0].0.to_string() == "worker-0.1");
    assert!(scene.count(since, asks) > 0, "nobody repeats what the master says");
}

#[test]
fn strangers_beyond_those_that_are_remembered_are_killed_too() {
    let mut scene = Scene::new(0);
    for nth in 0..STRANGERS_MAX + 20 {
        scene.update(&format!("stranger-{nth}"), TaskState::Running);
    }
    let killed: BTreeSet<_> = scene
        .calls
        .iter()
        .filter_map(|(_, call)| if let Call::Kill { task, .. } = call { Some(task.clone()) } else { None })
        .collect();
    assert_eq!(killed.len(), STRANGERS_MAX + 20);
    assert_eq!(scene.director.state().strangers.len(), STRANGERS_MAX);
}

/// Lets the worker run for so long each time before it fails, for ten minutes; answers how many attempts there were.
fn attempts(up: Duration) -> usize {
    let mut scene = Scene::new(1);
    let end = scene.now + MINUTE * 10;
    while scene.now < end {
        scene.offer("agent", 4);
        let newest = scene.director.state().units.tasks.keys().next().map(ToString::to_string);
        if let Some(task) = newest {
            scene.update(&task, TaskState::Running);
            scene.pass(up);
            scene.update(&task, TaskState::Failed);
        }
        scene.pass(Duration::from_secs(1));
    }
    scene.launches().len()
}

#[test]
fn what_comes_up_and_dies_at_once_is_tried_less_and_less_often() {
    let tried = [Duration::ZERO, Duration::from_secs(1)].map(attempts);
    assert!(tried.iter().all(|tried| (6..=16).contains(tried)), "{tried:?} attempts in ten minutes");
    let lasting = attempts(Duration::from_secs(61));
    assert!(lasting >= 9, "{lasting}: what was up for a minute is forgiven");
}

#[test]
fn a_launch_that_mesos_never_had_is_no_failure_of_its_unit() {
    for (state, reason) in [
        (TaskState::Gone, "REASON_RECONCILIATION"),
        (TaskState::Unknown, "REASON_RECONCILIATION"),
        (TaskState::Dropped, "REASON_INVALID_OFFERS"),
    ] {
        let mut scene = Scene::new(1);
        scene.offer("agent", 4);
        scene.say(Status { reason: reason.to_owned(), ..status("worker-0.1", state) });
        let unit = scene.director.state().units.all.values().next().unwrap();
        assert_eq!((unit.live.is_none(), unit.failures), (true, 0), "{state}");
        let wait = unit.not_before.since(scene.now);
        assert!(wait > Duration::ZERO && wait <= Duration::from_secs(1), "{state}: {wait:?}");
    }
}
