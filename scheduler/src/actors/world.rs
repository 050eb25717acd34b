//! Carries out what the director wants done.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::Addr;
use epic_common_io::driver::{Clock, Inbox, World as DriverWorld};
use epic_scheduler_core::director::{Director, Input, Output, Seen};
use epic_scheduler_core::mesos::{Call, TaskState};
use epic_scheduler_core::request::{Answer, ClientId};
use epic_scheduler_core::state::State;
use epic_scheduler_core::state::entry::{Entry, Fact, Index};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{debug, error, info, warn};

use super::journal::{Append, Appended, Journal, Snapshot};
use super::link::Link;
use super::replica::Proposal;
use crate::api::Asked;
use crate::crash::{self, Point};
use crate::journal::codec;
use crate::metrics;
use crate::view::Published;

/// Why the process must end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Halt {
    /// Mesos refuses us for good.
    Refused(String),
    /// The journal can't be written.
    Journal(String),
}

/// The director's world: journal, Mesos, clients, and what others may see.
pub struct World {
    store: Store,
    batches: Rc<RefCell<Batches>>,
    link: Link,
    waiting: Rc<RefCell<BTreeMap<ClientId, oneshot::Sender<Answer>>>>,
    published: watch::Sender<Arc<Published>>,
    halt: mpsc::Sender<Halt>,
    role: String,
    unreachable_after: Duration,
    clock: Clock,
}

/// Where batches become durable.
#[derive(Clone, Debug)]
pub enum Store {
    /// On local disk: this scheduler is alone.
    Local(Addr<Journal>),
    /// In `ZooKeeper`, by way of the task that takes part there.
    Shared(mpsc::Sender<Proposal>),
}

/// Which batch holds which entries, as far as a snapshot may need it.
#[derive(Debug, Default)]
struct Batches {
    /// The number of the last batch that was handed to the journal.
    last: u64,
    /// The last index and the number of recent batches.
    recent: VecDeque<(Index, u64)>,
    /// Whether the journal asked for a snapshot.
    snapshot_due: bool,
}

/// Whatever the world needs from outside.
#[derive(Debug)]
pub struct Parts {
    /// Where batches become durable.
    pub store: Store,
    /// The number of its last batch.
    pub position: u64,
    /// The link to Mesos.
    pub link: Link,
    /// Where what others may see goes.
    pub published: watch::Sender<Arc<Published>>,
    /// Where the reason to end goes.
    pub halt: mpsc::Sender<Halt>,
    /// The role, for people.
    pub role: String,
    /// How long an agent may be unreachable, for people.
    pub unreachable_after: Duration,
    /// The driver's clock.
    pub clock: Clock,
}

impl World {
    /// Puts the world together; requests are answered once [`serve`](Clients::serve) runs.
    #[must_use]
    pub fn new(parts: Parts) -> (Self, Clients) {
        let waiting = Rc::new(RefCell::new(BTreeMap::new()));
        let world = Self {
            store: parts.store,
            batches: Rc::new(RefCell::new(Batches { last: parts.position, ..Batches::default() })),
            link: parts.link,
            waiting: Rc::clone(&waiting),
            published: parts.published,
            halt: parts.halt,
            role: parts.role,
            unreachable_after: parts.unreachable_after,
            clock: parts.clock,
        };
        (world, Clients(waiting))
    }

    fn propose(&self, first: Index, entries: Vec<Entry>, inbox: &Inbox<Input>) {
        match &self.store {
            Store::Local(journal) => self.append(journal.clone(), first, entries, inbox.clone()),
            Store::Shared(replica) => share(replica.clone(), first, entries),
        }
    }

