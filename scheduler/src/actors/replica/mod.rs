//! One replica among several: carries out what its machine wants of ZooKeeper, the director, and the copy on disk.

mod candidacy;
mod questions;
mod session;
mod write;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use epic_common_io::driver::{Clock, Driver, Inbox, World as DriverWorld};
use epic_scheduler_core::director;
use epic_scheduler_core::replica::{
    At, Copied, Input, Known, Output, Peer, Replica as Machine, Role, Shown as Seen, Terms,
};
use epic_scheduler_core::state::entry::{Entry, Index};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{info, warn};

use crate::journal::ring::Ring;
use crate::metrics;
use crate::replica::{Mode, Replica as Shown};
use crate::store::Keeper;
use crate::view::Published;
use crate::zookeeper::Connect;
use session::Task;

/// A batch that the leader wants durable.
#[derive(Debug)]
pub struct Proposal {
    /// The position of its first entry.
    pub first: Index,
    /// What is in it.
    pub entries: Vec<Entry>,
}

/// What a replica is connected with in this process.
#[derive(Debug)]
pub struct Ends {
    /// How sessions with ZooKeeper are made.
    pub connect: Connect,
    /// What this process says of itself to the others.
    pub own: Peer,
    /// The director.
    pub director: Inbox<director::Input>,
    /// What it proposes.
    pub proposals: mpsc::Receiver<Proposal>,
    /// What it has applied.
    pub published: watch::Receiver<Arc<Published>>,
    /// Keeps a copy of the journal on this replica's disk.
    pub keeper: Keeper,
    /// Where what this replica is to the others goes.
    pub shown: watch::Sender<Shown>,
    /// Where those that take part go.
    pub peers: watch::Sender<Arc<Vec<Peer>>>,
}

/// Takes part from now on; ends after [`Input::Stop`], and says so.
///
/// Whatever is wrong is shown, and tried again.
pub fn start(terms: Terms, known: Known, ends: Ends, clock: Clock) -> (Inbox<Input>, oneshot::Receiver<()>) {
    let servers = ends.connect.path.servers.join(",");
    let machine = Machine::new(terms, known, format!("ZooKeeper at {servers} has not answered yet"));
    let (end, ended) = oneshot::channel();
    let (direct, directed) = mpsc::unbounded_channel();
    let Ends { connect, own, director, mut proposals, published, keeper, shown, peers } = ends;
    let health = keeper.health();
    let world = World {
        connect,
        own,
        direct,
        published,
        keeper: Some(keeper),
        batch: Rc::new(Cell::new(machine.known().batch)),
        shown,
        peers,
        end: Some(end),
        session: Rc::default(),
        work: Work::default(),
    };
    // Before anybody can see anything else.
    world.show(machine.shown());
    let batch = Rc::clone(&world.batch);
    let inbox = Driver::start(machine, world, clock);
    actix::spawn(tell(directed, director, inbox.clone()));
    actix::spawn(session::watch_copy(health, batch, inbox.clone()));
    let proposed = inbox.clone();
    actix::spawn(async move {
        while let Some(Proposal { first, entries }) = proposals.recv().await {
            // Whoever took part has ended only if the process ends.
            proposed.put(Input::Proposed(first, entries)).await.ok();
        }
    });
    (inbox, ended)
}

/// The machine's world.
struct World {
    connect: Connect,
    own: Peer,
    /// Few wait in it: the machine says little before it hears that the director has handled all.
    direct: mpsc::UnboundedSender<director::Input>,
    published: watch::Receiver<Arc<Published>>,
    /// `None` once it is being closed.
    keeper: Option<Keeper>,
    /// The last batch that was applied.
    batch: Rc<Cell<u64>>,
    shown: watch::Sender<Shown>,
    peers: watch::Sender<Arc<Vec<Peer>>>,
    end: Option<oneshot::Sender<()>>,
    session: Rc<RefCell<Option<Session>>>,
    work: Work,
}

/// An open session.
#[derive(Debug)]
struct Session {
    ring: Rc<Ring>,
    /// Tells the machine how it is.
    watch: Task,
}

/// What is under way in a session, one of each kind; whatever is begun takes the place of what was.
#[derive(Debug, Default)]
struct Work {
    question: Option<Task>,
    candidates: Option<Task>,
    inquiry: Option<Task>,
    appending: Option<Task>,
    snapshot: Option<Task>,
}

