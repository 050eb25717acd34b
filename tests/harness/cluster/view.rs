//! What master, agents and logs say about a cluster, and waiting for it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, anyhow, bail, ensure};
use serde_json::Value;

use super::Cluster;
use crate::process::tail;
use crate::{http, wait};

impl Cluster {
    /// The master's `/state`.
    ///
    /// # Errors
    /// When the master gives no answer or another one.
    pub async fn state(&self) -> anyhow::Result<Value> {
        http::get_json(&format!("http://{}/state", self.master_addr())).await
    }

    /// The index of the leading master, as the first running one sees it.
    ///
    /// # Errors
    /// As [`Self::state`], or when no running master leads.
    pub async fn leader(&self) -> anyhow::Result<usize> {
        let state = self.state().await?;
        let pid = state["leader"].as_str().unwrap_or_default();
        let mut running = self.masters.iter().enumerate().filter(|(_, node)| node.process.is_some());
        let leader = running.find(|(_, node)| pid == format!("master@{}", node.address));
        let (index, _) = leader.with_context(|| format!("no running master leads: {pid:?}"))?;
        Ok(index)
    }

    /// The agents as the master knows them, active or not, in no particular order.
    ///
    /// # Errors
    /// As [`Self::state`].
    pub async fn slaves(&self) -> anyhow::Result<Vec<Value>> {
        let answer = http::get_json(&format!("http://{}/slaves", self.master_addr())).await?;
        Ok(answer["slaves"].as_array().cloned().unwrap_or_default())
    }

    /// All tasks that the master knows, running, unreachable or ended, newest first; at most 1,000.
    ///
    /// # Errors
    /// As [`Self::state`].
    pub async fn tasks(&self) -> anyhow::Result<Vec<Value>> {
        let answer = http::get_json(&format!("http://{}/tasks?limit=1000", self.master_addr())).await?;
        Ok(answer["tasks"].as_array().cloned().unwrap_or_default())
    }

    /// The master's record of one agent.
    ///
    /// # Errors
    /// As [`Self::state`], or when the master does not know it.
    ///
    /// # Panics
    /// When there is no such agent.
    pub async fn agent(&self, agent: usize) -> anyhow::Result<Value> {
        let name = self.spec.agents[agent].name.as_str();
        let known = self.slaves().await?.into_iter().find(|known| known["attributes"]["host"] == name);
        known.with_context(|| format!("the master does not know agent {name}"))
    }

    /// Waits until every agent that runs is active, and with ZooKeeper until every master that runs could lead.
    ///
    /// # Errors
    /// When that takes longer than 30 seconds, or a part has ended.
    pub async fn agents_active(&mut self) -> anyhow::Result<()> {
        let what = "all agents that run are active";
        self.until(what, Duration::from_secs(30), async |cluster: &Self| cluster.is_whole().await).await
    }

    /// Whether every agent that runs is active, and with ZooKeeper every master that runs could lead.
    ///
    /// # Errors
    /// What isn't so.
    pub async fn is_whole(&self) -> anyhow::Result<()> {
        if self.agents.is_empty() {
            self.all_in_one_registered().await?;
        } else {
            self.separate_registered().await?;
        }
        self.masters_recovered().await
    }

    /// The libprocess ids of the agents that are active in the eyes of the master.
    async fn active(&self) -> anyhow::Result<Vec<String>> {
        let slaves = self.slaves().await?;
        let active = slaves.iter().filter(|slave| slave["active"] == true);
        Ok(active.filter_map(|slave| Some(slave["pid"].as_str()?.to_owned())).collect())
    }

    /// Asks the master and each agent: the master notices only later that an agent was killed.
    async fn separate_registered(&self) -> anyhow::Result<()> {
        let active = self.active().await?;
        for address in self.agents.iter().filter(|node| node.process.is_some()).map(|node| node.address) {
            let known = active.iter().any(|pid| pid.ends_with(&format!("@{address}")));
            ensure!(known, "{address} is not active");
            let metrics = http::get_json(&format!("http://{address}/metrics/snapshot")).await?;
            ensure!(metrics["slave/registered"] == 1.0, "{address} says that it is not registered");
        }
        Ok(())
    }

    /// Asks the master and each agent: an agent writes its id down only after the master knows it.
    ///
    /// Agents in one process share their metrics, so their states are asked for.
    async fn all_in_one_registered(&self) -> anyhow::Result<()> {
        let (count, wanted) = (self.active().await?.len(), self.spec.agents.len());
        ensure!(count == wanted, "{count} of {wanted} are active");
        for number in 1..=wanted {
            let state = http::get_json(&format!("http://{}/slave({number})/state", self.master_addr())).await?;
            let registered = state["id"].as_str().is_some_and(|id| !id.is_empty());
            ensure!(registered, "agent {number} says that it is not registered");
        }
        Ok(())
    }

    /// With ZooKeeper, says whether each master that runs is part of the replicated log.
    ///
    /// One that is not could never lead if the leader died now.
    async fn masters_recovered(&self) -> anyhow::Result<()> {
        let masters = self.masters.iter().filter(|_| self.spec.zookeeper.is_some());
        for address in masters.filter(|node| node.process.is_some()).map(|node| node.address) {
            let metrics = http::get_json(&format!("http://{address}/metrics/snapshot")).await?;
            ensure!(metrics["registrar/log/recovered"] == 1.0, "{address} has no replicated log yet");
        }
        Ok(())
    }

    /// [`wait::until`] that also fails when a part of the cluster has ended, and shows the logs' ends.
    ///
    /// # Errors
    /// When `limit` has passed or a part has ended.
    pub async fn until<T>(
        &mut self,
        what: &str,
        limit: Duration,
        mut poll: impl AsyncFnMut(&Self) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let outcome = wait::until(what, limit, async || {
            if let Some(ended) = self.ended()? {
                return Ok(Err(ended));
            }
            poll(self).await.map(Ok)
        });
        match outcome.await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(ended)) => bail!("{ended} while waiting for: {what}\n{}", self.log_tails()),
            Err(error) => Err(anyhow!("{error:#}\n{}", self.log_tails())),
        }
    }

    /// The ends of all logs: masters', agents' and the newest of the executors'.
    #[must_use]
    pub fn log_tails(&self) -> String {
        let mut sandboxes = Vec::new();
        collect_stderr(self.work_dir(), &mut sandboxes);
        sandboxes.sort();
        let newest = sandboxes.iter().rev().take(4).map(|(_, path)| path.clone());
        let nodes = self.masters.iter().chain(&self.agents).map(|node| node.program.log().to_owned());
        nodes.chain(newest).map(|path| tail(&path, 15)).collect::<Vec<_>>().join("\n")
    }

    /// The first part that should run but has ended, in words.
    fn ended(&mut self) -> anyhow::Result<Option<String>> {
        for node in self.masters.iter_mut().chain(&mut self.agents) {
            let Some(process) = &mut node.process else {
                continue;
            };
            if let Some(status) = process.exited()? {
                return Ok(Some(format!("the process of {} ended ({status})", node.program.log().display())));
            }
        }
        Ok(None)
    }
}

/// Finds the files `stderr` that have content, with the time of their last change; follows no links.
fn collect_stderr(path: &Path, found: &mut Vec<(SystemTime, PathBuf)>) {
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        let Ok(meta) = entry.metadata() else { continue };
        if meta.is_dir() {
            collect_stderr(&entry.path(), found);
        } else if meta.is_file() && meta.len() > 0 && entry.file_name() == "stderr" {
            found.push((meta.modified().unwrap_or(SystemTime::UNIX_EPOCH), entry.path()));
        }
    }
}
