//! Loopback addresses that belong to one cluster alone.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use anyhow::{Context, bail};

/// The addresses `127.a.b.*`, held until the value is dropped.
///
/// Linux answers on all of `127.0.0.0/8`, so each agent gets an address of its own: two hosts may use the
/// same port, and so may two clusters at the same time. A listener on [`GUARD_PORT`] of the first address
/// is the lock; it goes away with the process.
#[derive(Debug)]
pub struct Network {
    prefix: [u8; 2],
    _guard: TcpListener,
}

impl Network {
    /// Takes a network that no other process on this machine has taken.
    ///
    /// # Errors
    /// When no network is found after a hundred attempts.
    pub fn take() -> anyhow::Result<Self> {
        for _ in 0..100 {
            let [a, b, ..] = RandomState::new().build_hasher().finish().to_be_bytes();
            // 127.0.*.* is where everybody else listens.
            let prefix = [a | 1, b];
            let first = SocketAddr::new(address_in(prefix, 1), GUARD_PORT);
            if let Ok(guard) = TcpListener::bind(first) {
                return Ok(Self { prefix, _guard: guard });
            }
        }
        bail!("cannot take a network: no 127.a.b.1:{GUARD_PORT} is free")
    }

    /// The two middle bytes that tell this network from others.
    #[must_use]
    pub fn prefix(&self) -> [u8; 2] {
        self.prefix
    }

    /// The address `127.a.b.last`.
    #[must_use]
    pub fn address(&self, last: u8) -> IpAddr {
        address_in(self.prefix, last)
    }

    /// A port of `127.a.b.last` on which nobody listens.
    ///
    /// # Errors
    /// When the kernel gives none.
    pub fn free(&self, last: u8) -> anyhow::Result<SocketAddr> {
        let ip = self.address(last);
        TcpListener::bind((ip, 0))
            .and_then(|listener| listener.local_addr())
            .with_context(|| format!("cannot find a free port on {ip}"))
    }
}

fn address_in([a, b]: [u8; 2], last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, a, b, last))
}

/// The port of the listener that marks a network as taken.
pub const GUARD_PORT: u16 = 20_000;
