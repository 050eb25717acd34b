//! A relay before one HTTP server that holds up what is asked for at some paths, until everything through it is cut.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

/// The way to one server; dropping it ends all connections, and new ones are refused.
///
/// A connection belongs to what is asked for first on it.
#[derive(Debug)]
pub struct Valve {
    listening: AbortHandle,
    held: Arc<AtomicUsize>,
}

impl Valve {
    /// Stands at `front` before the server at `back`; of an answer to whoever asks for a path with `what` in it only so
    /// many bytes pass. Needs the runtime.
    ///
    /// # Errors
    /// The address is taken.
    pub async fn before(front: SocketAddr, back: SocketAddr, what: &str, bytes_max: u64) -> Result<Self> {
        let listener = TcpListener::bind(front).await.with_context(|| format!("cannot listen on {front}"))?;
        let held = Arc::new(AtomicUsize::new(0));
        let (count, what) = (Arc::clone(&held), what.to_owned());
        let listening = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let (count, what) = (Arc::clone(&count), what.clone());
                connections.spawn(async move { pass(client, back, (&what, bytes_max), &count).await.ok() });
            }
        });
        Ok(Self { listening: listening.abort_handle(), held })
    }

    /// Says how many answers are held up.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.load(Ordering::SeqCst)
    }
}

impl Drop for Valve {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn pass(
    mut client: TcpStream,
    back: SocketAddr,
    (what, bytes_max): (&str, u64),
    held: &AtomicUsize,
) -> Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < HEAD_BYTES_MAX {
        head.push(client.read_u8().await?);
    }
    let mut server = TcpStream::connect(back).await?;
    server.write_all(&head).await?;
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    if !(line.starts_with("GET /artifacts/") && line.contains(what)) {
        tokio::io::copy_bidirectional(&mut client, &mut server).await?;
        return Ok(());
    }
    copy(&mut (&mut server).take(bytes_max), &mut client).await?;
    held.fetch_add(1, Ordering::SeqCst);
    // The client may give up; else it hears no more.
    client.read_u8().await.ok();
    held.fetch_sub(1, Ordering::SeqCst);
    Ok(())
}

const HEAD_BYTES_MAX: usize = 64 * 1024;
