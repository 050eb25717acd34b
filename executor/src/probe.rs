//! Asks a service how it is.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use epic_common::manifest::Probe;
use epic_common::resources::Grant;
use epic_executor_core::traffic::Scene;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::OnceCell;
use tokio::time::timeout;

use crate::process::Program;
use crate::reason::chain;
use crate::render::Renderer;
use crate::scene::{Places, command};

/// The longest status line that is read.
const LINE_BYTES_MAX: u64 = 512;

/// A host by name, whose addresses are looked up once: a service isn't sick because a name server is.
#[derive(Debug)]
pub struct Target {
    name: String,
    addresses: OnceCell<Vec<IpAddr>>,
}

impl Target {
    /// Names a host; nothing is looked up yet.
    #[must_use]
    pub fn new(name: String) -> Self {
        Self { name, addresses: OnceCell::new() }
    }

    /// Returns its addresses, after the first success always the same.
    async fn addresses(&self) -> io::Result<&[IpAddr]> {
        let look_up = || async { Ok(lookup_host((&*self.name, 0)).await?.map(|address| address.ip()).collect()) };
        self.addresses.get_or_try_init(look_up).await.map(Vec::as_slice)
    }

    async fn connect(&self, port: u16) -> Result<TcpStream, String> {
        let connect = async {
            let addresses: Vec<_> = self.addresses().await?.iter().map(|ip| SocketAddr::new(*ip, port)).collect();
            TcpStream::connect(&addresses[..]).await
        };
        connect.await.map_err(|error: io::Error| format!("{}:{port} takes no connection: {error}", self.name))
    }
}

/// What to ask of which run.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The grant with its ports.
    pub grant: &'a Grant,
    /// The host of its ports.
    pub target: &'a Target,
    /// What to ask, as [`rendered`] gives it.
    pub probe: &'a Probe,
    /// How long to wait for the answer.
    pub most: Duration,
}

/// Renders what a probe asks for. Blocks.
///
/// # Errors
///
/// What can't be rendered, for people.
pub fn rendered(probe: &Probe, scene: &Scene, places: Places<'_>) -> Result<Probe, String> {
    let renderer = || Renderer::new(scene, places).map_err(|error| chain(&error));
    Ok(match probe {
        Probe::Tcp { port } => Probe::Tcp { port: port.clone() },
        Probe::Http { port, path } => {
            let path = renderer()?.text(path).map_err(|error| chain(&error))?;
            Probe::Http { port: port.clone(), path }
        }
        Probe::Command(words) => Probe::Command(command(&renderer()?, words, places).map_err(|error| chain(&error))?),
    })
}

impl Question<'_> {
    /// Asks once; a command is run as `program` is.
    ///
    /// # Errors
    ///
    /// Why it isn't well, for people.
    pub async fn ask(self, mut program: Program) -> Result<(), String> {
        let (target, most) = (self.target, self.most);
        let number =
            |name: &str| self.grant.ports.get(name).copied().ok_or_else(|| format!("the grant has no port {name}"));
        let late = |_| format!("its probe had no answer within {} ms", most.as_millis());
        match self.probe {
            Probe::Tcp { port } => timeout(most, tcp(target, number(port)?)).await.map_err(late)?,
            Probe::Http { port, path } => timeout(most, http(target, number(port)?, path)).await.map_err(late)?,
            Probe::Command(words) => {
                program.command.clone_from(words);
                program.check(most).await
            }
        }
    }
}

/// Connects to a port; the answer says why that can't be done.
///
/// # Errors
///
/// The reason, for people.
pub async fn tcp(target: &Target, port: u16) -> Result<(), String> {
    target.connect(port).await.map(drop)
}

/// Asks for `path` with GET; 200 to 399 is well.
///
/// # Errors
///
/// The reason, for people.
pub async fn http(target: &Target, port: u16, path: &str) -> Result<(), String> {
    let mut stream = BufReader::new(target.connect(port).await?);
    let host = &target.name;
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
        let target = Target::new("127.0.0.1".to_owned());
        let (answer, ()) = tokio::join!(http(&target, port, "/ready"), serve);
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
        let target = Target::new("127.0.0.1".to_owned());
        assert_eq!(tcp(&target, port).await, Ok(()));
        drop(listener);
        assert!(tcp(&target, port).await.unwrap_err().contains("takes no connection"));
    }

    #[tokio::test]
    async fn a_name_that_was_found_once_needs_no_name_server_any_more() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut target = Target::new("localhost".to_owned());
        assert_eq!(tcp(&target, port).await, Ok(()));
        target.name = "gone.invalid".to_owned();
        assert_eq!(tcp(&target, port).await, Ok(()));
        let never = Target::new("gone.invalid".to_owned());
        assert!(tcp(&never, port).await.unwrap_err().starts_with("gone.invalid:"));
    }
}
