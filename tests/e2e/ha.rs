//! Several replicas, one leads: whoever dies, sleeps or is cut off, another goes on, and nothing restarts.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use epic_common::api::PlatformView;
use epic_tests::cluster::{Cluster, Part};
use epic_tests::history::Follower;
use epic_tests::http;
use epic_tests::replicas::{Replicas, SESSION_TIMEOUT};
use epic_tests::spec::ClusterSpec;
use nix::sys::signal::Signal;

use crate::crash::{attempts, frameworks, processes};

/// What must not change.
pub(crate) struct Before {
    pub(crate) framework: String,
    pub(crate) index: u64,
    pub(crate) processes: BTreeMap<String, String>,
}

/// Three replicas whose platform of three members is ready; returns who leads.
pub(crate) async fn three() -> Result<(Replicas, usize, Before)> {
    settled(Replicas::start(Cluster::start(ClusterSpec::agents_of(4)).await?, 3, 2).await?).await
}

/// Waits until a platform of three members is ready; returns who leads.
pub(crate) async fn settled(replicas: Replicas) -> Result<(Replicas, usize, Before)> {
    let view = replicas.until_ready(3).await?;
    let (leader, _) = replicas.until_led(|_| true).await?;
    let framework = view.mesos.framework_id.clone();
    ensure!(!framework.is_empty(), "{view:?}");
    let before = Before { framework, index: view.index, processes: processes(&view).await? };
    Ok((replicas, leader, before))
}

/// Nothing has restarted, no attempt was made, and Mesos knows one framework: the one that it knew.
pub(crate) async fn as_before(replicas: &Replicas, before: &Before) -> Result<()> {
    let view = replicas.until_ready(before.processes.len()).await?;
    ensure!(view.mesos.framework_id == before.framework, "the id has changed: {:?}", view.mesos);
    ensure!(view.index >= before.index, "entry {} is lost, {} is the last", before.index, view.index);
    ensure!(attempts(&view).iter().all(|attempt| *attempt == 1), "{:?}", attempts(&view));
    let after = processes(&view).await?;
    ensure!(before.processes == after, "before {:#?}, after {after:#?}", before.processes);
    let known = frameworks(&replicas.cluster).await?;
    ensure!(known == [before.framework.as_str()], "Mesos knows {known:?}");
    Ok(())
}

/// What the replica that leads is subscribed to is what all others follow: a change at each of them is made once.
pub(crate) async fn takes_changes(replicas: &mut Replicas, before: &mut Before) -> Result<()> {
    replicas.write_platform(3)?;
    let (leader, _) = replicas.until_led(|_| true).await?;
    let standby = (0..3).find(|index| *index != leader).unwrap_or_default();
    replicas.until("a standby takes the change", async || replicas.apply(standby).await.map(drop)).await?;
    let view = replicas.until_ready(4).await?;
    let after = processes(&view).await?;
    ensure!(before.processes.iter().all(|(id, page)| after.get(id) == Some(page)), "{after:#?}");
    ensure!(attempts(&view).iter().all(|attempt| *attempt == 1), "{:?}", attempts(&view));
    before.processes = after;
    Ok(())
}

/// How often Mesos was asked for a subscription, as its master says.
pub(crate) fn subscriptions(replicas: &Replicas) -> usize {
    replicas.cluster.log(Part::Master(0)).matches("Received subscription request").count()
}

/// Finds a metric without labels on the page.
fn metric(page: &str, name: &str) -> Result<f64> {
    let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    Ok(value.with_context(|| format!("no {name} in {page}"))?.parse()?)
}

/// What is the same at every replica.
fn common(mut view: PlatformView) -> PlatformView {
    view.mesos.subscribed = false;
    view.mesos.problem.clear();
    view.waiting.clear();
    view
}

#[tokio::test]
async fn one_of_three_leads_and_each_shows_the_same_and_takes_changes() -> Result<()> {
    let (mut replicas, leader, mut before) = three().await?;
    for index in 0..3 {
        replicas.until("each is ready", async || replicas.ready(index).await).await?;
        let (own, led) = replicas
            .until("each has applied the same entries", async || {
                let (own, led) = (replicas.status(index).await?, replicas.status(leader).await?);
                ensure!(own.index == led.index, "replica {index} is at {}, the leader at {}", own.index, led.index);
                Ok((own, led))
            })
            .await?;
        ensure!(own.mesos.subscribed == (index == leader), "only the leader is subscribed: {:?}", own.mesos);
        ensure!(common(own.clone()) == common(led.clone()), "replica {index} shows {own:#?}, the leader {led:#?}");
    }
    takes_changes(&mut replicas, &mut before).await?;
    let standby = (leader + 1) % 3;
    let refused = http::client().post(format!("{}/api/v2/platform/stop", replicas.url(standby))).send().await?;
    ensure!(refused.status() == 401, "the leader wants the token: {}", refused.status());
    as_before(&replicas, &before).await
}

