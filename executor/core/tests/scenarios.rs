//! What the executor does in the situations that a host and an agent bring it into.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod stage;

use std::time::Duration;

use epic_common::conversation::Phase;
use epic_common::ids::{Digest, UpdateId};
use epic_common::manifest::{Manifest, STOP_GRACE_MAX};
use epic_executor_core::executor::Away;
use epic_executor_core::traffic::{Cause, Exit, Files, Input, Work};
use epic_executor_core::updates::{MESSAGE_BYTES_MAX, State};
use stage::{Host, MANIFEST, Stage, count, order, run, task};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn an_order_is_carried_out_step_by_step_until_it_is_ready() {
    let mut stage = Stage::new();
    stage.launch(order("worker-0.1"));
    let steps = [
        "prepare worker-0.1",
        "fetch http://a",
        "install",
        "render first#1",
        "start first#1",
        "probe first#1",
        "render second#1",
        "start second#1",
        "probe second#1",
    ];
    let mut log = stage.log();
    log.sort_by_key(|line| steps.iter().position(|step| step == line));
    assert_eq!(log, steps);
    assert_eq!(stage.states("worker-0.1"), [State::Starting, State::Running]);
    let content = &stage.last().content;
    assert_eq!(
        (content.healthy, content.report.phase, content.report.documents.get("members")),
        (Some(true), Phase::Ready, Some(&1))
    );
    assert!(content.report.services.iter().all(|service| service.ready && service.restarts == 0));
}

#[test]
fn a_service_is_not_started_before_those_ahead_of_it() {
    let mut stage = Stage::new();
    stage.launch_silently();
    assert_eq!(stage.log(), ["render first#1"]);
    stage.work(Work::Rendered { run: run("first", 1), files: Files::Changed });
    assert_eq!(stage.log(), ["start first#1"]);
    stage.work(Work::Started(run("first", 1)));
    assert_eq!(stage.log(), ["probe first#1", "render second#1"]);
}

#[test]
fn a_repeated_launch_and_a_kill_of_a_foreign_task_change_nothing() {
    let mut stage = Stage::running();
    let told = stage.told.len();
    stage.launch(order("worker-0.1"));
    stage.kill("worker-9.1");
    assert_eq!((stage.log(), stage.told.len()), (Vec::new(), told));
}

#[test]
fn a_kill_is_graceful_then_forced_and_the_last_word_comes_when_nothing_is_left() {
    let mut stage = Stage::running();
    stage.host = Host::Silent;
    stage.kill("worker-0.1");
    assert_eq!(stage.log(), ["Int first#1", "Term second#1"]);
    assert_eq!(stage.last().content.state, State::Killing);
    stage.exited(run("second", 1), Cause::Code(0), "");
    assert_eq!(stage.log(), ["clear second#1"]);
    stage.work(Work::Cleared(run("second", 1)));
    stage.pass(SECOND * 6);
    assert_eq!(stage.log(), Vec::<String>::new());
    stage.pass(SECOND);
    assert_eq!(stage.log(), ["clear first#1"]);
    stage.work(Work::Cleared(run("first", 1)));
    assert_eq!(stage.log(), ["destroy worker-0.1"]);
    assert_eq!(stage.last().content.state, State::Killing);
    stage.work(Work::Destroyed(task("worker-0.1")));
    assert_eq!((stage.last().content.state, stage.exit), (State::Killed, Some(0)));
}

#[test]
fn a_second_kill_can_only_shorten_the_grace() {
    let mut stage = Stage::running();
    stage.host = Host::Silent;
    stage.put(Input::Kill { task: task("worker-0.1"), grace: Some(SECOND * 3) });
    stage.put(Input::Kill { task: task("worker-0.1"), grace: Some(SECOND * 100) });
    stage.log();
    stage.pass(SECOND * 2);
    assert_eq!(stage.log(), Vec::<String>::new());
    stage.put(Input::Kill { task: task("worker-0.1"), grace: Some(Duration::ZERO) });
    assert_eq!(stage.log(), ["clear first#1", "clear second#1"]);
}

