//! What the machine or Mesos deny a scheduler while it runs: it says so, and goes on where it was.

use std::fs::{self, File};
use std::io::Write as _;

use anyhow::{Result, ensure};
use epic_tests::cluster::{Cluster, Part};
use epic_tests::epic::{Epic, PATIENCE};
use epic_tests::place::Mount;
use epic_tests::spec::ClusterSpec;
use epic_tests::{http, wait};

use crate::crash::{nothing_restarts, processes};

/// A disk that can't be written.
const IO: i32 = 74;

/// Writes until nothing fits any more.
fn fill(path: &std::path::Path) -> Result<()> {
    let mut file = File::create(path)?;
    for size in [1 << 20, 1 << 10, 1] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
    ensure!(file.write(&[0]).is_err(), "the disk isn't full");
    Ok(())
}

#[tokio::test]
async fn a_disk_that_fills_up_ends_it_and_once_there_is_space_it_goes_on() -> Result<()> {
    let mut epic = Epic::probe(Cluster::start(ClusterSpec::agents_of(3)).await?, 2)?;
    let _mount = Mount::new(&epic.state_dir(), 128 << 20)?;
    epic.start()?;
    let view = epic.until_ready(3).await?;
    let before = processes(&view).await?;
    let ballast = epic.state_dir().join("ballast");
    fill(&ballast)?;
    // What is left of the last page takes a few entries more.
    let mut refused = Vec::new();
    for workers in (3..5).cycle().take(100) {
        epic.write_platform(&epic.bin(), workers)?;
        if let Err(error) = epic.apply().await {
            refused.push(format!("{error:#}"));
            break;
        }
    }
    let status = epic.ended().await?;
    let log = epic.log();
    ensure!(status.code() == Some(IO), "{status}: {log}");
    let last = log.lines().filter_map(|line| line.strip_prefix("epic-scheduler: ")).next_back().unwrap_or_default();
    let wanted =
        ["cannot append batch ", "the disk is full: free some space and start again, nothing that was durable is lost"];
    ensure!(wanted.iter().all(|part| last.contains(part)), "{last}\n{refused:?}");
    ensure!(processes(&view).await? == before, "services go on without a scheduler");

    epic.start()?;
    ensure!(epic.ended().await?.code() == Some(IO), "it can't start before there is space: {}", epic.log_tail());
    fs::remove_file(&ballast)?;
    epic.write_platform(&epic.bin(), 2)?;
    epic.start()?;
    epic.until("it answers again", PATIENCE, |_| Ok(())).await?;
    epic.apply().await?;
    nothing_restarts(&mut epic, &before).await?;
    let after = epic.status().await?;
    ensure!(after.mesos.framework_id == view.mesos.framework_id, "the id has changed");
    Ok(())
}

#[tokio::test]
async fn a_master_that_is_not_there_yet_is_waited_for_with_one_warning() -> Result<()> {
    let mut epic = Epic::probe(Cluster::start(ClusterSpec::agents_of(2)).await?, 1)?;
    epic.cluster.kill(Part::Master(0));
    epic.env("EPIC_LOG", "info,epic_scheduler::actors::link=debug");
    epic.start()?;
    let url = format!("{}/readyz", epic.url());
    wait::until("some tries have failed", PATIENCE, async || {
        let again = epic.log().lines().filter(|line| line.contains("still no subscription")).count();
        ensure!(again >= 2, "{again} tries after the first have failed");
        Ok(())
    })
    .await?;
    let answer = http::client().get(&url).send().await?;
    let (status, text) = (answer.status(), answer.text().await?);
    let wanted = ["not subscribed to Mesos, but trying again: cannot reach master http://", "Connection refused"];
    ensure!(status == 503 && wanted.iter().all(|part| text.contains(part)), "{status}: {text}");
    let view = epic.status().await?;
    ensure!(!view.mesos.subscribed && view.mesos.problem.contains("Connection refused"), "{:?}", view.mesos);
    ensure!(view.waiting.iter().any(|text| text.contains("cannot reach master")), "{:?}", view.waiting);
    let log = epic.log();
    let warnings: Vec<_> = log.lines().filter(|line| line.contains("WARN")).collect();
    ensure!(warnings.len() == 1 && warnings[0].contains("no subscription"), "one warning a change: {warnings:#?}");
    epic.cluster.restart(Part::Master(0))?;
    epic.cluster.agents_active().await?;
    epic.until_ready(2).await?;
    ensure!(http::get(&url).await? == "ready\n", "it is ready");
    Ok(())
}
