//! What a replica's own disk is good for: it shows what it holds at once, is made anew when it is damaged, and is proof
//! of what ZooKeeper must have.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use epic_common::api::PlatformView;
use epic_tests::cluster::Cluster;
use epic_tests::replicas::Replicas;
use epic_tests::spec::ClusterSpec;

use crate::crash::{attempts, frameworks, processes};
use crate::identity::stays_up;

/// One replica with two members; returns what it shows, and what its services say of themselves.
async fn one() -> Result<(Replicas, PlatformView, BTreeMap<String, String>)> {
    let replicas = Replicas::start(Cluster::start(ClusterSpec::agents_of(4)).await?, 1, 1).await?;
    let view = replicas.until_ready(2).await?;
    let pages = processes(&view).await?;
    Ok((replicas, view, pages))
}

async fn as_before(replicas: &Replicas, pages: &BTreeMap<String, String>) -> Result<()> {
    replicas.until_led(|_| true).await?;
    let view = replicas.until_ready(pages.len()).await?;
    ensure!(attempts(&view).iter().all(|attempt| *attempt == 1), "{:?}", attempts(&view));
    ensure!(processes(&view).await? == *pages, "a service has restarted");
    ensure!(frameworks(&replicas.cluster).await? == [view.mesos.framework_id.as_str()], "{:?}", view.mesos);
    Ok(())
}

/// Ends a replica in good order, so that its copy is complete.
async fn end(replicas: &mut Replicas) -> Result<()> {
    replicas.terminate(0).await
}

#[tokio::test]
async fn a_replica_shows_what_its_disk_holds_while_zookeeper_is_away() -> Result<()> {
    let (mut replicas, view, pages) = one().await?;
    end(&mut replicas).await?;
    replicas.zookeeper.kill();
    replicas.restart(0)?;
    stays_up(&replicas, 0, "ZooKeeper").await?;
    let shown = replicas.status(0).await?;
    ensure!(shown.index >= view.index, "entry {} is lost, it shows {}", view.index, shown.index);
    let ids = |view: &PlatformView| view.instances.iter().map(|member| member.task.clone()).collect::<Vec<_>>();
    ensure!(ids(&shown) == ids(&view), "{shown:?}");
    replicas.zookeeper.restart().await?;
    as_before(&replicas, &pages).await
}

#[tokio::test]
async fn a_copy_that_is_damaged_is_set_aside_and_made_anew() -> Result<()> {
    let (mut replicas, _, pages) = one().await?;
    end(&mut replicas).await?;
    let file = replicas.state_dir(0).join("store/db");
    let mut bytes = fs::read(&file).with_context(|| format!("there is no {}", file.display()))?;
    let middle = bytes.len() / 2;
    bytes.iter_mut().skip(middle.min(64)).step_by(97).for_each(|byte| *byte ^= 0x5a);
    fs::write(&file, bytes)?;
    replicas.restart(0)?;
    as_before(&replicas, &pages).await?;
    let aside = replicas.state_dir(0).join("store.damaged-1");
    ensure!(aside.is_dir(), "it is not set aside:\n{}", replicas.log(0));
    let whole = async || {
        let text = replicas.metrics(0).await?;
        ensure!(
            text.contains("epic_scheduler_store_sick 0") && text.contains("epic_scheduler_store_lag_batches 0"),
            "{text}"
        );
        Ok(())
    };
    replicas.until("the copy is whole again", whole).await
}

#[tokio::test]
async fn a_replica_whose_copy_is_ahead_of_zookeeper_stands_still_and_goes_on_once_that_is_mended() -> Result<()> {
    let (mut replicas, _, _) = one().await?;
    let keep = |replicas: &Replicas, name: &str| -> Result<PathBuf> {
        let kept = replicas.cluster.work_dir().join(name);
        copy(&replicas.zookeeper.data(0), &kept)?;
        Ok(kept)
    };
    replicas.zookeeper.kill();
    let old = keep(&replicas, "old")?;
    replicas.zookeeper.restart().await?;
    replicas.write_platform(2)?;
    replicas.until_led(|_| true).await?;
    replicas.until("the change is taken", async || replicas.apply(0).await.map(drop)).await?;
    let view = replicas.until_ready(3).await?;
    let pages = processes(&view).await?;
    end(&mut replicas).await?;
    replicas.zookeeper.kill();
    let new = keep(&replicas, "new")?;
    let put = |replicas: &Replicas, kept: &PathBuf| -> Result<()> {
        fs::remove_dir_all(replicas.zookeeper.data(0))?;
        copy(kept, &replicas.zookeeper.data(0))
    };
    put(&replicas, &old)?;
    replicas.zookeeper.restart().await?;
    replicas.restart(0)?;
    stays_up(&replicas, 0, "was restored or lost something").await?;
    ensure!(replicas.status(0).await?.index >= view.index, "it shows what it holds");
    // Without its copy it still knows how far that went.
    let (store, kept) = (replicas.state_dir(0).join("store"), replicas.state_dir(0).join("kept"));
    end(&mut replicas).await?;
    fs::rename(&store, &kept)?;
    replicas.restart(0)?;
    stays_up(&replicas, 0, "was restored or lost something").await?;
    end(&mut replicas).await?;
    fs::rename(&kept, &store)?;
    replicas.restart(0)?;
    stays_up(&replicas, 0, "was restored or lost something").await?;
    // Whoever restores the right backup needs to restart nothing.
    replicas.zookeeper.kill();
    put(&replicas, &new)?;
    replicas.zookeeper.restart().await?;
    as_before(&replicas, &pages).await
}

fn copy(from: &PathBuf, to: &PathBuf) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy(&path, &target)?;
        } else {
            fs::copy(&path, &target)?;
        }
    }
    Ok(())
}
