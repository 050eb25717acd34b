//! What people ask of a platform, and what Mesos and the hosts then show.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use epic_tests::cluster::Cluster;
use epic_tests::epic::{Epic, PATIENCE, endpoint, member, tasks_in};
use epic_tests::http;
use epic_tests::spec::ClusterSpec;

use crate::probe::ready;

#[tokio::test]
async fn a_stopped_platform_runs_nothing_and_starts_again_with_new_attempts() -> Result<()> {
    let mut epic = ready(2, 1).await?;
    let framework = epic.status().await?.mesos.framework_id;
    epic.post("/api/v2/platform/stop").await?;
    epic.until("the platform is stopped", PATIENCE, |view| {
        ensure!(view.phase == "stopped" && view.instances.iter().all(|member| member.phase == "stopped"));
        Ok(())
    })
    .await?;
    running(&mut epic, &[]).await?;
    ensure!(frameworks(&epic, "frameworks").await? == [framework.as_str()], "the framework stays");
    // What was stopped stays so over a restart of the scheduler.
    epic.kill();
    epic.start()?;
    epic.until("the scheduler is back", PATIENCE, |view| {
        ensure!(view.mesos.subscribed && view.phase == "stopped", "it is {}", view.phase);
        Ok(())
    })
    .await?;
    epic.post("/api/v2/platform/start").await?;
    epic.until_ready(2).await?;
    running(&mut epic, &["controller-0.2", "worker-0.2"]).await?;
    ensure!(epic.status().await?.mesos.framework_id == framework, "it is the same framework");
    Ok(())
}

#[tokio::test]
async fn one_member_is_restarted_and_no_other() -> Result<()> {
    let mut epic = ready(3, 2).await?;
    let before = pages(&epic, &["controller-0", "worker-0", "worker-1"]).await?;
    // It ends when the next attempt is ready.
    epic.epicctl(&["platform", "restart", "worker-1"]).await?;
    let view = epic.status().await?;
    let member = member(&view, "worker-1")?;
    ensure!(member.phase == "ready" && member.attempt == 2 && view.phase == "ready", "{member:?}");
    running(&mut epic, &["controller-0.1", "worker-0.1", "worker-1.2"]).await?;
    let after = pages(&epic, &["controller-0", "worker-0", "worker-1"]).await?;
    let changed: Vec<_> =
        before.iter().filter(|(id, page)| after.get(*id) != Some(page)).map(|(id, _)| id.as_str()).collect();
    ensure!(changed == ["worker-1"], "{changed:?} are other processes");
    let refused = epic.post("/api/v2/platform/instances/worker-7/restart").await;
    ensure!(refused.is_err_and(|error| error.to_string().contains("worker-7")), "there is no such member");
    Ok(())
}

#[tokio::test]
async fn more_workers_come_and_surplus_ones_go_and_the_controller_is_told() -> Result<()> {
    let mut epic = ready(4, 1).await?;
    let before = pages(&epic, &["controller-0", "worker-0"]).await?;
    epic.write_platform(&epic.bin(), 3)?;
    epic.apply().await?;
    epic.until_ready(4).await?;
    running(&mut epic, &["controller-0.1", "worker-0.1", "worker-1.1", "worker-2.1"]).await?;
    told(&mut epic, &["worker-0", "worker-1", "worker-2"]).await?;
    epic.write_platform(&epic.bin(), 2)?;
    epic.apply().await?;
    epic.until_ready(3).await?;
    running(&mut epic, &["controller-0.1", "worker-0.1", "worker-1.1"]).await?;
    told(&mut epic, &["worker-0", "worker-1"]).await?;
    ensure!(pages(&epic, &["controller-0", "worker-0"]).await? == before, "those who stay aren't restarted");
    Ok(())
}

#[tokio::test]
async fn an_uninstalled_platform_leaves_nothing_and_the_next_one_is_a_new_framework() -> Result<()> {
    let mut epic = Epic::probe(Cluster::start(ClusterSpec::agents_of(3)).await?, 2)?;
    let mut before = epic.cluster.leftovers().check();
    before.push(format!("listening socket {}", epic.url().trim_start_matches("http://")));
    epic.start()?;
    let framework = epic.until_ready(3).await?.mesos.framework_id;
    let more = epic.cluster.leftovers().check();
    for mark in ["bin/probe", "epic-executor", "cgroup ", "listening socket "] {
        ensure!(more.iter().any(|line| line.contains(mark) && !before.contains(line)), "{mark} is not seen: {more:#?}");
    }
    epic.post("/api/v2/platform/uninstall").await?;
    epic.until("the platform is uninstalled", PATIENCE, |view| {
        ensure!(view.phase == "uninstalled" && view.instances.is_empty(), "it is {}", view.phase);
        Ok(())
    })
    .await?;
    running(&mut epic, &[]).await?;
    ensure!(frameworks(&epic, "frameworks").await?.is_empty(), "the framework is gone");
    ensure!(frameworks(&epic, "completed_frameworks").await? == [framework.as_str()], "it ended in good order");
    // Agents take their time to destroy the containers of executors that have ended.
    epic.cluster
        .until("nothing is left on the hosts", PATIENCE, async |cluster| {
            let left: Vec<_> = cluster.leftovers().check().into_iter().filter(|line| !before.contains(line)).collect();
            ensure!(left.is_empty(), "{left:#?}");
            Ok(())
        })
        .await?;
    epic.apply().await?;
    let view = epic.until_ready(3).await?;
    ensure!(view.mesos.framework_id != framework, "the next platform is a new framework");
    ensure!(frameworks(&epic, "frameworks").await? == [view.mesos.framework_id.as_str()]);
    Ok(())
}

/// Waits until Mesos shows just these tasks as not ended.
async fn running(epic: &mut Epic, expected: &[&str]) -> Result<()> {
    epic.cluster
        .until(&format!("just {expected:?} run"), PATIENCE, async |cluster| {
            let tasks = cluster.tasks().await?;
            let ended = ["TASK_KILLED", "TASK_FAILED", "TASK_FINISHED", "TASK_LOST", "TASK_GONE"];
            let alive = tasks.iter().filter(|task| !ended.iter().any(|state| task["state"] == *state)).count();
            let running = tasks_in(&tasks, "TASK_RUNNING");
            ensure!(running == expected && alive == expected.len(), "{running:?} run, {alive} are alive");
            Ok(())
        })
        .await
}

/// Waits until the controller's list of workers is this one.
async fn told(epic: &mut Epic, expected: &[&str]) -> Result<()> {
    let url = endpoint(&epic.status().await?, "controller-0")?;
    epic.cluster
        .until("the controller knows its workers", PATIENCE, async |_| {
            let page = http::get(&format!("{url}members")).await?;
            let workers: Vec<_> = page.lines().filter(|line| line.starts_with("worker-")).collect();
            let names: Vec<_> = workers.iter().filter_map(|line| line.split(' ').next()).collect();
            ensure!(names == expected, "{page}");
            Ok(())
        })
        .await
}

/// What each says of itself, its process id too.
async fn pages(epic: &Epic, ids: &[&str]) -> Result<BTreeMap<String, String>> {
    let mut pages = BTreeMap::new();
    for id in ids {
        pages.insert((*id).to_owned(), epic.ask(id, "/").await?);
    }
    Ok(pages)
}

async fn frameworks(epic: &Epic, list: &str) -> Result<Vec<String>> {
    let state = epic.cluster.state().await?;
    let ids = state[list].as_array().into_iter().flatten().filter_map(|framework| framework["id"].as_str());
    Ok(ids.map(str::to_owned).collect())
}
