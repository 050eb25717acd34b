//! What is shown of a platform, of offers and of ages, read as Prometheus reads it.

use std::collections::BTreeMap;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use epic_common::ids::{Digest, FrameworkId};
use epic_common::manifest::Manifest;
use epic_common::resources::{Bytes, Grant, MIB, MilliCpus};
use epic_common::spec::Platform;
use epic_common::time::Timestamp;
use epic_scheduler_core::matcher::{Reason, Unfit};
use epic_scheduler_core::mesos::{Call, Event, Executor, Offer, StreamId, TaskState};
use epic_scheduler_core::session::{CallAnswer, Link};
use epic_scheduler_core::state::entry::{Ended, Entry, Fact, LaunchDecided, StatusRecorded};

use super::table::ALL;
use super::{
    Append, Counts, Held, Kind, ages, answered, called, committed, describe, disconnected, install, recorder,
    requested, updated,
};
use crate::api::desired::desired;
use crate::artifacts::BundleFacts;
use crate::replica::{Mode, Replica};
use crate::view::Published;

const MANIFEST: &str = "kind: App
apiLevel: 1
distroID: open/platform
version: 1.0.0-1
label: {name: Platform}
roles: [{id: controller, cardinality: 1, minCores: 1, minMemory: 1GiB}, {id: worker, cardinality: 0+, minCores: 1, minMemory: 1GiB}]
services: [{id: monitor, command: [bin/run], ports: [{name: web, port: auto}], endpoint: {urlScheme: http, port: web}}]
config:
  selectedRoles: [controller, worker]
  roleServices: [{roleID: controller, serviceIDs: [monitor]}, {roleID: worker, serviceIDs: [monitor]}]
";

fn status(task: &str, state: TaskState, reason: &str, failures: Option<u32>, at: Timestamp) -> Fact {
    let not_before = at + Duration::from_mins(1);
    Fact::StatusRecorded(Box::new(StatusRecorded {
        task: task.parse().unwrap(),
        state,
        reason: reason.to_owned(),
        message: String::new(),
        uuid: None,
        healthy: None,
        report: None,
        ended: failures.map(|failures| Ended { failures, not_before }),
    }))
}

/// Runs `told` with counts of its own and returns what each call of the function that it is given shows.
fn counted(told: impl FnOnce(&dyn Fn(&Published, Mode) -> String)) {
    let recorder = recorder().unwrap();
    let counts = Counts { handle: recorder.handle(), roles: Arc::default() };
    metrics::with_local_recorder(&recorder, || {
        describe();
        told(&|published, mode| {
            let replica = Replica { mode, ..Replica::default() };
            counts.render(published, &replica, published.state.at)
        });
    });
}

fn shows(text: &str, lines: &[&str]) {
    for line in lines {
        let wanted = format!("epic_scheduler_{line}");
        assert!(text.lines().any(|shown| shown == wanted), "{wanted} is not in\n{text}");
    }
}

/// Subscribed, with a platform of one controller and so many workers.
fn platform(workers: u32) -> Published {
    let link = Link::Up { stream: StreamId("s".to_owned()), since: Timestamp(0), tries: 0 };
    let mut published = Published { link, ..Published::default() };
    says(&mut published, Fact::FrameworkChosen { framework: FrameworkId::from("f"), role: "r".to_owned() });
    says(&mut published, applied(workers));
    published
}

fn applied(workers: u32) -> Fact {
    let yaml = format!(
        "kind: Platform\nlabel: {{name: demo}}\nspec: {{bundle: {{uri: 'file:///b'}}, workers: {{count: {workers}}}}}"
    );
    let facts = BundleFacts { digest: Digest([7; 32]), bytes: 9, manifest: Manifest::parse(MANIFEST).unwrap() };
    let desired = desired(&Platform::parse(&yaml).unwrap(), &facts).unwrap();
    Fact::PlatformApplied { desired: Box::new(desired), key: None }
}

fn says(published: &mut Published, fact: Fact) {
    let at = published.state.at + Duration::from_secs(1);
    published.state.apply(&Entry::new(at, fact));
}

fn launches(published: &mut Published, task: &str) {
    let decided = LaunchDecided {
        task: task.parse().unwrap(),
        agent: task.into(),
        hostname: task.to_owned(),
        offer: "o".into(),
        stream: StreamId("s".to_owned()),
        grant: Grant { cpus: MilliCpus(1), mem: Bytes(MIB), disk: Bytes(0), ports: BTreeMap::new() },
        disk_reserved: Bytes(0),
        ports_reserved: Vec::new(),
        executor: Executor {
            id: task.into(),
            url: String::new(),
            sha256: Digest([0; 32]),
            cpus: MilliCpus(1),
            mem: Bytes(MIB),
        },
    };
    says(published, Fact::LaunchDecided(Box::new(decided)));
}

