//! A server whose answers are bytes, and what was asked of it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use epic_common_io::http::ClientOptions;
use epic_common_io::secret::Source;
use epic_proto::mesos::v1;
use epic_proto::mesos::v1::scheduler::event::{self, Type};
use epic_proto::mesos::v1::scheduler::{Call, Event};
use epic_scheduler::mesos::client::Client;
use epic_scheduler::mesos::credentials::Credentials;
use epic_scheduler::mesos::masters::Masters;
use prost::Message as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// One thing that the server does.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Bytes(Vec<u8>),
    /// Waits until the test says so.
    Wait(Arc<Notify>),
    /// Waits until the client closes the connection.
    Hang,
    /// Closes the connection.
    Cut,
}

/// One request, as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) path: String,
    /// By their names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) call: Call,
}

/// A listening server; it ends when dropped.
pub(crate) struct StandIn {
    pub(crate) address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    task: JoinHandle<()>,
}

impl StandIn {
    /// Answers each request by what `play` says for it; the number is how many requests came before.
    pub(crate) async fn start(play: impl Fn(usize, &Request) -> Vec<Step> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (asked, play) = (Arc::clone(&requests), Arc::new(play));
        let task = tokio::spawn(async move {
            while let Ok((mut connection, _)) = listener.accept().await {
                let (asked, play) = (Arc::clone(&asked), Arc::clone(&play));
                tokio::spawn(async move {
                    while let Some(request) = read(&mut connection).await {
                        let before = {
                            let mut asked = asked.lock().unwrap();
                            asked.push(request.clone());
                            asked.len() - 1
                        };
                        if !perform(&mut connection, play(before, &request)).await {
                            return;
                        }
                    }
                });
            }
        });
        Self { address, requests, task }
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Returns whether the connection goes on.
async fn perform(connection: &mut TcpStream, steps: Vec<Step>) -> bool {
    for step in steps {
        match step {
            Step::Bytes(bytes) => {
                if connection.write_all(&bytes).await.is_err() {
                    return false;
                }
                connection.flush().await.unwrap();
                // Lets the pieces arrive one by one, as far as the system allows.
                tokio::task::yield_now().await;
            }
            Step::Wait(go) => go.notified().await,
            Step::Cut => return false,
            Step::Hang => while connection.read(&mut [0; 64]).await.is_ok_and(|read| read > 0) {},
        }
    }
    true
}

async fn read(connection: &mut TcpStream) -> Option<Request> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(connection.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.lines();
    let path = lines.next().unwrap().split(' ').nth(1).unwrap().to_owned();
    let headers: BTreeMap<_, _> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let mut body = vec![0; headers["content-length"].parse().unwrap()];
    connection.read_exact(&mut body).await.unwrap();
    Some(Request { path, headers, call: Call::decode(body.as_slice()).unwrap() })
}

/// A whole answer with a text.
pub(crate) fn answer(status: &str, headers: &str, text: &str) -> Vec<Step> {
    let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{text}", text.len());
    vec![Step::Bytes(head.into_bytes())]
}

pub(crate) fn redirect(location: &str) -> Vec<Step> {
    answer("307 Temporary Redirect", &format!("Location: {location}\r\n"), "")
}

/// The head of an event stream.
pub(crate) fn stream_head() -> Step {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nMesos-Stream-Id: s-1\r\n\
        Transfer-Encoding: chunked\r\n\r\n";
    Step::Bytes(head.into())
}

pub(crate) fn chunk(bytes: &[u8]) -> Step {
    let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
    chunk.extend_from_slice(bytes);
    chunk.extend_from_slice(b"\r\n");
    Step::Bytes(chunk)
}

pub(crate) fn last_chunk() -> Step {
    Step::Bytes(b"0\r\n\r\n".to_vec())
}

pub(crate) fn record(event: &Event) -> Vec<u8> {
    let bytes = event.encode_to_vec();
    [bytes.len().to_string().as_bytes(), b"\n", &bytes].concat()
}

pub(crate) fn event(r#type: Type) -> Event {
    Event { r#type: Some(r#type.into()), ..Default::default() }
}

pub(crate) fn subscribed(heartbeat_seconds: f64) -> Event {
    let subscribed = event::Subscribed {
        framework_id: framework(),
        heartbeat_interval_seconds: Some(heartbeat_seconds),
        ..Default::default()
    };
    Event { subscribed: Some(subscribed), ..event(Type::Subscribed) }
}

pub(crate) fn error(message: &str) -> Event {
    Event { error: Some(event::Error { message: message.to_owned() }), ..event(Type::Error) }
}

/// A stream that begins as it should, and then stays silent.
pub(crate) fn standing() -> Vec<Step> {
    vec![stream_head(), chunk(&record(&subscribed(15.0))), Step::Hang]
}

pub(crate) fn framework() -> v1::FrameworkId {
    v1::FrameworkId { value: "f-1".to_owned() }
}

pub(crate) fn subscribe_call() -> Call {
    Call {
        framework_id: Some(framework()),
        r#type: Some(v1::scheduler::call::Type::Subscribe.into()),
        ..Default::default()
    }
}

pub(crate) fn client(masters: &str) -> Client {
    Client::new(Masters::parse(masters).unwrap(), None, &ClientOptions::default()).unwrap()
}

pub(crate) fn client_with_credentials(masters: &str) -> Client {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "secret\n").unwrap();
    let credentials = Credentials::load("epic", Source::File(file.path().to_owned())).unwrap();
    Client::new(Masters::parse(masters).unwrap(), Some(credentials), &ClientOptions::default()).unwrap()
}

/// `epic:secret` as basic authentication.
pub(crate) const AUTHORIZATION: &str = "Basic ZXBpYzpzZWNyZXQ=";

/// An address where nothing listens.
pub(crate) async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}