#[tokio::test]
async fn a_killed_leader_is_followed_by_another_and_nothing_restarts() -> Result<()> {
    let (mut replicas, first, mut before) = three().await?;
    let epoch = replicas.view(first).await?.epoch;
    let killed = Instant::now();
    replicas.kill(first);
    let (second, led) = replicas.until_led(|leader| leader != first).await?;
    let took = killed.elapsed();
    ensure!(took < SESSION_TIMEOUT * 3, "another leads only after {took:?}");
    ensure!(led.epoch > epoch, "epoch {} after {epoch}", led.epoch);
    as_before(&replicas, &before).await?;
    replicas.restart(first)?;
    let (leader, again) = replicas.until_led(|_| true).await?;
    ensure!((leader, again.epoch) == (second, led.epoch), "who comes back stands by: {again:?}");
    replicas.until("who comes back is ready", async || replicas.ready(first).await).await?;
    takes_changes(&mut replicas, &mut before).await?;
    as_before(&replicas, &before).await
}

#[tokio::test]
async fn a_leader_ended_in_good_order_is_followed_by_another_and_nothing_restarts() -> Result<()> {
    let (mut replicas, first, before) = three().await?;
    replicas.terminate(first).await?;
    replicas.until_led(|leader| leader != first).await?;
    as_before(&replicas, &before).await
}

#[tokio::test]
async fn a_leader_that_slept_beyond_its_session_stands_by_and_does_nothing() -> Result<()> {
    let (mut replicas, first, mut before) = three().await?;
    replicas.stop(first)?;
    let (second, led) = replicas.until_led(|leader| leader != first).await?;
    as_before(&replicas, &before).await?;
    let follower = Follower::start(&replicas.zk())?;
    let next_is_subscribed = async || {
        ensure!(replicas.status(second).await?.mesos.subscribed, "not yet");
        Ok(())
    };
    replicas.until("the new leader is subscribed", next_is_subscribed).await?;
    let asked = subscriptions(&replicas);
    replicas.cont(first)?;
    // Only once it answers and stands by, too, is this over.
    let woken = async || {
        let view = replicas.view(first).await?;
        ensure!(view.mode == "standby" && view.caught_up && view.epoch == led.epoch, "{view:?}");
        Ok(())
    };
    replicas.until("who slept stands by", woken).await?;
    let (leader, again) = replicas.until_led(|_| true).await?;
    ensure!((leader, again.epoch) == (second, led.epoch), "the new leader goes on: {again:?}");
    ensure!(replicas.status(second).await?.mesos.subscribed, "the new leader's subscription stands");
    ensure!(subscriptions(&replicas) == asked, "who slept has subscribed again:\n{}", replicas.log(first));
    // No batch in it was written by an epoch after a higher one.
    follower.until(replicas.status(second).await?.index, SESSION_TIMEOUT).await?;
    takes_changes(&mut replicas, &mut before).await?;
    as_before(&replicas, &before).await
}

#[tokio::test]
async fn a_zookeeper_that_comes_back_within_the_session_costs_no_leadership() -> Result<()> {
    let (mut replicas, first, mut before) = three().await?;
    let epoch = replicas.view(first).await?.epoch;
    replicas.zookeeper.kill();
    replicas.zookeeper.restart().await?;
    let (leader, led) = replicas.until_led(|_| true).await?;
    ensure!((leader, led.epoch) == (first, epoch), "the same leader goes on: {led:?}");
    takes_changes(&mut replicas, &mut before).await?;
    let (leader, led) = replicas.until_led(|_| true).await?;
    ensure!((leader, led.epoch) == (first, epoch), "the same leader goes on: {led:?}");
    as_before(&replicas, &before).await
}

