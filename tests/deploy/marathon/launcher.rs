//! Runs an app's definition on a real Mesos as Marathon does; it is told nothing but the definition and what secrets are.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use epic_tests::{http, wait};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::definition::Definition;
use super::fleet::{Action, Fleet, Instance, Offer, State, Status};
use super::link::Link;
use super::task::{self, Secrets};

/// A launcher at work; its tasks outlive it.
#[derive(Debug)]
pub(crate) struct Launcher {
    puts: mpsc::Sender<Definition>,
    seen: watch::Receiver<Seen>,
    work: JoinHandle<()>,
}

/// What can be seen of an app.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) framework_id: String,
    /// How many definitions it had so far.
    pub(crate) version: u32,
    pub(crate) instances: Vec<Instance>,
    /// Those of them that have the present definition.
    pub(crate) current: usize,
    /// Every task that has ended, with the master's words.
    pub(crate) ended: Vec<String>,
    pub(crate) problem: String,
}

impl Seen {
    /// Those that run, and were said to be healthy and ready.
    pub(crate) fn good(&self) -> Vec<&Instance> {
        let good = |instance: &&Instance| instance.state == State::Running && instance.is_healthy && instance.is_ready;
        self.instances.iter().filter(good).collect()
    }
}

impl Launcher {
    /// Subscribes and begins to run the app.
    pub(crate) async fn start(master: SocketAddr, app: Definition, secrets: Secrets) -> Result<Self> {
        let link = Link::subscribe(master).await?;
        let (puts, orders) = mpsc::channel(1);
        let first = Seen { framework_id: link.id().to_owned(), ..Seen::default() };
        let (show, seen) = watch::channel(first);
        let mut loop_ = Loop { link, fleet: Fleet::new(app), secrets, show, is_suppressed: false };
        let work = tokio::spawn(async move {
            if let Err(error) = loop_.run(orders).await {
                loop_.show.send_modify(|seen| seen.problem = format!("{error:#}"));
            }
        });
        Ok(Self { puts, seen, work })
    }

    /// Replaces the app's definition, as `PUT /v2/apps/ID` does; from then on that one is what is shown.
    pub(crate) async fn put(&self, app: Definition) -> Result<()> {
        let before = self.seen().version;
        self.puts.send(app).await.context("the launcher has ended")?;
        let mut seen = self.seen.clone();
        seen.wait_for(|seen| seen.version > before).await.context("the launcher has ended")?;
        Ok(())
    }

    pub(crate) fn seen(&self) -> Seen {
        self.seen.borrow().clone()
    }

    /// Waits until exactly so many instances are there, all of them good and of the present definition.
    pub(crate) async fn until_good(&self, count: usize) -> Result<Seen> {
        let what = format!("{count} instances are healthy and ready");
        wait::until(&what, LONG, async || {
            let seen = self.seen();
            anyhow::ensure!(seen.problem.is_empty(), "the launcher has ended: {}", seen.problem);
            let is_so = seen.good().len() == count && seen.instances.len() == count && seen.current == count;
            anyhow::ensure!(is_so, "{seen:#?}");
            Ok(seen)
        })
        .await
    }
}

impl Drop for Launcher {
    fn drop(&mut self) {
        self.work.abort();
    }
}

struct Loop {
    link: Link,
    fleet: Fleet,
    secrets: Secrets,
    show: watch::Sender<Seen>,
    is_suppressed: bool,
}

impl Loop {
    async fn run(&mut self, mut orders: mpsc::Receiver<Definition>) -> Result<()> {
        let mut tick = tokio::time::interval(TICK);
        let mut probe = tokio::time::interval(Duration::from_secs(self.fleet.app.readiness_check().interval_seconds));
        loop {
            let mut offers = Vec::new();
            tokio::select! {
                event = self.link.next() => offers = self.handle(&event?).await?,
                Some(app) = orders.recv() => self.fleet.put(app),
                _ = probe.tick() => self.probe().await?,
                _ = tick.tick() => {}
            }
            let now = Instant::now();
            for action in self.fleet.plan(now, &offers) {
                self.act(&action, &offers).await?;
            }
            // Marathon, too, asks for offers only while it has something to launch.
            let wants = self.fleet.wants(now);
            if wants == self.is_suppressed {
                self.link.call(if wants { "REVIVE" } else { "SUPPRESS" }, Value::Null).await?;
                self.is_suppressed = !wants;
            }
            let instances = self.fleet.instances();
            let current = instances.iter().filter(|instance| self.fleet.is_current(instance)).count();
            let version = self.fleet.version;
            self.show.send_modify(|seen| (seen.version, seen.instances, seen.current) = (version, instances, current));
        }
    }

    async fn handle(&mut self, event: &Value) -> Result<Vec<Offer>> {
        match event["type"].as_str().unwrap_or_default() {
            "OFFERS" => {
                let offers = event["offers"]["offers"].as_array().context("OFFERS has offers")?;
                return Ok(offers.iter().filter_map(offer).collect());
            }
            "UPDATE" => self.update(&event["update"]["status"]).await?,
            "ERROR" => anyhow::bail!("the master says {}", event["error"]),
            _ => {}
        }
        Ok(Vec::new())
    }

