//! Kills the leader, and looks whether anybody but the next leader has noticed.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use epic_common::api::PlatformView;
use epic_tests::epic::endpoint;
use epic_tests::{http, wait};

use super::{COUNT, Replicated};
use crate::screen::{Screen, seconds};

/// Checks that another replica leads when the leader is killed, under the same framework id, and nothing restarts.
///
/// # Errors
/// The first thing that isn't as it should be.
pub(super) async fn all(stage: &mut Replicated, screen: &Screen, view: &PlatformView) -> Result<()> {
    let before = wait::until("all services answer", LIMIT, async || starts(view).await).await?;
    let framework = view.mesos.framework_id.clone();
    let (first, led) = stage.replicas.until_led(|_| true).await?;
    let pid = stage.replicas.pid(first).context("the leader has ended")?;
    screen.say(&format!("killing replica {}, process {pid}, which leads in epoch {}", first + 1, led.epoch));
    let killed = tokio::time::Instant::now();
    stage.replicas.kill(first);
    let (second, next) = stage.replicas.until_led(|leader| leader != first).await?;
    let took = seconds(killed.elapsed());
    ensure!(next.epoch > led.epoch, "epoch {} after {}", next.epoch, led.epoch);
    screen.say(&format!("checked: replica {} leads in epoch {}, {took} s after the kill", second + 1, next.epoch));
    same(stage, &framework).await?;
    screen.say(&format!("checked: Mesos knows one framework, still {framework}"));
    unchanged(stage, &before).await?;
    screen.say("checked: every service is the same process as before, in its first attempt");
    stage.replicas.restart(first)?;
    let (leader, _) = stage.replicas.until_led(|_| true).await?;
    stage.replicas.until("who was killed is of use again", async || stage.replicas.ready(first).await).await?;
    ensure!(leader == second, "replica {} leads, since one came back", leader + 1);
    screen.say(&format!("checked: replica {} is back and stands by", first + 1));
    Ok(())
}

/// Waits until Mesos and all replicas that run show this framework alone, subscribed.
async fn same(stage: &Replicated, framework: &str) -> Result<()> {
    stage
        .replicas
        .until("the next leader is subscribed", async || {
            let (leader, state) = (stage.replicas.leader().await?, stage.replicas.cluster.state().await?);
            let view = stage.replicas.status(leader).await?;
            ensure!(view.mesos.subscribed && view.mesos.framework_id == framework, "{:?}", view.mesos);
            let lists = [&state["frameworks"], &state["completed_frameworks"]];
            let known = lists.into_iter().flat_map(|list| list.as_array().into_iter().flatten());
            let known: Vec<_> = known.filter_map(|known| known["id"].as_str()).collect();
            ensure!(known == [framework], "Mesos knows {known:?}");
            ensure!(state["frameworks"][0]["active"] == true, "Mesos says that it isn't active");
            Ok(())
        })
        .await
}

async fn unchanged(stage: &Replicated, before: &BTreeMap<String, String>) -> Result<()> {
    for index in 0..COUNT {
        // The one that was killed gives no answer.
        let Ok(view) = stage.replicas.status(index).await else { continue };
        ensure!(view.phase == "ready", "replica {} says that the platform is {}", index + 1, view.phase);
        let attempts: Vec<_> = view.instances.iter().map(|member| member.attempt).collect();
        ensure!(attempts.iter().all(|attempt| *attempt == 1), "replica {} shows attempts {attempts:?}", index + 1);
        let restarts = view.instances.iter().flat_map(|member| &member.services).map(|service| service.restarts);
        ensure!(restarts.sum::<u32>() == 0, "replica {} shows restarts of services", index + 1);
        let after = starts(&view).await?;
        ensure!(after == *before, "before {before:?}, after {after:?}");
    }
    Ok(())
}

/// When the process of each member's first service began, as it says itself.
///
/// Source: Prometheus' client libraries, `process_start_time_seconds`.
async fn starts(view: &PlatformView) -> Result<BTreeMap<String, String>> {
    let mut starts = BTreeMap::new();
    for member in &view.instances {
        let mut url = reqwest::Url::parse(&endpoint(view, &member.id)?)?;
        url.set_path("/metrics");
        let page = http::get(url.as_str()).await?;
        let start = page.lines().find_map(|line| line.strip_prefix("process_start_time_seconds "));
        let start = start.with_context(|| format!("{url} doesn't say when its process began"))?;
        starts.insert(member.id.clone(), start.to_owned());
    }
    Ok(starts)
}

const LIMIT: Duration = Duration::from_secs(30);
