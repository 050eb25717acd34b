//! Masters that fail over, and links that break.

use std::time::Duration;

use epic_scheduler_core::director::Input;
use epic_scheduler_core::mesos::{Call, Event, LinkEnd, Status, StreamId, TaskState};
use epic_scheduler_core::request::Wish;
use epic_tests::model::{Action, World, agents};

use crate::goals::{converged, uninstalled};

const LIMIT: Duration = Duration::from_secs(900);

fn installed() -> World {
    let mut world = World::new(agents(4));
    world.apply(2);
    world.until(LIMIT, converged);
    world
}

fn agents_return(world: &mut World) {
    let names: Vec<_> = world.mesos.agents.keys().cloned().collect();
    for agent in names {
        world.mesos.return_agent(&agent);
    }
}

#[test]
fn a_new_masters_silence_is_asked_again_until_it_knows() {
    let mut world = installed();
    world.mesos.fail_over(world.now);
    world.run_for(Duration::from_secs(120));
    let asked = world.count(|call| matches!(call, Call::Reconcile { .. }));
    assert!((4..40).contains(&asked), "{asked} questions in two minutes");
    agents_return(&mut world);
    world.run_for(Duration::from_secs(60));
    let answered = world.count(|call| matches!(call, Call::Reconcile { .. }));
    world.run_for(Duration::from_secs(240));
    assert_eq!(world.count(|call| matches!(call, Call::Reconcile { .. })), answered, "it asks on after the answer");
    world.until(LIMIT, converged);
    assert_eq!(world.mesos.launched(), 3);
}

#[test]
fn a_launch_that_a_dying_master_forgot_is_tried_again_and_nothing_else() {
    let mut world = World::new(agents(4));
    world.mesos.launches_to_lose = 1;
    world.apply(2);
    world.run_for(Duration::from_secs(5));
    world.mesos.fail_over(world.now);
    world.run_for(Duration::from_secs(60));
    assert_eq!(world.mesos.launched(), 3, "a launch was repeated before Mesos answered");
    agents_return(&mut world);
    world.until(LIMIT, converged);
    assert_eq!(world.mesos.launched(), 4);
}

#[test]
fn a_link_that_breaks_again_and_again_loses_nothing() {
    let mut world = World::new(agents(4));
    world.apply(2);
    for _ in 0..20 {
        world.run_for(Duration::from_millis(300));
        world.break_link();
    }
    world.until(LIMIT, converged);
    assert!(world.mesos.alive().len() == 3);
}

#[test]
fn an_update_is_acknowledged_on_the_next_stream_if_the_first_broke() {
    let mut world = installed();
    world.mesos.crash_task(world.now, "worker-0.1");
    world.mesos.step(world.now);
    world.break_link();
    world.until(LIMIT, converged);
    assert_eq!(world.mesos.launched(), 4);
}

#[test]
fn a_call_that_is_fenced_waits_for_the_news_that_its_stream_has_ended() {
    let mut world = installed();
    world.insist(&Wish::Uninstall);
    let is_teardown = |call: &Call| matches!(call, Call::Teardown);
    for _ in 0..1_000 {
        world.mesos.step(world.now);
        world.collect();
        if world.wires().any(is_teardown) {
            break;
        }
        match world.actions().first() {
            Some(action) => world.perform(*action),
            None => drop(world.pass_time(world.now + Duration::from_secs(1))),
        }
    }
    world.break_link();
    for _ in 0..50 {
        match world.actions().into_iter().find(|action| *action != Action::Event) {
            Some(action) => world.perform(action),
            None => break,
        }
    }
    assert_eq!(world.count(is_teardown), 1, "it is sent again on a stream that has ended");
    world.until(LIMIT, uninstalled);
    assert_eq!(world.count(is_teardown), 2);
}

#[test]
fn a_framework_that_somebody_tore_down_is_left_alone_until_it_is_uninstalled() {
    let mut world = installed();
    let stream = world.mesos.stream().cloned().unwrap();
    world.mesos.call(world.now, &stream, &Call::Teardown);
    world.run_for(LIMIT);
    assert!(world.director.session().link.problem().contains("removed"));
    assert_eq!(world.mesos.launched(), 3, "it registered anew by itself");
    world.insist(&Wish::Uninstall);
    world.until(LIMIT, uninstalled);
    world.insist_on_workers(1);
    world.until(LIMIT, converged);
    assert_eq!(world.durable.identity.frameworks_chosen, 2);
}

#[test]
fn a_scheduler_whose_id_is_taken_over_steps_aside() {
    let mut world = installed();
    let framework = world.durable.identity.framework.clone().unwrap();
    world
        .mesos
        .subscribe(&epic_scheduler_core::mesos::Subscribe { framework, suppressed: true, not_after: None })
        .unwrap();
    let stream = world.mesos.stream().cloned();
    world.run_for(LIMIT);
    assert!(world.director.session().link.problem().contains("failed over"));
    assert_eq!(world.mesos.stream().cloned(), stream, "it fights back");
}

#[test]
fn what_an_older_stream_still_says_is_void() {
    let mut world = installed();
    let before = world.journal.len();
    let stream = StreamId("an older one".to_owned());
    let status = Status {
        task: "worker-0.1".to_owned(),
        agent: Some("agent-1".into()),
        state: TaskState::Gone,
        reason: String::new(),
        message: String::new(),
        uuid: None,
        healthy: None,
        report: None,
    };
    world.tell(Input::Mesos(stream.clone(), Event::Update(Box::new(status))));
    world.tell(Input::LinkEnded(Some(stream), LinkEnd::Said("Framework failed over".to_owned())));
    world.run_for(LIMIT);
    assert_eq!((world.journal.len(), world.director.session().link.is_up()), (before, true));
}
