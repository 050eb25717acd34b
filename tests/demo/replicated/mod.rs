//! Three replicas of the scheduler on three ZooKeeper servers, three Mesos masters and three agents.

mod check;
mod guide;

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context as _, Result};
use epic_common::api::{LeaderView, PlatformView};
use epic_tests::cluster::{Cluster, Part};
use epic_tests::epic::built;
use epic_tests::process::tail;
use epic_tests::replicas::{Crew, Replicas};
use epic_tests::spec::ClusterSpec;
use epic_tests::zookeeper::{Pace, ZooKeeper};
use tokio::time::Instant;

use crate::scene::Scene;
use crate::screen::{Screen, seconds};

/// Replicas, and who of them was seen to lead.
#[derive(Debug)]
pub(crate) struct Replicated {
    replicas: Replicas,
    epicctl: PathBuf,
    /// Who led last, in which epoch, and when that was last seen.
    led: Option<(usize, u64, Instant)>,
    /// When each replica that has ended is started again.
    back: [Option<Instant>; COUNT],
}

impl Scene for Replicated {
    type Ground = (Cluster, ZooKeeper);

    async fn ground(screen: &Screen) -> Result<Self::Ground> {
        screen.say("starting three ZooKeeper servers");
        let pace = Pace { tick: Duration::from_millis(200), session_max: SESSION };
        let zookeeper = ZooKeeper::ensemble(3, pace).await?;
        screen.say(&format!("ZooKeeper is at {}", zookeeper.url("/")));
        screen.say("starting three Mesos masters, which elect one through it, and three agents");
        let mut spec = ClusterSpec::agents_of(3);
        spec.masters = 3;
        spec.zookeeper = Some(zookeeper.url("/mesos"));
        let cluster = Cluster::start(spec).await?;
        let leader = cluster.addr(Part::Master(cluster.leader().await?));
        screen.say(&format!("the master at {leader} leads; each agent has 2 cpus and 2 GiB for BlueData"));
        Ok((cluster, zookeeper))
    }

    fn cluster((cluster, _): &Self::Ground) -> &Cluster {
        cluster
    }

    async fn start((cluster, zookeeper): Self::Ground, bundle: &Path) -> Result<Self> {
        let count = u8::try_from(COUNT)?;
        let crew = Crew { session: SESSION, bundle: Some(bundle.to_owned()), ..Crew::of(count, 2) };
        let replicas = Replicas::start_on(cluster, zookeeper, &crew).await?;
        Ok(Self { replicas, epicctl: built("epicctl")?, led: None, back: [None; COUNT] })
    }

    fn opening(&self) -> String {
        let urls = (0..COUNT).map(|index| format!("\nreplica {}: {}", index + 1, self.replicas.url(index)));
        let urls: String = urls.collect();
        format!("starting three replicas of the scheduler, with a platform of a controller and two workers{urls}")
    }

    async fn view(&mut self) -> Result<Option<PlatformView>> {
        for index in self.order() {
            if let Ok(mut view) = self.replicas.status(index).await {
                // Only the leader is subscribed; that another one isn't is no news.
                if !view.mesos.subscribed {
                    view.mesos.problem.clear();
                }
                return Ok(Some(view));
            }
        }
        Ok(None)
    }

    async fn news(&mut self) -> Result<Vec<String>> {
        let mut news = Vec::new();
        let now = Instant::now();
        for index in 0..COUNT {
            news.extend(self.watch(index, now)?);
        }
        for index in 0..COUNT {
            let Ok(view) = self.replicas.view(index).await else { continue };
            if view.mode == "leading" {
                news.extend(self.leads(index, &view));
            }
        }
        Ok(news)
    }

    fn guide(&self, view: &PlatformView) -> Result<String> {
        guide::text(self, view)
    }

    async fn check(&mut self, screen: &Screen, view: &PlatformView) -> Result<()> {
        check::all(self, screen, view).await
    }

    async fn uninstall(&mut self) -> Result<()> {
        let index = self.order().next().context("there is no replica")?;
        self.replicas.post(index, "/api/v2/platform/uninstall").await.map(drop)
    }

