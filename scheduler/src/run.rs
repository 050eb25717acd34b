//! Runs a scheduler from its first connection to its end.

use std::sync::Arc;
use std::time::Duration;

use epic_common_io::driver::{Clock, Driver, Inbox};
use epic_scheduler_core::director::{Director, Input};
use epic_scheduler_core::replica::artifact_search::Limits;
use epic_scheduler_core::replica::{Input as ReplicaInput, Known, Peer, Summary, Terms};
use epic_scheduler_core::request::{RejectionKind, Request, Wish};
use epic_scheduler_core::state::State;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{error, info, warn};

use crate::actors::journal::{Close, Journal};
use crate::actors::link::Link;
use crate::actors::replica::{self, Ends, Proposal};
use crate::actors::supply::Supply;
use crate::actors::world::{Halt, Parts, Store, World};
use crate::api::{Api, Asked};
use crate::chain;
use crate::config::Config;
use crate::failure::{Code, Failure};
use crate::holders::Holders;
use crate::journal::local::Lock;
use crate::metrics;
use crate::notify::Supervisor;
use crate::reach::servers::Servers;
use crate::replica::{Mode, Replica};
use crate::signals::Signals;
use crate::start::{Copy, Held, Ready};
use crate::view::Published;
use crate::watchdog::Watchdog;

/// Runs until a signal or a reason to end.
///
/// SIGTERM and SIGINT leave the framework and its services running; the batch on its way is finished.
///
/// # Errors
///
/// Why it ended without having been asked to.
pub async fn run(config: &Config, ready: Ready, signals: &mut Signals) -> Result<(), Failure> {
    // Back-offs in the journal count from its own times; the machine's may have been wrong when it wrote them.
    let clock = Clock::not_before(ready.state.at);
    let counts = metrics::install().map_err(|error| Failure::new(Code::Io, &error))?;
    actix::spawn(counts.clone().keep_small());
    actix::spawn(metrics::watch_state_dir(config.state_dir.clone()));
    let bound = config.zk_session_timeout.max(HANGS_AFTER_MIN);
    let watched = config.zk.as_ref().map(|_| Watchdog::start(bound)).transpose();
    let _watched = watched.map_err(|error| Failure::new(Code::Io, &error))?;
    let (publish, published) = watch::channel(Arc::new(first_view(config, &ready, &clock)));
    let (ask, requests) = mpsc::channel(REQUESTS);
    let (halt, mut halted) = mpsc::channel(1);
    let part = Part::of(ready.journal);
    let (world, clients) = World::new(Parts {
        store: part.store(),
        position: ready.position,
        link: Link::new(ready.client, ready.identity, clock),
        published: publish,
        halt,
        role: config.role.clone(),
        unreachable_after: config.unreachable_after,
        clock,
    });
    let state = ready.state.clone();
    let inbox = Driver::start(Director::new(ready.state, ready.policy), world, clock);
    let alone = Replica::alone(&config.reach.advertised());
    if config.zk.is_none() {
        metrics::replica(&alone);
    }
    let (show, replica) = watch::channel(alone);
    let (tell, peers) = watch::channel(Arc::new(Vec::new()));
    let clients_of_peers = ready.reach.clients.clone();
    let own = config.reach.advertised();
    let holders = Holders::new(own, peers.clone(), Arc::clone(&ready.artifacts), clients_of_peers.clone());
    let artifacts = Arc::clone(&ready.artifacts);
    // Before it can lead: no launch may be decided without knowing what is here.
    let (seen, limits) = (published.clone(), Limits::default());
    Supply { artifacts, holders: holders.clone(), published: seen, inbox: inbox.clone(), limits }.begin().await;
    let ending =
        part.begin(config, (ready.position, &state), (inbox.clone(), show, tell, published.clone(), clock)).await;
    actix::spawn(clients.serve(requests, inbox.clone()));
    ready.artifacts.verify_in_background();
    let api = Api {
        published: published.clone(),
        replica: replica.clone(),
        peers,
        requests: ask.clone(),
        clients: clients_of_peers,
        artifacts: ready.artifacts,
        holders,
        clock: Arc::new(move || clock.now()),
        counts,
    };
    let servers = Servers::start(ready.reach, api)?;
    let (advertise, agents) = (config.reach.advertised(), config.reach.advertised_agents());
    info!(listen = %config.reach.listen, advertise, agents, token_file = ready.token.place, "serving");
    let supervisor = Supervisor::ready(replica.clone());
    actix::spawn(seed(ask, (published, replica), ready.token.sha256, ready.seed));

    let end = tokio::select! {
        () = signals.wait() => Ok(()),
        why = halted.recv() => Err(failure(why)),
    };
    if let Some(supervisor) = supervisor {
        supervisor.stopping();
    }
    // Open connections may take their time; whoever leads next needn't wait for them.
    tokio::join!(ending.finish(&inbox), servers.stop());
    end
}

