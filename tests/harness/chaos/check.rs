//! What must be so once everything has been healed, within a bound.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use epic_common::api::PlatformView;
use epic_scheduler_core::state::deployment::Run;

use super::{SERVERS, Stage};
use crate::history::{Acknowledged, Follower, History, Pages, same_world};
use crate::{http, wait};

#[derive(Debug)]
pub(super) struct Checker {
    follower: Follower,
    pages: Pages,
    /// Of what was told, so much has been checked.
    checked: usize,
}

/// What every replica shows.
struct Shown {
    view: PlatformView,
    index: u64,
}

impl Checker {
    pub(super) fn start(stage: &Stage) -> Result<Self> {
        let follower = Follower::start(&stage.replicas.zk())?;
        Ok(Self { follower, pages: Pages::default(), checked: 0 })
    }

    pub(super) fn history(&self) -> impl std::ops::Deref<Target = History> {
        self.follower.history()
    }

    /// Where it stands, in words.
    pub(super) fn sum(&self) -> String {
        let history = self.follower.history();
        format!("epoch {}, entry {}, {} launches", history.state().epoch(), history.state().index.0, history.launches())
    }

    /// Waits until one replica leads, all are at one entry, and platform and Mesos are what the journal says.
    ///
    /// # Errors
    /// They aren't in time, a replica has ended by itself, or a service has restarted.
    pub(super) async fn settled(&mut self, stage: &mut Stage) -> Result<()> {
        stage.replicas.zookeeper.serve().await?;
        let settled = wait::until("all is at rest as the journal says", SETTLED_WITHIN, async || {
            // A master that has lost its session ends by itself.
            stage.replicas.cluster.revive_masters()?;
            for index in 0..usize::from(SERVERS) {
                if let Some(status) = stage.replicas.ended(index)? {
                    return Ok(Err(anyhow::anyhow!("replica {} has ended by itself: {status}", index + 1)));
                }
            }
            let shown = agreed(stage).await?;
            if let Err(error) = self.follower.check() {
                return Ok(Err(error));
            }
            self.follower.until(shown.index, Duration::from_secs(2)).await?;
            let (framework, running) = self.expected(&shown)?;
            same_as(stage, &framework, &running).await?;
            stage.replicas.cluster.is_whole().await?;
            Ok(Ok(shown))
        });
        let shown = settled.await??;
        self.pages.look(&shown.view).await
    }

    /// Compares what replicas show with the journal; returns framework and running tasks.
    fn expected(&self, shown: &Shown) -> Result<(String, Vec<String>)> {
        let Shown { view, index } = shown;
        let history = self.follower.history();
        let state = history.state();
        ensure!(state.index.0 == *index, "the journal is at entry {}, replicas at {index}", state.index.0);
        let framework = state.identity.framework.as_ref().context("no framework is chosen")?.to_string();
        ensure!(view.mesos.framework_id == framework, "replicas show the framework {:?}", view.mesos);
        let wanted = state.units.all.iter().filter(|(_, instance)| instance.wanted);
        let live = wanted.map(|(id, instance)| {
            let live = instance.live.as_ref().with_context(|| format!("{id} has no attempt"))?;
            Ok(live.to_string())
        });
        let live = live.collect::<Result<Vec<_>>>()?;
        let running = history.running();
        ensure!(live == running, "{live:?} are wanted, {running:?} run");
        let phase = if state.run() == Run::Running { "ready" } else { "stopped" };
        ensure!(view.phase == phase, "the platform is {}, not {phase}", view.phase);
        let ready = view.instances.iter().filter(|member| member.phase == "ready").map(|member| member.task.clone());
        let mut ready: Vec<_> = ready.collect();
        ready.sort();
        ensure!(ready == running, "{ready:?} are ready, {running:?} run");
        Ok((framework, running))
    }

    /// Checks that whatever people were told is in the journal.
    ///
    /// # Errors
    /// Something isn't.
    pub(super) fn told(&mut self, told: &[Acknowledged]) -> Result<()> {
        let history = self.follower.history();
        told.iter().skip(self.checked).try_for_each(|one| history.holds(one))?;
        self.checked = told.len();
        Ok(())
    }
}

/// One replica leads, and all show the same entry.
async fn agreed(stage: &Stage) -> Result<Shown> {
    let replicas = &stage.replicas;
    let leader = replicas.leader().await?;
    let (led, view) = (replicas.view(leader).await?, replicas.status(leader).await?);
    ensure!(view.mesos.subscribed, "the leader isn't subscribed: {:?}", view.mesos);
    for index in 0..usize::from(SERVERS) {
        let (own, shown) = (replicas.view(index).await?, replicas.status(index).await?);
        let follows = own.epoch == led.epoch && own.leader.as_deref() == Some(replicas.url(leader));
        ensure!(own.caught_up && follows, "replica {}: {own:?}, while {led:?}", index + 1);
        ensure!(shown.index == view.index, "replica {} is at {}, the leader at {}", index + 1, shown.index, view.index);
        replicas.ready(index).await?;
    }
    let index = view.index;
    Ok(Shown { view, index })
}

async fn same_as(stage: &Stage, framework: &str, running: &[String]) -> Result<()> {
    let cluster = &stage.replicas.cluster;
    let frameworks = http::get_json(&format!("http://{}/frameworks", cluster.master_addr())).await?;
    same_world(framework, running, &frameworks, &cluster.tasks().await?)
}

const SETTLED_WITHIN: Duration = Duration::from_secs(60);
