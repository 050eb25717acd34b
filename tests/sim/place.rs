//! Placing members.

use std::time::Duration;

use epic_tests::model::{World, agents};

use crate::goals::converged;

#[test]
fn a_controller_and_two_workers_run_each_on_a_host_of_its_own() {
    let mut world = World::new(agents(4));
    world.apply(2);
    world.until(Duration::from_secs(60), converged);
    let mut hosts: Vec<_> = world.mesos.tasks().map(|(agent, _, _)| agent.id.clone()).collect();
    hosts.dedup();
    assert_eq!(hosts.len(), 3);
}