const SEED_EVERY: Duration = Duration::from_secs(1);
/// Reading a snapshot of very many tasks takes seconds.
const HANGS_AFTER_MIN: Duration = Duration::from_secs(10);
/// Requests that wait to be handed to the director.
const REQUESTS: usize = 64;

fn first_view(config: &Config, ready: &Ready, clock: &Clock) -> Published {
    Published {
        state: ready.state.clone(),
        role: config.role.clone(),
        unreachable_after: config.unreachable_after,
        at: clock.now(),
        ..Published::default()
    }
}

/// Asks for what the command line says, once this replica decides: the token, then the platform if the journal has none.
async fn seed(
    ask: mpsc::Sender<Asked>,
    (published, mut replica): (watch::Receiver<Arc<Published>>, watch::Receiver<Replica>),
    token: epic_common::ids::Digest,
    platform: Option<Wish>,
) {
    if replica.wait_for(|replica| replica.mode.decides()).await.is_err() {
        return;
    }
    let known = published.borrow().state.identity.token;
    if replica.borrow().mode == Mode::Leading && known.is_some_and(|known| known != token) {
        warn!("this replica was started with another token than the one that all replicas accept; the journal's stays");
    }
    let is_alone = replica.borrow().mode == Mode::Alone;
    let token = (is_alone || known.is_none()).then_some(Wish::SetToken(token));
    'wishes: for wish in [token, platform].into_iter().flatten() {
        // Whoever leads meanwhile has its own token and platform, or none: then it is asked for again.
        let answer = loop {
            if replica.wait_for(|replica| replica.mode.decides()).await.is_err() {
                return;
            }
            let is_set = !is_alone && published.borrow().state.identity.token.is_some();
            if matches!(wish, Wish::SetToken(_)) && is_set {
                continue 'wishes;
            }
            let (waits, answer) = oneshot::channel();
            if ask.send((Request::new(wish.clone()), waits)).await.is_err() {
                return;
            }
            match answer.await {
                Ok(Err(rejection)) if rejection.kind == RejectionKind::Unavailable => {
                    tokio::time::sleep(SEED_EVERY).await;
                }
                answer => break answer,
            }
        };
        match answer {
            Ok(Ok(granted)) => info!(index = granted.index.0, message = granted.message, "start"),
            Ok(Err(rejection)) => {
                let fields: Vec<_> =
                    rejection.errors.iter().map(|(path, problem)| format!("{path}: {problem}")).collect();
                error!(
                    title = rejection.title,
                    detail = rejection.detail,
                    fields = fields.join("; "),
                    "refused at the start"
                );
            }
            Err(_) => return,
        }
    }
}

fn failure(why: Option<Halt>) -> Failure {
    match why {
        Some(Halt::Refused(why)) => {
            let next = if why.contains("check --") {
                ""
            } else {
                "; check --role and --principal against the master's --roles and --acls"
            };
            Failure::text(Code::Unavailable, format!("Mesos refuses the subscription: {why}{next}; nothing was lost"))
        }
        Some(Halt::Journal(why)) => Failure::text(Code::Io, why),
        None => Failure::text(Code::Io, "the director has ended"),
    }
}

