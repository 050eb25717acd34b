//! Whoever seeks artifacts finds them, however often those who serve them move.

use std::time::Duration;

use epic_common::conversation::{Nudge, SOURCES_MAX};
use epic_scheduler_core::director::Input;
use epic_scheduler_core::mesos::{Call, TaskState};
use epic_tests::model::{Replicas, SESSION_TIMEOUT, World, agents};

use crate::replicas::{converged, installed};

const LIMIT: Duration = Duration::from_secs(600);

/// Three replicas, whose leader has just launched `worker-2.1`, the fourth task, which is in this state.
fn launching(state: TaskState) -> Replicas {
    let mut world = installed();
    // The leader has led since before the others were there.
    world.run_for(Duration::from_secs(6));
    let wish = world.workers(3);
    world.insist(&wish);
    world.until(LIMIT, |world| {
        let task = world.mesos.tasks().find(|(_, name, _)| *name == "worker-2.1");
        task.filter(|(_, _, task)| task.state == state).map(drop).ok_or_else(|| format!("no task is {state}"))
    });
    world
}

/// Waits until a task runs.
fn runs(world: &mut Replicas, wanted: &str) {
    world.until(LIMIT, |world| {
        let task = world.mesos.tasks().find(|(_, name, task)| *name == wanted && task.state == TaskState::Running);
        task.map(drop).ok_or_else(|| format!("{wanted} doesn't run"))
    });
}

/// What its executor was told last of where artifacts are.
fn sources(world: &Replicas) -> Vec<String> {
    world.mesos.tasks().find(|(_, name, _)| *name == "worker-2.1").unwrap().2.sources.clone()
}

#[test]
fn an_order_names_the_leader_first_and_then_the_others() {
    let world = launching(TaskState::Starting);
    let leader = world.leader();
    let mut expected = vec![world.all[leader].place.clone()];
    expected.extend((0..3).filter(|who| *who != leader).map(|who| world.all[who].place.clone()));
    assert_eq!(sources(&world), expected);
}

#[test]
fn an_executor_whose_leader_dies_while_it_fetches_goes_on_from_another_in_the_same_attempt() {
    let mut world = launching(TaskState::Starting);
    let leader = world.leader();
    world.kill(leader);
    runs(&mut world, "worker-2.1");
    world.restart(leader);
    world.until(LIMIT, converged);
    assert_eq!(world.mesos.launched(), 4, "no attempt was lost: {:?}", world.mesos.alive());
}

#[test]
fn an_executor_that_fetches_while_every_replica_moves_is_told_where_they_are_in_the_same_attempt() {
    let mut world = launching(TaskState::Starting);
    for who in 0..3 {
        world.kill(who);
    }
    world.run_for(SESSION_TIMEOUT);
    assert!(sources(&world).iter().all(|url| world.mesos.gone.contains(url)));
    for who in 0..3 {
        world.restart(who);
    }
    world.until(LIMIT, converged);
    assert_eq!(world.mesos.launched(), 4, "no attempt was lost: {:?}", world.mesos.alive());
    assert!(sources(&world).iter().all(|url| !world.mesos.gone.contains(url)), "{:?}", sources(&world));
}

#[test]
fn an_executor_whose_program_nobody_serves_any_more_costs_one_attempt_and_the_next_names_the_new_leader() {
    let mut world = launching(TaskState::Staging);
    let leader = world.leader();
    let dead = world.all[leader].place.clone();
    world.kill(leader);
    runs(&mut world, "worker-2.2");
    world.restart(leader);
    world.until(LIMIT, converged);
    let next = world.mesos.tasks().find(|(_, name, _)| *name == "worker-2.2").expect("the next attempt").2;
    let place = &world.all[world.leader()].place;
    assert!(next.executor.url.starts_with(place.as_str()) && !next.executor.url.starts_with(&dead), "{next:?}");
    assert_eq!(world.mesos.launched(), 5, "one attempt was lost: {:?}", world.mesos.alive());
}

fn told(world: &World) -> usize {
    world.count(|call| matches!(call, Call::Message { nudge: Nudge::Sources { .. }, .. }))
}

/// A scheduler whose worker seeks its bundle, which is nowhere.
fn seeking() -> World {
    let mut world = World::new(agents(4));
    world.apply(0);
    world.until(LIMIT, |world| {
        let task = world.mesos.tasks().next().filter(|(_, _, task)| task.state == TaskState::Starting);
        task.map(drop).ok_or_else(|| "no executor has begun".to_owned())
    });
    world.mesos.gone.extend(["http://10.0.0.100:8080", "http://nowhere"].map(str::to_owned));
    world.run_for(Duration::from_secs(60));
    assert_eq!(world.mesos.tasks().map(|(_, _, task)| task.state).collect::<Vec<_>>(), [TaskState::Starting]);
    world
}

#[test]
fn who_was_told_by_its_order_is_told_nothing_more() {
    let world = seeking();
    assert_eq!(told(&world), 0);
}

#[test]
fn who_seeks_is_told_of_a_change_more_and_more_seldom_until_it_has_found() {
    let mut world = seeking();
    world.nudges_to_lose = 3;
    world.tell(Input::Sources(vec!["http://nowhere".to_owned()]));
    world.run_for(LIMIT);
    let asked = told(&world);
    assert!((20..40).contains(&asked), "told {asked} times in ten minutes");
    world.tell(Input::Sources(vec!["http://here".to_owned()]));
    world.run_for(Duration::from_secs(5));
    assert_eq!(world.mesos.tasks().map(|(_, _, task)| task.state).collect::<Vec<_>>(), [TaskState::Running]);
    let asked = told(&world);
    world.run_for(LIMIT);
    world.tell(Input::Sources(vec!["http://there".to_owned()]));
    world.run_for(LIMIT);
    assert_eq!(told(&world), asked, "who has found is told nothing");
}

#[test]
fn however_many_replicas_there_are_an_executor_is_told_of_a_few() {
    let mut world = World::new(agents(1));
    let urls: Vec<_> = (0..20).map(|n| format!("http://r{n}")).collect();
    world.tell(Input::Sources(urls.clone()));
    world.apply(0);
    world.run_for(Duration::from_secs(5));
    let sources = world.mesos.tasks().next().unwrap().2.sources.clone();
    assert_eq!((sources.len(), &sources[0][..]), (SOURCES_MAX, "http://10.0.0.100:8080"));
    assert_eq!(sources[1..], urls[..SOURCES_MAX - 1]);
}