    async fn update(&mut self, status: &Value) -> Result<()> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (task_id, agent_id) = (text(&status["task_id"]["value"]), text(&status["agent_id"]["value"]));
        let state = text(&status["state"]);
        let heard = match state.as_str() {
            "TASK_RUNNING" => Status::Running { is_healthy: status["healthy"].as_bool() },
            "TASK_STAGING" | "TASK_STARTING" => Status::Running { is_healthy: None },
            "TASK_KILLING" => Status::Killing,
            "TASK_UNREACHABLE" => Status::Unreachable,
            "TASK_FINISHED" | "TASK_KILLED" => Status::Ended,
            _ => Status::Failed,
        };
        if matches!(heard, Status::Ended | Status::Failed) {
            let line = format!("{task_id} {state} {} {}", text(&status["reason"]), text(&status["message"]));
            self.show.send_modify(|seen| seen.ended.push(line));
        }
        if self.fleet.hear(&task_id, heard, Instant::now()) {
            self.kill(&task_id, &agent_id).await?;
        }
        if !status["uuid"].is_null() {
            let content = json!({"agent_id": status["agent_id"], "task_id": status["task_id"], "uuid": status["uuid"]});
            self.link.call("ACKNOWLEDGE", content).await?;
        }
        Ok(())
    }

    async fn act(&mut self, action: &Action, offers: &[Offer]) -> Result<()> {
        match action {
            Action::Launch { offer_id, task_id } => {
                let instance = self.fleet.instance(task_id).context("it was just planned")?;
                let task = task::info(&self.fleet.app, instance, &self.secrets)?;
                debug_assert!(offers.iter().any(|offer| offer.id == *offer_id), "only offers are used");
                let launch = json!({"type": "LAUNCH", "launch": {"task_infos": [task]}});
                let content = json!({"offer_ids": [{"value": offer_id}], "operations": [launch],
                    "filters": {"refuse_seconds": REFUSE_SECONDS}});
                self.link.call("ACCEPT", content).await
            }
            Action::Decline { offer_id } => {
                let filters = json!({"refuse_seconds": REFUSE_SECONDS});
                self.link.call("DECLINE", json!({"offer_ids": [{"value": offer_id}], "filters": filters})).await
            }
            Action::Kill { task_id, agent_id } => self.kill(task_id, agent_id).await,
        }
    }

    async fn kill(&self, task_id: &str, agent_id: &str) -> Result<()> {
        self.link.call("KILL", json!({"task_id": {"value": task_id}, "agent_id": {"value": agent_id}})).await
    }

    /// Asks each instance that runs and isn't known to be ready.
    async fn probe(&mut self) -> Result<()> {
        let (check, port) = (self.fleet.app.readiness_check().clone(), self.fleet.app.readiness_port()?);
        for instance in self.fleet.instances() {
            if instance.is_ready || instance.state != State::Running {
                continue;
            }
            let port = instance.ports.get(port).context("each instance has all ports")?;
            let url = format!("http://{}:{port}{}", instance.host, check.path);
            let asked = http::client().get(&url).timeout(Duration::from_secs(check.timeout_seconds)).send().await;
            let is_ready = |status: u16| check.http_status_codes_for_ready.contains(&status);
            if asked.is_ok_and(|answer| is_ready(answer.status().as_u16())) {
                self.fleet.ready(&instance.task_id);
            }
        }
        Ok(())
    }
}

/// Reads an offer: only what any role may use.
fn offer(offer: &Value) -> Option<Offer> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let resources: Vec<_> = offer["resources"].as_array()?.iter().filter(|one| one["reservations"].is_null()).collect();
    let scalar = |name: &str| {
        let found = resources.iter().find(|one| one["name"] == name);
        found.and_then(|one| one["scalar"]["value"].as_f64()).unwrap_or_default()
    };
    let ranges = resources.iter().filter(|one| one["name"] == "ports");
    let ranges = ranges.filter_map(|one| one["ranges"]["range"].as_array()).flatten();
    let bounds = ranges.filter_map(|range| Some((range["begin"].as_u64()?, range["end"].as_u64()?)));
    let ports = bounds.flat_map(|(begin, end)| begin..=end).filter_map(|port| u16::try_from(port).ok());
    Some(Offer {
        id: text(&offer["id"]["value"])?,
        agent_id: text(&offer["agent_id"]["value"])?,
        host: text(&offer["hostname"])?,
        cpus: scalar("cpus"),
        mem: scalar("mem"),
        disk: scalar("disk"),
        ports: ports.collect(),
    })
}

const TICK: Duration = Duration::from_millis(100);
const REFUSE_SECONDS: f64 = 1.0;
const LONG: Duration = Duration::from_secs(90);
