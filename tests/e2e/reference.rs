//! The open reference platform, with a real Prometheus and real node exporters, on a real Mesos.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;

use anyhow::{Context as _, Result, ensure};
use epic_common::api::PlatformView;
use epic_tests::cluster::{Cluster, Part};
use epic_tests::epic::{Epic, PATIENCE, built, endpoint, member, repository, tasks_in};
use epic_tests::spec::ClusterSpec;
use epic_tests::{http, kernel};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

#[tokio::test]
async fn prometheus_scrapes_every_worker_and_people_see_its_pages() -> Result<()> {
    let (mut epic, view) = ready(3).await?;
    scraped(&mut epic, &view).await?;
    let page = http::get(&endpoint(&view, "controller-0")?).await?;
    ensure!(page.contains("<html") && page.contains("Prometheus"), "{page}");
    let page = http::get(&format!("{}/graph", prometheus(&view)?)).await?;
    ensure!(page.contains("<html") && page.contains("Prometheus"), "{page}");
    for id in ["worker-0", "worker-1"] {
        let metrics = http::get(&endpoint(&view, id)?).await?;
        ensure!(metrics.contains("node_cpu_seconds_total"), "{id} exports {metrics}");
    }
    Ok(())
}

#[tokio::test]
async fn a_worker_that_moves_is_scraped_at_its_new_address_by_the_same_prometheus() -> Result<()> {
    let (mut epic, before) = ready(4).await?;
    scraped(&mut epic, &before).await?;
    let since = start_time(&before).await?;
    let lost = agent_of(&epic, &before, "worker-0")?;
    epic.cluster.stop_host(lost);
    let after = moved(&mut epic, &before).await?;
    scraped(&mut epic, &after).await?;
    ensure!(start_time(&after).await? == since, "Prometheus was restarted");
    let controller = member(&after, "controller-0")?;
    ensure!(controller.attempt == 1 && controller.services[0].restarts == 0, "{controller:?}");
    Ok(())
}

#[tokio::test]
async fn a_copy_that_comes_back_after_it_was_replaced_is_killed() -> Result<()> {
    let (mut epic, before) = ready(4).await?;
    let lost = agent_of(&epic, &before, "worker-0")?;
    let dir = epic.cluster.work_dir().join(format!("a{}", lost + 1));
    let copies = || {
        kernel::processes(&dir, |line| {
            line.first().is_some_and(|program| program.ends_with("/prometheus-node-exporter"))
        })
    };
    ensure!(copies().len() == 1, "{:?} run on the agent", copies());
    let agent = Pid::from_raw(i32::try_from(epic.cluster.pid(Part::Agent(lost)).context("the agent runs")?)?);
    kill(agent, Signal::SIGSTOP)?;
    let after = moved(&mut epic, &before).await?;
    ensure!(copies().len() == 1, "the first copy runs on while its agent can't be reached");
    kill(agent, Signal::SIGCONT)?;
    epic.cluster
        .until("the first copy is killed", PATIENCE, async |cluster| {
            let tasks = cluster.tasks().await?;
            let (running, killed) = (tasks_in(&tasks, "TASK_RUNNING"), tasks_in(&tasks, "TASK_KILLED"));
            ensure!(
                running == ["controller-0.1", "worker-0.2", "worker-1.1"] && killed == ["worker-0.1"],
                "{running:?} {killed:?}"
            );
            ensure!(copies().is_empty(), "{:?} run", copies());
            Ok(())
        })
        .await?;
    let now = epic
        .until("nothing is left to do", PATIENCE, |view| {
            ensure!(view.phase == "ready" && view.waiting.is_empty());
            Ok(view.clone())
        })
        .await?;
    ensure!(member(&now, "worker-0")?.task == member(&after, "worker-0")?.task, "the replacement stays");
    scraped(&mut epic, &now).await
}

/// Starts the platform with two workers on so many agents, of which a lost one is soon unreachable, and waits until it is ready.
async fn ready(agents: u8) -> Result<(Epic, PlatformView)> {
    let mut spec = ClusterSpec::agents_of(agents);
    for (flag, value) in [("agent_ping_timeout", "1secs"), ("max_agent_ping_timeouts", "3")] {
        spec.master_flags.insert(flag.to_owned(), value.to_owned());
    }
    let bin = bundle()?;
    let mut epic = Epic::of(Cluster::start(spec).await?, &bin, 2)?.args(["--unreachable-after", "1s"]);
    epic.start()?;
    let view = epic.until_ready(3).await?;
    Ok((epic, view))
}

