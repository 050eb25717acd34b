//! What people see of a platform, letter by letter.

use std::collections::BTreeMap;

use epic_common::api::{AmountView, DesiredView, EndpointView, MesosView, ServiceView};

use super::*;

fn amount(cpus: &str, memory: &str) -> AmountView {
    AmountView { cpus: cpus.to_owned(), memory: memory.to_owned() }
}

fn member(id: &str, phase: &str, host: &str) -> InstanceView {
    let role = id.split('-').next().unwrap().to_owned();
    let attempt = u32::from(!host.is_empty());
    let since = "2000-02-29T00:00:00Z".to_owned();
    InstanceView {
        id: id.to_owned(),
        role,
        phase: phase.to_owned(),
        attempt,
        host: host.to_owned(),
        since,
        ..InstanceView::default()
    }
}

fn installing() -> PlatformView {
    let mut controller = member("controller-0", "ready", "h0");
    let (service, url) = ("monitor".to_owned(), "http://h0:31000/graph".to_owned());
    controller.endpoints = vec![EndpointView { service, url, is_dashboard: true }];
    let mut first = member("worker-0", "installing", "h1");
    first.percent = Some(42);
    first.reason = "unpacking\x1b[2J".to_owned();
    let mut second = member("worker-1", "waiting", "");
    second.waiting = vec!["h2: needs 0.6 reserved cpus, 0.25 offered, 0.35 missing".to_owned(), "the same".to_owned()];
    let host = |host: &str, reachable, used, instances: &[&str]| HostView {
        host: host.to_owned(),
        reachable,
        granted: amount("2", "2GiB"),
        used,
        instances: instances.iter().map(|id| (*id).to_owned()).collect(),
        ..HostView::default()
    };
    PlatformView {
        index: 17,
        phase: "installing".to_owned(),
        since: "2000-02-29T00:00:00Z".to_owned(),
        percent: 33,
        mesos: MesosView {
            framework_id: "fw".to_owned(),
            role: "BlueData".to_owned(),
            subscribed: true,
            problem: String::new(),
        },
        desired: Some(DesiredView {
            name: "demo".to_owned(),
            distro_id: "open/platform".to_owned(),
            version: "1.0.0-1".to_owned(),
            members: BTreeMap::from([("controller".to_owned(), 1), ("worker".to_owned(), 2)]),
            ..DesiredView::default()
        }),
        instances: vec![controller, first, second],
        hosts: vec![
            host("h0", true, amount("0.6", "576MiB"), &["controller-0"]),
            host("h1", false, amount("0.35", "320MiB"), &["worker-0"]),
            host("h2", true, amount("0", "0B"), &[]),
        ],
        waiting: vec!["the same".to_owned()],
    }
}

const NOW: Timestamp = Timestamp(951_782_520_000_000);

#[test]
fn a_status_shows_all_of_it() {
    let expected = "\
Platform   demo (open/platform 1.0.0-1)
Phase      installing for 2m
Progress   [######--------------]  33 %  installing, 1 of 3 members ready
Framework  fw
Mesos      subscribed, role BlueData

HOST  CPUS USED/GRANTED  MEMORY USED/GRANTED  MEMBERS
h0    0.6/2              576MiB/2GiB          controller-0
h1    0.35/2             320MiB/2GiB          worker-0 (unreachable)
h2    0/2                0B/2GiB              -

MEMBER        ROLE        PHASE       PROGRESS            ATTEMPT  HOST  SINCE  ENDPOINTS
controller-0  controller  ready       -                   1        h0    2m     http://h0:31000/graph
worker-0      worker      installing  [####------]  42 %  1        h1    2m     -
worker-1      worker      waiting     -                   -        -     2m     -

Why
  platform: the same
  worker-0: unpacking\u{fffd}[2J
  worker-1: h2: needs 0.6 reserved cpus, 0.25 offered, 0.35 missing";
    assert_eq!(status(&installing(), NOW), expected);
}

#[test]
fn without_a_platform_it_says_how_to_get_one() {
    let view = PlatformView {
        phase: "none".to_owned(),
        mesos: MesosView { role: "r".to_owned(), problem: "refused".to_owned(), ..MesosView::default() },
        ..PlatformView::default()
    };
    let expected = "Platform   none; apply one with epicctl platform apply -f FILE\nPhase      none\nMesos      not subscribed, role r: refused";
    assert_eq!(status(&view, NOW), expected);
}

#[test]
fn a_service_that_was_restarted_is_named_even_if_its_member_is_ready() {
    let mut worker = member("worker-0", "ready", "h1");
    worker.services = vec![ServiceView {
        id: "exporter".to_owned(),
        ready: true,
        restarts: 2,
        reason: "killed by signal 9".to_owned(),
    }];
    assert_eq!(reasons(&worker), ["service exporter was restarted 2 times: killed by signal 9"]);
}

#[test]
fn only_what_changed_is_told() {
    let before = installing();
    let first = [
        "platform: installing 33 %: the same",
        "controller-0: ready on h0, attempt 1",
        "worker-0: installing on h1, attempt 1: unpacking\u{fffd}[2J",
        "worker-1: waiting, attempt 0: h2: needs 0.6 reserved cpus, 0.25 offered, 0.35 missing",
    ];
    assert_eq!(changes(None, &before), first);
    let mut after = before.clone();
    after.instances[1].percent = Some(43);
    assert_eq!(changes(Some(&before), &after), Vec::<String>::new());
    after.instances[1].phase = "ready".to_owned();
    after.percent = 66;
    after.waiting.clear();
    after.instances.pop();
    assert_eq!(
        changes(Some(&before), &after),
        ["platform: installing 66 %", "worker-0: ready on h1, attempt 1", "worker-1: gone"]
    );
}

#[test]
fn the_end_of_a_platform_has_a_progress_of_its_own() {
    let mut view = installing();
    view.phase = "uninstalling".to_owned();
    view.instances[1].phase = "stopped".to_owned();
    assert_eq!(bar(&view), "[######--------------]  33 %  uninstalling, 1 of 3 members ended");
    view.instances.clear();
    assert_eq!(bar(&view), "[--------------------]   0 %  uninstalling, 0 of 0 members ended");
}
