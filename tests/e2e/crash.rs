//! Whoever dies, when, on a real Mesos: afterwards everything is as if nobody had.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use epic_common::api::PlatformView;
use epic_tests::cluster::{Cluster, Part};
use epic_tests::epic::{Epic, PATIENCE, endpoint, tasks_in};
use epic_tests::http;
use epic_tests::spec::{ClusterSpec, Isolation};

/// Dies at a crash point, starts again on the same state directory, and converges.
async fn dies_at(point: &str) -> Result<(Epic, PlatformView)> {
    let mut epic = Epic::probe(Cluster::start(ClusterSpec::agents_of(3)).await?, 2)?;
    epic.env("EPIC_CRASH_AT", point);
    epic.start()?;
    let status = epic.ended().await?;
    ensure!(status.code().is_none(), "it ended by itself: {status}\n{}", epic.log_tail());
    let before = frameworks(&epic.cluster).await?;
    let running = tasks_in(&epic.cluster.tasks().await?, "TASK_RUNNING");

    epic.env("EPIC_CRASH_AT", "");
    epic.start()?;
    let view = epic.until_ready(3).await?;
    let after = frameworks(&epic.cluster).await?;
    ensure!(after == [view.mesos.framework_id.clone()], "one framework, ours: {after:?}");
    ensure!(before.is_empty() || before == after, "the id has changed from {before:?}");
    let tasks = epic.cluster.tasks().await?;
    let now = tasks_in(&tasks, "TASK_RUNNING");
    ensure!(now.len() == 3, "each member once: {now:?}");
    ensure!(running.iter().all(|task| now.contains(task)), "what ran runs on: {running:?}, now {now:?}");
    ensure!(tasks_in(&tasks, "TASK_STAGING").is_empty() && tasks_in(&tasks, "TASK_STARTING").is_empty());
    Ok((epic, view))
}

pub(crate) async fn frameworks(cluster: &Cluster) -> Result<Vec<String>> {
    let state = cluster.state().await?;
    let frameworks = state["frameworks"].as_array().context("no frameworks in /state")?;
    Ok(frameworks.iter().filter_map(|framework| framework["id"].as_str().map(str::to_owned)).collect())
}

pub(crate) fn attempts(view: &PlatformView) -> Vec<u32> {
    view.instances.iter().map(|instance| instance.attempt).collect()
}

#[tokio::test]
async fn after_subscribed() -> Result<()> {
    let (_, view) = dies_at("subscribed").await?;
    ensure!(attempts(&view) == [1, 1, 1], "nothing was launched before: {:?}", attempts(&view));
    Ok(())
}

#[tokio::test]
async fn between_a_durable_launch_and_its_application() -> Result<()> {
    let (_, view) = dies_at("synced").await?;
    ensure!(attempts(&view).contains(&2), "the launch was never sent, its id is not used again: {:?}", attempts(&view));
    Ok(())
}

#[tokio::test]
async fn between_a_committed_launch_and_its_accept() -> Result<()> {
    let (_, view) = dies_at("launch-committed").await?;
    ensure!(attempts(&view).contains(&2), "the launch was never sent, its id is not used again: {:?}", attempts(&view));
    Ok(())
}

#[tokio::test]
async fn after_an_accept() -> Result<()> {
    // An executor that can't fetch its program from a dead scheduler fails, so other attempts are no surprise.
    dies_at("accepted").await?;
    Ok(())
}

#[tokio::test]
async fn between_a_recorded_running_and_its_acknowledgement() -> Result<()> {
    dies_at("running-recorded").await?;
    Ok(())
}

/// Who runs where, by process: `who` is from the page of each member.
pub(crate) async fn processes(view: &PlatformView) -> Result<BTreeMap<String, String>> {
    let mut processes = BTreeMap::new();
    for instance in &view.instances {
        let page = http::get(&endpoint(view, &instance.id)?).await?;
        ensure!(page.contains("pid"), "{page}");
        processes.insert(instance.id.clone(), page);
    }
    Ok(processes)
}

pub(crate) async fn nothing_restarts(epic: &mut Epic, before: &BTreeMap<String, String>) -> Result<()> {
    let view = epic.until_ready(before.len()).await?;
    let after = processes(&view).await?;
    ensure!(*before == after, "before {before:#?}, after {after:#?}");
    ensure!(attempts(&view).iter().all(|attempt| *attempt == 1), "{:?}", attempts(&view));
    Ok(())
}

