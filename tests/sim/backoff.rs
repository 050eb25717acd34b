//! What fails again and again is tried less and less often, also over a crash.

use std::time::Duration;

use epic_scheduler_core::request::Wish;
use epic_tests::model::{World, agents};

use crate::goals::converged;

const LIMIT: Duration = Duration::from_secs(600);

/// Lets worker-0 fail as soon as it is launched, for so long; answers how many attempts there were.
fn attempts(world: &mut World, time: Duration, crashes: bool) -> u32 {
    let end = world.now + time;
    // A member that is never told to wait would never let time pass.
    while world.now < end && world.journal.len() < 1_000 {
        world.rest();
        match world.mesos.alive().into_iter().find(|name| name.starts_with("worker-0.")) {
            // It fails before it is ready, or its count would begin anew.
            Some(name) => {
                world.mesos.crash_task(world.now, &name);
                world.rest();
                if crashes {
                    world.crash();
                }
            }
            None => drop(world.pass_time(end)),
        }
    }
    world.member("worker-0").attempt.0
}

#[test]
fn a_member_that_fails_at_once_is_tried_a_few_times_in_five_minutes() {
    for crashes in [false, true] {
        let mut world = World::new(agents(2));
        world.apply(1);
        let tried = attempts(&mut world, Duration::from_secs(300), crashes);
        assert!((6..=14).contains(&tried), "{tried} attempts, with crashes: {crashes}");
        assert_eq!(world.member("worker-0").failures, tried);
        world.until(LIMIT, converged);
        assert_eq!(world.member("worker-0").failures, 0, "what runs is forgiven");
    }
}

#[test]
fn a_wait_is_kept_over_a_crash_and_ends_in_time() {
    let mut world = World::new(agents(2));
    world.apply(1);
    attempts(&mut world, Duration::from_secs(60), false);
    world.crash();
    let (tried, not_before) = (world.member("worker-0").attempt.0, world.member("worker-0").not_before);
    assert!(not_before > world.now);
    world.until(
        LIMIT,
        |world| if world.member("worker-0").attempt.0 > tried { Ok(()) } else { Err("it waits".to_owned()) },
    );
    assert!(
        world.now >= not_before && world.now.since(not_before) <= Duration::from_secs(6),
        "{} for {not_before}",
        world.now
    );
}

#[test]
fn who_asks_for_a_start_waits_for_no_old_failure() {
    let mut world = World::new(agents(2));
    world.apply(1);
    attempts(&mut world, Duration::from_secs(120), false);
    assert!(world.member("worker-0").not_before > world.now + Duration::from_secs(10));
    world.insist(&Wish::Stop);
    world.insist(&Wish::Start);
    world.until(Duration::from_secs(10), converged);
}