    async fn end(&mut self) -> Result<&'static str> {
        for index in 0..COUNT {
            if self.replicas.pid(index).is_some() && self.replicas.ended(index)?.is_none() {
                self.replicas.terminate(index).await?;
            }
        }
        Ok("all replicas have ended")
    }

    fn logs(&mut self) -> String {
        let replicas: Vec<_> = (0..COUNT).map(|index| tail(self.replicas.log_file(index), 20)).collect();
        format!("{}\n{}\n", self.replicas.cluster.log_tails(), replicas.join("\n"))
    }
}

impl Replicated {
    /// All replicas, first the one that led last.
    fn order(&self) -> impl Iterator<Item = usize> + use<> {
        let first = self.led.map_or(0, |(leader, ..)| leader);
        (first..COUNT).chain(0..first)
    }

    /// Says that a replica has ended, and starts it again later, as whoever supervises it would.
    fn watch(&mut self, index: usize, now: Instant) -> Result<Option<String>> {
        let number = index + 1;
        match self.back[index] {
            None => {
                let Some(status) = self.replicas.ended(index)? else { return Ok(None) };
                self.back[index] = Some(now + BACK_AFTER);
                Ok(Some(has_ended(number, status)))
            }
            Some(at) if now >= at => {
                self.back[index] = None;
                self.replicas.kill(index);
                self.replicas.restart(index)?;
                Ok(Some(is_back(number)))
            }
            Some(_) => Ok(None),
        }
    }

    fn leads(&mut self, index: usize, view: &LeaderView) -> Option<String> {
        let before = self.led.filter(|(.., epoch, _)| *epoch <= view.epoch);
        let is_old = self.led.is_some() && before.is_none();
        if is_old {
            return None;
        }
        self.led = Some((index, view.epoch, Instant::now()));
        let pid = self.replicas.pid(index)?;
        let leads = format!("replica {} (process {pid}) leads in epoch {}", index + 1, view.epoch);
        match before {
            Some((_, epoch, _)) if epoch == view.epoch => None,
            Some((other, _, seen)) => Some(leads + &after(other, seen.elapsed())),
            None => Some(leads),
        }
    }
}

fn has_ended(number: usize, status: ExitStatus) -> String {
    format!("replica {number} has ended ({status}); it is started again after {} s", BACK_AFTER.as_secs())
}

fn is_back(number: usize) -> String {
    format!("replica {number} is started again")
}

fn after(other: usize, ago: Duration) -> String {
    format!(", {} s after replica {} was last seen to lead", seconds(ago), other + 1)
}

const COUNT: usize = 3;
/// The shortest that a replica takes: those who look on don't want to wait.
const SESSION: Duration = Duration::from_secs(4);
const BACK_AFTER: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    /// A line with a sign for each number, since those differ from run to run.
    fn masked(line: &str) -> String {
        let mut masked = String::new();
        for sign in line.chars() {
            let sign = if sign.is_ascii_digit() { '#' } else { sign };
            if sign != '#' || !masked.ends_with('#') {
                masked.push(sign);
            }
        }
        masked
    }

    #[test]
    fn the_readme_shows_what_the_demo_says() {
        let readme = std::fs::read_to_string(epic_tests::epic::repository("README.md")).unwrap();
        let section = readme.split("make demo-ha\n").nth(1).expect("the README has the command");
        let excerpt = section.split("```text\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        let said = [
            "the platform is ready".to_owned(),
            has_ended(1, ExitStatus::from_raw(9)),
            "replica 3 (process 1) leads in epoch 2".to_owned() + &after(1, Duration::from_secs(4)),
            "the scheduler is registered with Mesos as framework …".to_owned(),
            is_back(1),
        ];
        let said: Vec<_> = said.iter().map(|line| masked(line)).collect();
        let shown = excerpt.lines().map(|line| masked(line.split_once(" s  ").expect("each line has its time").1));
        let shown: Vec<_> = shown.collect();
        assert_eq!(shown, said);
    }
}