fn hears(published: &mut Published, task: &str, state: TaskState, failures: Option<u32>) {
    let fact = status(task, state, "", failures, published.state.at);
    says(published, fact);
}

fn recorded(state: TaskState, failures: Option<u32>) -> Fact {
    status("worker-1.3", state, "REASON_X", failures, Timestamp(1))
}

#[test]
fn whoever_asks_first_and_whoever_asks_meanwhile_get_the_same_counts() {
    const CALLERS: usize = 32;
    let together = Barrier::new(CALLERS);
    let installed: Vec<_> = std::thread::scope(|scope| {
        let begin = || {
            together.wait();
            install()
        };
        let callers: Vec<_> = (0..CALLERS).map(|_| scope.spawn(begin)).collect();
        callers.into_iter().map(|caller| caller.join().unwrap().unwrap()).collect()
    });
    assert!(installed.iter().all(|counts| Arc::ptr_eq(&counts.roles, &installed[0].roles)));
}

#[test]
fn counts_are_shown_with_their_help() {
    counted(|scrape| {
        let entries = [recorded(TaskState::Running, None), recorded(TaskState::Failed, Some(1))];
        committed(&entries.map(|fact| Entry::new(Timestamp(1), fact)), Duration::from_millis(2));
        called();
        called();
        answered(&Call::Decline { offers: vec!["o".into()], refuse: Duration::ZERO }, &CallAnswer::Accepted);
        updated(TaskState::Running);
        requested("", 404);
        disconnected();
        let text = scrape(&Published::default(), Mode::Standby);
        shows(
            &text,
            &[
                "journal_entries_total 2",
                "journal_commit_seconds_bucket{le=\"0.0025\"} 1",
                "journal_commit_seconds_bucket{le=\"0.001\"} 0",
                "journal_batch_entries_bucket{le=\"2\"} 1",
                "offers_declined_total 1",
                "mesos_calls_total{kind=\"decline\",answer=\"accepted\"} 1",
                "mesos_calls_waiting 1",
                "status_updates_total{state=\"TASK_RUNNING\"} 1",
                "attempts_ended_total{role=\"worker\",state=\"TASK_FAILED\",reason=\"REASON_X\"} 1",
                "http_requests_total{route=\"none\",status=\"404\"} 1",
                "zookeeper_disconnections_total 1",
                "subscriptions_total 0",
                concat!("build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
            ],
        );
        assert_eq!(text.matches("attempts_ended_total{").count(), 1, "one that runs has not ended");
        for row in ALL.iter().filter(|row| row.labels.is_empty() && row.kind != Kind::Histogram) {
            let help = format!("# HELP {} {}\n", row.name, row.help);
            assert!(text.contains(&help), "{help} is not in\n{text}");
        }
        assert!(text.contains("# HELP process_resident_memory_bytes "), "{text}");
    });
}

#[test]
fn members_are_counted_by_role_and_one_that_is_stopped_or_gone_is_not_missed() {
    counted(|scrape| {
        let mut published = platform(3);
        launches(&mut published, "worker-0.1");
        hears(&mut published, "worker-0.1", TaskState::Running, None);
        launches(&mut published, "worker-1.1");
        hears(&mut published, "worker-1.1", TaskState::Failed, Some(4));
        let worker = ["members_wanted{role=\"worker\"} 3", "members_ready{role=\"worker\"} 1"];
        let text = scrape(&published, Mode::Alone);
        shows(&text, &worker);
        shows(&text, &["members_missing{role=\"worker\"} 2", "members_failures_max{role=\"worker\"} 4"]);
        shows(&text, &["members_missing{role=\"controller\"} 1", "subscribed 1", "journal_index 6"]);

        says(&mut published, Fact::PlatformStopped { key: None });
        let text = scrape(&published, Mode::Alone);
        shows(&text, &["members_wanted{role=\"worker\"} 3", "members_missing{role=\"worker\"} 0"]);
        shows(&text, &["members_failures_max{role=\"worker\"} 0", "members_waiting{reason=\"offer\"} 0"]);

        says(&mut published, Fact::Uninstalled);
        let text = scrape(&published, Mode::Alone);
        shows(&text, &["members_wanted{role=\"worker\"} 0", "members_ready{role=\"worker\"} 0"]);
        shows(&text, &["members_missing{role=\"controller\"} 0"]);
    });
}

#[test]
fn what_members_wait_for_is_known_to_the_leader() {
    counted(|scrape| {
        let mut published = platform(7);
        for number in [0, 1, 2, 3] {
            launches(&mut published, &format!("worker-{number}.1"));
        }
        hears(&mut published, "worker-1.1", TaskState::Unreachable, None);
        hears(&mut published, "worker-2.1", TaskState::Starting, None);
        hears(&mut published, "worker-3.1", TaskState::Failed, Some(1));
        let unfit = |reason| vec![Unfit { hostname: "h".to_owned(), reason }];
        published.unmet.insert("worker-4".parse().unwrap(), unfit(Reason::Maintenance));
        published.unmet.insert("worker-5".parse().unwrap(), unfit(Reason::NotHeld { bundle: Digest([7; 32]) }));
        let text = scrape(&published, Mode::Leading);
        for (reason, count) in
            [("answer", 1), ("agent", 1), ("start", 1), ("backoff", 1), ("room", 1), ("bundle", 1), ("offer", 2)]
        {
            shows(&text, &[&format!("members_waiting{{reason=\"{reason}\"}} {count}")]);
        }
        published.link = Link::Connecting { tries: 1 };
        let text = scrape(&published, Mode::Leading);
        shows(&text, &["members_waiting{reason=\"subscription\"} 4", "members_waiting{reason=\"offer\"} 0"]);
        let text = scrape(&published, Mode::Standby);
        shows(&text, &["members_waiting{reason=\"subscription\"} 0", "members_waiting{reason=\"answer\"} 0"]);
    });
}

#[test]
fn an_offer_is_held_until_it_is_used_given_back_or_taken_away() {
    let offer = |id: &str| Offer {
        id: id.into(),
        agent: "a".into(),
        hostname: String::new(),
        resources: Vec::new(),
        unavailable: false,
    };
    counted(|scrape| {
        let held = Held::default();
        let check = |count: u32| shows(&scrape(&Published::default(), Mode::Alone), &[&format!("offers_held {count}")]);
        held.hear(&Event::Offers(["a", "b", "c", "d", "e"].map(offer).to_vec()));
        check(5);
        held.hear(&Event::Rescind("a".into()));
        check(4);
        held.send(&Call::Decline { offers: vec!["b".into(), "x".into()], refuse: Duration::ZERO });
        check(3);
        let (offer, agent) = ("c".into(), "a".into());
        held.send(&Call::Accept { offers: vec![offer], agent, launches: Vec::new(), refuse: Duration::ZERO });
        check(2);
        held.send(&Call::Revive);
        check(2);
        held.clear();
        check(0);
    });
}

/// The value of a metric without labels.
fn value(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name} is not in\n{text}")).parse().unwrap()
}

