//! Masters that find each other through a real ZooKeeper.

use std::time::Duration;

use anyhow::{Result, ensure};
use epic_tests::cluster::{Cluster, Part};
use epic_tests::spec::ClusterSpec;
use epic_tests::wait;
use epic_tests::zookeeper::{Pace, ZooKeeper};

#[tokio::test]
async fn an_ensemble_serves_with_two_of_three_and_not_with_one() -> Result<()> {
    let pace = Pace { tick: Duration::from_millis(200), session_max: Duration::from_secs(10) };
    let mut zookeeper = ZooKeeper::ensemble(3, pace).await?;
    let leader = zookeeper.leader().await?;
    zookeeper.kill_one(leader);
    // Those that run choose another.
    let next = wait::until("another server leads", Duration::from_secs(20), async || zookeeper.leader().await).await?;
    ensure!(next != leader, "server {leader} was killed");
    let other = 3 - leader - next;
    zookeeper.stop_one(other)?;
    let nobody = async || {
        let leads = zookeeper.leader().await;
        ensure!(leads.is_err(), "{leads:?} leads alone");
        Ok(())
    };
    wait::until("one of three leads nobody", Duration::from_secs(20), nobody).await?;
    zookeeper.cont_one(other)?;
    zookeeper.restart_one(leader)?;
    zookeeper.serve().await
}

#[tokio::test]
async fn another_master_leads_when_the_leader_is_killed() {
    let zookeeper = ZooKeeper::start().await.unwrap();
    let mut spec = ClusterSpec::agents_of(1);
    spec.zookeeper = Some(zookeeper.url("/mesos"));
    spec.masters = 3;
    let mut cluster = Cluster::start(spec).await.unwrap();

    let first = cluster.leader().await.unwrap();
    let before = cluster.agent(0).await.unwrap()["id"].clone();
    cluster.kill(Part::Master(first));
    let next = cluster
        .until("another master leads", Duration::from_secs(40), async |cluster| {
            let next = cluster.leader().await?;
            ensure!(next != first, "master {next} still leads");
            Ok(next)
        })
        .await
        .unwrap();
    cluster.agents_active().await.unwrap();
    assert_ne!(next, first);
    assert_eq!(cluster.agent(0).await.unwrap()["id"], before);
}
