//! One replica among several: follows the journal in ZooKeeper, stands for election, and appends while it leads.

use std::time::{Duration, Instant};

use epic_common::backoff::Backoff;
use epic_common::machine::Machine as _;
use epic_common_io::driver::{Clock, Inbox};
use epic_scheduler_core::director;
use epic_scheduler_core::election::{self, Election};
use epic_scheduler_core::state::State;
use epic_scheduler_core::state::entry::{Entry, Fact, Index};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{info, warn};

use super::work::{Work, done, sleep_for};
use super::{candidacy, world};
use crate::chain;
use crate::journal::codec;
use crate::journal::ring::{self, Append, Next, Ring};
use crate::replica::{Mode, Replica as Shown};
use crate::zookeeper::{Connect, Session, State as Link};

/// A batch that the leader wants durable.
#[derive(Debug)]
pub struct Proposal {
    /// The position of its first entry.
    pub first: Index,
    /// What is in it.
    pub entries: Vec<Entry>,
    /// When it was proposed.
    pub started: Instant,
}

/// Whatever a replica needs.
#[derive(Debug)]
pub struct Replica {
    /// How sessions with ZooKeeper are made.
    pub connect: Connect,
    /// A UUID of this process.
    pub id: String,
    /// Where the others reach this replica.
    pub advertise: String,
    /// What the journal holds so far.
    pub state: State,
    /// The number of its last batch.
    pub position: u64,
    /// The director.
    pub inbox: Inbox<director::Input>,
    /// What it proposes.
    pub proposals: mpsc::Receiver<Proposal>,
    /// Where what this replica is to the others goes.
    pub shown: watch::Sender<Shown>,
    /// Ends it in good order.
    pub stop: oneshot::Receiver<()>,
    /// The driver's clock.
    pub clock: Clock,
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
    /// The epoch in which it leads.
    epoch: Option<u64>,
    watching: Option<Work<'a, election::Input>>,
    appending: Option<(Proposal, Work<'a, Result<Append, ring::Error>>)>,
    snapshotting: Option<Work<'a, Result<(), ring::Error>>>,
}

impl Replica {
    /// Takes part until it is stopped; `ring` is the session that the state was recovered with.
    pub async fn run(mut self, ring: Ring) {
        let journal = ring.id().to_owned();
        let mut ring = Some(ring);
        let mut failures = 0;
        loop {
            let open = match ring.take() {
                Some(ring) => Ok(ring),
                None => self.open(&journal).await,
            };
            let why = match open {
                Ok(ring) => {
                    failures = 0;
                    let over = self.live(&ring).await;
                    ring.session().clone().close(CLOSE_WITHIN).await;
                    match over {
                        Over::Stopped => return,
                        Over::Lost(why) => why,
                    }
                }
                Err(why) => why,
            };
            failures += 1;
            warn!(why, "no session with ZooKeeper");
            self.show(Mode::Standby, why);
            tokio::select! {
                _ = &mut self.stop => return,
                () = tokio::time::sleep(RETRY.jittered(failures, self.clock.now().0)) => {}
            }
        }
    }

    /// Shows it as a standby before it takes part.
    pub fn show_standby(&self) {
        self.show(Mode::Standby, String::new());
    }

    async fn open(&self, journal: &str) -> Result<Ring, String> {
        let session = Session::connect(&self.connect, self.connect.session_timeout).await;
        let ring = Ring::open(session.map_err(|error| chain(&error))?).await.map_err(|error| chain(&error))?;
        if ring.id() == journal {
            return Ok(ring);
        }
        let next = "stop all replicas, find out which journal is the right one, and start them on it";
        Err(format!("the journal at {} is another one than this replica has followed: {next}", self.connect.path))
    }

