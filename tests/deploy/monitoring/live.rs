//! A real Prometheus and Alertmanager over three replicas: what is shown is there, an alert fires, is heard, and clears.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use epic_tests::cluster::Cluster;
use epic_tests::replicas::Replicas;
use epic_tests::spec::ClusterSpec;
use nix::sys::signal::Signal;

use super::dashboard::{filled_in, queries};
use super::stack::Stack;
use super::{install, text};

/// Finding targets takes Prometheus five seconds, and a rate takes two looks at them.
const SHOWN_WITHIN: Duration = Duration::from_secs(30);
/// The session with ZooKeeper ends, a look at the replicas, the alert's own time, and Alertmanager's.
const HEARD_WITHIN: Duration = Duration::from_secs(30);

#[tokio::test]
async fn no_leader_fires_and_clears_and_every_panel_shows_something() -> Result<()> {
    install();
    let cluster = Cluster::start(ClusterSpec::agents_of(4)).await?;
    let mut replicas = Replicas::start(cluster, 3, 2).await?;
    replicas.until_ready(3).await?;
    let (leader, _) = replicas.until_led(|_| true).await?;
    let targets: Vec<_> = (0..3).map(|index| replicas.url(index).trim_start_matches("http://").to_owned()).collect();
    let folder = replicas.cluster.work_dir().join("monitoring");
    let stack = Stack::start(&folder, replicas.cluster.network(), &targets)?;

    let seen = stack.until("Prometheus reads all three", SHOWN_WITHIN, async || {
        let read = stack.value("sum(epic:up)").await?;
        ensure!(read == 3.0, "it reads {read}");
        Ok(())
    });
    seen.await?;
    // An attempt that ends and entries that come, so that there is something to show.
    replicas.post(leader, "/api/v2/platform/instances/worker-1/restart").await?;
    replicas.until_ready(3).await?;
    check_metrics(&replicas.metrics(leader).await?)?;
    every_panel_shows_something(&stack).await?;
    values_are_true(&stack).await?;
    ensure!(stack.last("EpicNoLeader").is_none(), "{:?}", stack.last("EpicNoLeader"));

    a_batch_that_waits_is_seen_to_age(&replicas, leader).await?;

    replicas.zookeeper.kill();
    let alert = stack.until("the alert is heard", HEARD_WITHIN, async || {
        let (status, alert) = stack.last("EpicNoLeader").context("nothing was heard of it")?;
        ensure!(status == "firing", "{alert}");
        Ok(alert)
    });
    let alert = alert.await?;
    ensure!(alert["labels"]["cluster"] == "test" && alert["labels"]["severity"] == "critical", "{alert}");
    ensure!(alert["annotations"]["summary"] == "Nobody leads epic-scheduler", "{alert}");
    ensure!(alert["annotations"]["runbook_url"] == "docs/runbooks/EpicNoLeader.md", "{alert}");
    ensure!(stack.value("sum(epic_scheduler_leader)").await? == 0.0, "somebody leads");
    let behind = "min(epic_scheduler_journal_behind_seconds)";
    ensure!(stack.value(behind).await? > 0.0, "without ZooKeeper nobody knows the journal's end");

    replicas.zookeeper.restart().await?;
    let cleared = stack.until("the alert clears", HEARD_WITHIN, async || {
        let (status, alert) = stack.last("EpicNoLeader").context("nothing was heard of it")?;
        ensure!(status == "resolved", "{alert}");
        Ok(())
    });
    cleared.await?;
    ensure!(stack.value("sum(epic_scheduler_leader)").await? == 1.0, "nobody leads");
    ensure!(stack.value("sum(epic_scheduler_zookeeper_disconnections_total)").await? >= 3.0, "three were cut off");
    stack.stop().await;
    Ok(())
}

