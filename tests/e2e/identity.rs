//! What a replica does that may take no part, or whose framework is gone: it stays up, says why, and goes on by itself
//! once that has changed.

use anyhow::{Context as _, Result, ensure};
use epic_common::api::ArtifactView;
use epic_scheduler::zookeeper::{Kind, Refusal};
use epic_tests::cluster::Cluster;
use epic_tests::http;
use epic_tests::replicas::{Crew, Replicas};
use epic_tests::spec::ClusterSpec;
use epic_tests::zookeeper::ZooKeeper;

use crate::crash::frameworks;
use crate::ring::{session, session_of};

async fn prepared(count: u8, workers: u32) -> Result<Replicas> {
    Replicas::prepare(Cluster::start(ClusterSpec::agents_of(3)).await?, count, workers).await
}

/// Waits until a replica is alive, of no use, and says so in these words.
pub(crate) async fn stays_up(replicas: &Replicas, index: usize, why: &str) -> Result<()> {
    let said = async || {
        let view = replicas.view(index).await?;
        ensure!(view.mode == "standby" && !view.caught_up && view.problem.contains(why), "{view:?}");
        let health = http::get(&format!("{}/healthz", replicas.url(index))).await?;
        ensure!(health == "alive\n", "{health}");
        let answer = http::client().get(format!("{}/readyz", replicas.url(index))).send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status == 503 && text.contains(why), "{status}: {text}");
        Ok(())
    };
    replicas.until("it stays up and says why it is of no use", said).await
}

#[tokio::test]
async fn a_replica_without_zookeeper_or_a_journal_waits_and_goes_on_by_itself() -> Result<()> {
    let mut replicas = prepared(1, 1).await?;
    replicas.zookeeper.kill();
    replicas.restart(0)?;
    stays_up(&replicas, 0, "ZooKeeper").await?;
    replicas.zookeeper.restart().await?;
    stays_up(&replicas, 0, "run epic-scheduler init").await?;
    let made = session(&replicas.zookeeper, "", "/epic").await.read("/").await;
    ensure!(made.is_err_and(|error| error.says(Refusal::NoNode)), "replicas make nothing");
    ensure!(frameworks(&replicas.cluster).await?.is_empty(), "it subscribes without a journal");
    replicas.init().await?;
    replicas.until_led(|_| true).await?;
    replicas.until_ready(2).await.map(drop)
}

#[tokio::test]
async fn a_replica_that_may_not_read_the_journal_says_so() -> Result<()> {
    let mut replicas = prepared(1, 1).await?;
    let owner = session(&replicas.zookeeper, "epic:right@", "/epic").await;
    epic_scheduler::journal::ring::init(&owner).await?;
    replicas.restart(0)?;
    stays_up(&replicas, 0, "the user in --zk has no right to it").await
}

#[tokio::test]
async fn a_replica_leads_no_other_journal_than_the_one_that_it_has_followed() -> Result<()> {
    let mut replicas = Replicas::start(Cluster::start(ClusterSpec::agents_of(3)).await?, 1, 1).await?;
    let view = replicas.until_ready(2).await?;
    replicas.zookeeper.kill();
    replicas.zookeeper.empty()?;
    replicas.zookeeper.restart().await?;
    stays_up(&replicas, 0, "any more, though this replica has followed one").await?;
    replicas.init().await?;
    stays_up(&replicas, 0, "is another one than").await?;
    let candidates = session(&replicas.zookeeper, "", "/epic").await.children("/election").await?;
    ensure!(candidates.is_empty(), "it stands for election: {candidates:?}");
    let known = frameworks(&replicas.cluster).await?;
    ensure!(known == [view.mesos.framework_id.as_str()], "Mesos knows {known:?}");
    Ok(())
}

