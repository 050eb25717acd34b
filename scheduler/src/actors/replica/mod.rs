//! One replica among several: follows the journal in ZooKeeper, stands for election, and appends while it leads.

mod candidacy;
mod follow;
mod lead;
mod shown;

use std::sync::Arc;
use std::time::Duration;

use epic_common::backoff::Backoff;
use epic_common::machine::Machine as _;
use epic_common::time::Timestamp;
use epic_common_io::driver::{Clock, Inbox};
use epic_scheduler_core::director;
use epic_scheduler_core::replica::election::{self, Election};
use epic_scheduler_core::state::State;
use epic_scheduler_core::state::entry::{Entry, Index};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{info, warn};

use crate::actors::work::{Work, done, sleep_for};
use crate::chain;
use crate::journal::ring::{self, Append, Ring};
use crate::metrics;
use crate::peers::{self, Peer};
use crate::replica::{Mode, Replica as Shown};
use crate::store::{At, Keeper};
use crate::zookeeper::{Connect, Session, State as Link};

/// A batch that the leader wants durable.
#[derive(Debug)]
pub struct Proposal {
    /// The position of its first entry.
    pub first: Index,
    /// What is in it.
    pub entries: Vec<Entry>,
    /// Since when it is on its way.
    pub append: metrics::Append,
}

/// How a replica takes part.
#[derive(Clone, Debug)]
pub struct Terms {
    /// How sessions with ZooKeeper are made.
    pub connect: Connect,
    /// A UUID of this process.
    pub id: String,
    /// Where the others reach this replica.
    pub advertise: String,
    /// Where agents and executors fetch artifacts from this replica.
    pub agents: String,
    /// The role whose reservations the framework is to use.
    pub role: String,
    /// For how long it leads before it lets another one; `None` for as long as it can.
    pub leading_time_max: Option<Duration>,
}

/// What a replica knows of the journal.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// What tells that journal from another one; `None` if none was ever followed.
    pub journal: Option<String>,
    /// The number of the last batch that was applied.
    pub position: u64,
    /// What was once followed and is not known any more: a journal without it is another one, or has lost something.
    pub floor: Option<At>,
    /// The checksum of that batch, if it is known: another batch of the same number is another history.
    pub last_crc32: Option<u32>,
    /// The sum of all batches up to it.
    pub state: State,
}

/// What a replica is connected with in this process.
#[derive(Debug)]
pub struct Ends {
    /// The director.
    pub inbox: Inbox<director::Input>,
    /// What it proposes.
    pub proposals: mpsc::Receiver<Proposal>,
    /// Keeps a copy of the journal on this replica's disk.
    pub keeper: Keeper,
    /// Where what this replica is to the others goes.
    pub shown: watch::Sender<Shown>,
    /// Where those that take part go.
    pub peers: watch::Sender<Arc<Vec<Peer>>>,
    /// The driver's clock.
    pub clock: Clock,
}

/// A replica that takes part.
#[derive(Debug)]
pub struct Replica {
    terms: Terms,
    known: Known,
    ends: Ends,
    /// Whoever led in this epoch, or before it, leads no more unless it still takes part.
    asked_in: u64,
}

/// Why one session is over.
enum Over {
    /// It was asked to.
    Stopped,
    /// Another session is needed, for this reason.
    Lost(String),
}

/// What one session has under way.
struct Turn<'a> {
    ring: &'a Ring,
    election: Election,
    /// The epoch in which it leads, and since when by its own clock.
    leading: Option<(u64, Timestamp)>,
    watching: Option<Work<'a, election::Input>>,
    appending: Option<(Proposal, Arc<[u8]>, Appending<'a>)>,
    snapshotting: Option<Work<'a, Result<(), ring::Error>>>,
    /// Whoever takes part is being looked up, or will be in a moment.
    asking: Option<Work<'a, Option<Vec<Peer>>>>,
    /// The epoch before that.
    asked_in: u64,
}

/// An append that is under way.
type Appending<'a> = Work<'a, Result<Append, ring::Error>>;

impl Replica {
    /// Puts it together; nothing is connected to before [`run`](Self::run).
    #[must_use]
    pub const fn new(terms: Terms, known: Known, ends: Ends) -> Self {
        Self { terms, known, ends, asked_in: 0 }
    }

    /// Takes part until `stop` says so: whatever is wrong is shown, and tried again.
    pub async fn run(mut self, mut stop: oneshot::Receiver<()>) {
        self.take_part(&mut stop).await;
        if !self.ends.keeper.close(CLOSE_WITHIN).await {
            warn!("the copy on this replica's disk lacks what came last; the journal has it");
        }
    }

