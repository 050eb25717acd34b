//! Who leads, asked all the time while something happens.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use epic_common::api::LeaderView;

use crate::release::Release;

/// Asks each pod of a release who leads, some twenty times a second, until it is stopped.
pub(crate) struct Watch {
    stop: Arc<AtomicBool>,
    pods: Option<JoinHandle<()>>,
    asking: Option<JoinHandle<Result<Record>>>,
}

/// What was seen.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// The longest time between two looks of which each saw a leader, without one that did between them.
    pub(crate) longest: Duration,
    /// Which pods led, by epoch.
    pub(crate) leaders: BTreeSet<(u64, String)>,
    looks: u32,
}

impl Watch {
    /// Begins; the release has pods.
    pub(crate) fn start(release: &Release<'_>) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let addresses = Arc::new(Mutex::new(release.addresses()?));
        let list = release.lister();
        let pods = {
            let (stop, addresses) = (Arc::clone(&stop), Arc::clone(&addresses));
            Builder::new().name("pods".to_owned()).spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    // While the API server is busy, the pods known so far are asked.
                    if let Ok(now) = list() {
                        *addresses.lock().unwrap_or_else(PoisonError::into_inner) = now;
                    }
                }
            })?
        };
        let asking = {
            let stop = Arc::clone(&stop);
            Builder::new().name("watch".to_owned()).spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                runtime.block_on(look(&stop, &addresses))
            })?
        };
        Ok(Self { stop, pods: Some(pods), asking: Some(asking) })
    }

    /// Ends and returns what was seen.
    pub(crate) fn stop(mut self) -> Result<Record> {
        self.stop.store(true, Ordering::Relaxed);
        let asking = self.asking.take().context("it is stopped once")?;
        let record = asking.join().map_err(|_panic| anyhow!("the watch has panicked"))??;
        ensure!(record.looks > 5, "there were only {} looks", record.looks);
        Ok(record)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(pods) = self.pods.take() {
            let _ended = pods.join();
        }
    }
}

async fn look(stop: &AtomicBool, addresses: &Mutex<Vec<String>>) -> Result<Record> {
    let client = reqwest::Client::builder().no_proxy().timeout(ANSWERS_WITHIN).build()?;
    let mut record = Record::default();
    let mut led = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        let now = addresses.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let views = futures_util::future::join_all(now.iter().map(|address| ask(&client, address))).await;
        let leading: Vec<LeaderView> = views.into_iter().flatten().filter(|view| view.mode == "leading").collect();
        record.looks += 1;
        record.longest = record.longest.max(led.elapsed());
        if !leading.is_empty() {
            led = Instant::now();
        }
        record.leaders.extend(leading.into_iter().map(|view| (view.epoch, pod_of(&view.replica))));
        tokio::time::sleep(PAUSE).await;
    }
    Ok(record)
}

async fn ask(client: &reqwest::Client, address: &str) -> Option<LeaderView> {
    let answer = client.get(format!("http://{address}:8080/api/v2/leader")).send().await.ok()?;
    serde_json::from_str(&answer.text().await.ok()?).ok()
}

/// The pod's name, out of its URL.
fn pod_of(url: &str) -> String {
    let host = url.split("//").nth(1).unwrap_or(url);
    host.split('.').next().unwrap_or(host).to_owned()
}

const ANSWERS_WITHIN: Duration = Duration::from_millis(500);
const PAUSE: Duration = Duration::from_millis(50);
