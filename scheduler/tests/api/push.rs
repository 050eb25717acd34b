//! Artifacts that are pushed: to one replica, by it to the others, and what is refused.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use epic_common::api::ArtifactView;
use epic_common::ids::Digest;
use epic_scheduler::artifacts::receive::Kind;
use epic_scheduler::holders::Holders;
use epic_scheduler::reach::clients::PeerClients;
use epic_scheduler::replica::Mode;
use epic_scheduler_core::replica::Peer;
use epic_scheduler_core::request::Wish;
use epic_scheduler_core::state::deployment::Desired;
use reqwest::{Method, Response};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::fixture::{History, bundle, demo};
use crate::server::{Server, TOKEN, grant, problem};

/// A bundle's bytes and digest.
pub(crate) fn made() -> (Vec<u8>, Digest) {
    let folder = TempDir::new().unwrap();
    let bytes = fs::read(bundle(folder.path())).unwrap();
    let digest = Digest(Sha256::digest(&bytes).into());
    (bytes, digest)
}

fn path(digest: &Digest) -> String {
    format!("/api/v2/artifacts/{digest}")
}

fn document(digest: &Digest) -> String {
    format!("kind: Platform\nlabel: {{name: demo}}\nspec: {{bundle: {{sha256: {digest}}}}}")
}

/// What lies in its folder of artifacts.
fn files(server: &Server) -> usize {
    fs::read_dir(server.folder.path().join("artifacts")).unwrap().count()
}

async fn view(answer: Response) -> ArtifactView {
    assert_eq!(answer.status(), 200);
    serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
}

/// A leader and two standbys that know each other.
fn three() -> [Server; 3] {
    let servers = [0; 3].map(|_| Server::start(History::new().published, grant));
    for (at, server) in servers.iter().enumerate() {
        if at == 0 {
            server.replica.send_modify(|replica| replica.mode = Mode::Leading);
        } else {
            server.follow(Some(servers[0].url("")));
        }
        meet(server, &servers.each_ref().map(|server| server.url("")));
    }
    servers
}

fn introduce(urls: &[String]) -> Arc<Vec<Peer>> {
    Arc::new(urls.iter().map(|url| Peer::own(&format!("of {url}"), url, url)).collect())
}

pub(crate) fn meet(server: &Server, urls: &[String]) {
    server.peers.send_replace(introduce(urls));
}

/// Where nobody listens.
fn nobody() -> String {
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    format!("http://{address}")
}

#[tokio::test]
async fn what_is_pushed_to_one_alone_is_there_and_may_be_pushed_again() {
    let server = Server::start(History::new().published, grant);
    let (bytes, digest) = made();
    let answer = server.change(Method::PUT, &path(&digest), Vec::new()).await;
    assert_eq!(problem(answer).await, "404 not-found: this artifact is not here yet");
    for body in [bytes.clone(), bytes.clone(), Vec::new()] {
        let said = view(server.change(Method::PUT, &path(&digest), body).await).await;
        assert_eq!((said.held, said.replicas, said.bytes), (1, 1, bytes.len() as u64));
        assert_eq!((said.sha256, said.lacking.len()), (digest.to_string(), 0));
    }
    let fetched = server.ask(Method::GET, &format!("/artifacts/{digest}")).await;
    assert_eq!(fetched.bytes().await.unwrap(), bytes);
    assert_eq!(files(&server), 1);
    let answer = server.change(Method::PUT, "/api/v2/platform", document(&digest)).await;
    assert_eq!(answer.status(), 200, "its digest names it now");
}