    async fn take_part(&mut self, stop: &mut oneshot::Receiver<()>) {
        let mut failures = 0;
        loop {
            let why = match self.begin(stop).await {
                Ok(Some(ring)) => {
                    failures = 0;
                    let over = self.live(&ring, stop).await;
                    ring.session().clone().close(CLOSE_WITHIN).await;
                    metrics::connected(false);
                    match over {
                        Over::Stopped => return,
                        Over::Lost(why) => why,
                    }
                }
                Ok(None) => return,
                Err(why) => why,
            };
            failures += 1;
            self.show_out(why);
            tokio::select! {
                _ = &mut *stop => return,
                () = tokio::time::sleep(RETRY.jittered(failures, self.ends.clock.now().0)) => {}
            }
        }
    }

    /// Opens the journal and reads it to its end; `None` if it is stopped meanwhile.
    async fn begin(&mut self, stop: &mut oneshot::Receiver<()>) -> Result<Option<Ring>, String> {
        let opened = tokio::select! {
            _ = &mut *stop => return Ok(None),
            opened = open(&self.terms.connect, self.has_followed()) => opened,
        };
        let ring = opened?;
        metrics::connected(true);
        let caught_up = tokio::select! {
            _ = &mut *stop => Ok(false),
            caught_up = self.catch_up(&ring) => caught_up.map(|()| true),
        };
        if caught_up == Ok(true) {
            return Ok(Some(ring));
        }
        ring.session().clone().close(CLOSE_WITHIN).await;
        metrics::connected(false);
        caught_up.map(|_| None)
    }

    async fn live(&mut self, ring: &Ring, stop: &mut oneshot::Receiver<()>) -> Over {
        let mut turn = Turn {
            ring,
            election: Election::new(RETRY),
            leading: None,
            watching: None,
            appending: None,
            snapshotting: None,
            asking: Some(ask(ring.session(), Duration::ZERO)),
            asked_in: 0,
        };
        let mut states = ring.session().states();
        turn.election.handle(self.ends.clock.now(), election::Input::Connected);
        self.show(Mode::Standby, String::new());
        loop {
            if let Err(why) = self.obey(&mut turn).await {
                return self.lose(&mut turn, why).await;
            }
            let deadline = self.deadline(&turn);
            tokio::select! {
                biased;
                _ = &mut *stop => {
                    self.finish(&mut turn).await;
                    return Over::Stopped;
                }
                changed = states.changed() => {
                    let state = if changed.is_err() { Link::Expired } else { *states.borrow_and_update() };
                    if let Some(over) = self.link_changed(&mut turn, state).await {
                        return over;
                    }
                }
                appended = done(turn.appending.as_mut().map(|(.., work)| work)) => self.appended(&mut turn, appended).await,
                input = done(turn.watching.as_mut()) => {
                    turn.watching = None;
                    turn.election.handle(self.ends.clock.now(), input);
                }
                made = done(turn.snapshotting.as_mut()) => {
                    turn.snapshotting = None;
                    match made {
                        Ok(()) => info!("snapshot made"),
                        Err(error) => warn!(error = chain(&error), "no snapshot"),
                    }
                }
                peers = done(turn.asking.as_mut()) => {
                    let asked_in = std::mem::replace(&mut turn.asked_in, self.known.state.epoch());
                    turn.asking = Some(ask(ring.session(), PEERS_EVERY));
                    self.keep_whole();
                    self.heard_of(peers, asked_in).await;
                }
                next = ring.next(self.known.position), if turn.leading.is_none() => {
                    if let Err(why) = self.follow(ring, next).await {
                        return self.lose(&mut turn, why).await;
                    }
                    self.show(Mode::Standby, String::new());
                }
                Some(proposal) = self.ends.proposals.recv(), if turn.leading.is_some() && turn.appending.is_none() => {
                    self.append(&mut turn, proposal);
                }
                () = sleep_for(deadline) => self.abdicate(&mut turn),
            }
        }
    }

    /// Needs another session: until it has one, others see why.
    async fn lose(&mut self, turn: &mut Turn<'_>, why: String) -> Over {
        self.stand_down(turn, &why).await;
        self.show_out(why.clone());
        Over::Lost(why)
    }

    async fn link_changed(&mut self, turn: &mut Turn<'_>, state: Link) -> Option<Over> {
        info!(?state, "ZooKeeper");
        metrics::connected(state == Link::Connected);
        let input = match state {
            Link::Connected => election::Input::Connected,
            Link::Disconnected => {
                metrics::disconnected();
                election::Input::Disconnected
            }
            Link::Expired | Link::AuthFailed => {
                metrics::session_lost();
                return Some(self.lose(turn, "the session with ZooKeeper has ended".to_owned()).await);
            }
        };
        turn.election.handle(self.ends.clock.now(), input);
        let mode = self.ends.shown.borrow().mode;
        let problem = if state == Link::Connected { "" } else { "ZooKeeper doesn't answer just now" };
        self.show(mode, problem.to_owned());
        None
    }

