//! What somebody else has written where replicas read: nobody panics, each says what is wrong, and the right bytes mend it.

use anyhow::{Result, ensure};
use epic_scheduler::zookeeper::Kind;
use epic_tests::cluster::Cluster;
use epic_tests::replicas::Replicas;
use epic_tests::spec::ClusterSpec;

use crate::identity::stays_up;
use crate::ring::session;

#[tokio::test]
async fn a_stray_node_among_the_candidates_keeps_nobody_from_leading() -> Result<()> {
    let mut replicas = Replicas::start(Cluster::start(ClusterSpec::agents_of(3)).await?, 2, 1).await?;
    replicas.until_ready(2).await?;
    let (first, _) = replicas.until_led(|_| true).await?;
    let session = session(&replicas.zookeeper, "", "/epic").await;
    session.create("/election/candidate-00000000000000", b"junk", Kind::Lasting).await?;
    session.create("/election/other", b"junk", Kind::Lasting).await?;
    replicas.terminate(first).await?;
    replicas.until_led(|leader| leader != first).await?;
    replicas.until_ready(2).await?;
    replicas.restart(first)?;
    replicas.until("who comes back is ready", async || replicas.ready(first).await).await
}

#[tokio::test]
async fn a_pointer_that_cannot_be_true_is_named_and_believed_by_nobody() -> Result<()> {
    let mut replicas = Replicas::start(Cluster::start(ClusterSpec::agents_of(3)).await?, 1, 1).await?;
    replicas.until_ready(2).await?;
    let session = session(&replicas.zookeeper, "", "/epic").await;
    let right = session.read("/snapshot").await?.bytes;
    replicas.empty(0)?;
    for wrong in [
        r#"{"batch":18446744073709551615,"name":"x","chunks":0,"bytes":0,"crc32":0}"#,
        r#"{"batch":2300000000000,"name":"x","chunks":0,"bytes":0,"crc32":0}"#,
        r#"{"batch":5,"name":"x","chunks":4294967295,"bytes":10,"crc32":0}"#,
        "{",
        "[]",
    ] {
        session.write("/snapshot", wrong.as_bytes(), None).await?;
        replicas.restart(0)?;
        stays_up(&replicas, 0, "the pointer to the snapshot").await?;
        // Ended in good order: whoever had panicked would not.
        replicas.terminate(0).await?;
    }
    replicas.restart(0)?;
    stays_up(&replicas, 0, "the pointer to the snapshot").await?;
    session.write("/snapshot", &right, None).await?;
    replicas.until_led(|_| true).await?;
    let view = replicas.until_ready(2).await?;
    ensure!(view.instances.iter().all(|instance| instance.attempt == 1), "{:?}", view.instances);
    Ok(())
}
