//! What people see in each situation.

use std::time::Duration;

use epic_common::api::PlatformView;
use epic_common::conversation::Phase;
use epic_common::resources::MilliCpus;
use epic_common::time::Timestamp;
use epic_scheduler::view::{platform, unready};
use epic_scheduler_core::matcher::{Reason, Unfit};
use epic_scheduler_core::mesos::TaskState;
use epic_scheduler_core::session::Link;
use epic_scheduler_core::state::entry::Fact;

use crate::fixture::History;

/// Writes a view as lines: the platform, its sentences, and each member with its own.
fn lines(view: &PlatformView) -> String {
    let mut lines = vec![format!("{} {}% since {}", view.phase, view.percent, view.since)];
    lines.extend(view.waiting.iter().map(|sentence| format!("  {sentence}")));
    for member in &view.instances {
        let percent = member.percent.map(|percent| format!(" {percent}%")).unwrap_or_default();
        let place = if member.host.is_empty() { String::new() } else { format!(" on {}", member.host) };
        let (id, phase, attempt) = (&member.id, &member.phase, member.attempt);
        lines.push(format!(
            "{id} {phase}{percent}{place} attempt {attempt} since {}: {}",
            &member.since[17..],
            member.reason
        ));
        lines.extend(member.endpoints.iter().map(|endpoint| format!("  {}", endpoint.url)));
        lines.extend(member.waiting.iter().map(|sentence| format!("  {sentence}")));
    }
    lines.join("\n")
}

fn check(history: &History, expected: &str) {
    assert_eq!(lines(&platform(&history.published, history.now())), expected);
}

#[test]
fn before_the_first_apply_there_is_nothing_and_nothing_to_wait_for() {
    let mut history = History::new();
    history.published.link = Link::default();
    check(&history, "none 0% since ");
    assert_eq!(unready(&history.published), None);
    assert_eq!(platform(&history.published, history.now()).desired, None);
}

#[test]
fn without_a_subscription_everybody_waits_for_it() {
    let mut history = History::demo(1);
    history.published.link =
        Link::Down { retry: Timestamp(9_000_000), tries: 3, why: "master m:5050 refused".to_owned() };
    let why = "not subscribed to Mesos, but trying again: master m:5050 refused";
    let expected = format!(
        "installing 0% since 1970-01-01T00:00:02Z\n  {why}\n\
         controller-0 waiting attempt 0 since 02Z: \n  {why}\n\
         worker-0 waiting attempt 0 since 02Z: \n  {why}"
    );
    check(&history, &expected);
    assert_eq!(unready(&history.published).as_deref(), Some(why));
    history.published.link = Link::Stopped { why: "another scheduler uses this framework id".to_owned() };
    let why = "not subscribed to Mesos, and no longer trying: another scheduler uses this framework id";
    assert_eq!(unready(&history.published).as_deref(), Some(why));
    let view = platform(&history.published, history.now());
    assert_eq!(
        (view.mesos.subscribed, view.mesos.problem.as_str()),
        (false, "another scheduler uses this framework id")
    );
}

#[test]
fn without_an_offer_an_operator_is_told_what_to_check() {
    let history = History::demo(0);
    let why = "no offer has come yet for role BlueData: check that agents are registered and have cpus and mem reserved for \
               this role (--resources='cpus(BlueData):N;mem(BlueData):M'), and that no other framework of the role holds them";
    check(
        &history,
        &format!(
            "installing 0% since 1970-01-01T00:00:02Z\n  {why}\ncontroller-0 waiting attempt 0 since 02Z: \n  {why}"
        ),
    );
}

#[test]
fn every_reason_that_binds_is_a_sentence() {
    let mut history = History::demo(0);
    history.published.offers_at = Some(Timestamp(2_000_000));
    let cpus = Reason::Cpus { asked: MilliCpus(600), offered: MilliCpus(250) };
    let unfit = [cpus, Reason::Maintenance].map(|reason| Unfit { hostname: "h1".to_owned(), reason });
    history.published.unmet.insert("controller-0".parse().unwrap(), unfit.into());
    check(
        &history,
        "installing 0% since 1970-01-01T00:00:02Z\n\
         controller-0 waiting attempt 0 since 02Z: \n\
         \x20 h1: needs 0.6 reserved cpus, 0.25 offered, 0.35 missing\n\
         \x20 h1: the agent is scheduled for maintenance",
    );
    history.published.unmet.clear();
    check(
        &history,
        "installing 0% since 1970-01-01T00:00:02Z\n\
         controller-0 waiting attempt 0 since 02Z: \n\
         \x20 waits for an offer; the last one came at 1970-01-01T00:00:02Z",
    );
}

