//! Documents reach who reads them.

use std::time::Duration;

use epic_scheduler_core::document::MEMBERS;
use epic_scheduler_core::mesos::Call;
use epic_tests::model::{World, agents};

use crate::goals::converged;

const LIMIT: Duration = Duration::from_secs(600);

fn installed() -> World {
    let mut world = World::new(agents(4));
    world.apply(1);
    world.until(LIMIT, converged);
    world
}

#[test]
fn a_reader_is_told_of_a_change_until_it_says_that_it_has_seen_it() {
    let mut world = installed();
    let before = world.durable.documents.get(MEMBERS).unwrap().generation;
    world.nudges_to_lose = 3;
    world.apply(2);
    world.until(LIMIT, converged);
    let after = world.durable.documents.get(MEMBERS).unwrap().generation;
    assert!(after > before);
    let seen = world.mesos.tasks().find(|(_, name, _)| *name == "controller-0.1").unwrap().2.documents[MEMBERS];
    assert_eq!(seen, after);
    assert_eq!(world.nudges_to_lose, 0);
}

#[test]
fn nobody_is_told_twice_of_what_it_has_seen() {
    let mut world = installed();
    let told = world.count(|call| matches!(call, Call::Message { .. }));
    world.run_for(LIMIT);
    assert_eq!(world.count(|call| matches!(call, Call::Message { .. })), told);
}

#[test]
fn who_reads_nothing_is_told_nothing() {
    let world = installed();
    let host = world.mesos.tasks().find(|(_, name, _)| *name == "worker-0.1").unwrap().0.id.clone();
    assert_eq!(world.count(|call| matches!(call, Call::Message { agent, .. } if *agent == host)), 0);
}

#[test]
fn a_member_that_moves_is_listed_at_its_new_host() {
    let mut world = installed();
    let host = world.mesos.tasks().find(|(_, name, _)| *name == "worker-0.1").unwrap().0.id.clone();
    world.mesos.lose_agent(world.now, &host);
    world.run_for(LIMIT);
    let moved = world.mesos.tasks().find(|(_, name, _)| *name == "worker-0.2").unwrap().0.hostname.clone();
    let text = epic_scheduler_core::document::members(&world.durable).unwrap();
    assert!(text.contains(&moved) && !text.contains(&world.mesos.agents[&host].hostname), "{text}");
    let seen = world.mesos.tasks().find(|(_, name, _)| *name == "controller-0.1").unwrap().2.documents[MEMBERS];
    assert_eq!(seen, world.durable.documents.get(MEMBERS).unwrap().generation);
}

#[test]
fn a_role_of_which_nobody_has_a_place_is_an_empty_list() {
    let mut world = World::new(agents(1));
    world.apply(1);
    world.run_for(LIMIT);
    let text = epic_scheduler_core::document::members(&world.durable).unwrap();
    assert!(text.contains("controller-0") && text.ends_with(r#","worker":[]}"#), "{text}");
}