#[tokio::test]
async fn a_framework_that_mesos_has_removed_is_replaced_when_somebody_says_so() -> Result<()> {
    let replicas = Replicas::start(Cluster::start(ClusterSpec::agents_of(4)).await?, 2, 2).await?;
    let view = replicas.until_ready(3).await?;
    let (leader, _) = replicas.until_led(|_| true).await?;
    let refused = replicas.post(leader, "/api/v2/admin/new-framework").await;
    let text = refused.map_or_else(|error| error.to_string(), |granted| format!("{granted:?}"));
    ensure!(text.starts_with("409") && text.contains("there is no need"), "{text}");

    // A replica of an earlier version doesn't say what it can read.
    let session = session(&replicas.zookeeper, "", "/epic").await;
    let about = br#"{"replica":"old","advertise":"http://127.0.0.1:9"}"#;
    let number = session.create("/election/candidate-", about, Kind::Numbered).await?;
    let bundle = &view.desired.as_ref().context("it was applied")?.bundle;
    let known = async || {
        let page = http::get(&format!("{}/api/v2/artifacts/{bundle}", replicas.url(leader))).await?;
        let held: ArtifactView = serde_json::from_str(&page)?;
        ensure!(held.replicas == 3, "{held:?}");
        Ok(())
    };
    replicas.until("the leader knows of the third", known).await?;

    let old = view.mesos.framework_id.as_str();
    let teardown = format!("http://{}/master/teardown", replicas.cluster.master_addr());
    let answer = http::client().post(teardown).body(format!("frameworkId={old}")).send().await?;
    ensure!(answer.status() == 200, "{}", answer.text().await?);
    let said = async || {
        let answer = http::client().get(format!("{}/readyz", replicas.url(leader))).send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        let says = text.contains("Framework has been removed") && text.contains("epicctl admin new-framework --yes");
        ensure!(status == 503 && says, "{status}: {text}");
        Ok(())
    };
    replicas.until("the leader says what has happened", said).await?;

    let refused = replicas.post(leader, "/api/v2/admin/new-framework").await;
    let text = refused.map_or_else(|error| error.to_string(), |granted| format!("{granted:?}"));
    ensure!(text.starts_with("409") && text.contains("http://127.0.0.1:9 is of an earlier version"), "{text}");
    session.delete(&format!("/election/candidate-{number:010}")).await?;
    let granted = async || replicas.post((leader + 1) % 2, "/api/v2/admin/new-framework").await.map(drop);
    replicas.until("it is granted once that replica is gone", granted).await?;
    let replaced = async || {
        for index in 0..2 {
            let view = replicas.status(index).await?;
            ensure!(view.mesos.framework_id != old, "replica {index}: {:?}", view.mesos);
        }
        Ok(())
    };
    replicas.until("both replicas have heard of it", replaced).await?;
    let view = replicas.until_ready(3).await?;
    ensure!(view.instances.iter().all(|instance| instance.attempt == 2), "{:?}", view.instances);
    let known = frameworks(&replicas.cluster).await?;
    ensure!(known == [view.mesos.framework_id.as_str()], "Mesos knows {known:?}");
    Ok(())
}

#[tokio::test]
async fn a_leader_that_has_led_for_long_enough_lets_another_lead() -> Result<()> {
    let mut replicas = prepared(2, 1).await?;
    replicas.init().await?;
    for index in 0..2 {
        replicas.arg(index, "--max-leading-time=10s");
        replicas.restart(index)?;
    }
    let before = replicas.until_ready(2).await?;
    let (first, led) = replicas.until_led(|_| true).await?;
    let (second, later) = replicas.until_led(|leader| leader != first).await?;
    ensure!(later.epoch == led.epoch + 1, "{later:?} after {led:?}");
    ensure!(replicas.log(first).contains("--max-leading-time"), "{}", replicas.log(first));
    replicas.until_led(|leader| leader != second).await?;
    let view = replicas.until_ready(2).await?;
    ensure!(view.mesos.framework_id == before.mesos.framework_id, "{:?}", view.mesos);
    ensure!(view.instances.iter().all(|instance| instance.attempt == 1), "{:?}", view.instances);
    Ok(())
}