#[test]
fn the_executor_stays_until_its_terminal_update_is_acknowledged() {
    let mut stage = Stage::running();
    stage.acknowledges = false;
    stage.kill("worker-0.1");
    let killing = stage.last().clone();
    assert_eq!((killing.content.state, stage.exit), (State::Killing, None));
    stage.put(Input::Acknowledged { task: killing.task, update: killing.id });
    let killed = stage.last().clone();
    assert_eq!((killed.content.state, stage.exit), (State::Killed, None));
    stage.put(Input::Acknowledged { task: killed.task.clone(), update: UpdateId([0; 16]) });
    assert_eq!(stage.exit, None);
    stage.put(Input::Acknowledged { task: killed.task, update: killed.id });
    assert_eq!(stage.exit, Some(0));
}

#[test]
fn a_message_that_is_cut_is_told_once_and_nothing_is_due_for_it() {
    let mut stage = Stage::running();
    for service in ["first", "second"] {
        stage.exited(run(service, 1), Cause::Code(1), &"x".repeat(3000));
    }
    stage.host = Host::Silent;
    stage.pass(SECOND * 5);
    let told = stage.told.len();
    assert!(stage.last().content.message.as_str().len() == MESSAGE_BYTES_MAX, "{:?}", stage.last());
    stage.pass(SECOND * 5);
    assert_eq!(stage.told.len(), told);
}

#[test]
fn no_grace_is_longer_than_ten_minutes() {
    let mut stage = Stage::running();
    stage.host = Host::Silent;
    stage.put(Input::Kill { task: task("worker-0.1"), grace: Some(SECOND * 3650 * 86_400) });
    stage.log();
    stage.pass(STOP_GRACE_MAX - SECOND);
    assert_eq!(stage.log(), Vec::<String>::new());
    stage.pass(SECOND);
    assert_eq!(stage.log(), ["clear first#1", "clear second#1"]);
}

#[test]
fn a_kill_before_anything_runs_ends_at_once_what_was_prepared() {
    let mut stage = Stage::new();
    stage.host = Host::Silent;
    stage.launch(order("worker-0.1"));
    stage.kill("worker-0.1");
    assert_eq!(stage.log(), ["prepare worker-0.1", "fetch http://a"]);
    stage.work(Work::Prepared(task("worker-0.1")));
    assert_eq!(stage.log(), ["destroy worker-0.1"]);
    stage.work(Work::Destroyed(task("worker-0.1")));
    assert_eq!((stage.states("worker-0.1").last(), stage.exit), (Some(&State::Killed), Some(0)));
}

#[test]
fn a_kill_while_a_process_is_being_made_waits_for_it() {
    let mut stage = Stage::new();
    stage.launch_silently();
    stage.work(Work::Rendered { run: run("first", 1), files: Files::Changed });
    stage.kill("worker-0.1");
    assert_eq!(stage.log(), ["render first#1", "start first#1"]);
    stage.work(Work::Started(run("first", 1)));
    assert_eq!(stage.log(), ["Int first#1"]);
}

#[test]
fn a_service_that_ends_is_cleared_and_started_anew_after_its_back_off() {
    let mut stage = Stage::running();
    stage.exited(run("first", 1), Cause::Code(3), "no such file");
    assert_eq!(stage.log(), ["clear first#1"]);
    let content = &stage.last().content;
    assert_eq!((content.state, content.healthy, content.report.phase), (State::Running, Some(false), Phase::Degraded));
    assert_eq!(content.report.services[0].reason, "exited with code 3: no such file");
    stage.pass(SECOND - Duration::from_millis(1));
    assert_eq!(stage.log().iter().filter(|line| line.contains("first")).count(), 0);
    stage.pass(Duration::from_millis(1));
    assert_eq!(stage.log(), ["render first#2", "start first#2", "probe first#2"]);
    let content = &stage.last().content;
    assert_eq!((content.healthy, content.report.services[0].restarts), (Some(true), 1));
}