    async fn live(&mut self, ring: &Ring) -> Over {
        let mut turn = Turn {
            ring,
            election: Election::new(RETRY),
            epoch: None,
            watching: None,
            appending: None,
            snapshotting: None,
        };
        let mut states = ring.session().states();
        turn.election.handle(self.clock.now(), election::Input::Connected);
        self.show(Mode::Standby, String::new());
        loop {
            if let Err(why) = self.obey(&mut turn).await {
                self.stand_down(&mut turn, &why).await;
                return Over::Lost(why);
            }
            let deadline = turn.election.deadline().map(|at| at.since(self.clock.now()));
            tokio::select! {
                biased;
                _ = &mut self.stop => {
                    self.finish(&mut turn).await;
                    return Over::Stopped;
                }
                changed = states.changed() => {
                    let state = if changed.is_err() { Link::Expired } else { *states.borrow_and_update() };
                    let input = match state {
                        Link::Connected => election::Input::Connected,
                        Link::Disconnected => election::Input::Disconnected,
                        Link::Expired | Link::AuthFailed => {
                            let why = "the session with ZooKeeper has ended".to_owned();
                            self.stand_down(&mut turn, &why).await;
                            return Over::Lost(why);
                        }
                    };
                    info!(?state, "ZooKeeper");
                    turn.election.handle(self.clock.now(), input);
                }
                appended = done(turn.appending.as_mut().map(|(_, work)| work)) => self.appended(&mut turn, appended).await,
                input = done(turn.watching.as_mut()) => {
                    turn.watching = None;
                    turn.election.handle(self.clock.now(), input);
                }
                made = done(turn.snapshotting.as_mut()) => {
                    turn.snapshotting = None;
                    match made {
                        Ok(()) => info!("snapshot made"),
                        Err(error) => warn!(error = chain(&error), "no snapshot"),
                    }
                }
                next = ring.next(self.position), if turn.epoch.is_none() => match next {
                    Ok(next) => {
                        if let Err(why) = self.followed(ring, next).await {
                            return Over::Lost(why);
                        }
                    }
                    Err(error) => {
                        self.stand_down(&mut turn, "the journal can't be read").await;
                        return Over::Lost(chain(&error));
                    }
                },
                Some(proposal) = self.proposals.recv(), if turn.epoch.is_some() && turn.appending.is_none() => {
                    self.append(&mut turn, proposal);
                }
                () = sleep_for(deadline) => {}
            }
        }
    }

    /// Carries out what the election wants.
    async fn obey(&mut self, turn: &mut Turn<'_>) -> Result<(), String> {
        while let Some(output) = turn.election.poll(self.clock.now()) {
            let session = turn.ring.session();
            match output {
                election::Output::Create(ask) => {
                    let input = candidacy::create(session, ask, &self.id, &self.advertise).await;
                    turn.election.handle(self.clock.now(), input);
                }
                election::Output::List(ask) => {
                    let own = turn.election.own().map(str::to_owned);
                    let input = candidacy::list(session, ask, own.as_deref()).await;
                    turn.election.handle(self.clock.now(), input);
                }
                election::Output::Watch { ask, predecessor } => {
                    turn.watching = Some(Box::pin(candidacy::gone(session.clone(), ask, predecessor)));
                }
                election::Output::Claim => {
                    self.show(Mode::Claiming, String::new());
                    if !self.claim(turn).await? {
                        self.show(Mode::Standby, String::new());
                        turn.election.handle(self.clock.now(), election::Input::Deposed);
                    }
                }
                election::Output::Pause => self.tell(director::Input::Paused).await,
                election::Output::Resume => self.tell(director::Input::Resumed).await,
                election::Output::StandDown => self.stand_down(turn, "another replica leads").await,
            }
        }
        Ok(())
    }

    /// Reads to the end, then appends the claim; it is the fence. Answers whether it stands.
    async fn claim(&mut self, turn: &mut Turn<'_>) -> Result<bool, String> {
        let failed = |error: ring::Error| chain(&error);
        while !turn.ring.is_at_end(self.position).await.map_err(failed)? {
            let next = turn.ring.next(self.position).await.map_err(failed)?;
            self.followed(turn.ring, next).await?;
        }
        let claimed = self.clock.now();
        let epoch = self.state.epoch() + 1;
        let fact = Fact::LeaderClaimed { epoch, replica: self.id.clone(), advertise: self.advertise.clone() };
        let (first, entries) = (self.state.index.next(), vec![Entry { at: claimed.max(self.state.at), fact }]);
        let bytes = codec::encode_batch(first, &entries);
        match turn.ring.append(self.position + 1, epoch, &bytes).await {
            Ok(Append::Durable(_)) => {}
            Ok(Append::Deposed) => return Ok(false),
            Err(ring::Error::SnapshotNeeded { .. }) => {
                let snapshot = codec::encode_snapshot(&self.state);
                turn.ring.snapshot(self.position, &snapshot).await.map_err(failed)?;
                return Ok(false);
            }
            Err(error) => return Err(chain(&error)),
        }
        self.apply(&entries);
        self.drain();
        self.tell(director::Input::Followed(first, entries)).await;
        self.tell(director::Input::Lead { claimed: Some(claimed) }).await;
        turn.epoch = Some(epoch);
        info!(epoch, "this replica leads");
        self.show(Mode::Leading, String::new());
        Ok(true)
    }

