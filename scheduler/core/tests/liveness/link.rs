//! Subscriptions that don't last, or can't be had.

use std::time::Duration;

use epic_common::machine::Machine;
use epic_scheduler_core::director::Input;
use epic_scheduler_core::mesos::{Call, LinkEnd, TaskState};
use epic_scheduler_core::policy::Policy;
use epic_scheduler_core::session::CallAnswer;

use crate::scene::{START, Scene, accepted, policy};

const SECOND: Duration = Duration::from_secs(1);

fn broke() -> LinkEnd {
    LinkEnd::Broke("reset".to_owned())
}

#[test]
fn a_subscription_that_falls_again_and_again_is_asked_for_less_and_less_often() {
    let mut scene = Scene::new(0);
    let end = scene.now + SECOND * 120;
    while scene.now < end {
        scene.end_link(broke());
        scene.pass(scene.director.deadline().map_or(SECOND, |at| at.since(scene.now)));
    }
    assert!((8..30).contains(&scene.subscriptions), "{} subscriptions in two minutes", scene.subscriptions);
    scene.pass(SECOND * 31);
    let before = scene.now;
    scene.end_link(broke());
    while !scene.is_up() {
        scene.pass(Duration::from_millis(50));
    }
    assert!(scene.now.since(before) <= SECOND, "one that has stood for half a minute is had again at once");
}

#[test]
fn a_fence_of_our_own_after_a_launch_makes_no_wait_longer() {
    let mut scene = Scene::new(40);
    for nth in 0..20 {
        scene.fate = accepted;
        scene.offer(&format!("agent-{nth}"), 4);
        scene.fate = |call| {
            let is_lost = matches!(call, Call::Accept { .. });
            if is_lost { CallAnswer::Lost("no answer came".to_owned()) } else { CallAnswer::Accepted }
        };
        scene.offer(&format!("other-{nth}"), 4);
        assert!(!scene.is_up());
        let before = scene.now;
        while !scene.is_up() {
            scene.pass(Duration::from_millis(50));
        }
        assert!(scene.now.since(before) <= SECOND, "{:?} after {nth} fences", scene.now.since(before));
    }
}

#[test]
fn a_journal_that_is_too_slow_for_a_subscription_is_named_as_the_reason() {
    let mut scene = Scene::with(0, Policy { barrier: Some(SECOND * 3), ..policy() });
    scene.end_link(broke());
    scene.commits = false;
    scene.pass(SECOND * 2);
    scene.pass(SECOND * 5);
    scene.commit();
    let problem = scene.director.session().link.problem().to_owned();
    assert!(problem.contains("ZooKeeper is too slow"), "{problem}");
}

#[test]
fn a_refusal_that_stays_ends_a_scheduler_that_is_alone_and_no_replica() {
    for (barrier, halts) in [(None, true), (Some(SECOND * 3), false)] {
        let mut scene = Scene::standby(1, Policy { barrier, ..policy() });
        scene.refusal = Some(LinkEnd::Refused("401 Unauthorized".to_owned()));
        scene.tell(Input::Lead { claimed: Some(START) });
        assert_eq!(scene.halted, halts, "barrier {barrier:?}");
        if !halts {
            assert!(scene.director.session().link.problem().contains("401"));
            let retry = scene.director.deadline().expect("it tries again").since(scene.now);
            assert!((SECOND * 5..SECOND * 60).contains(&retry), "{retry:?}");
            scene.refusal = None;
            scene.pass(SECOND * 60);
            assert!(scene.is_up());
        }
    }
}

#[test]
fn what_runs_is_asked_about_now_and_then() {
    let mut scene = Scene::new(1);
    scene.offer("agent", 4);
    scene.update("worker-0.1", TaskState::Running);
    scene.pass(SECOND * 60);
    let since = scene.now;
    scene.pass(Duration::from_secs(3_600));
    let all = scene.count(since, |call| matches!(call, Call::ReconcileAll));
    assert!((4..=9).contains(&all), "all were asked about {all} times in an hour");
    let each = scene.count(since, |call| matches!(call, Call::Reconcile { tasks } if tasks.len() == 1));
    assert!(each >= all, "each was asked about {each} times in an hour");
}