#[test]
fn an_installation_shows_how_far_each_member_is() {
    let mut history = History::demo(11);
    history.published.offers_at = Some(Timestamp(2_000_000));
    history.is_ready("controller-0", "h0");
    history.launches("worker-2", 1, "h2");
    history.launches("worker-10", 1, "h10");
    history.hears("worker-10.1", TaskState::Starting, (Phase::Installing, Some(40)), "unpacking");
    let view = platform(&history.published, history.now());
    let names: Vec<_> = view.instances.iter().map(|member| member.id.as_str()).collect();
    assert_eq!(names[..4], ["controller-0", "worker-0", "worker-1", "worker-2"]);
    assert_eq!(names[11], "worker-10", "members are in the order of their numbers");
    let text = lines(&view);
    for part in [
        "installing 8% since 1970-01-01T00:00:02Z\n",
        "controller-0 ready on h0 attempt 1 since 04Z: all services are ready\n  http://h0:31000/graph\nworker-0 waiting",
        "worker-2 launching on h2 attempt 1 since 05Z: \n  waits for Mesos' answer about attempt 1\n",
        "worker-10 installing 40% on h10 attempt 1 since 07Z: unpacking\n  http://h10:31000/",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}

#[test]
fn a_platform_whose_members_are_ready_is_ready() {
    let mut history = History::demo(0);
    history.is_ready("controller-0", "h0");
    let ready = "ready 100% since 1970-01-01T00:00:04Z\n\
                 controller-0 ready on h0 attempt 1 since 04Z: all services are ready\n  http://h0:31000/graph";
    check(&history, ready);
    history.hears("controller-0.1", TaskState::Running, (Phase::Degraded, None), "monitor was restarted");
    check(
        &history,
        "degraded 0% since 1970-01-01T00:00:05Z\n\
         controller-0 degraded on h0 attempt 1 since 05Z: monitor was restarted\n  http://h0:31000/graph",
    );
}

#[test]
fn a_member_that_failed_says_why_and_when_it_is_tried_again() {
    let mut history = History::demo(0);
    history.launches("controller-0", 1, "h0");
    history.hears("controller-0.1", TaskState::Failed, (Phase::Ended, None), "port 31000 is in use");
    history.published.offers_at = Some(Timestamp(2_000_000));
    let end = "attempt 1 ended on h0: port 31000 is in use";
    let expected = format!(
        "degraded 0% since 1970-01-01T00:00:04Z\ncontroller-0 waiting attempt 1 since 04Z: {end}\n  \
         the next attempt is made at 1970-01-01T00:00:12Z, in 9 s after 1 failures in a row: {end}"
    );
    check(&history, &expected);
}

#[test]
fn a_member_that_cannot_be_reached_says_when_it_is_replaced() {
    let mut history = History::demo(0);
    history.sees("h0");
    history.is_ready("controller-0", "h0");
    history.hears("controller-0.1", TaskState::Unreachable, (Phase::Ready, None), "");
    check(
        &history,
        "degraded 0% since 1970-01-01T00:00:06Z\n\
         controller-0 unreachable on h0 attempt 1 since 06Z: all services are ready\n\
         \x20 its agent can't be reached since 1970-01-01T00:00:06Z; it is replaced at 1970-01-01T00:05:06Z unless it comes back",
    );
    assert!(!platform(&history.published, history.now()).hosts[0].reachable);
    history.says(Fact::ReplacementDecided { task: "controller-0.1".parse().unwrap() });
    history.published.offers_at = Some(Timestamp(2_000_000));
    check(
        &history,
        "degraded 0% since 1970-01-01T00:00:07Z\n\
         \x20 attempt controller-0.1 on h0 is replaced; its agent can't be reached since 1970-01-01T00:00:06Z, it is killed if it comes back\n\
         controller-0 waiting attempt 1 since 07Z: its agent could not be reached\n\
         \x20 waits for an offer; the last one came at 1970-01-01T00:00:02Z",
    );
}

#[test]
fn stopping_shows_what_still_runs_and_stopped_shows_all() {
    let mut history = History::demo(1);
    history.is_ready("controller-0", "h0");
    history.is_ready("worker-0", "h1");
    history.says(Fact::PlatformStopped { key: None });
    for task in ["controller-0.1", "worker-0.1"] {
        history.says(Fact::KillDecided {
            task: task.parse().unwrap(),
            why: "the platform was stopped".to_owned(),
            key: None,
        });
    }
    history.hears("controller-0.1", TaskState::Killed, (Phase::Ended, None), "");
    check(
        &history,
        "stopping 0% since 1970-01-01T00:00:07Z\n\
         \x20 attempt worker-0.1 on h1 is being stopped\n\
         controller-0 stopped attempt 1 since 10Z: attempt 1 ended on h0: the platform was stopped\n\
         worker-0 stopping on h1 attempt 1 since 06Z: the platform was stopped\n  http://h1:31000/",
    );
    history.hears("worker-0.1", TaskState::Killed, (Phase::Ended, None), "");
    let view = platform(&history.published, history.now());
    assert_eq!((view.phase.as_str(), view.since.as_str()), ("stopped", "1970-01-01T00:00:11Z"));
    assert_eq!(view.desired.unwrap().run, "stopped");
}

#[test]
fn a_member_too_many_is_shown_until_it_is_gone() {
    let mut history = History::demo(1);
    history.is_ready("controller-0", "h0");
    history.is_ready("worker-0", "h1");
    let desired = Box::new(crate::fixture::demo(0));
    history.says(Fact::PlatformApplied { desired, key: None });
    history.says(Fact::KillDecided { task: "worker-0.1".parse().unwrap(), why: "fewer".to_owned(), key: None });
    let view = platform(&history.published, history.now());
    let shown: Vec<_> = view.instances.iter().map(|member| (member.id.as_str(), member.phase.as_str())).collect();
    assert_eq!((view.phase.as_str(), view.percent), ("ready", 100));
    assert_eq!(shown, [("controller-0", "ready"), ("worker-0", "stopping")]);
    history.hears("worker-0.1", TaskState::Killed, (Phase::Ended, None), "");
    assert_eq!(platform(&history.published, history.now()).instances.len(), 1);
}

#[test]
fn an_uninstall_says_what_remains_until_nothing_does() {
    let mut history = History::demo(0);
    history.is_ready("controller-0", "h0");
    history.says(Fact::UninstallBegun { key: None });
    let stranger = Fact::StrangerSeen { task: "x.1".to_owned(), agent: "a".into(), state: TaskState::Running };
    history.says(stranger);
    let view = platform(&history.published, history.now());
    assert_eq!(view.phase, "uninstalling");
    assert_eq!(
        view.waiting,
        [
            "attempt controller-0.1 on h0 is being stopped",
            "task x.1 on agent a is TASK_RUNNING, is not known here and is being killed"
        ]
    );
    history.hears("controller-0.1", TaskState::Killed, (Phase::Ended, None), "");
    history.says(Fact::StrangerSeen { task: "x.1".to_owned(), agent: "a".into(), state: TaskState::Killed });
    let last = "nothing runs any more; Mesos has yet to confirm that the framework is removed";
    assert_eq!(platform(&history.published, history.now()).waiting, [last]);
    history.says(Fact::Uninstalled);
    check(&history, "uninstalled 0% since 1970-01-01T00:00:09Z");
}

#[test]
fn a_host_shows_what_is_granted_and_what_of_it_is_used() {
    let mut history = History::demo(1);
    history.sees("h1");
    history.sees("h0");
    history.is_ready("worker-0", "h1");
    let hosts = platform(&history.published, history.now()).hosts;
    let shown: Vec<_> = hosts
        .iter()
        .map(|host| {
            let (granted, used) = (&host.granted, &host.used);
            format!(
                "{} {}/{} {}/{} {:?}",
                host.host, used.cpus, granted.cpus, used.memory, granted.memory, host.instances
            )
        })
        .collect();
    assert_eq!(shown, ["h0 0/2 0B/2GiB []", "h1 0.35/2 320MiB/2GiB [\"worker-0\"]"]);
}

#[test]
fn time_that_stands_still_hurts_nothing() {
    let mut history = History::demo(0);
    history.launches("controller-0", 1, "h0");
    history.hears("controller-0.1", TaskState::Failed, (Phase::Ended, None), "x");
    for now in [Timestamp(0), Timestamp(u64::MAX), history.now() + Duration::from_secs(9)] {
        assert_eq!(platform(&history.published, now).phase, "degraded");
    }
}