    fn append(&self, journal: Addr<Journal>, first: Index, entries: Vec<Entry>, inbox: Inbox<Input>) {
        let bytes = codec::encode_batch(0, first, &entries);
        let last = Index(first.0 + u64::try_from(entries.len()).unwrap_or(0).saturating_sub(1));
        let batch = self.batches.borrow_mut().add(last);
        let (batches, halt) = (Rc::clone(&self.batches), self.halt.clone());
        let append = metrics::Append::begin();
        actix::spawn(async move {
            match journal.send(Append { batch, bytes }).await {
                Ok(Ok(Appended { snapshot_due })) => {
                    batches.borrow_mut().snapshot_due |= snapshot_due;
                    durable(&entries, &append);
                    inbox.put(Input::Committed(first)).await.ok();
                }
                Ok(Err(failure)) => {
                    error!(error = &failure as &dyn std::error::Error, batch, "cannot append");
                    halt.send(Halt::Journal(crate::chain(&failure))).await.ok();
                }
                Err(closed) => {
                    halt.send(Halt::Journal(format!("the journal's thread has ended: {closed}"))).await.ok();
                }
            }
        });
    }

    fn publish(&self, seen: Seen) {
        self.snapshot(&seen.state);
        let published = Published {
            state: seen.state,
            link: seen.link,
            unmet: seen.unmet,
            offers_at: seen.offers_at,
            role: self.role.clone(),
            unreachable_after: self.unreachable_after,
            at: self.clock.now(),
        };
        self.published.send_replace(Arc::new(published));
    }

    /// Makes a snapshot if one is due and `state` is the sum of whole batches.
    fn snapshot(&self, state: &State) {
        let Store::Local(journal) = &self.store else { return };
        let Some(batch) = self.batches.borrow_mut().take_due(state.index) else { return };
        let (journal, state) = (journal.clone(), state.clone());
        actix::spawn(async move {
            let Ok(bytes) = tokio::task::spawn_blocking(move || codec::encode_snapshot(&state)).await else { return };
            match journal.send(Snapshot { batch, bytes }).await {
                Ok(Ok(())) => info!(batch, "snapshot made"),
                Ok(Err(failure)) => warn!(error = &failure as &dyn std::error::Error, batch, "no snapshot"),
                Err(closed) => warn!(error = %closed, batch, "no snapshot"),
            }
        });
    }

    fn answer(&self, client: ClientId, answer: Answer) {
        if let Some(waits) = self.waiting.borrow_mut().remove(&client) {
            // Whoever asked may have gone; the answer is in the journal.
            waits.send(answer).ok();
        }
    }
}

impl DriverWorld<Director> for World {
    fn act(&mut self, output: Output, inbox: &Inbox<Input>) {
        match output {
            Output::Propose(first, entries) => self.propose(first, entries, inbox),
            Output::Subscribe(subscribe) => self.link.subscribe(&subscribe, inbox),
            Output::Unsubscribe(why) => {
                warn!(why, "subscription dropped");
                self.link.drop_subscription();
            }
            Output::Call(id, call) => {
                debug!(?call, "call");
                crash::here_if(Point::LaunchCommitted, matches!(*call, Call::Accept { .. }));
                self.link.send(id, call, inbox);
            }
            Output::Answer(client, answer) => self.answer(client, answer),
            Output::Publish(seen) => self.publish(*seen),
            Output::Unwritable(why) => error!(%why, "a decision can't be written to the journal and is left undone"),
            Output::Halt(why) => {
                self.halt.try_send(Halt::Refused(why)).ok();
            }
        }
    }
}

/// Those who wait for an answer.
#[derive(Debug)]
pub struct Clients(Rc<RefCell<BTreeMap<ClientId, oneshot::Sender<Answer>>>>);

impl Clients {
    /// Hands requests to the director, one at a time, until nobody can ask any more.
    pub async fn serve(self, mut requests: mpsc::Receiver<Asked>, inbox: Inbox<Input>) {
        let mut last = 0;
        while let Some((request, waits)) = requests.recv().await {
            last += 1;
            let client = ClientId(last);
            self.0.borrow_mut().insert(client, waits);
            if inbox.put(Input::Request(client, request)).await.is_err() {
                return;
            }
        }
    }
}

