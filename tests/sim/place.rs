//! Placing members, and saying why they can't be placed.

use std::time::Duration;

use epic_common::resources::{Bytes, MIB, MilliCpus, PortRange, Ports};
use epic_tests::model::{World, agents};

use crate::goals::converged;

const LIMIT: Duration = Duration::from_secs(60);

fn reasons(world: &World, instance: &str) -> Vec<String> {
    let unmet = world.director.session().unmet.get(&instance.parse().unwrap());
    unmet.into_iter().flatten().map(ToString::to_string).collect()
}

#[test]
fn a_controller_and_two_workers_run_each_on_a_host_of_its_own() {
    let mut world = World::new(agents(4));
    world.apply(2);
    world.until(LIMIT, converged);
    let hosts: std::collections::BTreeSet<_> = world.mesos.tasks().map(|(agent, _, _)| agent.id.clone()).collect();
    assert_eq!(hosts.len(), 3);
}

#[test]
fn who_has_no_place_is_told_every_reason_on_every_host() {
    let mut hosts = agents(3);
    hosts[1].total.cpus = MilliCpus(500);
    hosts[1].total.mem = Bytes(256 * MIB);
    hosts[2].total.ports = Ports::default();
    hosts[2].total.disk = Bytes(MIB);
    let mut world = World::new(hosts);
    world.apply(1);
    world.run_for(LIMIT);
    assert_eq!(
        reasons(&world, "worker-0"),
        [
            "10.0.0.1: controller-0 is there, and a host runs one member",
            "10.0.0.2: needs 0.6 reserved cpus, 0.5 offered, 0.1 missing",
            "10.0.0.2: needs 576MiB reserved memory, 256MiB offered, 320MiB missing",
            "10.0.0.3: needs 1GiB disk, 1MiB offered, 1023MiB missing",
            "10.0.0.3: needs 1 ports, 0 offered",
        ]
    );
    assert_eq!(reasons(&world, "controller-0"), [""; 0], "it has a place");
}

#[test]
fn a_reason_goes_when_it_no_longer_holds() {
    let mut hosts = agents(2);
    hosts[1].total.ports = Ports::default();
    let mut world = World::new(hosts);
    world.apply(1);
    world.run_for(LIMIT);
    assert_eq!(reasons(&world, "worker-0").last().unwrap(), "10.0.0.2: needs 1 ports, 0 offered");
    world.mesos.agents.get_mut(&"agent-2".into()).unwrap().total.ports =
        Ports::new([PortRange { first: 31_000, last: 31_000 }]);
    world.until(LIMIT, converged);
    assert_eq!(reasons(&world, "worker-0"), [""; 0]);
}

#[test]
fn the_ledger_says_what_each_host_keeps_for_us() {
    let mut world = World::new(agents(3));
    world.apply(2);
    world.until(LIMIT, converged);
    let kept: Vec<_> = world
        .durable
        .ledger
        .hosts
        .iter()
        .map(|(agent, host)| (agent.as_str(), host.cpus.0, host.mem.0 / MIB))
        .collect();
    assert_eq!(kept, [("agent-1", 2_000, 2_048), ("agent-2", 2_000, 2_048), ("agent-3", 2_000, 2_048)]);
}
