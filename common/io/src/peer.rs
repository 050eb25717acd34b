//! A real HTTP server for tests, whose one answer is a script.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// The head that [`Peer::start`] answers with.
const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

/// One thing that the peer does after the head of its answer.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Sends one chunk.
    Chunk(&'static str),
    /// Ends the body as HTTP wants it.
    End,
    /// Closes the connection.
    Cut,
    /// Waits until the client closes the connection.
    Hang,
}

/// A server that takes one connection and answers one request, then is finished.
#[derive(Debug)]
pub(crate) struct Peer {
    address: SocketAddr,
    sent_all: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Peer {
    /// Listens on a free port of 127.0.0.1, for a chunked answer.
    pub(crate) async fn start(steps: Vec<Step>) -> Self {
        Self::answering(CHUNKED, steps).await
    }

    pub(crate) async fn answering(head: &'static str, steps: Vec<Step>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let sent_all = Arc::new(Notify::new());
        let sent = Arc::clone(&sent_all);
        let task = tokio::spawn(async move {
            let (mut connection, _) = listener.accept().await.unwrap();
            read_head(&mut connection).await;
            connection.write_all(head.as_bytes()).await.unwrap();
            play(&mut connection, steps, &sent).await;
        });
        Self { address, sent_all, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Waits until every byte of the script is handed to the system.
    pub(crate) async fn sent_all(&self) {
        self.sent_all.notified().await;
    }

    /// Waits until the script has been played and the connection is closed.
    pub(crate) async fn finished(self) {
        self.task.await.unwrap();
    }
}

async fn play(connection: &mut TcpStream, steps: Vec<Step>, sent_all: &Notify) {
    for step in steps {
        match step {
            Step::Chunk(text) => {
                let chunk = format!("{:x}\r\n{text}\r\n", text.len());
                connection.write_all(chunk.as_bytes()).await.unwrap();
            }
            Step::End => connection.write_all(b"0\r\n\r\n").await.unwrap(),
            Step::Cut => return,
            Step::Hang => while connection.read(&mut [0; 1024]).await.is_ok_and(|read| read > 0) {},
        }
    }
    sent_all.notify_one();
}

async fn read_head(connection: &mut TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(connection.read_u8().await.unwrap());
    }
}