#[tokio::test]
async fn a_replica_of_an_earlier_version_stops_where_it_can_read_no_further() -> Result<()> {
    use epic_scheduler::journal::ring::{Append, Ring};
    use prost::Message as _;

    let mut replicas = Replicas::start(Cluster::start(ClusterSpec::agents_of(3)).await?, 2, 1).await?;
    let before = replicas.until_ready(2).await?;
    let (leader, led) = replicas.until_led(|_| true).await?;
    replicas.kill(leader);
    let standby = 1 - leader;
    // A later version leads: what it writes has a kind of entry that nobody here knows.
    let timeout = epic_tests::replicas::SESSION_TIMEOUT;
    let later = Ring::open(session_of(&replicas.zookeeper, "", "/epic", timeout).await).await?;
    let (second, _) = replicas.until_led(|by| by == standby).await?;
    ensure!(second == standby, "{second}");
    replicas.stop(standby)?;
    later.recover().await?;
    let index = replicas_index(&later).await?;
    let entry = [&[0xfa, 0x7f, 0][..]].concat();
    let batch = epic_proto::epic::v1::Batch { format: 1, first_index: index + 1, ..Default::default() };
    let mut bytes = batch.encode_to_vec();
    // Field 4 of a batch: an entry with field 2047, which is later than any that is known.
    bytes.extend([0x22, u8::try_from(entry.len())?]);
    bytes.extend(&entry);
    let appended = later.append(later.position() + 1, led.epoch + 2, &bytes).await?;
    ensure!(matches!(appended, Append::Durable(_)), "{appended:?}");
    replicas.cont(standby)?;
    // It finds out at the latest when it writes.
    replicas.post(standby, "/api/v2/platform/stop").await.unwrap_err();
    let why = format!("entry {} is of a kind that this program doesn't know", index + 1);
    stays_up(&replicas, standby, &why).await?;
    replicas.restart(leader)?;
    stays_up(&replicas, leader, &why).await?;
    let session = session(&replicas.zookeeper, "", "/epic").await;
    let nobody = async || {
        let candidates = session.children("/election").await?;
        ensure!(candidates.is_empty(), "they stand for election: {candidates:?}");
        Ok(())
    };
    replicas.until("nobody stands for election", nobody).await?;
    let view = replicas.status(standby).await?;
    ensure!(view.index == index, "it shows what it could read: entry {} of {index}", view.index);
    ensure!(view.mesos.framework_id == before.mesos.framework_id, "{:?}", view.mesos);
    // An entry that somebody made by hand stands for the newer replica's candidate, too.
    session.create("/election/candidate-", b"not json", Kind::Numbered).await?;
    Ok(())
}

/// Reads the last entry's position out of the ring.
async fn replicas_index(ring: &epic_scheduler::journal::ring::Ring) -> Result<u64> {
    let recovered = ring.recover().await?;
    let mut index = 0;
    if let Some(snapshot) = &recovered.snapshot {
        index = epic_scheduler::journal::codec::decode_snapshot(&snapshot.bytes)?.index.0;
    }
    for (_, bytes) in &recovered.batches {
        let (first, entries) = epic_scheduler::journal::codec::decode_batch(bytes)?;
        index = first.0 + u64::try_from(entries.len())? - 1;
    }
    Ok(index)
}

#[tokio::test]
async fn a_replica_whose_servers_take_too_little_says_which_setting() -> Result<()> {
    let zookeeper = ZooKeeper::start_with(&["-Djute.maxbuffer=200000"]).await?;
    let cluster = Cluster::start(ClusterSpec::agents_of(3)).await?;
    let replicas = Replicas::start_on(cluster, zookeeper, &Crew::of(1, 1)).await?;
    stays_up(&replicas, 0, "jute.maxbuffer").await?;
    ensure!(frameworks(&replicas.cluster).await?.is_empty(), "it subscribes all the same");
    Ok(())
}
