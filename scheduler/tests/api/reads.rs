//! What everybody may read.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use epic_common::api::PlatformView;
use epic_scheduler_core::session::Link;
use reqwest::Method;

use crate::fixture::History;
use crate::server::{Server, grant, problem};

#[tokio::test]
async fn probes_tell_alive_from_ready() {
    let mut history = History::demo(0);
    let server = Server::start(history.published.clone(), grant);
    for path in ["/healthz", "/readyz"] {
        assert_eq!(server.ask(Method::GET, path).await.status(), 200, "{path}");
    }
    history.published.link = Link::Connecting { tries: 1 };
    let server = Server::start(history.published, grant);
    assert_eq!(server.ask(Method::GET, "/healthz").await.status(), 200);
    let answer = server.ask(Method::GET, "/readyz").await;
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.text().await.unwrap(), "not subscribed to Mesos: the subscription is being asked for\n");
    let without_platform = Server::start(History::new().published, grant);
    assert_eq!(without_platform.ask(Method::GET, "/readyz").await.status(), 200);
}

#[tokio::test]
async fn the_view_is_served_as_json() {
    let mut history = History::demo(0);
    history.is_ready("controller-0", "h0");
    let server = Server::start(history.published, grant);
    let answer = server.ask(Method::GET, "/api/v2/platform").await;
    assert_eq!(answer.headers()["content-type"], "application/json");
    let view: PlatformView = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
    assert_eq!((view.phase.as_str(), view.index), ("ready", 4));
    assert_eq!(server.ask(Method::HEAD, "/api/v2/platform").await.status(), 200);
}

#[tokio::test]
async fn requests_are_counted_by_route_and_status() {
    let server = Server::start(History::new().published, grant);
    server.ask(Method::GET, "/artifacts/xyz").await;
    server.ask(Method::GET, "/no/such/path").await;
    let text = server.ask(Method::GET, "/metrics").await.text().await.unwrap();
    for line in [
        "epic_scheduler_http_requests_total{route=\"/artifacts/{sha256}\",status=\"404\"} ",
        "epic_scheduler_http_requests_total{route=\"none\",status=\"404\"} ",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_a_problem() {
    let server = Server::start(History::new().published, grant);
    let answer = server.ask(Method::GET, "/api/v3").await;
    assert_eq!(problem(answer).await, "404 not-found: there is no such path");
    for (method, path, allowed) in [
        (Method::DELETE, "/api/v2/platform", "GET, HEAD, PUT"),
        (Method::GET, "/api/v2/platform/stop", "POST"),
        (Method::GET, "/api/v2/platform/instances/a/restart", "POST"),
        (Method::POST, "/metrics", "GET, HEAD"),
        (Method::PUT, "/artifacts/x", "GET, HEAD"),
    ] {
        let title = format!("405 method-not-allowed: {method} is not allowed here");
        let answer = server.ask(method, path).await;
        assert_eq!(answer.headers()["allow"], allowed);
        assert_eq!(problem(answer).await, title);
    }
}

/// Any bytes are answered or cut off, and the next client is served.
#[tokio::test(flavor = "multi_thread")]
async fn any_bytes_leave_the_server_well() {
    let server = Server::start(History::demo(0).published, grant);
    let mut inputs: Vec<Vec<u8>> = vec![
        b"\0\xff\xfe\r\n\r\n".to_vec(),
        b"GET / HTTP/9.9\r\n\r\n".to_vec(),
        b"GET /%ff%00/../..%2f HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        b"GET /artifacts/..%2f..%2ftoken HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        b"POST /api/v2/platform/instances/%ff%fe/restart HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer 0123456789abcdef\r\n\r\n".to_vec(),
        b"POST /api/v2/platform/stop HTTP/1.1\r\nHost: x\r\nAuthorization: \xff\xff\xff\xff\xff\xff\xff\xff\r\n\r\n".to_vec(),
        b"PUT /api/v2/platform HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n".to_vec(),
        b"PUT /api/v2/platform HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_vec(),
    ];
    inputs.push([b"GET /".to_vec(), vec![b'a'; 1 << 20], b" HTTP/1.1\r\n\r\n".to_vec()].concat());
    for input in inputs {
        let mut connection = TcpStream::connect(server.address).unwrap();
        connection.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        // The server may cut off in the middle.
        let _ = connection.write_all(&input);
        let mut answer = [0; 12];
        let read = connection.read(&mut answer).unwrap_or(0);
        let text = String::from_utf8_lossy(&answer[..read]).into_owned();
        assert!(text.is_empty() || text.starts_with("HTTP/1.1 4"), "{text}");
        assert_eq!(server.ask(Method::GET, "/healthz").await.status(), 200);
    }
}