#[test]
fn the_back_off_doubles_and_starts_over_after_a_minute_of_being_ready() {
    let mut stage = Stage::running();
    let mut waits = Vec::new();
    for ready in [0, 10, 59, 60, 0] {
        stage.pass(SECOND * ready);
        let number = u32::try_from(waits.len()).unwrap() + 1;
        stage.exited(run("second", number), Cause::Signal(9), "");
        stage.log();
        let mut waited = 0;
        while !stage.log().contains(&format!("start second#{}", number + 1)) {
            stage.pass(SECOND);
            waited += 1;
        }
        waits.push(waited);
    }
    assert_eq!(waits, [1, 2, 4, 1, 2]);
}

#[test]
fn five_runs_that_were_never_ready_fail_the_task_with_the_last_words() {
    let mut stage = Stage::new();
    stage.sick.insert("first".into());
    stage.launch(order("worker-0.1"));
    for number in 1..=5 {
        assert_eq!(stage.states("worker-0.1"), [State::Starting]);
        stage.exited(run("first", number), Cause::Code(1), "bad flag");
        while number < 5 && stage.done.last() != Some(&format!("probe first#{}", number + 1)) {
            stage.pass(SECOND);
        }
    }
    assert_eq!(stage.states("worker-0.1"), [State::Starting, State::Failed]);
    assert_eq!(
        stage.last().content.message.as_str(),
        "service first was started 5 times and was never ready: exited with code 1: bad flag"
    );
    let log = stage.log();
    assert_eq!(count(&log, "start first").len(), 5);
    assert!(log.ends_with(&["destroy worker-0.1".to_owned(), "exit 0".to_owned()]), "{log:?}");
}

#[test]
fn a_service_that_was_ready_may_fail_for_ever() {
    let mut stage = Stage::running();
    for number in 1..=30 {
        stage.exited(run("first", number), Cause::Code(1), "");
        stage.pass(SECOND * 60);
    }
    assert_eq!(stage.last().content.healthy, Some(true));
    assert_eq!(stage.last().content.report.services[0].restarts, 30);
}

#[test]
fn a_service_whose_probe_fails_often_enough_is_stopped_and_started() {
    let mut stage = Stage::running();
    stage.sick.insert("second".into());
    stage.pass(SECOND * 5);
    assert_eq!(stage.last().content.healthy, Some(true));
    stage.pass(SECOND * 5);
    assert_eq!(stage.last().content.healthy, Some(false));
    assert_eq!(count(&stage.log(), "Term").len(), 0);
    stage.pass(SECOND * 5);
    let log = stage.log();
    assert!(log.contains(&"Term second#1".to_owned()) && log.contains(&"clear second#1".to_owned()), "{log:?}");
    stage.sick.clear();
    stage.pass(SECOND * 2);
    let second = &stage.last().content.report.services[1];
    assert_eq!(
        (second.ready, second.restarts, &second.reason[..]),
        (true, 1, "was restarted: it is sick (3 times in a row)")
    );
}

#[test]
fn memory_over_the_grant_is_said_so() {
    let mut stage = Stage::running();
    stage.exited(run("second", 1), Cause::OutOfMemory, "whatever");
    assert!(
        stage.last().content.message.as_str().contains("used more than its grant of 64MiB memory"),
        "{}",
        stage.last().content.message.as_str()
    );
}

#[test]
fn late_news_of_an_old_run_is_ignored() {
    let mut stage = Stage::running();
    stage.exited(run("first", 1), Cause::Code(1), "");
    stage.pass(SECOND);
    stage.log();
    let told = stage.told.len();
    stage.exited(run("first", 1), Cause::Code(1), "");
    stage.work(Work::Cleared(run("first", 1)));
    stage.work(Work::Started(run("first", 1)));
    assert_eq!((stage.log(), stage.told.len()), (Vec::new(), told));
}