// One test, since there is one journal in a process.
#[test]
fn ages_are_of_what_lasts_and_end_with_it() {
    counted(|scrape| {
        let age = |name: &str| value(&scrape(&Published::default(), Mode::Alone), &format!("epic_scheduler_{name}"));
        assert_eq!(age("journal_append_age_seconds"), 0.0);
        let first = Append::begin();
        let (one, two) = (age("journal_append_age_seconds"), age("journal_append_age_seconds"));
        assert!(0.0 < one && one < two, "{one} and {two}");
        let second = Append::begin();
        drop(first);
        assert!(age("journal_append_age_seconds") > 0.0, "the end of a void one hides the next");
        drop(second);
        assert_eq!(age("journal_append_age_seconds"), 0.0);

        ages::caught_up(false);
        let one = age("journal_behind_seconds");
        ages::caught_up(false);
        let two = age("journal_behind_seconds");
        assert!(0.0 < one && one < two, "{one} and {two}: it is behind since it was first");
        ages::caught_up(true);
        assert_eq!(age("journal_behind_seconds"), 0.0);
    });
}

#[tokio::test]
async fn free_space_is_that_of_the_state_directory() {
    let recorder = recorder().unwrap();
    let _here = metrics::set_default_local_recorder(&recorder);
    let folder = tempfile::tempdir().unwrap();
    let watching = super::watch_state_dir(folder.path().to_owned());
    let handle = recorder.handle();
    let shown = async {
        loop {
            let text = handle.render();
            if text.contains("state_dir_size_bytes ") {
                return text;
            }
            tokio::task::yield_now().await;
        }
    };
    let text = tokio::select! {
        () = watching => unreachable!("it watches until it is dropped"),
        text = shown => text,
    };
    let (free, size) =
        (value(&text, "epic_scheduler_state_dir_free_bytes"), value(&text, "epic_scheduler_state_dir_size_bytes"));
    assert!(0.0 < free && free <= size, "{free} of {size}");
    let df = std::process::Command::new("df").args(["-B1", "--output=size"]).arg(folder.path()).output().unwrap();
    let df = String::from_utf8(df.stdout).unwrap();
    let df: f64 = df.lines().last().unwrap().trim().parse().unwrap();
    assert_eq!(size, df, "as df says");
}
