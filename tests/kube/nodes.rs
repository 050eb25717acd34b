//! Three nodes: a replica on each, which agents reach by the node, and drains that leave enough of them.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use epic_tests::kubernetes::{address_of, printed};
use epic_tests::{http, wait};
use serde_json::Value;

use crate::plain::{MEMBERS, use_it};
use crate::release::{PATIENCE, Release};
use crate::say::{Timed, say};
use crate::stage::{PRINCIPAL, SECRET, Stage, images};

/// Adds two nodes and plays it; they stay.
pub(crate) async fn play(stage: &mut Stage) -> Result<()> {
    say("--- three nodes");
    let timed = Timed::start();
    for _ in 2..=3 {
        let node = stage.kube.add_node(&images()?).await?;
        stage.kube.volumes(&node, 1)?;
    }
    say(&format!("two more nodes take pods ({timed})"));
    stage.namespace(NAMESPACE)?;
    let release = Release::of(stage, NAMESPACE, &stage.helm4);
    release.put("install", &values())?;
    release.until_ready(3).await?;
    spread(&release)?;
    let standing = use_it(&release).await?;
    let state = stage.mesos.state().await?["frameworks"].to_string();
    ensure!(state.contains(&format!(":{NODE_PORT}/artifacts/")), "agents fetch elsewhere: {state}");
    for number in 1..=3 {
        serves(number).await?;
    }
    say("each replica has a node of its own, by which agents reach it; the platform is ready");

    let first = node_of(&release, &release.until_led(|_| true).await?)?;
    let timed = Timed::start();
    drain(stage, &first, "60s")?;
    let leader = release.until_led(|_| true).await?;
    let second = node_of(&release, &leader)?;
    ensure!(second != first, "{leader} leads on {first}, which was drained");
    ensure!(serves(number_of(&first)).await.is_err(), "{first} serves agents without a replica");
    say(&format!("{first} under the leader was drained ({timed}), {leader} leads on {second}"));
    let refused = drain(stage, &second, "8s").err().context("a second node was drained")?.to_string();
    ensure!(refused.contains("disruption budget"), "the second drain failed otherwise: {refused}");
    ensure!(release.until_led(|_| true).await? == leader, "another one leads after a drain that was refused");
    for node in [&first, &second] {
        stage.kube.kubectl(&["uncordon", node])?;
    }
    release.until_ready(3).await?;
    spread(&release)?;
    wait::until("the way to the replica that came back", PATIENCE, async || serves(number_of(&first)).await).await?;
    ensure!(release.until_standing(MEMBERS).await? == standing, "members are not what they were");
    say(
        "a second node isn't drained meanwhile; with both back there is a replica on each again, and nothing restarted",
    );
    release.helm(&["uninstall", "epic", "--wait", "--timeout", "2m"]).map(drop)
}

/// No two replicas share a node.
fn spread(release: &Release<'_>) -> Result<()> {
    let pods = release.pods()?;
    let nodes: BTreeSet<&str> = pods.iter().filter_map(|pod| pod["spec"]["nodeName"].as_str()).collect();
    ensure!(nodes.len() == 3, "replicas are on {nodes:?}");
    Ok(())
}

fn node_of(release: &Release<'_>, pod: &str) -> Result<String> {
    let pod: Value = release.get(&["pod", pod])?;
    pod["spec"]["nodeName"].as_str().map(str::to_owned).context("the pod is on no node")
}

/// The number at the end of a node's name; the first has none.
fn number_of(node: &str) -> u8 {
    node.trim_start_matches("node").parse().unwrap_or(1)
}

/// A node hands agents to the replica on it.
async fn serves(number: u8) -> Result<()> {
    http::get(&format!("http://{}:{NODE_PORT}/healthz", address_of(number))).await.map(drop)
}

/// Drains a node as people do.
fn drain(stage: &Stage, node: &str, within: &str) -> Result<()> {
    let timeout = format!("--timeout={within}");
    let words = ["drain", node, "--ignore-daemonsets", "--delete-emptydir-data", &timeout];
    printed("kubectl drain", &stage.kube.try_kubectl(&words)?).map(drop)
}

/// Replicas are spread as the chart does by itself.
fn values() -> String {
    format!(
        "mesos:
  master: mesos:5050
  frameworkName: {NAMESPACE}
  principal: {PRINCIPAL}
  secret: {{value: {SECRET}}}
zookeeper: {{url: 'zk://zookeeper:2181/{NAMESPACE}', sessionTimeout: 6s}}
agents: {{advertise: nodePort, nodePort: {NODE_PORT}}}
networkPolicy: {{enabled: false}}
"
    )
}

const NAMESPACE: &str = "nodes";
const NODE_PORT: u16 = 30_882;