#[test]
fn a_newer_document_is_rendered_and_the_next_update_says_so() {
    let mut stage = Stage::running();
    let seen = |stage: &Stage| stage.last().content.report.documents["members"];
    stage.nudge(3);
    assert_eq!(stage.log(), ["render first#1", "Hup first#1"]);
    assert_eq!(seen(&stage), 3);
    let told = stage.told.len();
    for old in [1, 2, 3] {
        stage.nudge(old);
    }
    assert_eq!((stage.log(), stage.told.len()), (Vec::new(), told));
    // The next one comes while the one before is still being rendered.
    stage.host = Host::Silent;
    stage.nudge(4);
    stage.nudge(5);
    assert_eq!(stage.log(), ["render first#1"]);
    stage.work(Work::Rendered { run: run("first", 1), files: Files::Same });
    assert_eq!((stage.log(), seen(&stage)), (vec!["render first#1".to_owned()], 4));
    stage.work(Work::Rendered { run: run("first", 1), files: Files::Same });
    assert_eq!(seen(&stage), 5);
}

#[test]
fn a_document_that_cannot_be_rendered_leaves_the_service_alone() {
    let mut stage = Stage::running();
    stage.host = Host::Silent;
    stage.nudge(2);
    stage.work(Work::RenderFailed { run: run("first", 1), reason: "no field x".into() });
    stage.pass(SECOND * 2);
    assert_eq!(count(&stage.log(), "render").len(), 1);
    let report = &stage.last().content.report;
    assert_eq!((report.documents["members"], &report.services[0].reason[..]), (1, "no field x"));
    assert_eq!(stage.last().content.healthy, Some(true));
    stage.nudge(3);
    stage.work(Work::Rendered { run: run("first", 1), files: Files::Changed });
    stage.pass(SECOND * 2);
    let report = &stage.last().content.report;
    assert_eq!((report.documents["members"], &report.services[0].reason[..]), (3, ""));
}

#[test]
fn a_template_that_cannot_be_rendered_at_the_start_fails_the_task() {
    let mut stage = Stage::new();
    stage.launch_silently();
    stage.work(Work::RenderFailed { run: run("first", 1), reason: "no field x".into() });
    stage.work(Work::Destroyed(task("worker-0.1")));
    assert_eq!(stage.last().content.message.as_str(), "service first can't be configured: no field x");
    assert_eq!((stage.last().content.state, count(&stage.log(), "start").len()), (State::Failed, 0));
}

#[test]
fn a_bundle_that_cannot_be_installed_fails_the_task_before_anything_starts() {
    let mut stage = Stage::new();
    stage.host = Host::Silent;
    stage.launch(order("worker-0.1"));
    stage.work(Work::Prepared(task("worker-0.1")));
    stage.work(Work::Fetched(Digest([1; 32])));
    stage.work(Work::InstallFailed { bundle: Digest([1; 32]), reason: "a link leaves its directory".into() });
    assert_eq!(stage.log(), ["prepare worker-0.1", "fetch http://a", "install", "destroy worker-0.1"]);
    stage.work(Work::Destroyed(task("worker-0.1")));
    assert_eq!(
        (stage.last().content.state, stage.last().content.message.as_str()),
        (State::Failed, "a link leaves its directory")
    );
}

#[test]
fn a_host_that_cannot_confine_runs_nothing() {
    let mut stage = Stage::new();
    stage.host = Host::Silent;
    stage.launch(order("worker-0.1"));
    stage.work(Work::Refused { task: task("worker-0.1"), reason: "no cgroups".into() });
    stage.work(Work::Destroyed(task("worker-0.1")));
    assert_eq!(stage.log(), ["prepare worker-0.1", "fetch http://a", "destroy worker-0.1", "exit 0"]);
    assert_eq!(stage.last().content.message.as_str(), "no cgroups");
}

