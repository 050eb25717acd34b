//! Three replicas on three ZooKeeper servers: servers die, links are cut, and a leader wakes that is one no longer.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use epic_tests::cluster::Cluster;
use epic_tests::history::Follower;
use epic_tests::http;
use epic_tests::replicas::{Crew, Replicas};
use epic_tests::spec::ClusterSpec;
use epic_tests::zookeeper::{Pace, ZooKeeper};

use crate::crash::processes;
use crate::ha::{Before, as_before, settled, subscriptions, takes_changes};
use crate::ring::session;

/// Three replicas on three servers, whose platform of three members is ready; returns who leads.
async fn three() -> Result<(Replicas, usize, Before)> {
    let pace = Pace { tick: Duration::from_millis(200), session_max: Duration::from_secs(10) };
    let zookeeper = ZooKeeper::ensemble(3, pace).await?;
    let cluster = Cluster::start(ClusterSpec::agents_of(4)).await?;
    settled(Replicas::start_on(cluster, zookeeper, &Crew::of(3, 2)).await?).await
}

#[tokio::test]
async fn a_killed_zookeeper_server_of_three_costs_no_leadership() -> Result<()> {
    let (mut replicas, first, mut before) = three().await?;
    let epoch = replicas.view(first).await?.epoch;
    // One of them is the one that the leading replica is connected to, and one leads the others.
    for (server, workers) in [(0, 3), (1, 2), (2, 3)] {
        replicas.zookeeper.kill_one(server);
        replicas.write_platform(workers)?;
        replicas.until("a change is granted", async || replicas.apply(first).await.map(drop)).await?;
        let view = replicas.until_ready(usize::try_from(workers)? + 1).await?;
        let (leader, led) = replicas.until_led(|_| true).await?;
        ensure!((leader, led.epoch) == (first, epoch), "without server {server}, {led:?}");
        let after = processes(&view).await?;
        ensure!(before.processes.iter().all(|(id, page)| after.get(id) == Some(page)), "{after:#?}");
        replicas.zookeeper.restart_one(server)?;
        replicas.zookeeper.serve().await?;
    }
    before.processes = processes(&replicas.until_ready(4).await?).await?;
    ensure!(subscriptions(&replicas) == 1, "the subscription stood all the time");
    Ok(())
}

#[tokio::test]
async fn without_a_majority_nobody_leads_and_services_run_on() -> Result<()> {
    let (mut replicas, _, mut before) = three().await?;
    let leader = replicas.zookeeper.leader().await?;
    replicas.zookeeper.kill_one(leader);
    replicas.zookeeper.stop_one((leader + 1) % 3)?;
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
        ensure!(processes(&replicas.status(index).await?).await? == before.processes, "reads and services go on");
    }
    replicas.zookeeper.cont_one((leader + 1) % 3)?;
    replicas.zookeeper.restart_one(leader)?;
    replicas.until_led(|_| true).await?;
    as_before(&replicas, &before).await?;
    takes_changes(&mut replicas, &mut before).await?;
    as_before(&replicas, &before).await
}

#[tokio::test]
async fn a_leader_cut_off_for_a_moment_goes_on_and_one_cut_off_for_long_is_followed() -> Result<()> {
    let (mut replicas, first, mut before) = three().await?;
    let follower = Follower::start(&replicas.zk())?;
    let epoch = replicas.view(first).await?.epoch;
    replicas.relays(first).cut();
    let unsure = async || {
        let view = replicas.view(first).await?;
        ensure!(view.mode != "leading" || !view.problem.is_empty(), "it still leads: {view:?}");
        Ok(())
    };
    replicas.until("who is cut off notices", unsure).await?;
    let other = async || {
        let leader = replicas.leader().await?;
        ensure!(leader != first, "who is cut off leads");
        Ok(leader)
    };
    let second = replicas.until("another leads", other).await?;
    let led = replicas.view(second).await?;
    ensure!(led.epoch > epoch, "epoch {} after {epoch}", led.epoch);
    as_before(&replicas, &before).await?;
    let asked = subscriptions(&replicas);
    replicas.relays(first).mend();
    let back = async || {
        let view = replicas.view(first).await?;
        ensure!(view.mode == "standby" && view.caught_up && view.epoch == led.epoch, "{view:?}");
        Ok(())
    };
    replicas.until("who was cut off stands by", back).await?;

    // Nobody is missed who is silent for less than a session.
    replicas.relays(second).cut();
    tokio::time::sleep(Duration::from_secs(1)).await;
    replicas.relays(second).mend();
    takes_changes(&mut replicas, &mut before).await?;
    let (leader, again) = replicas.until_led(|_| true).await?;
    ensure!((leader, again.epoch) == (second, led.epoch), "the same leader goes on: {again:?}");
    ensure!(subscriptions(&replicas) == asked, "nobody has subscribed since");
    follower.until(replicas.status(second).await?.index, Duration::from_secs(10)).await?;
    as_before(&replicas, &before).await
}

