//! Calls that are lost or refused.

use std::time::Duration;

use epic_scheduler_core::director::Input;
use epic_scheduler_core::mesos::{Call, TaskState};
use epic_scheduler_core::request::{ClientId, Request, Wish};
use epic_scheduler_core::session::CallAnswer;

use crate::scene::{Scene, accepted};

const SECOND: Duration = Duration::from_secs(1);

fn lost() -> CallAnswer {
    CallAnswer::Lost("no answer came".to_owned())
}

fn refused() -> CallAnswer {
    CallAnswer::Refused("not now".to_owned())
}

/// Starts a worker, while calls of one kind fail; answers whether such a call is made again once they don't.
fn is_made_again(which: fn(&Call) -> bool, fate: fn(&Call) -> CallAnswer) -> bool {
    let mut scene = Scene::new(1);
    scene.fate = fate;
    scene.tell(Input::Mesos(scene.stream(), epic_scheduler_core::mesos::Event::Rescind("none".into())));
    scene.offer("small", 1);
    scene.offer("agent", 4);
    scene.update("worker-0.1", TaskState::Starting);
    scene.update("worker-0.1", TaskState::Running);
    scene.pass(SECOND * 2);
    assert!(scene.is_up() && scene.subscriptions == 1, "the subscription ended");
    let healed = scene.now;
    scene.fate = accepted;
    scene.pass(SECOND * 60);
    assert_eq!(scene.count(healed + SECOND * 20, which), 0, "it is made again after it was taken");
    scene.count(healed, which) > 0
}

#[test]
fn a_call_that_only_repeats_what_is_known_is_made_again_and_ends_no_subscription() {
    let is_ack: fn(&Call) -> bool = |call| matches!(call, Call::Acknowledge { .. });
    let is_decline: fn(&Call) -> bool = |call| matches!(call, Call::Decline { .. });
    let is_suppress: fn(&Call) -> bool = |call| matches!(call, Call::Suppress);
    assert!(is_made_again(is_ack, |call| if matches!(call, Call::Acknowledge { .. }) {
        lost()
    } else {
        accepted(call)
    }));
    assert!(is_made_again(is_ack, |call| if matches!(call, Call::Acknowledge { .. }) {
        refused()
    } else {
        accepted(call)
    }));
    assert!(is_made_again(is_decline, |call| if matches!(call, Call::Decline { .. }) {
        lost()
    } else {
        accepted(call)
    }));
    assert!(is_made_again(is_suppress, |call| if matches!(call, Call::Suppress) { lost() } else { accepted(call) }));
    assert!(is_made_again(is_suppress, |call| if matches!(call, Call::Suppress) { refused() } else { accepted(call) }));
}

#[test]
fn questions_kills_and_revives_without_an_answer_are_made_again() {
    let mut scene = Scene::new(1);
    scene.offer("agent", 4);
    scene.update("worker-0.1", TaskState::Running);
    scene.end_link(epic_scheduler_core::mesos::LinkEnd::Broke("reset".to_owned()));
    scene.fate = |call| {
        let fails = matches!(call, Call::Reconcile { .. } | Call::ReconcileAll | Call::Kill { .. } | Call::Revive);
        if fails { lost() } else { accepted(call) }
    };
    scene.pass(SECOND * 2);
    let wish = Wish::Restart("worker-0".parse().unwrap());
    scene.tell(Input::Request(ClientId(1), Request::new(wish)));
    scene.pass(SECOND * 30);
    assert!(scene.is_up() && scene.subscriptions == 2, "{} subscriptions", scene.subscriptions);
    scene.update("worker-0.1", TaskState::Killed);
    scene.pass(SECOND * 30);
    assert_eq!(scene.subscriptions, 2);
    for which in [
        (|call| matches!(call, Call::Reconcile { .. })) as fn(&Call) -> bool,
        |call| matches!(call, Call::ReconcileAll),
        |call| matches!(call, Call::Kill { .. }),
        |call| matches!(call, Call::Revive),
    ] {
        let times = scene.calls.iter().filter(|(_, call)| which(call)).count();
        assert!((2..30).contains(&times), "{times} times");
    }
}

#[test]
fn a_launch_without_an_answer_ends_the_subscription_and_one_that_was_refused_does_not() {
    for (fate, subscriptions) in [
        ((|call| if matches!(call, Call::Accept { .. }) { lost() } else { accepted(call) }) as fn(&Call) -> _, 2),
        (|call| if matches!(call, Call::Accept { .. }) { refused() } else { accepted(call) }, 1),
    ] {
        let mut scene = Scene::new(1);
        scene.fate = fate;
        scene.offer("agent", 4);
        scene.pass(SECOND * 5);
        assert_eq!((scene.subscriptions, scene.is_up()), (subscriptions, true));
    }
}

#[test]
fn an_offer_whose_launch_was_refused_is_given_back() {
    let mut scene = Scene::new(1);
    scene.fate = |call| if matches!(call, Call::Accept { .. }) { refused() } else { accepted(call) };
    scene.offer("agent", 4);
    let is_back =
        |call: &Call| matches!(call, Call::Decline { offers, .. } if offers.iter().any(|id| id.as_str() == "offer-1"));
    assert_eq!(scene.count(scene.now, is_back), 1);
}

#[test]
fn a_teardown_without_an_answer_is_made_again_with_growing_waits() {
    let mut scene = Scene::new(0);
    scene.fate = |call| if matches!(call, Call::Teardown) { lost() } else { accepted(call) };
    scene.tell(Input::Request(ClientId(1), Request::new(Wish::Uninstall)));
    scene.pass(SECOND * 60);
    let times = scene.count(crate::scene::START, |call| matches!(call, Call::Teardown));
    assert!((4..20).contains(&times), "{times} times");
    assert_eq!(scene.subscriptions, 1);
    scene.fate = accepted;
    scene.pass(SECOND * 20);
    assert!(scene.director.state().platform().is_none());
}
