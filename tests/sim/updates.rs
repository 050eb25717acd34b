//! Updates are acknowledged once what they say is durable, and not before.

use std::time::Duration;

use epic_scheduler_core::mesos::{Call, Event, Status, TaskState};
use epic_scheduler_core::request::Wish;
use epic_tests::model::{Action, World, agents};

use crate::goals::{converged, uninstalled};

const LIMIT: Duration = Duration::from_secs(600);

fn installed() -> World {
    let mut world = World::new(agents(4));
    world.apply(2);
    world.until(LIMIT, converged);
    world
}

fn acknowledged(world: &World, name: &str) -> usize {
    world.count(|call| matches!(call, Call::Acknowledge { task, .. } if task == name))
}

/// Delivers everything that Mesos has to say, and nothing else.
fn hear(world: &mut World) {
    world.mesos.step(world.now);
    while world.actions().contains(&Action::Event) {
        world.perform(Action::Event);
    }
}

#[test]
fn every_update_is_recorded_once_and_acknowledged_once() {
    let world = installed();
    // STARTING and RUNNING.
    assert_eq!(acknowledged(&world, "worker-0.1"), 2);
    let recorded = world.journal.iter().filter(|entry| format!("{entry:?}").contains("StatusRecorded")).count();
    assert!(
        (6..=9).contains(&recorded),
        "{recorded} states of three members, and what the controller said of its document"
    );
}

#[test]
fn nothing_is_acknowledged_while_its_entry_is_on_its_way() {
    let mut world = installed();
    let before = acknowledged(&world, "worker-0.1");
    world.mesos.crash_task(world.now, "worker-0.1");
    hear(&mut world);
    assert_eq!((world.actions(), acknowledged(&world, "worker-0.1")), (vec![Action::Commit], before));
    world.perform(Action::Commit);
    assert_eq!(acknowledged(&world, "worker-0.1"), before + 1);
}

#[test]
fn an_update_that_is_repeated_is_acknowledged_again_without_an_entry() {
    let mut world = installed();
    world.mesos.crash_task(world.now, "worker-0.1");
    hear(&mut world);
    world.perform(Action::Commit);
    let (entries, acks) = (world.journal.len(), acknowledged(&world, "worker-0.1"));
    world.mesos.repeat_update("worker-0.1");
    hear(&mut world);
    assert_eq!((world.journal.len(), acknowledged(&world, "worker-0.1")), (entries, acks + 1));
}

#[test]
fn an_end_that_is_told_twice_in_one_batch_is_acknowledged_only_with_it() {
    let mut world = installed();
    let agent = world.mesos.tasks().find(|(_, name, _)| *name == "worker-0.1").unwrap().0.id.clone();
    world.ask(Wish::Restart("controller-0".parse().unwrap()), None);
    assert_eq!(world.actions(), [Action::Commit], "a batch is on its way");
    // The answer to a question has no uuid; the executor's own update comes right behind it.
    world.say(Event::Update(Box::new(Status {
        task: "worker-0.1".to_owned(),
        agent: Some(agent),
        state: TaskState::Failed,
        reason: "REASON_RECONCILIATION".to_owned(),
        message: String::new(),
        uuid: None,
        healthy: None,
        report: None,
    })));
    world.mesos.crash_task(world.now, "worker-0.1");
    hear(&mut world);
    let before = acknowledged(&world, "worker-0.1");
    world.perform(Action::Commit);
    assert_eq!(acknowledged(&world, "worker-0.1"), before, "the end is on its way to the journal");
    world.until(LIMIT, converged);
    assert_eq!(acknowledged(&world, "worker-0.1"), before + 1);
}

#[test]
fn a_word_without_a_uuid_is_never_acknowledged() {
    let mut world = installed();
    let acks = world.count(|call| matches!(call, Call::Acknowledge { .. }));
    world.break_link();
    world.run_for(LIMIT);
    assert_eq!(world.count(|call| matches!(call, Call::Acknowledge { .. })), acks, "only answers to questions came");
}

#[test]
fn a_flood_of_repeats_is_recorded_once() {
    let mut world = installed();
    let entries = world.journal.len();
    world.ask(Wish::Restart("controller-0".parse().unwrap()), None);
    world.mesos.crash_task(world.now, "worker-0.1");
    for _ in 0..50 {
        world.mesos.repeat_update("worker-0.1");
        hear(&mut world);
    }
    world.perform(Action::Commit);
    world.perform(Action::Commit);
    let about =
        |name: &str| world.journal[entries..].iter().filter(|entry| format!("{entry:?}").contains(name)).count();
    assert_eq!(about("Failed"), 1);
    assert_eq!(world.count(|call| matches!(call, Call::Acknowledge { task, .. } if task == "worker-0.1")), 3);
}

#[test]
fn a_word_of_no_use_does_not_hold_up_what_waits_for_silence() {
    let mut world = installed();
    world.insist(&Wish::Stop);
    world.until(LIMIT, converged);
    world.ask(Wish::Uninstall, None);
    assert_eq!(world.actions(), [Action::Commit], "the wish is on its way to the journal");
    world.say(Event::Update(Box::new(Status {
        task: "worker-0.1".to_owned(),
        agent: None,
        state: TaskState::Killed,
        reason: "REASON_RECONCILIATION".to_owned(),
        message: String::new(),
        uuid: None,
        healthy: None,
        report: None,
    })));
    hear(&mut world);
    world.until(LIMIT, uninstalled);
}