#[tokio::test]
async fn nothing_is_taken_in_that_is_not_what_it_should_be() {
    let server = Server::start(History::new().published, grant);
    let (bytes, digest) = made();
    let answer = server.send(Method::PUT, &path(&digest), &[], bytes.clone()).await;
    assert_eq!(problem(answer).await, "401 unauthorized: a token is needed");
    let answer = server.change(Method::PUT, &path(&Digest([1; 32])), bytes.clone()).await;
    assert_eq!(problem(answer).await, "422 invalid: the artifact is another one");
    let text = b"hello".to_vec();
    let answer = server.change(Method::PUT, &path(&Digest(Sha256::digest(&text).into())), text).await;
    assert_eq!(problem(answer).await, "422 invalid: the artifact is no bundle that can be used");
    let mut damaged = bytes.clone();
    damaged[100] ^= 1;
    let answer = server.change(Method::PUT, &path(&Digest(Sha256::digest(&damaged).into())), damaged).await;
    assert_eq!(problem(answer).await, "422 invalid: the artifact is no bundle that can be used");
    let answer = server.change(Method::PUT, "/api/v2/artifacts/x", bytes).await;
    assert_eq!(problem(answer).await, "404 not-found: there is no such artifact");
    let answer = server.change(Method::POST, &path(&digest), "").await;
    assert_eq!(answer.headers()["allow"], "GET, HEAD, PUT");
    assert_eq!(files(&server), 0);
}

