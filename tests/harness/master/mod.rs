//! A fake Mesos master on the wire: it speaks the v1 scheduler API to one scheduler, has as many agents as are wanted,
//! each of which starts at once what it is told to, and fails on purpose, in counts.

pub mod faults;
mod state;
mod tasks;
pub mod wire;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Result;
use epic_proto::mesos::v1::scheduler::{Call, call};
use prost::Message as _;

use faults::{Fate, Faults, Loss};
use state::State;
use wire::{Request, Server, Step};

/// How a master is set up.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The role whose reservations its agents have.
    pub role: String,
    /// How many agents there are at first.
    pub agents: u32,
    /// How many tasks find room on an agent; each has 4 cpus, 4 GiB and 100 ports.
    pub room: u32,
    /// What goes wrong.
    pub faults: Faults,
}

impl Setup {
    /// Begins with so many agents that have room for one task each, and no faults.
    #[must_use]
    pub fn of(role: &str, agents: u32) -> Self {
        Self { role: role.to_owned(), agents, room: 1, faults: Faults::default() }
    }
}

/// A running master; dropping it ends it.
#[derive(Debug)]
pub struct Master {
    /// Where it listens.
    pub address: SocketAddr,
    inner: Arc<Inner>,
    _server: Server,
    _allocator: Allocator,
}

/// What it has seen.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// When the first offers were sent.
    pub offered: Option<Instant>,
    /// When the last ACCEPT came.
    pub accepted: Option<Instant>,
    /// When the last ACKNOWLEDGE of an update came that nobody had acknowledged before.
    pub acknowledged: Option<Instant>,
    /// Tasks that were launched.
    pub launches: usize,
    /// Updates that were acknowledged, each counted once.
    pub acknowledgements: usize,
    /// Tasks that run and are known to: an update that says so is acknowledged, or an answer to a question has told it.
    pub up: usize,
    /// Tasks that could not be launched because their offer was gone.
    pub dropped: usize,
    /// Calls of all kinds but SUBSCRIBE, heeded or not.
    pub calls: usize,
    /// Calls or answers that were lost on purpose.
    pub lost: usize,
    /// Subscriptions.
    pub subscriptions: usize,
    /// When the first subscription was asked for.
    pub began: Option<Instant>,
    /// When the newest subscription was asked for.
    pub subscribed: Option<Instant>,
    /// When the first ACCEPT or ACKNOWLEDGE of that subscription was answered.
    pub acted: Option<Instant>,
}

#[derive(Debug)]
struct Inner {
    faults: Faults,
    state: Mutex<State>,
}

/// Offers again what has become free, once a second as Mesos does (`--allocation_interval`), and sends again what isn't
/// acknowledged.
#[derive(Debug)]
struct Allocator {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Master {
    /// Starts one.
    ///
    /// # Errors
    /// The address can't be bound, or there is no room for one more thread.
    pub fn start(address: SocketAddr, setup: &Setup) -> Result<Self> {
        let inner = Arc::new(Inner { faults: setup.faults, state: Mutex::new(State::new(setup)) });
        let answering = Arc::clone(&inner);
        let server = Server::start(address, move |request| answering.answer(request))?;
        let allocator = Allocator::start(Arc::clone(&inner))?;
        Ok(Self { address: server.address, inner, _server: server, _allocator: allocator })
    }

    /// Makes it know tasks that run, each with its agent, as a master does that had them before.
    ///
    /// From then on each subscription begins with an update of the first of them that is to be acknowledged.
    pub fn knows(&self, tasks: impl IntoIterator<Item = (String, String)>) {
        self.inner.lock().know(tasks);
    }

    /// Adds agents, which are offered to whoever subscribes next or revives offers.
    pub fn add_agents(&self, agents: u32) {
        self.inner.lock().add_agents(agents);
    }

    /// Removes an agent with its tasks; its host is back at once, as an agent with a new id.
    pub fn renew_agent(&self, agent: u32) {
        self.inner.lock().renew(agent);
    }

    /// Returns what it has seen so far.
    #[must_use]
    pub fn seen(&self) -> Seen {
        self.inner.lock().seen.clone()
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, request: &Request) -> Vec<Step> {
        let Ok(call) = Call::decode(request.body.as_slice()) else {
            return vec![reply("400 Bad Request", "not a call")];
        };
        let mut state = self.lock();
        state.asked += 1;
        let (number, is_subscribe) = (state.asked, call.r#type() == call::Type::Subscribe);
        state.seen.calls += usize::from(!is_subscribe);
        let fate = self.faults.fate(number);
        let steps = match fate {
            Fate::Heeded | Fate::Unanswered(_) => obey(&mut state, request, call),
            Fate::Lost(_) => Vec::new(),
            Fate::Refused(status) if status == 503 || is_subscribe => {
                vec![reply("503 Service Unavailable", "refused on purpose")]
            }
            Fate::Refused(_) => vec![reply("400 Bad Request", "refused on purpose")],
        };
        if faults::hits(self.faults.cut_stream, number) {
            state.cut();
        }
        match fate {
            Fate::Heeded | Fate::Refused(_) => steps,
            Fate::Lost(loss) | Fate::Unanswered(loss) => {
                state.seen.lost += 1;
                vec![if loss == Loss::Silence { Step::Hang } else { Step::HalfClose }]
            }
        }
    }
}

fn obey(state: &mut State, request: &Request, call: Call) -> Vec<Step> {
    if call.r#type() == call::Type::Subscribe {
        let chunks = state.subscribe(call);
        let head = format!(
            "HTTP/1.1 200 OK\r\nMesos-Stream-Id: {}\r\nContent-Type: application/x-protobuf\r\n\
             Transfer-Encoding: chunked\r\n\r\n",
            state.stream_id
        );
        return vec![Step::Bytes(head.into_bytes()), Step::Chunks(chunks)];
    }
    if request.header("Mesos-Stream-Id") != Some(state.stream_id.as_str()) {
        return vec![reply("400 Bad Request", "The stream ID included in this request didn't match the stream ID")];
    }
    state.obey(call);
    vec![reply("202 Accepted", "")]
}

fn reply(status: &str, text: &str) -> Step {
    Step::Bytes(format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{text}", text.len()).into_bytes())
}

impl Allocator {
    fn start(inner: Arc<Inner>) -> std::io::Result<Self> {
        let (stop, stopped) = mpsc::channel::<()>();
        let run = move || {
            while stopped.recv_timeout(INTERVAL) == Err(mpsc::RecvTimeoutError::Timeout) {
                inner.lock().allocate(Instant::now());
            }
        };
        let thread = thread::Builder::new().name("allocator".to_owned()).spawn(run)?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Allocator {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

const INTERVAL: Duration = Duration::from_secs(1);