/// While ZooKeeper stands still for less than a session, the batch on its way ages; then it is durable.
async fn a_batch_that_waits_is_seen_to_age(replicas: &Replicas, leader: usize) -> Result<()> {
    ensure!(age(replicas, leader).await? == 0.0, "a batch is on its way at rest");
    replicas.zookeeper.signal(Signal::SIGSTOP)?;
    let change = replicas.post(leader, "/api/v2/platform/stop");
    let aged = replicas.until("a batch ages", async || {
        let age = age(replicas, leader).await?;
        ensure!(age > 0.5, "it is {age} s old");
        Ok(())
    });
    let (changed, aged) = tokio::join!(change, async {
        let aged = aged.await;
        replicas.zookeeper.signal(Signal::SIGCONT)?;
        aged
    });
    aged?;
    changed?;
    replicas
        .until("no batch is on its way", async || {
            ensure!(age(replicas, leader).await? == 0.0, "one is");
            Ok(())
        })
        .await?;
    replicas.post(leader, "/api/v2/platform/start").await.map(drop)
}

async fn age(replicas: &Replicas, index: usize) -> Result<f64> {
    let metrics = replicas.metrics(index).await?;
    let age = metrics.lines().find_map(|line| line.strip_prefix("epic_scheduler_journal_append_age_seconds "));
    Ok(age.context("there is no age")?.parse()?)
}

/// promtool has nothing to say of what is served.
fn check_metrics(metrics: &str) -> Result<()> {
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut promtool = promtool.spawn().context("promtool can't be started")?;
    promtool.stdin.take().context("it was asked for")?.write_all(metrics.as_bytes())?;
    let said = promtool.wait_with_output()?;
    let text = String::from_utf8_lossy(&said.stdout) + String::from_utf8_lossy(&said.stderr);
    ensure!(said.status.success() && text.trim().is_empty(), "promtool check metrics: {text}\n{metrics}");
    Ok(())
}

/// Everything that the dashboard asks for and the rules record has a value that is a number.
async fn every_panel_shows_something(stack: &Stack) -> Result<()> {
    let mut asked: Vec<_> = queries().into_iter().map(|query| (query.panel, filled_in(&query.expr, "1m"))).collect();
    ensure!(asked.len() > 40, "only {} queries were found", asked.len());
    let rules = text("rules.yaml");
    let recorded = rules.lines().filter_map(|line| line.trim_start().strip_prefix("- record: "));
    asked.extend(recorded.map(|name| ("the rules".to_owned(), name.to_owned())));
    stack
        .until("every panel shows something", SHOWN_WITHIN, async || {
            for (panel, expr) in &asked {
                let result = stack.query(expr).await?;
                ensure!(!result.is_empty(), "{panel}: {expr} shows nothing");
                let is_number = |sample: &serde_json::Value| sample["value"][1].as_str() != Some("NaN");
                ensure!(result.iter().any(is_number), "{panel}: {expr}: {result:?}");
            }
            Ok(())
        })
        .await
}

/// A few numbers that are known.
async fn values_are_true(stack: &Stack) -> Result<()> {
    for (expr, expected) in [
        ("sum(epic_scheduler_leader)", 1.0),
        ("epic:leaders:sum{cluster=\"test\"}", 1.0),
        ("count(epic_scheduler_build_info)", 3.0),
        ("sum(epic_scheduler_caught_up)", 3.0),
        ("sum(epic_scheduler_subscribed)", 1.0),
        ("sum(epic_scheduler_zookeeper_connected)", 3.0),
        ("max(epic_scheduler_journal_behind_seconds)", 0.0),
        ("max(epic:members_wanted:max{role=\"worker\"})", 2.0),
        ("sum(epic:members_missing:max)", 0.0),
        ("sum(epic_scheduler_mesos_calls_waiting)", 0.0),
        ("sum(epic_scheduler_attempts_ended_total{role=\"worker\",state=\"TASK_KILLED\"})", 1.0),
        ("max(epic:journal_lag_entries)", 0.0),
    ] {
        let until = stack.until("a number is shown as it is", SHOWN_WITHIN, async || {
            let value = stack.value(expr).await?;
            ensure!(value == expected, "{expr} is {value}, not {expected}");
            Ok(())
        });
        until.await?;
    }
    Ok(())
}