#[test]
fn a_bundle_is_fetched_once_for_all_instances_from_whoever_has_it() {
    let mut stage = Stage::new();
    stage.host = Host::Silent;
    for id in ["worker-0.1", "worker-1.1"] {
        stage.launch(order(id));
        stage.work(Work::Prepared(task(id)));
    }
    let failed = || Work::FetchFailed { bundle: Digest([1; 32]), reason: "connection refused".into() };
    stage.work(failed());
    stage.work(failed());
    stage.pass(SECOND - Duration::from_millis(1));
    assert_eq!(stage.done.iter().filter(|line| line.starts_with("fetch")).count(), 2);
    stage.pass(Duration::from_millis(1));
    stage.host = Host::Works;
    stage.work(Work::Fetched(Digest([1; 32])));
    let log = stage.log();
    let fetched: Vec<_> = log.iter().filter(|line| line.starts_with("fetch")).collect();
    assert_eq!(fetched, ["fetch http://a", "fetch http://b", "fetch http://a"]);
    assert_eq!(count(&log, "install")["install"], 1);
    assert!(
        stage.told.iter().any(|update| update
            .content
            .message
            .as_str()
            .ends_with("connection refused; it is tried again"))
    );
    for id in ["worker-0.1", "worker-1.1"] {
        assert_eq!(stage.states(id).last(), Some(&State::Running));
    }
}

#[test]
fn a_bundle_that_nobody_has_fails_the_task_in_the_end() {
    let mut stage = Stage::new();
    stage.host = Host::Silent;
    stage.launch(order("worker-0.1"));
    stage.work(Work::Prepared(task("worker-0.1")));
    for _ in 0..100 {
        stage.work(Work::FetchFailed { bundle: Digest([1; 32]), reason: "404".into() });
        stage.pass(SECOND * 30);
    }
    stage.work(Work::Destroyed(task("worker-0.1")));
    assert_eq!(
        (stage.last().content.state, stage.last().content.message.as_str()),
        (State::Failed, "bundle 010101010101 could not be fetched for 600 s: 404")
    );
}

#[test]
fn what_the_bundle_does_not_have_or_may_not_have_is_refused() {
    let check = |manifest: &str, role: &str, expected: &str| {
        let mut stage = Stage::new();
        stage.manifest = Manifest::parse(manifest).unwrap().into();
        let mut order = order("worker-0.1");
        order.role = role.into();
        stage.launch(order);
        assert_eq!((stage.last().content.state, stage.last().content.message.as_str()), (State::Failed, expected));
        assert_eq!(count(&stage.log(), "render").len(), 0);
    };
    check(MANIFEST, "controller", "the bundle test/stage 1.0.0-1 has no role controller; it has: worker");
    let root = MANIFEST.replace("command: [bin/second]", "command: [bin/second]\n    user: root");
    check(&root, "worker", "service second asks for the user root, which the platform doesn't allow");
}

#[test]
fn an_order_that_cannot_be_read_fails_and_is_remembered_until_then() {
    let mut stage = Stage::new();
    stage.acknowledges = false;
    stage.put(Input::Unreadable { task: task("worker-0.1"), description: b"x".to_vec(), reason: "no grant".into() });
    assert_eq!((stage.last().content.state, stage.last().content.message.as_str()), (State::Failed, "no grant"));
    stage.put(Input::Disconnected);
    stage.pass(SECOND * 2);
    assert_eq!((stage.subscriptions[1].0, stage.subscriptions[1].1.len()), (1, 1));
}

