//! Replicas that come back at another address, as under Marathon, are found by all: replicas, agents and executors.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Result, ensure};
use epic_common::backoff::scramble;
use epic_common_io::bundle;
use epic_tests::cluster::Cluster;
use epic_tests::epic::{copy_tree, repository};
use epic_tests::replicas::Replicas;
use epic_tests::spec::ClusterSpec;
use epic_tests::valve::Valve;

use crate::artifacts::{apply, epicctl, holds, name_by_digest, pushed};
use crate::crash::{attempts, frameworks, processes};

#[tokio::test]
async fn replicas_that_come_back_elsewhere_with_empty_disks_are_found_by_all() -> Result<()> {
    let (mut replicas, first, sha256) = pushed().await?;
    name_by_digest(&replicas, &sha256, 1)?;
    apply(&replicas, first).await?;
    let view = replicas.until_ready(2).await?;
    let (framework, before) = (view.mesos.framework_id.clone(), processes(&view).await?);
    let old: BTreeSet<_> = (0..3).map(|index| replicas.url(index).to_owned()).collect();
    // The leader last: it must follow those who have moved before it is followed itself.
    for index in [(first + 1) % 3, (first + 2) % 3, first] {
        replicas.empty(index)?;
        replicas.rehome(index, None)?;
        replicas.restart(index)?;
        replicas.until("who has moved is ready", async || replicas.ready(index).await).await?;
        replicas.until("it has fetched the bundle", async || holds(&replicas, index, &sha256).await).await?;
    }
    let (leader, led) = replicas.until_led(|_| true).await?;
    ensure!((0..3).all(|index| !old.contains(replicas.url(index))), "{old:?}");
    ensure!(led.leader.as_deref().is_some_and(|leader| !old.contains(leader)), "{led:?}");
    let view = replicas.until_ready(2).await?;
    ensure!(view.mesos.framework_id == framework && attempts(&view) == [1, 1], "{view:?}");
    ensure!(processes(&view).await? == before, "nothing restarts");

    name_by_digest(&replicas, &sha256, 2)?;
    let standby = (leader + 1) % 3;
    replicas.until("a standby takes the change", async || apply(&replicas, standby).await).await?;
    let view = replicas.until_ready(3).await?;
    ensure!(attempts(&view) == [1, 1, 1], "the launch went well at once: {:?}", attempts(&view));
    let after = processes(&view).await?;
    ensure!(before.iter().all(|(id, page)| after.get(id) == Some(page)), "{before:#?}, then {after:#?}");
    ensure!(frameworks(&replicas.cluster).await? == [framework], "one framework");
    Ok(())
}

/// Three replicas, each behind a valve that holds up the bundle, whose platform of two members is being fetched from the
/// leader; answers who leads.
async fn fetching() -> Result<(Replicas, Vec<Option<Valve>>, usize)> {
    let mut replicas = Replicas::start_bare(Cluster::start(ClusterSpec::agents_of(4)).await?, 3).await?;
    let source = replicas.cluster.work_dir().join("large");
    copy_tree(&repository("tests/fixtures/probe-platform"), &source)?;
    // What can't be compressed.
    let noise: Vec<u8> = (0..NOISE / 8).flat_map(|at| scramble(at).to_le_bytes()).collect();
    fs::write(source.join("payload/fill"), noise)?;
    let file = replicas.cluster.work_dir().join("large.bin");
    let sha256 = bundle::build(&source, &file)?.digest.to_string();
    let mut valves = Vec::new();
    for index in 0..3 {
        let front = replicas.cluster.network().free(230 + u8::try_from(index)?)?;
        let back = replicas.rehome(index, Some(format!("http://{front}")))?;
        valves.push(Some(Valve::before(front, back, &sha256, NOISE / 4).await?));
        replicas.restart(index)?;
    }
    let (leader, _) = replicas.until_led(|_| true).await?;
    let push = async || {
        let said = epicctl(&replicas, leader, &["bundle", "push", &file.display().to_string()]).await?;
        ensure!(said.ends_with("held by 3 of 3 replicas\n"), "{said}");
        Ok(())
    };
    replicas.until("all replicas hold the bundle", push).await?;
    name_by_digest(&replicas, &sha256, 1)?;
    apply(&replicas, leader).await?;
    held(&replicas, &valves, leader).await?;
    Ok((replicas, valves, leader))
}

/// Waits until both members' fetches are held up at one replica.
async fn held(replicas: &Replicas, valves: &[Option<Valve>], index: usize) -> Result<()> {
    let both = async || {
        let held: Vec<_> = valves.iter().map(|valve| valve.as_ref().map_or(0, Valve::held)).collect();
        ensure!(held.get(index) == Some(&2), "{held:?} are held up");
        Ok(())
    };
    replicas.until("the bundle is being fetched", both).await
}

#[tokio::test]
async fn who_fetches_goes_on_from_another_replica_and_finds_those_that_have_moved_within_its_attempt() -> Result<()> {
    let (mut replicas, mut valves, first) = fetching().await?;
    // The leader dies in the midst of it: the next that the order names is asked, which holds it up, too.
    replicas.kill(first);
    valves[first] = None;
    let others = [(first + 1) % 3, (first + 2) % 3];
    let both = async || {
        let held: usize = others.iter().map(|index| valves[*index].as_ref().map_or(0, Valve::held)).sum();
        ensure!(held == 2, "{held} are held up");
        Ok(())
    };
    replicas.until("the bundle is being fetched from another replica", both).await?;
    // Now nobody is left where the orders say.
    for index in 0..3 {
        replicas.rehome(index, None)?;
    }
    drop(valves);
    for index in 0..3 {
        replicas.restart(index)?;
    }
    let view = replicas.until_ready(2).await?;
    ensure!(attempts(&view) == [1, 1], "no attempt was lost: {:?}", attempts(&view));
    Ok(())
}

/// More than what sockets and pipes hold on the way.
const NOISE: u64 = 32 << 20;
