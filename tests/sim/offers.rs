//! Offers are wanted while something waits, and never kept for nothing.

use std::time::Duration;

use epic_scheduler_core::mesos::Call;
use epic_scheduler_core::request::Wish;
use epic_tests::model::{Action, World, agents};

use crate::goals::converged;

const LIMIT: Duration = Duration::from_secs(600);

#[test]
fn offers_are_suppressed_when_nothing_waits_and_wanted_again_when_something_does() {
    let mut world = World::new(agents(4));
    world.apply(2);
    world.until(LIMIT, converged);
    let revived = world.count(|call| matches!(call, Call::Revive));
    assert!(world.mesos.is_suppressed());
    world.insist(&Wish::Restart("worker-0".parse().unwrap()));
    world.until(LIMIT, converged);
    assert_eq!(world.count(|call| matches!(call, Call::Revive)), revived + 1);
    assert!(world.mesos.is_suppressed());
}

#[test]
fn an_idle_platform_only_asks_now_and_then_whether_its_tasks_live() {
    let mut world = World::new(agents(4));
    world.apply(2);
    world.until(LIMIT, converged);
    let is_question = |call: &Call| matches!(call, Call::Reconcile { .. } | Call::ReconcileAll);
    let counts = |world: &World| (world.count(|call| !is_question(call)), world.journal.len());
    let (before, asked) = (counts(&world), world.count(is_question));
    world.run_for(Duration::from_secs(24 * 3600));
    assert_eq!(counts(&world), before);
    let asked = world.count(is_question) - asked;
    assert!((200..400).contains(&asked), "{asked} questions in a day");
}

#[test]
fn what_fits_nothing_is_given_back_for_a_short_while() {
    let mut world = World::new(agents(2));
    world.apply(3);
    world.run_for(Duration::from_secs(60));
    assert_eq!(world.mesos.alive().len(), 2);
    assert_eq!(world.mesos.offers_held(), 0, "offers that fit nothing are kept");
}

#[test]
fn a_filter_from_before_a_resubscription_hides_no_offer_from_who_waits() {
    let mut world = World::new(agents(2));
    world.apply(0);
    world.until(LIMIT, converged);
    // The other agent's offer was refused for an hour, as unneeded. The scheduler dies once the end is durable, before
    // it could say that offers are wanted again, and only that other agent is left.
    let agent = world.mesos.tasks().next().unwrap().0.id.clone();
    world.mesos.crash_task(world.now, "controller-0.1");
    world.mesos.step(world.now);
    while world.durable.units.unplaced.is_empty() {
        let next = world.actions().into_iter().find(|action| matches!(action, Action::Event | Action::Commit));
        world.perform(next.expect("the end is on its way"));
    }
    world.mesos.lose_agent(world.now, &agent);
    world.crash();
    world.drop_ghosts();
    world.until(Duration::from_secs(60), |world| {
        let alive = world.mesos.alive();
        if alive == ["controller-0.2"] { Ok(()) } else { Err(format!("{alive:?} run")) }
    });
}