#[test]
fn services_go_on_while_the_agent_is_away_and_nothing_told_is_lost() {
    let mut stage = Stage::running();
    stage.put(Input::Disconnected);
    let told = stage.told.len();
    stage.exited(run("first", 1), Cause::Code(1), "");
    stage.pass(SECOND * 2);
    assert_eq!((stage.told.len(), stage.subscriptions.len()), (told, 2));
    stage.put(Input::Disconnected);
    stage.pass(SECOND * 2);
    let (tasks, updates) = stage.subscriptions.last().unwrap().clone();
    assert_eq!((tasks, updates.last().unwrap().content.report.services[0].restarts), (0, 1));
    stage.put(Input::Subscribed);
    for update in updates {
        stage.put(Input::Acknowledged { task: update.task, update: update.id });
    }
    assert_eq!(stage.last().content.healthy, Some(true));
    assert_eq!(count(&stage.log(), "Int").len(), 0);
}

#[test]
fn an_agent_that_does_not_come_back_ends_everything() {
    let mut stage = Stage::running();
    stage.put(Input::Disconnected);
    // Failed attempts don't move the end.
    for _ in 0..10 {
        stage.pass(SECOND * 89);
        stage.put(Input::Disconnected);
    }
    assert_eq!((stage.exit, count(&stage.log(), "Int").len()), (None, 0));
    stage.pass(SECOND * 11);
    assert_eq!(stage.exit, Some(1));
    let log = stage.log();
    assert!(log.ends_with(&["destroy worker-0.1".to_owned(), "exit 1".to_owned()]), "{log:?}");
}

#[test]
fn without_checkpoint_the_agents_absence_ends_everything() {
    let mut stage = Stage::with(Away::End);
    stage.launch(order("worker-0.1"));
    stage.put(Input::Disconnected);
    assert_eq!(stage.exit, Some(1));
}

#[test]
fn a_shutdown_ends_everything_within_the_agents_grace() {
    let mut stage = Stage::running();
    stage.host = Host::Silent;
    stage.acknowledges = false;
    stage.put(Input::Shutdown);
    stage.pass(SECOND * 4);
    assert_eq!(stage.log(), ["Int first#1", "Term second#1", "clear first#1", "clear second#1"]);
    stage.work(Work::Cleared(run("first", 1)));
    stage.work(Work::Cleared(run("second", 1)));
    stage.work(Work::Destroyed(task("worker-0.1")));
    assert_eq!(stage.exit, None);
    stage.pass(SECOND);
    assert_eq!(stage.exit, Some(0));
}

#[test]
fn a_shutdown_without_tasks_ends_the_executor() {
    let mut stage = Stage::new();
    stage.put(Input::Shutdown);
    assert_eq!(stage.exit, Some(0));
}

#[test]
fn a_launch_after_a_shutdown_is_not_begun() {
    let mut stage = Stage::running();
    stage.host = Host::Silent;
    stage.put(Input::Shutdown);
    stage.log();
    stage.launch(order("worker-1.1"));
    assert_eq!((stage.log(), stage.states("worker-1.1")), (Vec::new(), vec![State::Killed]));
}

#[test]
fn an_exit_that_the_health_check_asked_for_does_not_hide_why() {
    let mut stage = Stage::running();
    stage.sick.insert("second".into());
    stage.pass(SECOND * 16);
    stage.work(Work::Exited { run: run("second", 1), exit: Exit { cause: Cause::Code(0), stderr: String::new() } });
    let reason = &stage.last().content.report.services[1].reason;
    assert!(reason.contains("was restarted: it is sick"), "{reason}");
}

impl Stage {
    /// Launches `worker-0.1` on a host that answers only until the bundle is installed; the log up to then is taken.
    fn launch_silently(&mut self) {
        self.host = Host::Silent;
        self.launch(order("worker-0.1"));
        self.work(Work::Prepared(task("worker-0.1")));
        self.work(Work::Fetched(Digest([1; 32])));
        self.log();
        let manifest = self.manifest.clone();
        self.work(Work::Installed { bundle: Digest([1; 32]), manifest });
    }
}
