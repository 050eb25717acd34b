//! Reads every batch of a journal in ZooKeeper as it is written, and has each one checked.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use epic_scheduler::journal::codec;
use epic_scheduler::journal::ring::{self, Next, Ring};
use epic_scheduler::mesos::masters::{Masters, ZooKeeperPath};
use epic_scheduler::zookeeper::{Connect, Session};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::{History, Written};

/// A reader of a journal; dropping it ends it.
#[derive(Debug)]
pub struct Follower {
    history: Arc<Mutex<History>>,
    seen: watch::Receiver<Seen>,
    task: JoinHandle<()>,
}

/// How far it is, or why it has stopped.
#[derive(Clone, Debug, Default)]
struct Seen {
    index: u64,
    trouble: Option<String>,
}

impl Follower {
    /// Begins to read the journal at a place in ZooKeeper, from its first batch on.
    ///
    /// # Errors
    /// The text is no such place.
    pub fn start(url: &str) -> Result<Self> {
        let Masters::ZooKeeper(path) = Masters::parse(url)? else { bail!("{url} is no place in ZooKeeper") };
        let history = Arc::<Mutex<History>>::default();
        let (said, seen) = watch::channel(Seen::default());
        let reader = Reader { path, history: history.clone(), said, after: 0 };
        Ok(Self { history, seen, task: tokio::spawn(reader.run()) })
    }

    /// Waits until an entry has been read; this and all before it are then known to be as they should be.
    ///
    /// # Errors
    /// A batch isn't as it should be, or the entry doesn't come in time.
    pub async fn until(&self, index: u64, limit: Duration) -> Result<()> {
        let mut seen = self.seen.clone();
        let reached = seen.wait_for(|seen| seen.index >= index || seen.trouble.is_some());
        let outcome = tokio::time::timeout(limit, reached).await;
        let Ok(outcome) = outcome else {
            let last = self.seen.borrow().index;
            bail!("the journal has no entry {index} after {limit:?}; the last one is {last}");
        };
        outcome.context("the journal's reader has ended")?;
        self.check()
    }

    /// Says what was read that isn't as it should be.
    ///
    /// # Errors
    /// There was something.
    pub fn check(&self) -> Result<()> {
        let trouble = self.seen.borrow().trouble.clone();
        trouble.map_or(Ok(()), |trouble| Err(anyhow!("the journal is wrong: {trouble}")))
    }

    /// What was read.
    ///
    /// # Panics
    /// When the reader has panicked.
    pub fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().expect("the reader does not panic while it holds the lock")
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Reader {
    path: ZooKeeperPath,
    history: Arc<Mutex<History>>,
    said: watch::Sender<Seen>,
    after: u64,
}

impl Reader {
    async fn run(mut self) {
        let mut silent_since = Instant::now();
        loop {
            let before = self.after;
            let error = match self.read().await {
                Over::Wrong(error) => error,
                // Servers come and go; what it has read stays read.
                Over::Lost(error) if self.after > before || silent_since.elapsed() < SILENT_MAX => {
                    if self.after > before {
                        silent_since = Instant::now();
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    let _lost = error;
                    continue;
                }
                Over::Lost(error) => error,
            };
            return self.said.send_modify(|seen| seen.trouble = Some(format!("{error:#}")));
        }
    }

    /// Reads on until the session is over or something is wrong.
    async fn read(&mut self) -> Over {
        let lost = |error: anyhow::Error| Over::Lost(error);
        let session = match Session::connect(&Connect::new(self.path.clone(), SESSION), CONNECT_WITHIN).await {
            Ok(session) => session,
            Err(error) => return lost(error.into()),
        };
        let opened = async {
            let root = session.read("/").await?;
            let ring = Ring::open(session.clone()).await?;
            anyhow::Ok((slots(&root.bytes)?, ring))
        };
        let (slots, ring) = match opened.await {
            Ok(opened) => opened,
            Err(error) => return lost(error),
        };
        loop {
            let batch = self.after + 1;
            let payload = match ring.next(self.after).await {
                Ok(Next::Batch(payload)) => payload,
                Ok(Next::Lapped) => return Over::Wrong(anyhow!("batch {batch} was overwritten before it was read")),
                Err(error @ ring::Error::Call(_)) => return lost(error.into()),
                Err(error) => return Over::Wrong(error.into()),
            };
            let node = match session.read(&format!("/journal/{}", batch % slots)).await {
                Ok(node) => node,
                Err(error) => return lost(error.into()),
            };
            let checked = written(batch, &node.bytes, &payload).and_then(|written| {
                let mut history = self.history.lock().expect("nobody panics while holding the lock");
                history.read(&written)?;
                Ok(history.state().index.0)
            });
            match checked {
                Ok(index) => self.said.send_modify(|seen| seen.index = index),
                Err(error) => return Over::Wrong(error),
            }
            self.after = batch;
        }
    }
}

/// Why it stopped reading.
enum Over {
    /// The session; another one will do.
    Lost(anyhow::Error),
    Wrong(anyhow::Error),
}

/// The ring's number of slots, as its root says.
fn slots(root: &[u8]) -> Result<u64> {
    let root: serde_json::Value = serde_json::from_slice(root)?;
    root["slots"].as_u64().context("the journal's root doesn't say how many slots it has")
}

/// Reads a batch together with its writer's epoch, which only the slot tells.
fn written(batch: u64, slot: &[u8], payload: &[u8]) -> Result<Written> {
    let number =
        |at: usize| slot.get(at..at + 8).map(|bytes| bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)));
    let (found, epoch) = (number(8), number(16).context("a slot is too short")?);
    anyhow::ensure!(found == Some(batch), "batch {batch} was overwritten while it was read");
    let (first, entries) = codec::decode_batch(payload).with_context(|| format!("batch {batch}"))?;
    Ok(Written { batch, epoch, first, entries })
}

const SESSION: Duration = Duration::from_secs(10);
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// How long no server may let it read.
const SILENT_MAX: Duration = Duration::from_secs(60);