#[tokio::test]
async fn while_zookeeper_is_away_for_long_nobody_leads_and_services_run_on() -> Result<()> {
    let (mut replicas, _, mut before) = three().await?;
    replicas.zookeeper.kill();
    let nobody = async || {
        for index in 0..3 {
            let view = replicas.view(index).await?;
            ensure!(view.mode == "standby" && !view.problem.is_empty(), "replica {index}: {view:?}");
        }
        Ok(())
    };
    replicas.until("all stand by and say why", nobody).await?;
    for index in 0..3 {
        let refused = replicas.post(index, "/api/v2/platform/stop").await;
        let text = refused.map_or_else(|error| error.to_string(), |granted| format!("{granted:?}"));
        ensure!(text.starts_with("503"), "replica {index} answers a change: {text}");
        let view = replicas.status(index).await?;
        ensure!(processes(&view).await? == before.processes, "reads and services go on");
    }
    replicas.zookeeper.restart().await?;
    replicas.until_led(|_| true).await?;
    as_before(&replicas, &before).await?;
    takes_changes(&mut replicas, &mut before).await?;
    as_before(&replicas, &before).await
}

#[tokio::test]
async fn a_leader_whose_session_is_over_does_not_pass_for_a_standby() -> Result<()> {
    let replicas = Replicas::start_bare(Cluster::start(ClusterSpec::agents_of(1)).await?, 1).await?;
    replicas.until_led(|_| true).await?;
    replicas.zookeeper.signal(Signal::SIGSTOP)?;
    let (mut behind, mut stood_by) = (0.0, None::<Instant>);
    // Letting the old session go takes a while when nobody answers, and trying another for as long again.
    while stood_by.is_none_or(|since| since.elapsed() < SESSION_TIMEOUT) {
        let shown = replicas.metrics(0).await?;
        let age = metric(&shown, "epic_scheduler_journal_behind_seconds")?;
        ensure!(age >= behind, "it knew of the journal's end meanwhile: {age} s after {behind} s");
        behind = age;
        if metric(&shown, "epic_scheduler_leader")? == 0.0 {
            stood_by.get_or_insert_with(Instant::now);
            ensure!(metric(&shown, "epic_scheduler_caught_up")? == 0.0, "{shown}");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    replicas.zookeeper.signal(Signal::SIGCONT)?;
    replicas.until_led(|_| true).await.map(drop)
}

#[tokio::test]
async fn replicas_that_lost_their_disks_have_all_of_it_from_zookeeper() -> Result<()> {
    let (mut replicas, _, mut before) = three().await?;
    for index in 0..3 {
        replicas.empty(index)?;
    }
    // Whoever makes the journal twice must not lose what is in it.
    replicas.init().await?;
    for index in 0..3 {
        replicas.restart(index)?;
    }
    replicas.until_led(|_| true).await?;
    as_before(&replicas, &before).await?;
    takes_changes(&mut replicas, &mut before).await?;
    as_before(&replicas, &before).await
}

#[tokio::test]
async fn with_zookeeper_async_a_lost_connection_costs_leadership_and_nothing_else() -> Result<()> {
    let mut replicas = Replicas::prepare(Cluster::start(ClusterSpec::agents_of(4)).await?, 3, 2).await?;
    replicas.option("--zk-client", "zookeeper-async");
    replicas.init().await?;
    for index in 0..3 {
        replicas.restart(index)?;
    }
    let view = replicas.until_ready(3).await?;
    let (_, led) = replicas.until_led(|_| true).await?;
    let framework = view.mesos.framework_id.clone();
    let mut before = Before { framework, index: view.index, processes: processes(&view).await? };
    for epoch in led.epoch..led.epoch + 2 {
        replicas.zookeeper.kill();
        replicas.zookeeper.restart().await?;
        let again = async || {
            for index in 0..3 {
                let view = replicas.view(index).await?;
                ensure!(view.caught_up && view.epoch > epoch, "replica {index}: {view:?}");
            }
            Ok(())
        };
        // Nobody has started a replica again, so that each that answers has lived on.
        replicas.until("somebody leads anew", again).await?;
    }
    takes_changes(&mut replicas, &mut before).await?;
    as_before(&replicas, &before).await
}

#[tokio::test]
async fn a_leader_that_hangs_ends_itself_and_is_followed_by_another() -> Result<()> {
    let mut replicas = Replicas::prepare(Cluster::start(ClusterSpec::agents_of(4)).await?, 2, 2).await?;
    replicas.init().await?;
    // Its session lives on, since another thread keeps it alive.
    replicas.env(0, "EPIC_HANG_AT", "running-recorded");
    replicas.restart(0)?;
    replicas.until("the first one leads", async || replicas.leader().await.map(drop)).await?;
    replicas.restart(1)?;
    replicas.until_led(|leader| leader == 1).await?;
    let said = replicas.log(0);
    ensure!(said.contains("the main thread hangs"), "{said}");
    replicas.until_ready(3).await.map(drop)
}
