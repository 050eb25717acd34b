//! Looks all the time at who leads and at what Mesos runs, while things break.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use epic_common::api::LeaderView;
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::{history, http};

/// Two tasks that look; dropping it ends them.
#[derive(Debug)]
pub(super) struct Watch {
    seen: Arc<Mutex<Seen>>,
    tasks: [JoinHandle<()>; 2],
}

/// What was seen so far.
#[derive(Debug, Default)]
struct Seen {
    /// The last time somebody led, and in which epoch.
    led: Option<(Instant, u64)>,
    /// How long nobody did before each change of epoch.
    without: Vec<Duration>,
    /// What mustn't be.
    trouble: Option<String>,
}

impl Watch {
    pub(super) fn start(replicas: Vec<String>, masters: Vec<SocketAddr>) -> Self {
        let seen = Arc::<Mutex<Seen>>::default();
        let tasks = [tokio::spawn(leaders(replicas, seen.clone())), tokio::spawn(tasks(masters, seen.clone()))];
        Self { seen, tasks }
    }

    /// Says what was seen that mustn't be.
    ///
    /// # Errors
    /// There was something.
    pub(super) fn check(&self) -> Result<()> {
        lock(&self.seen).trouble.clone().map_or(Ok(()), |trouble| Err(anyhow!(trouble)))
    }

    /// How long nobody led, at each failover, in order of length.
    pub(super) fn without_leader(&self) -> Vec<Duration> {
        let mut without = lock(&self.seen).without.clone();
        without.sort();
        without
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn leaders(replicas: Vec<String>, seen: Arc<Mutex<Seen>>) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let views = futures_util::future::join_all(replicas.iter().map(|url| view(url))).await;
        let leading: Vec<_> = views.into_iter().flatten().filter(|view| view.mode == "leading").collect();
        lock(&seen).saw(Instant::now(), &leading);
    }
}

async fn view(url: &str) -> Result<LeaderView> {
    Ok(serde_json::from_value(answer(&format!("{url}/api/v2/leader")).await?)?)
}

async fn answer(url: &str) -> Result<Value> {
    let answer = http::client().get(url).timeout(ANSWER_WITHIN).send().await?;
    ensure!(answer.status() == 200, "{url} answers {}", answer.status());
    Ok(serde_json::from_str(&answer.text().await?)?)
}

async fn tasks(masters: Vec<SocketAddr>, seen: Arc<Mutex<Seen>>) {
    let mut ticks = interval(EVERY * 4);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        for master in &masters {
            // Who doesn't lead sends on to who does; the first answer will do.
            let Ok(tasks) = running(*master).await else { continue };
            if let Err(error) = history::doubles(&tasks) {
                lock(&seen).complain(format!("{error:#}"));
            }
            break;
        }
    }
}

async fn running(master: SocketAddr) -> Result<Vec<Value>> {
    let answer = answer(&format!("http://{master}/tasks?limit=1000")).await?;
    answer["tasks"].as_array().cloned().context("no tasks")
}

impl Seen {
    /// Takes note of all that say that they lead; one that was deposed may not know it yet.
    fn saw(&mut self, now: Instant, leading: &[LeaderView]) {
        for (index, one) in leading.iter().enumerate() {
            if let Some(other) = leading[..index].iter().find(|other| other.epoch == one.epoch) {
                self.complain(format!("{} and {} both lead in epoch {}", other.replica, one.replica, one.epoch));
            }
        }
        let Some(epoch) = leading.iter().map(|view| view.epoch).max() else { return };
        if let Some((last, _)) = self.led.filter(|(_, before)| epoch > *before) {
            self.without.push(now.duration_since(last));
        }
        self.led = Some((now, epoch));
    }

    fn complain(&mut self, trouble: String) {
        self.trouble.get_or_insert(trouble);
    }
}

fn lock(seen: &Mutex<Seen>) -> std::sync::MutexGuard<'_, Seen> {
    seen.lock().expect("nobody panics while holding the lock")
}

const EVERY: Duration = Duration::from_millis(50);
/// Whoever takes longer is as good as gone.
const ANSWER_WITHIN: Duration = Duration::from_millis(400);

#[test]
fn two_leaders_of_one_epoch_and_the_time_without_any_are_seen() {
    let view = |replica: &str, epoch| LeaderView { replica: replica.to_owned(), epoch, ..LeaderView::default() };
    let mut seen = Seen::default();
    let at = |millis| start() + Duration::from_millis(millis);
    seen.saw(at(0), &[view("a", 1)]);
    seen.saw(at(100), &[]);
    seen.saw(at(900), &[view("b", 2)]);
    // Who slept believes for a moment that it leads.
    seen.saw(at(1000), &[view("b", 2), view("a", 1)]);
    assert_eq!((&seen.without, &seen.trouble), (&vec![Duration::from_millis(900)], &None));
    seen.saw(at(1100), &[view("b", 2), view("a", 2)]);
    assert_eq!(seen.trouble.unwrap(), "b and a both lead in epoch 2");
}

#[cfg(test)]
fn start() -> Instant {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    *START.get_or_init(Instant::now)
}
