//! What people ask for: apply, stop, start, restart, uninstall.

use std::time::Duration;

use epic_scheduler_core::mesos::Call;
use epic_scheduler_core::request::{Applicant, RejectionKind, Wish};
use epic_tests::model::{World, agents, desired};

use crate::goals::{converged, uninstalled};

const LIMIT: Duration = Duration::from_secs(600);

fn installed(workers: u32) -> World {
    let mut world = World::new(agents(4));
    world.apply(workers);
    world.until(LIMIT, converged);
    world
}

#[test]
fn stop_ends_every_member_and_start_begins_the_next_attempts() {
    let mut world = installed(2);
    world.insist(&Wish::Stop);
    world.until(LIMIT, converged);
    assert!(world.mesos.alive().is_empty());
    world.insist(&Wish::Start);
    world.until(LIMIT, converged);
    assert_eq!(world.mesos.alive(), ["controller-0.2", "worker-0.2", "worker-1.2"]);
}

#[test]
fn start_while_members_are_still_ending_waits_for_their_end() {
    let mut world = installed(2);
    world.mesos.kills_to_lose = 3;
    world.insist(&Wish::Stop);
    world.insist(&Wish::Start);
    world.until(LIMIT, converged);
    assert_eq!(world.mesos.launched(), 6);
}

#[test]
fn a_restart_replaces_one_attempt() {
    let mut world = installed(2);
    world.insist(&Wish::Restart("worker-1".parse().unwrap()));
    world.until(LIMIT, converged);
    let mut alive = world.mesos.alive();
    alive.sort_unstable();
    assert_eq!(alive, ["controller-0.1", "worker-0.1", "worker-1.2"]);
}

#[test]
fn fewer_workers_end_the_last_and_more_go_on_counting_attempts() {
    let mut world = installed(3);
    world.insist_on_workers(1);
    world.until(LIMIT, converged);
    assert_eq!(world.mesos.alive().len(), 2);
    world.insist_on_workers(3);
    world.until(LIMIT, converged);
    let mut alive = world.mesos.alive();
    alive.sort_unstable();
    assert_eq!(alive, ["controller-0.1", "worker-0.1", "worker-1.2", "worker-2.2"]);
}

#[test]
fn uninstall_ends_with_a_teardown_and_the_next_apply_is_a_new_framework() {
    let mut world = installed(2);
    let first = world.durable.identity.framework.clone();
    world.insist(&Wish::Uninstall);
    world.until(LIMIT, uninstalled);
    assert_eq!(world.count(|call| matches!(call, Call::Teardown)), 1);
    world.insist_on_workers(1);
    world.until(LIMIT, converged);
    assert_ne!(world.durable.identity.framework, first);
    assert!(first.is_some_and(|first| world.mesos.removed.contains(&first)));
}

#[test]
fn a_teardown_that_is_refused_is_tried_again_after_a_wait() {
    let mut world = installed(1);
    world.mesos.teardowns_to_refuse = 5;
    world.insist(&Wish::Uninstall);
    let began = world.now;
    world.until(LIMIT, uninstalled);
    assert_eq!(world.count(|call| matches!(call, Call::Teardown)), 6);
    assert!(world.now.since(began) >= Duration::from_secs(1), "it hammers");
}

#[test]
fn what_is_being_uninstalled_takes_no_other_wish() {
    let mut world = installed(1);
    world.mesos.kills_to_lose = 100;
    world.insist(&Wish::Uninstall);
    for wish in [Wish::Start, Wish::Stop] {
        let client = world.ask(wish, None);
        world.rest();
        assert_eq!(world.answer(client).unwrap().as_ref().unwrap_err().kind, RejectionKind::Conflict);
    }
    let client = world.apply(2);
    world.rest();
    assert_eq!(world.answer(client).unwrap().as_ref().unwrap_err().kind, RejectionKind::Conflict);
}

#[test]
fn the_same_key_is_granted_once_and_answered_twice() {
    let mut world = installed(1);
    let first = world.ask(Wish::Restart("worker-0".parse().unwrap()), Some("once"));
    world.until(LIMIT, converged);
    let again = world.ask(Wish::Restart("worker-0".parse().unwrap()), Some("once"));
    world.until(LIMIT, converged);
    let index = |client| world.answer(client).unwrap().as_ref().unwrap().index;
    assert_eq!((index(first), world.mesos.launched()), (index(again), 3));
}

#[test]
fn a_file_fills_an_empty_journal_and_changes_nothing_later() {
    let seed =
        |workers| Wish::Apply { desired: Box::new(desired(workers)), framework: "seed".into(), by: Applicant::Seed };
    let mut world = World::new(agents(4));
    world.insist(&seed(1));
    world.until(LIMIT, converged);
    world.insist(&seed(3));
    world.until(LIMIT, converged);
    assert_eq!(world.mesos.launched(), 2);
    world.insist(&Wish::Uninstall);
    world.until(LIMIT, uninstalled);
    world.insist(&seed(1));
    world.run_for(LIMIT);
    assert!(world.durable.platform().is_none() && world.durable.identity.framework.is_none());
}

#[test]
fn what_cannot_be_is_refused_with_the_field_and_changes_nothing() {
    let mut world = installed(1);
    let before = world.journal.len();
    let refused = |world: &mut World, change: fn(&mut epic_scheduler_core::state::deployment::Desired)| {
        let mut wanted = desired(1);
        change(&mut wanted);
        let client =
            world.ask(Wish::Apply { desired: Box::new(wanted), framework: "f".into(), by: Applicant::Person }, None);
        world.rest();
        let rejection = world.answer(client).unwrap().clone().unwrap_err();
        rejection.errors.into_iter().map(|(path, _)| path).collect::<Vec<_>>()
    };
    let controllers = refused(&mut world, |wanted| {
        wanted.members.insert("controller".into(), 2);
    });
    assert_eq!(controllers, ["spec.controllers.count"]);
    assert_eq!(refused(&mut world, |wanted| wanted.name.push('x')), ["label.name"]);
    assert_eq!(refused(&mut world, |wanted| wanted.root_allowed = true), ["spec.allowRoot"]);
    let client = world.ask(Wish::Restart("worker-9".parse().unwrap()), None);
    world.rest();
    assert_eq!(world.answer(client).unwrap().as_ref().unwrap_err().kind, RejectionKind::NotFound);
    assert_eq!(world.journal.len(), before);
}

#[test]
fn without_a_platform_there_is_nothing_to_stop() {
    let mut world = World::new(agents(1));
    for wish in [Wish::Stop, Wish::Start, Wish::Uninstall] {
        let client = world.ask(wish, None);
        world.rest();
        assert_eq!(world.answer(client).unwrap().as_ref().unwrap_err().kind, RejectionKind::Conflict);
    }
    assert!(world.journal.is_empty() && world.calls_made.is_empty());
}

#[test]
fn an_attempt_that_is_to_end_before_mesos_has_answered_is_killed_once_it_has() {
    let mut world = World::new(agents(4));
    world.apply(2);
    while world.durable.units.launching.is_empty() {
        match world.actions().first() {
            Some(action) => world.perform(*action),
            None => assert!(world.pass_time(world.now + LIMIT) || !world.actions().is_empty(), "nothing is launched"),
        }
    }
    let asked = world.now;
    world.ask(Wish::Uninstall, None);
    world.until(LIMIT, uninstalled);
    let took = world.now.since(asked);
    assert!(took < Duration::from_secs(2), "it took {took:?}");
}
