//! Masters that find each other through a real ZooKeeper.

use std::time::Duration;

use anyhow::ensure;
use epic_tests::cluster::{Cluster, Part};
use epic_tests::spec::ClusterSpec;
use epic_tests::zookeeper::ZooKeeper;

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
