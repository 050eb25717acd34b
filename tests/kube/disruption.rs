//! What pods and those that they lean on may suffer, and what must not come of it.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use epic_tests::wait;
use nix::sys::signal::Signal;

use crate::plain::MEMBERS;
use crate::release::{PATIENCE, Release, Standing};
use crate::say::{Timed, say, seconds};
use crate::watch::Watch;

/// The leader's pod is deleted.
pub(crate) async fn lose_the_leader(release: &Release<'_>, standing: &Standing) -> Result<()> {
    let first = release.until_led(|_| true).await?;
    let watch = Watch::start(release)?;
    let gone = release.stage.kube.delete_pod(release.namespace, &first)?;
    let second = release.until_led(|leader| leader != first).await?;
    release.until_ready(3).await?;
    ensure!(release.until_standing(MEMBERS).await? == *standing, "members are not what they were");
    let record = watch.stop()?;
    say(&format!(
        "the leader's pod {first} was deleted: gone in {}, {second} leads after {} at most, nothing restarted",
        seconds(gone),
        seconds(record.longest),
    ));
    ensure!(gone < ENDS_WITHIN, "the pod took {gone:?} to end, which is more than {ENDS_WITHIN:?}");
    ensure!(record.longest < HAND_OVER, "nobody led for {:?}, more than {HAND_OVER:?}", record.longest);
    Ok(())
}

/// A pod is evicted, and while it is away another one can't be.
pub(crate) async fn evict_two(release: &Release<'_>, standing: &Standing) -> Result<()> {
    let pods = release.pods()?;
    let names: Vec<&str> = pods.iter().filter_map(|pod| pod["metadata"]["name"].as_str()).collect();
    let [first, second, _] = names[..] else { anyhow::bail!("there are {names:?}") };
    ensure!(evict(release, first)?.is_none(), "the first eviction was refused");
    let refused = evict(release, second)?.context("the second eviction was granted")?;
    ensure!(refused.contains("disruption budget"), "the second eviction was refused for another reason: {refused}");
    release.until_ready(3).await?;
    ensure!(release.until_standing(MEMBERS).await? == *standing, "members are not what they were");
    say(&format!("a second eviction is refused: {}", refused.trim()));
    Ok(())
}

/// Asks for a pod's eviction; why it was refused, if it was.
fn evict(release: &Release<'_>, pod: &str) -> Result<Option<String>> {
    let namespace = release.namespace;
    let file = release.stage.kube.work_dir().join("eviction.json");
    let eviction = serde_json::json!({
        "apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": namespace},
    });
    fs::write(&file, eviction.to_string())?;
    let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}/eviction");
    let output = release.stage.kube.try_kubectl(&["create", "--raw", &path, "-f", &file.display().to_string()])?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok(if output.status.success() { None } else { Some(said) })
}

/// ZooKeeper is silent, first for less than a session lasts, then for longer.
pub(crate) async fn lose_zookeeper(release: &Release<'_>, standing: &Standing) -> Result<()> {
    let restarts = release.restarts()?;
    let leader = release.until_led(|_| true).await?;
    let zookeeper = &release.stage.zookeeper;

    zookeeper.signal(Signal::SIGSTOP)?;
    tokio::time::sleep(BLIP).await;
    ensure!(release.leader().await? == leader, "the leader stood down within its session");
    zookeeper.signal(Signal::SIGCONT)?;
    release.until_ready(3).await?;
    ensure!(release.until_led(|_| true).await? == leader, "another one leads after {BLIP:?} without ZooKeeper");
    say(&format!("{} without ZooKeeper: {leader} leads on", seconds(BLIP)));

    let timed = Timed::start();
    zookeeper.signal(Signal::SIGSTOP)?;
    let nobody = wait::until("nobody leads", PATIENCE, async || {
        let leader = release.leader().await;
        ensure!(leader.is_err(), "{leader:?} leads");
        Ok(())
    });
    nobody.await?;
    let alone = timed.to_string();
    // Longer than the liveness probe would take to end a container, were it to ask for ZooKeeper.
    tokio::time::sleep(OUTAGE).await;
    let away = release.pods()?;
    let running = away.iter().filter(|pod| pod["status"]["phase"] == "Running").count();
    ensure!(running == 3, "only {running} pods run while ZooKeeper is away");
    let ready: Vec<_> = away.iter().map(|pod| pod["status"]["containerStatuses"][0]["ready"] == true).collect();
    zookeeper.signal(Signal::SIGCONT)?;
    let back = Timed::start();
    let next = release.until_led(|_| true).await?;
    let led = back.to_string();
    release.until_ready(3).await?;
    ensure!(release.until_standing(MEMBERS).await? == *standing, "members are not what they were");
    ensure!(release.restarts()? == restarts, "containers were restarted because of ZooKeeper");
    say(&format!(
        "ZooKeeper away for longer: nobody leads after {alone}, pods ready meanwhile: {ready:?}; {next} leads {led} \
         after its return, all ready after {back}; no container was restarted"
    ));
    Ok(())
}

const ENDS_WITHIN: Duration = Duration::from_secs(5);
const HAND_OVER: Duration = Duration::from_secs(4);
const BLIP: Duration = Duration::from_secs(3);
const OUTAGE: Duration = Duration::from_secs(75);
