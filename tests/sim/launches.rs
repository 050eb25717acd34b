//! Launches that don't arrive, or of which nobody knows whether they did.

use std::time::Duration;

use epic_scheduler_core::mesos::Call;
use epic_scheduler_core::state::unit::Progress;
use epic_tests::model::{Action, World, agents};

use crate::goals::converged;

const LIMIT: Duration = Duration::from_secs(600);

/// Lets everything happen until the scheduler has sent its first ACCEPT, which hasn't arrived.
fn until_accept(world: &mut World) {
    for _ in 0..1_000 {
        world.mesos.step(world.now);
        world.collect();
        if world.count(|call| matches!(call, Call::Accept { .. })) > 0 {
            return;
        }
        match world.actions().first() {
            Some(action) => world.perform(*action),
            None => drop(world.pass_time(world.now + Duration::from_secs(1))),
        }
    }
    panic!("no ACCEPT was sent");
}

/// Returns where in the queue the first ACCEPT is.
fn accept_at(world: &World) -> usize {
    let at = world.wires().position(|call| matches!(call, Call::Accept { .. }));
    at.expect("an ACCEPT is on its way")
}

fn attempt(world: &World, instance: &str) -> u32 {
    world.member(instance).attempt.0
}

#[test]
fn a_rescind_that_crosses_the_accept_costs_one_attempt() {
    let mut world = World::new(agents(1));
    world.apply(0);
    until_accept(&mut world);
    world.mesos.rescind(|_| true);
    world.until(LIMIT, converged);
    assert_eq!((attempt(&world, "controller-0"), world.mesos.launched()), (2, 1));
}

#[test]
fn a_rescind_before_the_accept_is_sent_is_heard() {
    let mut world = World::new(agents(1));
    world.apply(0);
    for _ in 0..1_000 {
        world.mesos.step(world.now);
        world.collect();
        if world.durable.units.launching.is_empty()
            && world.actions().first() == Some(&Action::Commit)
            && world.mesos.offers_held() > 0
        {
            world.mesos.rescind(|_| true);
            world.perform(Action::Event);
        }
        if let Some(action) = world.actions().first() {
            world.perform(*action);
        }
        if !world.durable.units.launching.is_empty() {
            break;
        }
    }
    assert_eq!(world.count(|call| matches!(call, Call::Accept { .. })), 0, "a rescinded offer was used");
    world.until(LIMIT, converged);
    assert_eq!((attempt(&world, "controller-0"), world.mesos.launched()), (2, 1));
}

#[test]
fn a_launch_that_is_lost_without_a_word_is_asked_about_after_its_deadline_and_tried_again() {
    let mut world = World::new(agents(1));
    world.mesos.launches_to_lose = 1;
    world.apply(0);
    world.run_for(Duration::from_secs(25));
    assert_eq!(attempt(&world, "controller-0"), 1, "it didn't wait for the deadline");
    let asked = world.count(|call| matches!(call, Call::Reconcile { .. }));
    assert_eq!(asked, 0);
    world.until(LIMIT, converged);
    assert_eq!((attempt(&world, "controller-0"), world.mesos.launched()), (2, 2));
}

#[test]
fn a_launch_that_is_heard_of_is_not_asked_about() {
    let mut world = World::new(agents(4));
    world.apply(2);
    world.run_for(Duration::from_secs(120));
    assert_eq!(world.count(|call| matches!(call, Call::Reconcile { .. })), 0);
}

#[test]
fn an_attempt_that_ends_before_its_accept_is_answered_hides_no_later_deadline() {
    let mut world = World::new(agents(1));
    world.apply(0);
    until_accept(&mut world);
    let at = accept_at(&world);
    world.perform(Action::Call(at));
    world.mesos.crash_task(world.now, "controller-0.1");
    for _ in 0..1_000 {
        world.mesos.step(world.now);
        match world.actions().into_iter().find(|action| !matches!(action, Action::Answer(_))) {
            Some(action) => world.perform(action),
            None => break,
        }
    }
    assert!(world.durable.units.tasks.is_empty(), "its end is not durable");
    world.mesos.launches_to_lose = 1;
    world.until(Duration::from_secs(120), converged);
    assert_eq!(attempt(&world, "controller-0"), 3);
}

#[test]
fn many_lost_launches_in_a_row_delay_nothing_else() {
    let mut world = World::new(agents(4));
    world.mesos.launches_to_lose = 5;
    world.apply(3);
    world.until(LIMIT, converged);
}

#[test]
fn an_accept_without_an_answer_ends_the_subscription_whether_or_not_it_arrived() {
    for arrives in [false, true] {
        let mut world = World::new(agents(1));
        world.apply(0);
        until_accept(&mut world);
        let first = world.mesos.stream().cloned();
        let at = accept_at(&world);
        world.lose_call(at, arrives);
        assert!(!world.director.session().link.is_up(), "it goes on with a call of which it knows nothing");
        world.until(LIMIT, converged);
        assert_ne!(world.mesos.stream().cloned(), first);
        assert_eq!(attempt(&world, "controller-0"), if arrives { 1 } else { 2 });
        assert_eq!(world.mesos.launched(), 1);
    }
}

#[test]
fn an_accept_that_arrives_after_the_next_subscription_is_fenced() {
    let mut world = World::new(agents(1));
    world.apply(0);
    until_accept(&mut world);
    let at = accept_at(&world);
    world.crash();
    // The dead scheduler's call stays on its way until the next one is subscribed and has asked.
    for _ in 0..1_000 {
        let next = world.actions().into_iter().find(|action| *action != Action::Call(at));
        match next {
            Some(action) => world.perform(action),
            None => break,
        }
    }
    world.until(LIMIT, converged);
    assert_eq!((attempt(&world, "controller-0"), world.mesos.launched()), (2, 1));
}

#[test]
fn a_launch_of_an_older_subscription_is_asked_about_and_never_sent() {
    let mut world = World::new(agents(1));
    world.apply(0);
    until_accept(&mut world);
    world.break_link();
    world.drop_wires();
    assert!(world.durable.units.tasks.values().any(|task| matches!(task.progress, Progress::Launching { .. })));
    let accepts = world.count(|call| matches!(call, Call::Accept { .. }));
    world.until(LIMIT, converged);
    let asked = world.count(|call| matches!(call, Call::Reconcile { tasks } if tasks[0].0.attempt.0 == 1));
    assert_eq!((asked, world.count(|call| matches!(call, Call::Accept { .. })) - accepts), (1, 1));
    assert_eq!(attempt(&world, "controller-0"), 2);
}

#[test]
fn a_question_about_a_launch_waits_until_its_accept_is_answered() {
    let mut world = World::new(agents(1));
    world.apply(0);
    until_accept(&mut world);
    let agent = world.durable.units.tasks.values().next().unwrap().agent.clone();
    world.mesos.hint_failure(&agent);
    world.perform(Action::Event);
    for _ in 0..100 {
        world.pass_time(world.now + Duration::from_secs(1));
    }
    assert_eq!(world.count(|call| matches!(call, Call::Reconcile { .. })), 0, "the answer could overtake the launch");
    world.until(LIMIT, converged);
    assert_eq!(attempt(&world, "controller-0"), 1);
}