/// Sends a head that promises so many bytes, and only these.
fn begin(server: &Server, promised: u64, sent: &[u8]) -> TcpStream {
    let mut client = TcpStream::connect(server.address).unwrap();
    let digest = made().1;
    let head = format!(
        "PUT /api/v2/artifacts/{digest} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: \
         {promised}\r\n\r\n"
    );
    client.write_all(head.as_bytes()).unwrap();
    client.write_all(sent).unwrap();
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_breaks_off_leaves_nothing() {
    let server = Server::start(History::new().published, grant);
    let (bytes, digest) = made();
    let half = bytes.len() / 2;
    let client = begin(&server, bytes.len() as u64, &bytes[..half]);
    until(|| files(&server) == 1).await;
    drop(client);
    until(|| files(&server) == 0).await;
    assert_eq!(server.artifacts.find(&digest), None);
    let said = view(server.change(Method::PUT, &path(&digest), bytes).await).await;
    assert_eq!(said.held, 1, "it can be sent again");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_larger_than_a_bundle_may_be_is_refused_at_once() {
    let server = Server::start(History::new().published, grant);
    let mut client = begin(&server, 5 << 30, b"x");
    let mut answer = [0; 12];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
    assert_eq!(files(&server), 0);
}

async fn until(mut is_true: impl FnMut() -> bool) {
    for _ in 0..6_000 {
        if is_true() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("it takes longer than a minute");
}

#[tokio::test]
async fn what_is_pushed_to_a_standby_is_on_all_replicas() {
    let [leader, standby, other] = three();
    let (bytes, digest) = made();
    let said = view(standby.change(Method::PUT, &path(&digest), bytes.clone()).await).await;
    assert_eq!((said.held, said.replicas), (3, 3), "{said:?}");
    for server in [&leader, &standby, &other] {
        let fetched = server.ask(Method::GET, &format!("/artifacts/{digest}")).await;
        assert_eq!(fetched.bytes().await.unwrap(), bytes);
        assert_eq!(view(server.ask(Method::GET, &path(&digest)).await).await.held, 3);
    }
    let answer = other.change(Method::PUT, "/api/v2/platform", document(&digest)).await;
    assert_eq!(answer.status(), 200);
    assert!(matches!(&leader.asked.lock().unwrap()[0].wish, Wish::Apply { .. }));
}

#[tokio::test]
async fn what_comes_from_a_replica_is_kept_and_handed_to_nobody() {
    let [leader, standby, other] = three();
    let (bytes, digest) = made();
    let bearer = format!("Bearer {TOKEN}");
    let headers = [("Authorization", bearer.as_str()), ("Epic-Forwarded", "1")];
    let said = view(standby.send(Method::PUT, &path(&digest), &headers, bytes).await).await;
    assert_eq!((said.held, said.replicas), (1, 1));
    assert_eq!([&leader, &standby, &other].map(files), [0, 1, 0]);
}

#[tokio::test]
async fn a_majority_is_enough_and_less_is_not() {
    let [leader, standby, _] = three();
    let (bytes, digest) = made();
    let gone = nobody();
    meet(&leader, &[leader.url(""), standby.url(""), gone.clone()]);
    let said = view(leader.change(Method::PUT, &path(&digest), bytes.clone()).await).await;
    assert_eq!((said.held, said.replicas, said.lacking[0].replica.as_str()), (2, 3, gone.as_str()));
    meet(&leader, &[leader.url(""), nobody(), gone.clone()]);
    let answer = leader.change(Method::PUT, &path(&digest), bytes).await;
    let text = answer.text().await.unwrap();
    assert!(
        text.contains("too few replicas hold the bundle") && text.contains("1 of 3") && text.contains(&gone),
        "{text}"
    );
}

#[tokio::test]
async fn a_platform_is_refused_whose_bundle_too_few_replicas_hold_and_nothing_changes() {
    let [leader, standby, other] = three();
    let (bytes, digest) = made();
    meet(&leader, &[leader.url(""), nobody(), nobody()]);
    leader.change(Method::PUT, &path(&digest), bytes).await;
    let answer = standby.change(Method::PUT, "/api/v2/platform", document(&digest)).await;
    assert_eq!(problem(answer).await, "503 unavailable: too few replicas hold the bundle");
    assert_eq!(leader.asked.lock().unwrap().len(), 0);
    meet(&leader, &[leader.url(""), nobody(), other.url("")]);
    let answer = leader.change(Method::PUT, "/api/v2/platform", document(&digest)).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(files(&other), 1, "it was handed over for that");
    assert_eq!(leader.asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn the_bundle_that_is_in_use_needs_no_other_replica() {
    let (bytes, digest) = made();
    let mut history = History::demo(0);
    let mut desired: Desired = demo(0);
    desired.bundle.sha256 = digest;
    history.says(epic_scheduler_core::state::entry::Fact::PlatformApplied { desired: Box::new(desired), key: None });
    let leader = Server::start(history.published, grant);
    leader.change(Method::PUT, &path(&digest), bytes).await;
    meet(&leader, &[leader.url(""), nobody(), nobody()]);
    let answer = leader.change(Method::PUT, "/api/v2/platform", document(&digest)).await;
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn a_leader_that_lacks_the_bundle_fetches_it_from_whoever_has_it() {
    let [leader, standby, _] = three();
    let (bytes, digest) = made();
    meet(&standby, &[]);
    view(standby.change(Method::PUT, &path(&digest), bytes).await).await;
    assert_eq!(files(&leader), 0);
    let answer = leader.change(Method::PUT, "/api/v2/platform", document(&digest)).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(files(&leader), 1);
}

#[tokio::test]
async fn a_digest_that_nobody_has_is_refused_with_what_supplies_it() {
    let [leader, ..] = three();
    let answer = leader.change(Method::PUT, "/api/v2/platform", document(&Digest([1; 32]))).await;
    let said = problem(answer).await;
    assert!(
        said.starts_with("422 invalid: the platform's bundle can't be used (spec.bundle: no bundle with"),
        "{said}"
    );
    assert!(said.contains("supply it with epicctl bundle push FILE"), "{said}");
    let answer = leader.ask(Method::GET, &path(&Digest([1; 32]))).await;
    assert_eq!(problem(answer).await, "404 not-found: no replica holds this artifact");
}

#[tokio::test]
async fn what_is_fetched_is_checked() {
    let [leader, standby, _] = three();
    let file = standby.folder.path().join("program");
    fs::write(&file, "program").unwrap();
    let program = standby.artifacts.add_executor(&file).unwrap();
    let holders = Holders::new(
        leader.url(""),
        leader.peers.subscribe(),
        Arc::clone(&leader.artifacts),
        PeerClients::new(None).unwrap().0,
    );
    let error = holders.fetch(&program, Kind::Bundle).await.unwrap_err().to_string();
    assert!(error.contains("what came is not an EPIC bundle"), "{error}");
    let kept = standby.artifacts.find(&program).unwrap().path;
    fs::write(&kept, "Program").unwrap();
    let error = holders.fetch(&program, Kind::Named).await.unwrap_err().to_string();
    assert!(error.contains(&format!("{program} was announced")), "{error}");
    assert_eq!(files(&leader), 0);
    fs::write(&kept, "program").unwrap();
    assert_eq!(holders.fetch(&program, Kind::Named).await.unwrap(), standby.url(""));
    assert_eq!(files(&leader), 1);
}
