//! Asks a service how it is.

use std::io;
use std::time::Duration;

use epic_common::manifest::Probe;
use epic_executor_core::traffic::Scene;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::process::Program;
use crate::reason::chain;
use crate::render::Renderer;
use crate::scene::{Places, command};

/// The longest status line that is read.
const LINE_BYTES_MAX: u64 = 512;

/// What to ask of which run.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The run.
    pub scene: &'a Scene,
    /// Where it is.
    pub places: Places<'a>,
    /// What to ask.
    pub probe: &'a Probe,
    /// How long to wait for the answer.
    pub most: Duration,
}

impl Question<'_> {
    /// Asks once; a command is run as `program` is, which is `None` if the service isn't there any longer.
    ///
    /// # Errors
    ///
    /// Why it isn't well, for people.
    pub async fn ask(self, program: Option<Program>) -> Result<(), String> {
        let (order, most) = (&self.scene.order, self.most);
        let number =
            |name: &str| order.grant.ports.get(name).copied().ok_or_else(|| format!("the grant has no port {name}"));
        let late = |_| format!("its probe had no answer within {} ms", most.as_millis());
        let renderer = || Renderer::new(self.scene, self.places);
        match self.probe {
            Probe::Tcp { port } => timeout(most, tcp(&order.hostname, number(port)?)).await.map_err(late)?,
            Probe::Http { port, path } => {
                let path = renderer().and_then(|renderer| renderer.text(path)).map_err(|error| chain(&error))?;
                timeout(most, http(&order.hostname, number(port)?, &path)).await.map_err(late)?
            }
            Probe::Command(words) => {
                let mut program = program.ok_or("it is not there")?;
                let rendered = renderer().and_then(|renderer| command(&renderer, words, self.places));
                program.command = rendered.map_err(|error| chain(&error))?;
                program.check(most).await
            }
        }
    }
}

/// Connects to `host:port`; the answer says why that can't be done.
///
/// # Errors
///
/// The reason, for people.
pub async fn tcp(host: &str, port: u16) -> Result<(), String> {
    connect(host, port).await.map(drop)
}

/// Asks for `path` with GET; 200 to 399 is well.
///
/// # Errors
///
/// The reason, for people.
pub async fn http(host: &str, port: u16, path: &str) -> Result<(), String> {
    let mut stream = BufReader::new(connect(host, port).await?);
    let name = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {name}:{port}\r\nUser-Agent: epic-executor\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    let broken = |error: io::Error| format!("http://{name}:{port}{path} does not answer: {error}");
    stream.write_all(request.as_bytes()).await.map_err(broken)?;
    let mut line = Vec::new();
    stream.take(LINE_BYTES_MAX).read_until(b'\n', &mut line).await.map_err(broken)?;
    let line = String::from_utf8_lossy(&line);
    let status = line.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)).and_then(|code| code.parse::<u16>().ok());
    match status {
        Some(200..=399) => Ok(()),
        Some(code) => Err(format!("http://{name}:{port}{path} answers {code}")),
        None => Err(format!("http://{name}:{port}{path} does not speak HTTP")),
    }
}

async fn connect(host: &str, port: u16) -> Result<TcpStream, String> {
    TcpStream::connect((host, port)).await.map_err(|error| format!("{host}:{port} takes no connection: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    /// Serves one answer and compares what the probe makes of it.
    async fn check(answer: &'static str, expected: Result<(), &str>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let serve = async {
            let mut stream = listener.accept().await.unwrap().0;
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                stream.read_buf(&mut request).await.unwrap();
            }
            assert!(request.starts_with(b"GET /ready HTTP/1.1\r\n"));
            stream.write_all(answer.as_bytes()).await.unwrap();
        };
        let (answer, ()) = tokio::join!(http("127.0.0.1", port, "/ready"), serve);
        match expected {
            Ok(()) => assert_eq!(answer, Ok(())),
            Err(end) => assert!(answer.clone().is_err_and(|reason| reason.ends_with(end)), "{answer:?}"),
        }
    }

    #[tokio::test]
    async fn two_hundred_to_three_hundred_ninety_nine_is_well() {
        check("HTTP/1.1 200 OK\r\n\r\n", Ok(())).await;
        check("HTTP/1.0 399 \r\n", Ok(())).await;
        check("HTTP/1.1 503 Not Ready\r\n\r\n", Err("answers 503")).await;
        check("HTTP/1.1 199 x\r\n\r\n", Err("answers 199")).await;
        check("SSH-2.0-OpenSSH\r\n", Err("does not speak HTTP")).await;
        check("", Err("does not speak HTTP")).await;
    }

    #[tokio::test]
    async fn a_port_that_nobody_listens_on_is_not_well() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(tcp("127.0.0.1", port).await, Ok(()));
        drop(listener);
        assert!(tcp("127.0.0.1", port).await.unwrap_err().contains("takes no connection"));
    }
}
