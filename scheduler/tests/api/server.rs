//! A server on the loopback with a decider behind it that answers from a list.

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix_web::dev::ServerHandle;
use epic_common::ids::Digest;
use epic_common::time::Timestamp;
use epic_scheduler::api::{Api, Asked, Routes, serve};
use epic_scheduler::artifacts::Artifacts;
use epic_scheduler::holders::Holders;
use epic_scheduler::metrics;
use epic_scheduler::reach::clients::PeerClients;
use epic_scheduler::replica::{Mode, Replica};
use epic_scheduler::view::Published;
use epic_scheduler_core::replica::Peer;
use epic_scheduler_core::request::{Answer, Grantal, Request};
use epic_scheduler_core::state::entry::Index;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Method, Response};
use rustls::ServerConfig;
use sha2::{Digest as _, Sha256};
use socket2::SockRef;
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};

/// A busy machine is no failure.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const TOKEN: &str = "0123456789abcdef";

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) folder: TempDir,
    pub(crate) artifacts: Arc<Artifacts>,
    /// What was asked, in order.
    pub(crate) asked: Arc<Mutex<Vec<Request>>>,
    /// What it is to other replicas; alone at first.
    pub(crate) replica: watch::Sender<Replica>,
    /// Who takes part; nobody at first.
    pub(crate) peers: watch::Sender<Arc<Vec<Peer>>>,
    /// Who holds what is fetched.
    pub(crate) holders: Holders,
    handle: ServerHandle,
    client: Client,
    /// Requests that nobody reads.
    unread: Option<mpsc::Receiver<Asked>>,
}

/// What is served, and how.
pub(crate) struct Way {
    pub(crate) routes: Routes,
    /// What is shown; plain http without it.
    pub(crate) tls: Option<ServerConfig>,
    /// The clients for other replicas.
    pub(crate) clients: PeerClients,
}

impl Way {
    /// Everything, by plain http.
    pub(crate) fn plain() -> Self {
        Self { routes: Routes::All, tls: None, clients: PeerClients::new(None).unwrap().0 }
    }
}

/// Answers like the director would, or `None` to drop the request.
pub(crate) type Decider = fn(&Request) -> Option<Answer>;

#[expect(clippy::unnecessary_wraps, reason = "it is a decider, and others answer otherwise")]
pub(crate) fn grant(_: &Request) -> Option<Answer> {
    Some(Ok(Grantal { index: Index(42), message: "granted".to_owned() }))
}

impl Server {
    pub(crate) fn start(published: Published, decider: Decider) -> Self {
        Self::start_by(Way::plain(), published, decider)
    }

    pub(crate) fn start_by(way: Way, mut published: Published, decider: Decider) -> Self {
        published.state.identity.token = Some(Digest(Sha256::digest(TOKEN.as_bytes()).into()));
        Self::decided(way, published, decider)
    }

    /// Nobody reads its requests.
    pub(crate) fn start_deaf(mut published: Published) -> Self {
        published.state.identity.token = Some(Digest(Sha256::digest(TOKEN.as_bytes()).into()));
        let (requests, unread) = mpsc::channel(1);
        let mut server = Self::serve(published, requests, Way::plain());
        server.unread = Some(unread);
        server
    }

    pub(crate) fn start_as_it_is(published: Published, decider: Decider) -> Self {
        Self::decided(Way::plain(), published, decider)
    }

    fn decided(way: Way, published: Published, decider: Decider) -> Self {
        let (requests, mailbox) = mpsc::channel(8);
        let server = Self::serve(published, requests, way);
        tokio::spawn(decide(mailbox, Arc::clone(&server.asked), decider));
        server
    }

    fn serve(published: Published, requests: mpsc::Sender<Asked>, way: Way) -> Self {
        let Way { routes, tls, clients } = way;
        let folder = TempDir::new().unwrap();
        let artifacts = Arc::new(Artifacts::open(folder.path()).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let replica = watch::Sender::new(Replica::alone(&format!("http://{address}")));
        let (own, peers) = (format!("http://{address}"), watch::Sender::new(Arc::default()));
        let holders = Holders::new(own, peers.subscribe(), Arc::clone(&artifacts), clients.clone());
        let api = Api {
            published: watch::channel(Arc::new(published)).1,
            replica: replica.subscribe(),
            peers: peers.subscribe(),
            requests,
            artifacts: Arc::clone(&artifacts),
            holders: holders.clone(),
            clients,
            clock: Arc::new(|| Timestamp(5_000_000)),
            counts: metrics::install().unwrap(),
        };
        let listening = listener.try_clone().unwrap();
        let server = serve(listener, tls, routes, api).unwrap();
        // Whoever takes nothing of an answer is cut off by TCP, since accepted connections have it, too.
        assert_eq!(SockRef::from(&listening).tcp_user_timeout().unwrap(), Some(Duration::from_secs(60)));
        drop(listening);
        let handle = server.handle();
        tokio::spawn(server);
        let client = epic_common_io::http::clients(&epic_common_io::http::ClientOptions::default()).unwrap().calls;
        Self {
            address,
            folder,
            artifacts,
            asked: Arc::default(),
            replica,
            peers,
            holders,
            handle,
            client,
            unread: None,
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Makes it stand by, with this leader or none.
    pub(crate) fn follow(&self, leader: Option<String>) {
        self.replica.send_modify(|replica| {
            replica.mode = Mode::Standby;
            replica.leader = leader;
        });
    }

    /// Asks without a token.
    pub(crate) async fn ask(&self, method: Method, path: &str) -> Response {
        self.client.request(method, self.url(path)).send().await.unwrap()
    }

    /// Asks with headers and a body.
    pub(crate) async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Response {
        let request = self.client.request(method, self.url(path)).body(body).timeout(PATIENCE);
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).send().await.unwrap()
    }

    /// Asks with the token.
    pub(crate) async fn change(&self, method: Method, path: &str, body: impl Into<Vec<u8>>) -> Response {
        let bearer = format!("Bearer {TOKEN}");
        self.send(method, path, &[("Authorization", bearer.as_str())], body.into()).await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The stop command is sent at once; its end is nobody's concern here.
        drop(self.handle.stop(false));
    }
}

async fn decide(mut mailbox: mpsc::Receiver<Asked>, asked: Arc<Mutex<Vec<Request>>>, decider: Decider) {
    while let Some((request, answer)) = mailbox.recv().await {
        let decided = decider(&request);
        asked.lock().unwrap().push(request);
        if let Some(decided) = decided {
            // A client that went away needs no answer.
            let _ = answer.send(decided);
        }
    }
}

/// Shows an answer as `STATUS kind: title (path: problem)`.
pub(crate) async fn problem(answer: Response) -> String {
    let status = answer.status().as_u16();
    assert_eq!(answer.headers()[CONTENT_TYPE], "application/problem+json");
    let problem: epic_common::api::Problem = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
    assert_eq!(problem.status, status);
    let errors: Vec<_> = problem.errors.iter().map(|error| format!(" ({}: {})", error.path, error.problem)).collect();
    format!("{status} {}: {}{}", problem.kind, problem.title, errors.concat())
}
