//! TLS, the agents' port, and what `epic-scheduler healthcheck` says of them.

use std::ffi::OsString;
use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use epic_scheduler::api::Routes;
use epic_scheduler::config::healthcheck::Healthcheck;
use epic_scheduler::config::reach::PairFiles;
use epic_scheduler::failure::Code;
use epic_scheduler::healthcheck;
use epic_scheduler::reach::Certificate;
use epic_scheduler::reach::clients::PeerClients;
use epic_scheduler::replica::Mode;
use rcgen::{CertificateParams, KeyPair};
use reqwest::Method;
use tempfile::TempDir;

use crate::fixture::{History, bundle};
use crate::push::meet;
use crate::server::{Server, TOKEN, Way, grant, problem};

const TLS: &str = "--tls-cert-file=unread";

/// Makes a certificate for 127.0.0.1, which is its own authority.
fn pair(folder: &TempDir) -> PairFiles {
    let files = PairFiles { cert: folder.path().join("c"), key: folder.path().join("k") };
    let key = KeyPair::generate().unwrap();
    let cert = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().self_signed(&key).unwrap();
    fs::write(&files.cert, cert.pem()).unwrap();
    fs::write(&files.key, key.serialize_pem()).unwrap();
    files
}

/// A leader that speaks TLS with a certificate in this folder.
fn leader(folder: &TempDir) -> Server {
    let certificate = Certificate::open(pair(folder), "127.0.0.1".to_owned()).unwrap();
    let way = Way { tls: Some(certificate.server().unwrap()), ..Way::plain() };
    let leader = Server::start_by(way, History::demo(0).published, grant);
    leader.replica.send_modify(|replica| replica.mode = Mode::Leading);
    leader
}

/// Asks as `epic-scheduler healthcheck` does; the answer is empty if all is well.
async fn health(address: SocketAddr, args: &[&str]) -> String {
    let listen = format!("--listen={address}");
    let args = ["epic-scheduler", "healthcheck", &listen].into_iter().chain(args.iter().copied());
    let asked = Healthcheck::read(args.map(OsString::from)).unwrap().unwrap();
    match healthcheck::run(&asked).await {
        Ok(()) => String::new(),
        Err(failure) => {
            assert!(failure.code == Code::Unhealthy && !failure.text.contains('\n'), "{failure:?}");
            failure.text
        }
    }
}

#[tokio::test]
async fn a_healthcheck_says_what_the_scheduler_says() {
    let server = Server::start(History::demo(0).published, grant);
    assert_eq!(health(server.address, &[]).await, "");
    assert_eq!(health(server.address, &["--ready"]).await, "");
    server.follow(None);
    server.replica.send_modify(|replica| replica.caught_up = false);
    assert_eq!(health(server.address, &[]).await, "");
    let unready = health(server.address, &["--ready"]).await;
    let wanted = format!("http://{}/readyz: 503 Service Unavailable: not caught up with the journal", server.address);
    assert!(unready.starts_with(&wanted), "{unready}");
    let other = health(server.address, &[TLS]).await;
    assert!(other.starts_with(&format!("https://{}/healthz: ", server.address)), "{other}");

    let folder = TempDir::new().unwrap();
    let leader = leader(&folder);
    assert_eq!(health(leader.address, &[TLS]).await, "");
    meet(&leader, &[leader.url("")]);
    assert_eq!(health(leader.address, &[TLS, "--ready"]).await, "");
    assert!(!health(leader.address, &[]).await.is_empty());
}

#[tokio::test]
async fn a_healthcheck_gives_up_on_what_never_answers() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let began = std::time::Instant::now();
    let said = health(silent.local_addr().unwrap(), &[]).await;
    assert!(said.contains("timed out") && began.elapsed().as_secs() < 20, "{said}");
    let nobody = "127.0.0.1:1".parse().unwrap();
    assert!(health(nobody, &[]).await.contains("refused"));
}

