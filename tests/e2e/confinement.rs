//! What services may use, see and leave behind, on a real Mesos with real control groups.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use epic_tests::epic::{Epic, PATIENCE, endpoint, member, tasks_in};
use epic_tests::{kernel, wait};

use crate::probe::ready;

#[tokio::test]
async fn a_service_that_uses_more_memory_than_its_grant_is_killed_for_it_and_restarted() -> Result<()> {
    let mut epic = ready(2, 1).await?;
    let limit = instance_group(&epic, "worker-0", "memory").await?.join("memory.limit_in_bytes");
    ensure!(kernel::cgroup_value(&limit, "")? == 32 << 20, "the grant is 32 MiB");
    let before = epic.service_pid("worker-0").await?;
    epic.tell("worker-0", "/eat?mib=64").await?;
    epic.until("the worker is restarted for its memory", PATIENCE, |view| {
        let worker = member(view, "worker-0")?;
        let service = worker.services.first().context("no report yet")?;
        ensure!(worker.phase == "ready" && worker.attempt == 1 && service.restarts == 1, "{worker:?}");
        ensure!(service.reason.contains("was killed: used more than its grant of 32MiB memory"), "{service:?}");
        Ok(())
    })
    .await?;
    ensure!(epic.service_pid("worker-0").await? != before, "another process answers");
    Ok(())
}

#[tokio::test]
async fn a_service_gets_the_cpu_of_its_grant_and_no_more() -> Result<()> {
    let epic = ready(2, 1).await?;
    let group = instance_group(&epic, "worker-0", "cpu").await?;
    let quota = kernel::cgroup_value(&group.join("cpu.cfs_quota_us"), "")?;
    let period = kernel::cgroup_value(&group.join("cpu.cfs_period_us"), "")?;
    ensure!(quota * 10 == period, "the grant is a tenth of a core: {quota} of {period}");
    let (first, second) = (epic.ask("worker-0", "/burn").await?, epic.ask("worker-0", "/burn").await?);
    let burners = [first.trim().parse()?, second.trim().parse()?];
    let used = || burners.iter().map(|pid| kernel::cpu_ticks(*pid)).sum::<Result<u64>>();
    let periods = |name| kernel::cgroup_value(&group.join("cpu.stat"), name);
    let (used_before, before, throttled) = (used()?, periods("nr_periods")?, periods("nr_throttled")?);
    // Work and limit are compared in the kernel's own periods, so a busy machine makes no difference.
    let passed = wait::until("fifty periods of work", PATIENCE, async || {
        let passed = periods("nr_periods")? - before;
        ensure!(passed >= 50, "{passed}");
        Ok(passed)
    })
    .await?;
    let used = used()? - used_before;
    // A tick is a hundredth of a second: as much as the quota of one period.
    ensure!(used <= passed + passed / 4 + 2, "{used} ticks in {passed} periods of one tick each");
    ensure!(periods("nr_throttled")? > throttled, "it would take more");
    Ok(())
}

#[tokio::test]
async fn what_a_service_leaves_behind_is_gone_after_its_stop() -> Result<()> {
    let mut epic = ready(2, 1).await?;
    let url = endpoint(&epic.status().await?, "worker-0")?;
    let child: u32 = epic.ask("worker-0", "/fork").await?.trim().parse()?;
    epic.ask("worker-0", "/deaf").await?;
    let processes = [epic.service_pid("worker-0").await?, child];
    let mut groups = Vec::new();
    for controller in ["memory", "cpu", "freezer", "pids"] {
        groups.push(instance_group(&epic, "worker-0", controller).await?);
    }
    epic.post("/api/v2/platform/stop").await?;
    epic.until("the platform is stopped", PATIENCE, |view| {
        ensure!(view.phase == "stopped" && view.instances.iter().all(|member| member.task.is_empty()));
        Ok(())
    })
    .await?;
    // The executor says that the task has ended only when this is so.
    ensure!(!processes.iter().any(|pid| kernel::is_alive(*pid)), "of {processes:?} some live on");
    ensure!(!groups.iter().any(|group| group.exists()), "of {groups:?} some stay");
    drop(TcpListener::bind(url.trim_start_matches("http://").trim_end_matches('/')).context("the port is not free")?);
    let tasks = epic.cluster.tasks().await?;
    ensure!(tasks_in(&tasks, "TASK_KILLED") == ["controller-0.1", "worker-0.1"], "{tasks:?}");
    Ok(())
}

