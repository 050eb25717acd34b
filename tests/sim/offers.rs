//! Offers are wanted while something waits, and never kept for nothing.

use std::time::Duration;

use epic_scheduler_core::mesos::Call;
use epic_scheduler_core::request::Wish;
use epic_tests::model::{World, agents};

use crate::goals::converged;

const LIMIT: Duration = Duration::from_secs(600);

#[test]
fn offers_are_suppressed_when_nothing_waits_and_wanted_again_when_something_does() {
    let mut world = World::new(agents(4));
    world.apply(2);
    world.until(LIMIT, converged);
    let revived = world.count(|call| matches!(call, Call::Revive));
    assert!(world.mesos.is_suppressed());
    world.insist(&Wish::Restart("worker-0".into()));
    world.until(LIMIT, converged);
    assert_eq!(world.count(|call| matches!(call, Call::Revive)), revived + 1);
    assert!(world.mesos.is_suppressed());
}

#[test]
fn an_idle_platform_says_nothing() {
    let mut world = World::new(agents(4));
    world.apply(2);
    world.until(LIMIT, converged);
    let before = (world.calls_made.len(), world.journal.len());
    world.run_for(Duration::from_secs(24 * 3600));
    assert_eq!((world.calls_made.len(), world.journal.len()), before);
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
    // The other agent's offer was refused for an hour, as unneeded; then the scheduler dies between two commits.
    world.mesos.crash_task(world.now, "controller-0.1");
    world
        .until(LIMIT, |world| if world.durable.unplaced.is_empty() { Err("nothing waits".to_owned()) } else { Ok(()) });
    world.crash();
    world.until(Duration::from_secs(60), converged);
}
