//! A relay before each server of a ZooKeeper, for one client: what goes through it can be held up and let go on.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::watch;

use crate::zookeeper::{self, ZooKeeper};

/// The only way of one client to each server; dropping it ends all connections.
///
/// A link that is cut is a black hole: connections stay open and new ones are taken, but no byte passes. Once it is
/// mended, what was held up goes on, however late.
#[derive(Debug)]
pub struct Relays {
    links: Vec<Link>,
    // Dropping it ends every task of the relay, which must not need the test's own runtime to move.
    runtime: Option<Runtime>,
}

#[derive(Debug)]
struct Link {
    address: SocketAddr,
    is_cut: Arc<watch::Sender<bool>>,
}

impl Relays {
    /// Stands before all servers of a ZooKeeper on one address of its network; `last` must be above its servers'.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn before(zookeeper: &ZooKeeper, last: u8) -> Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("relay").enable_all().build()?;
        let ip = zookeeper.address(last);
        let links = zookeeper.addrs().into_iter().map(|server| link(runtime.handle(), ip, server));
        let links = links.collect::<Result<Vec<_>>>()?;
        Ok(Self { links, runtime: Some(runtime) })
    }

    /// The addresses of the relays in the form that Mesos takes, for a path with its slash.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        let addresses: Vec<_> = self.links.iter().map(|link| link.address).collect();
        zookeeper::url(&addresses, path)
    }

    /// Cuts the client off from all servers.
    pub fn cut(&self) {
        self.links.iter().for_each(|link| link.set(true));
    }

    /// Cuts the client off from one server.
    pub fn cut_from(&self, server: usize) {
        self.links[server].set(true);
    }

    /// Lets everything pass again.
    pub fn mend(&self) {
        self.links.iter().for_each(|link| link.set(false));
    }
}

impl Drop for Relays {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Link {
    fn set(&self, is_cut: bool) {
        self.is_cut.send_replace(is_cut);
    }
}

fn link(runtime: &Handle, ip: IpAddr, server: SocketAddr) -> Result<Link> {
    let listener = std::net::TcpListener::bind((ip, 0)).with_context(|| format!("cannot listen on {ip}"))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let (is_cut, cut) = watch::channel(false);
    runtime.spawn(async move {
        let Ok(listener) = TcpListener::from_std(listener) else { return };
        loop {
            match listener.accept().await {
                Ok((client, _)) => drop(tokio::spawn(pass(client, server, cut.clone()))),
                // The process has too many files open, for now.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    });
    Ok(Link { address, is_cut: Arc::new(is_cut) })
}

/// Connects a client with the server until one of them ends the connection.
async fn pass(client: TcpStream, server: SocketAddr, mut cut: watch::Receiver<bool>) {
    whole(&mut cut).await;
    let Ok(server) = TcpStream::connect(server).await else { return };
    let ((asks, hears), (answers, told)) = (client.into_split(), server.into_split());
    tokio::select! {
        () = carry(asks, told, cut.clone()) => {}
        () = carry(answers, hears, cut) => {}
    }
}

async fn carry(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, mut cut: watch::Receiver<bool>) {
    let mut bytes = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut bytes).await {
        whole(&mut cut).await;
        if to.write_all(&bytes[..length]).await.is_err() {
            return;
        }
    }
    // An end of the connection is held up like every other word.
    whole(&mut cut).await;
}

/// Waits until the link isn't cut.
async fn whole(cut: &mut watch::Receiver<bool>) {
    // An error says that the relays are gone, and this task with them.
    let _gone = cut.wait_for(|is_cut| !is_cut).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_a_cut_link_holds_up_goes_on_once_it_is_mended() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let link = link(&Handle::current(), IpAddr::from([127, 0, 0, 1]), server.local_addr().unwrap()).unwrap();
        let mut client = TcpStream::connect(link.address).await.unwrap();
        let (mut served, _) = server.accept().await.unwrap();
        let mut byte = [0];
        client.write_all(b"a").await.unwrap();
        served.read_exact(&mut byte).await.unwrap();
        link.set(true);
        client.write_all(b"b").await.unwrap();
        served.write_all(b"c").await.unwrap();
        let held_up = Duration::from_millis(100);
        assert!(tokio::time::timeout(held_up, served.read_exact(&mut byte)).await.is_err());
        assert!(tokio::time::timeout(held_up, client.read_exact(&mut byte)).await.is_err());
        let _taken = TcpStream::connect(link.address).await.unwrap();
        assert!(tokio::time::timeout(held_up, server.accept()).await.is_err());
        link.set(false);
        served.read_exact(&mut byte).await.unwrap();
        assert_eq!(byte, *b"b");
        client.read_exact(&mut byte).await.unwrap();
        assert_eq!(byte, *b"c");
        server.accept().await.unwrap();
    }
}
