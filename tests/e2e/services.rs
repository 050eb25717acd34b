//! What becomes of services that die, fail, or don't answer, on a real Mesos.

use anyhow::{Context as _, Result, ensure};
use epic_common::api::PlatformView;
use epic_common::time::Timestamp;
use epic_tests::cluster::Cluster;
use epic_tests::epic::{Epic, PATIENCE, endpoint, member, tasks_in};
use epic_tests::spec::ClusterSpec;
use epic_tests::{kernel, wait};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::probe::{ready, ready_with};

#[tokio::test]
async fn a_killed_service_is_restarted_within_its_attempt_and_its_children_die_with_it() -> Result<()> {
    let mut epic = ready(2, 1).await?;
    let before = epic.service_pid("worker-0").await?;
    let executor = kernel::parent(before)?;
    let child: u32 = epic.ask("worker-0", "/fork").await?.trim().parse()?;
    ensure!(kernel::is_alive(child), "the child runs in a session of its own");
    epic.tell("worker-0", "/die").await?;
    restarted(&mut epic, "worker-0", "was ended by signal 9").await?;
    let after = epic.service_pid("worker-0").await?;
    ensure!(after != before && kernel::parent(after)? == executor, "the same executor restarts it: {before} {after}");
    ensure!(!kernel::is_alive(child), "the child of the first run lives on");
    let tasks = epic.cluster.tasks().await?;
    ensure!(tasks_in(&tasks, "TASK_RUNNING") == ["controller-0.1", "worker-0.1"], "{tasks:?}");
    Ok(())
}

#[tokio::test]
async fn a_killed_executor_costs_an_attempt_and_nothing_of_the_old_one_stays() -> Result<()> {
    let mut epic = ready(2, 1).await?;
    let before = epic.service_pid("worker-0").await?;
    let child: u32 = epic.ask("worker-0", "/fork").await?.trim().parse()?;
    epic.ask("worker-0", "/deaf").await?;
    let old = endpoint(&epic.status().await?, "worker-0")?;
    let executor = kernel::parent(before)?;
    let groups = [kernel::cgroup(before, "memory")?, kernel::cgroup(before, "cpu")?];
    kill(Pid::from_raw(i32::try_from(executor)?), Signal::SIGKILL)?;
    let view = attempt(&mut epic, "worker-0", 2).await?;
    ensure!(endpoint(&view, "worker-0")? == old, "one host is left for it, and its port is free again");
    let now = epic.service_pid("worker-0").await?;
    ensure!(![before, child].contains(&now), "{now} is new");
    for old in [executor, before, child] {
        ensure!(!kernel::is_alive(old), "process {old} of the old attempt lives on");
    }
    ensure!(!groups.iter().any(|group| group.exists()), "{groups:?} stay");
    let tasks = epic.cluster.tasks().await?;
    ensure!(tasks_in(&tasks, "TASK_RUNNING") == ["controller-0.1", "worker-0.2"], "{tasks:?}");
    Ok(())
}

#[tokio::test]
async fn a_service_that_never_starts_fails_with_its_last_words_and_is_tried_again_after_a_durable_back_off()
-> Result<()> {
    const WORDS: &str = "exited with code 3: probe: cannot start: told to fail with 3";
    const PROBE: &str = "'{{ ports.metrics }}', '{{ dir }}']\n    env: {PROBE_AT_START: ";
    let cluster = Cluster::start(ClusterSpec::agents_of(2)).await?;
    let mut epic = Epic::probe_with(cluster, 1, &[(&format!("{PROBE}\"\""), &format!("{PROBE}exit=3"))])?;
    epic.start()?;
    let (first, reason) = back_off(&mut epic, 1).await?;
    ensure!(reason.contains(WORDS) && reason.contains("service probe was started"), "{reason}");
    let controller = kernel::parent(epic.service_pid("controller-0").await?)?;
    epic.kill();
    epic.start()?;
    // A second failure of another kind, since the first kind takes its time.
    let executor = wait::until("the second attempt's executor runs", PATIENCE, async || {
        let view = epic.status().await?;
        let worker = member(&view, "worker-0")?;
        ensure!(worker.attempt == 2 && worker.phase == "starting", "{worker:?}");
        executors(&epic).into_iter().find(|pid| *pid != controller).context("there is none")
    })
    .await?;
    kill(Pid::from_raw(i32::try_from(executor)?), Signal::SIGKILL)?;
    let (second, _reason) = back_off(&mut epic, 2).await?;
    ensure!(began(&epic, "worker-0.2").await? >= first, "the second attempt began before {first}");
    epic.until("the third attempt", PATIENCE, |view| {
        ensure!(member(view, "worker-0")?.attempt == 3);
        Ok(())
    })
    .await?;
    let third =
        wait::until("Mesos knows the third attempt", PATIENCE, async || began(&epic, "worker-0.3").await).await?;
    ensure!(third >= second, "the third attempt began at {third}, before {second}");
    Ok(())
}