#[tokio::test]
async fn what_a_leader_that_was_deposed_in_its_sleep_appends_is_refused() -> Result<()> {
    let (replicas, first, before) = three().await?;
    let follower = Follower::start(&replicas.zk())?;
    let epoch = replicas.view(first).await?.epoch;
    let zookeeper = session(&replicas.zookeeper, "", "/epic").await;
    let mut candidates = zookeeper.children("/election").await?;
    candidates.sort();
    replicas.stop(first)?;
    // Its session is alive when it wakes, so that nothing but the journal can tell it that another one leads.
    zookeeper.delete(&format!("/election/{}", candidates.first().context("somebody leads")?)).await?;
    let led = replicas.until_led(|leader| leader != first).await?.1;
    let subscribed = async || {
        let view = replicas.status(replicas.leader().await?).await?;
        ensure!(view.mesos.subscribed, "{:?}", view.mesos);
        Ok(())
    };
    replicas.until("the next leader is subscribed", subscribed).await?;
    let asked = subscriptions(&replicas);
    let key = "asked-of-a-sleeper";
    replicas.write_platform(1)?;
    let change = replicas.apply_with(first, key);
    let (granted, woken) = tokio::join!(change, async {
        // The request waits in its socket.
        tokio::time::sleep(Duration::from_millis(200)).await;
        replicas.cont(first)
    });
    woken?;
    let refused = "another replica has written to the journal";
    let said = async || {
        ensure!(replicas.log(first).contains(refused), "it says nothing");
        Ok(())
    };
    replicas.until("its append is refused", said).await?;
    let back = async || {
        let view = replicas.view(first).await?;
        ensure!(view.mode == "standby" && view.caught_up && view.epoch == led.epoch, "{view:?}");
        Ok(())
    };
    replicas.until("who slept stands by", back).await?;
    ensure!(granted.is_err(), "it has granted {granted:?} though it leads no more");
    ensure!(subscriptions(&replicas) == asked, "a SUBSCRIBE has reached Mesos");
    follower.until(replicas.status(first).await?.index, Duration::from_secs(10)).await?;
    ensure!(follower.history().state().granted(key).is_none(), "epoch {epoch} has written after epoch {}", led.epoch);
    as_before(&replicas, &before).await
}

#[tokio::test]
async fn replicas_whose_clocks_are_an_hour_off_do_no_harm() -> Result<()> {
    let faketime = epic_tests::kit::faketime()?;
    let cluster = Cluster::start(ClusterSpec::agents_of(4)).await?;
    let mut replicas = Replicas::prepare(cluster, 3, 2).await?;
    for (index, offset) in [(0, "+3600s"), (1, "-3600s")] {
        replicas.env(index, "LD_PRELOAD", &faketime.display().to_string());
        replicas.env(index, "FAKETIME", offset);
        replicas.env(index, "FAKETIME_DONT_FAKE_MONOTONIC", "1");
    }
    replicas.init().await?;
    let follower = Follower::start(&replicas.zk())?;
    for index in 0..3 {
        replicas.restart(index)?;
        replicas.until("it takes part", async || replicas.view(index).await.map(drop)).await?;
    }
    let (mut replicas, first, mut before) = settled(replicas).await?;
    let (mut leader, mut led) = (first, Vec::new());
    while !led.contains(&leader) {
        led.push(leader);
        replicas.kill(leader);
        let (next, _) = replicas.until_led(|next| next != leader).await?;
        as_before(&replicas, &before).await?;
        replicas.restart(leader)?;
        leader = next;
    }
    ensure!(led.len() >= 2, "only {led:?} have led");
    takes_changes(&mut replicas, &mut before).await?;
    as_before(&replicas, &before).await?;
    follower.until(replicas.status(leader).await?.index, Duration::from_secs(10)).await?;
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed()?;
    let last = follower.history().state().at.since(epic_common::time::Timestamp(0));
    ensure!(now.abs_diff(last) < Duration::from_secs(600), "the journal's time is {last:?} at {now:?}");
    http::get(&format!("{}/readyz", replicas.url(leader))).await.map(drop)
}
