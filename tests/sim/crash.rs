//! The scheduler dies at every output, before and after it is carried out, and another one goes on from the journal.

use std::time::Duration;

use epic_scheduler_core::request::Wish;
use epic_tests::model::{Crash, World, agents};

use crate::goals::{converged, uninstalled};

const LIMIT: Duration = Duration::from_secs(600);

/// Runs a story once without a crash, then once for each output and each side of it; answers how many crashes there were.
fn at_every_output(story: impl Fn(&mut World)) -> usize {
    let mut whole = World::new(agents(4));
    story(&mut whole);
    for at in 1..=whole.outputs {
        for crash in [Crash::Before, Crash::After] {
            let mut world = World::new(agents(4));
            world.crash_at = Some((at, crash));
            story(&mut world);
            assert_eq!(world.crash_at, None, "it didn't die at output {at}");
        }
    }
    whole.outputs * 2
}

#[test]
fn an_installation_survives_a_crash_at_every_output() {
    let crashes = at_every_output(|world| {
        world.insist_on_workers(2);
        let framework = world.durable.identity.framework.clone();
        world.until(LIMIT, converged);
        assert_eq!(world.durable.identity.framework, framework);
        assert_eq!(world.durable.identity.frameworks_chosen, 1);
        assert_eq!(world.mesos.launched(), 3, "something that ran was started again");
    });
    assert!(crashes > 60, "only {crashes} crashes");
}

#[test]
fn a_restart_survives_a_crash_at_every_output() {
    at_every_output(|world| {
        world.insist_on_workers(2);
        world.until(LIMIT, converged);
        world.insist(&Wish::Restart("worker-1".parse().unwrap()));
        world.until(LIMIT, converged);
        assert_eq!(world.mesos.launched(), 4, "one attempt was to be replaced");
    });
}

#[test]
fn stop_and_start_survive_a_crash_at_every_output() {
    at_every_output(|world| {
        world.insist_on_workers(1);
        world.until(LIMIT, converged);
        world.insist(&Wish::Stop);
        world.until(LIMIT, converged);
        assert!(world.mesos.alive().is_empty());
        world.insist(&Wish::Start);
        world.until(LIMIT, converged);
        assert_eq!(world.mesos.launched(), 4);
    });
}

#[test]
fn a_failed_service_is_replaced_though_the_scheduler_dies_at_any_output() {
    at_every_output(|world| {
        world.insist_on_workers(1);
        world.until(LIMIT, converged);
        let worker = world.mesos.alive().into_iter().find(|name| name.starts_with("worker")).unwrap();
        world.mesos.crash_task(world.now, &worker);
        world.until(LIMIT, converged);
        assert_eq!(world.mesos.launched(), 3);
    });
}

#[test]
fn fewer_and_more_workers_survive_a_crash_at_every_output() {
    at_every_output(|world| {
        for workers in [2, 1, 3] {
            world.insist_on_workers(workers);
            world.until(LIMIT, converged);
        }
        assert_eq!(world.mesos.launched(), 5);
    });
}

#[test]
fn an_uninstallation_survives_a_crash_at_every_output() {
    at_every_output(|world| {
        world.insist_on_workers(1);
        world.until(LIMIT, converged);
        let first = world.durable.identity.framework.clone();
        world.insist(&Wish::Uninstall);
        world.until(LIMIT, uninstalled);
        world.insist_on_workers(1);
        world.until(LIMIT, converged);
        assert_ne!(world.durable.identity.framework, first, "a removed framework id was used again");
        assert_eq!(world.durable.identity.frameworks_chosen, 2);
    });
}