#[tokio::test]
async fn a_service_that_stops_being_ready_degrades_the_platform_until_it_recovers() -> Result<()> {
    // It is unready after half of the failures that have it restarted: seconds are left to recover in.
    let mut epic = ready_with(2, 1, &[("failures: 3", "failures: 40"), ("interval: 200ms", "interval: 100ms")]).await?;
    let before = epic.service_pid("worker-0").await?;
    epic.ask("worker-0", "/fail").await?;
    epic.until("the worker is degraded", PATIENCE, |view| {
        let worker = member(view, "worker-0")?;
        ensure!(view.phase == "degraded" && worker.phase == "degraded", "{worker:?}");
        ensure!(worker.reason.contains("probe is not ready yet") && worker.reason.contains("503"), "{worker:?}");
        ensure!(!worker.services[0].ready && member(view, "controller-0")?.phase == "ready");
        Ok(())
    })
    .await?;
    epic.ask("worker-0", "/recover").await?;
    let view = epic.until_ready(2).await?;
    let service = &member(&view, "worker-0")?.services[0];
    ensure!(service.restarts == 0 && service.reason.is_empty(), "{service:?}");
    ensure!(epic.service_pid("worker-0").await? == before, "it wasn't restarted");
    Ok(())
}

#[tokio::test]
async fn a_service_that_hangs_or_stays_unready_is_restarted() -> Result<()> {
    let mut epic = ready_with(2, 1, &[("timeout: 2s", "timeout: 500ms")]).await?;
    epic.tell("worker-0", "/hang").await?;
    epic.ask("controller-0", "/fail").await?;
    restarted(&mut epic, "worker-0", "(3 times in a row)").await?;
    restarted(&mut epic, "controller-0", "503").await?;
    Ok(())
}

fn executors(epic: &Epic) -> Vec<u32> {
    kernel::processes(epic.cluster.work_dir(), |line| line.len() == 2 && line[1] == "run")
}

/// Waits until the member's service was restarted once, for that reason, and is ready again in the first attempt.
async fn restarted(epic: &mut Epic, id: &str, reason: &str) -> Result<()> {
    epic.until(&format!("{id} is restarted: {reason}"), PATIENCE, |view| {
        let member = member(view, id)?;
        let service = member.services.first().context("no report yet")?;
        ensure!(member.phase == "ready" && member.attempt == 1 && service.restarts == 1, "{member:?}");
        ensure!(service.reason.contains(reason), "{service:?}");
        Ok(())
    })
    .await
}

async fn attempt(epic: &mut Epic, id: &str, attempt: u32) -> Result<PlatformView> {
    epic.until(&format!("{id} is ready in attempt {attempt}"), PATIENCE, |view| {
        let member = member(view, id)?;
        ensure!(member.phase == "ready" && member.attempt == attempt, "{member:?}");
        Ok(view.clone())
    })
    .await
}

/// Waits until the worker waits after so many failures; returns when it is tried again, and why it failed.
async fn back_off(epic: &mut Epic, failures: u32) -> Result<(String, String)> {
    epic.until(&format!("{failures} failures"), PATIENCE, |view| {
        let worker = member(view, "worker-0")?;
        let text = worker.waiting.iter().find_map(|sentence| sentence.strip_prefix("the next attempt is made at "));
        let (time, rest) = text.and_then(|text| text.split_once(',')).context("it isn't waiting")?;
        ensure!(rest.contains(&format!("after {failures} failures in a row")), "{rest}");
        ensure!(worker.attempt == failures && worker.task.is_empty(), "{worker:?}");
        Ok((time.to_owned(), worker.reason.clone()))
    })
    .await
}

/// Returns when Mesos first heard of a task, in the words of the view.
async fn began(epic: &Epic, task: &str) -> Result<String> {
    let tasks = epic.cluster.tasks().await?;
    let task = tasks.iter().find(|known| known["id"] == task).with_context(|| format!("Mesos doesn't know {task}"))?;
    let time = task["statuses"][0]["timestamp"].to_string();
    let seconds: u64 = time.split('.').next().unwrap_or_default().parse()?;
    Ok(Timestamp(seconds * 1_000_000).to_string())
}