impl DriverWorld<Machine> for World {
    fn act(&mut self, output: Output, inbox: &Inbox<Input>) {
        match output {
            Output::Direct(input) => self.direct(input),
            Output::Journal(ask, question) => {
                let answer = self.answer(ask, question, inbox.clone());
                let answered = async move { Input::Journal(ask, answer.await) };
                self.work.question = Some(report(inbox, answered));
            }
            Output::Candidates(ask, question) => {
                let (ring, own) = (self.ring(), self.own.clone());
                let answered = async move { Input::Candidates(ask, candidacy::answer(ring, question, &own).await) };
                self.work.candidates = Some(report(inbox, answered));
            }
            Output::Peers(ask) => {
                let ring = self.ring();
                self.work.inquiry = Some(report(inbox, async move { Input::Peers(ask, candidacy::peers(ring).await) }));
            }
            Output::Claim(ask, batch) => {
                let ring = self.ring();
                let appended = async move { Input::Appended(ask, write::append(ring, batch, None).await) };
                self.work.appending = Some(report(inbox, appended));
            }
            Output::Append(ask, batch) => {
                let (ring, since) = (self.ring(), metrics::Append::begin());
                let appended = async move { Input::Appended(ask, write::append(ring, batch, Some(since)).await) };
                self.work.appending = Some(report(inbox, appended));
            }
            Output::StopAppending => self.work.appending = None,
            Output::Snapshot(ask, batch, index) => {
                let (ring, state) = (self.ring(), self.state(index));
                let written = async move { Input::Snapshotted(ask, write::snapshot(ring, batch, state).await) };
                self.work.snapshot = Some(report(inbox, written));
            }
            Output::Copy(copied) => self.copy(copied),
            Output::CopyWhole(at, index) => self.copy_whole(at, index),
            Output::Show(seen) => self.show(seen),
            Output::ShowPeers(peers) => {
                self.peers.send_replace(Arc::new(peers));
            }
            Output::Warn(why) => warn!(why, "this replica takes no part"),
            Output::Close => self.close(inbox),
            Output::End => self.end(),
        }
    }
}

impl World {
    fn direct(&self, input: director::Input) {
        if let director::Input::StandDown(why) = &input {
            info!(why, "this replica stands by");
        }
        if matches!(input, director::Input::Lead { .. }) {
            metrics::claimed();
        }
        // Whoever hands it over has ended only if the process ends.
        self.direct.send(input).ok();
    }

    fn ring(&self) -> Option<Rc<Ring>> {
        self.session.borrow().as_ref().map(|session| Rc::clone(&session.ring))
    }

    /// Returns what the director has applied, which is all up to this entry: it has handled all that it was told.
    fn state(&self, index: Index) -> epic_scheduler_core::state::State {
        let state = self.published.borrow().state.clone();
        assert_eq!(state.index, index, "the director has another state than this replica has followed");
        state
    }

    fn copy(&self, copied: Copied) {
        let Copied { number, epoch, index, bytes } = copied;
        self.batch.set(number);
        metrics::indexed(index.0);
        if let Some(keeper) = &self.keeper {
            keeper.batch(number, epoch, bytes);
            metrics::stored(number, &keeper.health().borrow());
        }
    }

    fn copy_whole(&self, at: At, index: Index) {
        self.batch.set(at.batch);
        if let Some(keeper) = &self.keeper {
            keeper.reset(at, self.state(index));
        }
    }

    fn show(&self, seen: Seen) {
        let Seen { role, leader, epoch, index, problem } = seen;
        let mode = match role {
            Role::Standby => Mode::Standby,
            Role::Claiming => Mode::Claiming,
            Role::Leading => Mode::Leading,
        };
        if mode == Mode::Leading && self.shown.borrow().mode != Mode::Leading {
            info!(epoch, "this replica leads");
        }
        let shown = Shown {
            mode,
            advertise: self.own.advertise.clone(),
            leader: leader.as_ref().map(|leader| leader.advertise.clone()),
            since: leader.as_ref().map(|leader| leader.since),
            epoch,
            index: index.0,
            caught_up: problem.is_empty(),
            problem,
        };
        metrics::replica(&shown);
        self.shown.send_replace(shown);
    }

    fn close(&mut self, inbox: &Inbox<Input>) {
        self.work = Work::default();
        let (session, inbox) = (self.session.take(), inbox.clone());
        actix::spawn(async move {
            if let Some(Session { ring, watch }) = session {
                // What it would tell is no news.
                drop(watch);
                ring.session().close(CLOSE_WITHIN).await;
            }
            metrics::connected(false);
            // A driver that has ended needs no news.
            inbox.put(Input::Closed).await.ok();
        });
    }

    fn end(&mut self) {
        self.work = Work::default();
        let (keeper, end) = (self.keeper.take(), self.end.take());
        actix::spawn(async move {
            if let Some(keeper) = keeper
                && !keeper.close(CLOSE_WITHIN).await
            {
                warn!("the copy on this replica's disk lacks what came last; the journal has it");
            }
            // Whoever doesn't wait any more doesn't need to know.
            end.map(|end| end.send(()).ok());
        });
    }
}

/// Does some work and tells the machine what came of it.
fn report(inbox: &Inbox<Input>, work: impl Future<Output = Input> + 'static) -> Task {
    let inbox = inbox.clone();
    Task::spawn(async move {
        let input = work.await;
        // A driver that has ended needs no news.
        inbox.put(input).await.ok();
    })
}

/// Hands the director one input after the other.
async fn tell(
    mut inputs: mpsc::UnboundedReceiver<director::Input>,
    director: Inbox<director::Input>,
    inbox: Inbox<Input>,
) {
    while let Some(input) = inputs.recv().await {
        // A director that has ended is noticed by whoever started it.
        director.put(input).await.ok();
        if inbox.put(Input::Directed).await.is_err() {
            return;
        }
    }
}

/// What is answered where no session is open.
const NO_SESSION: &str = "there is no session with ZooKeeper";
const CLOSE_WITHIN: Duration = Duration::from_secs(2);