#[tokio::test]
async fn agents_get_artifacts_and_nothing_else() {
    let way = Way { routes: Routes::Artifacts, ..Way::plain() };
    let server = Server::start_by(way, History::demo(0).published, grant);
    let facts = server.artifacts.add_bundle(&bundle(server.folder.path())).unwrap();
    let file = format!("/artifacts/{}", facts.digest);
    let answer = server.ask(Method::GET, &file).await;
    assert_eq!((answer.status().as_u16(), answer.bytes().await.unwrap().len() as u64), (200, facts.bytes));
    assert_eq!(server.ask(Method::HEAD, &file).await.status(), 200);
    assert_eq!(server.ask(Method::GET, "/healthz").await.status(), 200);
    assert_eq!(server.ask(Method::POST, &file).await.status(), 405);
    for path in ["/", "/metrics", "/readyz", "/api/v2/platform", "/api/v2/leader", "/api/v2/admin/backup"] {
        let said = problem(server.ask(Method::GET, path).await).await;
        assert!(said.starts_with("404 not-found: "), "{path}: {said}");
    }
    let put = server.change(Method::PUT, &format!("/api/v2{file}"), "x").await;
    assert_eq!(put.status(), 404);
    assert!(server.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn changes_go_to_a_leader_over_tls_once_its_authority_is_trusted() {
    let folder = TempDir::new().unwrap();
    let leader = leader(&folder);
    let url = format!("https://{}", leader.address);
    let refused = "its certificate is of no authority that is trusted here; nothing was asked of it: see --tls-ca-file";
    for (ca_file, wanted) in [(None, (503, refused)), (Some(folder.path().join("c")), (200, "granted"))] {
        let (clients, _) = PeerClients::new(ca_file.as_deref()).unwrap();
        let way = Way { clients, ..Way::plain() };
        let standby = Server::start_by(way, History::demo(0).published, |_| None);
        standby.follow(Some(url.clone()));
        let answer = standby.change(Method::POST, "/api/v2/platform/stop", "").await;
        let (status, said) = (answer.status().as_u16(), answer.text().await.unwrap());
        assert!(status == wanted.0 && said.contains(wanted.1), "{status}: {said}");
    }
    assert_eq!(leader.asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_no_tls_is_cut_off_and_others_are_served_meanwhile() {
    let folder = TempDir::new().unwrap();
    let leader = leader(&folder);
    let address = leader.address;
    let silent = TcpStream::connect(address).unwrap();
    for bytes in [&b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"[..], &[0x16, 3, 1, 0xff, 0xff, 1, 2, 3], &[0; 4096]] {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(bytes).unwrap();
        let read = thread::spawn(move || {
            let mut all = Vec::new();
            // A reset is as good an end.
            stream.read_to_end(&mut all).ok();
            all
        });
        assert_eq!(health(address, &[TLS]).await, "");
        let said = tokio::task::spawn_blocking(move || read.join().unwrap()).await.unwrap();
        assert!(!String::from_utf8_lossy(&said).contains("alive"), "{said:?}");
    }
    let cut = tokio::task::spawn_blocking(move || (&silent).read(&mut [0; 16]));
    assert!(matches!(cut.await.unwrap(), Ok(0) | Err(_)));
}

/// Sends the head of a request with a body in pieces, then the rest, and returns the connection once its answer has begun.
fn begin(address: SocketAddr, head: &str, rest: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!("{head} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n{rest}");
    stream.write_all(head.as_bytes()).unwrap();
    let mut word = [0; 8];
    stream.read_exact(&mut word).unwrap();
    assert_eq!(&word, b"HTTP/1.1", "{head}");
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

#[tokio::test]
async fn a_body_that_nobody_reads_to_its_end_ends_with_the_answer() {
    let server = Server::start(History::demo(0).published, grant);
    let address = server.address;
    let cut = tokio::task::spawn_blocking(move || {
        let artifact = format!("PUT /api/v2/artifacts/{}", "0".repeat(64));
        let heads = ["GET /healthz", "DELETE /healthz", "PUT /nowhere", "PUT /api/v2/platform", &artifact];
        let all = heads.map(|head| ["\r\n", "\r\n1\r\nx\r\n"].map(|piece| (head, piece, begin(address, head, piece))));
        for (head, piece, mut stream) in all.into_iter().flatten() {
            // A reset is as good an end; a time-out is none.
            let read = stream.read_to_end(&mut Vec::new());
            let is_over = read.as_ref().map_or_else(|error| error.kind() != ErrorKind::WouldBlock, |_| true);
            assert!(is_over, "{head} {piece:?}: {read:?}");
        }
        // One that was read leaves the connection to what comes next.
        let rest = format!("Authorization: Bearer {TOKEN}\r\n\r\n1\r\nx\r\n0\r\n\r\n");
        let mut stream = begin(address, "PUT /api/v2/platform", &rest);
        stream.write_all(b"GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut rest = String::new();
        stream.read_to_string(&mut rest).unwrap();
        assert!(rest.starts_with(" 400") && rest.contains("no such path"), "{rest}");
    });
    cut.await.unwrap();
}
