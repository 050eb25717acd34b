//! Artifacts over HTTP: whole, in pieces, and with bounded memory.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use epic_common::ids::Digest;
use reqwest::Method;
use sha2::{Digest as _, Sha256};

use crate::fixture::History;
use crate::server::{Server, grant, problem};

const MIB: usize = 1 << 20;

/// Adds a file of so many bytes that don't repeat soon.
fn add(server: &Server, bytes: usize) -> Digest {
    let path = server.folder.path().join("file");
    let mut word = 1_u64;
    let content: Vec<u8> = (0..bytes / 8)
        .flat_map(|_| {
            word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            word.to_le_bytes()
        })
        .collect();
    fs::write(&path, content).unwrap();
    let digest = server.artifacts.add_executor(&path).unwrap();
    fs::remove_file(path).unwrap();
    digest
}

fn resident_bytes() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

/// Twenty clients that don't read on would cost a gigabyte if files were read ahead.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_is_streamed_with_bounded_memory() {
    let server = Server::start(History::new().published, grant);
    let digest = add(&server, 50 * MIB);
    let before = resident_bytes();
    let mut clients: Vec<_> = (0..20).map(|_| TcpStream::connect(server.address).unwrap()).collect();
    let mut piece = vec![0; MIB];
    for client in &mut clients {
        write!(client, "GET /artifacts/{digest} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        client.read_exact(&mut piece).unwrap();
    }
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 64 * MIB, "{} MiB more are in use", grown / MIB);
    let mut rest = clients.pop().unwrap();
    let mut hash = Sha256::new();
    let head = piece.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    hash.update(&piece[head..]);
    let mut bytes = piece.len() - head;
    loop {
        let read = rest.read(&mut piece).unwrap();
        if read == 0 {
            break;
        }
        hash.update(&piece[..read]);
        bytes += read;
    }
    assert_eq!((bytes, Digest(hash.finalize().into())), (50 * MIB, digest));
}

#[tokio::test]
async fn an_artifact_has_a_length_and_a_tag() {
    let server = Server::start(History::new().published, grant);
    let digest = add(&server, 1000);
    let path = format!("/artifacts/{digest}");
    let tag = format!("\"{digest}\"");
    let answer = server.ask(Method::GET, &path).await;
    assert_eq!((answer.headers()["content-length"].to_str().unwrap(), answer.status().as_u16()), ("1000", 200));
    assert_eq!(answer.headers()["etag"], tag.as_str());
    let body = answer.bytes().await.unwrap();
    assert_eq!(Digest(Sha256::digest(&body).into()), digest);
    let answer = server.ask(Method::HEAD, &path).await;
    assert_eq!((answer.headers()["content-length"].to_str().unwrap(), answer.status().as_u16()), ("1000", 200));
    assert_eq!(answer.bytes().await.unwrap().len(), 0);
    let answer = server.send(Method::GET, &path, &[("If-None-Match", &tag)], Vec::new()).await;
    assert_eq!(answer.status(), 304);
}

#[tokio::test]
async fn nothing_but_artifacts_is_served() {
    let server = Server::start(History::new().published, grant);
    fs::write(server.folder.path().join("token"), "secret").unwrap();
    let absent = format!("/artifacts/{}", Digest([1; 32]));
    for path in [absent.as_str(), "/artifacts/", "/artifacts/..%2ftoken", "/artifacts/%2e%2e/token", "/artifacts/token"]
    {
        let answer = server.ask(Method::GET, path).await;
        assert!(problem(answer).await.starts_with("404 not-found: "), "{path}");
    }
}

#[tokio::test]
async fn a_file_that_was_lost_is_said_to_be() {
    let server = Server::start(History::new().published, grant);
    let digest = add(&server, 1000);
    let path = server.artifacts.find(&digest).unwrap().path;
    fs::write(&path, "short").unwrap();
    let answer = server.ask(Method::GET, &format!("/artifacts/{digest}")).await;
    assert!(answer.text().await.unwrap().contains("its file is lost on the scheduler's disk"));
    assert_eq!(server.artifacts.find(&digest), None);
}