#[tokio::test]
async fn services_see_their_grant_and_nothing_of_mesos_and_run_as_nobody() -> Result<()> {
    let epic = ready(3, 2).await?;
    let executor = kernel::parent(epic.service_pid("worker-0").await?)?;
    let mesos = fs::read_to_string(format!("/proc/{executor}/environ"))?;
    ensure!(
        mesos.contains("MESOS_EXECUTOR_ID=") && mesos.contains("LIBPROCESS_IP="),
        "the executor has what services must not see"
    );
    let known = "EPIC_CPUS EPIC_DIR EPIC_HOST EPIC_INSTANCE EPIC_MEM_MB EPIC_PAYLOAD EPIC_PLATFORM EPIC_PORT_METRICS EPIC_ROLE HOME \
                 LANG PATH PROBE_AT_START PROBE_CPUS";
    let mut seen = Vec::new();
    for id in ["worker-0", "worker-1"] {
        let view = epic.status().await?;
        let env = environment(&epic, id).await?;
        ensure!(env.keys().map(String::as_str).eq(known.split_whitespace()), "{env:?}");
        let address = format!("http://{}:{}/", env["EPIC_HOST"], env["EPIC_PORT_METRICS"]);
        ensure!(endpoint(&view, id)? == address, "{env:?}");
        ensure!([&env["EPIC_INSTANCE"], &env["EPIC_ROLE"], &env["EPIC_PLATFORM"]] == [id, "worker", "test"], "{env:?}");
        ensure!([&env["EPIC_CPUS"], &env["PROBE_CPUS"], &env["EPIC_MEM_MB"]] == ["0.1", "0.1", "32"], "{env:?}");
        let ids = epic.ask(id, "/id").await?;
        ensure!(ids.trim() == "uid 65534 65534 gid 65534 65534", "{ids}");
        seen.push(env);
    }
    let differ: BTreeSet<_> = seen[0]
        .iter()
        .filter(|(name, value)| seen[1].get(*name) != Some(value))
        .map(|(name, _)| name.as_str())
        .collect();
    ensure!(differ.is_superset(&BTreeSet::from(["EPIC_DIR", "EPIC_HOST", "EPIC_INSTANCE"])), "{differ:?}");
    Ok(())
}

#[tokio::test]
async fn a_service_that_writes_too_much_fills_two_log_files_and_no_more() -> Result<()> {
    const CAP: u64 = 10 << 20;
    let epic = ready(2, 1).await?;
    let log = find(epic.cluster.work_dir(), "worker-0.probe.stdout").context("there is no log")?;
    let said = fs::metadata(&log)?.len();
    for _ in 0..5 {
        epic.ask("worker-0", &format!("/fill?kib={}", CAP / 2048)).await?;
    }
    // Five halves of the cap: two and a half are a file that was dropped, a full one, and half a file.
    wait::until("all is written", PATIENCE, async || {
        let now = fs::metadata(&log)?.len();
        ensure!(now == CAP / 2 + said, "{now}");
        Ok(())
    })
    .await?;
    let dir = log.parent().context("a log is in a directory")?;
    let mut sizes = BTreeMap::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        sizes.insert(entry.file_name().to_string_lossy().into_owned(), entry.metadata()?.len());
    }
    let full: Vec<_> =
        sizes.iter().filter(|(name, _)| name.contains("stdout")).map(|(name, size)| (name.as_str(), *size)).collect();
    ensure!(full == [("worker-0.probe.stdout", CAP / 2 + said), ("worker-0.probe.stdout.1", CAP)], "{sizes:?}");
    Ok(())
}

/// Returns the control group of a member of the probe platform, which is above that of its service.
async fn instance_group(epic: &Epic, id: &str, controller: &str) -> Result<PathBuf> {
    let service = kernel::cgroup(epic.service_pid(id).await?, controller)?;
    let group = service.parent().context("a service's group is in its member's")?;
    ensure!(group.to_string_lossy().contains(id), "{} is not of {id}", group.display());
    Ok(group.to_owned())
}

async fn environment(epic: &Epic, id: &str) -> Result<BTreeMap<String, String>> {
    let page = epic.ask(id, "/env").await?;
    let pairs = page.lines().filter_map(|line| line.split_once('='));
    Ok(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

/// Finds a file by its name, following no links.
fn find(dir: &Path, name: &str) -> Option<PathBuf> {
    let entries = fs::read_dir(dir).ok()?.flatten();
    entries.into_iter().find_map(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => find(&entry.path(), name),
        Ok(kind) if kind.is_file() && entry.file_name() == name => Some(entry.path()),
        Ok(_) | Err(_) => None,
    })
}
