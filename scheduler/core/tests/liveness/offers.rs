//! Offers: wanted in time, never told too often, never held for nothing.

use std::time::Duration;

use epic_scheduler_core::mesos::{Call, TaskState};

use crate::scene::Scene;

const SECOND: Duration = Duration::from_secs(1);

fn is_revive(call: &Call) -> bool {
    matches!(call, Call::Revive)
}

#[test]
fn a_unit_that_waits_again_while_another_one_does_is_told_of() {
    let mut scene = Scene::new(2);
    scene.offer("agent", 4);
    scene.pass(SECOND * 60);
    let since = scene.now;
    scene.update("worker-0.1", TaskState::Error);
    scene.pass(SECOND * 10);
    assert!(scene.count(since, is_revive) >= 1, "the filter of its launch hides the only host");
}

#[test]
fn one_that_fails_again_and_again_revives_seldom() {
    let mut scene = Scene::new(2);
    let since = scene.now;
    for nth in 0..600 {
        scene.offer("agent", 4);
        let newest = scene.launches().last().map(|launch| launch.order.task.to_string());
        let lives = scene.director.state().units.tasks.keys().map(ToString::to_string).next();
        if let (Some(task), true) = (newest.clone(), newest == lives) {
            scene.update(&task, TaskState::Running);
            scene.update(&task, TaskState::Failed);
        }
        scene.pass(SECOND);
        assert!(scene.count(since, is_revive) <= nth + 2);
    }
    let revives = scene.count(since, is_revive);
    assert!(revives <= 60, "{revives} REVIVEs in ten minutes");
}

#[test]
fn an_offer_is_held_only_while_a_back_off_is_about_to_end() {
    let mut scene = Scene::new(1);
    for attempt in 1..9 {
        scene.offer("agent", 4);
        scene.update(&format!("worker-0.{attempt}"), TaskState::Failed);
        let at = scene.director.state().units.waits.first().unwrap();
        if attempt < 8 {
            scene.pass(at.since(scene.now) + SECOND);
        }
    }
    // Its back-off is a minute at least now.
    scene.offer("agent", 4);
    assert_eq!(scene.director.session().offers.len(), 0, "held for a minute");
    assert_eq!(scene.director.session().suppressed, Some(true), "nobody can use an offer");
    let at = scene.director.state().units.waits.first().unwrap();
    assert!(at > scene.now + SECOND * 60);
    let since = scene.now;
    scene.pass(at.since(scene.now) - SECOND * 3);
    assert_eq!(scene.count(since, is_revive), 1, "offers are asked for in time");
    scene.offer("agent", 4);
    assert_eq!(scene.director.session().offers.len(), 1, "given back a moment before it is needed");
    scene.pass(SECOND * 4);
    assert_eq!(scene.launches().len(), 9);
}

#[test]
fn offers_of_no_use_are_not_held_while_one_back_off_ends_after_the_other() {
    let mut scene = Scene::new(30);
    for nth in 0..30 {
        scene.offer(&format!("agent-{nth}"), 4);
    }
    // They fail one after the other, so that at any time the back-off of one is about to end.
    for nth in 0..30 {
        scene.update(&format!("worker-{nth}.1"), TaskState::Failed);
        scene.offer("small", 1);
        scene.pass(Duration::from_millis(300));
    }
    let held = scene.director.session().offers.len();
    assert!(held <= 20, "{held} offers are held, that fit nobody");
}
