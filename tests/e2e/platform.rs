//! The platform on a real Mesos: it comes up, and it comes through what happens to it.

use anyhow::{Result, ensure};
use epic_tests::cluster::Cluster;
use epic_tests::epic::{Epic, endpoint, member, tasks_in};
use epic_tests::http;
use epic_tests::spec::ClusterSpec;

#[tokio::test]
async fn a_controller_and_two_workers_come_up_with_labels_that_operators_see() -> Result<()> {
    let mut epic = Epic::probe(Cluster::start(ClusterSpec::agents_of(4)).await?, 2)?;
    epic.start()?;
    let view = epic.until_ready(3).await?;
    let tasks = epic.cluster.tasks().await?;
    ensure!(tasks_in(&tasks, "TASK_RUNNING") == ["controller-0.1", "worker-0.1", "worker-1.1"], "{tasks:?}");
    let labels = tasks[0]["labels"].as_array().cloned().unwrap_or_default();
    let keys: Vec<_> = labels.iter().filter_map(|label| label["key"].as_str()).collect();
    ensure!(keys == ["epic.instance", "epic.attempt", "epic.bundle", "epic.installation"], "{labels:?}");
    let mut hosts: Vec<_> = view.instances.iter().map(|instance| instance.host.clone()).collect();
    hosts.dedup();
    ensure!(hosts.len() == 3, "a host runs one member: {hosts:?}");
    ensure!(member(&view, "worker-1")?.attempt == 1);
    for id in ["controller-0", "worker-0", "worker-1"] {
        let text = http::get(&endpoint(&view, id)?).await?;
        ensure!(text.contains(id), "{id} answers {text}");
    }
    Ok(())
}
