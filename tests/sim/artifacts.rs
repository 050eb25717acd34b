//! A bundle that the leader doesn't have delays launches, and nothing else.

use std::collections::BTreeSet;
use std::time::Duration;

use epic_common::ids::Digest;
use epic_scheduler_core::director::Input;
use epic_scheduler_core::mesos::Call;
use epic_tests::model::{World, agents};

use crate::goals::converged;

const LIMIT: Duration = Duration::from_secs(60);

fn bundle(world: &World) -> Digest {
    world.durable.platform().unwrap().bundle.sha256
}

fn accepts(world: &World) -> usize {
    world.count(|call| matches!(call, Call::Accept { .. }))
}

fn reasons(world: &World, instance: &str) -> Vec<String> {
    let unmet = world.director.session().unmet.get(&instance.parse().unwrap());
    unmet.into_iter().flatten().map(ToString::to_string).collect()
}

#[test]
fn members_wait_for_a_bundle_that_is_not_here_and_say_so() {
    let mut world = World::new(agents(3));
    world.tell(Input::Held(BTreeSet::new()));
    world.apply(2);
    world.run_for(LIMIT);
    assert_eq!(accepts(&world), 0, "nobody could fetch it from here");
    let bundle = bundle(&world);
    let expected = format!(
        "bundle sha256:{bundle} is not on this replica; it is fetched from any other that has it; supply it with epicctl \
         bundle push FILE"
    );
    for member in ["controller-0", "worker-0", "worker-1"] {
        assert_eq!(reasons(&world, member), [expected.as_str()]);
    }
    assert!(world.director.is_leading() && world.director.session().link.is_up(), "it leads all the same");
    world.tell(Input::Held(BTreeSet::from([bundle])));
    assert_eq!(reasons(&world, "worker-0"), [""; 0], "the reason goes with its cause");
    world.until(LIMIT, converged);
}

#[test]
fn what_runs_goes_on_while_the_bundle_is_away_and_only_new_attempts_wait() {
    let mut world = World::new(agents(3));
    world.apply(2);
    world.until(LIMIT, converged);
    world.crash();
    world.tell(Input::Held(BTreeSet::new()));
    let before = accepts(&world);
    world.mesos.crash_task(world.now, "worker-1.1");
    world.run_for(LIMIT);
    assert!(world.member("worker-1").live.is_none(), "its end is recorded");
    assert_eq!(world.mesos.alive(), ["controller-0.1", "worker-0.1"]);
    assert_eq!(accepts(&world), before);
    let held = BTreeSet::from([bundle(&world)]);
    world.tell(Input::Held(held));
    world.until(LIMIT, converged);
    assert_eq!(world.member("worker-0").attempt.0, 1);
}

#[test]
fn another_artifact_does_not_help() {
    let mut world = World::new(agents(1));
    world.tell(Input::Held(BTreeSet::from([Digest([9; 32])])));
    world.apply(0);
    world.run_for(LIMIT);
    world.tell(Input::Held(BTreeSet::from([Digest([8; 32])])));
    world.run_for(LIMIT);
    assert_eq!((accepts(&world), reasons(&world, "controller-0").len()), (0, 1));
}