#[tokio::test]
async fn a_scheduler_killed_and_one_ended_in_good_order_leave_services_running() -> Result<()> {
    let mut epic = Epic::probe(Cluster::start(ClusterSpec::agents_of(3)).await?, 2)?;
    epic.start()?;
    let view = epic.until_ready(3).await?;
    let before = processes(&view).await?;
    epic.kill();
    epic.start()?;
    nothing_restarts(&mut epic, &before).await?;
    let status = epic.terminate().await?;
    ensure!(status.success(), "SIGTERM ends it well: {status}");
    ensure!(processes(&view).await? == before, "services go on without a scheduler");
    epic.start()?;
    nothing_restarts(&mut epic, &before).await?;
    let after = epic.status().await?;
    ensure!(after.mesos.framework_id == view.mesos.framework_id, "the id has changed");
    Ok(())
}

#[tokio::test]
async fn a_master_killed_and_restarted_costs_no_service() -> Result<()> {
    let mut epic = Epic::probe(Cluster::start(ClusterSpec::agents_of(3)).await?, 2)?;
    epic.start()?;
    let before = processes(&epic.until_ready(3).await?).await?;
    epic.cluster.kill(Part::Master(0));
    epic.until("the loss is seen", PATIENCE, |view| {
        ensure!(!view.mesos.subscribed && !view.mesos.problem.is_empty());
        Ok(())
    })
    .await?;
    epic.cluster.restart(Part::Master(0))?;
    epic.cluster.agents_active().await?;
    subscribed(&mut epic).await?;
    nothing_restarts(&mut epic, &before).await
}

#[tokio::test]
async fn an_agent_killed_and_restarted_costs_no_service() -> Result<()> {
    let mut epic = Epic::probe(Cluster::start(ClusterSpec::agents_of(3)).await?, 2)?;
    epic.start()?;
    let before = processes(&epic.until_ready(3).await?).await?;
    for agent in 0..3 {
        epic.cluster.kill(Part::Agent(agent));
        epic.cluster.restart(Part::Agent(agent))?;
    }
    epic.cluster.agents_active().await?;
    nothing_restarts(&mut epic, &before).await
}

#[tokio::test]
async fn a_launch_after_everything_was_killed_and_restarted_works() -> Result<()> {
    let mut epic = Epic::probe(Cluster::start(ClusterSpec::agents_of(4)).await?, 1)?;
    epic.start()?;
    let before = processes(&epic.until_ready(2).await?).await?;
    epic.kill();
    for part in [Part::Master(0), Part::Agent(0), Part::Agent(1), Part::Agent(2), Part::Agent(3)] {
        epic.cluster.kill(part);
    }
    for part in [Part::Master(0), Part::Agent(0), Part::Agent(1), Part::Agent(2), Part::Agent(3)] {
        epic.cluster.restart(part)?;
    }
    epic.cluster.agents_active().await?;
    epic.start()?;
    nothing_restarts(&mut epic, &before).await?;
    epic.write_platform(&epic.bin(), 3)?;
    epic.apply().await?;
    let view = epic.until_ready(4).await?;
    let after = processes(&view).await?;
    ensure!(before.iter().all(|(id, page)| after.get(id) == Some(page)), "{after:#?}");
    Ok(())
}

#[tokio::test]
async fn one_mesos_process_killed_and_restarted_costs_no_service() -> Result<()> {
    let mut spec = ClusterSpec::agents_of(3);
    // The agents of one process share a cgroup root, and each takes the others' cgroups for orphans when it starts.
    spec.isolation = Isolation::Posix;
    let mut epic = Epic::quiet(Cluster::start_one_process(spec).await?, 2)?;
    epic.start()?;
    epic.until_ready(3).await?;
    for _ in 0..2 {
        epic.cluster.kill(Part::Master(0));
        epic.cluster.restart(Part::Master(0))?;
        epic.cluster.agents_active().await?;
        subscribed(&mut epic).await?;
        let view = epic.until_ready(3).await?;
        let restarts: u32 =
            view.instances.iter().flat_map(|member| &member.services).map(|service| service.restarts).sum();
        ensure!(attempts(&view) == [1, 1, 1] && restarts == 0, "{view:?}");
    }
    Ok(())
}

pub(crate) async fn subscribed(epic: &mut Epic) -> Result<()> {
    epic.until("the subscription stands again", Duration::from_secs(60), |view| {
        ensure!(view.mesos.subscribed, "{:?}", view.mesos);
        Ok(())
    })
    .await
}
