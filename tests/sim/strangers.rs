//! Tasks that Mesos has and the journal doesn't.

use std::time::Duration;

use epic_scheduler_core::mesos::{Call, Event, Status, TaskState};
use epic_scheduler_core::request::Wish;
use epic_tests::model::{World, agents};

use crate::goals::converged;

const LIMIT: Duration = Duration::from_secs(600);

fn installed() -> World {
    let mut world = World::new(agents(4));
    world.apply(2);
    world.until(LIMIT, converged);
    world
}

fn said(task: &str, agent: &str, state: TaskState) -> Event {
    Event::Update(Box::new(Status {
        task: task.to_owned(),
        agent: Some(agent.into()),
        state,
        reason: String::new(),
        message: String::new(),
        uuid: None,
        healthy: None,
        report: None,
    }))
}

#[test]
fn a_living_stranger_is_killed_and_forgotten_when_it_is_gone() {
    for name in ["worker-7.1", "worker-0.9", "no-name-of-ours"] {
        let mut world = installed();
        let worker = world.mesos.alive().into_iter().find(|name| name.starts_with("worker-1")).unwrap();
        world.mesos.rename_task(&worker, name);
        let agent = world.mesos.tasks().find(|(_, known, _)| *known == name).unwrap().0.id.clone();
        world.say(said(name, agent.as_str(), TaskState::Running));
        world.mesos.hint_failure(&agent);
        world.until(LIMIT, converged);
        assert!(world.count(|call| matches!(call, Call::Kill { task, .. } if task == name)) > 0, "{name}");
    }
}

#[test]
fn a_journal_restored_from_a_copy_finds_what_was_launched_since() {
    let mut world = installed();
    let entries = world.journal.len();
    world.insist(&Wish::Restart("worker-0".parse().unwrap()));
    world.until(LIMIT, converged);
    world.insist(&Wish::Restart("worker-0".parse().unwrap()));
    world.until(LIMIT, converged);
    assert!(world.mesos.alive().contains(&"worker-0.3".to_owned()), "{:?}", world.mesos.alive());

    world.restore(entries);
    world.until(LIMIT, converged);
    assert_eq!(world.mesos.alive(), ["controller-0.1", "worker-0.4", "worker-1.1"]);
}

#[test]
fn word_of_a_stranger_that_is_over_changes_nothing() {
    let mut world = installed();
    let before = world.journal.len();
    world.say(said("somebody.1", "agent-1", TaskState::Gone));
    world.run_for(LIMIT);
    assert_eq!(world.journal.len(), before);
}

#[test]
fn a_stranger_out_of_reach_does_not_fill_the_journal() {
    let mut world = installed();
    let agent = world.mesos.agents.keys().find(|agent| world.mesos.agents[*agent].tasks.is_empty()).unwrap().clone();
    world.mesos.lose_agent(world.now, &agent);
    world.run_for(Duration::from_secs(100));
    world.say(said("somebody.1", agent.as_str(), TaskState::Unreachable));
    world.rest();
    let before = world.journal.len();
    world.run_for(Duration::from_secs(3600));
    let kills = world.count(|call| matches!(call, Call::Kill { .. }));
    assert!((30..=200).contains(&kills), "{kills} kills in an hour");
    assert_eq!(world.journal.len(), before, "each answer to a kill was recorded");
    world.mesos.return_agent(&agent);
    world.until(LIMIT, converged);
}