/// Returns the bundle of the reference platform; makes it if it isn't there.
fn bundle() -> Result<PathBuf> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock();
    let manifest = std::fs::read_to_string(repository("catalog/platform/manifest.yaml"))?;
    let version =
        manifest.lines().find_map(|line| line.strip_prefix("version: ")).context("a manifest has a version")?;
    let (dist, script) = (repository("dist"), repository("catalog/platform/build.sh"));
    let bin = dist.join(format!("epic-platform-{version}.bin"));
    if !bin.is_file() {
        let output = Command::new(script).arg(built("epicctl")?).arg(dist).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(bin)
}

/// Waits until the first worker is ready in its second attempt, on another host than before.
async fn moved(epic: &mut Epic, before: &PlatformView) -> Result<PlatformView> {
    let old = member(before, "worker-0")?.host.clone();
    epic.until("worker-0 is ready elsewhere", PATIENCE, |view| {
        let worker = member(view, "worker-0")?;
        ensure!(worker.attempt == 2 && worker.host != old && view.phase == "ready", "{worker:?}");
        ensure!(member(view, "worker-1")?.attempt == 1, "the other worker stays");
        Ok(view.clone())
    })
    .await
}

fn agent_of(epic: &Epic, view: &PlatformView, id: &str) -> Result<usize> {
    let host = &member(view, id)?.host;
    (0..4)
        .find(|agent| epic.cluster.addr(Part::Agent(*agent)).ip().to_string() == *host)
        .context("no agent has this host")
}

/// Waits until Prometheus' last scrape of every worker worked, each at its address, and knows no other.
async fn scraped(epic: &mut Epic, view: &PlatformView) -> Result<()> {
    let url = format!("{}/api/v1/targets?state=active", prometheus(view)?);
    let mut expected = BTreeMap::new();
    for id in ["worker-0", "worker-1"] {
        expected.insert(id.to_owned(), (endpoint(view, id)?, "up".to_owned()));
    }
    let look = async |_: &Cluster| {
        let answer = http::get_json(&url).await?;
        let hosts = answer["data"]["activeTargets"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|target| target["labels"]["job"] == "hosts");
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let seen = hosts
            .map(|target| (text(&target["labels"]["instance"]), (text(&target["scrapeUrl"]), text(&target["health"]))));
        let seen: BTreeMap<_, _> = seen.collect();
        ensure!(seen == expected, "{seen:#?}");
        Ok(())
    };
    epic.cluster.until("Prometheus scrapes all workers", PATIENCE, look).await?;
    let query = format!("{}/api/v1/query?query=up%7Bjob%3D%22hosts%22%7D", prometheus(view)?);
    epic.cluster
        .until("both workers are up", PATIENCE, async |_| {
            let answer = http::get_json(&query).await?;
            let result = answer["data"]["result"].as_array().context("a query has a result")?;
            let up = |id: &str| {
                let of_id = |one: &&serde_json::Value| {
                    let host = member(view, id).map(|member| member.host.as_str()).unwrap_or_default();
                    one["metric"]["instance"] == id && one["metric"]["host"] == host
                };
                result.iter().find(of_id).is_some_and(|one| one["value"][1] == "1")
            };
            ensure!(up("worker-0") && up("worker-1"), "{answer}");
            Ok(())
        })
        .await
}

async fn start_time(view: &PlatformView) -> Result<String> {
    let answer = http::get_json(&format!("{}/api/v1/status/runtimeinfo", prometheus(view)?)).await?;
    Ok(answer["data"]["startTime"].as_str().context("a process has a start time")?.to_owned())
}

/// Returns Prometheus' URL without a path.
fn prometheus(view: &PlatformView) -> Result<String> {
    let url = endpoint(view, "controller-0")?;
    let (root, _) = url.split_once("/classic").context("the endpoint is a page")?;
    Ok(root.to_owned())
}