impl Batches {
    /// Counts a batch that ends with the entry `last`; answers its number.
    fn add(&mut self, last: Index) -> u64 {
        self.last += 1;
        self.recent.push_back((last, self.last));
        if self.recent.len() > RECENT_MAX {
            self.recent.pop_front();
        }
        self.last
    }

    /// Answers the number of the batch that ends with `index` if a snapshot is due.
    fn take_due(&mut self, index: Index) -> Option<u64> {
        if !self.snapshot_due {
            return None;
        }
        let batch = self.recent.iter().find(|(last, _)| *last == index).map(|(_, batch)| *batch)?;
        self.snapshot_due = false;
        Some(batch)
    }
}

/// Hands a batch to the replica, which says when it is durable; if leadership is lost meanwhile, the journal says later
/// what became of it.
fn share(replica: mpsc::Sender<Proposal>, first: Index, entries: Vec<Entry>) {
    // Whoever took part has ended only if the process ends.
    actix::spawn(async move { replica.send(Proposal { first, entries }).await.ok() });
}

/// Takes note of a batch that is durable, before the director knows.
pub(super) fn durable(entries: &[Entry], append: &metrics::Append) {
    metrics::committed(entries, append.elapsed());
    log(entries);
    crash_points(entries);
}

/// At most one batch is on its way, so few are ever looked for.
const RECENT_MAX: usize = 8;

fn log(entries: &[Entry]) {
    for entry in entries {
        match &entry.fact {
            Fact::FrameworkChosen { framework, role } => info!(%framework, role, "framework id chosen"),
            Fact::LaunchDecided(decided) => {
                info!(task = %decided.task, agent = %decided.agent, host = decided.hostname, "launch decided");
            }
            Fact::UnitLaunched(launched) => {
                info!(task = %launched.task, agent = %launched.agent, host = launched.hostname, "launch decided");
            }
            Fact::InstallationChosen { id } => info!(installation = id, "installation id chosen"),
            Fact::KillDecided { task, why, .. } => info!(%task, why, "kill decided"),
            Fact::ReplacementDecided { task } => warn!(%task, "unreachable for too long, will be replaced"),
            Fact::StatusRecorded(status) => {
                info!(task = %status.task, state = %status.state, reason = status.reason, message = status.message, "status");
            }
            Fact::StrangerSeen { task, agent, state } => warn!(task, %agent, %state, "a task that is not ours to run"),
            Fact::PlatformApplied { desired, .. } => info!(platform = desired.name, "platform applied"),
            Fact::PlatformStopped { .. } => info!("platform is to be stopped"),
            Fact::PlatformStarted { .. } => info!("platform is to run"),
            Fact::UninstallBegun { .. } => info!("platform is to be uninstalled"),
            Fact::Uninstalled => info!("nothing of the framework is left"),
            Fact::TokenSet { .. } => info!("token set"),
            Fact::ReservationSeen { hostname, cpus, mem, .. } => {
                info!(host = hostname, %cpus, memory = %mem, "reservation seen");
            }
            Fact::DocumentChanged { name, generation, .. } => debug!(name, generation, "document changed"),
            Fact::LeaderClaimed { epoch, replica, advertise } => info!(epoch, replica, advertise, "leader claimed"),
            Fact::Barrier { epoch } => debug!(epoch, "barrier"),
            Fact::FrameworkReplaced { framework, .. } => warn!(%framework, "framework replaced"),
            Fact::MovedTo { url } => info!(zk = url, "the journal has moved"),
        }
    }
}

fn crash_points(entries: &[Entry]) {
    let launches = |entry: &Entry| matches!(entry.fact, Fact::LaunchDecided(_) | Fact::UnitLaunched(_));
    crash::here_if(Point::Synced, entries.iter().any(launches));
    let running =
        |entry: &Entry| matches!(&entry.fact, Fact::StatusRecorded(status) if status.state == TaskState::Running);
    crash::here_if(Point::RunningRecorded, entries.iter().any(running));
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").field("role", &self.role).finish_non_exhaustive()
    }
}
