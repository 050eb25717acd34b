//! Takes the leader away by its container and by its network, and looks whether anybody but the next leader notices.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use epic_common::api::PlatformView;
use epic_tests::wait;
use tokio::time::Instant;

use super::scene::{Composed, REPLICAS, docker};
use crate::screen::{Screen, seconds};

/// Checks both, and that all replicas are healthy again afterwards.
///
/// # Errors
/// The first thing that isn't as it should be.
pub(super) async fn all(screen: &Screen, composed: &Composed, before: &PlatformView) -> Result<()> {
    all_healthy(composed).await?;
    screen.say("checked: all three replicas are healthy");

    let (first, _) = composed.leader().await?;
    let container = composed.container(&format!("replica{first}"))?;
    let begin = Instant::now();
    docker(&["kill", &container])?;
    let second = another(composed, first, before).await?;
    screen.say(&format!(
        "checked: replica {second} leads {} s after replica {first} was killed, the same framework, nothing restarted",
        seconds(begin.elapsed())
    ));
    docker(&["start", &container])?;
    all_healthy(composed).await?;

    let container = composed.container(&format!("replica{second}"))?;
    let begin = Instant::now();
    docker(&["network", "disconnect", &composed.network(), &container])?;
    let third = another(composed, second, before).await?;
    screen.say(&format!(
        "checked: replica {third} leads {} s after replica {second} lost its network, the same framework, nothing restarted",
        seconds(begin.elapsed())
    ));
    docker(&["network", "connect", "--alias", &format!("replica{second}"), &composed.network(), &container])?;
    all_healthy(composed).await?;
    ensure!(composed.leader().await?.0 == third, "who came back has taken over");
    screen.say("checked: who was cut off is back, stands by and is healthy");
    Ok(())
}

/// Waits until another replica than `old` leads and shows the platform as it was.
async fn another(composed: &Composed, old: usize, before: &PlatformView) -> Result<usize> {
    wait::until("another replica leads", FAILOVER, async || {
        for replica in REPLICAS.filter(|replica| *replica != old) {
            if composed.leader_view(replica).await?.mode != "leading" {
                continue;
            }
            let view = composed.platform(replica).await?;
            ensure!(view.mesos.subscribed && view.mesos.framework_id == before.mesos.framework_id, "{:?}", view.mesos);
            let members = |view: &PlatformView| {
                let members = view.instances.iter().map(|member| {
                    let restarts = member.services.iter().map(|service| service.restarts).sum::<u32>();
                    (member.id.clone(), member.phase.clone(), member.task.clone(), restarts)
                });
                members.collect::<Vec<_>>()
            };
            ensure!(members(&view) == members(before), "before {:?}, now {:?}", members(before), members(&view));
            return Ok(replica);
        }
        bail!("nobody leads")
    })
    .await
}

/// Waits until the engine calls all replicas healthy, and all know one leader.
async fn all_healthy(composed: &Composed) -> Result<()> {
    wait::until("all replicas are healthy", HEALTHY, async || {
        let (_, led) = composed.leader().await?;
        for replica in REPLICAS {
            let container = composed.container(&format!("replica{replica}"))?;
            let health = docker(&["inspect", "--format", "{{.State.Health.Status}}", &container])?;
            ensure!(health == "healthy", "replica {replica} is {health}");
            let view = composed.leader_view(replica).await.with_context(|| format!("replica {replica}"))?;
            ensure!(view.leader == led.leader && view.caught_up, "replica {replica}: {view:?}");
        }
        Ok(())
    })
    .await
}

const FAILOVER: Duration = Duration::from_secs(60);
const HEALTHY: Duration = Duration::from_secs(90);