    /// Carries out what the election wants.
    async fn obey(&mut self, turn: &mut Turn<'_>) -> Result<(), String> {
        while let Some(output) = turn.election.poll(self.ends.clock.now()) {
            let session = turn.ring.session();
            match output {
                election::Output::Create(ask) => {
                    let input = candidacy::create(session, ask, &self.own()).await;
                    turn.election.handle(self.ends.clock.now(), input);
                }
                election::Output::List(ask) => {
                    let input = candidacy::list(session, ask).await;
                    turn.election.handle(self.ends.clock.now(), input);
                }
                election::Output::Watch { ask, predecessor } => {
                    turn.watching = Some(Box::pin(candidacy::gone(session.clone(), ask, predecessor)));
                }
                election::Output::Withdraw { ask, own } => {
                    let input = candidacy::withdraw(session, ask, &own).await;
                    turn.election.handle(self.ends.clock.now(), input);
                }
                election::Output::Claim => {
                    self.show(Mode::Claiming, String::new());
                    if !self.claim(turn).await? {
                        self.show(Mode::Standby, String::new());
                        turn.election.handle(self.ends.clock.now(), election::Input::Deposed);
                    }
                }
                election::Output::Pause => self.tell(director::Input::Paused).await,
                election::Output::Resume => self.tell(director::Input::Resumed).await,
                election::Output::StandDown => {
                    self.stand_down(turn, "it is another replica's turn to lead").await;
                    self.show(Mode::Standby, String::new());
                }
            }
        }
        Ok(())
    }

    /// Says how long there is nothing to do of its own.
    fn deadline(&self, turn: &Turn<'_>) -> Option<Duration> {
        let is_idle = turn.appending.is_none();
        let can = is_idle && turn.ring.session().state() == Link::Connected;
        let since = turn.leading.filter(|_| can).map(|(_, since)| since);
        let abdicate = since.zip(self.terms.leading_time_max).map(|(since, most)| since + most);
        let next = [turn.election.deadline(), abdicate].into_iter().flatten().min();
        next.map(|at| at.since(self.ends.clock.now()))
    }

    /// Lets another replica lead if this one has for long enough.
    fn abdicate(&self, turn: &mut Turn<'_>) {
        let now = self.ends.clock.now();
        let Some((_, since)) = turn.leading.filter(|_| turn.appending.is_none()) else { return };
        if self.terms.leading_time_max.is_some_and(|most| since + most <= now) {
            info!("this replica has led for --max-leading-time");
            turn.election.handle(now, election::Input::Abdicate);
        }
    }

    fn own(&self) -> Peer {
        Peer::own(&self.terms.id, &self.terms.advertise, &self.terms.agents)
    }

    /// Tells the director what it has to know of those that take part.
    async fn introduce(&self, peers: &[Peer]) {
        self.tell(director::Input::Elder(peers::elder(peers))).await;
        self.tell(director::Input::Sources(peers::sources(peers, &self.terms.id))).await;
    }

    async fn tell(&self, input: director::Input) {
        // A director that has ended is noticed by whoever started it.
        self.ends.inbox.put(input).await.ok();
    }
}

/// Connects, and opens the journal that is there.
///
/// Whoever has followed one must not be told to make a new one: what ZooKeeper has lost would be lost for good.
async fn open(connect: &Connect, has_followed: bool) -> Result<Ring, String> {
    let session = Session::connect(connect, connect.session_timeout).await.map_err(|error| chain(&error))?;
    Ring::open(session).await.map_err(|error| {
        let ring::Error::NotInitialised { url, .. } = &error else { return chain(&error) };
        if !has_followed {
            return chain(&error);
        }
        format!(
            "there is no journal at {url} any more, though this replica has followed one there: restore ZooKeeper, or stop \
             all replicas, make a backup of the one that got furthest with epic-scheduler state backup, and restore it \
             with epic-scheduler state restore FILE --zk URL"
        )
    })
}

/// Asks who takes part, after a while.
fn ask<'a>(session: &Session, pause: Duration) -> Work<'a, Option<Vec<Peer>>> {
    let session = session.clone();
    Box::pin(async move {
        tokio::time::sleep(pause).await;
        candidacy::peers(&session).await.ok()
    })
}

const RETRY: Backoff = Backoff { first: Duration::from_millis(250), most: Duration::from_secs(5) };
const CLOSE_WITHIN: Duration = Duration::from_secs(2);
const PEERS_EVERY: Duration = Duration::from_secs(5);
