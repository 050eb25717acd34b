//! Agents that can't be reached for a while, or for good.

use std::time::Duration;

use epic_common::ids::AgentId;
use epic_scheduler_core::mesos::Call;
use epic_scheduler_core::request::Wish;
use epic_tests::model::{World, agents};

use crate::goals::{converged, uninstalled};

const LIMIT: Duration = Duration::from_secs(600);

fn host_of(world: &World, task: &str) -> AgentId {
    world.mesos.tasks().find(|(_, name, _)| *name == task).unwrap().0.id.clone()
}

fn installed(agents_count: u8, workers: u32) -> World {
    let mut world = World::new(agents(agents_count));
    world.apply(workers);
    world.until(LIMIT, converged);
    world
}

#[test]
fn a_short_absence_replaces_nothing() {
    let mut world = installed(4, 2);
    let agent = host_of(&world, "worker-0.1");
    world.mesos.lose_agent(world.now, &agent);
    world.run_for(Duration::from_secs(75 + 290));
    world.mesos.return_agent(&agent);
    world.until(LIMIT, converged);
    assert_eq!(world.mesos.launched(), 3);
}

#[test]
fn a_long_absence_replaces_the_member_and_the_copy_that_comes_back_is_killed() {
    let mut world = installed(4, 2);
    let agent = host_of(&world, "worker-0.1");
    world.mesos.lose_agent(world.now, &agent);
    world.until(LIMIT, |world| {
        let alive = world.mesos.alive();
        if alive.iter().any(|name| name == "worker-0.2") { Ok(()) } else { Err(format!("{alive:?} run")) }
    });
    assert!(world.mesos.alive().contains(&"worker-0.1".to_owned()), "the old copy runs on where nobody sees it");
    world.mesos.return_agent(&agent);
    world.until(LIMIT, converged);
    assert_eq!(world.mesos.launched(), 4);
}

#[test]
fn a_copy_that_comes_back_while_the_scheduler_is_down_is_killed() {
    let mut world = installed(4, 2);
    let agent = host_of(&world, "worker-0.1");
    world.mesos.lose_agent(world.now, &agent);
    world.run_for(LIMIT);
    world.mesos.return_agent(&agent);
    world.crash();
    world.until(LIMIT, converged);
    assert_eq!(world.mesos.launched(), 4);
}

#[test]
fn an_unreachable_member_that_nobody_wants_is_ended_when_it_comes_back() {
    let mut world = installed(4, 2);
    let agent = host_of(&world, "worker-1.1");
    world.mesos.lose_agent(world.now, &agent);
    world.run_for(Duration::from_secs(100));
    world.apply(1);
    world.run_for(LIMIT);
    world.mesos.return_agent(&agent);
    world.until(LIMIT, converged);
    assert_eq!(world.mesos.launched(), 3, "a member that isn't wanted was replaced");
}

#[test]
fn a_launch_on_an_agent_that_has_just_gone_is_not_doubled() {
    let mut world = World::new(agents(2));
    world.mesos.lose_agent(world.now, &AgentId::from("agent-1"));
    world.apply(0);
    world.run_for(Duration::from_secs(60));
    world.mesos.return_agent(&AgentId::from("agent-1"));
    world.until(LIMIT, converged);
    assert_eq!(world.mesos.alive().len(), 1);
}

#[test]
fn a_kill_that_is_lost_is_repeated() {
    let mut world = installed(4, 2);
    world.mesos.kills_to_lose = 3;
    world.ask(Wish::Restart("worker-0".parse().unwrap()), None);
    world.until(LIMIT, converged);
    let kills = world.count(|call| matches!(call, Call::Kill { .. }));
    assert_eq!((kills, world.mesos.launched()), (4, 4));
}

#[test]
fn a_kill_waits_for_a_crash_and_goes_on() {
    let mut world = installed(4, 2);
    world.mesos.kills_to_lose = 2;
    world.ask(Wish::Restart("worker-0".parse().unwrap()), None);
    world.rest();
    world.crash();
    world.until(LIMIT, converged);
    assert_eq!(world.mesos.launched(), 4);
}

#[test]
fn an_uninstallation_waits_for_an_agent_that_is_away() {
    let mut world = installed(4, 2);
    let agent = host_of(&world, "worker-1.1");
    world.mesos.lose_agent(world.now, &agent);
    world.ask(Wish::Uninstall, None);
    world.run_for(LIMIT);
    assert_eq!(world.durable.units.tasks.len(), 1, "only the one out of reach is left");
    assert_eq!(world.count(|call| matches!(call, Call::Teardown)), 0);
    world.mesos.return_agent(&agent);
    world.until(LIMIT, uninstalled);
}

#[test]
fn a_hint_of_a_failure_leads_to_a_question_and_changes_nothing_by_itself() {
    let mut world = installed(4, 2);
    let before = (world.journal.len(), world.count(|call| matches!(call, Call::Reconcile { .. })));
    world.mesos.hint_failure(&host_of(&world, "worker-0.1"));
    world.run_for(Duration::from_secs(120));
    let after = (world.journal.len(), world.count(|call| matches!(call, Call::Reconcile { .. })));
    assert_eq!(after, (before.0, before.1 + 1));
}
