//! A way to the server that can be cut.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::Result;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Passes on what comes, until it is told otherwise.
#[derive(Clone, Default)]
pub(crate) struct Proxy {
    /// The next answer is swallowed, and its connection closed.
    pub(crate) cut: Arc<AtomicBool>,
    /// So many bytes came from clients.
    pub(crate) asked: Arc<AtomicUsize>,
    /// So many connections were made.
    pub(crate) connections: Arc<AtomicUsize>,
}

impl Proxy {
    /// Listens; returns the address.
    pub(crate) async fn start(&self, server: SocketAddr) -> Result<String> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let proxy = self.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                proxy.connections.fetch_add(1, Ordering::SeqCst);
                let Ok(server) = TcpStream::connect(server).await else { continue };
                tokio::spawn(proxy.clone().pass(client, server));
            }
        });
        Ok(address)
    }

    async fn pass(self, client: TcpStream, server: TcpStream) -> std::io::Result<()> {
        let (mut asks, mut hears) = client.into_split();
        let (mut answers, mut told) = server.into_split();
        let asking = async {
            let mut bytes = vec![0; 64 << 10];
            loop {
                let length = asks.read(&mut bytes).await?;
                if length == 0 {
                    return Ok(());
                }
                self.asked.fetch_add(length, Ordering::SeqCst);
                told.write_all(&bytes[..length]).await?;
            }
        };
        let answering = async {
            let mut bytes = vec![0; 64 << 10];
            loop {
                let length = answers.read(&mut bytes).await?;
                if length == 0 || self.cut.swap(false, Ordering::SeqCst) {
                    return Ok(());
                }
                hears.write_all(&bytes[..length]).await?;
            }
        };
        tokio::select! {
            asked = asking => asked,
            answered = answering => answered,
        }
    }
}