/// Where those that take part go.
type Tell = watch::Sender<Arc<Vec<Peer>>>;
/// What the director has applied.
type View = watch::Receiver<Arc<Published>>;

/// How this scheduler has its journal.
enum Part {
    Alone(actix::Addr<Journal>),
    Shared { copy: Box<Copy>, propose: mpsc::Sender<Proposal>, proposals: mpsc::Receiver<Proposal> },
}

/// What has to be ended in good order.
enum Ending {
    Alone(actix::Addr<Journal>),
    Shared { replica: Inbox<ReplicaInput>, ended: oneshot::Receiver<()>, _lock: Lock },
}

impl Part {
    fn of(journal: Held) -> Self {
        match journal {
            Held::Alone(journal) => Self::Alone(Journal::start(journal)),
            Held::Shared(copy) => {
                let (propose, proposals) = mpsc::channel(1);
                Self::Shared { copy, propose, proposals }
            }
        }
    }

    fn store(&self) -> Store {
        match self {
            Self::Alone(journal) => Store::Local(journal.clone()),
            Self::Shared { propose, .. } => Store::Shared(propose.clone()),
        }
    }

    /// Leads at once if there is nobody else, or takes part in the election.
    async fn begin(
        self,
        config: &Config,
        (position, state): (u64, &State),
        (inbox, shown, peers, published, clock): (Inbox<Input>, watch::Sender<Replica>, Tell, View, Clock),
    ) -> Ending {
        match (self, &config.zk) {
            (Self::Shared { copy, proposals, .. }, Some(_)) => {
                let Copy { connect, keeper, at, floor, last_crc32, lock } = *copy;
                let id = uuid::Uuid::new_v4().to_string();
                let (advertise, agents) = (config.reach.advertised(), config.reach.advertised_agents());
                let own = Peer::own(&id, &advertise, &agents);
                let (role, place) = (config.role.clone(), connect.path.to_string());
                let terms = Terms { id, advertise, role, place, leading_time_max: config.max_leading_time };
                let (journal, summary) = (at.map(|at| at.journal), Summary::of(state));
                let known = Known { journal, batch: position, floor, last_crc32, summary };
                let ends = Ends { connect, own, director: inbox, proposals, published, keeper, shown, peers };
                let (replica, ended) = replica::start(terms, known, ends, clock);
                Ending::Shared { replica, ended, _lock: lock }
            }
            (Self::Alone(journal), _) => {
                // A driver that has ended is noticed by whoever started it.
                inbox.put(Input::Lead { claimed: None }).await.ok();
                Ending::Alone(journal)
            }
            (Self::Shared { .. }, None) => unreachable!("a shared journal is opened for --zk only"),
        }
    }
}

impl Ending {
    /// Lets the batch on its way become durable, then closes the journal, or hands over at once.
    async fn finish(self, inbox: &Inbox<Input>) {
        match self {
            Self::Alone(journal) => {
                inbox.stop().await;
                close(&journal).await;
            }
            Self::Shared { replica, ended, _lock } => {
                // One that has ended already is what was wanted.
                replica.put(ReplicaInput::Stop).await.ok();
                match tokio::time::timeout(CLOSE_WITHIN, ended).await {
                    Ok(_) => info!("handed over"),
                    Err(_) => warn!("ZooKeeper did not answer; another replica leads once the session has ended"),
                }
                replica.stop().await;
                inbox.stop().await;
            }
        }
    }
}

async fn close(journal: &actix::Addr<Journal>) {
    // The journal handles one message after the other, so whatever was on its way comes first.
    match tokio::time::timeout(CLOSE_WITHIN, journal.send(Close)).await {
        Ok(Ok(Ok(()))) => info!("journal closed"),
        Ok(Ok(Err(failure))) => warn!(error = chain(&failure), "the journal was not closed in order"),
        Ok(Err(_)) | Err(_) => warn!("the journal did not answer"),
    }
}

const CLOSE_WITHIN: Duration = Duration::from_secs(10);