    fn append<'a>(&self, turn: &mut Turn<'a>, proposal: Proposal) {
        // What was proposed in an earlier time of leading is void.
        let (Some(epoch), true) = (turn.epoch, proposal.first == self.state.index.next()) else { return };
        let bytes = codec::encode_batch(proposal.first, &proposal.entries);
        let (ring, batch): (&'a Ring, u64) = (turn.ring, self.position + 1);
        let needed = ring.must_snapshot(batch).then(|| self.state.clone());
        turn.appending = Some((
            proposal,
            Box::pin(async move {
                if let Some(state) = needed {
                    ring.snapshot(batch - 1, &codec::encode_snapshot(&state)).await?;
                }
                ring.append(batch, epoch, &bytes).await
            }),
        ));
    }

    async fn appended(&mut self, turn: &mut Turn<'_>, appended: Result<Append, ring::Error>) {
        let Some((proposal, _)) = turn.appending.take() else { return };
        match appended {
            Ok(Append::Durable(_)) => {
                self.apply(&proposal.entries);
                // Told from here, so that nothing that comes later in the journal can be heard of before.
                world::durable(proposal.first, &proposal.entries, proposal.started, &self.inbox).await;
                self.snapshot(turn);
            }
            Ok(Append::Deposed) => self.depose(turn, "another replica has written to the journal").await,
            Err(error) => {
                let why = chain(&error);
                self.depose(turn, &why).await;
            }
        }
    }

    async fn depose(&mut self, turn: &mut Turn<'_>, why: &str) {
        warn!(why, "deposed");
        self.stand_down(turn, why).await;
        turn.election.handle(self.clock.now(), election::Input::Deposed);
    }

    /// Makes a snapshot beside everything else, if it is time.
    fn snapshot(&self, turn: &mut Turn<'_>) {
        if turn.snapshotting.is_some() || !turn.ring.should_snapshot() {
            return;
        }
        let (ring, batch, state) = (turn.ring, self.position, self.state.clone());
        turn.snapshotting = Some(Box::pin(async move {
            let Ok(bytes) = tokio::task::spawn_blocking(move || codec::encode_snapshot(&state)).await else {
                return Ok(());
            };
            ring.snapshot(batch, &bytes).await
        }));
    }

    async fn followed(&mut self, ring: &Ring, next: Next) -> Result<(), String> {
        match next {
            Next::Batch(bytes) => {
                let (first, entries) = codec::decode_batch(&bytes).map_err(|error| chain(&error))?;
                if entries.is_empty() {
                    self.position += 1;
                    return Ok(());
                }
                if first != self.state.index.next() {
                    let expected = self.state.index.next().0;
                    return Err(format!("batch {} begins with entry {}, not {expected}", self.position + 1, first.0));
                }
                self.apply(&entries);
                self.tell(director::Input::Followed(first, entries)).await;
            }
            Next::Lapped => {
                let recovered = ring.recover().await.map_err(|error| chain(&error))?;
                let state = crate::start::state(&recovered).map_err(|failure| failure.text)?;
                self.position = ring.position();
                self.state = state.clone();
                self.tell(director::Input::Restored(Box::new(state))).await;
            }
        }
        // What is borrowed must be given back first: sending waits for it.
        let mode = self.shown.borrow().mode;
        self.show(mode, String::new());
        Ok(())
    }

    fn apply(&mut self, entries: &[Entry]) {
        for entry in entries {
            self.state.apply(entry);
        }
        self.position += 1;
    }

    async fn stand_down(&mut self, turn: &mut Turn<'_>, why: &str) {
        turn.appending = None;
        if turn.epoch.take().is_some() {
            info!(why, "this replica stands by");
        }
        self.tell(director::Input::StandDown(why.to_owned())).await;
        self.drain();
        self.show(Mode::Standby, String::new());
    }

    /// Ends in good order: the batch on its way becomes durable first.
    async fn finish(&mut self, turn: &mut Turn<'_>) {
        if let Some((proposal, work)) = turn.appending.take()
            && let Ok(Ok(Append::Durable(_))) = tokio::time::timeout(CLOSE_WITHIN, work).await
        {
            self.apply(&proposal.entries);
            world::durable(proposal.first, &proposal.entries, proposal.started, &self.inbox).await;
        }
        // Mesos is let go before the session is: a session outlives whatever its holder subscribed.
        self.stand_down(turn, "this replica ends").await;
    }

    /// Drops what was proposed and not begun.
    fn drain(&mut self) {
        while self.proposals.try_recv().is_ok() {}
    }

    async fn tell(&self, input: director::Input) {
        // A director that has ended is noticed by whoever started it.
        self.inbox.put(input).await.ok();
    }

    fn show(&self, mode: Mode, problem: String) {
        let caught_up = problem.is_empty();
        let leader = self.state.leader.as_ref().map(|leader| leader.advertise.clone());
        let (epoch, advertise) = (self.state.epoch(), self.advertise.clone());
        self.shown.send_replace(Shown { mode, advertise, leader, epoch, caught_up, problem });
    }
}

const RETRY: Backoff = Backoff { first: Duration::from_millis(250), most: Duration::from_secs(5) };
const CLOSE_WITHIN: Duration = Duration::from_secs(2);
